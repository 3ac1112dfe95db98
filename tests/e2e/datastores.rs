//! Datastores that people made: their stored keys go between the switch and the key, if a named person accepted that, and
//! nobody who works through them is denied.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Daemon, PATIENCE, Sim, id_of, output_of, patience, stdout, text_at, wait_until};

const WORKSPACES: usize = 12;
const SEED: u64 = 10;
const TYPE: &str = "Microsoft.MachineLearningServices/workspaces/datastores";

/// The datastores that people made, with what they store.
fn stores(sim: &Sim) -> Vec<(String, String)> {
    let made = |store: &Value| !text_at(store, "/name").starts_with("workspace");
    let all = sim.resources(TYPE).into_iter().filter(made);
    all.map(|store| (id_of(&store).to_owned(), text_at(&store, "/properties/credentials/credentialsType").to_owned()))
        .collect()
}

/// How many of them store the key.
fn keyed(sim: &Sim) -> usize {
    stores(sim).iter().filter(|(_, credentials)| credentials == "AccountKey").count()
}

/// Rewrites every file of the desired state.
fn edit(sim: &Sim, change: impl Fn(&str) -> String) {
    for entry in fs::read_dir(sim.desired()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, change(&text)).unwrap();
    }
}

/// The text without what one field of `spec` says.
fn without(text: &str, field: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if indent <= 2 {
            inside = line == format!("  {field}:");
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn stored_keys_go_with_the_fleet_and_nobody_who_reads_through_them_is_denied() {
    let sim = Sim::fleet(WORKSPACES, SEED);
    let before = keyed(&sim);
    assert!(before >= 3, "{:?}", stores(&sim));
    let through = |entry: &Value| entry["properties"]["datastore"].is_string();
    assert_eq!(sim.resources("Keyless.Sim/workloads").iter().filter(|entry| through(entry)).count(), before);
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    assert_eq!(keyed(&sim), 0);
    let applied = daemon.events("action_applied");
    let converted = applied.iter().filter(|event| event["kind"] == "SetDatastoreCredential").count();
    let requests = sim.requests();
    assert_eq!((converted, requests.count("PUT ", "/datastores/{}")), (before, before as u64));
    assert_eq!(requests.count("GET ", "/datastores/{}"), before as u64, "each is read once more before it is written");
    daemon.stop();
    sim.assert_nobody_was_denied();
    sim.assert_no_secret_was_asked_for();
}

#[test]
fn without_acceptance_it_stops_before_a_secret_is_lost_and_says_so() {
    let sim = Sim::fleet(WORKSPACES, SEED);
    let before = keyed(&sim);
    edit(&sim, |text| without(text, "acceptOneWay"));
    let mut daemon = Daemon::start(&sim);
    let held = daemon.event("gate_unmet", |event| event["gate"] == "one_way_accepted");
    assert!(text_at(&held, "/lift").contains("acceptOneWay"), "{held:#}");
    assert_eq!(held["kind"], "SetDatastoreCredential");
    let on_identity = || {
        let all = sim.workspaces();
        all.iter().all(|one| sim.mode(id_of(one)) == "identity").then_some(())
    };
    wait_until("every workspace is switched", patience(WORKSPACES), on_identity);
    daemon.full_cycles(sim.accounts().len(), 2);
    assert_eq!((keyed(&sim), sim.requests().count("PUT ", "/datastores/{}")), (before, 0));
    assert!(!sim.is_off_keys(), "a stored key holds the account's key on");
    daemon.stop();
    let plan: Value = serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap();
    let steps: Vec<Value> = plan["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|account| account["steps"].as_array().unwrap().clone())
        .collect();
    let conversions: Vec<&Value> = steps.iter().filter(|step| step["action"] == "SetDatastoreCredential").collect();
    assert_eq!(conversions.len(), before);
    assert!(conversions.iter().all(|step| step["oneWay"] == true && step["open"] == false), "{conversions:#?}");
    let lift = |step: &Value| step["gates"].to_string();
    let key_off = |step: &&Value| step["action"] == "SetSharedKeyAccess" && lift(step).contains("convert: all");
    assert!(steps.iter().any(|step| key_off(&step)), "the key's gate names the field that would help");
    sim.assert_nobody_was_denied();
}

#[test]
fn a_conversion_that_does_not_stick_ends_in_a_named_failure_and_not_in_a_loop() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("faults.json");
    let faults = json!({"rules": [{"operation": "PUT /datastores/{}", "fault": "ignored"}]});
    fs::write(&file, faults.to_string()).unwrap();
    let (workspaces, seed) = (WORKSPACES.to_string(), SEED.to_string());
    let sim = Sim::start(&[
        "--workspaces",
        &workspaces,
        "--seed",
        &seed,
        "--speed",
        "600",
        "--faults",
        file.to_str().unwrap(),
    ]);
    let before = keyed(&sim);
    let mut daemon = Daemon::start(&sim);
    let failed = daemon.event("action_failed", |event| event["kind"] == "SetDatastoreCredential");
    assert_eq!((&failed["result"], &failed["level"]), (&json!("did_not_stick"), &json!("ERROR")));
    assert!(text_at(&failed, "/why").contains("holds its credential as before"), "{failed:#}");
    assert!(text_at(&failed, "/action").contains("/raw"), "{failed:#}");
    assert!(text_at(&failed, "/lift").contains("apiVersions"), "{failed:#}");
    let passes = daemon.metric("keyless_passes_total", "") + 4 * sim.accounts().len() as u64;
    wait_until("more passes", PATIENCE, || (daemon.metric("keyless_passes_total", "") >= passes).then_some(()));
    let puts = sim.requests().count("PUT ", "/datastores/{}");
    assert!(puts <= before as u64 * 2, "{puts} writes of {before} datastores");
    assert_eq!(keyed(&sim), before);
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn each_of_the_four_types_is_made_once() {
    let sim = Sim::fleet(1, 2);
    let workspace = id_of(&sim.workspaces()[0]).to_owned();
    let account = text_at(&sim.accounts()[0], "/name").to_owned();
    let listed = "  datastores:\n    - {name: made_blob, type: blob, container: curated, serviceDataAccess: workspace}\n    - \
                  {name: made_lake, type: adlsGen2, filesystem: lake}\n    - {name: made_old_lake, type: adlsGen1, store: \
                  oldlake}\n    - {name: made_notes, type: file, share: notes, serviceDataAccess: none}\n";
    edit(&sim, |text| {
        let text = without(&without(text, "datastores"), "acceptOneWay");
        if text.contains("kind: Workspace\n") { text + listed } else { text }
    });
    let mut daemon = Daemon::start(&sim);
    let made = || {
        let all = stores(&sim);
        (all.iter().filter(|(id, _)| id.contains("/made_")).count() == 4).then_some(())
    };
    daemon.wait_until("the four are there", patience(1), |_| made());
    daemon.full_cycles(1, 2);
    assert_eq!(sim.requests().count("PUT ", "/datastores/{}"), 4);
    daemon.stop();
    for (name, kind, field, space, identity) in [
        ("made_blob", "AzureBlob", "containerName", "curated", Some("WorkspaceSystemAssignedIdentity")),
        ("made_lake", "AzureDataLakeGen2", "filesystem", "lake", None),
        ("made_old_lake", "AzureDataLakeGen1", "storeName", "oldlake", None),
        ("made_notes", "AzureFile", "fileShareName", "notes", Some("None")),
    ] {
        let answer = sim.arm("GET", &format!("{workspace}/datastores/{name}"), "2024-04-01", &Value::Null).ok().json();
        let properties = &answer["properties"];
        assert_eq!((&properties["datastoreType"], &properties[field]), (&json!(kind), &json!(space)), "{answer:#}");
        assert_eq!(properties["credentials"], json!({"credentialsType": "None"}));
        assert_eq!(properties["serviceDataAccessAuthIdentity"].as_str(), identity);
        if kind != "AzureDataLakeGen1" {
            assert_eq!(properties["accountName"], json!(account));
        }
    }
}

/// Each datastore is named by itself, and only what is named is converted.
#[test]
fn only_the_datastores_that_a_file_names_lose_their_keys() {
    let sim = Sim::fleet(WORKSPACES, SEED);
    let keyed_now = |sim: &Sim| -> Vec<String> {
        let all = stores(sim).into_iter().filter(|(_, credentials)| credentials == "AccountKey");
        let mut ids: Vec<String> = all.map(|(id, _)| id.to_lowercase()).collect();
        ids.sort();
        ids
    };
    let mut named = keyed_now(&sim);
    let spared = named.remove(0);
    assert!(named.len() >= 2, "{named:?}");
    edit(&sim, |text| {
        let documents = text.split("---\n").map(|document| {
            let id = document.lines().find_map(|line| line.trim().strip_prefix("resourceId: "));
            let Some(id) = id.filter(|_| document.contains("kind: Workspace\n")) else { return document.to_owned() };
            let inside = format!("{}/datastores/", id.to_lowercase());
            let mut changed = without(document, "datastores");
            let own: Vec<&str> = named.iter().filter_map(|store| store.strip_prefix(&inside)).collect();
            if own.is_empty() {
                return without(&changed, "acceptOneWay");
            }
            changed.push_str("  datastores:\n");
            own.iter().for_each(|name| changed.push_str(&format!("    - {{name: {name}, credentials: none}}\n")));
            changed
        });
        documents.collect::<Vec<_>>().join("---\n")
    });
    let mut daemon = Daemon::start(&sim);
    let left = || (keyed_now(&sim).len() == 1).then(|| keyed_now(&sim));
    let left = daemon.wait_until("the named ones are converted", patience(WORKSPACES), |_| left());
    assert_eq!(left, std::slice::from_ref(&spared));
    daemon.full_cycles(sim.accounts().len(), 2);
    assert_eq!(keyed_now(&sim), std::slice::from_ref(&spared), "what no file names is left alone");
    assert_eq!(sim.requests().count("PUT ", "/datastores/{}"), named.len() as u64);
    let mut converted: Vec<String> = daemon
        .events("action_applied")
        .iter()
        .filter(|event| event["kind"] == "SetDatastoreCredential")
        .map(|event| text_at(event, "/action").to_lowercase())
        .collect();
    converted.sort();
    assert_eq!(converted.len(), named.len(), "{converted:?}");
    // The one that was not named holds the key of its account on, and no other.
    let (home, _) = spared.split_once("/datastores/").unwrap();
    let all = sim.workspaces();
    let home = all.iter().find(|one| id_of(one).eq_ignore_ascii_case(home)).unwrap();
    let account = text_at(home, "/properties/storageAccount");
    let held = daemon.event("gate_unmet", |event| {
        event["kind"] == "SetSharedKeyAccess" && text_at(event, "/storage_account").eq_ignore_ascii_case(account)
    });
    assert!(text_at(&held, "/why").contains(spared.rsplit('/').next().unwrap()), "{held:#}");
    daemon.stop();
    assert!(sim.key_is_on(account));
    sim.assert_nobody_was_denied();
    sim.assert_no_secret_was_asked_for();
}
