//! What the daemon's own identity may not do is named before anything is written, and what it may not see is learned from
//! the refusal.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{
    Daemon, Sim, extension, id_of, output_of, patience, repository, same_id, stdout, text_at, wait_until,
};

pub(crate) const WORKSPACES: usize = 6;

/// The identity that the daemon signs in as in these tests.
const DAEMON: &str = keyless_sim::MANAGED_OBJECT_ID;

pub(crate) fn plan(sim: &Sim) -> Value {
    serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap()
}

/// The accounts of a plan for which anything is to be done.
fn with_steps(plan: &Value) -> Vec<&Value> {
    plan["accounts"].as_array().unwrap().iter().filter(|entry| entry["steps"] != json!([])).collect()
}

pub(crate) fn put(sim: &Sim, resource: &Value) {
    sim.drift("resourcePut", id_of(resource), resource.clone());
}

fn subscription_of(id: &str) -> String {
    id.split('/').take(3).collect::<Vec<_>>().join("/")
}

/// A cloud of these resources with the files of a fleet.
fn copy(fleet: &Sim, world: &[Value]) -> Sim {
    let sim = Sim::of_world(world, &["--speed", "600"]);
    for entry in std::fs::read_dir(fleet.desired()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), sim.desired().join(entry.file_name())).unwrap();
    }
    sim
}

/// A copy of the fleet in which the daemon's identity holds one custom role in every subscription.
pub(crate) fn confined(role: &Value) -> Sim {
    let fleet = Sim::fleet(WORKSPACES, 5);
    let mut world = fleet.world();
    let all: Vec<Value> = fleet.accounts().into_iter().chain(fleet.workspaces()).collect();
    let subscriptions: BTreeSet<String> = all.iter().map(|resource| subscription_of(id_of(resource))).collect();
    world.push(role.clone());
    for (n, scope) in subscriptions.iter().enumerate() {
        let name = format!("5b1c0de0-0000-4000-8000-{n:012}");
        let properties = json!({"scope": scope, "roleDefinitionId": id_of(role), "principalType": "ServicePrincipal",
            "principalId": DAEMON, "createdOn": "2025-01-01T00:00:00Z"});
        world.push(extension(scope, "roleAssignments", &name, properties));
    }
    copy(&fleet, &world)
}

/// The role of the deployment, without one right.
pub(crate) fn converging(without: &str) -> Value {
    let text = std::fs::read_to_string(repository().join("deploy/azure/converge.json")).unwrap();
    let role: Value = serde_json::from_str(&text).unwrap();
    let actions: Vec<&Value> = role["Actions"].as_array().unwrap().iter().filter(|action| *action != without).collect();
    extension(
        "",
        "roleDefinitions",
        "5b1c0de0-0000-4000-8000-00000000c0de",
        json!({
            "roleName": "converge", "type": "CustomRole", "assignableScopes": ["/"],
            "permissions": [{"actions": actions, "notActions": [], "dataActions": [], "notDataActions": []}],
        }),
    )
}

#[test]
fn a_right_that_the_daemon_lacks_is_named_with_who_gives_it() {
    const RIGHT: &str = "Microsoft.Storage/storageAccounts/write";
    let sim = confined(&converging(RIGHT));
    let planned = plan(&sim);
    for entry in with_steps(&planned) {
        let all = entry["steps"].as_array().unwrap().iter();
        let step = all.into_iter().find(|step| step["action"] == "SetSharedKeyAccess").expect("the key is to go off");
        let gates = step["gates"].as_array().unwrap();
        let shut = gates.iter().find(|check| check["gate"] == "permitted").expect("it is looked at");
        assert_eq!(shut["state"], "unmet", "{shut:#}");
        let said = format!("{} {}", text_at(shut, "/why"), text_at(shut, "/lift"));
        assert!(said.contains(RIGHT) && said.contains("converge role"), "{said}");
    }
    assert_eq!(sim.requests().writes(), 0, "it is named before anything is written");

    let mut daemon = Daemon::start(&sim);
    let left = wait_until("only the barred steps are left", patience(WORKSPACES), || {
        let plan = plan(&sim);
        let left: Vec<Value> =
            with_steps(&plan).into_iter().flat_map(|entry| entry["steps"].as_array().unwrap().clone()).collect();
        left.iter().all(|step| step["action"] == "SetSharedKeyAccess").then_some(left)
    });
    assert_eq!(left.len(), sim.accounts().len());
    let told = daemon.event("gate_unmet", |event| event["gate"] == "permitted");
    assert!(!text_at(&told, "/lift").is_empty(), "{told:#}");
    assert_eq!(sim.requests().refused(), Vec::<Value>::new(), "no write was tried that Azure would refuse");
    sim.assert_nobody_was_denied();

    put(&sim, &converging(""));
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    daemon.stop();
    sim.assert_nobody_was_denied();
}

