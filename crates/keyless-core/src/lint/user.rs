//! Whom a need of the files is about, by what was read.

use std::collections::BTreeSet;

use crate::desired::{Need, PrincipalRef};
use crate::id::{ManagedIdentityId, PrincipalId, WorkspaceId};
use crate::observed::{Identity, Observed, Workspace};

/// Who it is; `None` where nothing that was read tells all of them.
pub(super) fn users(need: &Need, workspace: &WorkspaceId, observed: &Observed) -> Option<BTreeSet<PrincipalId>> {
    let own = || workspace_read(workspace, observed);
    let users: BTreeSet<PrincipalId> = match &need.principal {
        PrincipalRef::Object { id, .. } => BTreeSet::from([*id]),
        PrincipalRef::ManagedIdentity(id) => BTreeSet::from([identity(id, observed)?]),
        PrincipalRef::WorkspaceSystem => BTreeSet::from([own()?.identity.system?]),
        PrincipalRef::WorkspaceUserAssigned => user_assigned(&own()?.identity, observed)?,
        PrincipalRef::Compute(name) => {
            let computes = observed.workspaces.get(workspace)?.computes.value()?;
            let compute = computes.iter().find(|compute| compute.name.eq_ignore_ascii_case(name))?;
            let mut users = user_assigned(&compute.identity, observed)?;
            users.extend(compute.identity.system);
            users
        }
    };
    (!users.is_empty()).then_some(users)
}

/// The workspace, if it was read and is there.
pub(super) fn workspace_read<'a>(workspace: &WorkspaceId, observed: &'a Observed) -> Option<&'a Workspace> {
    observed.workspaces.get(workspace)?.workspace.value()?.as_ref()
}

/// Who one user-assigned identity of a workspace is.
pub(super) fn principal_of(id: &ManagedIdentityId, block: &Identity, observed: &Observed) -> Option<PrincipalId> {
    block.user_assigned.get(id).copied().flatten().or_else(|| identity(id, observed))
}

fn user_assigned(block: &Identity, observed: &Observed) -> Option<BTreeSet<PrincipalId>> {
    block.user_assigned.iter().map(|(id, told)| told.or_else(|| identity(id, observed))).collect()
}

fn identity(id: &ManagedIdentityId, observed: &Observed) -> Option<PrincipalId> {
    *observed.identities.get(id)?.value()?
}
