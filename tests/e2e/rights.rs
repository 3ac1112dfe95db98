//! The rights of the role that is deployed, taken from the daemon one by one: the plan names what is missing before
//! anything is written, what the right is not needed for is done, Azure is asked for no write that it would refuse, nobody
//! is denied anything, and once the right is given the account converges.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{
    BLOB, Daemon, NAMES, Plot, Sim, Way, extension, id_of, output_of, patience, repository, same_id, stdout, text_at,
    wait_until,
};

const ML: &str = "Microsoft.MachineLearningServices/workspaces";
const IDENTITIES: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";
/// The whole role, which some rows give at the second workspace.
const WHOLE: &str = "5b1c0de0-0000-4000-8000-00000000c0de";

/// How the plan names what is missing.
enum Effect {
    /// It holds this write, by this gate.
    Holds(&'static str, &'static str),
    /// It holds nothing, and a finding of this kind tells.
    Told(&'static str),
    /// It holds nothing, and there is nothing that it would have to tell.
    Silent,
}

use Effect::{Holds, Silent, Told};

/// A right that is missing in the subscription of one account.
struct Row {
    plot: Plot,
    /// How the actions end that the role lacks.
    without: &'static [&'static str],
    effect: Effect,
    /// What the plan says of it.
    words: &'static [&'static str],
    /// What is done without it; `alpha` and `bravo` are the switches of the workspaces.
    done: &'static [&'static str],
    /// And with it.
    all: &'static [&'static str],
    /// What else is in the cloud.
    more: fn(&Plot) -> Vec<Value>,
    /// What the document of the first workspace says in place of the first of these words.
    document: (&'static str, fn(&Plot) -> String),
}

const FORWARD: &[&str] = &["GrantRole", "GrantRole", "alpha", "bravo", "SetSharedKeyAccess"];
const GRANTS: &[&str] = &["GrantRole", "GrantRole"];
const MODES: &[&str] = &["GrantRole", "GrantRole", "alpha", "bravo"];
const BACK: &[&str] = &["SetSharedKeyAccess", "alpha", "bravo", "RevokeRole"];

fn actions() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("deploy/azure/converge.json")).unwrap();
    let role: Value = serde_json::from_str(&text).unwrap();
    role["Actions"].as_array().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect()
}

fn role(name: &str, actions: &[String], data_actions: &[&str]) -> Value {
    let block = json!({"actions": actions, "notActions": [], "dataActions": data_actions, "notDataActions": []});
    let properties = json!({"roleName": name, "type": "CustomRole", "assignableScopes": ["/"], "permissions": [block]});
    extension("", "roleDefinitions", name, properties)
}

fn assigned(scope: &str, name: &str, role: &str, principal: &str, kind: &str) -> Value {
    let properties = json!({"scope": scope, "roleDefinitionId": role, "principalType": kind, "principalId": principal,
        "createdOn": "2025-01-01T00:00:00Z"});
    extension(scope, "roleAssignments", name, properties)
}

/// The deployed role, given to the daemon at a scope.
fn to_the_daemon(scope: &str, name: &str, role: &str) -> Value {
    assigned(scope, name, role, keyless_sim::MANAGED_OBJECT_ID, "ServicePrincipal")
}

impl Row {
    fn role(&self, whole: bool) -> Value {
        let lacks = |action: &String| !whole && self.without.iter().any(|end| action.ends_with(end));
        let all = actions();
        let held: Vec<String> = all.iter().filter(|action| !lacks(action)).cloned().collect();
        assert!(whole || held.len() + self.without.len() == all.len(), "{}: {held:?}", self.plot.name);
        role(&self.plot.guid(1), &held, &[])
    }

