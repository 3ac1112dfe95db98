//! That nothing works at a workspace while something rests on its mode.

use crate::id::WorkspaceId;
use crate::observed::{Observed, ObservedAuthMode, Workspace};

use super::user::workspace_read;
use super::{Rule, Verdict};

/// What ends an operation, by `properties.provisioningState`; whatever else stands there is still to end.
const ENDS: [&str; 3] = ["succeeded", "failed", "canceled"];

/// Whether what Azure does to the workspace may still change its mode.
pub(super) fn is_changing(own: &Workspace) -> bool {
    let state = own.provisioning_state.as_ref().map(|state| state.to_ascii_lowercase());
    state.is_some_and(|state| !ENDS.contains(&state.as_str()))
}

/// That a workspace may be written to.
pub(super) fn judge(workspace: &WorkspaceId, observed: &Observed, found: &mut Verdict) {
    let Some(own) = workspace_read(workspace, observed) else {
        return found.reject(Rule::Facts, "the workspace was not read");
    };
    found.demand(!is_changing(own), Rule::Facts, "the workspace is being changed already");
    let strange = matches!(own.auth_mode, ObservedAuthMode::Other(_));
    found.demand(!strange, Rule::Facts, "its mode is one that only people set");
    found.demand(own.more_accounts.is_empty(), Rule::Facts, "it has other accounts beside this one");
}
