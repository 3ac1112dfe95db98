//! What a disturbed run is held against: the rules first, then the undisturbed run. Where files come that another revision
//! overtakes before they are seen, that is the undisturbed run of the story without them.

use super::plan::{Disturbance, Plan, Span};
use super::stage::{Outcome, counted};
use super::workload::{Change, Workload};

/// What is wrong with the undisturbed run itself: it has to end as the workload says.
pub(crate) fn of_reference(workload: &Workload, outcome: &Outcome) -> Vec<String> {
    let mut wrong = outcome.broken.clone();
    let ends = workload.ends;
    let key = format!("\"allowSharedKeyAccess\":{}", ends.key_on);
    if !outcome.world.iter().any(|thing| thing.contains(&key)) {
        wrong.push(format!("the key is not as the workload says: {key}"));
    }
    let on_identity =
        outcome.world.iter().filter(|thing| thing.contains("\"systemDatastoresAuthMode\":\"Identity\"")).count();
    if on_identity != ends.on_identity.len() {
        wrong.push(format!("{on_identity} workspaces are on identity, not {:?}", ends.on_identity));
    }
    if outcome.plan.len() != ends.held {
        wrong.push(format!("{} steps are left, not {}: {:?}", outcome.plan.len(), ends.held, outcome.plan));
    }
    if outcome.writes.is_empty() {
        wrong.push("nothing was written".to_owned());
    }
    wrong.extend(outcome.alerts.iter().filter(|alert| alert.starts_with("observe_incomplete")).cloned());
    wrong
}

/// The event of a story, by its number, that nobody ever sees under a plan.
pub(crate) fn unseen(workload: &Workload, plan: &Plan) -> Option<usize> {
    plan.0.iter().find_map(|one| match one {
        Disturbance::Missed { change, span: Span::Next } => {
            let event = workload.events.get(change.checked_sub(1)?)?;
            matches!(event.change, Change::Files(_)).then_some(*change)
        }
        _ => None,
    })
}

/// What is wrong with a disturbed run.
///
/// Where both lists that a grant rests on are as old as the story itself, it is made once more, and changes nothing.
pub(crate) fn against(workload: &Workload, plan: &Plan, reference: &Outcome, outcome: &Outcome) -> Vec<String> {
    let lists = outcome.aged.iter().filter(|address| address.contains("roleassignments?")).count();
    let mut wrong = outcome.broken.clone();
    let is_had = |broken: &String| broken.starts_with("S9: ") && broken.contains("is granted what it has");
    if lists == 2
        && let Some(once) = wrong.iter().position(is_had)
    {
        wrong.remove(once);
    }
    let differs = |what: &str, more: bool| format!("{} {what}", if more { "more:" } else { "less:" });
    for thing in outcome.world.symmetric_difference(&reference.world) {
        wrong.push(format!("world: {}", differs(thing, outcome.world.contains(thing))));
    }
    wrong.extend(writes(plan, reference, outcome));
    wrong.extend(alerts(workload, plan, reference, outcome));
    if outcome.plan != reference.plan {
        wrong.push(format!("plan again: {:?}, not {:?}", outcome.plan, reference.plan));
    }
    wrong
}

/// The same writes. Those that set something to a value may be repeated as often as there are disturbances.
fn writes(plan: &Plan, reference: &Outcome, outcome: &Outcome) -> Vec<String> {
    let (expected, made) = (counted(&reference.writes), counted(&outcome.writes));
    let mut wrong = Vec::new();
    for (write, count) in &made {
        let times = expected.get(write).copied().unwrap_or_default();
        let most = if times == 0 { 0 } else { times + plan.0.len() };
        if *count > most {
            wrong.push(format!("writes: {count} times, not {times}: {write}"));
        }
    }
    for (write, times) in &expected {
        let count = made.get(write).copied().unwrap_or_default();
        if count < *times {
            wrong.push(format!("writes: {count} times, not {times}: {write}"));
        }
    }
    wrong
}

/// The same alerts, but for what the disturbances explain by themselves:
///
/// - a death leaves at most one change untold, and one cleared difference of each workspace: the process that made it is
///   gone, and the next one never saw the difference. The wait after its start may outlast a gate that only time opens. An
///   older read before it puts off what is told of the change before, so that as much goes with the process once more.
///   What the dead one may have switched, the next one does not know: it waits for the metric, and tells that.
/// - a change that is read back as it was before is told as failed in place of applied, and is waited for; the wait may
///   outlast such a gate too, and the older read may shut a gate that was open.
/// - what an older read alone shows to differ was changed by nobody, and the activity log says so when its time is over.
/// - an older list that shows a workspace on keys contradicts the direct read, and leaves its mode unknown.
fn alerts(workload: &Workload, plan: &Plan, reference: &Outcome, outcome: &Outcome) -> Vec<String> {
    let crashes = plan.0.iter().filter(|one| matches!(one, Disturbance::Crash { .. })).count();
    let is_aged = !outcome.aged.is_empty();
    // A list that shows keys is believed over the direct read before it, and that is told.
    let lists_keys = outcome.aged.iter().any(|address| address.contains("learningservices/workspaces?"));
    let failed =
        |action: &str| outcome.alerts.iter().any(|alert| alert.starts_with("action_failed") && alert.contains(action));
    let is_timed =
        |alert: &str| [" needs_aged ", " key_effective ", " key_idle "].iter().any(|gate| alert.contains(gate));
    // A grant that is there clears one difference of each workspace.
    let workspaces = workload.files.iter().map(|(asks, _)| asks.len()).max().unwrap_or_default();
    let stale = plan.0.iter().filter(|one| matches!(one, Disturbance::Stale { .. })).count();
    let (mut applied, mut cleared) = (crashes, crashes * workspaces * (1 + stale));
    let spend = |left: &mut usize| {
        let some = *left > 0;
        *left = left.saturating_sub(1);
        some
    };
    let mut wrong = Vec::new();
    for alert in outcome.alerts.symmetric_difference(&reference.alerts) {
        let (name, about) = alert.split_once(" | ").unwrap_or((alert, ""));
        let more = outcome.alerts.contains(alert);
        let explained = match (name, more) {
            ("action_applied", false) => failed(about) || spend(&mut applied),
            ("drift_cleared", false) => spend(&mut cleared),
            ("gate_unmet", false) => is_timed(alert) && (crashes > 0 || is_aged),
            ("action_failed", true) => is_aged && about.ends_with("did_not_stick"),
            ("gate_unmet", true) => is_aged || (crashes > 0 && alert.contains(" key_idle ")),
            ("observe_incomplete", true) => lists_keys,
            ("drift_attributed", true) => is_aged && about.ends_with("the activity log names nobody"),
            _ => false,
        };
        if !explained {
            wrong.push(format!("alerts: {}: {alert}", if more { "more" } else { "less" }));
        }
    }
    wrong
}
