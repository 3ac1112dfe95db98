use std::collections::{BTreeMap, BTreeSet};

use super::*;

const CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const SIZES: &[(usize, u64)] = &[(1, 1), (2, 2), (3, 3), (5, 4), (13, 5), (40, 6), (60, 7), (200, 7), (200, 8)];

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn fleets() -> Vec<Fleet> {
    let random = SIZES.iter().map(|&(workspaces, seed)| generate(workspaces, seed, now()));
    random.chain((0..4).map(|seed| generate_demo(seed, now()))).collect()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn of_type<'a>(fleet: &'a Fleet, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    fleet.resources.iter().filter(move |resource| resource["type"] == kind)
}

fn workspaces(fleet: &Fleet) -> impl Iterator<Item = &Value> {
    of_type(fleet, "Microsoft.MachineLearningServices/workspaces")
}

fn accounts(fleet: &Fleet) -> impl Iterator<Item = &Value> {
    of_type(fleet, "Microsoft.Storage/storageAccounts")
}

fn grants(fleet: &Fleet) -> impl Iterator<Item = &Value> {
    of_type(fleet, "Microsoft.Authorization/roleAssignments")
}

fn workspace<'a>(fleet: &'a Fleet, id: &str) -> &'a Value {
    workspaces(fleet).find(|resource| text(resource, "/id").eq_ignore_ascii_case(id)).unwrap()
}

/// The account a workspace stands on: its own word, or its hub's.
fn account_of(fleet: &Fleet, resource: &Value) -> String {
    match resource.pointer("/properties/storageAccount").and_then(Value::as_str) {
        Some(id) => id.to_lowercase(),
        None => account_of(fleet, workspace(fleet, text(resource, "/properties/hubResourceId"))),
    }
}

