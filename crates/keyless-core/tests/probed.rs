//! A switch and the key going off wait for an answer of the data plane, where the files ask for one and nowhere else.

use jiff::SignedDuration;
use keyless_core::action::Action;
use keyless_core::catalog::BLOB_CONTRIBUTOR;
use keyless_core::desired::*;
use keyless_core::gate::{Gate, GateCheck, GateState, ReadSet};
use keyless_core::lint::{Rule, lint};
use keyless_core::observed::*;
use keyless_core::plan::{self, Limits, Look, Plan, Step, confirm_reads};

use crate::world::*;

const ENDPOINT: &str = "https://stml.blob.core.windows.net/";

/// One workspace in this mode, whose people have what they need, under files that ask for the data plane.
fn case(mode: ObservedAuthMode) -> (World, KeyDesired) {
    let mut world = World::new();
    let a = world.workspace("alpha", mode);
    world.assign(person(1), BLOB_CONTRIBUTOR, DAY);
    let mut wanted = desired(&[(&a, AuthMode::Identity, vec![need(object(1), BLOB_CONTRIBUTOR)])]);
    wanted.fleet.data_probe = true;
    (world, wanted)
}

fn planned(observed: &Observed, wanted: &KeyDesired) -> Plan {
    plan::plan(wanted, observed, &Limits::default(), Look::WhatMatters)
}

fn check<'a>(plan: &'a Plan, kind: &str) -> Option<&'a GateCheck> {
    let step = plan.steps.iter().find(|step| step.action.kind() == kind).expect("the step is planned");
    step.gates.iter().find(|check| check.gate == Gate::DataProbed)
}