    fn resources(&self) -> Vec<Value> {
        let (plot, role) = (&self.plot, self.role(false));
        let mut all = plot.resources();
        if plot.name.starts_with("h-") {
            all.iter_mut().filter(|one| one["type"] == ML).for_each(|one| one["kind"] = json!("Hub"));
        }
        let keys = match plot.name {
            "w-resync" => json!({"keyCreationTime": {"key1": "2026-01-01T00:00:00Z"}}),
            _ => json!({}),
        };
        all.push(plot.account_with(&keys));
        all.push(to_the_daemon(&plot.subscription(), &plot.guid(2), id_of(&role)));
        all.push(role);
        all.extend((self.more)(plot));
        all
    }

    fn documents(&self) -> String {
        let (word, instead) = self.document;
        self.plot.documents("").replacen(word, &instead(&self.plot), 1)
    }
}

fn whole_at_bravo(plot: &Plot) -> Vec<Value> {
    let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{WHOLE}");
    vec![to_the_daemon(&plot.workspace("bravo"), &plot.guid(3), &role)]
}

/// A policy against identity on the first workspace, in a set or not, and an exemption from it.
fn exempted(plot: &Plot, in_a_set: bool) -> Vec<Value> {
    let rule = json!({"if": {"allOf": [{"field": "type", "equals": ML},
        {"field": format!("{ML}/systemDatastoresAuthMode"), "equals": "identity"}]}, "then": {"effect": "deny"}});
    let properties = json!({"displayName": "keep", "policyRule": rule});
    let policy = extension(&plot.subscription(), "policyDefinitions", "keep", properties);
    let members = json!([{"policyDefinitionId": id_of(&policy), "policyDefinitionReferenceId": "one"}]);
    let properties = json!({"displayName": "all", "policyDefinitions": members});
    let set = extension(&plot.subscription(), "policySetDefinitions", "all", properties);
    let at = plot.workspace("alpha");
    let of = id_of(if in_a_set { &set } else { &policy });
    let assigned = extension(&at, "policyAssignments", "keep", json!({"policyDefinitionId": of}));
    let properties = json!({"policyAssignmentId": id_of(&assigned), "exemptionCategory": "Waiver"});
    vec![extension(&at, "policyExemptions", "spared", properties), assigned, set, policy]
}

/// The person of the first workspace reads and writes by a role of the company's own.
fn by_a_role_of_ones_own(plot: &Plot) -> Vec<Value> {
    let own = role(&plot.guid(4), &[], &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"]);
    let held = assigned(&plot.account(), &plot.guid(5), id_of(&own), &plot.guid(20), "User");
    vec![own, held]
}

fn identity(plot: &Plot) -> String {
    format!("{}/providers/{IDENTITIES}/uai", plot.group())
}

/// An endpoint of the first workspace whose identity has not the grant that the service makes.
fn endpoint(plot: &Plot) -> Vec<Value> {
    vec![json!({"id": format!("{}/onlineEndpoints/score", plot.workspace("alpha")), "name": "score",
        "type": format!("{ML}/onlineEndpoints"), "location": "westeurope",
        "identity": {"type": "SystemAssigned", "principalId": plot.guid(70)}, "properties": {"authMode": "Key"}})]
}

/// Takes the rows of a table as they come.
fn row(
    rows: &mut Vec<Row>,
    (name, way, without): (&'static str, Way, &'static [&'static str]),
    (effect, words): (Effect, &'static [&'static str]),
    (done, all): (&'static [&'static str], &'static [&'static str]),
) {
    let plot = Plot { name, number: 200 + rows.len(), way, apart: true };
    let (more, document) = (|_: &Plot| Vec::new(), |_: &Plot| String::new());
    rows.push(Row { plot, without, effect, words, done, all, more, document: ("\0", document) });
}

fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |name, way, without, effect, words, done, all| {
        row(&mut rows, (name, way, without), (effect, words), (done, all));
    };
    use Way::{Back, Forward};
    let none: &[&str] = &[];

    // What it may not write.
    let right: &[&str] = &["roleAssignments/write"];
    add("w-grant", Forward, right, Holds("GrantRole", "permitted"), right, &["alpha"], &FORWARD[1..]);
    let right: &[&str] = &["roleAssignments/delete"];
    add("w-revoke", Back, right, Holds("RevokeRole", "permitted"), right, &BACK[..3], BACK);
    let (rights, right): (&[&str], &[&str]) = (&["workspaces/write", "hubs/write"], &["workspaces/write", "-alpha"]);
    let done = &["GrantRole", "GrantRole", "bravo"];
    add("w-mode", Forward, rights, Holds("alpha", "permitted"), right, done, FORWARD);
    add("b-mode", Back, rights, Holds("alpha", "permitted"), right, &["SetSharedKeyAccess", "bravo"], BACK);
    // A plain workspace needs the one right, a hub both, each of them.
    let right: &[&str] = &["workspaces/write"];
    add("w-plain", Forward, right, Holds("alpha", "permitted"), right, GRANTS, FORWARD);
    add("h-plain", Forward, right, Holds("bravo", "permitted"), right, GRANTS, FORWARD);
    let right: &[&str] = &["hubs/write"];
    add("w-hub", Forward, right, Silent, none, FORWARD, FORWARD);
    add("h-hub", Forward, right, Holds("alpha", "permitted"), right, GRANTS, FORWARD);
    let right: &[&str] = &["datastores/write"];
    let all: &[&str] = &["GrantRole", "GrantRole", "alpha", "bravo", "SetSharedKeyAccess", "CreateDatastore"];
    add("w-store", Forward, right, Holds("CreateDatastore", "permitted"), right, FORWARD, all);
    let (done, all): (&[&str], &[&str]) = (
        &["SetSharedKeyAccess", "ResyncWorkspaceKeys", "bravo", "ResyncWorkspaceKeys"],
        &[
            "SetSharedKeyAccess",
            "ResyncWorkspaceKeys",
            "ResyncWorkspaceKeys",
            "ResyncWorkspaceKeys",
            "ResyncWorkspaceKeys",
            "alpha",
            "bravo",
            "RevokeRole",
        ],
    );
    let right: &[&str] = &["resyncKeys/action"];
    add("w-resync", Back, right, Holds("ResyncWorkspaceKeys", "permitted"), right, done, all);
    let right: &[&str] = &["storageAccounts/write"];
    add("w-key", Forward, right, Holds("SetSharedKeyAccess", "permitted"), right, MODES, FORWARD);
    add("b-key", Back, right, Holds("SetSharedKeyAccess", "permitted"), right, none, BACK);

    // What it may not read and every write rests on.
    let right: &[&str] = &["denyAssignments/read"];
    add("r-denials", Forward, right, Holds("GrantRole", "permitted"), right, none, FORWARD);
    let right: &[&str] = &["locks/read"];
    add("r-locks", Forward, right, Holds("GrantRole", "unlocked"), right, none, FORWARD);
    let right: &[&str] = &["roleAssignments/read"];
    add("r-grants", Forward, right, Holds("alpha", "needs_covered"), right, none, FORWARD);
    let right: &[&str] = &["storageAccounts/read"];
    add("r-account", Forward, right, Holds("bravo", "reachable"), right, GRANTS, FORWARD);

    // What some writes rest on.
    let right: &[&str] = &["roleDefinitions/read"];
    let done: &[&str] = &["GrantRole", "bravo"];
    add("r-roles", Forward, right, Holds("alpha", "needs_covered"), right, done, &FORWARD[1..]);
    let right: &[&str] = &["userAssignedIdentities/read"];
    let all: &[&str] = &["GrantRole", "GrantRole", "GrantRole", "alpha", "bravo", "SetSharedKeyAccess"];
    let done: &[&str] = &["GrantRole", "GrantRole", "bravo"];
    add("r-identities", Forward, right, Holds("alpha", "needs_covered"), right, done, all);
    let right: &[&str] = &["computes/read"];
    add("r-computes", Forward, right, Holds("alpha", "compatible"), right, GRANTS, FORWARD);
    let right: &[&str] = &["jobs/read"];
    add("r-jobs", Forward, right, Holds("alpha", "drained"), right, GRANTS, FORWARD);
    let right: &[&str] = &["metrics/read"];
    add("r-metrics", Forward, right, Holds("SetSharedKeyAccess", "key_idle"), right, MODES, FORWARD);

    // What Azure refuses by itself, or only warnings rest on.
    let right: &[&str] = &["permissions/read"];
    add("r-rights", Forward, right, Told("unseen"), right, FORWARD, FORWARD);
    let right: &[&str] = &["policyAssignments/read"];
    add("r-policies", Forward, right, Told("unseen"), right, FORWARD, FORWARD);
    let right: &[&str] = &["policyDefinitions/read"];
    add("r-definitions", Forward, right, Told("policy"), right, FORWARD, FORWARD);
    let right: &[&str] = &["policySetDefinitions/read"];
    add("r-sets", Forward, right, Told("policy"), right, FORWARD, FORWARD);
    let (right, words): (&[&str], &[&str]) = (&["policyExemptions/read"], &["unless an exemption that cannot be read"]);
    add("r-exemptions", Forward, right, Told("policy"), words, FORWARD, FORWARD);
    let right: &[&str] = &["onlineEndpoints/read"];
    add("r-endpoints", Forward, right, Told("unseen"), right, FORWARD, FORWARD);
    // These say who did something, or what else there may be.
    add("r-activity", Forward, &["eventtypes/values/Read"], Silent, none, FORWARD, FORWARD);
    add("r-eligible", Forward, &["roleEligibilityScheduleInstances/read"], Silent, none, FORWARD, FORWARD);
    add("r-subscriptions", Forward, &["Resources/subscriptions/read"], Silent, none, FORWARD, FORWARD);

    for row in &mut rows {
        match row.plot.name {
            "w-grant" => row.more = |plot| vec![plot.grant_to_the_first()],
            "w-mode" | "b-mode" | "w-resync" => row.more = whole_at_bravo,
            "w-store" => {
                let made = |_: &Plot| "spec:\n  datastores: [{name: raw, type: blob, container: raw}]\n".to_owned();
                row.document = ("spec:\n", made);
            }
            "r-roles" => row.more = by_a_role_of_ones_own,
            "r-identities" => {
                row.more = |plot| {
                    vec![json!({"id": identity(plot), "name": "uai", "type": IDENTITIES, "location": "westeurope",
                        "properties": {"principalId": plot.guid(60), "clientId": plot.guid(61), "tenantId": plot.guid(62)}})]
                };
                row.document = ("  access:\n", |plot| {
                    let id = identity(plot);
                    format!("  access:\n    - principal: {{managedIdentity: {id}}}\n      scenarios: [datastores]\n")
                });
            }
            "r-definitions" | "r-exemptions" => row.more = |plot| exempted(plot, false),
            "r-sets" => row.more = |plot| exempted(plot, true),
            "r-endpoints" => row.more = endpoint,
            _ => {}
        }
    }
    rows
}

