//! One fleet for each barrier: the plan names it before anything is written, what it does not bar goes on, nobody is
//! denied anything, and once it is lifted the fleet converges.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Daemon, Sim, id_of, output_of, patience, repository, same_id, stdout, text_at, wait_until};

const WORKSPACES: usize = 6;

/// The identity that the daemon signs in as in these tests.
const DAEMON: &str = keyless_sim::MANAGED_OBJECT_ID;

/// Azure's own policy against shared keys.
const SHARED_KEY: &str = "/providers/Microsoft.Authorization/policyDefinitions/8c6a50c6-9ffd-4ae7-986f-5fa6111f9a54";

/// What a case is about.
struct Place {
    account: String,
    /// A workspace of the account that the plan switches.
    workspace: String,
}

/// A barrier and what it does to the plan of one account.
struct Case {
    /// Resources that make the barrier; taking them away lifts it.
    put: Vec<Value>,
    /// Resources that lift it.
    lift: Vec<Value>,
    /// Whether it stands before every account.
    everywhere: bool,
    /// The step that it bars.
    action: &'static str,
    target: String,
    gate: &'static str,
    /// What the gate says.
    words: Vec<String>,
}

fn plan(sim: &Sim) -> Value {
    serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap()
}

fn account_of<'a>(plan: &'a Value, account: &str) -> &'a Value {
    plan["accounts"].as_array().unwrap().iter().find(|entry| same_id(text_at(entry, "/id"), account)).unwrap()
}

fn steps<'a>(plan: &'a Value, account: &str) -> Vec<&'a Value> {
    account_of(plan, account)["steps"].as_array().unwrap().iter().collect()
}

/// The first account for which all three kinds of step are planned.
fn place(plan: &Value) -> Place {
    for entry in plan["accounts"].as_array().unwrap() {
        let account = text_at(entry, "/id");
        let all = steps(plan, account);
        let target =
            |action: &str| all.iter().find(|step| step["action"] == action).map(|step| text_at(step, "/target"));
        if let (Some(_), Some(workspace), Some(_)) =
            (target("GrantRole"), target("SetAuthMode"), target("SetSharedKeyAccess"))
        {
            return Place { account: account.to_owned(), workspace: workspace.to_owned() };
        }
    }
    panic!("no account has all kinds of steps: {plan:#}")
}

fn put(sim: &Sim, resource: &Value) {
    sim.drift("resourcePut", id_of(resource), resource.clone());
}

fn extension(scope: &str, kind: &str, name: &str, properties: Value) -> Value {
    json!({"id": format!("{scope}/providers/Microsoft.Authorization/{kind}/{name}"), "name": name,
        "type": format!("Microsoft.Authorization/{kind}"), "properties": properties})
}

fn subscription_of(id: &str) -> String {
    id.split('/').take(3).collect::<Vec<_>>().join("/")
}

fn lock(scope: &str, level: &str) -> Value {
    extension(scope, "locks", "keep", json!({"level": level}))
}

fn no_keys(scope: &str) -> Value {
    let properties = json!({"policyDefinitionId": SHARED_KEY, "parameters": {"effect": {"value": "Deny"}}});
    extension(scope, "policyAssignments", "no-keys", properties)
}

/// The barrier is named in the first plan and holds its step; all else is done; lifted, the fleet converges.
#[track_caller]
fn check(make: impl Fn(&Place, &Sim) -> Case) {
    check_on(Sim::fleet(WORKSPACES, 5), make);
}