/// A policy that refuses to turn the key off, assigned at the account.
fn refuses_off(account: &str) -> [Value; 2] {
    let flag = "Microsoft.Storage/storageAccounts/allowSharedKeyAccess";
    let rule = json!({"if": {"allOf": [{"field": "type", "equals": "Microsoft.Storage/storageAccounts"},
        {"field": flag, "equals": false}]}, "then": {"effect": "deny"}});
    let properties = json!({"displayName": "keep the key", "policyRule": rule});
    let definition = extension(&subscription_of(account), "policyDefinitions", "keep-the-key", properties);
    let assigned = json!({"policyDefinitionId": id_of(&definition)});
    [extension(account, "policyAssignments", "keep-the-key", assigned), definition]
}

/// Without the rights to read what may bar a write, it is said that they are missing, and the refusal tells.
#[test]
fn what_a_daemon_may_not_see_is_said_and_learned_from_the_refusal() {
    let mut role = converging("");
    let actions = role["properties"]["permissions"][0]["actions"].as_array_mut().unwrap();
    actions.retain(|action| {
        !action.as_str().unwrap().contains("/policy") && !action.as_str().unwrap().contains("/permissions")
    });
    let sim = confined(&role);
    let accounts = sim.accounts();
    let account = id_of(&accounts[0]).to_owned();
    let policy = refuses_off(&account);
    policy.iter().for_each(|resource| put(&sim, resource));
    let planned = plan(&sim);
    let all = planned["accounts"].as_array().unwrap();
    let entry = all.iter().find(|entry| same_id(id_of(entry), &account)).unwrap();
    let findings = entry["findings"].as_array().unwrap();
    let unseen: Vec<&Value> = findings.iter().filter(|finding| finding["kind"] == "unseen").collect();
    assert!(unseen.iter().any(|finding| text_at(finding, "/lift").contains("policyAssignments/read")), "{findings:#?}");
    assert!(unseen.iter().any(|finding| text_at(finding, "/lift").contains("permissions/read")), "{findings:#?}");
    assert_eq!(sim.requests().writes(), 0);

    let mut daemon = Daemon::start(&sim);
    let failed = daemon.event("action_failed", |event| event["result"] == "refused");
    assert!(same_id(text_at(&failed, "/storage_account"), &account), "{failed:#}");
    assert_eq!((&failed["kind"], &failed["code"]), (&json!("SetSharedKeyAccess"), &json!("RequestDisallowedByPolicy")));
    assert!(text_at(&failed, "/lift").contains("policyAssignments/keep-the-key"), "{failed:#}");
    // All else goes on, and what was refused is not tried again and again.
    daemon.until_converged(accounts.len() - 1, patience(WORKSPACES));
    daemon.full_cycles(accounts.len(), 3);
    assert_eq!(daemon.events("action_failed").len(), 1);
    assert!(sim.key_is_on(&account));
    sim.assert_nobody_was_denied();

    policy.iter().for_each(|resource| drop(sim.drift("resourceRemoved", id_of(resource), Value::Null)));
    // A new revision of the files is a reason to try at once.
    let fleet = sim.desired().join("fleet.yaml");
    let text = std::fs::read_to_string(&fleet).unwrap();
    assert!(text.contains("simulated-fleet"), "{text}");
    std::fs::write(&fleet, text.replace("simulated-fleet", "simulated-fleet-without-the-policy")).unwrap();
    daemon.until_converged(accounts.len(), patience(WORKSPACES));
    daemon.stop();
    assert!(sim.is_off_keys());
    sim.assert_nobody_was_denied();
}