fn cloud(rows: &[Row]) -> Sim {
    let mut world = vec![role(WHOLE, &actions(), &[])];
    rows.iter().for_each(|row| world.extend(row.resources()));
    let sim = Sim::of_world(&world, &["--speed", "1800"]);
    for row in rows {
        std::fs::write(sim.desired().join(format!("{}.yaml", row.plot.name)), row.documents()).unwrap();
    }
    edit_fleet(&sim, "prune: false", "prune: true");
    sim
}

/// Changes the fleet's file, which is a new revision and a reason to try at once what waits for a person.
fn edit_fleet(sim: &Sim, from: &str, to: &str) {
    let fleet = sim.desired().join("fleet.yaml");
    let text = std::fs::read_to_string(&fleet).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&fleet, text.replace(from, to)).unwrap();
}

fn plan(sim: &Sim) -> Value {
    serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap()
}

fn of_account<'a>(plan: &'a Value, account: &str) -> &'a Value {
    let mut all = plan["accounts"].as_array().unwrap().iter();
    all.find(|entry| same_id(id_of(entry), account)).unwrap_or_else(|| panic!("{account} is not planned for: {plan:#}"))
}

/// The word for a step or an applied write.
fn word(kind: &str, workspace: &str) -> String {
    match NAMES.into_iter().find(|name| kind == "SetAuthMode" && workspace.ends_with(name)) {
        Some(name) => name.to_owned(),
        None => kind.to_owned(),
    }
}

