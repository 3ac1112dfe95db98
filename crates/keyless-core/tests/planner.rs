//! The planner's rules one by one. Every case that can, ends at the fixed point: execute, observe, plan again, nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use insta::assert_snapshot;
use jiff::SignedDuration;
use keyless_core::action::{Action, Effort};
use keyless_core::catalog::{BLOB_CONTRIBUTOR, BLOB_READER, FILE_CONTRIBUTOR, FILE_READER};
use keyless_core::desired::*;
use keyless_core::gate::{Gate, GateState};
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::{self, Drift, Fight, Finding, Limits, Look, Refusal, Standing};
use keyless_core::setting::Setting;

use crate::world::*;

fn names(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn fixed(world: &World, desired: &KeyDesired) {
    let plan = look(world, desired);
    assert_eq!(plan.standing(), Standing::Converged, "{}", show(&plan));
    assert!(plan.drift.is_empty());
}

fn read_write(n: u128) -> Vec<Need> {
    vec![need(object(n), BLOB_CONTRIBUTOR), need(object(n), FILE_CONTRIBUTOR)]
}

#[test]
fn forward_grants_waits_switches_waits_and_turns_the_key_off() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.last_workspace_use = Some(world.now);
    let desired = desired(&[(&a, AuthMode::Identity, read_write(1))]);
    assert_snapshot!(show(&look(&world, &desired)), @r"
    ready
    - GrantRole Storage File Data Privileged Contributor to User 00000000-0000-0000-0000-00000000a001 at stml
    - GrantRole Storage Blob Data Contributor to User 00000000-0000-0000-0000-00000000a001 at stml
    - SetAuthMode identity on fraud-train
        needs_covered: user 00000000-0000-0000-0000-00000000a001 lacks Storage Blob Data Contributor, user 00000000-0000-0000-0000-00000000a001 lacks Storage File Data Privileged Contributor
        needs_aged: not looked at
    - SetSharedKeyAccess disabled on stml
        all_on_identity: workspace fraud-train is on accesskey
        key_idle: waits until 2026-11-30T09:00:00Z for 7 requests signed with the key succeeded within 7d, in 1 hour, the last of them before 2026-11-23T08:45:00Z (file GetFile 7 in 1 hour)
    ! file: GetFile with the account key: 7 requests in 1 hour (from 2026-11-23T08:00:00Z), the last before 2026-11-23T08:45:00Z
    ");
    let began = world.now;
    let taken = converge(&mut world, &desired, |_, _| {});
    assert_eq!(
        names(&taken),
        [
            "GrantRole Storage File Data Privileged Contributor to User 00000000-0000-0000-0000-00000000a001 at stml",
            "GrantRole Storage Blob Data Contributor to User 00000000-0000-0000-0000-00000000a001 at stml",
            "SetAuthMode identity on fraud-train",
            "SetSharedKeyAccess disabled on stml",
        ]
    );
    let waits = desired.fleet.waits;
    let least = waits.role_propagation + waits.key_idle + waits.metrics_lag;
    assert!(world.now.duration_since(began) >= SignedDuration::try_from(least).unwrap());
    fixed(&world, &desired);
}

#[test]
fn back_turns_the_key_on_waits_and_switches() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    world.key = SharedKeyAccess::Disallowed;
    let mut desired = desired(&[(&a, AuthMode::AccessKey, vec![])]);
    assert_snapshot!(show(&look(&world, &desired)), @r"
    blocked
    - SetAuthMode accesskey on fraud-train
        key_on: the key is off, and turning it on needs a word of its own
        key_effective: not looked at
    ");
    declare_account(&mut desired, DesiredSharedKey::Enabled);
    let began = world.now;
    let taken = converge(&mut world, &desired, |_, _| {});
    assert_eq!(names(&taken), ["SetSharedKeyAccess enabled on stml", "SetAuthMode accesskey on fraud-train"]);
    assert!(world.now.duration_since(began) >= SignedDuration::from_secs(120));
    fixed(&world, &desired);
}

#[test]
fn nothing_to_do_is_an_empty_plan() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    world.key = SharedKeyAccess::Disallowed;
    world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
    world.assign(person(1), FILE_CONTRIBUTOR, DAY);
    fixed(&world, &desired(&[(&a, AuthMode::Identity, read_write(1))]));
}

#[test]
fn a_mode_that_is_not_the_asked_one_is_drift_either_way() {
    for (seen, asked) in
        [(ObservedAuthMode::AccessKey, AuthMode::Identity), (ObservedAuthMode::Identity, AuthMode::AccessKey)]
    {
        let mut world = World::new();
        let a = world.workspace("fraud-train", seen.clone());
        let mut desired = desired(&[(&a, asked, vec![])]);
        declare_account(&mut desired, DesiredSharedKey::Unmanaged);
        let differs = Drift::AuthMode { workspace: a, desired: asked, observed: seen };
        assert_eq!(look(&world, &desired).drift, BTreeSet::from([differs]));
    }
}

#[test]
fn a_workspace_broken_on_arrival_goes_forward_at_once() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Unset);
    let stray = world.workspace("somebody-elses", ObservedAuthMode::Unset);
    world.key = SharedKeyAccess::Disallowed;
    let desired = desired(&[(&a, AuthMode::Identity, read_write(1))]);
    // A mode that nobody named is Azure's default, the access key.
    for mode in [ObservedAuthMode::Unset, ObservedAuthMode::AccessKey] {
        for id in [&a, &stray] {
            world.workspaces.get_mut(id).unwrap().mode = mode.clone();
        }
        let plan = look(&world, &desired);
        assert!(plan.findings.contains(&Finding::BrokenNow { workspace: a.clone() }), "{}", show(&plan));
        let undeclared = |finding: &Finding| matches!(finding, Finding::Undeclared { broken: true, .. });
        assert!(plan.findings.iter().any(undeclared), "{}", show(&plan));
    }
    world.workspaces.remove(&stray);
    let began = world.now;
    let taken = converge(&mut world, &desired, |_, _| {});
    assert_eq!(taken.len(), 3, "{taken:?}");
    assert_eq!(world.now, began, "nobody has access to lose, so nothing is waited for");
    fixed(&world, &desired);
}

