//! Many accounts, each with a barrier of its own, in one cloud under one daemon: the plan names each barrier before
//! anything is written, what a barrier does not hold is done, nobody is denied anything and nothing is tried that Azure
//! would refuse, and once all are lifted everything converges.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{
    Daemon, NAMES, Plot, Sim, Way, extension, id_of, output_of, patience, same_id, stdout, text_at, wait_until,
};

/// Azure's own policy against shared keys.
const SHARED_KEY: &str = "/providers/Microsoft.Authorization/policyDefinitions/8c6a50c6-9ffd-4ae7-986f-5fa6111f9a54";

const MODE: &str = "Microsoft.MachineLearningServices/workspaces/systemDatastoresAuthMode";
const FLAG: &str = "Microsoft.Storage/storageAccounts/allowSharedKeyAccess";

/// What a barrier does to one account.
enum Effect {
    /// It holds this write, by this gate.
    Holds(&'static str, &'static str),
    /// It holds nothing, and the plan tells of it by a finding of this kind.
    Told(&'static str),
}

use Effect::{Holds, Told};

struct Case {
    plot: Plot,
    effect: Effect,
    /// What the plan says of it.
    words: &'static [&'static str],
    /// What is done while it stands; `alpha` and `bravo` are the switches of the workspaces.
    done: &'static [&'static str],
    /// Resources that make it.
    barrier: fn(&Plot) -> Vec<Value>,
    /// Properties of the account that make it.
    account: Value,
    /// What the document of the account says besides.
    document: &'static str,
}

/// The gates that a barrier shuts.
const BARRIERS: [&str; 6] = ["unlocked", "reachable", "permitted", "policy_allows", "way_back", "below_ceiling"];

const FORWARD: [&str; 5] = ["GrantRole", "GrantRole", "alpha", "bravo", "SetSharedKeyAccess"];
const BACK: [&str; 4] = ["SetSharedKeyAccess", "alpha", "bravo", "RevokeRole"];

fn nothing(_: &Plot) -> Vec<Value> {
    Vec::new()
}

fn lock(scope: &str, level: &str) -> Vec<Value> {
    vec![extension(scope, "locks", "keep", json!({"level": level}))]
}

/// A policy with a definition of its own, assigned at the resource.
fn policy(at: &str, subscription: &str, name: &str, kind: &str, field: &str, value: &Value, then: Value) -> Vec<Value> {
    let rule =
        json!({"if": {"allOf": [{"field": "type", "equals": kind}, {"field": field, "equals": value}]}, "then": then});
    let definition =
        extension(subscription, "policyDefinitions", name, json!({"displayName": name, "policyRule": rule}));
    let assigned = json!({"policyDefinitionId": id_of(&definition)});
    vec![extension(at, "policyAssignments", name, assigned), definition]
}

/// A policy that sets the flag of the account to `to` whenever it is sent otherwise.
fn sets_the_flag(plot: &Plot, name: &str, to: bool) -> Vec<Value> {
    let then = json!({"effect": "modify", "details": {"operations": [
        {"operation": "addOrReplace", "field": FLAG, "value": to}]}});
    let kind = "Microsoft.Storage/storageAccounts";
    policy(&plot.account(), &plot.subscription(), &format!("{name}-{}", plot.name), kind, FLAG, &json!(!to), then)
}

fn no_keys(plot: &Plot) -> Vec<Value> {
    let properties = json!({"policyDefinitionId": SHARED_KEY, "parameters": {"effect": {"value": "Deny"}}});
    vec![extension(&plot.account(), "policyAssignments", "no-keys", properties)]
}

fn refuses_identity(plot: &Plot, at: &str) -> Vec<Value> {
    let kind = "Microsoft.MachineLearningServices/workspaces";
    let name = format!("keep-{}", plot.name);
    policy(at, &plot.subscription(), &name, kind, MODE, &json!("identity"), json!({"effect": "deny"}))
}

