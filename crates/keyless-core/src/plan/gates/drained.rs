//! Whether nothing runs in a workspace that is about to be switched to identity.

use std::collections::BTreeSet;

use crate::gate::{GateState, ReadSet};
use crate::id::WorkspaceId;
use crate::observed::{Cause, Compute, Observed, ObservedJob, ObservedWorkspace, Reading};

use super::{Judged, lacks, listed, told};

/// The other way out of every state of this gate.
const OTHERWISE: &str = "`drain: ignore` in the document";

/// [`crate::gate::Gate::Drained`]. Looked at with [`crate::desired::Drain::Wait`] only.
pub(in crate::plan) fn drained(id: &WorkspaceId, observed: &Observed) -> Judged {
    let entry = observed.workspaces.get(id);
    let wants = wanted(id, entry);
    if !wants.is_empty() {
        return lacks(wants);
    }
    let Some(ObservedWorkspace { jobs, computes, .. }) = entry else { return told(GateState::NotLooked) };
    if let Some(failed) = unreadable("jobs", jobs).or_else(|| unreadable("computes", computes)) {
        return told(failed);
    }
    let running = running(entry);
    if running.is_empty() {
        return told(GateState::Open);
    }
    let up = computes.value().is_some_and(|all| all.iter().any(Compute::is_instance_up));
    let instances = if up {
        "; an instance that is stopped for the switch mounts anew when it is started after it" //
    } else {
        ""
    };
    told(GateState::unmet(
        format!("still at work: {}", listed(&running)),
        format!("their end, or {OTHERWISE}{instances}"),
    ))
}

/// What has not been read yet.
fn wanted(id: &WorkspaceId, entry: Option<&ObservedWorkspace>) -> ReadSet {
    let unread = |is: fn(&ObservedWorkspace) -> bool| {
        if entry.is_none_or(is) { BTreeSet::from([id.clone()]) } else { BTreeSet::new() }
    };
    ReadSet {
        jobs: unread(|entry| matches!(entry.jobs, Reading::NotRead)),
        computes: unread(|entry| matches!(entry.computes, Reading::NotRead)),
        ..ReadSet::default()
    }
}

fn unreadable<T>(what: &str, reading: &Reading<T>) -> Option<GateState> {
    let Reading::Unknown { why, cause } = reading else { return None };
    let by_reading = cause.lift.as_deref().unwrap_or("a complete read");
    let cause = Cause { class: cause.class, lift: Some(format!("{by_reading}; or {OTHERWISE}")) };
    Some(GateState::unknown(what, why, &cause))
}

/// What is known to run, jobs first.
fn running(entry: Option<&ObservedWorkspace>) -> Vec<String> {
    let Some(ObservedWorkspace { jobs, computes, .. }) = entry else { return Vec::new() };
    let jobs = jobs.value().into_iter().flatten().filter(|job| !job.has_ended()).map(ObservedJob::to_string);
    let instances = computes.value().into_iter().flatten().filter(|compute| compute.is_instance_up());
    let instances = instances.map(|instance| {
        format!("instance {} ({})", instance.name, instance.state.as_deref().unwrap_or("state not told"))
    });
    let mut running: Vec<String> = jobs.collect();
    // Whatever order Azure lists them in.
    running.sort_unstable();
    running.extend(instances);
    running
}

/// What a switch that does not wait is made under: what would tell more of it, and what is known to run.
pub(in crate::plan) fn unwaited(id: &WorkspaceId, observed: &Observed) -> (ReadSet, String) {
    let entry = observed.workspaces.get(id);
    (wanted(id, entry), listed(&running(entry)))
}