#[test]
fn a_workspace_that_is_to_be_on_a_key_that_is_off_is_told_as_broken() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.key = SharedKeyAccess::Disallowed;
    let mut desired = desired(&[(&a, AuthMode::AccessKey, vec![])]);
    let broken = Finding::BrokenNow { workspace: a.clone() };
    for word in [None, Some(DesiredSharedKey::Unmanaged), Some(DesiredSharedKey::Disabled)] {
        desired.account = None;
        if let Some(word) = word {
            declare_account(&mut desired, word);
        }
        let plan = look(&world, &desired);
        assert_eq!(plan.standing(), Standing::Blocked, "{word:?}: {}", show(&plan));
        assert!(plan.findings.contains(&broken) && plan.steps.is_empty(), "{word:?}: {}", show(&plan));
        assert!(broken.lift().unwrap().contains("sharedKeyAccess: enabled"));
    }
    declare_account(&mut desired, DesiredSharedKey::Enabled);
    converge(&mut world, &desired, |_, _| {});
    fixed(&world, &desired);
    assert!(look(&world, &desired).findings.is_empty());
}

#[test]
fn an_undeclared_workspace_holds_the_key_open() {
    for (kind, named) in
        [(WorkspaceKind::Default, "workspace"), (WorkspaceKind::Hub, "hub"), (WorkspaceKind::Project, "project")]
    {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        let other = world.workspace("somebody-elses", ObservedAuthMode::AccessKey);
        world.workspaces.get_mut(&other).unwrap().kind = kind;
        let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
        let taken = converge(&mut world, &desired, |_, _| {});
        assert_eq!(names(&taken), ["SetAuthMode identity on fraud-train"]);
        let plan = look(&world, &desired);
        assert_eq!(plan.standing(), Standing::Blocked);
        let named = format!("{named} somebody-elses (undeclared) is on accesskey");
        assert!(show(&plan).contains(&named), "{}", show(&plan));
        assert_eq!(world.workspaces[&other].mode, ObservedAuthMode::AccessKey);
    }
}

#[test]
fn an_undeclared_workspace_on_identity_does_not_hold_the_key_open() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.workspace("somebody-elses", ObservedAuthMode::Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    converge(&mut world, &desired, |_, _| {});
    fixed(&world, &desired);
}

/// While the key is on, the gate on it tells of whom it waits for.
#[test]
fn an_undeclared_workspace_is_told_once_the_key_is_off_or_where_everything_is_looked_at() {
    use ObservedAuthMode::{AccessKey, Identity};
    use SharedKeyAccess::{Allowed, Disallowed};
    let mut world = World::new();
    let a = world.workspace("fraud-train", Identity);
    let stray = world.workspace("somebody-elses", Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    for (key, mode, look, is_broken) in [
        (Allowed, AccessKey, Look::WhatMatters, None),
        (Allowed, AccessKey, Look::Everything, Some(false)),
        (Disallowed, AccessKey, Look::WhatMatters, Some(true)),
        (Disallowed, Identity, Look::WhatMatters, Some(false)),
    ] {
        world.key = key;
        world.workspaces.get_mut(&stray).unwrap().mode = mode.clone();
        let plan = planned(&desired, &world.observe(&desired), &Limits::default(), look);
        let told = plan.findings.iter().find_map(|finding| match finding {
            Finding::Undeclared { workspace, broken, .. } if *workspace == stray => Some(*broken),
            _ => None,
        });
        assert_eq!(told, is_broken, "{key:?} {mode} {look:?}: {}", show(&plan));
    }
    let mut observed = world.observe(&desired);
    observed.workspaces.get_mut(&stray).unwrap().workspace = Reading::NotRead;
    let wants = planned(&desired, &observed, &Limits::default(), Look::WhatMatters).wants;
    assert_eq!(wants.workspaces, BTreeSet::from([stray]));
}

#[test]
fn a_scenario_that_the_articles_list_for_another_kind_of_workspace_alone_is_told_and_holds_nothing() {
    use WorkspaceKind::{Default, FeatureStore, Hub, Project};
    for (kind, scenario, is_told) in [
        (Default, "training", false),
        (Default, "speech", true),
        (Default, "promptFlow", false),
        (Hub, "training", true),
        (Hub, "speech", false),
        (Hub, "promptFlow", false),
        (Project, "training", true),
        (Project, "speech", false),
        // No article is about those.
        (FeatureStore, "speech", false),
    ] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        world.workspaces.get_mut(&a).unwrap().kind = kind.clone();
        world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
        let because = BTreeSet::from([Because::Scenario(scenario)]);
        let need = Need { because, ..need(object(1), BLOB_CONTRIBUTOR) };
        let plan = look(&world, &desired(&[(&a, AuthMode::Identity, vec![need])]));
        let told = Finding::ScenarioMisplaced { workspace: a, scenario, kind: kind.clone() };
        assert_eq!(plan.findings.contains(&told), is_told, "{kind} {scenario}: {}", show(&plan));
        assert!(matches!(plan.next().unwrap().action, Action::SetAuthMode { .. }), "{}", show(&plan));
    }
}

