//! What somebody changes behind the daemon's back is announced once, corrected behind its gates, and cleared.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Daemon, PATIENCE, Sim, id_of, output_of, same_id, stdout, taken_off_keys, text_at};

const WORKSPACES: usize = 6;

/// `interval` of the files, and two seconds.
const SOON: Duration = Duration::from_secs(3);

fn time(value: &Value, field: &str) -> Timestamp {
    text_at(value, &format!("/{field}")).parse().expect("a time")
}

/// Waits for the drift that `is` accepts to be told and cleared, and asserts that it was told once and soon.
#[track_caller]
fn told_once_and_cleared(daemon: &mut Daemon, since: &str, account: &str, is: impl Fn(&Value) -> bool) -> Value {
    let since: Timestamp = since.parse().expect("a time");
    let ours = |event: &Value| {
        time(event, "timestamp") >= since && same_id(text_at(event, "/storage_account"), account) && is(event)
    };
    let told = daemon.event("drift_detected", ours);
    let after = Duration::try_from(time(&told, "timestamp").duration_since(since)).expect("it came later");
    assert!(after <= SOON, "told after {after:?}: {told:#}");
    assert!(told["revision"].is_string() && told["drift"].is_string(), "{told:#}");
    assert_ne!(told["reminder"], true);
    let cleared = daemon.event("drift_cleared", |event| ours(event) && event["drift"] == told["drift"]);
    assert!(time(&cleared, "timestamp") >= time(&told, "timestamp"));
    let times = daemon.events("drift_detected").iter().filter(|event| ours(event)).count();
    assert_eq!(times, 1, "told once: {told:#}");
    told
}