/// A policy against identity on the first workspace, and an exemption from it that ends then.
fn exempted(plot: &Plot, until: &str) -> Vec<Value> {
    let workspace = plot.workspace(NAMES[0]);
    let mut all = refuses_identity(plot, &workspace);
    let properties = json!({"policyAssignmentId": id_of(&all[0]), "exemptionCategory": "Waiver", "expiresOn": until});
    all.push(extension(&workspace, "policyExemptions", "spared", properties));
    all
}

fn denied(plot: &Plot) -> Vec<Value> {
    denied_but(plot, &json!([]))
}

fn denied_but(plot: &Plot, spared: &Value) -> Vec<Value> {
    let properties = json!({
        "denyAssignmentName": "stack", "scope": plot.account(),
        "permissions": [{"actions": ["Microsoft.Storage/storageAccounts/write"], "notActions": [], "dataActions": [],
            "notDataActions": []}],
        "principals": [{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}],
        "excludePrincipals": spared,
    });
    vec![extension(&plot.account(), "denyAssignments", &plot.guid(95), properties)]
}

/// A denial of writing workspaces at this place.
fn denied_modes(plot: &Plot, at: &str, whom: &Value) -> Vec<Value> {
    let properties = json!({
        "denyAssignmentName": "stop", "scope": at, "principals": [whom], "excludePrincipals": [],
        "permissions": [{"actions": ["Microsoft.MachineLearningServices/workspaces/write"], "notActions": [],
            "dataActions": [], "notDataActions": []}],
    });
    vec![extension(at, "denyAssignments", &plot.guid(97), properties)]
}

fn everyone() -> Value {
    json!({"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"})
}

/// The daemon, as Azure knows it.
fn the_daemon() -> Value {
    json!({"id": keyless_sim::MANAGED_OBJECT_ID, "type": "ServicePrincipal"})
}

/// A denial of reading blobs to the person who works in the first workspace, and the role that it takes the use out of.
fn denied_data(plot: &Plot) -> Vec<Value> {
    let properties = json!({
        "denyAssignmentName": "no-data", "scope": plot.account(),
        "permissions": [{"actions": [], "notActions": [], "notDataActions": [], "dataActions":
            ["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"]}],
        "principals": [{"id": plot.guid(20), "type": "User"}], "excludePrincipals": [],
    });
    vec![extension(&plot.account(), "denyAssignments", &plot.guid(96), properties), plot.grant_to_the_first()]
}

/// The same denial to somebody who has not the role yet either.
fn denied_data_and_no_role(plot: &Plot) -> Vec<Value> {
    denied_data(plot).into_iter().take(1).collect()
}

/// Network rules with this way in beside a shut front door.
fn shut(more: &Value) -> Value {
    let mut rules = json!({"bypass": "None", "defaultAction": "Deny", "ipRules": [], "virtualNetworkRules": []});
    for (name, value) in more.as_object().into_iter().flatten() {
        rules[name] = value.clone();
    }
    json!({"publicNetworkAccess": "Enabled", "networkAcls": rules})
}