/// Each word's roles, told again apart from the generator.
fn roles_of_word(word: &str) -> &'static [&'static str] {
    match word {
        "readWrite" | "promptFlow" => &[CONTRIBUTOR, "69566ab7-960f-475b-8e7c-b3118f30c6bd"],
        "readOnly" => &["2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "b8eda974-7b85-4f76-af95-65846b26df6d"],
        "training" => &["2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"],
        "parallelRunStep" => &["0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3", "974c5e8b-45b9-4653-ba55-5f855dd0fb88"],
        "notebooks" | "computeInstance" => &["69566ab7-960f-475b-8e7c-b3118f30c6bd"],
        "studioDatasets"
        | "datastores"
        | "modelFromLocalFiles"
        | "dataLabeling"
        | "ownData"
        | "modelRegistry"
        | "monitoring"
        | "fineTuning" => &[CONTRIBUTOR],
        other => panic!("unknown word {other}"),
    }
}

fn covers(granted: &str, needed: &str) -> bool {
    let weaker: &[&str] = match granted {
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b" => &[CONTRIBUTOR, "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"],
        CONTRIBUTOR => &["2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"],
        "69566ab7-960f-475b-8e7c-b3118f30c6bd" => &["b8eda974-7b85-4f76-af95-65846b26df6d"],
        _ => &[],
    };
    granted == needed || weaker.contains(&needed)
}

fn object_ids(fleet: &Fleet, declared: &DeclaredWorkspace, principal: &Principal) -> Vec<String> {
    let user_assigned = |resource: &Value| -> Vec<String> {
        let assigned = resource.pointer("/identity/userAssignedIdentities").and_then(Value::as_object);
        assigned.into_iter().flat_map(|map| map.values()).map(|ids| text(ids, "/principalId").to_owned()).collect()
    };
    match principal {
        Principal::User { object_id, .. }
        | Principal::Group { object_id, .. }
        | Principal::ServicePrincipal { object_id, .. } => vec![object_id.clone()],
        Principal::ManagedIdentity(id) => of_type(fleet, "Microsoft.ManagedIdentity/userAssignedIdentities")
            .filter(|resource| text(resource, "/id") == id)
            .map(|resource| text(resource, "/properties/principalId").to_owned())
            .collect(),
        Principal::Compute(name) => {
            let id = format!("{}/computes/{name}", declared.resource_id);
            let compute = of_type(fleet, "Microsoft.MachineLearningServices/workspaces/computes")
                .find(|resource| text(resource, "/id").eq_ignore_ascii_case(&id))
                .unwrap();
            match text(compute, "/identity/type") {
                "SystemAssigned" => vec![text(compute, "/identity/principalId").to_owned()],
                _ => user_assigned(compute),
            }
        }
        Principal::WorkspaceSystem => {
            vec![text(workspace(fleet, &declared.resource_id), "/identity/principalId").to_owned()]
        }
    }
}

/// Every declared need as (workspace, account, principal, role).
fn needs(fleet: &Fleet) -> BTreeSet<(String, String, String, &'static str)> {
    let mut needs = BTreeSet::new();
    for declared in &fleet.desired {
        let account = account_of(fleet, workspace(fleet, &declared.resource_id));
        let profiles = fleet.profiles.iter().filter(|profile| declared.profiles.contains(&profile.name));
        for access in declared.access.iter().chain(profiles.flat_map(|profile| &profile.access)) {
            let words = match &access.asked {
                Asked::Level(level) => vec![*level],
                Asked::Scenarios(words) => words.clone(),
            };
            let holders = object_ids(fleet, declared, &access.principal);
            assert!(!holders.is_empty(), "{access:?} of {} is nobody", declared.name);
            for holder in holders {
                for role in words.iter().flat_map(|word| roles_of_word(word)) {
                    needs.insert((declared.resource_id.to_lowercase(), account.clone(), holder.clone(), *role));
                }
            }
        }
    }
    needs
}

fn members(fleet: &Fleet) -> BTreeMap<String, Vec<String>> {
    of_type(fleet, "Microsoft.Graph/groups")
        .map(|group| {
            let members = group["members"].as_array().unwrap().iter();
            (text(group, "/id").to_owned(), members.map(|member| member.as_str().unwrap().to_owned()).collect())
        })
        .collect()
}

/// The unconditional grants by their holders, as (scope, role).
struct Granted {
    by_holder: BTreeMap<String, Vec<(String, String)>>,
    groups_of: BTreeMap<String, Vec<String>>,
}

impl Granted {
    fn of(fleet: &Fleet) -> Self {
        let mut granted = Self { by_holder: BTreeMap::new(), groups_of: BTreeMap::new() };
        for grant in grants(fleet).filter(|grant| grant["properties"]["condition"].is_null()) {
            let role = text(grant, "/properties/roleDefinitionId").rsplit('/').next().unwrap().to_owned();
            let scope = text(grant, "/properties/scope").to_lowercase();
            granted.by_holder.entry(text(grant, "/properties/principalId").to_owned()).or_default().push((scope, role));
        }
        for (group, members) in members(fleet) {
            for member in members {
                granted.groups_of.entry(member).or_default().push(group.clone());
            }
        }
        granted
    }

    /// Whether a grant at the account or above gives the principal the role, itself or through a group.
    fn meets(&self, account: &str, principal: &str, role: &str) -> bool {
        let groups = self.groups_of.get(principal).into_iter().flatten().map(String::as_str);
        std::iter::once(principal).chain(groups).filter_map(|holder| self.by_holder.get(holder)).flatten().any(
            |(scope, granted)| (account == scope || account.starts_with(&format!("{scope}/"))) && covers(granted, role),
        )
    }
}

#[test]
fn the_same_seed_makes_the_same_bytes_and_another_seed_others() {
    let bytes = |seed| serde_json::to_string(&generate(40, seed, now()).resources).unwrap();
    assert_eq!(bytes(7), bytes(7));
    assert_ne!(bytes(7), bytes(8));
    assert_eq!(generate(40, 7, now()), generate(40, 7, now()));
    assert_eq!(generate_demo(1, now()), generate_demo(1, now()));
    assert_ne!(generate_demo(1, now()).resources, generate_demo(2, now()).resources);
}

#[test]
fn a_fleet_has_exactly_the_workspaces_asked_for_and_declares_each_once() {
    for &(count, seed) in SIZES {
        let fleet = generate(count, seed, now());
        let there: BTreeSet<String> = workspaces(&fleet).map(|resource| text(resource, "/id").to_lowercase()).collect();
        let declared: BTreeSet<String> = fleet.desired.iter().map(|d| d.resource_id.to_lowercase()).collect();
        let names: BTreeSet<&str> = fleet.desired.iter().map(|declared| declared.name.as_str()).collect();
        assert_eq!((there.len(), names.len()), (count, count));
        assert_eq!(there, declared);
        assert_eq!(fleet.subscriptions.len(), count / 60 + 1);
    }
    assert!(generate(0, 1, now()).desired.is_empty());
    assert!(generate(0, 1, now()).resources.is_empty());
}

#[test]
fn a_fleet_loads_again_as_it_was_made() {
    for fleet in fleets() {
        let loaded = crate::load::parse(&Value::Array(fleet.resources.clone()).to_string()).unwrap();
        assert_eq!(loaded.resources, fleet.resources);
        assert_eq!(loaded.ignored, 0);
    }
}

#[test]
fn every_kind_and_every_form_of_sharing_is_there() {
    for fleet in fleets().into_iter().filter(|fleet| fleet.desired.len() >= 5) {
        let kinds: BTreeSet<&str> = workspaces(&fleet).map(|resource| text(resource, "/kind")).collect();
        assert_eq!(kinds, BTreeSet::from(["Default", "Hub", "Project"]));
        assert!(workspaces(&fleet).any(|resource| resource.pointer("/properties/storageAccount").is_none()));
        let mut standing: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for resource in workspaces(&fleet) {
            standing.entry(account_of(&fleet, resource)).or_default().push(text(resource, "/kind"));
        }
        assert_eq!(standing.len(), accounts(&fleet).count(), "an account stands empty or is missing");
        assert!(standing.values().any(|kinds| kinds.len() >= 2 && kinds.iter().all(|kind| *kind == "Default")));
        assert!(standing.values().all(|kinds| kinds.len() <= 5));
    }
}

#[test]
fn at_least_half_of_the_declared_needs_lack_a_grant_and_some_are_met_in_every_way() {
    for fleet in fleets() {
        let (needs, granted) = (needs(&fleet), Granted::of(&fleet));
        let met = needs.iter().filter(|(_, account, who, role)| granted.meets(account, who, role)).count();
        assert!(2 * met <= needs.len(), "{met} of {} needs are met", needs.len());
        let shared: BTreeSet<_> = needs.iter().map(|(_, account, who, role)| (account, who, role)).collect();
        let met = shared.iter().filter(|(account, who, role)| granted.meets(account, who, role)).count();
        assert!(2 * met <= shared.len(), "{met} of {} distinct needs are met", shared.len());
        if fleet.desired.len() >= 13 {
            assert!(4 * met >= shared.len(), "only {met} of {} distinct needs are met", shared.len());
        }
    }
    let fleet = generate(200, 7, now());
    let scope_kinds: BTreeSet<usize> =
        grants(&fleet).map(|grant| text(grant, "/properties/scope").matches('/').count()).collect();
    assert_eq!(scope_kinds, BTreeSet::from([2, 4, 8]), "subscription, resource group, account");
    assert!(
        grants(&fleet)
            .any(|g| text(g, "/properties/roleDefinitionId").ends_with("b7e6dc6d-f1e8-4753-8033-0f276bb0955b"))
    );
}

#[test]
fn every_grant_is_older_than_thirty_days() {
    let month = now().checked_sub(jiff::SignedDuration::from_hours(30 * 24)).unwrap();
    for fleet in fleets() {
        for grant in grants(&fleet) {
            for field in ["/properties/createdOn", "/properties/updatedOn"] {
                let at: Timestamp = text(grant, field).parse().unwrap();
                assert!(at < month, "{grant}");
            }
        }
    }
}

#[test]
fn the_service_granted_every_workspace_identity_its_role_on_the_account() {
    for fleet in fleets() {
        for resource in workspaces(&fleet) {
            let (account, identity) = (account_of(&fleet, resource), text(resource, "/identity/principalId"));
            let grant = grants(&fleet)
                .find(|grant| text(grant, "/properties/principalId") == identity)
                .unwrap_or_else(|| panic!("{} has no grant", resource["name"]));
            assert_eq!(text(grant, "/properties/scope").to_lowercase(), account);
            assert!(text(grant, "/properties/roleDefinitionId").ends_with(CONTRIBUTOR));
            let condition = text(grant, "/properties/condition");
            assert_eq!(condition.contains(text(resource, "/properties/workspaceId")), resource["kind"] == "Project");
        }
    }
}

#[test]
fn every_workspace_has_a_principal_at_work_within_what_is_declared_for_it() {
    for fleet in fleets() {
        let (needs, groups) = (needs(&fleet), members(&fleet));
        let mut working = BTreeSet::new();
        for workload in of_type(&fleet, "Keyless.Sim/workloads") {
            let home = text(workload, "/properties/workspace").to_lowercase();
            let principal = text(workload, "/properties/principalId");
            assert!(text(workload, "/id").starts_with(text(workload, "/properties/workspace")));
            let roles: Vec<&str> = needs
                .iter()
                .filter(|(workspace, _, who, _)| {
                    *workspace == home
                        && (who == principal || groups.get(who).is_some_and(|g| g.iter().any(|m| m == principal)))
                })
                .map(|(_, _, _, role)| *role)
                .collect();
            assert!(!roles.is_empty(), "{workload} is not entitled");
            let actions = workload["properties"]["dataActions"].as_array().unwrap();
            assert!(!actions.is_empty());
            for action in actions {
                let action = action.as_str().unwrap();
                let service = action.split('/').nth(2).unwrap();
                let reads = action.ends_with("/read") || action.ends_with("readFileBackupSemantics/action");
                assert!(
                    roles.iter().any(|role| match (service, *role) {
                        ("blobServices", CONTRIBUTOR) => true,
                        ("blobServices", "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1") => reads,
                        ("fileServices", "69566ab7-960f-475b-8e7c-b3118f30c6bd") => true,
                        ("fileServices", "b8eda974-7b85-4f76-af95-65846b26df6d") => reads,
                        ("tableServices", "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3") => true,
                        ("queueServices", "974c5e8b-45b9-4653-ba55-5f855dd0fb88") => true,
                        _ => false,
                    }),
                    "{action} is not declared: {roles:?}"
                );
            }
            working.insert(home);
        }
        assert_eq!(working.len(), fleet.desired.len());
    }
}

#[test]
fn a_tenth_of_the_accounts_has_a_key_user_who_stops_after_an_hour() {
    for fleet in fleets() {
        let count = accounts(&fleet).count();
        let ids: BTreeSet<&str> = accounts(&fleet).map(|account| text(account, "/id")).collect();
        let users: Vec<&Value> = of_type(&fleet, "Keyless.Sim/keyUsers").collect();
        let expected = if count < 5 { 0 } else { ((count + 5) / 10).max(1) };
        assert_eq!(users.len(), expected, "of {count} accounts");
        assert!(users.iter().all(|user| user["properties"]["stopsAfter"] == "1h"));
        assert!(users.iter().all(|user| ids.contains(text(user, "/properties/account"))));
    }
}

#[test]
fn nothing_stands_in_the_way_for_good() {
    for fleet in fleets() {
        for compute in of_type(&fleet, "Microsoft.MachineLearningServices/workspaces/computes") {
            let on_hub =
                text(workspace(&fleet, text(compute, "/id").split("/computes/").next().unwrap()), "/kind") != "Default";
            match text(compute, "/properties/computeType") {
                "ComputeInstance" => assert_ne!(text(compute, "/identity/type"), "SystemAssigned"),
                "AmlCompute" => assert!(!on_hub, "hubs have no clusters"),
                other => panic!("{other}"),
            }
        }
        for datastore in of_type(&fleet, "Microsoft.MachineLearningServices/workspaces/datastores") {
            let system = text(datastore, "/name").starts_with("workspace");
            let home = text(datastore, "/id").split("/datastores/").next().unwrap();
            let converted =
                fleet.desired.iter().any(|one| one.converts_datastores && one.resource_id.eq_ignore_ascii_case(home));
            assert!(system || converted || text(datastore, "/properties/credentials/credentialsType") == "None");
        }
        assert!(fleet.resources.iter().all(|resource| {
            let kind = text(resource, "/type").to_lowercase();
            !kind.contains("locks") && !kind.contains("denyassignments") && !kind.contains("policy")
        }));
        assert!(
            accounts(&fleet)
                .all(|account| account["properties"].get("allowSharedKeyAccess") != Some(&Value::Bool(false)))
        );
    }
}

#[test]
fn no_declared_need_goes_a_way_that_takes_a_day() {
    for fleet in fleets() {
        let users: BTreeSet<&str> = of_type(&fleet, "Microsoft.Graph/users").map(|user| text(user, "/id")).collect();
        for member in members(&fleet).values().flatten() {
            assert!(users.contains(member.as_str()), "{member} is in a group and no user");
        }
        assert!(grants(&fleet).all(|grant| text(grant, "/properties/scope").starts_with("/subscriptions/")));
    }
}

#[test]
fn whoever_is_on_identity_already_lacks_nothing() {
    for fleet in fleets() {
        let (needs, granted) = (needs(&fleet), Granted::of(&fleet));
        for resource in workspaces(&fleet) {
            let mode = text(resource, "/properties/systemDatastoresAuthMode");
            if mode.eq_ignore_ascii_case("identity") {
                let home = text(resource, "/id").to_lowercase();
                for (_, account, who, role) in needs.iter().filter(|(workspace, ..)| *workspace == home) {
                    assert!(granted.meets(account, who, role), "{home}: {who} lacks {role}");
                }
            }
        }
    }
}

#[test]
fn ids_and_flags_come_in_the_forms_that_azure_uses() {
    let fleet = generate(200, 7, now());
    let odd = |path: &str| workspaces(&fleet).filter(|w| text(w, path).contains("/resourcegroups/")).count();
    assert!(odd("/properties/storageAccount") > 5 && odd("/properties/hubResourceId") > 1 && odd("/id") > 1);
    let flags: BTreeMap<&str, usize> = accounts(&fleet).fold(BTreeMap::new(), |mut flags, account| {
        let form = match account["properties"].get("allowSharedKeyAccess") {
            None => "absent",
            Some(Value::Null) => "null",
            Some(_) => "true",
        };
        *flags.entry(form).or_default() += 1;
        flags
    });
    assert_eq!(flags.len(), 3);
    assert!(flags["absent"] > flags["true"] && flags["true"] > flags["null"], "{flags:?}");
}

#[test]
fn the_demo_has_a_dozen_named_workspaces_on_fewer_accounts() {
    let fleet = generate_demo(1, now());
    assert_eq!((fleet.desired.len(), accounts(&fleet).count()), (13, 6));
    assert!(fleet.desired.iter().any(|declared| declared.name == "fraud-train"));
    assert_eq!(of_type(&fleet, "Keyless.Sim/keyUsers").count(), 1);
}
