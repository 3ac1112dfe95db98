//! What is known not to work holds the switch of its own workspace, is told, and can be accepted until a date.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Daemon, Sim, id_of, output_of, patience, same_id, stdout, text_at, wait_until};

const WORKSPACES: usize = 6;

/// Puts `acceptIncompatible` into the document of a workspace, in the place of what was there.
fn accept(sim: &Sim, workspace: &str, until: &str) {
    for entry in std::fs::read_dir(sim.desired()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: Vec<String> = Vec::new();
        for line in text.lines().filter(|line| !line.contains("acceptIncompatible")) {
            lines.push(line.to_owned());
            if line.trim() == format!("resourceId: {workspace}") {
                lines.push(format!(
                    "  acceptIncompatible: [{{id: computeInstanceSystemIdentity, reason: nobody uses it, owner: ops, until: {until}}}]"
                ));
            }
        }
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
}

#[test]
fn an_instance_that_would_not_work_holds_its_workspace_until_somebody_accepts_it() {
    let sim = Sim::fleet(WORKSPACES, 5);
    let accounts = sim.accounts();
    let own = sim.workspaces().into_iter().find(|entry| sim.mode(id_of(entry)) != "identity").unwrap();
    let workspace = id_of(&own).to_owned();
    let compute = format!("{workspace}/computes/dev");
    sim.drift(
        "resourcePut",
        &compute,
        json!({"id": compute, "name": "dev", "type": "Microsoft.MachineLearningServices/workspaces/computes",
            "identity": {"type": "SystemAssigned", "principalId": "5a11c0de-0000-4000-8000-0000000000aa"},
            "properties": {"computeType": "ComputeInstance", "provisioningState": "Succeeded",
                "properties": {"state": "Stopped"}}}),
    );
    let mut daemon = Daemon::start(&sim);
    let here = |event: &Value| same_id(text_at(event, "/workspace"), &workspace);
    let told = daemon.event("incompatibility_found", here);
    assert!(text_at(&told, "/why").contains("computeInstanceSystemIdentity"), "{told:#}");
    assert!(text_at(&told, "/lift").contains("how-to-disable-local-auth-storage"), "{told:#}");
    let held = |event: &Value| here(event) && text_at(event, "/gate") == "compatible";
    let shut = daemon.event("gate_unmet", held);
    assert!(text_at(&shut, "/lift").contains("acceptIncompatible"), "{shut:#}");

    // What was accepted until yesterday is accepted no more, and whose word it was is told.
    accept(&sim, &workspace, "2026-01-01T00:00:00Z");
    daemon.event("gate_unmet", |event| {
        held(event) && text_at(event, "/why").contains("what ops accepted ended at 2026-01-01T00:00:00Z")
    });
    assert_ne!(sim.mode(&workspace), "identity");

    accept(&sim, &workspace, "2100-01-01T00:00:00Z");
    wait_until("it is switched", patience(WORKSPACES), || (sim.mode(&workspace) == "identity").then_some(()));
    daemon.until_converged(accounts.len(), patience(WORKSPACES));
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn what_azure_does_not_show_is_advised_for_the_kinds_that_are_switched() {
    let sim = Sim::fleet(WORKSPACES, 5);
    let output = stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0));
    let plan: Value = serde_json::from_str(&output).unwrap();
    let advised: BTreeSet<(&str, &str)> = plan["advice"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text_at(row, "/workspaceKind"), text_at(row, "/id")))
        .collect();
    for id in ["gitClone", "modelPackage", "automatedMl", "otherDatastores"] {
        assert!(advised.contains(&("workspace", id)), "{id}: {advised:?}");
    }
    for row in plan["advice"].as_array().unwrap() {
        assert!(text_at(row, "/source").starts_with("https://") && !text_at(row, "/what").is_empty(), "{row:#}");
    }
    let text = stdout(&output_of(sim.command(&["plan"]), 0));
    assert!(text.contains("known not to work in a workspace on identity, if it is used: "), "{text}");
}