/// A case whose account and document are as they always are.
fn case(
    number: usize,
    (name, way, effect): (&'static str, Way, Effect),
    words: &'static [&'static str],
    done: &'static [&'static str],
    barrier: fn(&Plot) -> Vec<Value>,
) -> Case {
    let plot = Plot { name, number, way, apart: false };
    Case { plot, effect, words, done, barrier, account: json!({}), document: "" }
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |name, way, effect, words, done, barrier: fn(&Plot) -> Vec<Value>| {
        cases.push(case(cases.len() + 1, (name, way, effect), words, done, barrier));
    };
    let grants = &FORWARD[..2];
    let modes = &FORWARD[..4];
    let none: &[&str] = &[];

    // Read-only locks on the way forward.
    add("f-account", Way::Forward, Holds("GrantRole", "unlocked"), &["keep at ", "/storageAccounts/"], none, |plot| {
        lock(&plot.account(), "ReadOnly")
    });
    add("f-group", Way::Forward, Holds("GrantRole", "unlocked"), &["/resourceGroups/rg-f-group"], none, |plot| {
        lock(&plot.group(), "ReadOnly")
    });
    add("f-subscription", Way::Forward, Holds("GrantRole", "unlocked"), &["keep at /subscriptions/"], none, |plot| {
        lock(&plot.subscription(), "ReadOnly")
    });
    add(
        "f-workspace",
        Way::Forward,
        Holds("alpha", "unlocked"),
        &["/workspaces/f-workspace-alpha"],
        &["GrantRole", "GrantRole", "bravo"],
        |plot| lock(&plot.workspace("alpha"), "ReadOnly"),
    );
    add("f-workspaces", Way::Forward, Holds("alpha", "unlocked"), &["rg-f-workspaces-ml"], grants, |plot| {
        lock(&plot.group_of_workspaces(), "ReadOnly")
    });
    // Locks against deletion hold nothing there.
    add("f-keep-account", Way::Forward, Told("lock"), &["bars revokes"], &FORWARD, |plot| {
        lock(&plot.account(), "CanNotDelete")
    });
    add("f-keep-workspace", Way::Forward, Told("lock"), &["nothing on the way forward"], &FORWARD, |plot| {
        lock(&plot.workspace("alpha"), "CanNotDelete")
    });

    // On the way back.
    add("b-account", Way::Back, Holds("SetSharedKeyAccess", "unlocked"), &["/storageAccounts/"], none, |plot| {
        lock(&plot.account(), "ReadOnly")
    });
    let alpha_locked = |plot: &Plot| lock(&plot.workspace("alpha"), "ReadOnly");
    let all_but_alpha = &["SetSharedKeyAccess", "bravo"];
    add("b-workspace", Way::Back, Holds("alpha", "unlocked"), &["/b-workspace-alpha"], all_but_alpha, alpha_locked);
    // What is asked by POST is held too. The keys are taken before the switch and once more after it.
    add(
        "b-rotated",
        Way::Back,
        Holds("ResyncWorkspaceKeys", "unlocked"),
        &["/b-rotated-alpha"],
        &["SetSharedKeyAccess", "ResyncWorkspaceKeys", "bravo", "ResyncWorkspaceKeys"],
        alpha_locked,
    );
    let but_revoking = &BACK[..3];
    add("b-keep-account", Way::Back, Holds("RevokeRole", "unlocked"), &["/storageAccounts/"], but_revoking, |plot| {
        lock(&plot.account(), "CanNotDelete")
    });
    add("b-keep-group", Way::Back, Holds("RevokeRole", "unlocked"), &["rg-b-keep-group"], but_revoking, |plot| {
        lock(&plot.group(), "CanNotDelete")
    });
    add("b-keep-subscription", Way::Back, Holds("RevokeRole", "unlocked"), &["keep at /sub"], but_revoking, |plot| {
        lock(&plot.subscription(), "CanNotDelete")
    });
    add("b-keep-workspace", Way::Back, Told("lock"), &["bars revokes"], &BACK, |plot| {
        lock(&plot.workspace("alpha"), "CanNotDelete")
    });

    // Policies.
    add(
        "p-one-way",
        Way::Forward,
        Holds("SetSharedKeyAccess", "way_back"),
        &["Storage accounts should prevent shared key access", "policyAssignments/no-keys", "acceptOneWay"],
        modes,
        no_keys,
    );
    add(
        "p-mode",
        Way::Forward,
        Holds("alpha", "policy_allows"),
        &["keep-p-mode", "refuses `systemDatastoresAuthMode` = `Identity`", "exemption"],
        &["GrantRole", "GrantRole", "bravo"],
        |plot| refuses_identity(plot, &plot.workspace("alpha")),
    );
    // Assigned to the resource group of the workspaces, it is about both.
    add(
        "p-group",
        Way::Forward,
        Holds("bravo", "policy_allows"),
        &["/resourceGroups/rg-p-group-ml/", "keep-p-group", "refuses `systemDatastoresAuthMode` = `Identity`"],
        grants,
        |plot| refuses_identity(plot, &plot.group_of_workspaces()),
    );
    add(
        "p-keeps-on",
        Way::Forward,
        Holds("SetSharedKeyAccess", "policy_allows"),
        &["sets `allowSharedKeyAccess` to `true`"],
        modes,
        |plot| sets_the_flag(plot, "on", true),
    );
    add(
        "p-keeps-off",
        Way::Forward,
        Holds("SetSharedKeyAccess", "way_back"),
        &["sets `allowSharedKeyAccess` to `false`", "acceptOneWay"],
        modes,
        |plot| sets_the_flag(plot, "off", false),
    );
    add("b-keeps-off", Way::Back, Holds("SetSharedKeyAccess", "policy_allows"), &["to `false`"], none, |plot| {
        sets_the_flag(plot, "off", false)
    });
    add("p-accepted", Way::Forward, Told("oneWay"), &["platform", "company policy"], &FORWARD, no_keys);
    add("p-spared", Way::Forward, Told("policy"), &["spared spares it until 2099-01-01"], &FORWARD, |plot| {
        exempted(plot, "2099-01-01T00:00:00Z")
    });
    add(
        "p-no-longer",
        Way::Forward,
        Holds("alpha", "policy_allows"),
        &["keep-p-no-longer"],
        &["GrantRole", "GrantRole", "bravo"],
        |plot| exempted(plot, "2020-01-01T00:00:00Z"),
    );

    // What else is there.
    add("d-account", Way::Forward, Holds("SetSharedKeyAccess", "permitted"), &["`stack`"], modes, denied);
    // By keys its work goes on; without them the denial would end it, whatever role is granted.
    add("d-data", Way::Forward, Holds("alpha", "needs_covered"), &["no-data"], &["GrantRole", "bravo"], denied_data);
    let both: &[&str] = &["lacks Storage Blob Data Contributor and is denied by `no-data`"];
    let all_but_alpha = &["GrantRole", "GrantRole", "bravo"];
    add("d-both", Way::Forward, Holds("alpha", "needs_covered"), both, all_but_alpha, denied_data_and_no_role);
    add("b-denied", Way::Back, Holds("SetSharedKeyAccess", "permitted"), &["`stack`"], none, denied);
    add("d-spared", Way::Forward, Told("denial"), &["`stack`", "may deny SetSharedKeyAccess"], &FORWARD, |plot| {
        let group = json!({"type": "Microsoft.Graph/groups", "id": plot.guid(98), "displayName": "spared",
            "members": [keyless_sim::MANAGED_OBJECT_ID]});
        let mut all = denied_but(plot, &json!([{"id": plot.guid(98), "type": "Group"}]));
        all.push(group);
        all
    });
    // Denials of one right, at the workspaces alone: the account's list does not show them.
    let words: &[&str] = &["denied to everyone", "`stop`", "/workspaces/d-workspace-bravo"];
    let done = &["GrantRole", "GrantRole", "alpha"];
    add("d-workspace", Way::Forward, Holds("bravo", "permitted"), words, done, |plot| {
        denied_modes(plot, &plot.workspace("bravo"), &everyone())
    });
    let words: &[&str] = &["denied to the controller", "`stop`", "/resourceGroups/rg-d-itself-ml"];
    add("d-itself", Way::Forward, Holds("alpha", "permitted"), words, grants, |plot| {
        denied_modes(plot, &plot.group_of_workspaces(), &the_daemon())
    });
    add(
        "f-full-subscription",
        Way::Forward,
        Holds("GrantRole", "below_ceiling"),
        &["3999 of at most 4000", "2 more", "groups"],
        none,
        |plot| (0..3_997).map(|n| plot.grant_elsewhere(n)).collect(),
    );
    add("h-stranger", Way::Forward, Told("foreignHolder"), &["Storage Blob Data Contributor"], &FORWARD, |plot| {
        vec![plot.grant_to_a_stranger()]
    });

    // Network rules.
    let no_rule: &[&str] = &["no network rule", "private endpoint", "resourceAccessRules", "AzureServices"];
    for name in ["n-not-public", "n-denied", "n-pending"] {
        add(name, Way::Forward, Holds("alpha", "reachable"), no_rule, grants, nothing);
    }
    add(
        "n-one-named",
        Way::Forward,
        Holds("bravo", "reachable"),
        no_rule,
        &["GrantRole", "GrantRole", "alpha"],
        nothing,
    );
    // Whether the addresses and subnets that are let in are those of whoever works there, no read of Azure tells.
    for name in ["n-trusted", "n-endpoint", "n-address", "n-subnet"] {
        let words: &[&str] = match name {
            "n-trusted" => &["trusted services"],
            "n-endpoint" => &["private endpoints"],
            _ => &["addresses", "subnets"],
        };
        add(name, Way::Forward, Told("network"), words, &FORWARD, nothing);
    }

    for case in &mut cases {
        let Case { plot, account, document, .. } = case;
        plot.apart = plot.name.ends_with("-subscription");
        match plot.name {
            "n-not-public" => {
                // The front door is shut, whatever the rules for it say.
                *account = shut(&json!({"defaultAction": "Allow"}));
                account["publicNetworkAccess"] = json!("Disabled");
            }
            "n-denied" => *account = shut(&json!({})),
            "n-one-named" => {
                let rule = json!({"tenantId": plot.guid(1), "resourceId": plot.workspace("alpha").to_uppercase()});
                *account = shut(&json!({"resourceAccessRules": [rule]}));
            }
            "n-trusted" => *account = shut(&json!({"bypass": "Logging, AzureServices"})),
            "n-address" => *account = shut(&json!({"ipRules": [{"value": "203.0.113.0/24", "action": "Allow"}]})),
            "n-subnet" => {
                let subnet = format!("{}/providers/Microsoft.Network/virtualNetworks/v/subnets/s", plot.group());
                *account = shut(&json!({"virtualNetworkRules": [{"id": subnet, "action": "Allow"}]}));
            }
            "n-endpoint" | "n-pending" => {
                let status = if plot.name == "n-endpoint" { "Approved" } else { "Pending" };
                *account = shut(&json!({}));
                account["publicNetworkAccess"] = json!("Disabled");
                account["privateEndpointConnections"] = json!([{"properties": {
                    "privateLinkServiceConnectionState": {"status": status}, "provisioningState": "Succeeded"}}]);
            }
            "p-accepted" => {
                *document = "  sharedKeyAccess: disabled\n  acceptOneWay: {reason: company policy, owner: platform, until: 2099-01-01T00:00:00Z}\n";
            }
            "b-rotated" => *account = json!({"keyCreationTime": {"key1": "2026-01-01T00:00:00Z"}}),
            _ => {}
        }
    }
    cases
}