/// What a process before this one began may end long after it, and put the workspace back on the key.
#[test]
fn a_workspace_on_which_an_operation_runs_holds_the_key_open_until_it_ends() {
    for (state, holds) in [
        (None, false),
        (Some("Succeeded"), false),
        (Some("FAILED"), false),
        (Some("Canceled"), false),
        (Some("Updating"), true),
        (Some("Creating"), true),
        (Some("Deleting"), true),
        (Some("Unknown"), true),
        (Some("Mending"), true),
    ] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
        let other = world.workspace("somebody-elses", ObservedAuthMode::Identity);
        world.workspaces.get_mut(&other).unwrap().state = state.map(str::to_owned);
        let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
        let taken = converge(&mut world, &desired, |_, _| {});
        let plan = look(&world, &desired);
        assert_eq!(taken.is_empty(), holds, "{state:?}: {}", show(&plan));
        if holds {
            let state = state.unwrap();
            let named =
                format!("all_on_identity: another operation runs on workspace somebody-elses (undeclared) (`{state}`)");
            assert!(show(&plan).contains(&named), "{}", show(&plan));
            world.workspaces.get_mut(&other).unwrap().state = Some("Succeeded".to_owned());
            assert_eq!(converge(&mut world, &desired, |_, _| {}).len(), 1);
        }
        fixed(&world, &desired);
    }
}

#[test]
fn an_unset_mode_does_not_count_as_identity_and_may_be_set() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Unset);
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    assert!(show(&look(&world, &desired)).contains("all_on_identity: workspace fraud-train is on unset"));
    let taken = converge(&mut world, &desired, |_, _| {});
    assert_eq!(names(&taken), ["SetAuthMode identity on fraud-train", "SetSharedKeyAccess disabled on stml"]);
}

#[test]
fn a_mode_azure_added_later_is_reported_and_never_overwritten() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Other("UserDelegationSAS".to_owned()));
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    assert!(converge(&mut world, &desired, |_, _| {}).is_empty());
    assert!(show(&look(&world, &desired)).contains("`UserDelegationSAS`, which keyless never overwrites"));
}

#[test]
fn a_hub_on_several_accounts_is_reported_and_its_mode_never_set() {
    let mut world = World::new();
    let a = world.workspace("fraud-hub", ObservedAuthMode::AccessKey);
    let second = account_id().as_str().replace("stml", "stmltwo").parse().unwrap();
    world.workspaces.get_mut(&a).unwrap().more_accounts.insert(second);
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    assert!(converge(&mut world, &desired, |_, _| {}).is_empty());
    assert!(show(&look(&world, &desired)).contains("it stands on several storage accounts"));
}

#[test]
fn documents_that_contradict_each_other_leave_the_key_as_it_is() {
    for key in [SharedKeyAccess::Allowed, SharedKeyAccess::Disallowed] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
        world.key = key;
        world.key_on_since = Some(world.now);
        let mut desired = desired(&[(&a, AuthMode::AccessKey, vec![])]);
        declare_account(&mut desired, DesiredSharedKey::Disabled);
        converge(&mut world, &desired, |_, action| {
            assert!(!matches!(action, Action::SetSharedKeyAccess { .. }), "{action}");
        });
        assert_eq!(world.key, key);
        let plan = look(&world, &desired);
        assert_eq!(plan.standing(), Standing::Blocked);
        assert!(show(&plan).contains("stml asks for the key to be disabled, but fraud-train asks for accesskey"));
    }
}

#[test]
fn one_workspace_that_stays_on_keys_keeps_the_key_on() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let b = world.workspace("legacy", ObservedAuthMode::AccessKey);
    let desired = desired(&[(&a, AuthMode::Identity, vec![]), (&b, AuthMode::AccessKey, vec![])]);
    let taken = converge(&mut world, &desired, |_, _| {});
    assert_eq!(names(&taken), ["SetAuthMode identity on fraud-train"]);
    fixed(&world, &desired);
}

#[test]
fn an_unmanaged_or_enabled_key_is_left_on() {
    for word in [DesiredSharedKey::Unmanaged, DesiredSharedKey::Enabled] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
        declare_account(&mut desired, word);
        let taken = converge(&mut world, &desired, |_, _| {});
        assert_eq!(names(&taken), ["SetAuthMode identity on fraud-train"]);
        fixed(&world, &desired);
    }
}

#[test]
fn inherited_grants_and_stronger_roles_meet_a_need() {
    let group = ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/RG")).unwrap();
    let subscription = ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}")).unwrap();
    let mut world = World::new();
    let custom: RoleId = "11111111-2222-3333-4444-555555555555".parse().unwrap();
    world.define(custom, "everything in files", &["microsoft.storage/storageaccounts/fileservices/*"], &[], false);
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.assign_at(group, person(1), owner_role(), DAY);
    world.assign_at(subscription, person(1), custom, DAY);
    let desired = desired(&[(&a, AuthMode::Identity, read_write(1))]);
    let taken = converge(&mut world, &desired, |_, _| {});
    assert!(!taken.iter().any(|action| matches!(action, Action::GrantRole(_))), "{taken:?}");
    fixed(&world, &desired);
}

#[test]
fn a_subtracted_data_action_leaves_the_need_unmet() {
    let mut world = World::new();
    let custom: RoleId = "11111111-2222-3333-4444-555555555555".parse().unwrap();
    let blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
    world.define(custom, "all but delete", &[&format!("{blobs}/*")], &[&format!("{blobs}/delete")], false);
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.assign(person(1), custom, DAY);
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    assert!(matches!(look(&world, &desired).next().unwrap().action, Action::GrantRole(_)));
}

#[test]
fn grants_above_in_another_group_or_below_do_not_count() {
    let elsewhere = ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg2")).unwrap();
    let below = ArmId::parse(&format!("{}/blobServices/default/containers/x", account_id())).unwrap();
    for scope in [elsewhere, below] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        world.assign_at(scope, person(1), BLOB_CONTRIBUTOR, DAY);
        let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
        assert!(matches!(look(&world, &desired).next().unwrap().action, Action::GrantRole(_)));
    }
}

