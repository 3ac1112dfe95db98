//! What a disturbed run is held against: the rules first, then the undisturbed run.

use super::plan::{Disturbance, Plan};
use super::stage::{Outcome, counted};
use super::workload::Workload;

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
    wrong
}

/// What is wrong with a disturbed run.
pub(crate) fn against(workload: &Workload, plan: &Plan, reference: &Outcome, outcome: &Outcome) -> Vec<String> {
    let mut wrong = outcome.broken.clone();
    let differs = |what: &str, more: bool| format!("{} {what}", if more { "more:" } else { "less:" });
    for thing in outcome.world.symmetric_difference(&reference.world) {
        wrong.push(format!("world: {}", differs(thing, outcome.world.contains(thing))));
    }
    wrong.extend(writes(workload, plan, reference, outcome));
    for alert in outcome.alerts.symmetric_difference(&reference.alerts) {
        let more = outcome.alerts.contains(alert);
        let is_free = workload.free_alerts.iter().any(|free| alert.contains(free));
        if !is_free && !explained(plan, outcome, alert, more) {
            wrong.push(format!("alerts: {}", differs(alert, more)));
        }
    }
    if outcome.plan != reference.plan {
        wrong.push(format!("plan again: {:?}, not {:?}", outcome.plan, reference.plan));
    }
    wrong
}

/// The same writes. Those that set something to a value may be repeated as often as there are disturbances.
fn writes(workload: &Workload, plan: &Plan, reference: &Outcome, outcome: &Outcome) -> Vec<String> {
    let (expected, made) = (counted(&reference.writes), counted(&outcome.writes));
    let is_free = |write: &str| workload.free_writes.iter().any(|free| write.starts_with(free));
    let mut wrong = Vec::new();
    for (write, count) in &made {
        let times = expected.get(write).copied().unwrap_or_default();
        let most = if times == 0 { 0 } else { times + plan.0.len() };
        if *count > most && !is_free(write) {
            wrong.push(format!("writes: {count} times, not {times}: {write}"));
        }
    }
    for (write, times) in &expected {
        let count = made.get(write).copied().unwrap_or_default();
        if count < *times && !is_free(write) {
            wrong.push(format!("writes: {count} times, not {times}: {write}"));
        }
    }
    wrong
}

/// What a disturbance explains by itself.
fn explained(plan: &Plan, outcome: &Outcome, alert: &str, more: bool) -> bool {
    let _ = (plan, outcome, alert, more, Disturbance::to_string);
    false
}
