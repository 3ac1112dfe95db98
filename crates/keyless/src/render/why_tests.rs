//! What an operator reads when asking why: ten telling cases.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use keyless_core::action::assignment_name;
use keyless_core::catalog::{self, BLOB_CONTRIBUTOR, BLOB_READER, FILE_CONTRIBUTOR, FILE_READER};
use keyless_core::desired::*;
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::why::why;
use uuid::Uuid;

use super::why::{WhyOutput, render};

const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";
const MANAGEMENT_GROUP: &str = "/providers/Microsoft.Management/managementGroups/ml";
const RAW: &str = "(@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'raw')";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const CUSTOM: &str = "5a5a5a5a-0000-4000-8000-000000000001";

fn group_scope() -> ArmId {
    arm(&format!("{SUBSCRIPTION}/resourceGroups/rg-fraud"))
}

fn account() -> StorageAccountId {
    StorageAccountId::parse(&format!("{}/providers/Microsoft.Storage/storageAccounts/stfraud", group_scope())).unwrap()
}

fn workspace() -> WorkspaceId {
    let id = format!("{}/providers/Microsoft.MachineLearningServices/workspaces/fraud-train", group_scope());
    WorkspaceId::parse(&id).unwrap()
}

fn arm(text: &str) -> ArmId {
    ArmId::parse(text).unwrap()
}

fn id(n: u128) -> PrincipalId {
    PrincipalId(Uuid::from_u128(0xaa00 + n))
}

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

fn user(name: &str) -> PrincipalRef {
    PrincipalRef::Object { kind: PrincipalType::User, id: id(1), name: Some(name.to_owned()) }
}

/// A case: who is asked about, what the files say, and what Azure shows.
struct Case {
    desired: KeyDesired,
    observed: Observed,
    assignments: Vec<RoleAssignment>,
}

impl Case {
    /// One need of one principal.
    fn of(principal: PrincipalRef, role: RoleId) -> Self {
        let need = Need {
            principal,
            role,
            grant_scope: GrantScope::Account,
            condition: None,
            because: BTreeSet::from([Because::Level("readOnly")]),
        };
        let declared = DesiredWorkspace {
            name: "fraud-train".to_owned(),
            id: workspace(),
            auth_mode: AuthMode::Identity,
            enforcement: Enforcement::Enforce,
            suspend: None,
            needs: vec![need],
            service_grants: ServiceGrants::Wait,
            accept_stale_keys: None,
            accept_incompatible: BTreeMap::new(),
            drain: Drain::Wait,
            datastores: DesiredDatastores::Unmanaged,
            accept_one_way: None,
            create: None,
            location: Location::default(),
        };
        let desired = KeyDesired {
            revision: Revision("r1".to_owned()),
            fleet: Fleet { owner: "ml".to_owned(), ..Fleet::default() },
            account_id: account(),
            account: None,
            workspaces: BTreeMap::from([(workspace(), declared)]),
            unplaced: std::sync::Arc::default(),
            out_of_scope: Reading::known(std::collections::BTreeSet::new(), Timestamp::MIN),
            out_of_sight: std::collections::BTreeMap::new(),
            group_is_shared: false,
        };
        let mut observed = Observed::unread(account(), now());
        observed.denies = Reading::known(Vec::new(), now());
        let own = Workspace {
            id: workspace(),
            kind: WorkspaceKind::Default,
            storage_account: Some(account()),
            more_accounts: BTreeSet::new(),
            hub: None,
            auth_mode: ObservedAuthMode::Identity,
            identity: Identity::default(),
            primary_identity: None,
            data_isolation: None,
            guid: None,
            provisioning_state: None,
            created_at: None,
            managed_network: false,
            location: "westeurope".to_owned(),
            tenant: None,
        };
        let entry = ObservedWorkspace {
            workspace: Reading::known(Some(own), now()),
            datastores: Reading::NotRead,
            computes: Reading::known(Vec::new(), now()),
            jobs: Reading::known(Vec::new(), now()),
            glimpse: Reading::NotRead,
        };
        observed.workspaces.insert(workspace(), entry);
        for n in 1..=2 {
            observed.groups.insert(id(n), Reading::known(BTreeSet::new(), now()));
            observed.eligibilities.insert(id(n), Reading::known(Vec::new(), now()));
        }
        let mut case = Self { desired, observed, assignments: Vec::new() };
        for role in catalog::ROLES {
            case.define(role.id, role.name, vec![catalog::permission_of(role)]);
        }
        case
    }

    fn define(&mut self, role: RoleId, name: &str, permissions: Vec<Permission>) {
        let definition = RoleDefinition {
            id: role,
            name: name.to_owned(),
            permissions,
            updated_on: Some(ago(600_000)),
            built_in: true,
        };
        self.observed.roles.insert(role, Reading::known(definition, now()));
    }

