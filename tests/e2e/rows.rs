//! Every row of the articles' tables, W1 to W13 and H1 to H6, each as two fixtures that bear its number: one whose
//! identities hold what the article lists, and one that lacks it.
//!
//! The table here is written from the articles and by role names, apart from the catalog. Sources: A, "Disable shared key
//! access for your workspace's storage account" (2026-01); B, the same for a hub (2026-02); E, "Connect to storage by
//! using identity-based data access" (SDK v1).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::harness::{Daemon, Sim, id_of, output_of, patience, same_id, stdout, text_at, wait_until};

const SUBSCRIPTION: &str = "7c0e5f1a-2b3c-4d5e-8f90-a1b2c3d4e5f6";
const ML: &str = "Microsoft.MachineLearningServices/workspaces";
const BLOB: &str = "Storage Blob Data Contributor";
const READER: &str = "Storage Blob Data Reader";
const FILE: &str = "Storage File Data Privileged Contributor";
const TABLE: &str = "Storage Table Data Contributor";
const QUEUE: &str = "Storage Queue Data Contributor";
/// What the containers of every workspace begin with.
const GUID: &str = "5c0e0000-1111-4222-8333-000000000001";

/// A condition as the service sets it.
/// Source: MicrosoftDocs/azure-ai-docs `articles/machine-learning/concept-hub-workspace.md`.
fn containers() -> String {
    format!("@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringStartsWith '{GUID}-'")
}

/// Whose identity a row is about.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    /// The person at work.
    Person,
    /// A user-assigned identity in the workspace's own block.
    OfWorkspace,
    /// A user-assigned identity that a compute carries.
    OfCompute,
    /// A user-assigned identity that the file names by its id.
    Named,
    /// The system-assigned identity of a compute cluster.
    Cluster,
    /// The workspace's own: the service makes the grant.
    Own,
    /// An endpoint's own: the service makes the grant.
    Endpoint,
}

struct Row {
    number: &'static str,
    kind: &'static str,
    who: Who,
    /// The word of the files; nothing where the service makes the grant.
    scenario: Option<&'static str>,
    roles: &'static [&'static str],
}

const fn row(
    number: &'static str,
    kind: &'static str,
    who: Who,
    scenario: &'static str,
    roles: &'static [&'static str],
) -> Row {
    Row { number, kind, who, scenario: Some(scenario), roles }
}

const fn kept_by_service(number: &'static str, kind: &'static str, who: Who) -> Row {
    Row { number, kind, who, scenario: None, roles: &[BLOB] }
}

const ROWS: &[Row] = &[
    kept_by_service("W1", "Default", Who::Endpoint),
    row("W2", "Default", Who::OfWorkspace, "monitoring", &[BLOB]),
    row("W3", "Default", Who::OfCompute, "modelRegistry", &[BLOB]),
    row("W4", "Default", Who::Person, "modelFromLocalFiles", &[BLOB]),
    row("W5", "Default", Who::OfCompute, "parallelRunStep", &[TABLE, QUEUE]),
    row("W6", "Default", Who::Person, "dataLabeling", &[BLOB]),
    row("W7", "Default", Who::Person, "studioDatasets", &[BLOB]),
    row("W8", "Default", Who::Person, "computeInstance", &[FILE]),
    row("W8-identity", "Default", Who::OfCompute, "computeInstance", &[FILE]),
    row("W9", "Default", Who::Person, "notebooks", &[FILE]),
    row("W10", "Default", Who::Person, "promptFlow", &[BLOB, FILE]),
    row("W11", "Default", Who::Person, "datastores", &[BLOB]),
    kept_by_service("W12", "Default", Who::Own),
    row("W13", "Default", Who::Cluster, "training", &[READER]),
    row("H1", "Hub", Who::Person, "speech", &[BLOB, FILE]),
    kept_by_service("H2", "Hub", Who::Own),
    kept_by_service("H3", "Hub", Who::Own),
    row("H4", "Hub", Who::Named, "fineTuning", &[BLOB]),
    row("H5", "Hub", Who::Person, "promptFlow", &[BLOB, FILE]),
    row("H6", "Hub", Who::Person, "ownData", &[BLOB]),
];

