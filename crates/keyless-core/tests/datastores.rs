//! The planner's rules for user-created datastores.

use std::collections::{BTreeMap, BTreeSet};

use insta::assert_snapshot;
use jiff::SignedDuration;
use keyless_core::action::Action;
use keyless_core::catalog::{BLOB_CONTRIBUTOR, BLOB_READER};
use keyless_core::desired::*;
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::{self, Finding, Limits, Look, Plan, Standing};

use crate::world::{self, *};

fn names(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

/// One workspace with one datastore, whose reader is declared.
fn reading_through(mode: ObservedAuthMode, datastore: Datastore) -> (World, WorkspaceId, KeyDesired) {
    let mut world = World::new();
    let id = world.workspace("fraud-train", mode);
    world.workspaces.get_mut(&id).unwrap().datastores.push(datastore);
    let mut desired = desired(&[(&id, AuthMode::Identity, vec![need(object(1), BLOB_READER)])]);
    let declared = desired.workspaces.get_mut(&id).unwrap();
    declared.datastores = DesiredDatastores::ConvertAll;
    declared.accept_one_way = accepted();
    (world, id, desired)
}

fn listed(desired: &mut KeyDesired, id: &WorkspaceId, list: Vec<DesiredDatastore>) {
    let list = list.into_iter().map(|asked| (asked.name.clone(), asked)).collect();
    desired.workspaces.get_mut(id).unwrap().datastores = DesiredDatastores::Listed(list);
}

fn without_credentials(name: &str) -> DesiredDatastore {
    DesiredDatastore { form: DesiredForm::WithoutCredentials, ..described(name) }
}

#[test]
fn a_stored_key_goes_after_the_switch_and_before_the_key() {
    let (mut world, _, desired) =
        reading_through(ObservedAuthMode::AccessKey, stored("raw", DatastoreCredentials::AccountKey));
    assert_snapshot!(show(&look(&world, &desired)), @r"
    ready
    - GrantRole Storage Blob Data Reader to User 00000000-0000-0000-0000-00000000a001 at stml
    - SetAuthMode identity on fraud-train
        needs_covered: user 00000000-0000-0000-0000-00000000a001 lacks Storage Blob Data Reader
        needs_aged: not looked at
    - SetDatastoreCredential None on fraud-train/raw, which holds AccountKey
        on_identity: the workspace is on accesskey
        needs_covered: user 00000000-0000-0000-0000-00000000a001 lacks Storage Blob Data Reader
        needs_aged: not looked at
    - SetSharedKeyAccess disabled on stml
        all_on_identity: workspace fraud-train is on accesskey
        no_stored_keys: fraud-train/raw holds a key or SAS
    ");
    let taken = converge(&mut world, &desired, |_, _| {});
    assert_eq!(
        names(&taken),
        [
            "GrantRole Storage Blob Data Reader to User 00000000-0000-0000-0000-00000000a001 at stml",
            "SetAuthMode identity on fraud-train",
            "SetDatastoreCredential None on fraud-train/raw, which holds AccountKey",
            "SetSharedKeyAccess disabled on stml",
        ]
    );
    assert!(taken[2].is_one_way() && !taken[1].is_one_way() && !taken[3].is_one_way());
    assert_eq!(look(&world, &desired).standing(), Standing::Converged);
}

#[test]
fn nothing_is_overwritten_until_a_named_person_accepts_that_it_is_for_good() {
    let (mut world, id, mut desired) =
        reading_through(ObservedAuthMode::Identity, stored("raw", DatastoreCredentials::Sas));
    world.assign(person(1), BLOB_READER, DAY);
    desired.workspaces.get_mut(&id).unwrap().accept_one_way = None;
    assert_snapshot!(show(&look(&world, &desired)), @r"
    blocked
    - SetDatastoreCredential None on fraud-train/raw, which holds Sas
        one_way_accepted: it cannot be taken back: the stored secret is overwritten, and keyless never reads secrets
    - SetSharedKeyAccess disabled on stml
        no_stored_keys: fraud-train/raw holds a key or SAS
    ");
    let mut ended = accepted().unwrap();
    ended.until = world.now;
    desired.workspaces.get_mut(&id).unwrap().accept_one_way = Some(ended);
    assert!(look(&world, &desired).next().is_none());
    desired.workspaces.get_mut(&id).unwrap().accept_one_way = accepted();
    assert_eq!(look(&world, &desired).next().unwrap().action.kind(), "SetDatastoreCredential");
}

#[test]
fn a_reader_without_a_role_or_with_a_young_one_keeps_the_key_stored() {
    let (mut world, _, desired) =
        reading_through(ObservedAuthMode::Identity, stored("raw", DatastoreCredentials::AccountKey));
    assert_eq!(look(&world, &desired).next().unwrap().action.kind(), "GrantRole");
    world.assign(person(1), BLOB_READER, 60);
    let plan = look(&world, &desired);
    assert!(plan.next().is_none());
    let opens = plan.wakes_at().unwrap();
    assert_eq!(opens, world.now + SignedDuration::from_mins(14), "{}", show(&plan));
    world.advance(opens);
    assert_eq!(look(&world, &desired).next().unwrap().action.kind(), "SetDatastoreCredential");
}

#[test]
fn only_keys_and_what_is_named_go() {
    let principal = DatastoreCredentials::Principal("ServicePrincipal".to_owned());
    for (held, by_all, by_name) in [
        (DatastoreCredentials::AccountKey, true, true),
        (DatastoreCredentials::Sas, true, true),
        (principal, false, true),
        (DatastoreCredentials::Other("Brandnew".to_owned()), false, false),
        (DatastoreCredentials::None, false, false),
    ] {
        let (mut world, id, mut desired) = reading_through(ObservedAuthMode::Identity, stored("raw", held.clone()));
        world.assign(person(1), BLOB_READER, DAY);
        let converts = |desired: &KeyDesired| {
            look(&world, desired).steps.iter().any(|step| step.action.kind() == "SetDatastoreCredential")
        };
        assert_eq!(converts(&desired), by_all, "{held}");
        listed(&mut desired, &id, vec![without_credentials("RAW")]);
        assert_eq!(converts(&desired), by_name, "{held}");
        desired.workspaces.get_mut(&id).unwrap().datastores = DesiredDatastores::Unmanaged;
        assert!(!converts(&desired));
    }
    let (world, _, desired) =
        reading_through(ObservedAuthMode::Identity, stored("workspaceblobstore", DatastoreCredentials::AccountKey));
    assert!(look(&world, &desired).steps.iter().all(|step| step.action.kind() != "SetDatastoreCredential"));
}

#[test]
fn a_datastore_on_another_account_waits_for_a_person_who_vouches_for_access_there() {
    let mut far = stored("raw", DatastoreCredentials::AccountKey);
    far.account_name = Some("stother".to_owned());
    let (mut world, id, mut desired) = reading_through(ObservedAuthMode::Identity, far);
    world.assign(person(1), BLOB_READER, DAY);
    let conversion = |world: &World, desired: &KeyDesired| {
        let plan = look(world, desired);
        plan.steps.into_iter().find(|step| step.action.kind() == "SetDatastoreCredential").unwrap()
    };
    assert!(!conversion(&world, &desired).is_open());
    let mut vouched = without_credentials("raw");
    listed(&mut desired, &id, vec![vouched.clone()]);
    assert!(!conversion(&world, &desired).is_open());
    vouched.accept_access = accepted();
    listed(&mut desired, &id, vec![vouched]);
    assert!(conversion(&world, &desired).is_open());
}

#[test]
fn access_to_another_account_is_judged_as_at_home() {
    let mut far = stored("raw", DatastoreCredentials::AccountKey);
    far.account_name = Some("stother".to_owned());
    far.form.subscription = Some(SUBSCRIPTION.to_owned());
    far.form.resource_group = Some("rg-other".to_owned());
    let (world, id, desired) = reading_through(ObservedAuthMode::Identity, far);
    let other = StorageAccountId::parse(&format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-other/providers/Microsoft.Storage/storageAccounts/stother"
    ))
    .unwrap();
    let judged = |change: &dyn Fn(&mut AccessAt)| {
        let mut there = World::new();
        there.assign_at(other.arm().clone(), person(1), BLOB_READER, DAY);
        let seen = there.observe(&desired);
        let mut access = AccessAt { assignments: seen.assignments, roles: seen.roles, denies: seen.denies };
        change(&mut access);
        let mut observed = world.observe(&desired);
        observed.access_at.insert(other.clone(), access);
        let plan = planned(&desired, &observed, &Limits::default(), Look::WhatMatters);
        plan.steps.into_iter().find(|step| step.action.kind() == "SetDatastoreCredential").unwrap()
    };
    // Nothing was read there: it is asked for, and nothing is open.
    let plan = planned(&desired, &world.observe(&desired), &Limits::default(), Look::Everything);
    assert!(plan.wants.access_at.contains(&other));
    let conversion = plan.steps.iter().find(|step| step.action.kind() == "SetDatastoreCredential").unwrap();
    assert!(!conversion.is_open());
    // A role at home is none there, and the other way round.
    let open = judged(&|_| {});
    assert!(open.is_open(), "{open:?}");
    let reads = plan::confirm_reads(&open, &desired, &world.observe(&desired));
    assert!(reads.access_at.contains(&other) && reads.datastores.contains(&id), "it is read again before the write");
    assert!(!judged(&|access| access.assignments = Reading::known(Vec::new(), start())).is_open());
    assert!(!judged(&|access| access.assignments = Reading::unknown("403")).is_open());
    assert!(!judged(&|access| access.assignments = Reading::NotRead).is_open());
    assert!(!judged(&|access| access.denies = Reading::NotRead).is_open());
    assert!(!judged(&|access| access.denies = Reading::unknown("403")).is_open());
    assert!(!judged(&|access| access.roles.clear()).is_open());
    let young = judged(&|access| {
        let mut there = World::new();
        there.assign_at(other.arm().clone(), person(1), BLOB_READER, 60);
        access.assignments = there.observe(&desired).assignments;
    });
    assert!(young.opens_at().is_some_and(|at| at > world.now), "{young:?}");
}

/// A datastore that stores the key of another account, and that account.
fn on_another_account(name: &str, account: &str) -> (Datastore, StorageAccountId) {
    let mut far = stored(name, DatastoreCredentials::AccountKey);
    far.account_name = Some(account.to_owned());
    far.form.subscription = Some(SUBSCRIPTION.to_owned());
    far.form.resource_group = Some("rg".to_owned());
    (far, neighbour_id(account))
}

#[test]
fn reads_of_another_account_have_to_agree_as_at_home_and_no_third_one_is_read() {
    let (far, other) = on_another_account("raw", "stother");
    let (mut world, id, desired) = reading_through(ObservedAuthMode::Identity, far);
    let (further, _) = on_another_account("further", "stthird");
    let stores = &mut world.workspaces.get_mut(&id).unwrap().datastores;
    stores.push(Datastore { credentials: DatastoreCredentials::None, ..further });
    let mut there = World::new();
    let made = there.assign_at(other.arm().clone(), person(1), BLOB_READER, 3600).clone();
    let seen = there.observe(&desired);
    let access = AccessAt { assignments: seen.assignments, roles: seen.roles, denies: seen.denies };
    let mut observed = world.observe(&desired);
    observed.access_at.insert(other.clone(), access);
    let plan_of = |observed: &Observed| planned(&desired, observed, &Limits::default(), Look::WhatMatters);
    let conversion = |plan: Plan| {
        plan.steps.into_iter().find(|step| step.action.kind() == "SetDatastoreCredential").unwrap() //
    };
    assert!(!conversion(plan_of(&observed)).is_open(), "one read has shown it");
    let shown = Shown::Assignment { at: other.clone(), id: made.id, made: made.created_on.unwrap() };
    let agreement = Agreement { first: world.now - SignedDuration::from_secs(1800), last: world.now, reads: 10 };
    observed.history.agreements.insert(shown, agreement);
    let open = conversion(plan_of(&observed));
    assert!(open.is_open(), "{open:?}");
    let others = BTreeSet::from([other.clone()]);
    assert_eq!(plan::confirm_reads(&open, &desired, &observed).access_at, others);
    observed.access_at.get_mut(&other).unwrap().denies = Reading::NotRead;
    assert_eq!(plan_of(&observed).wants.access_at, others, "what was not read there is asked for");
}

#[test]
fn what_differs_in_anything_but_credentials_is_told_and_left_alone() {
    let (mut world, id, mut desired) =
        reading_through(ObservedAuthMode::Identity, stored("raw", DatastoreCredentials::AccountKey));
    world.assign(person(1), BLOB_READER, DAY);
    let mut asked = described("raw");
    listed(&mut desired, &id, vec![asked.clone()]);
    assert_eq!(look(&world, &desired).next().unwrap().action.kind(), "SetDatastoreCredential");
    let place = |asked: &mut DesiredDatastore, change: fn(&mut DatastorePlace)| match &mut asked.form {
        DesiredForm::At(place) => change(place),
        DesiredForm::WithoutCredentials => unreachable!(),
    };
    type Change = fn(&mut DatastorePlace);
    let changes: [(&str, Change); 4] = [
        ("type", |place| place.kind = DatastoreKind::File),
        ("container", |place| place.space = "other".to_owned()),
        ("account", |place| place.account = Some("stother".to_owned())),
        ("serviceDataAccess", |place| place.service_access = Some(ServiceDataAccess::Workspace)),
    ];
    for (field, change) in changes {
        asked = described("raw");
        place(&mut asked, change);
        listed(&mut desired, &id, vec![asked.clone()]);
        let plan = look(&world, &desired);
        assert!(plan.steps.iter().all(|step| step.action.kind() == "SetSharedKeyAccess"), "{field}: {}", show(&plan));
        let told = plan
            .findings
            .iter()
            .any(|finding| matches!(finding, Finding::DatastoreDiffers { field: named, .. } if *named == field));
        assert!(told, "{field}: {:?}", plan.findings);
        assert_eq!(plan.standing(), Standing::Blocked);
    }
    // One that is named for conversion and does not exist is told too.
    listed(&mut desired, &id, vec![without_credentials("gone")]);
    assert!(
        look(&world, &desired).findings.iter().any(|finding| finding.to_string().contains("no datastore of this name"))
    );
}

#[test]
fn a_datastore_differs_in_whether_an_identity_reads_for_the_service_and_not_in_which() {
    for (seen, asked, differs) in [
        (None, ServiceDataAccess::None, false),
        (Some("none"), ServiceDataAccess::None, false),
        (Some("None"), ServiceDataAccess::Workspace, true),
        (Some("WorkspaceUserAssignedIdentity"), ServiceDataAccess::Workspace, false),
        (Some("WorkspaceSystemAssignedIdentity"), ServiceDataAccess::None, true),
    ] {
        let mut store = stored("raw", DatastoreCredentials::None);
        store.form.service_access = seen.map(str::to_owned);
        let (world, id, mut desired) = reading_through(ObservedAuthMode::Identity, store);
        let mut raw = described("raw");
        let DesiredForm::At(place) = &mut raw.form else { panic!("it says where") };
        place.service_access = Some(asked);
        listed(&mut desired, &id, vec![raw]);
        let told = look(&world, &desired).findings.into_iter().any(|finding| {
            matches!(finding, Finding::DatastoreDiffers { field: "serviceDataAccess", .. }) //
        });
        assert_eq!(told, differs, "{seen:?} {asked:?}");
    }
}

#[test]
fn a_missing_datastore_is_made_where_the_file_says_in_any_mode() {
    for mode in [ObservedAuthMode::AccessKey, ObservedAuthMode::Identity] {
        let mut world = World::new();
        let id = world.workspace("fraud-train", mode);
        let mut desired = desired(&[(&id, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
        listed(&mut desired, &id, vec![described("curated")]);
        let taken = converge(&mut world, &desired, |_, _| {});
        let made: Vec<&Action> = taken.iter().filter(|action| action.kind() == "CreateDatastore").collect();
        let [Action::CreateDatastore { place, .. }] = made.as_slice() else { panic!("{taken:?}") };
        assert_eq!((place.account.as_deref(), place.resource_group.as_deref()), (Some("stml"), Some("rg")));
        assert_eq!(place.subscription.as_deref(), Some(SUBSCRIPTION));
        assert_eq!(look(&world, &desired).standing(), Standing::Converged);
    }
}

#[test]
fn where_an_identity_of_the_customer_acts_for_the_workspace_a_made_datastore_names_it() {
    let own = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/own"
    );
    for (acts, asked, made) in [
        (false, Some(ServiceDataAccess::Workspace), Some(ServiceDataAccess::Workspace)),
        (true, Some(ServiceDataAccess::Workspace), Some(ServiceDataAccess::PrimaryIdentity)),
        (true, Some(ServiceDataAccess::None), Some(ServiceDataAccess::None)),
        (true, None, None),
    ] {
        let (mut world, id, mut desired) =
            reading_through(ObservedAuthMode::Identity, stored("raw", DatastoreCredentials::None));
        world.workspaces.get_mut(&id).unwrap().primary = acts.then(|| (own.parse().unwrap(), person(7)));
        let mut curated = described("curated");
        let DesiredForm::At(place) = &mut curated.form else { panic!("it says where") };
        place.service_access = asked;
        listed(&mut desired, &id, vec![curated]);
        let access = look(&world, &desired).steps.into_iter().find_map(|step| match step.action {
            Action::CreateDatastore { place, .. } => Some(place.service_access),
            _ => None,
        });
        assert_eq!(access, Some(made), "{acts} {asked:?}");
    }
}

#[test]
fn on_the_way_back_converted_datastores_stay() {
    let (mut world, id, mut desired) =
        reading_through(ObservedAuthMode::Identity, stored("raw", DatastoreCredentials::None));
    world.workspaces.get_mut(&id).unwrap().datastores.push(stored("other", DatastoreCredentials::AccountKey));
    desired.workspaces.get_mut(&id).unwrap().auth_mode = AuthMode::AccessKey;
    world.assign(person(1), BLOB_READER, DAY);
    let taken = converge(&mut world, &desired, |_, _| {});
    assert_eq!(names(&taken), ["SetAuthMode accesskey on fraud-train"]);
}

#[test]
fn what_could_not_be_read_is_no_missing_datastore() {
    let (mut world, id, mut desired) =
        reading_through(ObservedAuthMode::Identity, stored("raw", DatastoreCredentials::AccountKey));
    world.assign(person(1), BLOB_READER, DAY);
    listed(&mut desired, &id, vec![described("curated"), without_credentials("raw")]);
    for reading in [Reading::NotRead, Reading::unknown("503")] {
        let mut observed = world.observe(&desired);
        observed.workspaces.get_mut(&id).unwrap().datastores = reading.clone();
        let plan = planned(&desired, &observed, &Limits::default(), Look::WhatMatters);
        assert!(plan.steps.iter().all(|step| step.action.kind() == "SetSharedKeyAccess"), "{}", show(&plan));
        let told = plan
            .findings
            .iter()
            .any(|finding| matches!(finding, Finding::Incomplete { what, .. } if what.contains("datastores of")));
        assert_eq!(
            (told, plan.wants.datastores.contains(&id)),
            match reading {
                Reading::NotRead => (false, true),
                _ => (true, false),
            }
        );
    }
    // A workspace whose document says nothing of datastores costs no request for them.
    let plain = KeyDesired { workspaces: BTreeMap::new(), ..desired.clone() };
    let mut quiet = world::desired(&[(&id, AuthMode::Identity, vec![])]);
    quiet.fleet = plain.fleet;
    declare_account(&mut quiet, DesiredSharedKey::Unmanaged);
    let observed = Observed { ..world.observe(&quiet) };
    let plan = planned(&quiet, &observed, &Limits::default(), Look::WhatMatters);
    assert!(plan.wants.is_empty());
}

#[test]
fn the_key_gate_says_which_field_of_the_file_would_help() {
    let (mut world, id, mut desired) =
        reading_through(ObservedAuthMode::Identity, stored("raw", DatastoreCredentials::AccountKey));
    world.assign(person(1), BLOB_READER, DAY);
    desired.workspaces.get_mut(&id).unwrap().datastores = DesiredDatastores::Unmanaged;
    let lift = |world: &World| {
        let plan = look(world, &desired);
        let step = plan.steps.iter().find(|step| step.action.kind() == "SetSharedKeyAccess").unwrap().clone();
        step.gates.iter().find_map(|check| match &check.state {
            keyless_core::gate::GateState::Unmet { lift, .. } => Some(lift.clone()),
            _ => None,
        })
    };
    assert!(lift(&world).unwrap().contains("`datastores: {convert: all}`"));
    let system = stored("workspaceblobstore", DatastoreCredentials::AccountKey);
    world.workspaces.get_mut(&id).unwrap().datastores = vec![system];
    assert!(!lift(&world).unwrap().contains("convert: all"), "no field of the file rewrites a system datastore");
}

#[test]
fn stored_keys_that_no_switch_takes_away_are_named_before_those_that_one_does() {
    let mut world = World::new();
    let id = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let stores = &mut world.workspaces.get_mut(&id).unwrap().datastores;
    for name in ["workspaceartifactstore", "workspaceblobstore", "workspacefilestore", "workspaceworkingdirectory"] {
        stores.push(stored(name, DatastoreCredentials::AccountKey));
    }
    stores.push(stored("raw", DatastoreCredentials::AccountKey));
    world.elsewhere.push(stored("far", DatastoreCredentials::Sas));
    let wanted = desired(&[(&id, AuthMode::Identity, vec![])]);
    let shown = show(&look(&world, &wanted));
    let says = "no_stored_keys: fraud-train/raw holds a key or SAS, far-away/far, on another account, holds a key or SAS, \
                fraud-train/workspaceartifactstore holds a key or SAS";
    assert!(shown.contains(says), "{shown}");
}