    fn grant(&mut self, scope: &ArmId, principal: PrincipalId, role: RoleId, minutes: i64) -> &mut RoleAssignment {
        let name = AssignmentName(Uuid::from_u128(0xbb01 + self.assignments.len() as u128));
        let is_group = principal == id(7) || principal == id(8);
        self.assignments.push(RoleAssignment {
            id: scope.role_assignment(name),
            name,
            scope: scope.clone(),
            principal,
            principal_type: Some(if is_group { PrincipalType::Group } else { PrincipalType::ServicePrincipal }),
            role,
            condition: None,
            description: None,
            created_on: Some(ago(minutes)),
            updated_on: Some(ago(minutes)),
        });
        self.assignments.last_mut().unwrap()
    }

    fn member(&mut self, of: PrincipalId, minutes: i64) {
        self.observed.groups.insert(id(1), Reading::known(BTreeSet::from([of]), now()));
        self.observed.history.member_since.insert((id(1), of), ago(minutes));
    }

    fn ask(&mut self, who: &str, output: WhyOutput) -> String {
        self.observed.assignments = Reading::known(self.assignments.clone(), now());
        let answer = why(&self.desired, &self.observed, &workspace(), who).unwrap();
        assert!(answer.wants.is_empty(), "{:?}", answer.wants);
        anstream::adapter::strip_str(&render(&answer, output)).to_string()
    }

    fn text(&mut self, who: &str) -> String {
        self.ask(who, WhyOutput::Text)
    }
}

fn permission(data: &[&str], not_data: &[&str]) -> Permission {
    let strings = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    Permission { data_actions: strings(data), not_data_actions: strings(not_data), ..Permission::default() }
}

fn deny(principals: Vec<DeniedPrincipal>, excluded: &[PrincipalId]) -> DenyAssignment {
    DenyAssignment {
        name: "stack-deny".to_owned(),
        scope: group_scope(),
        permissions: vec![permission(&["*/blobs/*"], &[])],
        exact_scope_only: false,
        principals,
        excluded: excluded.iter().copied().collect(),
        conditional: false,
    }
}

#[test]
fn a_direct_grant() {
    let mut case = Case::of(user("ada"), BLOB_CONTRIBUTOR);
    let name = assignment_name("ml", account().arm(), id(1), BLOB_CONTRIBUTOR, None);
    let made = case.grant(account().arm(), id(1), BLOB_CONTRIBUTOR, 90);
    made.name = name;
    made.id = account().arm().role_assignment(name);
    insta::assert_snapshot!(case.text("ada"));
}

#[test]
fn through_a_group_that_the_files_name() {
    let mut case = Case::of(user("ada"), BLOB_CONTRIBUTOR);
    let group = PrincipalRef::Object { kind: PrincipalType::Group, id: id(8), name: Some("all-of-ml".to_owned()) };
    let needs = &mut case.desired.workspaces.get_mut(&workspace()).unwrap().needs;
    needs.push(Need { principal: group, ..needs[0].clone() });
    case.grant(&arm(SUBSCRIPTION), id(8), BLOB_CONTRIBUTOR, 100_000);
    case.member(id(8), 3000);
    insta::assert_snapshot!(case.text("ada"));
    case.observed.history = History::default();
    let text = case.text("ada");
    assert!(text.contains(": effective") && text.contains("since when it is in the group is not told"), "{text}");
}

#[test]
fn at_a_management_group_and_young() {
    let mut case = Case::of(user("ada"), BLOB_READER);
    case.grant(&arm(MANAGEMENT_GROUP), id(1), BLOB_READER, 90);
    insta::assert_snapshot!(case.text("ada"));
}

#[test]
fn by_a_custom_role_with_a_wildcard() {
    let mut case = Case::of(user("ada"), BLOB_CONTRIBUTOR);
    let role = CUSTOM.parse().unwrap();
    let blobs = permission(&["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"], &[]);
    case.define(role, "Blob hand", vec![permission(&[], &[]), blobs]);
    case.grant(&group_scope(), id(1), role, 5000);
    insta::assert_snapshot!(case.text("ada"));
}

#[test]
fn a_hole_that_not_data_actions_leave() {
    let mut case = Case::of(user("ada"), BLOB_CONTRIBUTOR);
    let role = CUSTOM.parse().unwrap();
    case.define(role, "Blob hand without delete", vec![permission(&["*"], &["*/blobs/delete"])]);
    case.grant(&group_scope(), id(1), role, 5000);
    insta::assert_snapshot!(case.text("ada"));
}

