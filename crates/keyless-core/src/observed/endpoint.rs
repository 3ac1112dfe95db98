//! An online endpoint of a workspace.

use crate::id::WorkspaceId;

use super::Identity;

/// A managed online endpoint: the service grants its own identity Storage Blob Data Contributor.
///
/// Source: <https://learn.microsoft.com/azure/machine-learning/how-to-disable-local-auth-storage>, scenarios.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The workspace it belongs to.
    pub workspace: WorkspaceId,
    /// Its name in the workspace.
    pub name: String,
    /// Its identities. To the system-assigned one the service grants; grants to others are the customer's.
    pub identity: Identity,
}
