//! Who changed something is named as soon as the activity log knows, and who does it again and again is left alone.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Daemon, Sim, id_of, output_of, patience, same_id, text_at};

const WORKSPACES: usize = 4;

fn converged(lag: &str) -> (Sim, Daemon) {
    let sim =
        Sim::start(&["--workspaces", &WORKSPACES.to_string(), "--seed", "5", "--speed", "600", "--activity-lag", lag]);
    // Every pass is told, and not only those that bring news.
    let mut daemon = Daemon::start_as(sim.command(&["run", "--log", "json", "--log-level", "debug"]));
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    daemon.full_cycles(sim.accounts().len(), 2);
    (sim, daemon)
}

/// A person of the directory: the object id and the login.
fn person(sim: &Sim) -> (String, String) {
    let people = sim.resources("Microsoft.Graph/users");
    let person = people.first().expect("the fleet has people");
    let name = text_at(person, "/displayName").to_lowercase().replace(' ', ".");
    (id_of(person).to_owned(), format!("{name}@example.com"))
}

fn time(value: &Value, field: &str) -> Timestamp {
    text_at(value, &format!("/{field}")).parse().expect("a time")
}

/// An event about the account from then on.
fn about<'a>(account: &'a str, since: &'a str) -> impl Fn(&Value) -> bool + use<'a> {
    let since: Timestamp = since.parse().expect("a time");
    move |event| time(event, "timestamp") >= since && same_id(text_at(event, "/storage_account"), account)
}

