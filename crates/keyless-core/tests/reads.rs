//! What a plan asks to be read, and what is read again before a write.

use std::collections::BTreeSet;

use jiff::Timestamp;
use keyless_core::desired::*;
use keyless_core::gate::Gate;
use keyless_core::id::ManagedIdentityId;
use keyless_core::observed::*;
use keyless_core::plan::{self, Limits, Look};

use crate::world::*;

#[test]
fn what_every_plan_builds_on_is_asked_for_where_it_was_not_read() {
    let a = workspace_id("fraud-train");
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    let plan =
        planned(&desired, &Observed::unread(account_id(), Timestamp::MIN), &Limits::default(), Look::WhatMatters);
    assert!(plan.wants.account && plan.wants.assignments && plan.wants.workspaces.contains(&a));
    let mut world = World::new();
    world.workspace("fraud-train", ObservedAuthMode::Identity);
    let mut observed = world.observe(&desired);
    observed.assignments = Reading::NotRead;
    let wants = planned(&desired, &observed, &Limits::default(), Look::WhatMatters).wants;
    assert!(!wants.account && wants.assignments && wants.workspaces.is_empty());
}

/// What a later read tells of the server's clock counts, and a read that heard nothing of it tells nothing.
#[test]
fn the_last_word_on_the_clock_stays() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let part = |now, seconds| Observed {
        behind: std::time::Duration::from_secs(seconds),
        ..Observed::unread(account_id(), now)
    };
    let mut observed = part(at(1_000), 1);
    for (told, seconds, expected) in [(at(2_000), 2, 2_000), (Timestamp::MIN, 9, 2_000), (at(1_500), 3, 1_500)] {
        let behind = if told == Timestamp::MIN { observed.behind } else { std::time::Duration::from_secs(seconds) };
        observed.absorb(part(told, seconds));
        assert_eq!((observed.now, observed.behind), (at(expected), behind));
    }
}

/// The reads before a switch: who acts for the workspace as well as who works in it, and only what was looked up.
#[test]
fn the_identities_that_a_switch_rests_on_are_read_again() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::AccessKey);
    let identity = |name: &str| {
        let id = format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        );
        ManagedIdentityId::parse(&id).unwrap()
    };
    let [acting, told, looked_up, unread] = ["acting", "told", "looked-up", "unread"].map(identity);
    world.workspaces.get_mut(&a).unwrap().primary = Some((acting.clone(), person(5)));
    let desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    let mut observed = world.observe(&desired);
    let own = observed.workspaces.get_mut(&a).unwrap();
    let Reading::Known { value: Some(own), .. } = &mut own.workspace else { panic!("it is known") };
    own.identity.user_assigned.insert(told.clone(), Some(person(6)));
    own.identity.user_assigned.insert(looked_up.clone(), None);
    own.identity.user_assigned.insert(unread.clone(), None);
    let now = world.now;
    for (id, who) in [(&acting, 5), (&told, 6), (&looked_up, 7)] {
        observed.identities.insert(id.clone(), Reading::known(Some(person(who)), now));
    }
    for who in [5, 9] {
        observed.groups.insert(person(who), Reading::known(BTreeSet::new(), now));
    }
    let plan = planned(&desired, &observed, &Limits::default(), Look::WhatMatters);
    let switch = plan.steps.iter().find(|step| step.action.kind() == "SetAuthMode").unwrap();
    let reads = plan::confirm_reads(switch, &desired, &observed);
    assert_eq!(reads.identities, BTreeSet::from([acting, looked_up]));
    assert_eq!(reads.groups, BTreeSet::from([person(5)]));
    // The data plane is asked where the files say so.
    assert!(switch.gates.iter().all(|check| check.gate != Gate::DataProbed));
    assert_eq!(reads.data_probe, None);
}