fn plan(sim: &Sim) -> BTreeMap<String, Value> {
    let plan: Value = serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap();
    assert_eq!(plan["problems"], json!([]), "{plan:#}");
    let accounts = plan["accounts"].as_array().unwrap().iter();
    accounts.map(|account| (id_of(account).to_lowercase(), account.clone())).collect()
}

/// The word for a step or an applied write.
fn word(kind: &str, workspace: &str) -> String {
    match NAMES.into_iter().find(|name| kind == "SetAuthMode" && workspace.ends_with(name)) {
        Some(name) => name.to_owned(),
        None => kind.to_owned(),
    }
}

fn check_named(case: &Case, plan: &Value) {
    let name = case.plot.name;
    let said = match &case.effect {
        Holds(held, gate) => {
            let all = plan["steps"].as_array().unwrap().iter();
            let of_it = all.filter(|step| word(text_at(step, "/action"), text_at(step, "/target")) == *held);
            let gates = of_it.flat_map(|step| step["gates"].as_array().unwrap());
            let shut = gates.into_iter().find(|check| check["gate"] == *gate && check["state"] == "unmet");
            let shut = shut.unwrap_or_else(|| panic!("{name}: no {gate} of {held}: {plan:#}"));
            format!("{} {}", text_at(shut, "/why"), text_at(shut, "/lift"))
        }
        Told(kind) => {
            let all = plan["steps"].as_array().unwrap().iter().flat_map(|step| step["gates"].as_array().unwrap());
            let barred: Vec<&Value> =
                all.filter(|check| check["state"] == "unmet" && BARRIERS.contains(&text_at(check, "/gate"))).collect();
            assert!(barred.is_empty(), "{name}: {barred:#?}");
            let all = plan["findings"].as_array().unwrap().iter();
            let of_it: Vec<&str> =
                all.filter(|finding| finding["kind"] == *kind).map(|finding| text_at(finding, "/message")).collect();
            of_it.join("\n")
        }
    };
    case.words.iter().for_each(|word| assert!(said.contains(word), "{name}: no `{word}` in: {said}\n{plan:#}"));
}