/// The two steps that wait, each with a world in which it is the next one.
fn both() -> [(&'static str, World, KeyDesired); 2] {
    let (switch, key) = (case(ObservedAuthMode::AccessKey), case(ObservedAuthMode::Identity));
    [("SetAuthMode", switch.0, switch.1), ("SetSharedKeyAccess", key.0, key.1)]
}

#[test]
fn a_step_waits_for_the_answer_of_this_pass_and_asks_for_it_at_the_endpoint_that_azure_tells() {
    for (kind, world, wanted) in both() {
        let full = world.observe(&wanted);
        let plan = planned(&full, &wanted);
        assert_eq!(check(&plan, kind).unwrap().state, GateState::Open, "{kind}");
        let step = plan.steps.iter().find(|step| step.action.kind() == kind).unwrap();
        assert!(step.is_open(), "{step:#?}");
        let again = confirm_reads(step, &wanted, &full);
        assert_eq!(again.data_probe.as_deref(), Some(ENDPOINT), "{kind} is confirmed by another answer");
        let mut forgotten = full.clone();
        forgotten.forget(&ReadSet { data_probe: Some(ENDPOINT.to_owned()), ..ReadSet::default() });
        let plan = planned(&forgotten, &wanted);
        assert_eq!(check(&plan, kind).unwrap().state, GateState::NotLooked, "{kind}");
        assert_eq!(plan.wants.data_probe.as_deref(), Some(ENDPOINT), "{kind}");
        assert_eq!(plan.next(), None);
    }
}

#[test]
fn whatever_else_was_answered_holds_the_step_and_says_what_lifts_it() {
    for (kind, world, wanted) in both() {
        let mut observed = world.observe(&wanted);
        let lift = Some("the role".to_owned());
        observed.data_probe = Reading::Unknown {
            why: "AuthorizationPermissionMismatch: no".to_owned(),
            cause: Cause { class: Some("refused"), lift },
        };
        let plan = planned(&observed, &wanted);
        let GateState::Unmet { why, lift } = &check(&plan, kind).unwrap().state else { panic!("{plan:#?}") };
        assert_eq!(why, "the data plane did not let the identity of keyless in: AuthorizationPermissionMismatch: no");
        assert!(lift.starts_with("the role; or `evidence: {dataProbe: false}`"), "{lift}");
        assert_eq!(plan.next(), None, "{kind}");

        let mut nameless = world.clone();
        nameless.blob_endpoint = false;
        let plan = planned(&nameless.observe(&wanted), &wanted);
        let GateState::Unmet { why, .. } = &check(&plan, kind).unwrap().state else { panic!("{plan:#?}") };
        assert!(why.contains("no blob endpoint"), "{why}");
        assert_eq!(plan.wants.data_probe, None, "there is nobody to ask");
    }
}

#[test]
fn it_neither_replaces_nor_shortens_the_age_of_a_grant() {
    let (mut world, wanted) = case(ObservedAuthMode::AccessKey);
    world.assignments.retain(|assignment| assignment.principal != person(1));
    world.assign(person(1), BLOB_CONTRIBUTOR, 60);
    let plan = planned(&world.observe(&wanted), &wanted);
    assert_eq!(check(&plan, "SetAuthMode").unwrap().state, GateState::Open);
    let step = plan.steps.iter().find(|step| step.action.kind() == "SetAuthMode").unwrap();
    let aged = step.gates.iter().find(|check| check.gate == Gate::NeedsAged).unwrap();
    assert!(matches!(aged.state, GateState::Waiting { .. }), "{aged:#?}");
    // Nobody is asked while something else holds the step.
    let mut unread = world.observe(&wanted);
    unread.data_probe = Reading::NotRead;
    assert_eq!(planned(&unread, &wanted).wants.data_probe, None);
}

#[test]
fn the_account_outranks_the_fleet_and_nothing_is_asked_where_nobody_asks() {
    for (fleet, own, asked) in [
        (true, None, true),
        (true, Some(false), false),
        (false, Some(true), true),
        (false, Some(false), false),
        (false, None, false),
    ] {
        for (kind, world, mut wanted) in both() {
            wanted.fleet.data_probe = fleet;
            if own.is_some() {
                declare_account(&mut wanted, DesiredSharedKey::Disabled);
                wanted.account.as_mut().unwrap().data_probe = own;
            }
            let mut observed = world.observe(&wanted);
            observed.data_probe = Reading::NotRead;
            let plan = planned(&observed, &wanted);
            assert_eq!(check(&plan, kind).is_some(), asked, "{fleet} {own:?} {kind}");
            assert_eq!(plan.wants.data_probe.is_some(), asked, "{fleet} {own:?} {kind}");
            if let Some(step) = plan.next() {
                assert_eq!(confirm_reads(step, &wanted, &observed).data_probe, None);
            }
        }
    }
}

#[test]
fn what_is_broken_now_is_mended_without_it() {
    let (mut world, wanted) = case(ObservedAuthMode::AccessKey);
    world.key = SharedKeyAccess::Disallowed;
    world.data_plane_from = None;
    let plan = planned(&world.observe(&wanted), &wanted);
    assert_eq!(check(&plan, "SetAuthMode"), None);
    assert!(plan.next().is_some());
}

#[test]
fn a_fleet_converges_as_soon_as_the_data_plane_lets_keyless_in() {
    let (mut world, wanted) = case(ObservedAuthMode::AccessKey);
    let opens = world.now + SignedDuration::from_secs(7_200);
    world.data_plane_from = Some(opens);
    let mut first = None;
    let taken = converge(&mut world, &wanted, |world, _| {
        first.get_or_insert(world.now);
    });
    assert_eq!(taken.iter().map(Action::kind).collect::<Vec<_>>(), ["SetAuthMode", "SetSharedKeyAccess"]);
    assert_eq!(first, Some(opens));
}

#[test]
fn the_second_opinion_misses_a_gate_that_is_not_carried_and_an_answer_that_was_not_read() {
    for (kind, world, wanted) in both() {
        let full = world.observe(&wanted);
        let sound = planned(&full, &wanted);
        assert_eq!(lint(&wanted, &full, &Limits::default(), &sound), [], "{kind}");
        let rules = |observed: &Observed, change: fn(&mut Step)| {
            let mut plan = sound.clone();
            plan.steps.iter_mut().filter(|step| step.action.kind() == kind).for_each(change);
            lint(&wanted, observed, &Limits::default(), &plan).into_iter().map(|found| found.rule).collect::<Vec<_>>()
        };
        let without = |step: &mut Step| step.gates.retain(|check| check.gate != Gate::DataProbed);
        assert_eq!(rules(&full, without), [Rule::Carried], "{kind}");
        for unanswered in [Reading::NotRead, Reading::unknown("refused")] {
            let mut less = full.clone();
            less.data_probe = unanswered;
            assert_eq!(rules(&less, |_| {}), [Rule::Facts], "{kind}");
        }
    }
}