/// What somebody with the role does with the data.
fn work(role: &str) -> &'static [&'static str] {
    match role {
        BLOB => &[
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
        ],
        READER => &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"],
        FILE => &[
            "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/write",
            "Microsoft.Storage/storageAccounts/fileServices/writeFileBackupSemantics/action",
        ],
        TABLE => &["Microsoft.Storage/storageAccounts/tableServices/tables/entities/write"],
        QUEUE => &["Microsoft.Storage/storageAccounts/queueServices/queues/messages/process/action"],
        other => panic!("no work for {other}"),
    }
}

/// GUIDs of the built-in roles. Source: <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage>.
fn role_id(name: &str) -> String {
    let guid = match name {
        BLOB => "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        READER => "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        FILE => "69566ab7-960f-475b-8e7c-b3118f30c6bd",
        TABLE => "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
        QUEUE => "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
        other => panic!("no role {other}"),
    };
    format!("/providers/Microsoft.Authorization/roleDefinitions/{guid}")
}

/// What stands where the service makes its grant.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// A workspace or hub, with a grant on all of the account.
    Whole,
    /// A workspace with data isolation, with a grant on its own containers.
    Isolated,
    /// A project of a hub, with a grant on its own containers.
    Project,
    /// A workspace without data isolation, with a grant on some containers all the same.
    Astray,
}

/// One fixture: a workspace with an account of its own, and somebody who does the row's work all the time, but where the
/// grant has a condition.
struct Fixture {
    /// `W4-pass`, or `W5-fail-1` where the second of its roles is missing.
    name: String,
    row: &'static Row,
    /// The role that is missing.
    lacks: Option<&'static str>,
    form: Form,
    number: usize,
}

impl Fixture {
    fn group() -> String {
        format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-rows")
    }

    fn workspace(&self) -> String {
        format!("{}/providers/{ML}/{}", Self::group(), self.name)
    }

    fn account(&self) -> String {
        let name = self.name.to_lowercase().replace('-', "");
        format!("{}/providers/Microsoft.Storage/storageAccounts/st{name}", Self::group())
    }

    /// The hub of a project, on the same account.
    fn hub(&self) -> Option<String> {
        (self.form == Form::Project).then(|| format!("{}-hub", self.workspace()))
    }

    fn identity(&self) -> String {
        format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-{}", Self::group(), self.name)
    }

    fn guid(&self, last: &str) -> String {
        format!("5c0e0000-0000-4000-8000-{:08}{last:0>4}", self.number)
    }

    /// The object id whose row it is.
    fn principal(&self) -> String {
        if self.row.who == Who::Own { self.guid("1") } else { self.guid("2") }
    }

    fn grant(&self, last: &str, principal: &str, kind: &str, role: &str) -> Value {
        let name = self.guid(last);
        json!({
            "id": format!("{}/providers/Microsoft.Authorization/roleAssignments/{name}", self.account()), "name": name,
            "type": "Microsoft.Authorization/roleAssignments",
            "properties": {
                "scope": self.account(), "principalId": principal, "principalType": kind,
                "roleDefinitionId": role_id(role),
                "createdOn": "2026-01-01T00:00:00Z", "updatedOn": "2026-01-01T00:00:00Z",
            },
        })
    }