#[track_caller]
fn check_on(sim: Sim, make: impl Fn(&Place, &Sim) -> Case) {
    let place = place(&plan(&sim));
    let Case { put: barrier, lift, everywhere, action, target, gate, words } = make(&place, &sim);
    barrier.iter().for_each(|resource| put(&sim, resource));
    let barred = |step: &Value| step["action"] == action && same_id(text_at(step, "/target"), &target);

    let planned = plan(&sim);
    let step = steps(&planned, &place.account).into_iter().find(|step| barred(step)).expect("the step is planned");
    let gates = step["gates"].as_array().unwrap();
    let shut = gates.iter().find(|check| check["gate"] == gate).unwrap_or_else(|| panic!("no {gate}: {step:#}"));
    assert_eq!(shut["state"], "unmet", "{shut:#}");
    let said = format!("{} {}", text_at(shut, "/why"), text_at(shut, "/lift"));
    words.iter().for_each(|word| assert!(said.contains(word), "no `{word}` in: {said}"));
    assert_eq!(sim.requests().writes(), 0, "it is named before anything is written");

    let accounts = sim.accounts().len();
    let mut daemon = Daemon::start(&sim);
    // All that the barrier does not hold is done: only that step, and what waits for it, is left.
    let left = wait_until("only the barred steps are left", patience(WORKSPACES), || {
        let plan = plan(&sim);
        let all = plan["accounts"].as_array().unwrap().iter();
        let mut others = all.filter(|entry| !same_id(text_at(entry, "/id"), &place.account));
        let others_done = everywhere || others.all(|entry| entry["standing"] == "converged");
        let own = steps(&plan, &place.account);
        let order = ["GrantRole", "SetAuthMode", "SetDatastoreCredential", "SetSharedKeyAccess"];
        let rank = |name: &Value| order.iter().position(|known| name == known);
        let held = own.iter().all(|step| rank(&step["action"]) >= rank(&json!(action)));
        let others_of_kind = action == "GrantRole" || own.iter().all(|step| step["action"] != action || barred(step));
        (others_done && held && others_of_kind).then(|| own.into_iter().cloned().collect::<Vec<Value>>())
    });
    assert!(left.iter().any(barred), "{left:#?}");
    let told = daemon.event("gate_unmet", |event| event["gate"] == gate);
    assert!(!text_at(&told, "/lift").is_empty(), "{told:#}");
    assert_eq!(sim.requests().refused(), Vec::<Value>::new(), "no write was tried that Azure would refuse");
    assert!(!sim.is_off_keys());
    sim.assert_nobody_was_denied();

    lift.iter().for_each(|resource| put(&sim, resource));
    for resource in &barrier {
        sim.drift("resourceRemoved", id_of(resource), Value::Null);
    }
    daemon.until_converged(accounts, patience(WORKSPACES));
    assert!(sim.is_off_keys());
    daemon.stop();
    sim.assert_nobody_was_denied();
}

#[test]
fn a_policy_that_would_keep_the_key_off_for_ever_holds_the_key_on() {
    check(|place, _| Case {
        put: vec![no_keys(&place.account)],
        lift: Vec::new(),
        everywhere: false,
        action: "SetSharedKeyAccess",
        target: place.account.clone(),
        gate: "way_back",
        words: ["Storage accounts should prevent shared key access", "policyAssignments/no-keys", "acceptOneWay"]
            .map(str::to_owned)
            .to_vec(),
    });
}

#[test]
fn a_policy_that_refuses_identity_holds_the_switch() {
    check(|place, _| {
        let subscription = subscription_of(&place.account);
        let mode = "Microsoft.MachineLearningServices/workspaces/systemDatastoresAuthMode";
        let rule = json!({"if": {"allOf": [{"field": "type", "equals": "Microsoft.MachineLearningServices/workspaces"},
            {"field": mode, "equals": "identity"}]}, "then": {"effect": "deny"}});
        let definition = extension(
            &subscription,
            "policyDefinitions",
            "keep-keys",
            json!({"displayName": "keep keys", "policyRule": rule}),
        );
        let assigned = json!({"policyDefinitionId": id_of(&definition)});
        Case {
            put: vec![extension(&place.workspace, "policyAssignments", "a", assigned), definition],
            lift: Vec::new(),
            everywhere: false,
            action: "SetAuthMode",
            target: place.workspace.clone(),
            gate: "policy_allows",
            words: vec!["keep keys".to_owned(), "systemDatastoresAuthMode".to_owned(), "exemption".to_owned()],
        }
    });
}

#[test]
fn a_lock_on_a_workspace_alone_holds_its_switch() {
    check(|place, _| Case {
        put: vec![lock(&place.workspace, "ReadOnly")],
        lift: Vec::new(),
        everywhere: false,
        action: "SetAuthMode",
        target: place.workspace.clone(),
        gate: "unlocked",
        words: vec!["keep at ".to_owned()],
    });
}

#[test]
fn a_lock_on_the_account_holds_every_write_to_it() {
    check(|place, _| Case {
        put: vec![lock(&place.account, "ReadOnly")],
        lift: Vec::new(),
        everywhere: false,
        action: "GrantRole",
        target: place.account.clone(),
        gate: "unlocked",
        words: vec!["keep at ".to_owned()],
    });
}

#[test]
fn a_deny_assignment_for_everybody_holds_what_it_denies() {
    check(|place, _| {
        let properties = json!({
            "denyAssignmentName": "stack", "scope": place.account,
            "permissions": [{"actions": ["Microsoft.Storage/storageAccounts/write"], "notActions": [],
                "dataActions": [], "notDataActions": []}],
            "principals": [{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}],
            "excludePrincipals": [],
        });
        Case {
            put: vec![extension(&place.account, "denyAssignments", "8a3f1c00-0000-4000-8000-000000000001", properties)],
            lift: Vec::new(),
            everywhere: false,
            action: "SetSharedKeyAccess",
            target: place.account.clone(),
            gate: "permitted",
            words: vec!["`stack`".to_owned()],
        }
    });
}

