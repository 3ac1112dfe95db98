//! What comes late is noticed on the next pass: a workspace or project on an account whose key is off, an endpoint without
//! its grant, a workspace or compute with a new identity, a compute that is new.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Daemon, PATIENCE, Sim, id_of, patience, same_id, text_at};

const WORKSPACES: usize = 6;
const ML: &str = "Microsoft.MachineLearningServices/workspaces";

/// Passes that may go by without a word: they are of one account, and the look over the whole fleet that finds what is new
/// in it comes once per interval as they do, before or after.
const SILENT: usize = 1;

/// A fleet off keys, and a daemon that tells of every pass.
fn converged() -> (Sim, Daemon) {
    let sim = Sim::fleet(WORKSPACES, 5);
    let mut daemon = Daemon::start_as(sim.command(&["run", "--log", "json", "--log-level", "debug"]));
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    sim.assert_nobody_was_denied();
    daemon.full_cycles(sim.accounts().len(), 2);
    (sim, daemon)
}

/// The event about the account, which is told once, and on the next pass. Counted in passes, so that a slow machine has no
/// say in it: at most [`SILENT`] of those that began after `since` ended without a word.
#[track_caller]
fn told_soon(daemon: &mut Daemon, account: &str, name: &str, since: &str, is: impl Fn(&Value) -> bool) -> Value {
    let since: Timestamp = since.parse().expect("a time");
    let time = |event: &Value| -> Timestamp { text_at(event, "/timestamp").parse().expect("a time") };
    let ours = |event: &Value| time(event) >= since && is(event);
    let told = daemon.event(name, ours);
    let passes = daemon.events("pass_finished");
    let took = |pass: &Value| Duration::from_millis(pass["elapsed_ms"].as_u64().expect("how long it took"));
    let of_it: Vec<&Value> = passes.iter().filter(|pass| same_id(text_at(pass, "/storage_account"), account)).collect();
    assert!(of_it.iter().any(|pass| time(pass) < since), "the passes of {account} are told");
    let silent: Vec<&&Value> =
        of_it.iter().filter(|pass| time(pass) - took(pass) > since && time(pass) < time(&told)).collect();
    assert!(silent.len() <= SILENT, "{silent:#?} before {told:#}");
    assert_eq!(daemon.events(name).iter().filter(|event| ours(event)).count(), 1, "{told:#}");
    told
}

/// The account of a workspace.
fn account_of(sim: &Sim, workspace: &str) -> String {
    let all = sim.workspaces();
    let own = all.iter().find(|entry| same_id(id_of(entry), workspace)).expect("the workspace exists");
    text_at(own, "/properties/storageAccount").to_owned()
}

#[test]
fn a_workspace_born_on_an_account_whose_key_is_off_is_told_as_broken() {
    let (sim, mut daemon) = converged();
    let (accounts, workspaces) = (sim.accounts(), sim.workspaces());
    let account = id_of(&accounts[0]);
    let writes = sim.requests().writes();
    let late = format!("{}-late", id_of(&workspaces[0]));
    let resource = |mode: &str| {
        json!({
            "kind": "Hub", "location": "westeurope",
            "identity": {"type": "SystemAssigned", "principalId": "5a11c0de-0000-4000-8000-000000000002"},
            "properties": {"storageAccount": account, "systemDatastoresAuthMode": mode},
        })
    };
    let at = sim.drift("workspaceAdded", &late, resource("AccessKey"));
    let ours = |event: &Value| same_id(text_at(event, "/workspace"), &late);
    let told = told_soon(&mut daemon, account, "workspace_undeclared", &at, ours);
    assert_eq!(told["level"], "ERROR");
    assert!(text_at(&told, "/why").contains("hub") && text_at(&told, "/why").contains("broken now"), "{told:#}");
    assert!(same_id(text_at(&told, "/storage_account"), account), "{told:#}");
    // Put right by its owner, it is no trouble any more, and still declared by nobody.
    let at = sim.drift("authMode", &late, json!("Identity"));
    let told = told_soon(&mut daemon, account, "workspace_undeclared", &at, ours);
    assert_eq!(told["level"], "INFO");
    daemon.full_cycles(accounts.len(), 2);
    assert_eq!(sim.requests().writes(), writes, "what no document declares is not touched");
    daemon.stop();
}