#[test]
fn only_under_a_condition() {
    let mut case = Case::of(user("ada"), BLOB_READER);
    case.grant(account().arm(), id(1), BLOB_READER, 5000).condition = Some(RAW.to_owned());
    insta::assert_snapshot!(case.text("ada"));
    // Asked for under just that condition it is enough.
    case.desired.workspaces.get_mut(&workspace()).unwrap().needs[0].condition = Some(RAW.to_owned());
    assert!(case.text("ada").contains(": effective"), "{}", case.text("ada"));
}

#[test]
fn denied_although_others_are_spared() {
    let mut case = Case::of(user("ada"), BLOB_READER);
    case.grant(account().arm(), id(1), BLOB_READER, 5000);
    case.grant(account().arm(), id(8), FILE_READER, 5000);
    case.observed.denies = Reading::known(vec![deny(vec![DeniedPrincipal::Everyone], &[id(8)])], now());
    insta::assert_snapshot!(case.text("ada"));
    case.member(id(8), 5000);
    assert!(case.text("ada").contains(": effective"), "in the group that is spared: {}", case.text("ada"));
}

#[test]
fn whoever_is_denied_and_lacks_the_role_is_told_what_lifts_both() {
    let mut case = Case::of(user("ada"), BLOB_READER);
    let lift = |text: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix("lifted by: "));
        line.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    let grant = lift(&case.text("ada"));
    assert!(grant.starts_with("a grant of Storage Blob Data Reader") && !grant.contains("deny"), "{grant}");
    let first = deny(vec![DeniedPrincipal::Everyone], &[]);
    case.observed.denies = Reading::known(vec![first.clone()], now());
    let spared = "an exclusion in the deny assignment `stack-deny`, or its end";
    assert_eq!(lift(&case.text("ada")), format!("{grant}; and {spared}"));
    let second = DenyAssignment { name: "b".to_owned(), ..first };
    let denies = [case.observed.denies.value().unwrap().as_slice(), &[second]].concat();
    case.observed.denies = Reading::known(denies, now());
    let both = "an exclusion in each of the deny assignments `b`, `stack-deny`, or their end";
    assert_eq!(lift(&case.text("ada")), format!("{grant}; and {both}"));
    case.grant(account().arm(), id(1), BLOB_READER, 5000);
    assert_eq!(lift(&case.text("ada")), both, "no grant lifts the one alone either");
}

#[test]
fn the_workspaces_own_identity_is_held_against_the_services_role_whether_named_or_not() {
    let mut case = Case::of(user("ada"), BLOB_READER);
    let guid = Uuid::from_u128(0xcafe);
    let own = |case: &mut Case, change: &dyn Fn(&mut Workspace)| {
        let entry = case.observed.workspaces.get_mut(&workspace()).unwrap();
        let mut own = entry.workspace.value().unwrap().clone().unwrap();
        change(&mut own);
        entry.workspace = Reading::known(Some(own), now());
    };
    let none = case.text("system");
    assert!(none.contains("not effective") && none.contains("no system-assigned identity"), "{none}");
    own(&mut case, &|own| own.identity.system = Some(id(2)));
    let missing = case.text("system");
    assert!(missing.contains("✗ Storage Blob Data Contributor for serviceGrants"), "{missing}");
    assert!(missing.contains("does not name it; what the service grants to it:"), "{missing}");
    assert!(missing.contains("lifted by: the service's own grant (re-provisioning)"), "{missing}");
    // What a group of it has is none of the service's.
    case.observed.groups.insert(id(2), Reading::known(BTreeSet::from([id(8)]), now()));
    case.grant(account().arm(), id(8), BLOB_CONTRIBUTOR, 90_000);
    assert!(case.text("system").contains("not effective"));
    // The conditioned form counts where the gate takes it, and nowhere else.
    let condition =
        format!("@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringLike '{guid}*'");
    case.grant(account().arm(), id(2), BLOB_CONTRIBUTOR, 90_000).condition = Some(condition);
    own(&mut case, &|own| own.guid = Some(guid));
    assert!(case.text("system").contains("not effective"), "{}", case.text("system"));
    own(&mut case, &|own| own.kind = WorkspaceKind::Project);
    let granted = case.text("system");
    assert!(granted.contains(": effective") && granted.contains("granted, old enough, not denied"), "{granted}");
    case.observed.denies = Reading::known(vec![deny(vec![DeniedPrincipal::Everyone], &[])], now());
    let denied = case.text("system");
    assert!(
        denied.contains("not effective") && denied.contains("deny assignment `stack-deny`, or its end"),
        "{denied}"
    );
    // Named for less, it is held against both.
    case.observed.denies = Reading::known(Vec::new(), now());
    let needs = &mut case.desired.workspaces.get_mut(&workspace()).unwrap().needs;
    needs.push(Need { principal: PrincipalRef::WorkspaceSystem, role: FILE_READER, ..needs[0].clone() });
    let both = case.text("system");
    assert!(both.contains("✗ Storage File Data Privileged Reader for level readOnly"), "{both}");
    assert!(both.contains("✓ Storage Blob Data Contributor for serviceGrants"), "{both}");
    assert!(!both.contains("does not name it"), "{both}");
    // Where another identity acts, the service's grant decides nothing.
    case.desired.workspaces.get_mut(&workspace()).unwrap().needs.pop();
    own(&mut case, &|own| {
        let primary = format!("{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/own", group_scope());
        own.primary_identity = Some(ManagedIdentityId::parse(&primary).unwrap());
    });
    let other = case.text("system");
    assert!(other.contains("each role of the catalog") && !other.contains("serviceGrants"), "{other}");
}

