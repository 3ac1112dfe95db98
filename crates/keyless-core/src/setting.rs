//! What a difference is about and a change sets: the thing that two sides can fight over.

use std::fmt;

use crate::action::Action;
use crate::catalog;
use crate::id::{PrincipalId, RoleId, WorkspaceId};
use crate::plan::Drift;

/// One setting of one storage account and what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// `allowSharedKeyAccess`, in either direction.
    SharedKey,
    /// The mode of a workspace, in either direction.
    AuthMode(WorkspaceId),
    /// What a datastore of a workspace stores, or whether it is there.
    Datastore(WorkspaceId, String),
    /// Whether a principal has a role.
    Role(PrincipalId, RoleId),
}

impl Action {
    /// What it sets; `None` for what nobody can undo against it.
    #[must_use]
    pub fn setting(&self) -> Option<Setting> {
        match self {
            Self::GrantRole(grant) => Some(Setting::Role(grant.principal, grant.role)),
            Self::RevokeRole { principal, role, .. } => Some(Setting::Role(*principal, *role)),
            Self::SetAuthMode { workspace, .. } => Some(Setting::AuthMode(workspace.clone())),
            Self::SetSharedKeyAccess { .. } => Some(Setting::SharedKey),
            Self::SetDatastoreCredential { workspace, name, .. } | Self::CreateDatastore { workspace, name, .. } => {
                Some(Setting::Datastore(workspace.clone(), name.clone()))
            }
            Self::ResyncWorkspaceKeys { .. } | Self::CreateWorkspace { .. } => None,
        }
    }
}

impl Drift {
    /// What it is about.
    #[must_use]
    pub fn setting(&self) -> Option<Setting> {
        match self {
            Self::RoleMissing { principal, role, .. } => Some(Setting::Role(*principal, *role)),
            Self::AuthMode { workspace, .. } => Some(Setting::AuthMode(workspace.clone())),
            Self::SharedKey { .. } => Some(Setting::SharedKey),
            Self::DatastoreCredential { workspace, name, .. } | Self::DatastoreMissing { workspace, name, .. } => {
                Some(Setting::Datastore(workspace.clone(), name.clone()))
            }
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedKey => f.write_str("shared key access"),
            Self::AuthMode(workspace) => write!(f, "the mode of {}", workspace.name()),
            Self::Datastore(workspace, name) => write!(f, "datastore {name} of {}", workspace.name()),
            Self::Role(principal, role) => write!(f, "{} of {principal}", catalog::role_name(*role)),
        }
    }
}
