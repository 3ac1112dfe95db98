//! What `deploy/` promises: roles that suffice and no more, files that the tools of others accept.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so by panicking, its helpers too"
)]

mod harness;

use std::collections::BTreeSet;
use std::process::Command;

use harness::{Daemon, Sim, id_of, keyless, output_of, patience, repository, skipped, stdout};
use keyless_core::catalog;
use serde_json::{Value, json};

/// The size of the fleet that a role is tried on.
const WORKSPACES: usize = 10;

fn role(name: &str) -> Value {
    let text = std::fs::read_to_string(repository().join("deploy/azure").join(name)).expect("the role is there");
    serde_json::from_str(&text).expect("the role is JSON")
}

fn actions(role: &Value) -> BTreeSet<String> {
    role["Actions"].as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_ascii_lowercase()).collect()
}

/// A copy of a generated fleet in which the managed identity of the environment holds one role and nothing else.
fn confined(role: &Value) -> Sim {
    const ROLE: &str = "5b1c0de0-0000-4000-8000-00000000c0de";
    let fleet = Sim::fleet(WORKSPACES, 5);
    let mut world = fleet.world();
    let subscriptions: BTreeSet<String> = fleet
        .workspaces()
        .iter()
        .chain(&fleet.accounts())
        .map(|resource| id_of(resource).split('/').nth(2).unwrap().to_ascii_lowercase())
        .collect();
    let definition = format!("/providers/Microsoft.Authorization/roleDefinitions/{ROLE}");
    world.push(json!({
        "id": definition, "name": ROLE, "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role["Name"], "type": "CustomRole", "assignableScopes": ["/"],
            "permissions": [{
                "actions": role["Actions"], "notActions": role["NotActions"],
                "dataActions": role["DataActions"], "notDataActions": role["NotDataActions"],
            }],
        },
    }));
    for (n, subscription) in subscriptions.iter().enumerate() {
        let (scope, name) = (format!("/subscriptions/{subscription}"), format!("5b1c0de0-0000-4000-8000-{n:012}"));
        world.push(json!({
            "id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"), "name": name,
            "type": "Microsoft.Authorization/roleAssignments",
            "properties": {
                "scope": scope, "roleDefinitionId": definition, "principalType": "ServicePrincipal",
                "principalId": keyless_sim::MANAGED_OBJECT_ID, "createdOn": "2025-01-01T00:00:00Z",
            },
        }));
    }
    let sim = Sim::of_world(&world, &["--speed", "600"]);
    for entry in std::fs::read_dir(fleet.desired()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), sim.desired().join(entry.file_name())).unwrap();
    }
    sim
}

#[test]
fn the_converging_role_is_enough_to_converge() {
    let sim = confined(&role("converge.json"));
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    assert!(sim.requests().writes() > 0);
    assert_eq!(sim.requests().refused(), Vec::<Value>::new());
    sim.assert_nobody_was_denied();
    daemon.stop();
}

#[test]
fn the_creating_role_is_enough_to_make_a_hub_and_a_project() {
    let sim = confined(&role("create.json"));
    let account = sim.accounts().remove(0);
    let (id, location) = (id_of(&account), account["location"].as_str().unwrap());
    let group = id.split('/').take(5).collect::<Vec<_>>().join("/");
    let document = |name: &str, more: &str| {
        format!(
            "---\napiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {{name: {name}}}\nspec:\n  resourceId: \
             {group}/providers/Microsoft.MachineLearningServices/workspaces/{name}\n  authMode: identity\n  \
             enforcement: enforce\n  create:\n    location: {location}\n    storageAccount: {id}\n{more}"
        )
    };
    let hub =
        document("hub-new", &format!("    kind: hub\n    keyVault: {group}/providers/Microsoft.KeyVault/vaults/kv\n"));
    let of = format!("{group}/providers/Microsoft.MachineLearningServices/workspaces/hub-new");
    let project = document("chat-new", &format!("    kind: project\n    hub: {of}\n"));
    std::fs::write(sim.desired().join("new.yaml"), hub + &project).unwrap();
    output_of(sim.command(&["apply", "--wait", "120s"]), 0);
    assert_eq!(sim.requests().count("PUT", "/workspaces/{}"), 2);
    assert_eq!(sim.requests().refused(), Vec::<Value>::new());
    assert!(sim.is_off_keys());
}

