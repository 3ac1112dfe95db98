//! Whoever uses a key that nobody declared: named while the gate holds, accepted by a word in the files, told when refused.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Daemon, PATIENCE, Sim, id_of, output_of, patience, same_id, stdout, text_at, wait_until};

const WORKSPACES: usize = 2;

fn first_account(sim: &Sim) -> String {
    id_of(&sim.accounts()[0]).to_owned()
}

/// What a plan made now says of the account.
fn planned(sim: &Sim, account: &str) -> Value {
    let output = output_of(sim.command(&["plan", "--output", "json"]), 0);
    let plan: Value = serde_json::from_str(&stdout(&output)).expect("a plan is JSON");
    let accounts = plan["accounts"].as_array().expect("a list");
    accounts.iter().find(|entry| same_id(id_of(entry), account)).expect("the account is planned for").clone()
}

fn finding<'a>(account: &'a Value, kind: &str) -> Option<&'a Value> {
    account["findings"].as_array().expect("a list").iter().find(|finding| finding["kind"] == kind)
}

#[test]
fn a_hidden_key_user_of_file_shares_holds_the_key_and_is_named_by_service_call_and_hour() {
    let sim = Sim::fleet(WORKSPACES, 11);
    let account = first_account(&sim);
    sim.drift("keyUserStarted", &account, json!({"name": "nightly mount", "service": "file"}));
    let mut daemon = Daemon::start(&sim);
    let held = daemon.event("gate_unmet", |event| {
        let ours = event["gate"] == "key_idle" && same_id(text_at(event, "/storage_account"), &account);
        ours && text_at(event, "/why").contains("file GetFile")
    });
    assert!(held["until"].is_string(), "it says when the gate would open: {held:#}");
    assert!(text_at(&held, "/why").contains("hour"), "{held:#}");
    let plan = planned(&sim, &account);
    let uses = plan["findings"].as_array().unwrap().iter().filter(|finding| finding["kind"] == "keyUse");
    let named = uses.map(|finding| &finding["requests"]).find(|requests| requests["service"] == "file").expect("named");
    assert_eq!((&named["api"], &named["authentication"]), (&json!("GetFile"), &json!("AccountKey")), "{plan:#}");
    assert!(named["count"].as_u64() > Some(0) && named["hours"].as_u64() > Some(0), "{plan:#}");
    let hours = named["inHours"].as_array().expect("the hours");
    assert_eq!(Some(hours.len() as u64), named["hours"].as_u64(), "{plan:#}");
    assert!(hours.iter().all(|hour| hour.as_str().is_some_and(|hour| hour.ends_with(":00:00Z"))), "{plan:#}");
    assert!(sim.key_is_on(&account));
    sim.drift("keyUserStopped", &account, Value::Null);
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    daemon.stop();
    sim.assert_nobody_was_denied();
}

/// Writes the acceptance into the Fleet document, in place of any before.
fn accept_sas(sim: &Sim, group: &str, service: &str) {
    let path = sim.desired().join("fleet.yaml");
    let text = fs::read_to_string(&path).expect("the fleet's file");
    let before = text.split("  acceptSas:").next().expect("a first part").trim_end();
    let accepted = format!(
        "{before}\n  acceptSas:\n    - accounts: [{group}]\n      services: [{service}]\n      reason: exports\n      \
         owner: ada\n      until: 2099-01-01T00:00:00Z\n"
    );
    fs::write(&path, accepted).expect("the file can be written");
}

#[test]
fn a_sas_holds_the_key_until_the_fleet_accepts_it_for_its_service() {
    let sim = Sim::fleet(WORKSPACES, 12);
    let account = first_account(&sim);
    let group = account.split("/providers/").next().expect("a group").to_owned();
    sim.drift("keyUserStarted", &account, json!({"name": "export", "service": "blob", "signs": "delegationSas"}));
    let mut daemon = Daemon::start(&sim);
    let held = |event: &Value, words: &str| {
        let ours = event["gate"] == "key_idle" && same_id(text_at(event, "/storage_account"), &account);
        ours && text_at(event, "/why").contains(words)
    };
    daemon.event("gate_unmet", |event| held(event, "does not tell what signed them"));
    accept_sas(&sim, &group, "file");
    daemon.event("gate_unmet", |event| held(event, "also to blob, for which no SAS is accepted"));
    assert!(sim.key_is_on(&account));
    // While nothing is at work that could turn the key off meanwhile.
    daemon.stop();
    accept_sas(&sim, &group, "blob");
    let plan = planned(&sim, &account);
    let accepted = finding(&plan, "accepted").unwrap_or_else(|| panic!("what is accepted is told: {plan:#}"));
    assert_eq!(accepted["accepted"]["owner"], "ada", "{plan:#}");
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn a_key_user_who_starts_after_the_switch_is_told_once_and_the_key_stays_off() {
    let sim = Sim::fleet(WORKSPACES, 13);
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    let account = first_account(&sim);
    // The key goes on working for a moment after it went off.
    daemon.full_cycles(sim.accounts().len(), 2);
    sim.drift("keyUserStarted", &account, json!({"name": "late script", "service": "file", "triesPerHour": 600}));
    let ours = |event: &Value| same_id(text_at(event, "/storage_account"), &account);
    let told = daemon.event("key_user_denied", |event| ours(event));
    assert_eq!(
        (&told["level"], &told["service"], &told["authentication"]),
        (&json!("WARN"), &json!("file"), &json!("AccountKey")),
        "{told:#}"
    );
    assert!(told["requests"].as_u64() > Some(0) && told["hour"].is_string(), "{told:#}");
    assert!(text_at(&told, "/why").contains("(key off)"), "{told:#}");
    daemon.full_cycles(sim.accounts().len(), 5);
    let events = daemon.events("key_user_denied");
    let hours: BTreeSet<&str> = events.iter().map(|event| text_at(event, "/hour")).collect();
    assert_eq!(events.len(), hours.len(), "once for each hour: {events:#?}");
    assert!(sim.is_off_keys(), "it never causes an undo");
    daemon.stop();
    assert_eq!(sim.oracle()["denied"], json!({"entitled": 0, "keyUsers": 0}), "whose access never worked lost none");
}

#[test]
fn failed_key_requests_of_a_stranger_are_told_and_hold_nothing() {
    let sim = Sim::fleet(WORKSPACES, 14);
    let account = first_account(&sim);
    sim.drift("keyUserStarted", &account, json!({"name": "scanner", "signs": "wrongKey", "triesPerHour": 600}));
    let told = wait_until("a plan tells of the refusals", PATIENCE, || {
        finding(&planned(&sim, &account), "keyRefused").cloned() //
    });
    assert!(text_at(&told, "/message").contains("may be anybody's"), "{told:#}");
    assert!(told["requests"]["count"].as_u64() > Some(0), "{told:#}");
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES) + Duration::from_secs(30));
    assert!(sim.is_off_keys());
    // Whoever goes on after the key is off cannot be told from somebody who had the right one.
    daemon.event("key_user_denied", |event| same_id(text_at(event, "/storage_account"), &account));
    let denied = daemon.events("key_user_denied");
    assert!(denied.iter().all(|event| event["authentication"] == "AccountKey"), "{denied:#?}");
    daemon.stop();
    sim.assert_nobody_was_denied();
}
