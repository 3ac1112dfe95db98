//! What comes late is noticed on the next pass: a workspace on an account whose key is off, an endpoint without its grant,
//! a compute with a new identity, a compute that is new.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Daemon, PATIENCE, id_of, same_id, taken_off_keys, text_at};

const WORKSPACES: usize = 6;
const ML: &str = "Microsoft.MachineLearningServices/workspaces";

/// `interval` of the files, twice, because a look over the fleet may have just gone by, and two seconds.
const SOON: Duration = Duration::from_secs(4);

/// The event, which comes within [`SOON`] of `since` and is told once.
#[track_caller]
fn told_soon(daemon: &mut Daemon, name: &str, since: &str, is: impl Fn(&Value) -> bool) -> Value {
    let since: Timestamp = since.parse().expect("a time");
    let time = |event: &Value| -> Timestamp { text_at(event, "/timestamp").parse().expect("a time") };
    let ours = |event: &Value| time(event) >= since && is(event);
    let told = daemon.event(name, ours);
    let after = Duration::try_from(time(&told).duration_since(since)).expect("it came later");
    assert!(after <= SOON, "told after {after:?}: {told:#}");
    assert_eq!(daemon.events(name).iter().filter(|event| ours(event)).count(), 1, "{told:#}");
    told
}

#[test]
fn a_workspace_born_on_an_account_whose_key_is_off_is_told_as_broken() {
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
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
    let told = told_soon(&mut daemon, "workspace_undeclared", &at, ours);
    assert_eq!(told["level"], "ERROR");
    assert!(text_at(&told, "/why").contains("hub") && text_at(&told, "/why").contains("broken now"), "{told:#}");
    assert!(same_id(text_at(&told, "/storage_account"), account), "{told:#}");
    // Put right by its owner, it is no trouble any more, and still declared by nobody.
    let at = sim.drift("authMode", &late, json!("Identity"));
    let told = told_soon(&mut daemon, "workspace_undeclared", &at, ours);
    assert_eq!(told["level"], "INFO");
    daemon.full_cycles(accounts.len(), 2);
    assert_eq!(sim.requests().writes(), writes, "what no document declares is not touched");
    daemon.stop();
}

#[test]
fn an_endpoint_without_its_grant_is_told_on_the_next_pass() {
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
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
    let told = told_soon(&mut daemon, "service_grant_missing", &at, |event| {
        same_id(text_at(event, "/principal"), principal) //
    });
    assert!(text_at(&told, "/why").contains("endpoint late"), "{told:#}");
    assert_eq!(told["level"], "WARN");
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn a_compute_made_again_gets_the_grants_of_the_old_one() {
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
    let computes = sim.resources(&format!("{ML}/computes"));
    let compute = computes
        .iter()
        .find(|compute| compute["identity"]["principalId"].is_string())
        .expect("a cluster with an identity of its own");
    let principal = "5a11c0de-0000-4000-8000-000000000004";
    let mut again = compute.clone();
    again["identity"]["principalId"] = json!(principal);
    let at = sim.drift("resourcePut", id_of(compute), again);
    told_soon(&mut daemon, "drift_detected", &at, |event| {
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
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
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
    told_soon(&mut daemon, "drift_detected", &at, |event| {
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
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
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
    let told = told_soon(&mut daemon, "incompatibility_found", &at, |event| {
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