/// Why and by what a gate holds a step, if it does.
fn held(entry: &Value, step: &str, gate: &str) -> Option<String> {
    let all = entry["steps"].as_array().unwrap().iter();
    let of_it = all.filter(|planned| word(text_at(planned, "/action"), text_at(planned, "/target")) == step);
    let mut gates = of_it.flat_map(|planned| planned["gates"].as_array().unwrap());
    let shut = gates.find(|check| check["gate"] == gate && check["state"] == "unmet")?;
    Some(format!("{} {}", text_at(shut, "/why"), text_at(shut, "/lift")))
}

fn findings(entry: &Value, kind: &str) -> String {
    let all = entry["findings"].as_array().unwrap().iter().filter(|finding| finding["kind"] == kind);
    all.map(|finding| format!("{} {}\n", text_at(finding, "/message"), text_at(finding, "/lift"))).collect()
}

fn check_named(row: &Row, entry: &Value) {
    let name = row.plot.name;
    let said = match row.effect {
        Holds(step, gate) => {
            held(entry, step, gate).unwrap_or_else(|| panic!("{name}: no {gate} of {step}: {entry:#}"))
        }
        Told(kind) => findings(entry, kind),
        Silent => String::new(),
    };
    row.words.iter().for_each(|word| assert!(said.contains(word), "{name}: no `{word}` in: {said}\n{entry:#}"));
}

/// What was done to each account, sorted, by the name of its plot.
fn applied(daemon: &Daemon, rows: &[Row]) -> BTreeMap<&'static str, Vec<String>> {
    let events = daemon.events("action_applied");
    let of = |row: &Row| {
        let account = row.plot.account();
        let own = events.iter().filter(|event| same_id(text_at(event, "/storage_account"), &account));
        let mut words: Vec<String> =
            own.map(|event| word(text_at(event, "/kind"), text_at(event, "/workspace"))).collect();
        words.sort();
        words
    };
    rows.iter().map(|row| (row.plot.name, of(row))).collect()
}

fn sorted(words: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    words.sort();
    words
}

/// Waits until every account was looked at some times more, completely or not.
fn more_passes(daemon: &mut Daemon, goal: u64) {
    let goal = daemon.metric("keyless_passes_total", "") + goal;
    wait_until("passes go on", patience(0), || (daemon.metric("keyless_passes_total", "") >= goal).then_some(()));
}

/// The writes that Azure refused.
fn refused_writes(sim: &Sim) -> Vec<Value> {
    sim.requests().refused().into_iter().filter(|entry| entry["method"] != "GET").collect()
}

