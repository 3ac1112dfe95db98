//! A workspace, hub or project, and its mode.

use std::collections::BTreeSet;

use jiff::Timestamp;

use uuid::Uuid;

use crate::id::{ManagedIdentityId, StorageAccountId, WorkspaceId};

use super::{Compute, Datastore, Identity, ObservedJob, Reading};

/// A workspace, hub or project that stands on the account, or is declared to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedWorkspace {
    /// The workspace by a read of its own; `None` when Azure says it does not exist.
    pub workspace: Reading<Option<Workspace>>,
    /// Its datastores.
    pub datastores: Reading<Vec<Datastore>>,
    /// Its computes.
    pub computes: Reading<Vec<Compute>>,
    /// Its jobs that have not come to an end.
    pub jobs: Reading<Vec<ObservedJob>>,
    /// Those of one page of its jobs: who is named there runs, and who is not may run too.
    pub glimpse: Reading<Vec<ObservedJob>>,
}

impl ObservedWorkspace {
    /// A workspace of which only the existence is known so far.
    #[must_use]
    pub fn unread() -> Self {
        Self {
            workspace: Reading::NotRead,
            datastores: Reading::NotRead,
            computes: Reading::NotRead,
            jobs: Reading::NotRead,
            glimpse: Reading::NotRead,
        }
    }
}

/// One workspace as Azure returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// The id in Azure's spelling.
    pub id: WorkspaceId,
    /// What it is.
    pub kind: WorkspaceKind,
    /// The account named by `properties.storageAccount`; a project without one stands on its hub's account.
    pub storage_account: Option<StorageAccountId>,
    /// Further accounts that it names and holds the keys of; some hubs have them.
    pub more_accounts: BTreeSet<StorageAccountId>,
    /// `properties.hubResourceId`, on projects.
    pub hub: Option<WorkspaceId>,
    /// `properties.systemDatastoresAuthMode`.
    pub auth_mode: ObservedAuthMode,
    /// The `identity` block.
    pub identity: Identity,
    /// `properties.primaryUserAssignedIdentity`: acts as the workspace's identity where present.
    pub primary_identity: Option<ManagedIdentityId>,
    /// `properties.enableDataIsolation`; absent reads as `None`.
    pub data_isolation: Option<bool>,
    /// The GUID of `properties.workspaceId`, with which its own containers begin.
    pub guid: Option<Uuid>,
    /// Whether the service runs it in a network of its own: `properties.managedNetwork.isolationMode`.
    pub managed_network: bool,
    /// `properties.provisioningState`; absent means done.
    pub provisioning_state: Option<String>,
    /// `systemData.createdAt`, where told.
    pub created_at: Option<Timestamp>,
    /// The region.
    pub location: String,
    /// The tenant that it and its identities belong to (`properties.tenantId`), where told.
    pub tenant: Option<Uuid>,
}

impl Workspace {
    /// The word for an operation that has not come to an end, and may change the mode until it has.
    ///
    /// Absent, `Succeeded`, `Failed` and `Canceled` say that the last one is over, whatever came of it; any other word, and
    /// one that nobody knows yet, that it runs. Source: MicrosoftDocs/azure-docs
    /// `articles/azure-resource-manager/management/async-operations.md`, "provisioningState values".
    #[must_use]
    pub fn running(&self) -> Option<&str> {
        let over =
            |state: &str| ["Succeeded", "Failed", "Canceled"].iter().any(|word| state.eq_ignore_ascii_case(word));
        self.provisioning_state.as_deref().filter(|state| !over(state))
    }
}

/// `kind` of a workspace. Compared without case; absent means `Default`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkspaceKind {
    /// An Azure Machine Learning workspace.
    Default,
    /// A Foundry hub.
    Hub,
    /// A hub-based project.
    Project,
    /// A feature store.
    FeatureStore,
    /// Anything Azure adds later.
    Other(String),
}

impl WorkspaceKind {
    /// The kind of Azure's word; never fails.
    #[must_use]
    pub fn from_wire(kind: Option<&str>) -> Self {
        match kind.map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "default") => Self::Default,
            Some("hub") => Self::Hub,
            Some("project") => Self::Project,
            Some("featurestore") => Self::FeatureStore,
            Some(_) => Self::Other(kind.unwrap_or_default().to_owned()),
        }
    }
}

impl std::fmt::Display for WorkspaceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Default => "workspace",
            Self::Hub => "hub",
            Self::Project => "project",
            Self::FeatureStore => "feature store",
            Self::Other(kind) => kind,
        })
    }
}

/// `systemDatastoresAuthMode` as one answer gave it. Compared without case.
///
/// Source: Azure/azure-rest-api-specs `stable/2025-09-01/workspaceRP.json`; the enum is open (`modelAsString`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObservedAuthMode {
    /// `Identity`.
    Identity,
    /// `AccessKey`.
    AccessKey,
    /// Another value, such as `UserDelegationSAS`: reported, never overwritten silently.
    Other(String),
    /// Absent or null in an api-version that declares the property: never counts as identity.
    Unset,
}

impl ObservedAuthMode {
    /// The mode of Azure's word; never fails.
    #[must_use]
    pub fn from_wire(mode: Option<&str>) -> Self {
        match mode.map(str::to_ascii_lowercase).as_deref() {
            None | Some("") => Self::Unset,
            Some("identity") => Self::Identity,
            Some("accesskey") => Self::AccessKey,
            Some(_) => Self::Other(mode.unwrap_or_default().to_owned()),
        }
    }

    /// Whether the workspace takes the account key: asked for, or Azure's default where nothing is.
    #[must_use]
    pub fn is_key(&self) -> bool {
        matches!(self, Self::AccessKey | Self::Unset)
    }
}

impl std::fmt::Display for ObservedAuthMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::AccessKey => "accesskey",
            Self::Other(mode) => mode,
            Self::Unset => "unset",
        })
    }
}