    fn resources(&self) -> Vec<Value> {
        let Row { kind, who, roles, .. } = self.row;
        let (workspace, account) = (self.workspace(), self.account());
        let assigned = json!({self.identity(): {"principalId": self.principal(), "clientId": self.guid("3")}});
        let mut identity = json!({"type": "SystemAssigned", "principalId": self.guid("1")});
        if *who == Who::OfWorkspace {
            identity["type"] = json!("SystemAssigned,UserAssigned");
            identity["userAssignedIdentities"] = assigned.clone();
        }
        let mut resources = vec![
            json!({
                "id": account, "type": "Microsoft.Storage/storageAccounts", "kind": "StorageV2",
                "location": "westeurope", "sku": {"name": "Standard_LRS", "tier": "Standard"}, "properties": {},
            }),
            json!({
                "id": workspace, "type": ML, "kind": kind, "location": "westeurope", "identity": identity,
                "properties": {
                    "storageAccount": account, "systemDatastoresAuthMode": "AccessKey",
                    "provisioningState": "Succeeded",
                },
            }),
        ];
        let (mut graph, mut kind) = (None, "ServicePrincipal");
        match who {
            Who::Person => {
                graph = Some("users");
                kind = "User";
            }
            Who::OfWorkspace | Who::OfCompute | Who::Named => resources.push(json!({
                "id": self.identity(), "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
                "location": "westeurope",
                "properties": {"principalId": self.principal(), "clientId": self.guid("3")},
            })),
            Who::Cluster | Who::Endpoint => graph = Some("servicePrincipals"),
            Who::Own => {}
        }
        let own = &mut resources[1];
        own["properties"]["workspaceId"] = json!(GUID);
        if self.form == Form::Isolated {
            own["properties"]["enableDataIsolation"] = json!(true);
        }
        if let Some(hub) = self.hub() {
            own["kind"] = json!("Project");
            own["properties"]["hubResourceId"] = json!(hub);
            let properties = json!({"storageAccount": account, "systemDatastoresAuthMode": "AccessKey", "provisioningState": "Succeeded",
                "associatedWorkspaces": [workspace]});
            let identity = json!({"type": "SystemAssigned", "principalId": self.guid("4")});
            resources
                .push(json!({"id": hub, "type": ML, "kind": "Hub", "location": "westeurope", "identity": identity,
                "properties": properties}));
            resources.push(self.grant("12", &self.guid("4"), "ServicePrincipal", BLOB));
        }
        resources.extend(graph.map(
            |kind| json!({"type": format!("Microsoft.Graph/{kind}"), "id": self.principal(), "displayName": self.name}),
        ));
        let carried = match who {
            Who::OfCompute => Some(json!({"type": "UserAssigned", "userAssignedIdentities": assigned})),
            Who::Cluster => Some(json!({"type": "SystemAssigned", "principalId": self.principal()})),
            _ => None,
        };
        resources.extend(carried.map(|identity| {
            json!({
                "id": format!("{workspace}/computes/cpu"), "name": "cpu", "type": format!("{ML}/computes"), "location": "westeurope",
                "identity": identity,
                "properties": match self.row.scenario {
                    Some("computeInstance") => json!({"computeType": "ComputeInstance", "provisioningState": "Succeeded",
                        "properties": {"state": "Stopped"}}),
                    _ => json!({"computeType": "AmlCompute", "provisioningState": "Succeeded"}),
                },
            })
        }));
        if *who == Who::Endpoint {
            resources.push(json!({
                "id": format!("{workspace}/onlineEndpoints/score"), "name": "score", "location": "westeurope",
                "type": format!("{ML}/onlineEndpoints"),
                "identity": {"type": "SystemAssigned", "principalId": self.principal()},
                "properties": {"authMode": "AADToken", "provisioningState": "Succeeded"},
            }));
        }
        if *who != Who::Own {
            resources.push(self.grant("11", &self.guid("1"), "ServicePrincipal", BLOB));
        }
        let held = |role: &str| self.form == Form::Astray || Some(role) != self.lacks;
        for (n, role) in roles.iter().enumerate().filter(|(_, role)| held(role)) {
            let mut grant = self.grant(&format!("2{n}"), &self.principal(), kind, role);
            if self.form != Form::Whole {
                grant["properties"]["condition"] = json!(containers());
                grant["properties"]["conditionVersion"] = json!("2.0");
            }
            resources.push(grant);
        }
        if self.form != Form::Whole && held(BLOB) {
            // What a condition lets through is not known to the simulator, so nobody tries it.
            return resources;
        }
        let actions: Vec<&str> = roles.iter().flat_map(|role| work(role)).copied().collect();
        resources.push(json!({
            "id": format!("{workspace}/providers/Keyless.Sim/workloads/w"), "type": "Keyless.Sim/workloads",
            "properties": {
                "workspace": workspace, "principalId": self.principal(), "dataActions": actions, "triesPerHour": 3600,
            },
        }));
        resources
    }