#[test]
fn a_conditional_grant_does_not_satisfy_a_plain_need() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let conditional = world.assign_at(account_id().group(), person(1), BLOB_CONTRIBUTOR, DAY);
    conditional.condition = Some("@Resource[…] StringEquals 'x'".to_owned());
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let plan = look(&world, &desired);
    assert!(matches!(plan.next().unwrap().action, Action::GrantRole(_)));
    assert!(show(&plan).contains("(a conditional grant does not count)"));
}

#[test]
fn a_weaker_grant_is_not_made_beside_a_stronger_one() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let needs = [BLOB_CONTRIBUTOR, BLOB_READER, FILE_CONTRIBUTOR, FILE_READER].map(|role| need(object(1), role));
    let desired = desired(&[(&a, AuthMode::Identity, needs.to_vec())]);
    let taken = converge(&mut world, &desired, |_, _| {});
    assert_eq!(taken.iter().filter(|action| matches!(action, Action::GrantRole(_))).count(), 2, "{taken:?}");
}

#[test]
fn a_grant_counts_only_when_it_is_old_enough_for_its_path() {
    let group = "/providers/Microsoft.Management/managementGroups/mg";
    for (scope, kind, wait) in [
        (account_id().as_str(), PrincipalType::User, 15 * 60),
        (account_id().as_str(), PrincipalType::ServicePrincipal, 15 * 60),
        // Managed identities may be in it.
        (account_id().as_str(), PrincipalType::Group, DAY),
        (group, PrincipalType::User, DAY),
    ] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        let grant = world.assign_at(ArmId::parse(scope).unwrap(), person(1), BLOB_CONTRIBUTOR, 60);
        grant.principal_type = Some(kind);
        let named = PrincipalRef::Object { kind, id: person(1), name: None };
        let desired = desired(&[(&a, AuthMode::Identity, vec![need(named, BLOB_CONTRIBUTOR)])]);
        let plan = look(&world, &desired);
        let is_told = show(&plan).contains("for identities that may be in it");
        assert_eq!(is_told, kind == PrincipalType::Group, "{}", show(&plan));
        assert_eq!(plan.wakes_at().unwrap(), world.now + SignedDuration::from_secs(wait - 60), "{scope}");
        world.advance(plan.wakes_at().unwrap() - SignedDuration::from_secs(1));
        assert!(look(&world, &desired).next().is_none());
        world.advance(plan.wakes_at().unwrap());
        assert!(look(&world, &desired).next().is_some());
    }
}

#[test]
fn a_group_that_a_file_calls_a_user_takes_as_long_as_a_group() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.assign(person(1), BLOB_CONTRIBUTOR, 60).principal_type = Some(PrincipalType::Group);
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let plan = look(&world, &desired);
    assert_eq!(plan.wakes_at().unwrap(), world.now + SignedDuration::from_secs(DAY - 60));
}

#[test]
fn of_grants_that_work_at_one_moment_the_first_in_the_file_is_named() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    for (who, age) in [(1, 120), (2, 60), (3, 60)] {
        world.assign(person(who), BLOB_CONTRIBUTOR, age);
    }
    let needs = (1..=3).map(|who| need(object(who), BLOB_CONTRIBUTOR)).collect();
    let plan = look(&world, &desired(&[(&a, AuthMode::Identity, needs)]));
    let aged = plan.steps.iter().flat_map(|step| &step.gates).find(|check| check.gate == Gate::NeedsAged).unwrap();
    let GateState::Waiting { why, .. } = &aged.state else { panic!("{:?}", aged.state) };
    assert!(why.contains(&person(2).to_string()), "{why}");
}

#[test]
fn a_changed_role_definition_makes_its_grants_young_again_and_for_longer() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    // The wait of slow ways, where it is shorter than an hour and not shorter than that of this one.
    for (role, group, works) in [
        (Duration::from_secs(900), hours(24), 3600),
        (Duration::from_secs(900), Duration::from_secs(1800), 1800),
        (Duration::from_secs(900), Duration::from_secs(600), 900),
        (hours(2), hours(24), 7200),
    ] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        world.assign(person(1), BLOB_CONTRIBUTOR, 2 * DAY);
        let mut desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
        (desired.fleet.waits.role_propagation, desired.fleet.waits.group_propagation) = (role, group);
        for (ago, standing) in [(works - 1, Standing::Waiting), (works, Standing::Ready)] {
            let changed = world.now - SignedDuration::from_secs(ago);
            world.roles.get_mut(&BLOB_CONTRIBUTOR).unwrap().updated_on = Some(changed);
            let plan = look(&world, &desired);
            assert_eq!(plan.standing(), standing, "{role:?} {group:?} {ago}: {}", show(&plan));
        }
    }
}

#[test]
fn a_deny_assignment_holds_the_switch_shut() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
    let deny = |principals: Vec<DeniedPrincipal>, excluded: &[PrincipalId]| DenyAssignment {
        name: "stack-deny".to_owned(),
        scope: account_id().arm().clone(),
        permissions: vec![Permission { data_actions: vec!["*/write".to_owned()], ..Permission::default() }],
        exact_scope_only: false,
        principals,
        excluded: excluded.iter().copied().collect(),
        conditional: false,
    };
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let own = world.workspaces[&a].system.unwrap();
    for (denied, excluded, open) in [
        (DeniedPrincipal::Everyone, vec![], false),
        (DeniedPrincipal::Everyone, vec![person(1), own], true),
        // The workspace's own identity, which no document names.
        (DeniedPrincipal::Everyone, vec![person(1)], false),
        (DeniedPrincipal::One(own), vec![], false),
        (DeniedPrincipal::One(person(1)), vec![], false),
        (DeniedPrincipal::One(person(2)), vec![], true),
        (DeniedPrincipal::Group(person(9)), vec![], false),
    ] {
        world.denies = vec![deny(vec![denied.clone()], &excluded)];
        assert_eq!(look(&world, &desired).next().is_some(), open, "{denied:?}, spared {excluded:?}");
    }
}