/// What was done to each account, sorted, by the name of the plot.
fn applied(daemon: &Daemon, cases: &[Case]) -> BTreeMap<&'static str, Vec<String>> {
    let events = daemon.events("action_applied");
    let of = |case: &Case| {
        let account = case.plot.account();
        let own = events.iter().filter(|event| same_id(text_at(event, "/storage_account"), &account));
        let mut words: Vec<String> =
            own.map(|event| word(text_at(event, "/kind"), text_at(event, "/workspace"))).collect();
        words.sort();
        words
    };
    cases.iter().map(|case| (case.plot.name, of(case))).collect()
}

fn sorted(words: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    words.sort();
    words
}

/// Every account with its barrier, and the documents of all.
fn cloud(cases: &[Case]) -> Sim {
    let mut world = Vec::new();
    for Case { plot, barrier, account, .. } in cases {
        world.extend(plot.resources());
        world.push(plot.account_with(account));
        world.extend(barrier(plot));
    }
    let sim = Sim::of_world(&world, &["--speed", "1800"]);
    for Case { plot, document, .. } in cases {
        std::fs::write(sim.desired().join(format!("{}.yaml", plot.name)), plot.documents(document)).unwrap();
    }
    let fleet = sim.desired().join("fleet.yaml");
    let text = std::fs::read_to_string(&fleet).unwrap();
    assert!(text.contains("prune: false"), "{text}");
    std::fs::write(&fleet, text.replace("prune: false", "prune: true")).unwrap();
    sim
}

