//! The way back to keys, whole: key on, keys taken anew where they may be stale, mode back, and only then what is pruned.

use keyless_core::action::Action;
use keyless_core::catalog::BLOB_CONTRIBUTOR;
use keyless_core::desired::*;
use keyless_core::gate::{Gate, GateState};
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::{Limits, Look};
use proptest::prelude::*;

use crate::world::*;

fn names(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

/// A workspace off keys for good, in which somebody works by a grant of this installation.
fn off_keys() -> (World, WorkspaceId) {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let forward = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    converge(&mut world, &forward, |_, _| {});
    assert!(!world.key.is_on());
    (world, a)
}

fn back(workspaces: &[(&WorkspaceId, AuthMode, Vec<Need>)]) -> KeyDesired {
    let mut back = desired(workspaces);
    declare_account(&mut back, DesiredSharedKey::Enabled);
    back
}

#[test]
fn who_leaves_the_files_on_the_way_back_keeps_the_grant_until_the_key_serves() {
    let (mut world, a) = off_keys();
    // The list of who needs the data goes together with the mode: with keys nobody needs it.
    let mut back = back(&[(&a, AuthMode::AccessKey, vec![])]);
    back.fleet.prune = true;
    let taken = converge(&mut world, &back, |before, action| {
        if matches!(action, Action::RevokeRole { .. }) {
            assert_eq!(before.workspaces[&a].mode, ObservedAuthMode::AccessKey, "still at work by the grant");
        }
    });
    assert_eq!(
        names(&taken),
        [
            "SetSharedKeyAccess enabled on stml",
            "SetAuthMode accesskey on fraud-train",
            "RevokeRole Storage Blob Data Contributor from 00000000-0000-0000-0000-00000000a001",
        ]
    );
    let plan = look(&world, &back);
    assert!(plan.steps.is_empty() && plan.drift.is_empty(), "{}", show(&plan));
}

#[test]
fn a_way_back_that_is_barred_keeps_every_grant() {
    let (mut world, a) = off_keys();
    let b = world.workspace("churn", ObservedAuthMode::Other("UserDelegationSAS".to_owned()));
    let mut back = back(&[(&a, AuthMode::AccessKey, vec![]), (&b, AuthMode::AccessKey, vec![])]);
    back.fleet.prune = true;
    let taken = converge(&mut world, &back, |_, _| {});
    assert_eq!(names(&taken), ["SetSharedKeyAccess enabled on stml", "SetAuthMode accesskey on fraud-train"]);
    let shown = show(&look(&world, &back));
    assert!(shown.contains("went_back: the way back is not over: churn is on UserDelegationSAS"), "{shown}");
}

#[test]
fn keys_that_were_made_anew_are_taken_before_the_switch_and_once_more_after_it() {
    let (mut world, a) = off_keys();
    world.rotate();
    let needs = vec![need(object(1), BLOB_CONTRIBUTOR)];
    let back = back(&[(&a, AuthMode::AccessKey, needs.clone())]);
    insta::assert_snapshot!(show(&look(&world, &back)), @r"
    ready
    - SetSharedKeyAccess enabled on stml
    - ResyncWorkspaceKeys of fraud-train
        key_on: the key is still off
    - SetAuthMode accesskey on fraud-train
        key_on: the key is still off
        key_effective: not looked at
        keys_taken: a key was made at 2026-11-30T09:30:00Z, and whether the workspace has it is not told
    ");
    let taken = converge(&mut world, &back, |before, action| {
        let mut after = before.clone();
        after.apply(action);
        assert!(after.works(&a, &needs, std::time::Duration::ZERO).values().all(|works| *works), "{action} denies");
    });
    assert_eq!(
        names(&taken),
        [
            "SetSharedKeyAccess enabled on stml",
            "ResyncWorkspaceKeys of fraud-train",
            "SetAuthMode accesskey on fraud-train",
            "ResyncWorkspaceKeys of fraud-train",
        ]
    );
    let plan = look(&world, &back);
    assert!(plan.steps.is_empty() && plan.drift.is_empty(), "{}", show(&plan));
    // Without the step in between people would stand before a door with a new lock.
    let (mut careless, a) = off_keys();
    careless.rotate();
    for action in &taken[..1] {
        careless.apply(action);
    }
    careless.apply(&taken[2]);
    assert!(careless.works(&a, &needs, std::time::Duration::ZERO).values().all(|works| !works));
}

#[test]
fn grants_stay_while_keys_are_still_to_be_taken_once_more() {
    let (mut world, a) = off_keys();
    world.rotate();
    let mut back = back(&[(&a, AuthMode::AccessKey, vec![])]);
    back.fleet.prune = true;
    let mut held = Vec::new();
    let taken = converge(&mut world, &back, |before, action| {
        let on_key = before.workspaces[&a].mode == ObservedAuthMode::AccessKey;
        if on_key && matches!(action, Action::ResyncWorkspaceKeys { .. }) {
            held.push(show(&look(before, &back)));
        }
    });
    assert_eq!(taken.last().map(Action::kind), Some("RevokeRole"));
    let [held] = held.as_slice() else { panic!("{held:?}") };
    let why = "went_back: the way back is not over: fraud-train is to take its keys once more";
    assert!(held.contains(why), "{held}");
}

#[test]
fn grants_are_taken_back_after_the_mode_was_read_directly() {
    let (mut world, a) = off_keys();
    let mut back = back(&[(&a, AuthMode::AccessKey, vec![])]);
    back.fleet.prune = true;
    for step in ["SetSharedKeyAccess", "SetAuthMode"] {
        let plan = look(&world, &back);
        let next = plan.next().map(|step| step.action.clone()).or_else(|| {
            world.advance(plan.wakes_at().unwrap());
            look(&world, &back).next().map(|step| step.action.clone())
        });
        let next = next.unwrap();
        assert_eq!(next.kind(), step);
        world.apply(&next);
    }
    let mut observed = world.observe(&back);
    observed.workspaces.get_mut(&a).unwrap().workspace = Reading::NotRead;
    let plan = planned(&back, &observed, &Limits::default(), Look::WhatMatters);
    assert!(plan.wants.workspaces.contains(&a), "{}", show(&plan));
}

#[test]
fn a_policy_that_cannot_be_read_holds_no_request_that_policies_do_not_see() {
    let (mut world, a) = off_keys();
    world.rotate();
    let back = back(&[(&a, AuthMode::AccessKey, vec![])]);
    let mut observed = world.observe(&back);
    observed.barriers.policies.values_mut().for_each(|policies| *policies = Reading::unknown("503"));
    let plan = planned(&back, &observed, &Limits::default(), Look::Everything);
    let held = |kind: &str| {
        let step = plan.steps.iter().find(|step| step.action.kind() == kind).unwrap();
        step.gates.iter().any(|check| check.gate == Gate::PolicyAllows && check.state != GateState::Open)
    };
    assert!(held("SetAuthMode") && held("SetSharedKeyAccess"), "{}", show(&plan));
    assert!(!held("ResyncWorkspaceKeys"), "{}", show(&plan));
}

#[test]
fn keys_as_old_as_the_workspace_are_not_taken_anew() {
    let (mut world, a) = off_keys();
    let taken = converge(&mut world, &back(&[(&a, AuthMode::AccessKey, vec![])]), |_, _| {});
    assert_eq!(names(&taken), ["SetSharedKeyAccess enabled on stml", "SetAuthMode accesskey on fraud-train"]);
}

#[test]
fn what_is_not_told_of_keys_or_workspace_counts_as_made_anew() {
    for hide in [
        (|world: &mut World, _: &WorkspaceId| world.tells_key_times = false) as fn(&mut World, &WorkspaceId),
        |world, _| world.key_times.key2 = None,
        |world, a| world.workspaces.get_mut(a).unwrap().created_at = None,
        // Of one moment, which came first is not told either.
        |world, a| world.workspaces.get_mut(a).unwrap().created_at = world.key_times.key1,
    ] {
        let (mut world, a) = off_keys();
        hide(&mut world, &a);
        let taken = converge(&mut world, &back(&[(&a, AuthMode::AccessKey, vec![])]), |_, _| {});
        let resyncs = taken.iter().filter(|action| matches!(action, Action::ResyncWorkspaceKeys { .. })).count();
        assert_eq!(resyncs, 2, "{taken:?}");
    }
}

#[test]
fn a_restart_in_the_middle_takes_the_keys_once_more_and_one_at_the_end_nothing() {
    let (mut world, a) = off_keys();
    world.rotate();
    let back = back(&[(&a, AuthMode::AccessKey, vec![])]);
    let step = |world: &mut World| {
        let plan = look(world, &back);
        match plan.next() {
            Some(step) => world.apply(&step.action),
            None => world.advance(plan.wakes_at().unwrap()),
        }
        plan.next().map(|step| step.action.kind())
    };
    assert_eq!(step(&mut world), Some("SetSharedKeyAccess"));
    assert_eq!(step(&mut world), Some("ResyncWorkspaceKeys"));
    world.keys_taken.clear();
    assert_eq!(step(&mut world), Some("ResyncWorkspaceKeys"), "a new process cannot know");
    assert_eq!(step(&mut world), None, "until the key works");
    assert_eq!(step(&mut world), Some("SetAuthMode"));
    // Once back, no process takes keys for nothing: a converged fleet is written to by nobody.
    world.keys_taken.clear();
    assert_eq!(world.workspaces[&a].holds, world.key_times);
    world.rotate();
    assert!(look(&world, &back).steps.is_empty());
}

#[test]
fn a_rotation_between_the_keys_and_the_switch_holds_the_switch() {
    let (mut world, a) = off_keys();
    world.rotate();
    let back = back(&[(&a, AuthMode::AccessKey, vec![])]);
    world.apply(&Action::SetSharedKeyAccess { account: account_id(), allowed: true });
    world.apply(&Action::ResyncWorkspaceKeys { workspace: a.clone() });
    world.advance(world.now + jiff::SignedDuration::from_secs(600));
    assert!(matches!(look(&world, &back).next().unwrap().action, Action::SetAuthMode { .. }));
    world.rotate();
    assert!(matches!(look(&world, &back).next().unwrap().action, Action::ResyncWorkspaceKeys { .. }));
}

#[test]
fn a_workspace_that_takes_no_keys_on_identity_has_them_in_the_end() {
    let (mut world, a) = off_keys();
    world.rotate();
    world.identity_takes_keys = false;
    converge(&mut world, &back(&[(&a, AuthMode::AccessKey, vec![])]), |_, _| {});
    assert_eq!(world.workspaces[&a].holds, world.key_times);
}

#[test]
fn a_refusal_to_take_keys_holds_that_workspace_and_nothing_else_until_it_is_accepted() {
    use keyless_core::plan::{Limits, Look, Refusal};
    let (mut world, a) = off_keys();
    let b = world.workspace("churn", ObservedAuthMode::Identity);
    world.workspaces.get_mut(&b).unwrap().created_at = Some(world.now);
    world.rotate();
    world.workspaces.get_mut(&b).unwrap().created_at = Some(world.now + jiff::SignedDuration::from_secs(1));
    let mut back = back(&[(&a, AuthMode::AccessKey, vec![]), (&b, AuthMode::AccessKey, vec![])]);
    world.apply(&Action::SetSharedKeyAccess { account: account_id(), allowed: true });
    world.advance(world.now + jiff::SignedDuration::from_secs(600));
    let refused = Refusal {
        until: world.now + jiff::SignedDuration::from_secs(3600),
        why: "AuthorizationFailed".to_owned(),
        lift: None,
    };
    let resync = Action::ResyncWorkspaceKeys { workspace: a.clone() };
    let limits = Limits { refused: [(resync, refused)].into(), ..Limits::default() };
    let plan = planned(&back, &world.observe(&back), &limits, Look::Everything);
    let other = Action::SetAuthMode { workspace: b.clone(), mode: AuthMode::AccessKey };
    assert_eq!(plan.next().unwrap().action, other);
    let held = plan.steps.iter().find(|step| step.workspaces.contains(&a) && step.action.kind() == "SetAuthMode");
    let lifts = format!("{:?}", held.unwrap().gates);
    assert!(lifts.contains("az ml workspace sync-keys --name fraud-train --resource-group rg"), "{lifts}");

    let accept = |until| Acceptance { reason: "done by hand".to_owned(), owner: "ops".to_owned(), until };
    let declared = back.workspaces.get_mut(&a).unwrap();
    declared.accept_stale_keys = Some(accept(world.now - jiff::SignedDuration::from_secs(1)));
    let shown = show(&look(&world, &back));
    assert!(shown.contains("; what ops accepted ended at "), "{shown}");
    let declared = back.workspaces.get_mut(&a).unwrap();
    declared.accept_stale_keys = Some(accept(world.now + jiff::SignedDuration::from_secs(1)));
    let plan = look(&world, &back);
    assert!(plan.steps.iter().all(|step| step.action.kind() == "SetAuthMode" && step.is_open()), "{}", show(&plan));
}

#[test]
fn a_read_only_lock_on_the_account_bars_taking_its_keys() {
    let (mut world, a) = off_keys();
    world.rotate();
    world.key = SharedKeyAccess::Allowed;
    world.key_on_since = Some(world.now);
    let id = ArmId::parse(&format!("{}/providers/Microsoft.Authorization/locks/l", account_id())).unwrap();
    world.locks.push(Lock { id, scope: account_id().arm().clone(), level: LockLevel::ReadOnly });
    let plan = look(&world, &back(&[(&a, AuthMode::AccessKey, vec![])]));
    let unlocked = |kind: &str| {
        let step = plan.steps.iter().find(|step| step.action.kind() == kind).unwrap();
        step.gates.iter().find(|check| check.gate == Gate::Unlocked).unwrap().state.is_open()
    };
    assert!(!unlocked("ResyncWorkspaceKeys"));
    assert!(unlocked("SetAuthMode"), "the workspace itself is not locked");
}

/// What the files say for a while, and what happens meanwhile.
#[derive(Debug, Clone)]
struct Chapter {
    /// For each of three workspaces, whether it is to go back.
    back: [bool; 3],
    /// Whether a document of the account turns the key on.
    word: bool,
    /// How many steps or waits pass before the files change again.
    steps: usize,
    /// After how many of them somebody makes a key anew.
    rotates: Option<usize>,
    /// After how many of them the process is a new one.
    restarts: Option<usize>,
}

fn chapter() -> impl Strategy<Value = Chapter> {
    let moment = || proptest::option::weighted(0.4, 0_usize..12);
    (any::<[bool; 3]>(), proptest::bool::weighted(0.7), 0_usize..16, moment(), moment())
        .prop_map(|(back, word, steps, rotates, restarts)| Chapter { back, word, steps, rotates, restarts })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Some back and some not, files that turn round half-way, a key that goes off again in between, keys made anew, and
    /// processes that remember nothing: no write of ours takes anybody's access, and the last word of the files is reached.
    #[test]
    fn files_that_turn_round_at_any_moment_take_nobodys_access(story in proptest::collection::vec(chapter(), 1..5)) {
        let mut world = World::new();
        let ids: Vec<WorkspaceId> = (0..3).map(|n| world.workspace(&format!("workspace-{n}"), ObservedAuthMode::AccessKey)).collect();
        let needs = |n: usize| vec![need(object(n as u128), BLOB_CONTRIBUTOR)];
        let propagation = std::time::Duration::from_secs(600);
        let mut taken = 0;
        let last = story.len() - 1;
        for (number, Chapter { back, word, steps, rotates, restarts }) in story.into_iter().enumerate() {
            let list: Vec<(&WorkspaceId, AuthMode, Vec<Need>)> = ids.iter().enumerate().map(|(n, id)| {
                (id, if back[n] { AuthMode::AccessKey } else { AuthMode::Identity }, needs(n))
            }).collect();
            let mut files = desired(&list);
            files.fleet.waits.key_idle = std::time::Duration::from_secs(3600);
            if word && back.contains(&true) || number == last && back.contains(&true) {
                declare_account(&mut files, DesiredSharedKey::Enabled);
            }
            for count in 0.. {
                if rotates == Some(count) {
                    world.rotate();
                }
                if restarts == Some(count) {
                    world.keys_taken.clear();
                    world.key_on_since = world.key.is_on().then_some(world.now);
                }
                if number < last && count >= steps {
                    break;
                }
                prop_assert!(count < 200, "no end: {}", show(&look(&world, &files)));
                let plan = look(&world, &files);
                let Some(step) = plan.next() else {
                    let Some(at) = plan.wakes_at() else { break };
                    world.advance(at.max(world.now + jiff::SignedDuration::from_secs(1)));
                    continue;
                };
                let mut after = world.clone();
                after.apply(&step.action);
                for (n, id) in ids.iter().enumerate() {
                    let had = world.works(id, &needs(n), propagation);
                    let has = after.works(id, &needs(n), propagation);
                    for (who, could) in had {
                        prop_assert!(!could || has[&who], "{} takes {who}'s access through {}", step.action, id.name());
                    }
                }
                if let Action::SetAuthMode { workspace, mode: AuthMode::AccessKey } = &step.action {
                    prop_assert_eq!(world.workspaces[workspace].holds, world.key_times);
                }
                world = after;
                taken += 1;
            }
            if number == last {
                for (n, id) in ids.iter().enumerate() {
                    let asked = if back[n] { ObservedAuthMode::AccessKey } else { ObservedAuthMode::Identity };
                    prop_assert_eq!(&world.workspaces[id].mode, &asked, "{}", show(&look(&world, &files)));
                }
            }
        }
        prop_assert!(taken < 200, "{taken} writes");
    }
}