#[test]
fn what_could_not_be_read_holds_the_switch_shut() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    assert!(look(&world, &desired).next().is_some());
    let spoil: [fn(&mut Observed, &WorkspaceId); 6] = [
        |o, _| o.denies = Reading::unknown("503"),
        |o, _| o.locks = Reading::unknown("503"),
        |o, _| o.assignments = Reading::unknown("503"),
        |o, _| o.roles.values_mut().for_each(|role| *role = Reading::unknown("503")),
        |o, a| o.workspaces.get_mut(a).unwrap().computes = Reading::unknown("503"),
        |o, a| o.workspaces.get_mut(a).unwrap().workspace = Reading::unknown("503"),
    ];
    for (n, spoil) in spoil.into_iter().enumerate() {
        let mut observed = world.observe(&desired);
        spoil(&mut observed, &a);
        let plan = planned(&desired, &observed, &Limits::default(), Look::Everything);
        assert!(plan.next().is_none(), "case {n}: {}", show(&plan));
        assert_eq!(plan.standing(), Standing::Blocked, "case {n}");
    }
}

#[test]
fn a_grant_of_the_service_that_is_not_to_be_seen_is_told_and_not_taken_for_one_that_is_there() {
    for mode in [ObservedAuthMode::AccessKey, ObservedAuthMode::Identity] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", mode);
        let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
        let unseen = |change: &dyn Fn(&mut Observed)| {
            let mut observed = world.observe(&desired);
            change(&mut observed);
            let plan = planned(&desired, &observed, &Limits::default(), Look::Everything);
            plan.findings.iter().any(|finding| {
                matches!(finding, Finding::Unseen { what: keyless_core::plan::finding::Unseen::Access { workspace, .. }, .. } if *workspace == a)
            })
        };
        let unread_role = |observed: &mut Observed| {
            observed.roles.insert(BLOB_CONTRIBUTOR, Reading::unknown("503"));
        };
        assert!(!unseen(&|_| {}));
        assert!(unseen(&unread_role));
        assert!(
            unseen(&|observed| {
                unread_role(observed);
                observed.denies = Reading::unknown("503");
            }),
            "whatever else fails"
        );
        assert!(!unseen(&|observed| observed.denies = Reading::unknown("503")), "of denials it is told once for all");
    }
}

#[test]
fn the_services_missing_grant_blocks_unless_the_file_says_otherwise() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.assignments.clear();
    let system = world.workspaces[&a].system.unwrap();
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    let plan = look(&world, &desired);
    assert_eq!(plan.standing(), Standing::Blocked);
    assert!(plan.findings.contains(&Finding::ServiceGrantMissing { workspace: a.clone(), principal: system }));
    let say = |desired: &mut KeyDesired, word| desired.workspaces.get_mut(&a).unwrap().service_grants = word;
    say(&mut desired, ServiceGrants::Accept);
    assert_eq!(look(&world, &desired).next().unwrap().action.kind(), "SetAuthMode");
    say(&mut desired, ServiceGrants::Grant);
    let taken = converge(&mut world, &desired, |_, _| {});
    assert_eq!(taken.iter().map(Action::kind).collect::<Vec<_>>(), ["GrantRole", "SetAuthMode", "SetSharedKeyAccess"]);
    fixed(&world, &desired);
}

#[test]
fn on_a_project_and_in_data_isolation_the_services_conditioned_grant_is_the_right_form() {
    let mut world = World::new();
    let a = world.workspace("project", ObservedAuthMode::AccessKey);
    world.assignments[0].condition = Some(own_containers());
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    for (isolated, standing) in
        [(None, Standing::Blocked), (Some(false), Standing::Blocked), (Some(true), Standing::Ready)]
    {
        world.workspaces.get_mut(&a).unwrap().data_isolation = isolated;
        assert_eq!(look(&world, &desired).standing(), standing, "{isolated:?}");
    }
    let truth = world.workspaces.get_mut(&a).unwrap();
    (truth.kind, truth.data_isolation) = (WorkspaceKind::Project, None);
    assert_eq!(look(&world, &desired).standing(), Standing::Ready);
    // What else a condition lets at is somebody else's word.
    let mut other = world.clone();
    other.assignments[0].condition =
        Some("@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'foo'".to_owned());
    assert_eq!(look(&other, &desired).standing(), Standing::Blocked);
    // Azure takes no second one beside it.
    desired.workspaces.get_mut(&a).unwrap().service_grants = ServiceGrants::Grant;
    assert_eq!(look(&world, &desired).next().unwrap().action.kind(), "SetAuthMode");
}

/// The state of the gate that stands for what a workspace does by itself.
fn by_itself(world: &World, desired: &KeyDesired) -> GateState {
    let plan = look(world, desired);
    let mut gates = plan.steps.iter().flat_map(|step| &step.gates);
    gates.find(|check| check.gate == Gate::ServiceGrant).unwrap().state.clone()
}

#[test]
fn a_grant_that_the_service_has_just_made_is_waited_for_as_any_other() {
    for (kind, condition) in [(WorkspaceKind::Default, None), (WorkspaceKind::Project, Some(own_containers()))] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        world.workspaces.get_mut(&a).unwrap().kind = kind;
        let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
        let system = world.workspaces[&a].system.unwrap();
        world.assignments.clear();
        world.assign(system, BLOB_CONTRIBUTOR, 60).condition = condition;
        let GateState::Waiting { until, why } = by_itself(&world, &desired) else {
            panic!("{:?}", by_itself(&world, &desired))
        };
        assert!(why.contains("of the workspace's identity to work"), "{why}");
        assert_eq!(until, world.now + SignedDuration::from_secs(15 * 60 - 60));
        world.advance(until);
        assert_eq!(by_itself(&world, &desired), GateState::Open, "it is waited for no longer than told");
        let taken = converge(&mut world, &desired, |_, _| {});
        assert_eq!(taken.iter().map(Action::kind).collect::<Vec<_>>(), ["SetAuthMode", "SetSharedKeyAccess"]);
    }
}