    fn document(&self) -> String {
        let principal = match self.row.who {
            Who::Person => format!("{{user: {{objectId: {}}}}}", self.principal()),
            Who::OfWorkspace => "{workspace: userAssigned}".to_owned(),
            Who::OfCompute | Who::Cluster => "{compute: cpu}".to_owned(),
            Who::Named => format!("{{managedIdentity: {}}}", self.identity()),
            Who::Own | Who::Endpoint => String::new(),
        };
        let mut access = String::new();
        if let Some(scenario) = self.row.scenario {
            access = format!("  access:\n    - principal: {principal}\n      scenarios: [{scenario}]\n");
        }
        let document = |name: &str, id: &str, access: &str| {
            format!(
                "apiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {{name: {name}}}\nspec:\n  resourceId: {id}\n  \
                 authMode: identity\n  enforcement: enforce\n{access}",
            )
        };
        let own = document(&self.name, &self.workspace(), &access);
        match self.hub() {
            Some(hub) => format!("{own}---\n{}", document(&format!("{}-hub", self.name), &hub, "")),
            None => own,
        }
    }
}

static FIXTURES: LazyLock<Vec<Fixture>> = LazyLock::new(|| {
    let mut fixtures = Vec::new();
    for row in ROWS {
        fixtures.push((format!("{}-pass", row.number), row, None, Form::Whole));
        for (n, role) in row.roles.iter().enumerate() {
            let last = if row.roles.len() == 1 { String::new() } else { format!("-{n}") };
            fixtures.push((format!("{}-fail{last}", row.number), row, Some(*role), Form::Whole));
        }
    }
    // The service limits its grant by a condition in a workspace with data isolation and for a project of a hub.
    for (name, number, lacks, form) in [
        ("W12-isolated-pass", "W12", None, Form::Isolated),
        ("W12-isolated-fail", "W12", Some(BLOB), Form::Isolated),
        ("W12-astray-fail", "W12", Some(BLOB), Form::Astray),
        ("H2-project-pass", "H2", None, Form::Project),
        ("H2-project-fail", "H2", Some(BLOB), Form::Project),
    ] {
        let row = ROWS.iter().find(|row| row.number == number).unwrap();
        fixtures.push((name.to_owned(), row, lacks, form));
    }
    let numbered = fixtures.into_iter().enumerate();
    numbered.map(|(number, (name, row, lacks, form))| Fixture { name, row, lacks, form, number }).collect()
});

fn cloud(speed: &str) -> Sim {
    let resources: Vec<Value> = FIXTURES.iter().flat_map(Fixture::resources).collect();
    let sim = Sim::of_world(&resources, &["--speed", speed]);
    let documents: Vec<String> = FIXTURES.iter().map(Fixture::document).collect();
    std::fs::write(sim.desired().join("rows.yaml"), documents.join("---\n")).unwrap();
    sim
}

/// The plan of each fixture's account.
fn plans(sim: &Sim) -> BTreeMap<&'static str, Value> {
    let plan: Value = serde_json::from_str(&stdout(&output_of(sim.command(&["plan", "--output", "json"]), 0))).unwrap();
    assert_eq!(plan["problems"], json!([]), "{plan:#}");
    let accounts = plan["accounts"].as_array().unwrap();
    let plan_of = |fixture: &Fixture| {
        let id = fixture.account();
        accounts.iter().find(|account| id_of(account).eq_ignore_ascii_case(&id)).expect("a plan").clone()
    };
    FIXTURES.iter().map(|fixture| (fixture.name.as_str(), plan_of(fixture))).collect()
}

