//! What a workspace, hub or project is made with where it does not exist.

use crate::id::{ArmId, StorageAccountId, WorkspaceId};

/// How a missing workspace is made: on identity-based access from its first moment.
///
/// Source: "Disable shared key access for your workspace's storage account" and its edition for hubs, the templates of
/// their sections on creating.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Create {
    /// The region.
    pub location: String,
    /// What it is, and what only such a one has.
    pub kind: CreateKind,
    /// What people call it.
    pub friendly_name: Option<String>,
    /// The account it stands on; of a project that of its hub.
    pub storage_account: StorageAccountId,
    /// Whether it is reachable from the internet.
    pub public_network_access: bool,
    /// What its managed network lets out.
    pub isolation: Isolation,
}

/// What is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CreateKind {
    /// An Azure Machine Learning workspace.
    Default(Parts),
    /// A Foundry hub.
    Hub(Parts),
    /// A project of this hub, which lends it all of its parts.
    Project(WorkspaceId),
}

/// What a workspace or hub stands on besides its account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parts {
    /// Its key vault.
    pub key_vault: ArmId,
    /// Its Application Insights.
    pub application_insights: Option<ArmId>,
    /// Its container registry.
    pub container_registry: Option<ArmId>,
}

/// `managedNetwork.isolationMode`. Source: Azure/azure-rest-api-specs `stable/2025-09-01/workspaceRP.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Isolation {
    /// No managed network.
    #[default]
    Disabled,
    /// Everything goes out.
    AllowInternetOutbound,
    /// Only what is approved goes out.
    AllowOnlyApprovedOutbound,
}