#[test]
fn the_customers_identity_that_acts_for_a_workspace_needs_the_role_before_the_switch() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let id = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.ManagedIdentity/\
              userAssignedIdentities/own";
    let truth = world.workspaces.get_mut(&a).unwrap();
    (truth.system, truth.primary) = (None, Some((id.parse().unwrap(), person(7))));
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    let GateState::Unmet { why, lift, .. } = by_itself(&world, &desired) else { panic!("it lacks the role") };
    assert_eq!(why, "the identity `own` lacks Storage Blob Data Contributor");
    assert!(lift.contains("serviceGrants: accept"), "{lift}");
    world.assign(person(7), BLOB_CONTRIBUTOR, 60);
    assert!(matches!(by_itself(&world, &desired), GateState::Waiting { .. }));
    world.advance(world.now + SignedDuration::from_secs(DAY));
    assert_eq!(look(&world, &desired).next().unwrap().action.kind(), "SetAuthMode");
    world.assignments.retain(|grant| grant.principal != person(7));
    desired.workspaces.get_mut(&a).unwrap().service_grants = ServiceGrants::Accept;
    assert_eq!(look(&world, &desired).next().unwrap().action.kind(), "SetAuthMode");
}

#[test]
fn key_use_holds_the_key_on_until_it_has_been_idle_for_the_whole_window() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    world.key_user_until = Some(world.now + SignedDuration::from_secs(3 * DAY));
    let mut turned_off = None;
    converge(&mut world, &desired, |world, _| turned_off = Some(world.now));
    let idle_since = start() + SignedDuration::from_secs(3 * DAY);
    let earliest = idle_since + SignedDuration::from_secs(7 * DAY + 15 * 60);
    let turned_off = turned_off.expect("the key went off");
    assert!(turned_off >= earliest, "{turned_off} is before {earliest}");
    fixed(&world, &desired);
}

#[test]
fn incomplete_or_lifeless_key_evidence_is_unknown_and_needs_a_word_in_the_file() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    declare_account(&mut desired, DesiredSharedKey::Disabled);
    let spoil: [fn(&mut Observed); 4] = [
        |o| o.key_usage = Reading::unknown("503"),
        |o| edit(o, |usage| usage.complete = false),
        |o| edit(o, |usage| usage.alive = false),
        |o| edit(o, |usage| usage.from += SignedDuration::from_secs(1)),
    ];
    for (n, spoil) in spoil.into_iter().enumerate() {
        let mut observed = world.observe(&desired);
        spoil(&mut observed);
        let judge = |desired: &KeyDesired| planned(desired, &observed, &Limits::default(), Look::Everything);
        assert!(judge(&desired).next().is_none(), "case {n}: {}", show(&judge(&desired)));
        let until = world.now + SignedDuration::from_secs(1);
        let mut accepted = desired.clone();
        accepted.account.as_mut().unwrap().accept_unknown_key_use =
            Some(Acceptance { reason: "r".to_owned(), owner: "o".to_owned(), until });
        // A window that is too short is no failed read: nothing accepts it.
        assert_eq!(judge(&accepted).next().is_some(), n < 3, "case {n}");
        let late = Observed { behind: Duration::from_secs(1), ..observed.clone() };
        let plan = planned(&accepted, &late, &Limits::default(), Look::Everything);
        assert!(plan.next().is_none(), "case {n}: by most answers it has ended");
        accepted.account.as_mut().unwrap().accept_unknown_key_use.as_mut().unwrap().until = world.now;
        assert!(judge(&accepted).next().is_none(), "case {n}: an acceptance that ended");
    }
}

fn edit(observed: &mut Observed, change: impl FnOnce(&mut KeyUsage)) {
    if let Reading::Known { value, .. } = &mut observed.key_usage {
        change(value);
    }
}

#[test]
fn sas_traffic_is_inconclusive_and_needs_a_word_in_the_file() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    world.sas = 3;
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    assert_eq!(look(&world, &desired).standing(), Standing::Blocked);
    declare_account(&mut desired, DesiredSharedKey::Disabled);
    let until = world.now + SignedDuration::from_secs(60);
    desired.account.as_mut().unwrap().accept_sas =
        Some(Acceptance { reason: "user delegation only".to_owned(), owner: "storage team".to_owned(), until });
    assert_eq!(look(&world, &desired).standing(), Standing::Ready);
}

#[test]
fn a_stored_key_in_any_datastore_holds_the_key_on() {
    for (credentials, account, open) in [
        (DatastoreCredentials::AccountKey, Some("STML"), false),
        (DatastoreCredentials::Sas, Some("stml"), false),
        (DatastoreCredentials::Other("New".to_owned()), Some("stml"), false),
        (DatastoreCredentials::AccountKey, None, false),
        (DatastoreCredentials::AccountKey, Some("another"), true),
        (DatastoreCredentials::None, Some("stml"), true),
        (DatastoreCredentials::Principal("ServicePrincipal".to_owned()), Some("stml"), true),
    ] {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
        let datastore = Datastore {
            name: "raw".to_owned(),
            account_name: account.map(str::to_owned),
            credentials: credentials.clone(),
            form: DatastoreForm::default(),
        };
        world.workspaces.get_mut(&a).unwrap().datastores.push(datastore);
        let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
        assert_eq!(look(&world, &desired).next().is_some(), open, "{credentials:?} on {account:?}");
    }
}