/// The daemon does what it may, and no more; with all rights, all of it.
fn run(sim: &Sim, rows: &[Row]) {
    let mut daemon = Daemon::start(sim);
    let expected: BTreeMap<&str, Vec<String>> = rows.iter().map(|row| (row.plot.name, sorted(row.done))).collect();
    wait_until("all that may be done is done", patience(2 * rows.len()), || {
        let done = applied(&daemon, rows);
        expected.iter().all(|(name, words)| words.iter().all(|word| done[name].contains(word))).then_some(())
    });
    more_passes(&mut daemon, 3 * rows.len() as u64);
    assert_eq!(applied(&daemon, rows), expected, "what it has no right to stays as it is");
    assert_eq!(daemon.events("action_failed"), Vec::<Value>::new());
    assert_eq!(refused_writes(sim), Vec::<Value>::new(), "nothing is tried that Azure would refuse");
    for Row { plot, effect, .. } in rows {
        if let Holds(_, gate) = effect {
            let account = plot.account();
            daemon.event("gate_unmet", |event| {
                event["gate"] == *gate && same_id(text_at(event, "/storage_account"), &account)
            });
        }
    }
    sim.assert_nobody_was_denied();

    for row in rows {
        let role = row.role(true);
        sim.drift("resourcePut", id_of(&role), role.clone());
    }
    edit_fleet(sim, "simulated-fleet", "simulated-fleet-with-all-rights");
    // Now it is seen that the service has not made its grant to an endpoint, and nothing has converged until it has.
    for plot in rows.iter().map(|row| &row.plot).filter(|plot| plot.name == "r-endpoints") {
        let account = plot.account();
        daemon.event("service_grant_missing", |event| same_id(text_at(event, "/storage_account"), &account));
        let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{BLOB}");
        let grant = assigned(&account, &plot.guid(71), &role, &plot.guid(70), "ServicePrincipal");
        sim.drift("resourcePut", id_of(&grant), grant.clone());
        daemon.event("service_grant_cleared", |event| same_id(text_at(event, "/storage_account"), &account));
    }
    daemon.until_converged(rows.len(), patience(2 * rows.len()));
    let all: BTreeMap<&str, Vec<String>> = rows.iter().map(|row| (row.plot.name, sorted(row.all))).collect();
    assert_eq!(applied(&daemon, rows), all);
    daemon.stop();
    assert_eq!(refused_writes(sim), Vec::<Value>::new());
    sim.assert_nobody_was_denied();
}

#[test]
fn each_right_that_is_missing_is_named_and_holds_what_needs_it_and_nothing_else() {
    let rows = rows();
    let sim = cloud(&rows);
    let planned = plan(&sim);
    assert_eq!(planned["problems"], json!([]), "{planned:#}");
    rows.iter().for_each(|row| check_named(row, of_account(&planned, &row.plot.account())));
    assert_eq!(sim.requests().writes(), 0, "every right is named before anything is written");
    run(&sim, &rows);
}

/// What hangs on an account may lie in any subscription: what cannot be read in one holds the keys of all, and them alone.
#[test]
fn workspaces_and_datastores_that_cannot_be_read_hold_the_keys_of_all_and_are_named() {
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |name, way, without, effect, words, done, all| {
        row(&mut rows, (name, way, without), (effect, words), (done, all));
    };
    use Way::{Back, Forward};
    let words: &[&str] = &["e-workspaces-alpha may stand on this account"];
    for (name, without) in [("e-stores", &["datastores/read"][..]), ("e-whole", &[])] {
        add(name, Forward, without, Holds("SetSharedKeyAccess", "all_on_identity"), words, MODES, FORWARD);
    }
    // Nobody loses access on the way back.
    add("e-back", Back, &[], Told("leaversUnknown"), &["e-workspaces-alpha"], &BACK[..3], BACK);
    add("e-workspaces", Forward, &["workspaces/read"], Silent, &[], &[], FORWARD);
    let sim = cloud(&rows);
    let planned = plan(&sim);
    let problems = planned["problems"].to_string();
    for word in ["the account of e-workspaces-alpha could not be found out", "grant the controller `Microsoft.Mach"] {
        assert!(problems.contains(word), "no `{word}` in: {problems}");
    }
    rows[..3].iter().for_each(|row| check_named(row, of_account(&planned, &row.plot.account())));
    for row in &rows[..2] {
        let stores = held(of_account(&planned, &row.plot.account()), "SetSharedKeyAccess", "no_stored_keys");
        assert!(stores.is_some_and(|said| said.contains("workspaces/datastores/read")), "{planned:#}");
    }
    assert_eq!(sim.requests().writes(), 0, "every right is named before anything is written");
    run(&sim, &rows);
}
