//! An online endpoint of a workspace.

use std::collections::BTreeMap;

use crate::id::{ManagedIdentityId, PrincipalId, WorkspaceId};

/// A managed online endpoint: the service grants its own identity Storage Blob Data Contributor.
///
/// Source: <https://learn.microsoft.com/azure/machine-learning/how-to-disable-local-auth-storage>, scenarios.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The workspace it belongs to.
    pub workspace: WorkspaceId,
    /// Its name in the workspace.
    pub name: String,
    /// Its system-assigned identity; `None` if it has a user-assigned one, whose grants are the customer's.
    pub system: Option<PrincipalId>,
    /// Its user-assigned identities and, where told, their object ids.
    pub user_assigned: BTreeMap<ManagedIdentityId, Option<PrincipalId>>,
}
