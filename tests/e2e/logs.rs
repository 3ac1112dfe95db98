//! Callers that the storage resource logs name: told with the gate and with refusals, and nothing opened or held by them.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Daemon, Sim, id_of, output_of, patience, same_id, stdout, text_at};

const WORKSPACES: usize = 2;

/// The account, and where its logs are.
struct Place {
    account: String,
    logs: String,
}

/// A fleet whose files name a Log Analytics workspace, to which these services of the first account send.
fn logged(sim: &Sim, services: &[&str], properties: Value) -> Place {
    let account = id_of(&sim.accounts()[0]).to_owned();
    let group = account.split("/providers/").next().expect("a group");
    let logs = format!("{group}/providers/Microsoft.OperationalInsights/workspaces/log-ops");
    let workspace = json!({"id": logs, "name": "log-ops", "type": "Microsoft.OperationalInsights/workspaces",
        "location": "westeurope", "properties": properties});
    sim.drift("resourcePut", &logs, workspace);
    for service in services {
        let id = format!("{account}/{service}Services/default/providers/Microsoft.Insights/diagnosticSettings/audit");
        let setting = json!({"id": id, "name": "audit", "type": "Microsoft.Insights/diagnosticSettings",
            "properties": {"workspaceId": logs, "logs": [{"categoryGroup": "allLogs", "enabled": true}]}});
        sim.drift("resourcePut", &id, setting);
    }
    let path = sim.desired().join("fleet.yaml");
    let text = fs::read_to_string(&path).expect("the fleet's file");
    let evidence = format!("{}\n  evidence: {{logAnalytics: {{workspace: {logs}}}}}\n", text.trim_end());
    fs::write(&path, evidence).expect("the file can be written");
    Place { account, logs }
}

/// What a plan made now says of the account.
fn planned(sim: &Sim, account: &str) -> Value {
    let output = output_of(sim.command(&["plan", "--output", "json"]), 0);
    let plan: Value = serde_json::from_str(&stdout(&output)).expect("a plan is JSON");
    let accounts = plan["accounts"].as_array().expect("a list");
    accounts.iter().find(|entry| same_id(id_of(entry), account)).expect("the account is planned for").clone()
}

fn findings<'a>(account: &'a Value, kind: &str) -> Vec<&'a Value> {
    account["findings"].as_array().expect("a list").iter().filter(|finding| finding["kind"] == kind).collect()
}

/// The gate on the key, held for this reason.
fn held(daemon: &mut Daemon, account: &str, words: &str) -> Value {
    daemon.event("gate_unmet", |event| {
        let ours = event["gate"] == "key_idle" && same_id(text_at(event, "/storage_account"), account);
        ours && text_at(event, "/why").contains(words)
    })
}

