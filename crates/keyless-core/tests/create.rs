//! Workspaces that do not exist: made where the files say how, on identity from the start, and nobody is locked out.

use keyless_core::action::{Action, Effort};
use keyless_core::catalog::BLOB_CONTRIBUTOR;
use keyless_core::desired::*;
use keyless_core::gate::GateState;
use keyless_core::id::StorageAccountId;
use keyless_core::lint::lint;
use keyless_core::manifest::{SourceFile, load};
use keyless_core::observed::*;
use keyless_core::plan::{self, Finding, Limits, Look};

use crate::world::*;

fn make(kind: CreateKind) -> Create {
    Create {
        location: "westeurope".to_owned(),
        kind,
        friendly_name: None,
        storage_account: account_id(),
        public_network_access: true,
        isolation: Isolation::Disabled,
    }
}

fn parts() -> Parts {
    Parts { key_vault: account_id().arm().clone(), application_insights: None, container_registry: None }
}

/// Documents that make these workspaces, each with a person who needs its blobs.
fn asked(kinds: &[(&str, CreateKind)]) -> KeyDesired {
    let ids: Vec<_> = kinds.iter().map(|(name, _)| workspace_id(name)).collect();
    let needs =
        || vec![need(object(1), BLOB_CONTRIBUTOR), need(PrincipalRef::Compute("cpu".to_owned()), BLOB_CONTRIBUTOR)];
    let mut desired = desired(&ids.iter().map(|id| (id, AuthMode::Identity, needs())).collect::<Vec<_>>());
    for (id, (_, kind)) in ids.iter().zip(kinds) {
        desired.workspaces.get_mut(id).unwrap().create = Some(make(kind.clone()));
    }
    desired
}

