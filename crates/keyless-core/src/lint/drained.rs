//! That nothing is at work in a workspace which is switched to identity, where its document waits for that.

use crate::action::Action;
use crate::desired::{AuthMode, Drain, KeyDesired};
use crate::id::WorkspaceId;
use crate::observed::Observed;

use super::{Rule, Verdict};

/// Whether the action has to wait for what runs; where the key is off, nobody has access to lose.
pub(super) fn waits(action: &Action, key_is_off: bool, desired: &KeyDesired) -> bool {
    let Action::SetAuthMode { workspace, mode: AuthMode::Identity } = action else { return false };
    !key_is_off && desired.workspaces.get(workspace).is_some_and(|document| document.drain == Drain::Wait)
}

/// Jobs and instances were read, and each of them is told to be over.
pub(super) fn judge(workspace: &WorkspaceId, desired: &KeyDesired, observed: &Observed, found: &mut Verdict) {
    if desired.workspaces.get(workspace).is_none_or(|document| document.drain == Drain::Ignore) {
        return;
    }
    let entry = observed.workspaces.get(workspace);
    let read = entry.and_then(|entry| entry.jobs.value().zip(entry.computes.value()));
    let Some((jobs, computes)) = read else { return found.reject(Rule::Facts, "what is at work was not read") };
    let is = |word: &str, words: &[&str]| words.contains(&word.to_ascii_lowercase().as_str());
    for job in jobs.iter().filter(|job| !is(&job.status, &["completed", "failed", "canceled"])) {
        found.reject(Rule::Facts, format!("{job} is at work"));
    }
    let instances = computes.iter().filter(|compute| is(&compute.compute_type, &["computeinstance"]));
    for instance in instances.filter(|one| !is(one.state.as_deref().unwrap_or_default(), &["stopped", "createfailed"]))
    {
        found.reject(Rule::Facts, format!("instance {} is at work", instance.name));
    }
}
