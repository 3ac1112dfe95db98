//! A fleet that nobody has written down yet: adopted as it is, and then changed in one word.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Requests, Sim, id_of, number, output_of, same_id, stderr, stdout, text_at};

/// The subscriptions in which the fleet lies.
fn subscriptions(sim: &Sim) -> Vec<String> {
    let mut found: Vec<String> =
        sim.workspaces().iter().filter_map(|entry| id_of(entry).split('/').nth(2).map(str::to_owned)).collect();
    found.sort();
    found.dedup();
    found
}

fn adopt(sim: &Sim, out: &Path, more: &[&str], code: i32) -> std::process::Output {
    let mut command = sim.command(&["adopt", "--owner", "us", "--output", "json", "--log-level", "warn"]);
    command.arg("--out").arg(out).args(more);
    if !more.contains(&"--resource-group") {
        for subscription in subscriptions(sim) {
            command.args(["--subscription", &subscription]);
        }
    }
    output_of(command, code)
}

fn plan(sim: &Sim, desired: &Path, code: i32) -> Value {
    let mut command = sim.command(&["plan", "--output", "json", "--detailed-exitcode"]);
    command.arg("--desired-state").arg(desired);
    serde_json::from_str(&stdout(&output_of(command, code))).unwrap()
}

/// Every file below a folder with its text.
fn files(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_owned();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

fn difference(before: &Requests, after: &Requests, ending: &str) -> u64 {
    after.count("GET", ending) - before.count("GET", ending)
}

fn put(sim: &Sim, scope: &str, kind: &str, name: &str, properties: &Value) {
    let id = format!("{scope}/providers/Microsoft.Authorization/{kind}/{name}");
    let kind = format!("Microsoft.Authorization/{kind}");
    sim.drift("resourcePut", &id, json!({"id": id, "name": name, "type": kind, "properties": properties}));
}

/// Denies a user all data of an account, by a deny assignment called `no-data`.
fn deny(sim: &Sim, account: &str, user: &str, name: &str) {
    let block = json!({"actions": [], "notActions": [], "dataActions": ["*"], "notDataActions": []});
    let denial = json!({"denyAssignmentName": "no-data", "scope": account, "permissions": [block],
        "principals": [{"id": user, "type": "User"}], "excludePrincipals": []});
    put(sim, account, "denyAssignments", name, &denial);
}

/// What may stand on an account besides plain grants: somebody who works through a group, a grant under a condition, a
/// denial, a role of one's own, a role that could be activated. Returns what the files must say, and what not.
fn dress(sim: &Sim) -> Vec<(String, Vec<String>)> {
    const CONTRIBUTOR: &str = "/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c";
    const WRITES: &str = "/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe";
    let mut told = Vec::new();
    for (n, account) in sim.accounts().iter().take(20).enumerate() {
        let account = id_of(account);
        let person = |kind: u8| format!("ad0b7000-000{kind}-4000-8000-{n:012}");
        let grant = |principal: &str, kind: &str, role: &str, condition: Value| {
            let value = json!({"principalId": principal, "principalType": kind, "roleDefinitionId": role,
                "condition": condition, "conditionVersion": condition.as_str().map(|_| "2.0")});
            sim.drift("grantAdded", account, value);
        };
        let (worker, group, other) = (person(1), person(2), person(3));
        grant(&worker, "User", CONTRIBUTOR, Value::Null);
        let loses = format!("alone: user {worker} (Contributor)");
        match n % 4 {
            0 => {
                let members = json!({"id": group, "type": "Microsoft.Graph/groups", "displayName": format!("g-{n}"),
                    "members": [worker]});
                sim.drift("resourcePut", &group, members);
                grant(&group, "Group", WRITES, Value::Null);
                told.push((group, vec![worker]));
            }
            1 => {
                let condition =
                    "(@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'c')";
                grant(&other, "User", WRITES, json!(condition));
                let left_out = format!("{other}: Storage Blob Data Contributor at {account}, under a condition");
                told.push((left_out, vec![format!("objectId: {other}")]));
            }
            2 => {
                grant(&worker, "User", WRITES, Value::Null);
                deny(sim, account, &worker, &person(4));
                told.push((format!("{loses}, denied by the deny assignment no-data"), Vec::new()));
            }
            _ => {
                let subscription = account.split('/').take(3).collect::<Vec<_>>().join("/");
                let reads = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
                let block = json!({"actions": [], "notActions": [], "dataActions": [reads], "notDataActions": []});
                let role = json!({"roleName": format!("Reads {n}"), "type": "CustomRole", "permissions": [block],
                    "assignableScopes": [subscription]});
                put(sim, &subscription, "roleDefinitions", &person(5), &role);
                let own = format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}", person(5));
                grant(&other, "User", &own, Value::Null);
                let eligible = json!({"scope": account, "principalId": worker, "roleDefinitionId": WRITES,
                    "memberType": "Direct", "status": "Provisioned"});
                put(sim, account, "roleEligibilityScheduleInstances", &person(6), &eligible);
                let could = format!("{loses}, who could activate Storage Blob Data Contributor");
                told.push((could, Vec::new()));
            }
        }
    }
    // One who works where a key is out of use already.
    let workspaces = sim.resources("Microsoft.MachineLearningServices/workspaces");
    let on_identity = |entry: &&Value| {
        text_at(entry, "/properties/systemDatastoresAuthMode").eq_ignore_ascii_case("identity")
            && entry["properties"]["storageAccount"].is_string()
    };
    let switched = workspaces.iter().find(on_identity).expect("a workspace on identity");
    let (account, worker) = (text_at(switched, "/properties/storageAccount"), "ad0b7000-0007-4000-8000-000000000000");
    let value = json!({"principalId": worker, "principalType": "User", "roleDefinitionId": WRITES});
    sim.drift("grantAdded", account, value);
    deny(sim, account, worker, "ad0b7000-0008-4000-8000-000000000000");
    told.push((format!("objectId: {worker}"), Vec::new()));
    told
}