#[test]
fn a_person_that_the_log_shows_at_once_is_named_in_the_event_itself() {
    let (sim, mut daemon) = converged("0s");
    let (id, login) = person(&sim);
    let accounts = sim.accounts();
    let account = id_of(&accounts[0]);
    let at = sim.drift_by(&id, "sharedKey", account, json!(true));
    let told = daemon.event("drift_detected", about(account, &at));
    assert_eq!(told["changed_by"], login, "{told:#}");
    let changed = time(&told, "changed_at").duration_since(at.parse().unwrap());
    assert!(changed.abs() < jiff::SignedDuration::from_secs(1), "{told:#}");
    assert_eq!(told["operation"], "Microsoft.Storage/storageAccounts/write");
    assert!(told["correlation_id"].is_string() && text_at(&told, "/client").contains("application"), "{told:#}");
    daemon.event("drift_cleared", about(account, &at));
    daemon.full_cycles(accounts.len(), 3);
    assert_eq!(daemon.events("drift_attributed"), Vec::<Value>::new(), "nobody else is named later");
    assert!(daemon.events("fight_detected").is_empty(), "once is no fight");
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn a_person_that_the_log_shows_later_is_named_within_an_interval_of_it() {
    // Four intervals of the daemon.
    let lag = Duration::from_secs(4);
    let (sim, mut daemon) = converged("40m");
    let (id, login) = person(&sim);
    let accounts = sim.accounts();
    let account = id_of(&accounts[0]);
    let at = sim.drift_by(&id, "sharedKey", account, json!(true));
    let told = daemon.event("drift_detected", about(account, &at));
    assert_eq!(told["changed_by"], "unknown so far", "{told:#}");
    assert!(told.get("changed_at").is_none(), "{told:#}");
    let amended = daemon.event("drift_attributed", about(account, &at));
    assert_eq!(amended["changed_by"], login, "{amended:#}");
    assert_eq!(amended["drift"], told["drift"]);
    let after = Duration::try_from(time(&amended, "timestamp").duration_since(at.parse().unwrap())).unwrap();
    assert!(after >= lag, "before the log knew: {after:?}");
    // Counted in passes, so that a slow machine has no say in it: none that began when the log knew ended without a word.
    let (known, told) = (at.parse::<Timestamp>().unwrap() + lag, time(&amended, "timestamp"));
    let passes = daemon.events("pass_finished");
    let took = |pass: &Value| Duration::from_millis(pass["elapsed_ms"].as_u64().expect("how long it took"));
    let of_it = |pass: &&Value| same_id(text_at(pass, "/storage_account"), account);
    let silent = |pass: &&Value| time(pass, "timestamp") - took(pass) > known && time(pass, "timestamp") < told;
    let silent: Vec<&Value> = passes.iter().filter(of_it).filter(silent).collect();
    assert!(silent.is_empty(), "told {after:?} after the change: {silent:#?}");
    let before = passes.iter().filter(of_it).filter(|pass| time(pass, "timestamp") < known).count();
    assert!(before > 2, "the passes are told: {before}");
    let times = daemon.events("drift_detected").iter().filter(|event| about(account, &at)(event)).count();
    assert_eq!(times, 1, "the difference is told once");
    assert!(!sim.key_is_on(account), "and was undone meanwhile");
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn a_grant_and_a_mode_name_their_hands_too() {
    let (sim, mut daemon) = converged("0s");
    let (id, login) = person(&sim);
    let workspaces = sim.workspaces();
    let workspace = workspaces.iter().find(|entry| entry["properties"]["storageAccount"].is_string()).unwrap();
    let account = text_at(workspace, "/properties/storageAccount");
    let at = sim.drift_by(&id, "authMode", id_of(workspace), json!("AccessKey"));
    let told = daemon.event("drift_detected", about(account, &at));
    assert_eq!(
        (&told["changed_by"], told["operation"].as_str()),
        (&json!(login), Some("Microsoft.MachineLearningServices/workspaces/write"))
    );
    let grants = sim.resources("Microsoft.Authorization/roleAssignments");
    let grant = grants.iter().find(|grant| text_at(grant, "/properties/description").contains("keyless")).unwrap();
    let account = text_at(grant, "/properties/scope");
    let at = sim.drift_by(&id, "grantRemoved", id_of(grant), Value::Null);
    let is_role = |event: &Value| about(account, &at)(event) && event["role"].is_string();
    let told = daemon.event("drift_detected", is_role);
    assert_eq!(told["changed_by"], login, "{told:#}");
    assert_eq!(told["operation"], "Microsoft.Authorization/roleAssignments/delete");
    daemon.stop();
}

/// A corrector that turns the key on again as often as the daemon turns it off.
#[test]
fn a_policy_engine_that_turns_the_key_on_again_and_again_is_left_alone_and_named() {
    let (sim, mut daemon) = converged("0s");
    let (id, name) = ("5a11c0de-0000-4000-8000-0000000000ee", "remediation");
    let accounts = sim.accounts();
    let account = id_of(&accounts[0]);
    let group = account.split("/providers/").next().unwrap();
    let engine = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
    let resource = json!({"id": engine, "name": name, "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "location": "westeurope", "properties": {"principalId": id, "clientId": "5a11c0de-0000-4000-8000-0000000000ef"}});
    sim.drift("resourcePut", &engine, resource);
    let began = sim.drift_by(id, "sharedKey", account, json!(true));
    for _ in 0..2 {
        daemon.wait_until("the key goes off", patience(WORKSPACES), |_| (!sim.key_is_on(account)).then_some(()));
        daemon.full_cycles(accounts.len(), 2);
        sim.drift_by(id, "sharedKey", account, json!(true));
    }
    let told = daemon.event("fight_detected", about(account, &began));
    assert_eq!(told["level"], "ERROR");
    let (by, why) = (text_at(&told, "/changed_by"), text_at(&told, "/why"));
    assert!(by.starts_with("managed identity") && by.contains(name) && by.contains(id), "{told:#}");
    assert!(why.contains("keyless, owner keyless-sim, identity ") && why.contains(name), "{told:#}");
    assert!(why.contains("3 times since"), "{told:#}");
    assert!(text_at(&told, "/lift").contains("quiet until"), "{told:#}");
    // From now on nothing is written to it, by the record of the cloud itself.
    let writes = sim.requests().writes();
    daemon.full_cycles(accounts.len(), 8);
    assert_eq!(sim.requests().writes(), writes, "the fight goes on");
    assert!(sim.key_is_on(account));
    assert_eq!(daemon.events("fight_detected").len(), 1, "told once");
    // A death does not lose the count.
    daemon.kill();
    let mut daemon = Daemon::start(&sim);
    let told = daemon.event("fight_detected", |event| same_id(text_at(event, "/storage_account"), account));
    assert!(text_at(&told, "/why").contains("3 times since"), "{told:#}");
    daemon.full_cycles(accounts.len(), 8);
    assert_eq!(sim.requests().writes(), writes, "the fight goes on in the next process");
    // A word in the account's own documents lifts the hold.
    let document = json!({"apiVersion": "keyless.dev/v1", "kind": "StorageAccount",
        "spec": {"resourceId": account, "sharedKeyAccess": "disabled"}});
    std::fs::write(sim.desired().join("account.json"), document.to_string()).unwrap();
    daemon.wait_until("the key goes off", patience(WORKSPACES), |_| (!sim.key_is_on(account)).then_some(()));
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn a_plan_that_is_asked_to_names_who_last_wrote_what_differs() {
    let (sim, daemon) = converged("0s");
    daemon.stop();
    let (id, login) = person(&sim);
    let accounts = sim.accounts();
    let account = id_of(&accounts[0]);
    sim.drift_by(&id, "sharedKey", account, json!(true));
    let grants = sim.resources("Microsoft.Authorization/roleAssignments");
    let grant = grants.iter().find(|grant| text_at(grant, "/properties/description").contains("keyless")).unwrap();
    sim.drift_by(&id, "grantRemoved", id_of(grant), Value::Null);
    let plan = |args: &[&str]| -> Value {
        let output = output_of(sim.command(&[&["plan", "--output", "json"], args].concat()), 0);
        serde_json::from_slice(&output.stdout).expect("the plan is JSON")
    };
    let differences = |plan: &Value, kind: &str| -> Vec<Value> {
        let accounts = plan["accounts"].as_array().expect("accounts").iter();
        let all = accounts.flat_map(|account| account["drift"].as_array().expect("drift").clone());
        all.filter(|drift| drift["kind"] == kind).collect()
    };
    let named = plan(&["--who"]);
    let key = &differences(&named, "sharedKey")[0];
    assert_eq!(
        (&key["changedBy"], &key["operation"]),
        (&json!(login), &json!("Microsoft.Storage/storageAccounts/write"))
    );
    assert_eq!(key["proven"], false, "the log has no bodies: {key:#}");
    assert!(text_at(key, "/written").starts_with(&format!("last written by {login} at ")), "{key:#}");
    let role = differences(&named, "roleMissing").into_iter().find(|drift| drift["proven"] == true);
    let role = role.expect("the grant that keyless made is known by its name");
    assert!(text_at(&role, "/written").starts_with(&format!("removed by {login} at ")), "{role:#}");
    let asked = sim.requests().count("GET", "eventtypes/management/values");
    assert!(differences(&plan(&[]), "sharedKey")[0].get("changedBy").is_none());
    assert_eq!(sim.requests().count("GET", "eventtypes/management/values"), asked, "who does not ask pays nothing");
}