fn names(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

/// An account whose key is off, without a workspace.
fn keyless() -> World {
    let mut world = World::new();
    world.key = SharedKeyAccess::Disallowed;
    world
}

#[test]
fn who_needs_the_data_is_granted_before_the_hub_is_made_and_the_hub_comes_before_its_project() {
    let mut world = keyless();
    let project = CreateKind::Project(workspace_id("zz-hub"));
    let desired = asked(&[("assistant", project), ("zz-hub", CreateKind::Hub(parts()))]);
    let taken = converge(&mut world, &desired, |before, action| {
        if matches!(action, Action::CreateWorkspace { .. }) {
            assert!(before.has(person(1), BLOB_CONTRIBUTOR, desired.fleet.waits.role_propagation), "granted and aged");
        }
    });
    assert_eq!(
        names(&taken),
        [
            format!("GrantRole Storage Blob Data Contributor to User {} at stml", person(1)),
            "CreateWorkspace zz-hub".to_owned(),
            "CreateWorkspace assistant".to_owned(),
        ]
    );
    assert!(world.workspaces.values().all(|truth| truth.mode == ObservedAuthMode::Identity));
    let plan = look(&world, &desired);
    assert!(plan.steps.is_empty() && plan.drift.is_empty(), "{}", show(&plan));
}

#[test]
fn nothing_is_made_that_the_files_do_not_say_how_to_make() {
    let world = keyless();
    let mut desired = asked(&[("train", CreateKind::Default(parts()))]);
    desired.workspaces.values_mut().for_each(|workspace| workspace.create = None);
    let mut observed = world.observe(&desired);
    let missing = ObservedWorkspace { workspace: Reading::known(None, world.now), ..ObservedWorkspace::unread() };
    observed.workspaces.insert(workspace_id("train"), missing);
    let plan = planned(&desired, &observed, &Limits::default(), Look::Everything);
    assert!(plan.steps.is_empty(), "{}", show(&plan));
    assert!(plan.findings.contains(&Finding::WorkspaceMissing { workspace: workspace_id("train") }));
}

#[test]
fn only_a_read_that_says_that_there_is_none_makes_one() {
    let world = keyless();
    let id = workspace_id("train");
    let desired = asked(&[("train", CreateKind::Default(parts()))]);
    let steps = |reading: Reading<Option<Workspace>>| {
        let mut observed = world.observe(&desired);
        observed.workspaces.get_mut(&id).unwrap().workspace = reading;
        let plan = planned(&desired, &observed, &Limits::default(), Look::Everything);
        plan.steps.iter().filter(|step| matches!(step.action, Action::CreateWorkspace { .. })).count()
    };
    assert_eq!(steps(Reading::known(None, world.now)), 1);
    assert_eq!(steps(Reading::NotRead), 0);
    assert_eq!(steps(Reading::unknown("throttled")), 0);
    let mut there = keyless();
    there.workspace("train", ObservedAuthMode::AccessKey);
    let plan = look(&there, &desired);
    assert!(!plan.steps.iter().any(|step| matches!(step.action, Action::CreateWorkspace { .. })), "{}", show(&plan));
}

#[test]
fn a_project_waits_for_its_hub_and_says_so() {
    let world = keyless();
    let plan = look(&world, &asked(&[("assistant", CreateKind::Project(workspace_id("elsewhere")))]));
    let text = show(&plan);
    assert!(
        text.contains("hub_there: not looked at") && plan.wants.workspaces.contains(&workspace_id("elsewhere")),
        "{text}"
    );
}

/// The plan for a project of `hub` whose own person nobody else's document names, after the hub was read as this.
fn project_of(
    hub: WorkspaceKind,
    stands: Option<StorageAccountId>,
) -> (keyless_core::plan::Plan, Observed, KeyDesired) {
    let mut world = keyless();
    let id = world.workspace("zz-hub", ObservedAuthMode::Identity);
    let desired = asked(&[("assistant", CreateKind::Project(id.clone()))]);
    let mut observed = world.observe(&desired);
    let entry = observed.workspaces.get_mut(&id).unwrap();
    let Reading::Known { value: Some(own), .. } = &mut entry.workspace else { panic!("it was read") };
    own.kind = hub;
    own.storage_account = stands;
    let plan = planned(&desired, &observed, &Limits::default(), Look::Everything);
    (plan, observed, desired)
}

#[test]
fn a_project_is_neither_made_nor_granted_anything_for_where_its_hub_would_put_it_elsewhere() {
    let other: StorageAccountId = account_id().as_str().replace("stml", "stother").parse().unwrap();
    for (kind, stands, why) in [
        (WorkspaceKind::Hub, Some(other), "the hub zz-hub stands on stother, and `create` says stml"),
        (WorkspaceKind::Hub, None, "the hub zz-hub names no storage account"),
        (WorkspaceKind::Project, Some(account_id()), "zz-hub is a project, and a project is made in a hub"),
        (WorkspaceKind::Default, Some(account_id()), "zz-hub is a workspace, and a project is made in a hub"),
    ] {
        let (plan, ..) = project_of(kind, stands);
        let text = show(&plan);
        assert_eq!(plan.steps.len(), 2, "the grant and the making: {text}");
        assert!(plan.steps.iter().all(|step| !step.is_open()), "{text}");
        assert_eq!(text.matches(&format!("hub_there: {why}")).count(), 2, "{text}");
    }
    let (mut forced, observed, desired) = project_of(WorkspaceKind::Project, Some(account_id()));
    forced.steps.remove(0);
    forced.steps[0].gates.iter_mut().for_each(|check| check.state = GateState::Open);
    let violations = lint(&desired, &observed, &Limits::default(), &forced);
    assert!(violations.iter().any(|found| found.to_string().contains("its hub is not known")), "{violations:?}");
    let (plan, observed, desired) = project_of(WorkspaceKind::Hub, Some(account_id()));
    assert!(plan.steps[0].is_open(), "{}", show(&plan));
    let reads = plan::confirm_reads(&plan.steps[0], &desired, &observed);
    assert!(reads.workspaces.contains(&workspace_id("zz-hub")), "the hub is looked at again before the grant");
}

#[test]
fn who_needs_only_the_project_is_granted_once_its_hub_is_there() {
    let mut world = keyless();
    let project = CreateKind::Project(workspace_id("zz-hub"));
    let mut desired = asked(&[("assistant", project), ("zz-hub", CreateKind::Hub(parts()))]);
    desired.workspaces.get_mut(&workspace_id("zz-hub")).unwrap().needs.clear();
    let taken = converge(&mut world, &desired, |_, _| {});
    assert_eq!(
        names(&taken),
        [
            "CreateWorkspace zz-hub".to_owned(),
            format!("GrantRole Storage Blob Data Contributor to User {} at stml", person(1)),
            "CreateWorkspace assistant".to_owned(),
        ]
    );
}

#[test]
fn the_hub_of_a_project_that_is_there_is_not_asked_for_again() {
    let mut world = keyless();
    let hub = workspace_id("zz-hub");
    let mut desired = asked(&[("assistant", CreateKind::Project(hub.clone())), ("zz-hub", CreateKind::Hub(parts()))]);
    converge(&mut world, &desired, |_, _| {});
    desired.workspaces.get_mut(&workspace_id("assistant")).unwrap().needs.push(need(object(2), BLOB_CONTRIBUTOR));
    let plan = look(&world, &desired);
    let step = plan.steps.iter().find(|step| matches!(step.action, Action::GrantRole(_))).unwrap();
    let reads = plan::confirm_reads(step, &desired, &world.observe(&desired));
    assert!(step.is_open() && reads.assignments && !reads.workspaces.contains(&hub), "{}", show(&plan));
}

#[test]
fn making_one_is_held_like_a_switch_and_reads_itself_again_before_the_write() {
    let world = keyless();
    let mut desired = asked(&[("train", CreateKind::Default(parts()))]);
    desired.fleet.paused = true;
    let plan = look(&world, &desired);
    let step = plan.steps.iter().find(|step| matches!(step.action, Action::CreateWorkspace { .. })).unwrap();
    assert!(!step.is_open() && step.effort == Effort::Tighten);
    let reads = plan::confirm_reads(step, &desired, &world.observe(&desired));
    assert!(reads.workspaces.contains(&workspace_id("train")) && reads.assignments && reads.locks && reads.denies);
}

#[test]
fn a_missing_account_is_told_with_the_documents_that_would_make_something_on_it() {
    let world = keyless();
    let mut desired = asked(&[("train", CreateKind::Default(parts()))]);
    desired.workspaces.get_mut(&workspace_id("train")).unwrap().location =
        Location { path: "new.yaml".to_owned(), line: 3, column: 1 };
    let mut observed = world.observe(&desired);
    observed.account = Reading::Known { value: None, at: observed.now };
    let plan = planned(&desired, &observed, &Limits::default(), Look::Everything);
    let told = plan.findings.iter().find(|finding| matches!(finding, Finding::AccountMissing { .. })).unwrap();
    let text = told.to_string();
    assert_eq!(text, "the storage account does not exist, and is named by `create` of train (new.yaml:3:1)");
    assert!(told.lift().is_some());
}

#[test]
fn the_region_is_taken_by_either_name_and_anything_odd_is_told_with_its_place() {
    let read = |region: &str| {
        let group = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers";
        let text = format!(
            "apiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {{name: w}}\nspec:\n  \
             resourceId: {group}/Microsoft.MachineLearningServices/workspaces/ml-w\n  authMode: identity\n  create:\n    \
             location: '{region}'\n    kind: default\n    \
             storageAccount: {group}/Microsoft.Storage/storageAccounts/stml\n    \
             keyVault: {group}/Microsoft.KeyVault/vaults/kv-ml\n"
        );
        load("desired", &[SourceFile::new("w.yaml", text)])
    };
    for (region, name) in
        [("westeurope", "westeurope"), ("West Europe", "westeurope"), ("East US 2 EUAP", "eastus2euap")]
    {
        let desired = read(region).unwrap().desired;
        let made = desired.workspaces.values().next().unwrap().create.as_ref().unwrap();
        assert_eq!(made.location, name);
    }
    let long = "a ".repeat(32) + "a";
    for region in [" West Europe", "West Europe ", "West  Europe", "west-europe", "(Europe) West Europe", "Wést", &long]
    {
        let told = read(region).unwrap_err().problems[0].to_string();
        assert!(told.starts_with("w.yaml:8:15: `spec.create.location` is not the name of a region: "), "{told}");
    }
    for region in ["", " "] {
        let told = read(region).unwrap_err().problems[0].to_string();
        assert!(told.starts_with("w.yaml:8:15: `spec.create.location` must not be empty"), "{told}");
    }
}
