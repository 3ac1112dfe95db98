//! Whether nothing runs in a workspace that is about to be switched to identity.

use std::collections::BTreeSet;

use crate::gate::{GateState, ReadSet};
use crate::id::WorkspaceId;
use crate::observed::{Cause, Compute, Observed, ObservedJob, ObservedWorkspace, Reading};

use super::{Judged, lacks, listed, told};

/// The other way out of every state of this gate.
const OTHERWISE: &str = "`drain: ignore` in the document";

/// Said of what one page shows: Azure promises no order of jobs.
const MAYBE_MORE: &str = "; one page of the jobs was read, so there may be more";

/// Whether all other gates of the step are open. The history of jobs may be long, so that all of it is read only then; before
/// that a plan for people names what one page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plan) enum Rest {
    Open,
    Shut,
}

/// [`crate::gate::Gate::Drained`]. Looked at with [`crate::desired::Drain::Wait`] only. It opens on the whole history alone.
pub(in crate::plan) fn drained(id: &WorkspaceId, observed: &Observed, rest: Rest) -> Judged {
    let entry = observed.workspaces.get(id);
    let wants = wanted(id, entry, rest);
    if !wants.is_empty() {
        return lacks(wants);
    }
    let Some(ObservedWorkspace { computes, .. }) = entry else { return told(GateState::NotLooked) };
    let (jobs, whole) = jobs_of(entry);
    if let Some(failed) = jobs.and_then(|jobs| unreadable("jobs", jobs)).or_else(|| unreadable("computes", computes)) {
        return told(failed);
    }
    let running = running(entry);
    if running.is_empty() {
        return told(if whole { GateState::Open } else { GateState::NotLooked });
    }
    let up = computes.value().is_some_and(|all| all.iter().any(Compute::is_instance_up));
    let instances = if up {
        "; an instance that is stopped for the switch mounts anew when it is started after it" //
    } else {
        ""
    };
    told(GateState::unmet(
        format!("still at work: {}{}", listed(&running), if whole { "" } else { MAYBE_MORE }),
        format!("their end, or {OTHERWISE}{instances}"),
    ))
}

/// The whole history where it was read, else one page of it; and whether it is the whole.
fn jobs_of(entry: Option<&ObservedWorkspace>) -> (Option<&Reading<Vec<ObservedJob>>>, bool) {
    let Some(entry) = entry else { return (None, false) };
    match entry.jobs {
        Reading::NotRead => (Some(&entry.glimpse), false),
        Reading::Known { .. } | Reading::Unknown { .. } => (Some(&entry.jobs), true),
    }
}

/// What has not been read yet.
fn wanted(id: &WorkspaceId, entry: Option<&ObservedWorkspace>, rest: Rest) -> ReadSet {
    let unread = |is: fn(&ObservedWorkspace) -> bool| {
        if entry.is_none_or(is) { BTreeSet::from([id.clone()]) } else { BTreeSet::new() }
    };
    let (jobs, glimpses) = match rest {
        Rest::Open => (unread(|entry| matches!(entry.jobs, Reading::NotRead)), BTreeSet::new()),
        Rest::Shut => {
            let nothing = |entry: &ObservedWorkspace| {
                matches!((&entry.jobs, &entry.glimpse), (Reading::NotRead, Reading::NotRead)) //
            };
            (BTreeSet::new(), unread(nothing))
        }
    };
    ReadSet {
        jobs,
        glimpses,
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
    let Some(ObservedWorkspace { computes, .. }) = entry else { return Vec::new() };
    let jobs = jobs_of(entry)
        .0
        .and_then(Reading::value)
        .into_iter()
        .flatten()
        .filter(|job| !job.has_ended())
        .map(ObservedJob::to_string);
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

/// What a switch that does not wait is made under: what would tell more of it, and what is known to run. Nothing is decided
/// by it, so one page is all that is ever read for it.
pub(in crate::plan) fn unwaited(id: &WorkspaceId, observed: &Observed) -> (ReadSet, String) {
    let entry = observed.workspaces.get(id);
    let mut running_now = listed(&running(entry));
    if !running_now.is_empty() && !jobs_of(entry).1 {
        running_now.push_str(MAYBE_MORE);
    }
    (wanted(id, entry, Rest::Shut), running_now)
}
