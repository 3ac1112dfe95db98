//! Access that a deny assignment takes after the switch is told once, and so is its end; nothing is written because of it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{extension, id_of, output_of, same_id, stdout, taken_off_keys, text_at};

const WORKSPACES: usize = 6;

/// `interval` of the files, and two seconds.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn a_denial_after_the_switch_is_told_within_an_interval_and_so_is_its_end() {
    let (sim, mut daemon) = taken_off_keys(WORKSPACES);
    let accounts = sim.accounts();
    let grants = sim.resources("Microsoft.Authorization/roleAssignments");
    let own = |grant: &&Value| text_at(grant, "/properties/description").contains("keyless");
    let grant = grants.iter().find(own).expect("keyless made a grant and says so");
    let (account, principal) = (text_at(grant, "/properties/scope"), text_at(grant, "/properties/principalId"));
    let writes = sim.requests().writes();
    let deny = |principals: Value| {
        let properties = json!({
            "denyAssignmentName": "stack", "scope": account, "excludePrincipals": [], "principals": principals,
            "permissions": [{"actions": [], "notActions": [], "dataActions": ["*"], "notDataActions": []}],
        });
        extension(account, "denyAssignments", "8a3f1c00-0000-4000-8000-000000000011", properties)
    };
    let denied = deny(json!([{"id": principal, "type": text_at(grant, "/properties/principalType")}]));
    let at: Timestamp = sim.drift("resourcePut", id_of(&denied), denied.clone()).parse().unwrap();
    let is = |event: &Value| {
        text_at(event, "/drift").contains("a deny assignment stands against")
            && same_id(text_at(event, "/storage_account"), account)
    };
    let told = daemon.event("drift_detected", |event| is(event) && event["principal"] == principal);
    let when: Timestamp = text_at(&told, "/timestamp").parse().unwrap();
    assert!(Duration::try_from(when.duration_since(at)).unwrap() <= SOON, "{told:#}");
    assert_eq!(told["level"], "WARN", "{told:#}");
    assert!(text_at(&told, "/why").contains("`stack`") && text_at(&told, "/lift").contains("spares"), "{told:#}");
    let plan = stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0));
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let plan = plan["accounts"].as_array().unwrap().iter().find(|entry| same_id(id_of(entry), account)).unwrap();
    assert_eq!(plan["standing"], "blocked");
    let lost = |finding: &Value| finding["kind"] == "accessLost" && finding["principal"] == principal;
    assert!(plan["findings"].as_array().unwrap().iter().any(lost), "{plan:#}");

    daemon.full_cycles(accounts.len(), 3);
    assert!(daemon.get("/").ok().text.contains("a deny assignment stands against"), "and the status page");

    // A list that cannot be understood is no list without denials.
    let times = daemon.events("drift_detected").iter().filter(|event| is(event)).count();
    let odd = deny(json!([{"id": "nobody", "type": "User"}]));
    sim.drift("resourcePut", id_of(&odd), odd.clone());
    daemon.event("observe_incomplete", |event| {
        text_at(event, "/why").starts_with("deny assignments against")
            && same_id(text_at(event, "/storage_account"), account)
    });
    daemon.full_cycles(accounts.len(), 3);
    assert_eq!(daemon.events("drift_cleared").iter().filter(|event| is(event)).count(), 0);

    sim.drift("resourceRemoved", id_of(&denied), Value::Null);
    daemon.event("drift_cleared", |event| is(event) && event["drift"] == told["drift"]);
    daemon.until_converged(accounts.len(), SOON * 10);
    daemon.full_cycles(accounts.len(), 3);
    let count = |name: &str| daemon.events(name).iter().filter(|event| is(event)).count();
    assert_eq!((count("drift_detected"), count("drift_cleared")), (times, times), "each told once");
    assert_eq!(sim.requests().writes(), writes, "nothing is written because of it");
    daemon.stop();
}
