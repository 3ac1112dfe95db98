//! A compute of a workspace, and the identity block that computes and workspaces share.

use std::collections::BTreeMap;

use crate::id::{ManagedIdentityId, PrincipalId};

/// The `identity` block of a workspace or compute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The system-assigned identity's object id.
    pub system: Option<PrincipalId>,
    /// The user-assigned identities and, where told, their object ids.
    pub user_assigned: BTreeMap<ManagedIdentityId, Option<PrincipalId>>,
}

/// A compute attached to a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compute {
    /// Its name in the workspace.
    pub name: String,
    /// `properties.computeType`, such as `AmlCompute` or `ComputeInstance`.
    pub compute_type: String,
    /// Its identities.
    pub identity: Identity,
    /// `properties.properties.state`, which only compute instances have.
    pub state: Option<String>,
}
