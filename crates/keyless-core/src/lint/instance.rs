//! That no compute instance works by an identity that has no files to work on where there is no key.
//!
//! Source: <https://learn.microsoft.com/azure/machine-learning/how-to-disable-local-auth-storage>.

use crate::desired::KeyDesired;
use crate::id::WorkspaceId;
use crate::observed::Observed;

use super::{Rule, Verdict};

/// By this name a document accepts them.
const ACCEPTED_AS: &str = "computeInstanceSystemIdentity";

pub(super) fn judge(workspace: &WorkspaceId, desired: &KeyDesired, observed: &Observed, found: &mut Verdict) {
    let accepted = desired.workspaces.get(workspace).and_then(|own| own.accept_incompatible.get(ACCEPTED_AS));
    if accepted.is_some_and(|accepted| observed.latest() < accepted.until) {
        return;
    }
    let Some(computes) = observed.workspaces.get(workspace).and_then(|entry| entry.computes.value()) else {
        return found.reject(Rule::Facts, "computes were not read");
    };
    for compute in computes {
        let is_instance = compute.compute_type.eq_ignore_ascii_case("ComputeInstance");
        let why = format!("instance {} has a system-assigned identity", compute.name);
        found.demand(!is_instance || compute.identity.system.is_none(), Rule::Facts, why);
    }
}