#[test]
fn a_hidden_key_user_of_file_shares_is_named_by_address_and_program() {
    let sim = Sim::fleet(WORKSPACES, 11);
    let Place { account, .. } = logged(&sim, &["file"], json!({}));
    let user = json!({"name": "mount", "service": "file", "address": "10.9.8.7", "userAgent": "nightly-mount/2"});
    sim.drift("keyUserStarted", &account, user);
    let mut daemon = Daemon::start(&sim);
    // Told once, with the busiest of whom they name by then; the plan has all.
    held(&mut daemon, &account, "; the resource logs name ");
    let plan = planned(&sim, &account);
    let callers = findings(&plan, "keyCaller");
    let named = callers.iter().find(|finding| finding["caller"]["address"] == "10.9.8.7").expect("the caller is named");
    assert_eq!(named["caller"]["userAgent"], "nightly-mount/2", "{plan:#}");
    assert_eq!(
        (&named["caller"]["madeFrom"], &named["caller"]["refused"]),
        (&json!("key1"), &json!(false)),
        "{plan:#}"
    );
    assert_eq!((&named["requests"]["service"], &named["requests"]["api"]), (&json!("file"), &json!("GetFile")));
    assert!(named["requests"]["count"].as_u64() > Some(0) && named["requests"]["last"].is_string(), "{plan:#}");
    assert!(sim.key_is_on(&account));
    sim.drift("keyUserStopped", &account, Value::Null);
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn whoever_still_uses_the_key_after_it_went_off_is_named() {
    let sim = Sim::fleet(WORKSPACES, 13);
    let Place { account, .. } = logged(&sim, &["file"], json!({}));
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    // The key goes on working for a moment after it went off.
    daemon.full_cycles(sim.accounts().len(), 2);
    let user =
        json!({"name": "late", "service": "file", "triesPerHour": 600, "address": "10.9.8.6", "userAgent": "late/1"});
    sim.drift("keyUserStarted", &account, user);
    let told = daemon.event("key_user_denied", |event| {
        same_id(text_at(event, "/storage_account"), &account) && event["callers"].is_string()
    });
    assert!(text_at(&told, "/callers").starts_with("10.9.8.6 (late/1): file GetFile "), "{told:#}");
    assert!(text_at(&told, "/why").contains("; the resource logs name 10.9.8.6"), "{told:#}");
    assert!(sim.is_off_keys(), "it never causes an undo");
    daemon.stop();
}

#[test]
fn a_sas_made_from_a_key_is_told_from_one_of_entra_and_neither_opens_the_gate() {
    let sim = Sim::fleet(WORKSPACES, 12);
    let Place { account, .. } = logged(&sim, &["blob"], json!({}));
    let user = |name: &str, signs: &str| json!({"name": name, "service": "blob", "signs": signs, "userAgent": name});
    sim.drift("keyUserStarted", &account, user("export/1", "keySas"));
    sim.drift("keyUserStarted", &account, user("portal/1", "delegationSas"));
    let mut daemon = Daemon::start(&sim);
    let why =
        held(&mut daemon, &account, "(portal/1): blob GetBlob with a SAS whose hash names no key, most likely a user ");
    assert!(text_at(&why, "/why").contains("(export/1): blob GetBlob with a SAS made from key1 "), "{why:#}");
    daemon.full_cycles(sim.accounts().len(), 3);
    assert!(sim.key_is_on(&account), "the logs open nothing");
    // What is left works without the key most likely, which is not enough to turn it off.
    sim.drift("keyUserStopped", &account, json!("export/1"));
    daemon.full_cycles(sim.accounts().len(), 3);
    assert!(sim.key_is_on(&account), "the logs open nothing");
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn logs_that_are_partial_out_of_reach_or_not_sent_are_told_and_hold_nothing_else() {
    let denied = |place: &Place| {
        let id = format!(
            "{}/providers/Microsoft.Authorization/denyAssignments/8a3f1c00-0000-4000-8000-000000000002",
            place.logs
        );
        json!({"id": id, "name": "8a3f1c00-0000-4000-8000-000000000002", "type": "Microsoft.Authorization/denyAssignments",
            "properties": {"denyAssignmentName": "logs", "scope": place.logs,
                "permissions": [{"actions": ["Microsoft.OperationalInsights/*"], "notActions": [], "dataActions": [],
                    "notDataActions": []}],
                "principals": [{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}],
                "excludePrincipals": []}})
    };
    for (services, properties, out_of_reach, kind, words) in [
        (vec!["file"], json!({"simulatedAnswer": "partial"}), false, "unseen", "the answer is partial: PartialError"),
        (vec!["file"], json!({}), true, "unseen", "by the storage resource logs could not be read, and nothing waits"),
        (vec!["blob"], json!({}), false, "unlogged", "a diagnostic setting may be missing"),
        (vec![], json!({}), false, "unlogged", "a diagnostic setting may be missing"),
    ] {
        let sim = Sim::fleet(WORKSPACES, 16);
        let place = logged(&sim, &services, properties);
        if out_of_reach {
            let deny = denied(&place);
            sim.drift("resourcePut", id_of(&deny), deny.clone());
        }
        let account = &place.account;
        sim.drift("keyUserStarted", account, json!({"name": "mount", "service": "file"}));
        let mut daemon = Daemon::start(&sim);
        held(&mut daemon, account, "file GetFile");
        let plan = planned(&sim, account);
        let told = findings(&plan, kind);
        assert!(told.iter().any(|finding| text_at(finding, "/message").contains(words)), "{words}: {plan:#}");
        assert!(sim.key_is_on(account));
        sim.drift("keyUserStopped", account, Value::Null);
        daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
        assert!(sim.is_off_keys(), "what the logs do not tell holds nothing");
        daemon.stop();
        sim.assert_nobody_was_denied();
    }
}