#[test]
fn a_large_fleet_is_adopted_as_it_is_and_a_plan_of_it_changes_nothing() {
    let workspaces = number("KEYLESS_E2E_ADOPT", 300);
    let sim = Sim::fleet(workspaces, 11);
    let dressed = dress(&sim);
    let (one, two) = (sim.folder().join("one"), sim.folder().join("two"));
    let before = sim.requests();
    let adopted = adopt(&sim, &one, &[], 0);
    let after = sim.requests();
    assert_eq!(after.writes(), 0);
    sim.assert_no_secret_was_asked_for();

    let summary: Value = serde_json::from_str(&stdout(&adopted)).unwrap();
    assert_eq!(summary["workspaces"].as_array().unwrap().len(), workspaces);
    assert_eq!(summary["unknown"], json!([]));
    let written = files(&one);
    assert_eq!(written.len(), summary["files"].as_array().unwrap().len());
    let profiles = summary["profiles"].as_u64().unwrap();
    assert!(profiles * 5 <= workspaces as u64, "{profiles} profiles for {workspaces} workspaces are not few");

    let text: String = written.values().map(String::as_str).collect();
    for (says, never) in dressed {
        assert!(text.contains(&says), "{says}");
        assert!(never.iter().all(|word| !text.contains(word)), "{never:?}");
    }

    // Five requests for each workspace, five for each account, two for whoever works without a data role, and what the
    // whole fleet shares.
    let asked = after.total() - before.total();
    let accounts = sim.accounts().len();
    assert_eq!(difference(&before, &after, "/workspaces/{}"), workspaces as u64);
    assert_eq!(difference(&before, &after, "/workspaces/{}/datastores"), workspaces as u64);
    let without_role = difference(&before, &after, "/roleeligibilityscheduleinstances");
    assert!(without_role >= 15, "{without_role}");
    let each = 5 * (workspaces + accounts) as u64 + 2 * without_role;
    let shared = (sim.resources("Microsoft.ManagedIdentity/userAssignedIdentities").len() + 40) as u64;
    println!("{asked} requests, {profiles} profiles");
    assert!(asked <= each + shared, "{asked} requests for {workspaces} workspaces on {accounts} accounts");

    let valid = output_of(crate::harness::keyless(&["validate", one.to_str().unwrap()]), 0);
    let said = format!("{}{}", stdout(&valid), stderr(&valid));
    assert!(said.contains("valid: ") && !said.contains("warning"), "{said}");
    // Whom a denial bars is in the files all the same, and where the key is out of use the plan says what denies them.
    let unchanged = plan(&sim, &one, 3);
    for entry in unchanged["accounts"].as_array().unwrap().iter().filter(|entry| entry["standing"] != "converged") {
        let findings = entry["findings"].as_array().unwrap();
        let denied =
            |finding: &&Value| finding["kind"] == "accessLost" && text_at(finding, "/message").contains("no-data");
        assert!(findings.iter().any(|finding| denied(&finding)), "{entry:#}");
        let lines = summary["workspaces"].as_array().unwrap();
        let mut on = lines.iter().filter(|line| same_id(text_at(line, "/storageAccount"), id_of(entry)));
        assert!(on.all(|line| line["deniedToday"][0]["by"][0]["name"] == "no-data"), "{entry:#}");
    }
    let steps: Vec<&Value> =
        unchanged["accounts"].as_array().unwrap().iter().flat_map(|a| a["steps"].as_array()).flatten().collect();
    assert!(steps.is_empty(), "{steps:#?}");

    adopt(&sim, &two, &[], 0);
    assert_eq!(written, files(&two));

    // One word in one file of them, of a workspace that stands alone on its account.
    let line = on_keys_and_alone(&summary);
    to_identity(&one, &line);
    let asked = plan(&sim, &one, 3);
    let account = text_at(&line, "/storageAccount");
    let (_, name) = text_at(&line, "/resourceId").rsplit_once('/').unwrap();
    let mut planned = 0;
    for entry in asked["accounts"].as_array().unwrap() {
        let steps = entry["steps"].as_array().unwrap();
        if !same_id(id_of(entry), account) {
            assert_eq!(steps.len(), 0, "{entry:#}");
            continue;
        }
        planned += 1;
        // Whoever works there holds what the file says, which was written from that: nobody is granted anything.
        let [switch, key] = steps.as_slice() else { panic!("{steps:#?}") };
        assert_eq!((&switch["action"], &key["action"]), (&json!("SetAuthMode"), &json!("SetSharedKeyAccess")));
        assert_eq!(text_at(switch, "/message"), format!("SetAuthMode identity on {name}"));
        assert!(text_at(key, "/message").starts_with("SetSharedKeyAccess disabled on "), "{key:#}");
        let waits = |gate: &Value| gate["gate"] == "all_on_identity" && gate["state"] != "open";
        assert!(key["gates"].as_array().unwrap().iter().any(waits), "the key waits for the switch: {key:#}");
    }
    assert_eq!(planned, 1);
}

