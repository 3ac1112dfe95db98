//! What a plan tells of documents that are suspended: while it lasts, before it ends, and when it is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use keyless_core::desired::*;
use keyless_core::gate::{Gate, GateState};
use keyless_core::observed::*;
use keyless_core::plan::finding::SuspendStage;
use keyless_core::plan::{Finding, Standing};

use crate::world::*;

const HOUR: i64 = 3_600;

/// How the suspension of the one workspace stands that ends so many seconds from now.
fn stage(ends_in: i64, then: AfterSuspend) -> Option<(SuspendStage, String)> {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    world.key = SharedKeyAccess::Disallowed;
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    let until = world.now + SignedDuration::from_secs(ends_in);
    desired.workspaces.get_mut(&a).unwrap().suspend = Some(Suspend { reason: "audit".to_owned(), until, then });
    let plan = look(&world, &desired);
    assert_eq!(plan.standing(), Standing::Converged, "a pause is no reason to call it blocked");
    plan.findings.iter().find_map(|finding| match finding {
        Finding::Suspended(found) => {
            assert_eq!((&found.workspace, found.until), (&Some(a.clone()), until));
            Some((found.stage, finding.to_string()))
        }
        _ => None,
    })
}

#[test]
fn a_suspension_that_ends_by_itself_is_told_while_it_lasts_a_day_and_an_hour_ahead_and_a_day_after() {
    let of = |ends_in| stage(ends_in, AfterSuspend::Resume).map(|(stage, _)| stage);
    for (ends_in, wanted) in [
        (DAY + 1, Some(SuspendStage::Lasts)),
        (DAY, Some(SuspendStage::EndsWithinDay)),
        (HOUR + 1, Some(SuspendStage::EndsWithinDay)),
        (HOUR, Some(SuspendStage::EndsWithinHour)),
        (1, Some(SuspendStage::EndsWithinHour)),
        (0, Some(SuspendStage::Ended)),
        (1 - DAY, Some(SuspendStage::Ended)),
        (-DAY, None),
    ] {
        assert_eq!(of(ends_in), wanted, "{ends_in}");
    }
    let (_, text) = stage(HOUR, AfterSuspend::Resume).unwrap();
    assert!(text.starts_with("the suspension of fraud-train ends at ") && text.ends_with(": audit"), "{text}");
}

#[test]
fn a_suspension_that_stays_is_told_as_overdue_and_never_as_ended() {
    let of = |ends_in| stage(ends_in, AfterSuspend::Stay).map(|(stage, _)| stage);
    for (ends_in, wanted) in [
        (DAY + 1, SuspendStage::Lasts),
        (1, SuspendStage::Lasts),
        (0, SuspendStage::Overdue),
        (-400 * DAY, SuspendStage::Overdue),
    ] {
        assert_eq!(of(ends_in), Some(wanted), "{ends_in}");
    }
}

#[test]
fn the_key_waits_for_a_suspended_workspace_that_may_stand_on_the_account() {
    let mut world = World::new();
    let a = world.workspace("fraud-train", ObservedAuthMode::Identity);
    world.key = SharedKeyAccess::Disallowed;
    let mut desired = desired(&[(&a, AuthMode::Identity, vec![])]);
    declare_account(&mut desired, DesiredSharedKey::Enabled);
    let somewhere = workspace_id("somewhere");
    let mut document = desired.workspaces[&a].clone();
    document.name = "somewhere".to_owned();
    let mut with = |document: Option<DesiredWorkspace>| {
        desired.unplaced = Arc::new(BTreeMap::from([(somewhere.clone(), document)]));
        look(&world, &desired)
    };
    assert!(with(None).next().is_some(), "of what has no document nothing is known to be suspended");
    assert!(with(Some(document.clone())).next().is_some());
    let until = world.now + SignedDuration::from_secs(HOUR);
    document.suspend = Some(Suspend { reason: "audit".to_owned(), until, then: AfterSuspend::Resume });
    let plan = with(Some(document));
    let held = plan.steps.iter().flat_map(|step| &step.gates).find(|check| check.gate == Gate::Active).unwrap();
    let GateState::Waiting { until: told, why } = &held.state else { panic!("{}", show(&plan)) };
    let expected =
        "somewhere is suspended: audit; it may stand on this account, for its own could not be found out".to_owned();
    assert_eq!((told, why), (&until, &expected));
}