#[test]
fn an_endpoint_without_its_grant_is_told_on_the_next_pass() {
    let (sim, mut daemon) = converged();
    let workspaces = sim.workspaces();
    let workspace = workspaces.iter().find(|entry| entry["kind"] == "Default").expect("a workspace that is no hub");
    let endpoint = format!("{}/onlineEndpoints/late", id_of(workspace));
    let principal = "5a11c0de-0000-4000-8000-000000000003";
    let resource = json!({
        "id": endpoint, "name": "late", "type": format!("{ML}/onlineEndpoints"), "location": "westeurope",
        "identity": {"type": "SystemAssigned", "principalId": principal},
        "properties": {"authMode": "AADToken", "provisioningState": "Succeeded"},
    });
    let at = sim.drift("resourcePut", &endpoint, resource);
    let told = told_soon(&mut daemon, &account_of(&sim, id_of(workspace)), "service_grant_missing", &at, |event| {
        same_id(text_at(event, "/principal"), principal) //
    });
    assert!(text_at(&told, "/why").contains("endpoint late"), "{told:#}");
    assert_eq!(told["level"], "WARN");
    let account = account_of(&sim, id_of(workspace));
    let ours = |event: &Value| same_id(text_at(event, "/principal"), principal);
    daemon.full_cycles(sim.accounts().len(), 2);
    assert_eq!(daemon.events("service_grant_cleared").iter().filter(|event| ours(event)).count(), 0);
    let role = "/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe";
    let grant = json!({"principalId": principal, "principalType": "ServicePrincipal", "roleDefinitionId": role});
    sim.drift("grantAdded", &account, grant);
    let ended = daemon.event("service_grant_cleared", ours);
    assert!(text_at(&ended, "/why").contains("endpoint late"), "{ended:#}");
    daemon.full_cycles(sim.accounts().len(), 2);
    let count = |name: &str| daemon.events(name).iter().filter(|event| ours(event)).count();
    assert_eq!((count("service_grant_missing"), count("service_grant_cleared")), (1, 1));
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn a_compute_made_again_gets_the_grants_of_the_old_one() {
    let (sim, mut daemon) = converged();
    let computes = sim.resources(&format!("{ML}/computes"));
    let compute = computes
        .iter()
        .find(|compute| compute["identity"]["principalId"].is_string())
        .expect("a cluster with an identity of its own");
    let principal = "5a11c0de-0000-4000-8000-000000000004";
    let mut again = compute.clone();
    again["identity"]["principalId"] = json!(principal);
    let at = sim.drift("resourcePut", id_of(compute), again);
    let (workspace, _) = id_of(compute).rsplit_once("/computes/").expect("a compute is in a workspace");
    told_soon(&mut daemon, &account_of(&sim, workspace), "drift_detected", &at, |event| {
        same_id(text_at(event, "/principal"), principal) //
    });
    let granted = daemon.event("action_applied", |event| {
        event["kind"] == "GrantRole" && same_id(text_at(event, "/principal"), principal)
    });
    assert_eq!(granted["role"], "Storage Blob Data Reader", "{granted:#}");
    daemon.stop();
}

/// A compute that the files name and that nobody has made yet.
#[test]
fn a_compute_that_is_new_gets_its_grants_on_the_next_pass() {
    let (sim, mut daemon) = converged();
    let computes = sim.resources(&format!("{ML}/computes"));
    let model = computes.iter().find(|compute| compute["identity"]["principalId"].is_string()).expect("a cluster");
    let (workspace, _) = id_of(model).rsplit_once("/computes/").expect("a compute is in a workspace");
    let (mut declared, line) = (0, format!("resourceId: {workspace}\n"));
    for entry in std::fs::read_dir(sim.desired()).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a file of text");
        if let Some((before, after)) = text.split_once(&line) {
            let access = "  access:\n    - {principal: {compute: late}, scenarios: [training]}\n";
            let after = after.replacen("  access:\n", access, 1);
            std::fs::write(&path, format!("{before}{line}{after}")).expect("it can be written");
            declared += 1;
        }
    }
    assert_eq!(declared, 1);
    let accepted = |daemon: &Daemon| (daemon.events("config_accepted").len() > 1).then_some(());
    daemon.wait_until("the new files are in force", PATIENCE, accepted);
    daemon.full_cycles(sim.accounts().len(), 2);
    let grants = daemon.events("action_applied").len();

    let (compute, principal) = (format!("{workspace}/computes/late"), "5a11c0de-0000-4000-8000-000000000005");
    let mut late = model.clone();
    late["id"] = json!(compute);
    late["name"] = json!("late");
    late["identity"] = json!({"type": "SystemAssigned", "principalId": principal});
    let at = sim.drift("resourcePut", &compute, late);
    told_soon(&mut daemon, &account_of(&sim, workspace), "drift_detected", &at, |event| {
        same_id(text_at(event, "/principal"), principal) //
    });
    let granted = daemon.event("action_applied", |event| {
        event["kind"] == "GrantRole" && same_id(text_at(event, "/principal"), principal)
    });
    assert_eq!(granted["role"], "Storage Blob Data Reader", "{granted:#}");
    daemon.full_cycles(sim.accounts().len(), 2);
    let more = &daemon.events("action_applied")[grants..];
    assert!(more.iter().all(|event| same_id(text_at(event, "/principal"), principal)), "{more:#?}");
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn a_cluster_that_no_file_names_and_that_may_not_read_is_told_on_the_next_pass() {
    let (sim, mut daemon) = converged();
    let computes = sim.resources(&format!("{ML}/computes"));
    let model = computes.iter().find(|compute| compute["identity"]["principalId"].is_string()).expect("a cluster");
    let (workspace, _) = id_of(model).rsplit_once("/computes/").expect("a compute is in a workspace");
    let writes = sim.requests().writes();
    let compute = format!("{workspace}/computes/stray");
    let mut stray = model.clone();
    stray["id"] = json!(compute);
    stray["name"] = json!("stray");
    stray["identity"] = json!({"type": "SystemAssigned", "principalId": "5a11c0de-0000-4000-8000-000000000006"});
    let at = sim.drift("resourcePut", &compute, stray);
    let told = told_soon(&mut daemon, &account_of(&sim, workspace), "incompatibility_found", &at, |event| {
        same_id(text_at(event, "/workspace"), workspace) //
    });
    let why = text_at(&told, "/why");
    assert!(why.contains("computeIdentityWithoutRole: ") && why.contains("(stray)"), "{told:#}");
    assert_eq!(told["level"], "WARN");
    daemon.full_cycles(sim.accounts().len(), 2);
    assert_eq!(sim.requests().writes(), writes, "what no document names is not touched");
    assert_eq!(daemon.events("incompatibility_found").iter().filter(|event| **event == told).count(), 1);
    daemon.stop();
}

/// A project that comes to a hub whose account has no key any more, on keys because nobody said otherwise.
#[test]
fn a_project_that_comes_to_a_hub_without_keys_is_told_as_broken() {
    let (sim, mut daemon) = converged();
    let workspaces = sim.workspaces();
    let hub = workspaces.iter().find(|entry| entry["kind"] == "Hub").expect("a hub");
    let account = text_at(hub, "/properties/storageAccount");
    let writes = sim.requests().writes();
    let late = format!("{}-late", id_of(hub));
    let resource = json!({
        "kind": "Project", "location": "westeurope",
        "identity": {"type": "SystemAssigned", "principalId": "5a11c0de-0000-4000-8000-000000000007"},
        "properties": {"storageAccount": account, "systemDatastoresAuthMode": "AccessKey", "hubResourceId": id_of(hub)},
    });
    let at = sim.drift("workspaceAdded", &late, resource);
    let ours = |event: &Value| same_id(text_at(event, "/workspace"), &late);
    let told = told_soon(&mut daemon, account, "workspace_undeclared", &at, ours);
    assert_eq!(told["level"], "ERROR");
    assert!(text_at(&told, "/why").contains("project") && text_at(&told, "/why").contains("broken now"), "{told:#}");
    let at = sim.drift("authMode", &late, json!("Identity"));
    let told = told_soon(&mut daemon, account, "workspace_undeclared", &at, ours);
    assert_eq!(told["level"], "INFO");
    daemon.full_cycles(sim.accounts().len(), 2);
    assert_eq!(sim.requests().writes(), writes, "what no document declares is not touched");
    daemon.stop();
}

/// A workspace whose own identity was taken from it and made again: the grants of the service went to the old one.
#[test]
fn a_workspace_with_a_new_identity_lacks_the_grant_of_the_service_and_is_told() {
    let (sim, mut daemon) = converged();
    let workspaces = sim.workspaces();
    let workspace = workspaces
        .iter()
        .find(|entry| entry["kind"] == "Default" && entry["identity"]["principalId"].is_string())
        .expect("a workspace with an identity of its own");
    let account = account_of(&sim, id_of(workspace));
    let writes = sim.requests().writes();
    let principal = "5a11c0de-0000-4000-8000-000000000008";
    let mut again = workspace.clone();
    again["identity"]["principalId"] = json!(principal);
    let at = sim.drift("resourcePut", id_of(workspace), again);
    let told = told_soon(&mut daemon, &account, "service_grant_missing", &at, |event| {
        same_id(text_at(event, "/principal"), principal) //
    });
    assert!(same_id(text_at(&told, "/workspace"), id_of(workspace)), "{told:#}");
    daemon.full_cycles(sim.accounts().len(), 2);
    assert_eq!(sim.requests().writes(), writes, "the grant is the service's to make");
    assert_eq!(sim.mode(id_of(workspace)), "identity");
    assert!(!sim.key_is_on(&account), "it goes forward, not back");
    daemon.stop();
}