/// Holds what is barred and does the rest, and all of it once the barriers are gone.
fn run(cases: &[Case]) -> (Sim, Daemon) {
    let sim = cloud(cases);
    let planned = plan(&sim);
    for case in cases {
        check_named(case, &planned[&case.plot.account().to_lowercase()]);
    }
    assert_eq!(sim.requests().writes(), 0, "every barrier is named before anything is written");

    let mut daemon = Daemon::start(&sim);
    let expected: BTreeMap<&str, Vec<String>> = cases.iter().map(|case| (case.plot.name, sorted(case.done))).collect();
    let done = wait_until("all that is not barred is done", patience(2 * cases.len()), || {
        let done = applied(&daemon, cases);
        let enough = expected.iter().all(|(name, words)| words.iter().all(|word| done[name].contains(word)));
        enough.then_some(done)
    });
    assert_eq!(done, expected);
    daemon.full_cycles(cases.len(), 3);
    assert_eq!(applied(&daemon, cases), expected, "what is barred stays as it is");
    assert_eq!(daemon.events("action_failed"), Vec::<Value>::new(), "nothing is tried that Azure would refuse");
    for Case { plot, effect, .. } in cases {
        if let Holds(_, gate) = effect {
            let account = plot.account();
            daemon.event("gate_unmet", |event| {
                event["gate"] == *gate && same_id(text_at(event, "/storage_account"), &account)
            });
        }
    }
    sim.assert_nobody_was_denied();

    for Case { plot, effect, barrier, .. } in cases {
        if let Holds(_, "reachable") = effect {
            let open = plot.account_with(&json!({}));
            sim.drift("resourcePut", id_of(&open), open.clone());
        } else if let Holds(..) = effect {
            // Of thousands of grants some are enough.
            let made = barrier(plot).into_iter().take(20);
            made.for_each(|made| drop(sim.drift("resourceRemoved", id_of(&made), Value::Null)));
        }
    }
    daemon.until_converged(cases.len(), patience(2 * cases.len()));
    let all: BTreeMap<&str, Vec<String>> = cases
        .iter()
        .map(|Case { plot: Plot { name, way, .. }, .. }| {
            let all: &[&str] = if *way == Way::Forward { &FORWARD } else { &BACK };
            let keys = if *name == "b-rotated" { &["ResyncWorkspaceKeys"; 4][..] } else { &[] };
            (*name, sorted(&[all, keys].concat()))
        })
        .collect();
    assert_eq!(applied(&daemon, cases), all);
    (sim, daemon)
}