/// The shut gates of the switch of this workspace, with why.
fn shut(plan: &Value, workspace: &str) -> BTreeMap<String, String> {
    let steps = plan["steps"].as_array().unwrap().iter();
    let mut switches = steps.filter(|step| step["action"] == "SetAuthMode");
    let switch = switches.find(|step| same_id(text_at(step, "/target"), workspace)).expect("it is to be switched");
    let gates = switch["gates"].as_array().unwrap().iter();
    gates
        .filter(|gate| gate["state"] == "unmet")
        .map(|gate| (text_at(gate, "/gate").to_owned(), text_at(gate, "/why").to_owned()))
        .collect()
}

fn findings(plan: &Value, kind: &str) -> Vec<String> {
    let all = plan["findings"].as_array().unwrap().iter();
    all.filter(|finding| finding["kind"] == kind).map(|finding| text_at(finding, "/message").to_owned()).collect()
}

#[test]
fn each_row_passes_with_what_the_article_lists_and_fails_without_it() {
    let sim = cloud("600");
    let plans = plans(&sim);
    for fixture in FIXTURES.iter() {
        let (name, plan) = (&fixture.name, &plans[fixture.name.as_str()]);
        let grants: Vec<&Value> =
            plan["steps"].as_array().unwrap().iter().filter(|step| step["action"] == "GrantRole").collect();
        match (fixture.lacks, fixture.row.who) {
            (None, _) => {
                assert!(grants.is_empty(), "{name}: {grants:#?}");
                assert_eq!(shut(plan, &fixture.workspace()), BTreeMap::new(), "{name}");
                assert!(findings(plan, "serviceGrantMissing").is_empty(), "{name}: {plan:#}");
                assert!(findings(plan, "endpointGrantMissing").is_empty(), "{name}: {plan:#}");
            }
            (Some(role), Who::Own) => {
                assert!(grants.is_empty(), "{name}: a grant of the service is never written: {grants:#?}");
                let missing = findings(plan, "serviceGrantMissing");
                assert!(missing.len() == 1 && missing[0].contains(&fixture.principal()), "{name}: {missing:?}");
                let gates = shut(plan, &fixture.workspace());
                assert_eq!(gates.keys().collect::<Vec<_>>(), ["service_grant"], "{name}: {gates:?}");
                assert!(gates["service_grant"].contains(role), "{name}: {gates:?}");
            }
            (Some(_), Who::Endpoint) => {
                assert!(grants.is_empty(), "{name}: {grants:#?}");
                let missing = findings(plan, "endpointGrantMissing");
                assert!(missing.len() == 1 && missing[0].contains("endpoint score"), "{name}: {missing:?}");
                assert_eq!(shut(plan, &fixture.workspace()), BTreeMap::new(), "{name}: a warning is no gate");
            }
            (Some(role), _) => {
                assert_eq!(grants.len(), 1, "{name}: {grants:#?}");
                assert_eq!(grants[0]["role"], role, "{name}");
                assert_eq!(text_at(grants[0], "/principal"), fixture.principal(), "{name}");
                let gates = shut(plan, &fixture.workspace());
                assert_eq!(gates.keys().collect::<Vec<_>>(), ["needs_covered"], "{name}: {gates:?}");
                assert!(gates["needs_covered"].contains(role), "{name}: {gates:?}");
            }
        }
        assert!(findings(plan, "scenarioMisplaced").is_empty(), "{name}: {plan:#}");
    }
}