#[test]
fn a_key_turned_on_by_somebody_is_told_once_and_turned_off() {
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
    let accounts = sim.accounts();
    let account = id_of(&accounts[0]);
    let at = sim.drift("sharedKey", account, json!(true));
    let told =
        told_once_and_cleared(&mut daemon, &at, account, |event| text_at(event, "/drift").contains("shared key"));
    assert_eq!(told["level"], "WARN");
    assert!(!sim.key_is_on(account));
    daemon.full_cycles(accounts.len(), 2);
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn a_workspace_put_back_on_keys_by_somebody_is_mended_at_once() {
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
    let workspaces = sim.workspaces();
    let workspace = workspaces.iter().find(|entry| entry["properties"]["storageAccount"].is_string()).unwrap();
    let account = text_at(workspace, "/properties/storageAccount");
    let at = sim.drift("authMode", id_of(workspace), json!("AccessKey"));
    let told = told_once_and_cleared(&mut daemon, &at, account, |event| {
        same_id(text_at(event, "/workspace"), id_of(workspace)) && text_at(event, "/drift").contains("mode is")
    });
    // Its account's key is off, so whoever did this broke it in the same moment.
    assert_eq!(told["level"], "ERROR");
    assert_eq!(sim.mode(id_of(workspace)), "identity");
    assert!(!sim.key_is_on(account), "it goes forward, not back");
    daemon.stop();
    let oracle = sim.oracle();
    for spell in oracle["events"].as_array().unwrap() {
        assert_eq!(spell["workspace"], workspace["id"], "only the hand that did it broke something: {oracle:#}");
        assert_eq!(spell["cause"], "KeyBasedAuthenticationNotPermitted");
    }
    assert_eq!(oracle["denied"]["keyUsers"], 0);
}

#[test]
fn a_grant_taken_away_by_somebody_is_made_again() {
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
    let grants = sim.resources("Microsoft.Authorization/roleAssignments");
    let own = |grant: &&Value| text_at(grant, "/properties/description").contains("keyless");
    let grant = grants.iter().find(own).expect("keyless made a grant and says so");
    let (account, principal) = (text_at(grant, "/properties/scope"), text_at(grant, "/properties/principalId"));
    let at = sim.drift("grantRemoved", id_of(grant), Value::Null);
    let is = |event: &Value| same_id(text_at(event, "/principal"), principal) && event["role"].is_string();
    let told = daemon.event("drift_detected", |event| event["timestamp"].as_str() >= Some(&*at) && is(event));
    // One grant may serve several workspaces, and each of them lacks it.
    let workspace = text_at(&told, "/workspace").to_owned();
    told_once_and_cleared(&mut daemon, &at, account, |event| is(event) && text_at(event, "/workspace") == workspace);
    let again = sim.resources("Microsoft.Authorization/roleAssignments");
    assert!(again.iter().any(|entry| same_id(id_of(entry), id_of(grant))), "under the same name as before");
    daemon.stop();
    assert!(!sim.accounts().iter().any(|account| sim.key_is_on(id_of(account))), "nothing else changed");
    let oracle = sim.oracle();
    for spell in oracle["events"].as_array().unwrap() {
        let cause = text_at(spell, "/cause");
        assert!(cause.starts_with("AuthorizationPermissionMismatch"), "{oracle:#}");
        assert!(same_id(text_at(spell, "/account"), account), "{oracle:#}");
    }
    assert_eq!(oracle["denied"]["keyUsers"], 0);
}

#[test]
fn an_undeclared_project_and_then_a_key_user_hold_the_key_open() {
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
    let (accounts, workspaces) = (sim.accounts(), sim.workspaces());
    let account = id_of(&accounts[0]);
    let late = format!("{}-undeclared", id_of(&workspaces[0]));
    let resource = json!({
        "kind": "Project", "location": "westeurope",
        "identity": {"type": "SystemAssigned", "principalId": "5a11c0de-0000-4000-8000-000000000002"},
        "properties": {"storageAccount": account, "systemDatastoresAuthMode": "AccessKey",
            "hubResourceId": id_of(&workspaces[0])},
    });
    // The key before who needs it, and both before the daemon sees either.
    daemon.signal("STOP");
    sim.drift("sharedKey", account, json!(true));
    sim.drift("workspaceAdded", &late, resource);
    daemon.signal("CONT");
    // The one who holds it, of which no document says anything, is found by listing and named.
    let named = format!("project {} (undeclared)", late.rsplit('/').next().unwrap());
    let names_it = |event: &Value| text_at(event, "/why").contains(&named);
    daemon.event("gate_unmet", |event| event["gate"] == "all_on_identity" && names_it(event));
    let writes = sim.requests().writes();
    daemon.full_cycles(accounts.len(), 3);
    assert_eq!(sim.requests().writes(), writes, "an undeclared workspace is not touched");
    assert!(sim.key_is_on(account));
    assert_eq!(sim.mode(&late), "accesskey");

    // Somebody signs with the key while it waits, for as long as an hour takes here. What is younger than the metrics'
    // lag can be seen by nobody, so it goes on once the traffic shows.
    sim.drift("keyUserStarted", account, json!({"name": "first", "stopsAfter": "1h"}));
    daemon.wait_until("the traffic shows in a plan", PATIENCE, |_| key_idle_waits(&sim, account).then_some(()));
    let free: Timestamp = sim.drift("authMode", &late, json!("Identity")).parse().unwrap();
    let waiting = daemon.event("gate_unmet", |event| {
        let ours = event["gate"] == "key_idle" && same_id(text_at(event, "/storage_account"), account);
        ours && time(event, "timestamp") > free && event["until"].is_string()
    });
    let opens = time(&waiting, "until");
    // And in the midst of the idle window somebody else does.
    let again: Timestamp =
        sim.drift("keyUserStarted", account, json!({"name": "second", "stopsAfter": "40m"})).parse().unwrap();
    assert!(again < opens, "the second user comes within the window");
    daemon.wait_until("the key is off in the end", PATIENCE, |_| (!sim.key_is_on(account)).then_some(()));
    let off = daemon
        .event("action_applied", |event| time(event, "timestamp") > again && event["kind"] == "SetSharedKeyAccess");
    // The second user's 40 minutes are 4 s here, and an hour without any are 6 s.
    let waited = Duration::try_from(time(&off, "timestamp").duration_since(again)).unwrap();
    assert!(waited >= Duration::from_secs(9), "the key went off {waited:?} after the second user came");
    daemon.stop();
    sim.assert_nobody_was_denied();
}

/// Whether a plan made now waits for the account's key to be idle.
fn key_idle_waits(sim: &Sim, account: &str) -> bool {
    let output = output_of(sim.command(&["plan", "--output", "json"]), 0);
    let plan: Value = serde_json::from_str(&stdout(&output)).expect("a plan is JSON");
    let accounts = plan["accounts"].as_array().expect("a list").iter();
    let steps = accounts.filter(|entry| same_id(id_of(entry), account)).flat_map(|entry| entry["steps"].as_array());
    let mut gates = steps.flatten().flat_map(|step| step["gates"].as_array()).flatten();
    gates.any(|gate| gate["gate"] == "key_idle" && gate["state"] == "waiting")
}