#[test]
fn each_barrier_holds_what_it_bars_and_nothing_else() {
    let cases = cases();
    let (sim, daemon) = run(&cases);
    let accepted = cases.iter().find(|case| case.plot.name == "p-accepted").unwrap().plot.account();
    let on = json!({"properties": {"allowSharedKeyAccess": true}});
    assert_eq!(sim.arm("PATCH", &accepted, "2023-05-01", &on).status, 403, "as the plan said, there is no way back");
    let strangers = cases.iter().find(|case| case.plot.name == "h-stranger").unwrap().plot.stranger();
    let held = sim.resources("Microsoft.Authorization/roleAssignments");
    assert!(held.iter().any(|grant| text_at(grant, "/properties/principalId") == strangers), "it is told, not touched");
    daemon.stop();
    sim.assert_nobody_was_denied();
}

const MANAGEMENT_GROUP: &str = "/providers/Microsoft.Management/managementGroups/corp";

/// A policy against identity on workspaces, made and assigned for the whole company but the group of one plot.
fn of_the_company() -> Vec<Value> {
    let spared = left_out().plot.group_of_workspaces();
    let kind = "Microsoft.MachineLearningServices/workspaces";
    let then = json!({"effect": "deny"});
    let mut all = policy(MANAGEMENT_GROUP, MANAGEMENT_GROUP, "keys-only", kind, MODE, &json!("identity"), then);
    all[0]["properties"]["notScopes"] = json!([spared]);
    all
}

fn left_out() -> Case {
    case(400, ("m-left-out", Way::Forward, Told("policy")), &[], &FORWARD, nothing)
}

/// What is assigned above the subscription is named, and holds those that are neither left out nor exempted.
#[test]
fn a_policy_of_a_management_group_holds_whom_it_covers() {
    let words = &["managementGroups/corp", "keys-only", "refuses `systemDatastoresAuthMode` = `Identity`"];
    let covered: fn(&Plot) -> Vec<Value> = |_| of_the_company();
    let exempted: fn(&Plot) -> Vec<Value> = |plot| {
        let assigned = of_the_company();
        let properties = json!({"policyAssignmentId": id_of(&assigned[0]), "exemptionCategory": "Waiver"});
        vec![extension(&plot.group_of_workspaces(), "policyExemptions", "spared", properties)]
    };
    let exempt = &["managementGroups/corp", "spared spares it"];
    let cases = [
        left_out(),
        case(401, ("m-covered", Way::Forward, Holds("alpha", "policy_allows")), words, &FORWARD[..2], covered),
        case(402, ("m-exempt", Way::Forward, Told("policy")), exempt, &FORWARD, exempted),
        // On the way back nothing is put on identity.
        case(403, ("m-back", Way::Back, Told("policy")), &[], &BACK, nothing),
    ];
    let (sim, daemon) = run(&cases);
    daemon.stop();
    sim.assert_nobody_was_denied();
}
