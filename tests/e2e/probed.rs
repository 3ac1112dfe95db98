//! A fleet whose files ask for the data plane: it waits while the daemon's own identity is not let in, and goes on when it is.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Daemon, extension, id_of, patience, text_at, wait_until};
use crate::own_rights::{WORKSPACES, confined, converging, plan, put};

const LIST: &str = "/?comp=list";

#[test]
fn nothing_is_tightened_before_the_data_plane_lets_the_daemon_in_and_what_lifts_that_is_named() {
    let sim = confined(&converging(""));
    let path = sim.desired().join("fleet.yaml");
    let text = fs::read_to_string(&path).expect("the fleet's file");
    let asking = format!("{}\n  evidence: {{dataProbe: true}}\n", text.trim_end());
    fs::write(&path, &asking).expect("the file can be written");
    let before: Vec<String> = sim.workspaces().iter().map(|own| sim.mode(id_of(own))).collect();
    let mut daemon = Daemon::start(&sim);
    let told = daemon.event("gate_unmet", |event| event["gate"] == "data_probed");
    assert!(text_at(&told, "/why").contains("AuthorizationPermissionMismatch"), "{told:#}");
    for word in ["Storage Blob Data Reader", keyless_sim::MANAGED_OBJECT_ID, "dataProbe: false"] {
        assert!(text_at(&told, "/lift").contains(word), "{word}: {told:#}");
    }
    wait_until("nothing but the data plane holds any account", patience(WORKSPACES), || {
        let plan = plan(&sim);
        let steps = plan["accounts"].as_array().unwrap().iter().flat_map(|entry| entry["steps"].as_array().unwrap());
        let firsts: Vec<&Value> =
            steps.filter(|step| step["action"] == "SetAuthMode").map(|step| &step["gates"]).collect();
        let shut = |gates: &Value| {
            let gates = gates.as_array().unwrap().iter();
            let unmet: Vec<&Value> = gates.filter(|gate| gate["state"] != "open").map(|gate| &gate["gate"]).collect();
            unmet.first().is_some_and(|gate| **gate == "data_probed")
        };
        (!firsts.is_empty() && firsts.iter().all(|gates| shut(gates))).then_some(())
    });
    let now: Vec<String> = sim.workspaces().iter().map(|own| sim.mode(id_of(own))).collect();
    assert_eq!(before, now, "no workspace was switched");
    assert!(sim.accounts().iter().all(|account| account["properties"]["allowSharedKeyAccess"] != false));

    // The role of the deployment, in every subscription; and the files are touched, so that refusals are not remembered.
    let text = fs::read_to_string(crate::harness::repository().join("deploy/azure/probe.json")).unwrap();
    let role: Value = serde_json::from_str(&text).unwrap();
    let definition = extension(
        "",
        "roleDefinitions",
        "5b1c0de0-0000-4000-8000-00000000da7a",
        json!({"roleName": role["Name"], "type": "CustomRole", "assignableScopes": ["/"],
            "permissions": [{"actions": role["Actions"], "notActions": [], "dataActions": [], "notDataActions": []}]}),
    );
    put(&sim, &definition);
    for (n, account) in sim.accounts().iter().enumerate() {
        let name = format!("5b1c0de0-0000-4000-9000-{n:012}");
        let properties = json!({"scope": id_of(account), "roleDefinitionId": id_of(&definition),
            "principalType": "ServicePrincipal", "principalId": keyless_sim::MANAGED_OBJECT_ID, "createdOn": "2025-01-01T00:00:00Z"});
        put(&sim, &extension(id_of(account), "roleAssignments", &name, properties));
    }
    fs::write(&path, format!("{asking}# granted\n")).expect("the file can be written");
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    assert!(sim.requests().count("GET", LIST) > 0);
    daemon.stop();
    sim.assert_nobody_was_denied();
}