#[test]
fn the_observing_role_is_enough_to_plan_and_not_to_write() {
    let sim = confined(&role("observe.json"));
    output_of(sim.command(&["plan", "--detailed-exitcode"]), 3);
    assert_eq!(sim.requests().refused(), Vec::<Value>::new());
    // What it may not do is seen beforehand, so nothing is tried.
    let applied = stdout(&output_of(sim.command(&["apply", "--output", "json"]), 3));
    let applied: Value = serde_json::from_str(&applied).unwrap();
    let gates = applied["accounts"].as_array().unwrap().iter().flat_map(|account| account["steps"].as_array().unwrap());
    let gates = gates.flat_map(|step| step["gates"].as_array().unwrap());
    let shut: BTreeSet<&str> = gates
        .filter(|gate| gate["state"] == "unmet" && gate["gate"] == "permitted")
        .map(|gate| gate["why"].as_str().unwrap())
        .collect();
    for right in ["roleAssignments/write", "workspaces/write", "storageAccounts/write"] {
        assert!(shut.iter().any(|why| why.contains(right)), "{right} is not named: {shut:#?}");
    }
    assert_eq!(sim.requests().writes(), 0);
    assert_eq!(sim.requests().refused(), Vec::<Value>::new());
    assert!(!sim.is_off_keys());
}

#[test]
fn the_roles_name_each_action_and_none_that_reads_a_secret() {
    let (observe, converge) = (actions(&role("observe.json")), actions(&role("converge.json")));
    assert!(observe.is_subset(&converge));
    assert!(observe.iter().all(|action| action.to_ascii_lowercase().ends_with("/read")), "{observe:?}");
    for action in &converge {
        assert!(!action.contains('*'), "{action} is a wildcard");
        // The one action hands keys to a workspace and none to the caller.
        let harmless = action == "microsoft.machinelearningservices/workspaces/resynckeys/action";
        let telling = action.contains("list") || (action.ends_with("/action") && !harmless);
        assert!(!telling, "{action} may hand out a secret");
    }
    let create = actions(&role("create.json"));
    let join = "microsoft.machinelearningservices/workspaces/hubs/join/action";
    assert_eq!(create.difference(&converge).collect::<Vec<_>>(), [join]);
    assert!(converge.is_subset(&create));
    for role in [role("observe.json"), role("converge.json"), role("create.json")] {
        assert_eq!(role["DataActions"], json!([]));
    }
}

#[test]
fn the_condition_confines_grants_to_the_roles_of_the_catalog() {
    let text = std::fs::read_to_string(repository().join("deploy/azure/role-assignment-condition.txt")).unwrap();
    let roles: BTreeSet<String> = catalog::ROLES.iter().map(|role| role.id.to_string()).collect();
    let mut lists = 0;
    for list in text.split("RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {").skip(1) {
        let named: BTreeSet<String> = list.split('}').next().unwrap().split(", ").map(str::to_owned).collect();
        assert_eq!(named, roles);
        lists += 1;
    }
    assert_eq!(lists, 2, "one for writing, one for deleting");
    assert_eq!(text.matches("PrincipalId] ForAnyOfAllValues:GuidNotEquals").count(), 2);
}

#[test]
fn the_table_of_faults_lists_each_of_them() {
    let text = std::fs::read_to_string(repository().join("deploy/README.md")).unwrap();
    let table = text.split("| fault | what happens | fields |\n|---|---|---|\n").nth(1).unwrap();
    let names = table.lines().take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    let listed: BTreeSet<&str> =
        names.flat_map(|names| names.split(',').map(|name| name.trim().trim_matches('`'))).collect();
    let mut known: BTreeSet<&str> = keyless_sim::Faults::full(1).kinds().into_iter().collect();
    known.insert("refuse");
    assert_eq!(listed, known);
    let example = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(keyless_sim::Faults::parse(example).unwrap().kinds(), ["operationHangs", "resetAfter", "tokenRejected"]);
}

#[test]
fn the_files_of_the_kustomize_base_are_valid() {
    let base = repository().join("deploy/kustomize/base");
    output_of(keyless(&["validate", base.join("desired").to_str().unwrap()]), 0);
}

/// Runs a tool of others where it is installed; whether it was there is told in any case.
fn with_tool(tool: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(tool).args(arguments).current_dir(repository()).output() {
        Ok(output) => {
            assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            skipped(&format!("{tool} {arguments:?} was not run: {error}"));
            None
        }
    }
}

#[test]
fn kustomize_renders_the_base_and_the_example() {
    for folder in ["deploy/kustomize/base", "deploy/kustomize/overlays/example"] {
        let Some(rendered) = with_tool("kubectl", &["kustomize", folder]) else { return };
        for part in ["kind: Deployment", "kind: ServiceAccount", "kind: ConfigMap", "/readyz", "/healthz"] {
            assert!(rendered.contains(part), "{folder} has no {part}");
        }
        assert!(rendered.contains("azure.workload.identity/use: \"true\""));
    }
}

#[test]
fn systemd_accepts_the_unit() {
    with_tool("systemd-analyze", &["verify", "deploy/systemd/keyless.service"]);
}