#[test]
fn a_stored_key_in_a_workspace_on_another_account_holds_the_key_on() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    let judge = |observed: &Observed| planned(&desired, observed, &Limits::default(), Look::WhatMatters);
    let here = |credentials| stored("raw", credentials);
    world.elsewhere = vec![here(DatastoreCredentials::None)];
    assert!(look(&world, &desired).next().is_some());
    world.elsewhere = vec![here(DatastoreCredentials::AccountKey)];
    assert!(show(&look(&world, &desired)).contains("far-away/raw, on another account, holds a key or SAS"));
    let mut observed = world.observe(&desired);
    observed.elsewhere = Reading::unknown("503");
    assert!(judge(&observed).next().is_none());
    observed.elsewhere = Reading::NotRead;
    assert!(judge(&observed).next().is_none());
    assert!(judge(&observed).wants.elsewhere);
}

#[test]
fn locks_bar_what_they_bar() {
    let group = ArmId::parse(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/RG")).unwrap();
    for (level, open) in
        [(LockLevel::CanNotDelete, true), (LockLevel::ReadOnly, false), (LockLevel::Other("New".to_owned()), false)]
    {
        let mut world = World::new();
        let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
        let id = ArmId::parse(&format!("{group}/providers/Microsoft.Authorization/locks/keep")).unwrap();
        world.locks = vec![Lock { id, scope: group.clone(), level: level.clone() }];
        let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
        assert_eq!(look(&world, &desired).next().is_some(), open, "{level:?}");
    }
}

#[test]
fn observe_mode_and_suspension_hold_still_and_one_cautious_document_holds_the_flag() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let b = world.workspace("churn", ObservedAuthMode::Identity);
    let mut desired =
        desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)]), (&b, AuthMode::Identity, vec![])]);
    desired.workspaces.get_mut(&b).unwrap().enforcement = Enforcement::Observe;
    let taken = converge(&mut world.clone(), &desired, |_, _| {});
    assert_eq!(taken.iter().map(Action::kind).collect::<Vec<_>>(), ["GrantRole", "SetAuthMode"]);
    desired.workspaces.get_mut(&a).unwrap().suspend = Some(Suspend {
        reason: "audit".to_owned(),
        until: world.now + SignedDuration::from_secs(DAY),
        then: AfterSuspend::Stay,
    });
    assert!(converge(&mut world.clone(), &desired, |_, _| {}).is_empty());
    desired.workspaces.get_mut(&a).unwrap().suspend.as_mut().unwrap().then = AfterSuspend::Resume;
    let mut later = world.clone();
    assert_eq!(converge(&mut later, &desired, |_, _| {}).len(), 2);
    assert!(later.now >= world.now + SignedDuration::from_secs(DAY));
    desired.fleet.paused = true;
    assert!(converge(&mut world, &desired, |_, _| {}).is_empty());
}

#[test]
fn a_window_holds_tightening_and_not_repair() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    // Tuesdays, and it is Monday.
    desired.fleet.change_windows = vec![ChangeWindow { days: BTreeSet::from([2]), from: 600, to: 660 }];
    let mut at = Vec::new();
    converge(&mut world, &desired, |world, action| at.push((action.kind(), world.now.to_string())));
    assert_eq!(at[0], ("GrantRole", start().to_string()));
    assert_eq!(at[1], ("SetAuthMode", "2026-11-24T10:00:00Z".to_owned()));
    // A week and the metrics' lag after the last use, which falls into the window of the next Tuesday.
    assert_eq!(at[2], ("SetSharedKeyAccess", "2026-12-01T10:15:00Z".to_owned()));
}

/// Who is on keys that are off has nothing to lose, and waits for no window to have it back; the way back by itself does.
#[test]
fn a_key_that_a_workspace_lacks_now_comes_on_outside_of_windows() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    world.key = SharedKeyAccess::Disallowed;
    let mut files = desired(&[(&a, AuthMode::AccessKey, vec![])]);
    files.account = Some(DesiredAccount::new(account_id(), DesiredSharedKey::Enabled));
    // Tuesdays, and it is Monday.
    files.fleet.change_windows = vec![ChangeWindow { days: BTreeSet::from([2]), from: 600, to: 660 }];
    let plan = look(&world, &files);
    let on = plan.steps.iter().find(|step| step.action.kind() == "SetSharedKeyAccess").unwrap();
    assert!(on.is_open() && on.effort == Effort::Repair, "{}", show(&plan));
    world.workspaces.get_mut(&a).unwrap().mode = ObservedAuthMode::Identity;
    let plan = look(&world, &files);
    let on = plan.steps.iter().find(|step| step.action.kind() == "SetSharedKeyAccess").unwrap();
    assert!(!on.is_open() && on.effort == Effort::Loosen, "{}", show(&plan));
}

#[test]
fn windows_that_meet_are_one_and_the_time_between_two_is_shut() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    for (from, is_open) in [(0, true), (1, false)] {
        let every_day = |from, to| ChangeWindow { days: BTreeSet::new(), from, to };
        desired.fleet.change_windows = vec![every_day(22 * 60, 24 * 60), every_day(from, 4 * 60)];
        for (now, behind) in [("2026-11-23T23:59:30Z", 90), ("2026-11-23T23:59:59Z", 3600)] {
            (world.now, world.behind) = (now.parse().unwrap(), Duration::from_secs(behind));
            let plan = planned(&desired, &world.observe(&desired), &Limits::default(), Look::Everything);
            assert_eq!(plan.next().is_some(), is_open, "{from} {now}: {}", show(&plan));
        }
    }
}

