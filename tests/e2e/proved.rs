//! Access counts once it is proved: by reads that agree, and by an age that outlives a death of the daemon.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Daemon, Sim, id_of, output_of, patience, stdout, text_at, wait_until};

/// How many times faster than life.
const SPEED: u32 = 100;

/// `rolePropagation` of the simulated fleet, in seconds.
const PROPAGATION: f64 = 15.0 * 60.0 / SPEED as f64;

/// One line of the record that matters here; times in seconds.
struct Entry {
    at: f64,
    answered: f64,
    method: String,
    path: String,
    status: u64,
    body: Value,
    answer: Value,
}

/// A time of day in seconds.
fn seconds(time: &str) -> f64 {
    let part = |from: usize, to: usize| time[from..to].parse::<f64>().unwrap();
    part(8, 10) * 86_400.0
        + part(11, 13) * 3600.0
        + part(14, 16) * 60.0
        + time[17..].trim_end_matches('Z').parse::<f64>().unwrap()
}

fn record(file: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(file).unwrap();
    let entry = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let url = text_at(&line, "/url");
        let path = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = path.find('/').map_or("", |at| &path[at..]).split('?').next().unwrap_or_default();
        Entry {
            at: seconds(text_at(&line, "/at")),
            answered: seconds(text_at(&line, "/answeredAt")),
            method: text_at(&line, "/method").to_owned(),
            path: path.to_lowercase(),
            status: line["status"].as_u64().unwrap_or_default(),
            body: line["requestBody"].clone(),
            answer: line["responseBody"].clone(),
        }
    };
    text.lines().map(entry).collect()
}

/// Half of the lists show what was there a quarter of an hour ago: a grant is shown off and on until it is that old.
#[test]
fn a_grant_that_lists_show_off_and_on_is_not_believed_before_they_agree() {
    let folder = tempfile::tempdir().unwrap();
    let (faults, file) = (folder.path().join("faults.json"), folder.path().join("requests.jsonl"));
    let rule = json!({"operation": "GET /…/roleAssignments", "fault": "staleList", "by": "14m30s", "probability": 0.5});
    std::fs::write(&faults, json!({"seed": 4, "rules": [rule]}).to_string()).unwrap();
    let speed = SPEED.to_string();
    let (faults, recorded) = (faults.to_str().unwrap(), file.to_str().unwrap());
    let arguments = ["--workspaces", "5", "--seed", "3", "--speed", &speed, "--faults", faults, "--record", recorded];
    let sim = Sim::start(&arguments);
    let plan: Value = serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap();

    let mut daemon = Daemon::start(&sim);
    let modes = || sim.workspaces().iter().all(|own| sim.mode(id_of(own)).eq_ignore_ascii_case("identity"));
    daemon.wait_until("every workspace is switched", patience(5), |_| modes().then_some(()));
    daemon.stop();
    sim.assert_nobody_was_denied();
    assert!(sim.stop().success());

    let record = record(&file);
    let mut judged = 0;
    for account in plan["accounts"].as_array().unwrap() {
        // Whose grants each switch rests on.
        let mut rests_on: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let steps = account["steps"].as_array().unwrap();
        for step in steps.iter().filter(|step| step["action"] == "GrantRole") {
            for workspace in step["workspaces"].as_array().unwrap() {
                let of = rests_on.entry(workspace.as_str().unwrap().to_lowercase()).or_default();
                of.push(text_at(step, "/principal"));
            }
        }
        let lists =
            format!("{}/providers/microsoft.authorization/roleassignments", text_at(account, "/id").to_lowercase());
        for (workspace, principals) in rests_on {
            let switch = record
                .iter()
                .find(|entry| entry.method == "PATCH" && entry.path == workspace && (200..300).contains(&entry.status));
            let Some(switch) = switch else { continue };
            let grants = record.iter().filter(|entry| {
                entry.method == "PUT"
                    && entry.path.starts_with(&lists)
                    && entry.status == 201
                    && principals.contains(&text_at(&entry.body, "/properties/principalId"))
            });
            for grant in grants {
                let name = grant.path.rsplit('/').next().unwrap();
                let missed = record.iter().filter(|entry| {
                    let shown = || {
                        let list = entry.answer["value"].as_array().map(Vec::as_slice).unwrap_or_default();
                        list.iter().any(|known| text_at(known, "/name").eq_ignore_ascii_case(name))
                    };
                    entry.method == "GET"
                        && entry.path == lists
                        && entry.status == 200
                        && entry.at > grant.answered
                        && entry.answered < switch.at
                        && entry.answer["nextLink"].is_null()
                        && !shown()
                });
                let Some(last) = missed.map(|entry| entry.at).reduce(f64::max) else { continue };
                let waited = switch.at - last;
                // The server tells the time in whole seconds.
                assert!(
                    waited > PROPAGATION / 2.0 - 1.0,
                    "{workspace} was switched {waited} s after a list missed {name}"
                );
                judged += 1;
            }
        }
    }
    assert!(judged > 0, "no list missed anything");
    println!("{judged} grants that lists had missed");
}