/// The fixtures are telling: switched by hand, just the failing ones lose access.
#[test]
fn switched_by_hand_just_the_failing_rows_lose_access() {
    let sim = cloud("600");
    for fixture in FIXTURES.iter() {
        sim.set_mode_by_hand(&fixture.workspace(), "Identity");
    }
    let loses = |fixture: &&Fixture| fixture.lacks.is_some() && fixture.form != Form::Astray;
    let failing: Vec<&Fixture> = FIXTURES.iter().filter(loses).collect();
    let denied = wait_until("the failing rows are denied", patience(FIXTURES.len()), || {
        let on = FIXTURES.iter().all(|fixture| sim.mode(&fixture.workspace()) == "identity");
        let oracle = sim.oracle();
        let events = oracle["events"].as_array().unwrap().clone();
        (on && events.len() >= failing.len()).then_some(events)
    });
    let mut expected: Vec<String> = failing.iter().map(|fixture| fixture.workspace().to_lowercase()).collect();
    let mut found: Vec<String> = denied.iter().map(|event| text_at(event, "/workspace").to_lowercase()).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    for event in &denied {
        assert!(text_at(event, "/cause").starts_with("AuthorizationPermissionMismatch: "), "{event:#}");
    }
}

/// All that the files may mend is mended, and only what the service keeps is left to a person: whoever needs a grant of the
/// service's holds the switch, but for an endpoint, which is warned of and is the one that loses access.
#[test]
fn the_daemon_takes_every_row_off_keys_and_only_the_endpoint_it_warned_of_is_denied() {
    let sim = cloud("600");
    let held: Vec<&Fixture> =
        FIXTURES.iter().filter(|fixture| fixture.lacks.is_some() && fixture.row.who == Who::Own).collect();
    let mut daemon = Daemon::start(&sim);
    let free: Vec<&Fixture> =
        FIXTURES.iter().filter(|fixture| !held.iter().any(|held| held.name == fixture.name)).collect();
    daemon.wait_until("every row that can be switched is", patience(FIXTURES.len()), |_| {
        let accounts = sim.accounts();
        let off = |id: &str| {
            accounts.iter().any(|account| {
                same_id(id_of(account), id) && account["properties"]["allowSharedKeyAccess"] == false //
            })
        };
        let on: Vec<&str> = free.iter().filter(|f| !off(&f.account())).map(|f| f.name.as_str()).collect();
        on.is_empty().then_some(())
    });
    for fixture in &held {
        assert_eq!(sim.mode(&fixture.workspace()), "accesskey", "{}", fixture.name);
        let event = daemon.event("service_grant_missing", |event| {
            text_at(event, "/workspace").eq_ignore_ascii_case(&fixture.workspace())
        });
        assert_eq!(text_at(&event, "/principal"), fixture.principal());
    }
    let warned = daemon.event("service_grant_missing", |event| {
        text_at(event, "/workspace").to_lowercase().ends_with("/w1-fail") //
    });
    assert!(text_at(&warned, "/why").contains("endpoint score"), "{warned:#}");
    let endpoint = FIXTURES.iter().find(|fixture| fixture.name == "W1-fail").unwrap();
    let denied = |sim: &Sim| -> Vec<[String; 3]> {
        let oracle = sim.oracle();
        let events = oracle["events"].as_array().unwrap().iter();
        events.map(|event| ["/principal", "/workspace", "/cause"].map(|at| text_at(event, at).to_lowercase())).collect()
    };
    // It tries all the time, so its one spell of refusals begins soon after the switch.
    daemon.wait_until("the endpoint is refused", patience(1), |_| (!denied(&sim).is_empty()).then_some(()));
    daemon.full_cycles(sim.accounts().len(), 2);
    daemon.stop();
    let cause = format!("AuthorizationPermissionMismatch: {}", work(BLOB)[0]);
    let expected = [endpoint.principal(), endpoint.workspace(), cause].map(|text| text.to_lowercase());
    assert_eq!(denied(&sim), [expected]);
    assert_eq!(sim.oracle()["denied"]["keyUsers"], 0);
}