#[test]
fn boot_settle_and_refusal_hold_the_write() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let observed = world.observe(&desired);
    let until = world.now + SignedDuration::from_secs(300);
    let first = look(&world, &desired).next().unwrap().action.clone();
    let refusal = Refusal { until, why: "ScopeLocked".to_owned(), lift: Some("remove the lock".to_owned()) };
    for limits in [
        Limits { boot_until: Some(until), ..Limits::default() },
        Limits { unsettled_until: Some(until), ..Limits::default() },
        Limits { refused: [(first, refusal)].into(), ..Limits::default() },
    ] {
        let plan = planned(&desired, &observed, &limits, Look::WhatMatters);
        assert!(plan.next().is_none());
        assert_eq!(plan.wakes_at(), Some(until));
        let mut later = observed.clone();
        later.now = until;
        assert!(planned(&desired, &later, &limits, Look::WhatMatters).next().is_some());
    }
}

#[test]
fn a_missing_workspace_is_named_and_never_created() {
    let world = World::new();
    let a = workspace_id("gone");
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let mut observed = world.observe(&desired);
    let mut entry = ObservedWorkspace::unread();
    entry.workspace = Reading::known(None, world.now);
    observed.workspaces.insert(a.clone(), entry);
    let plan = planned(&desired, &observed, &Limits::default(), Look::WhatMatters);
    assert!(plan.findings.contains(&Finding::WorkspaceMissing { workspace: a }));
    assert!(!plan.steps.iter().any(|step| step.action.kind() != "SetSharedKeyAccess"), "{}", show(&plan));
}

#[test]
fn gates_are_read_only_as_far_as_they_matter() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let desired = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    let mut observed = world.observe(&desired);
    observed.key_usage = Reading::NotRead;
    let at = |look| planned(&desired, &observed, &Limits::default(), look).wants;
    assert!(at(Look::WhatMatters).is_empty(), "the switch comes first");
    assert!(at(Look::Everything).key_usage);
}

#[test]
fn what_is_fought_over_is_held_in_both_directions_and_nothing_else_is() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let b = world.workspace("churn", ObservedAuthMode::AccessKey);
    let forward = desired(&[
        (&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)]),
        (&b, AuthMode::Identity, vec![need(object(2), BLOB_CONTRIBUTOR)]),
    ]);
    let until = world.now + SignedDuration::from_secs(300);
    let fight = Fight {
        reversals: 3,
        since: world.now,
        until,
        ours: "keyless, owner ml".to_owned(),
        theirs: Some("dana@example.com".to_owned()),
    };
    let held = |limits: &Limits, observed: &Observed, desired: &KeyDesired| -> Vec<String> {
        let plan = planned(desired, observed, limits, Look::Everything);
        let shut =
            |step: &&plan::Step| step.gates.iter().any(|check| check.gate == Gate::NoFight && !check.state.is_open());
        plan.steps.iter().filter(shut).map(|step| step.action.to_string()).collect()
    };
    let observed = world.observe(&forward);
    let steps = look(&world, &forward).steps;
    for step in &steps {
        let setting = step.action.setting().unwrap();
        let limits = Limits { fights: [(setting, fight.clone())].into(), ..Limits::default() };
        assert_eq!(held(&limits, &observed, &forward), [step.action.to_string()]);
        let plan = planned(&forward, &observed, &limits, Look::WhatMatters);
        let told: Vec<String> = plan.findings.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|told| told.contains("dana@example.com") && told.contains("owner ml")), "{told:?}");
        let mut later = observed.clone();
        later.now = until;
        assert!(held(&limits, &later, &forward).is_empty(), "it is over when the other side was quiet");
    }
    assert!(steps.iter().any(|step| step.effort == Effort::Repair), "a grant is a repair, and is held like the rest");
    // The way back of the same setting is held too.
    world.key = SharedKeyAccess::Disallowed;
    let mut back = forward;
    declare_account(&mut back, DesiredSharedKey::Enabled);
    let limits = Limits { fights: [(Setting::SharedKey, fight)].into(), ..Limits::default() };
    let held = held(&limits, &world.observe(&back), &back);
    assert!(held.iter().any(|action| action.contains("SetSharedKeyAccess enabled")), "{held:?}");
}

#[test]
fn the_gate_names_the_evidence_it_waits_for_and_until_when() {
    let mut world = World::new();
    let id = world.workspace("fraud", ObservedAuthMode::AccessKey);
    world.assign(person(1), BLOB_READER, 600);
    let desired = desired(&[(&id, AuthMode::Identity, vec![need(object(1), BLOB_READER)])]);
    let waits = |world: &World| {
        let plan = look(world, &desired);
        let gates = plan.steps.iter().flat_map(|step| &step.gates);
        let mut aged = gates.filter(|check| check.gate == keyless_core::gate::Gate::NeedsAged);
        match &aged.next().unwrap().state {
            keyless_core::gate::GateState::Waiting { until, why } => {
                let (_, evidence) = why.split_once(" to work ").unwrap();
                format!("{}s {evidence}", until.duration_since(world.now).as_secs())
            }
            state => format!("{state:?}"),
        }
    };
    assert_eq!(waits(&world), "300s (old enough at 2026-11-23T09:05:00Z, 2 of 2 reads agree)");
    // A process that has only just begun to look.
    world.watched_since = world.now;
    assert_eq!(waits(&world), "450s (old enough at 2026-11-23T09:05:00Z, 1 of 2 reads agree)");
    // It is old enough, and one list missed it.
    world.advance(world.now + SignedDuration::from_secs(900));
    let missed = world.now - SignedDuration::from_secs(60);
    let grant = world.assignments.last().unwrap().id.clone();
    world.missed.insert(grant, missed);
    assert_eq!(waits(&world), "390s (old enough, 1 of 2 reads agree)");
    // After two hours one read is enough.
    world.missed.clear();
    world.advance(start() + SignedDuration::from_secs(7_200 - 600));
    world.watched_since = world.now;
    assert_eq!(waits(&world), "Open");
}