/// A world with one workspace, whose document names a member of a group that has had the roles for long.
fn through_a_group() -> Sim {
    let sim = Sim::start(&["--workspaces", "1", "--seed", "5", "--speed", "600"]);
    let (workspaces, groups) = (sim.workspaces(), sim.resources("Microsoft.Graph/groups"));
    let (workspace, group) = (&workspaces[0], &groups[0]);
    let account = text_at(workspace, "/properties/storageAccount");
    let subscription = account.split('/').take(3).collect::<Vec<_>>().join("/");
    for (name, role) in [
        ("0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234", "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
        ("0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901235", "b8eda974-7b85-4f76-af95-65846b26df6d"),
    ] {
        let long_ago = "2025-01-01T00:00:00Z";
        let id = format!("{account}/providers/Microsoft.Authorization/roleAssignments/{name}");
        let definition = format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}");
        let grant = json!({"id": id, "name": name, "type": "Microsoft.Authorization/roleAssignments", "properties": {
            "roleDefinitionId": definition, "principalId": id_of(group), "principalType": "Group", "scope": account,
            "createdOn": long_ago, "updatedOn": long_ago}});
        sim.drift("resourcePut", &id, grant);
    }
    for entry in std::fs::read_dir(sim.desired()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name != "fleet.yaml") {
            std::fs::remove_file(path).unwrap();
        }
    }
    // Far more than any test takes, so that it is told until when it waits, and never over.
    let fleet = sim.desired().join("fleet.yaml");
    let text = std::fs::read_to_string(&fleet).unwrap();
    let slow = text.replace("rolePropagation: 1500ms", "rolePropagation: 2h");
    assert_ne!(text, slow);
    std::fs::write(&fleet, slow).unwrap();
    let document = json!({"apiVersion": "keyless.dev/v1", "kind": "Workspace", "metadata": {"name": "w"}, "spec": {
        "resourceId": id_of(workspace), "authMode": "identity", "enforcement": "enforce", "serviceGrants": "accept",
        "access": [{"principal": {"user": {"objectId": group["members"][0]}}, "level": "readOnly"}]}});
    std::fs::write(sim.desired().join("w.json"), document.to_string()).unwrap();
    sim
}

/// Starts a daemon, kills it once it has said until when the switch waits and has left what it remembers, and returns that.
fn waits_until(sim: &Sim) -> String {
    let mut daemon = Daemon::start(sim);
    let told = daemon.event("gate_unmet", |event| event["gate"] == "needs_aged");
    let notes = sim.folder().join("state/notes.json");
    let left = || std::fs::read_to_string(&notes).is_ok_and(|text| text.contains("\"member\""));
    wait_until("it is left for the next one", patience(1), || left().then_some(()));
    daemon.kill();
    assert!(text_at(&told, "/why").contains("reads agree"), "{told:#}");
    text_at(&told, "/until").to_owned()
}

#[test]
fn the_age_of_a_membership_outlives_a_death_and_not_the_loss_of_the_state() {
    let sim = through_a_group();
    let first = waits_until(&sim);
    assert_eq!(waits_until(&sim), first);
    assert_eq!(waits_until(&sim), first);
    std::fs::remove_file(sim.folder().join("state/notes.json")).unwrap();
    let anew = waits_until(&sim);
    assert!(anew > first, "{anew} {first}");
    std::fs::write(sim.folder().join("state/notes.json"), "{\"version\":1,").unwrap();
    let damaged = waits_until(&sim);
    assert!(damaged > anew, "{damaged} {anew}");
    sim.assert_nobody_was_denied();
}