#[test]
fn an_identity_that_was_made_again() {
    let mut case = Case::of(PrincipalRef::Compute("cpu-cluster".to_owned()), BLOB_READER);
    let compute = Compute {
        name: "cpu-cluster".to_owned(),
        compute_type: "AmlCompute".to_owned(),
        identity: Identity { system: Some(id(2)), ..Identity::default() },
        state: None,
    };
    case.observed.workspaces.get_mut(&workspace()).unwrap().computes = Reading::known(vec![compute], now());
    let old = id(3);
    let name = assignment_name("ml", account().arm(), old, BLOB_READER, None);
    let made = case.grant(account().arm(), old, BLOB_READER, 90_000);
    made.name = name;
    made.id = account().arm().role_assignment(name);
    insta::assert_snapshot!(case.text("cpu-cluster"));
}

#[test]
fn eligible_and_not_active() {
    let mut case = Case::of(user("ada"), BLOB_READER);
    let eligible = |role, principal| Eligibility {
        scope: group_scope(),
        principal,
        role,
        role_name: Some(catalog::role_name(role)),
        until: Some("2027-01-01T00:00:00Z".parse().unwrap()),
    };
    let all = vec![eligible(BLOB_CONTRIBUTOR, id(8)), eligible(FILE_CONTRIBUTOR, id(1))];
    case.observed.eligibilities.insert(id(1), Reading::known(all, now()));
    insta::assert_snapshot!(case.text("ada"));
    case.observed.eligibilities.insert(id(1), Reading::unknown("403 AuthorizationFailed"));
    assert!(case.text("ada").contains("! eligible roles could not be read: 403"), "{}", case.text("ada"));
}

#[test]
fn an_owner_has_no_data_actions() {
    let mut case = Case::of(user("ada"), BLOB_READER);
    let role = OWNER.parse().unwrap();
    let everything = Permission { actions: vec!["*".to_owned()], ..Permission::default() };
    case.define(role, "Owner", vec![everything]);
    case.grant(&arm(SUBSCRIPTION), id(1), role, 90_000);
    insta::assert_snapshot!(case.text("ada"));
}

#[test]
fn somebody_whom_the_files_do_not_name_is_held_against_the_catalog() {
    let mut case = Case::of(user("ada"), BLOB_READER);
    case.grant(account().arm(), id(2), BLOB_READER, 5000);
    case.grant(account().arm(), id(2), FILE_READER, 5000);
    insta::assert_snapshot!(case.text(&id(2).to_string()));
}

#[test]
fn the_json_of_an_answer_has_stable_names() {
    let mut case = Case::of(user("ada"), BLOB_CONTRIBUTOR);
    case.grant(&arm(SUBSCRIPTION), id(8), BLOB_READER, 100_000);
    case.grant(account().arm(), id(1), BLOB_CONTRIBUTOR, 3).condition = Some(RAW.to_owned());
    case.member(id(8), 3000);
    case.observed.denies = Reading::known(vec![deny(vec![DeniedPrincipal::Group(id(9))], &[])], now());
    insta::assert_snapshot!(case.ask("ada", WhyOutput::Json));
}

#[test]
fn words_that_mean_nobody_or_several_say_who_could_be_meant() {
    let mut case = Case::of(user("ada"), BLOB_READER);
    let needs = &mut case.desired.workspaces.get_mut(&workspace()).unwrap().needs;
    needs.push(Need { principal: PrincipalRef::Compute("ada".to_owned()), ..needs[0].clone() });
    case.observed.assignments = Reading::known(Vec::new(), now());
    let several = why(&case.desired, &case.observed, &workspace(), "ada").unwrap_err().to_string();
    assert!(several.contains("compute ada, user ada") && several.contains("hint: give the object id"), "{several}");
    let nobody = why(&case.desired, &case.observed, &workspace(), "bob").unwrap_err().to_string();
    assert!(nobody.contains("names no principal `bob`") && nobody.contains("user ada"), "{nobody}");
}