/// The line of the summary about a workspace on keys that has its account for itself.
fn on_keys_and_alone(summary: &Value) -> Value {
    let lines = summary["workspaces"].as_array().unwrap();
    let alone = |line: &&Value| {
        let on = lines.iter().filter(|other| other["storageAccount"] == line["storageAccount"]).count();
        on == 1 && line["mode"] == "accesskey"
    };
    lines.iter().find(alone).expect("one stands alone on its account").clone()
}

/// Changes the one word in the file of a workspace.
fn to_identity(folder: &Path, line: &Value) {
    let file = folder.join(text_at(line, "/file"));
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("authMode: accesskey").count(), 1, "{text}");
    std::fs::write(&file, text.replace("authMode: accesskey", "authMode: identity")).unwrap();
}

#[test]
fn one_word_in_an_adopted_file_gives_the_plan_that_a_reader_expects() {
    let sim = Sim::fleet(8, 5);
    let out = sim.folder().join("adopted");
    let adopted = adopt(&sim, &out, &[], 0);
    let summary: Value = serde_json::from_str(&stdout(&adopted)).unwrap();
    to_identity(&out, &on_keys_and_alone(&summary));
    let plan = plan(&sim, &out, 3);
    let mut told = String::new();
    for account in plan["accounts"].as_array().unwrap() {
        for step in account["steps"].as_array().unwrap() {
            // What is at work at the moment is a matter of the clock.
            let gates = step["gates"].as_array().unwrap().iter().filter(|gate| gate["gate"] != "drained");
            let shut = gates.filter(|gate| gate["state"] != "open");
            let shut: Vec<&str> = shut.map(|gate| text_at(gate, "/gate")).collect();
            told.push_str(&format!("{}, shut: {}\n", text_at(step, "/message"), shut.join(" ")));
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn files_that_are_there_are_not_written_over_unless_asked() {
    let sim = Sim::fleet(3, 3);
    let out = sim.folder().join("adopted");
    adopt(&sim, &out, &[], 0);
    std::fs::write(out.join("fleet.yaml"), "mine").unwrap();
    let refused = adopt(&sim, &out, &[], 1);
    assert!(stderr(&refused).contains("--force"), "{}", stderr(&refused));
    assert_eq!(std::fs::read_to_string(out.join("fleet.yaml")).unwrap(), "mine");
    adopt(&sim, &out, &["--force"], 0);
    assert!(std::fs::read_to_string(out.join("fleet.yaml")).unwrap().contains("kind: Fleet"));
}

#[test]
fn what_is_refused_is_said_and_the_command_does_not_end_well() {
    let rule = json!({"operation": "GET /providers/Microsoft.Authorization/roleAssignments", "fault": "refuse", "status": 403, "code": "AuthorizationFailed"});
    let folder = tempfile::tempdir().unwrap();
    let faults = folder.path().join("faults.json");
    std::fs::write(&faults, json!({"rules": [rule]}).to_string()).unwrap();
    let sim = Sim::start(&["--workspaces", "3", "--seed", "3", "--speed", "600", "--faults", faults.to_str().unwrap()]);
    let out = sim.folder().join("adopted");
    let adopted = adopt(&sim, &out, &[], 3);
    assert!(stderr(&adopted).contains("unknown: "), "{}", stderr(&adopted));
    let summary: Value = serde_json::from_str(&stdout(&adopted)).unwrap();
    assert!(!summary["unknown"].as_array().unwrap().is_empty());
    assert!(files(&out).values().any(|text| text.contains("# UNKNOWN: who has access")));
}

#[test]
fn only_one_resource_group_is_adopted_and_its_neighbours_are_named() {
    let sim = Sim::fleet(12, 9);
    let out = sim.folder().join("adopted");
    let workspaces = sim.workspaces();
    let group = id_of(&workspaces[0]).split('/').take(5).collect::<Vec<_>>().join("/");
    let adopted = adopt(&sim, &out, &["--resource-group", &group], 0);
    let summary: Value = serde_json::from_str(&stdout(&adopted)).unwrap();
    let inside = |entry: &&Value| id_of(entry).to_lowercase().starts_with(&format!("{}/", group.to_lowercase()));
    let expected = workspaces.iter().filter(inside).count();
    assert!(expected < workspaces.len());
    assert_eq!(summary["workspaces"].as_array().unwrap().len(), expected);
    assert_eq!(
        plan(&sim, &out, 0)["accounts"].as_array().unwrap().iter().filter(|a| a["steps"] != json!([])).count(),
        0
    );
}