#[test]
fn a_subscription_without_room_for_a_wave_of_grants_gets_none_of_them() {
    check(|place, sim| {
        let subscription = subscription_of(&place.account);
        let group = format!("{subscription}/resourceGroups/elsewhere");
        let inside = format!("{subscription}/").to_lowercase();
        let held = sim.resources("Microsoft.Authorization/roleAssignments");
        let held = held.iter().filter(|entry| id_of(entry).to_lowercase().starts_with(&inside)).count();
        // One place less is left than grants are due.
        let planned = plan(sim);
        let due = steps(&planned, &place.account).iter().filter(|step| step["action"] == "GrantRole").count();
        let full = 4_001 - due;
        let fill = (held..full).map(|n| {
            let properties = json!({
                "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7",
                "principalId": format!("8a3f1c00-0000-4000-8000-{n:012}"), "principalType": "User", "scope": group,
                "createdOn": "2025-01-01T00:00:00Z",
            });
            extension(&group, "roleAssignments", &format!("8a3f1c00-0000-4000-8000-{n:012}"), properties)
        });
        let all: Vec<Value> = fill.collect();
        Case {
            put: all,
            lift: Vec::new(),
            everywhere: true,
            action: "GrantRole",
            target: place.account.clone(),
            gate: "below_ceiling",
            words: vec![format!("{full} of at most 4000"), "groups".to_owned()],
        }
    });
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
fn confined(role: &Value) -> Sim {
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
fn converging(without: &str) -> Value {
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
    check_on(confined(&converging(RIGHT)), |place, _| Case {
        put: Vec::new(),
        lift: vec![converging("")],
        everywhere: true,
        action: "SetSharedKeyAccess",
        target: place.account.clone(),
        gate: "permitted",
        words: vec![RIGHT.to_owned(), "converge role".to_owned()],
    });
}

/// Without the rights to read what may bar a write, it is said that they are missing, and the refusals tell.
#[test]
fn a_daemon_that_may_not_see_barriers_says_so_and_goes_on() {
    let mut role = converging("");
    let actions = role["properties"]["permissions"][0]["actions"].as_array_mut().unwrap();
    actions.retain(|action| {
        !action.as_str().unwrap().contains("/policy") && !action.as_str().unwrap().contains("/permissions")
    });
    let sim = confined(&role);
    let account = place(&plan(&sim)).account;
    let planned = plan(&sim);
    let findings = account_of(&planned, &account)["findings"].as_array().unwrap();
    let unseen: Vec<&Value> = findings.iter().filter(|finding| finding["kind"] == "unseen").collect();
    assert!(unseen.iter().any(|finding| text_at(finding, "/lift").contains("policyAssignments/read")), "{findings:#?}");
    assert!(unseen.iter().any(|finding| text_at(finding, "/lift").contains("permissions/read")), "{findings:#?}");
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    daemon.stop();
    assert!(sim.is_off_keys());
    sim.assert_nobody_was_denied();
}

#[test]
fn the_one_way_that_the_files_accept_is_gone() {
    let sim = Sim::fleet(WORKSPACES, 5);
    let account = place(&plan(&sim)).account;
    put(&sim, &no_keys(&account));
    let document = format!(
        "apiVersion: keyless.dev/v1\nkind: StorageAccount\nmetadata: {{name: one-way}}\nspec:\n  resourceId: {account}\n  \
         sharedKeyAccess: disabled\n  acceptOneWay: {{reason: company policy, owner: platform, until: 2099-01-01T00:00:00Z}}\n"
    );
    std::fs::write(sim.desired().join("one-way.yaml"), document).unwrap();
    let planned = plan(&sim);
    let findings = account_of(&planned, &account)["findings"].as_array().unwrap();
    let shown = findings.iter().find(|finding| finding["kind"] == "oneWay").unwrap_or_else(|| panic!("{findings:#?}"));
    assert!(text_at(shown, "/message").contains("platform"), "{shown:#}");
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    assert!(sim.is_off_keys());
    daemon.stop();
    sim.assert_nobody_was_denied();
    let body = json!({"properties": {"allowSharedKeyAccess": true}});
    assert_eq!(sim.arm("PATCH", &account, "2023-05-01", &body).status, 403, "as the plan said, there is no way back");
}

/// A job that runs in the workspace until it is taken away, for somebody who is at work there anyway.
fn job(sim: &Sim, workspace: &str, name: &str) -> Value {
    let at_work = sim.resources("Keyless.Sim/workloads");
    let entitled = |entry: &&Value| {
        let own = same_id(text_at(entry, "/properties/workspace"), workspace);
        own && entry["properties"]["datastore"].is_null() && entry["properties"]["dataActions"] != json!([])
    };
    let like = at_work.iter().find(entitled).expect("somebody is at work in the workspace");
    json!({"id": format!("{workspace}/providers/Keyless.Sim/jobs/{name}"), "type": "Keyless.Sim/jobs",
        "properties": {"workspace": workspace, "name": name, "principalId": like["properties"]["principalId"],
            "dataActions": like["properties"]["dataActions"]}})
}

/// An instance that is never idle.
fn instance(workspace: &str, name: &str) -> Value {
    json!({"id": format!("{workspace}/computes/{name}"), "name": name, "location": "westeurope",
        "type": "Microsoft.MachineLearningServices/workspaces/computes",
        "properties": {"computeType": "ComputeInstance", "provisioningState": "Succeeded",
            "properties": {"state": "Running"}}})
}

/// Adds a line to the defaults of the fleet's file.
fn by_default(sim: &Sim, line: &str) {
    for entry in std::fs::read_dir(sim.desired()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains("kind: Fleet") {
            let (head, tail) = text.split_once("  defaults:\n").expect("the fleet has defaults");
            return std::fs::write(&path, format!("{head}  defaults:\n    {line}\n{tail}")).unwrap();
        }
    }
    panic!("there is no Fleet document");
}

#[test]
fn what_runs_in_a_workspace_holds_its_switch_until_its_end() {
    check(|place, sim| Case {
        put: vec![job(sim, &place.workspace, "long-training"), instance(&place.workspace, "ci-busy")],
        lift: Vec::new(),
        everywhere: false,
        action: "SetAuthMode",
        target: place.workspace.clone(),
        gate: "drained",
        words: ["job long-training (Command, Running)", "instance ci-busy (Running)", "drain: ignore"]
            .map(str::to_owned)
            .to_vec(),
    });
}

#[test]
fn a_switch_that_does_not_wait_is_made_under_the_job_that_the_plan_named() {
    let sim = Sim::fleet(WORKSPACES, 5);
    let workspace = place(&plan(&sim)).workspace;
    let running = job(&sim, &workspace, "long-training");
    put(&sim, &running);
    by_default(&sim, "drain: ignore");
    let planned = plan(&sim);
    let accounts = planned["accounts"].as_array().unwrap();
    let findings = accounts.iter().flat_map(|account| account["findings"].as_array().unwrap());
    let shown: Vec<&str> =
        findings.filter(|finding| finding["kind"] == "running").map(|finding| text_at(finding, "/message")).collect();
    assert!(shown.iter().any(|text| text.contains("job long-training (Command, Running)")), "{shown:#?}");
    let mut daemon = Daemon::start(&sim);
    wait_until("it is switched", patience(WORKSPACES), || (sim.mode(&workspace) == "identity").then_some(()));
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    daemon.stop();
    let still = sim.resources("Microsoft.MachineLearningServices/workspaces/jobs");
    let still = still.iter().find(|job| job["name"] == "long-training").expect("the job is there");
    assert_eq!(still["properties"]["status"], "Running");
    // Here the worst that may become of such a job does: which is why waiting is the default.
    let oracle = sim.oracle();
    let events = oracle["events"].as_array().unwrap();
    let mounted = |event: &&Value| text_at(event, "/cause").contains("mounted with the key");
    assert!(events.iter().all(|event| mounted(&event)), "{oracle:#}");
    let lost = |event: &Value| event["principal"] == running["properties"]["principalId"];
    assert!(events.iter().any(lost), "{oracle:#}");
}

#[test]
fn a_daemon_that_may_not_read_jobs_names_the_right_and_the_other_way() {
    const RIGHT: &str = "Microsoft.MachineLearningServices/workspaces/jobs/read";
    let sim = confined(&converging(RIGHT));
    let place = place(&plan(&sim));
    let shut = |plan: &Value| {
        let step =
            steps(plan, &place.account).into_iter().find(|step| same_id(text_at(step, "/target"), &place.workspace));
        let step = step.expect("the switch is planned").clone();
        step["gates"]
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["gate"] == "drained")
            .expect("it has the gate")
            .clone()
    };
    let gate = shut(&plan(&sim));
    assert_eq!(gate["state"], "unmet", "{gate:#}");
    for word in [RIGHT, "drain: ignore"] {
        assert!(text_at(&gate, "/lift").contains(word), "{gate:#}");
    }
    let mut daemon = Daemon::start(&sim);
    let told = daemon.event("gate_unmet", |event| event["gate"] == "drained");
    assert!(text_at(&told, "/lift").contains(RIGHT), "{told:#}");
    wait_until("the grants are made", patience(WORKSPACES), || {
        steps(&plan(&sim), &place.account).iter().all(|step| step["action"] != "GrantRole").then_some(())
    });
    assert_eq!(sim.mode(&place.workspace), "accesskey");
    sim.assert_nobody_was_denied();
    by_default(&sim, "drain: ignore");
    daemon.until_converged(sim.accounts().len(), patience(WORKSPACES));
    daemon.stop();
    assert!(sim.is_off_keys());
}
