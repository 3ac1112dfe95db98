//! What the files ask of a workspace's user-created datastores. Those of the system follow the workspace's mode.

use std::collections::BTreeMap;
use std::fmt;

use super::Acceptance;

/// What a document asks of the datastores that people made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DesiredDatastores {
    /// Nothing: they stay as they are.
    #[default]
    Unmanaged,
    /// Every one that holds an account key or a SAS gives it up.
    ConvertAll,
    /// These, by their names in lower case: Azure tells names apart without case.
    Listed(BTreeMap<String, DesiredDatastore>),
}

/// What is asked of one datastore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredDatastore {
    /// The name as the file spells it.
    pub name: String,
    /// How it is to be.
    pub form: DesiredForm,
    /// That those who read through it have access to an account which this pass does not judge is vouched for until then.
    pub accept_access: Option<Acceptance>,
}

/// How a datastore is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DesiredForm {
    /// It exists, and gives up whatever credential it holds.
    WithoutCredentials,
    /// It exists without a credential and stands there; it is made if it does not exist.
    At(DatastorePlace),
}

/// Where a datastore without credentials stands. Equal places are the same place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatastorePlace {
    /// Its type.
    pub kind: DatastoreKind,
    /// The storage account by name; `None`: the workspace's own, or for Gen1 none at all.
    pub account: Option<String>,
    /// The container, file system, share or store.
    pub space: String,
    /// The account's subscription, where the file tells.
    pub subscription: Option<String>,
    /// The account's resource group, where the file tells.
    pub resource_group: Option<String>,
    /// Whether the service itself reads through it with the workspace's identity; `None`: not said.
    pub service_access: Option<ServiceDataAccess>,
}

/// The types of datastore that can be had without credentials.
///
/// Source: <https://learn.microsoft.com/azure/machine-learning/how-to-datastore>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatastoreKind {
    /// A blob container.
    Blob,
    /// A Data Lake Gen1 store.
    AdlsGen1,
    /// A Data Lake Gen2 file system.
    AdlsGen2,
    /// A file share.
    File,
}

impl DatastoreKind {
    /// The four.
    pub const ALL: [Self; 4] = [Self::Blob, Self::AdlsGen1, Self::AdlsGen2, Self::File];

    /// Azure's `datastoreType`.
    ///
    /// Source: Azure/bicep-types-az `generated/machinelearningservices/…/2025-12-01/types.md`.
    #[must_use]
    pub fn as_wire(self) -> &'static str {
        match self {
            Self::Blob => "AzureBlob",
            Self::AdlsGen1 => "AzureDataLakeGen1",
            Self::AdlsGen2 => "AzureDataLakeGen2",
            Self::File => "AzureFile",
        }
    }

    /// The property that names the place inside the account, or the store.
    #[must_use]
    pub fn space_property(self) -> &'static str {
        match self {
            Self::Blob => "containerName",
            Self::AdlsGen1 => "storeName",
            Self::AdlsGen2 => "filesystem",
            Self::File => "fileShareName",
        }
    }

    /// The word in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::AdlsGen1 => "adlsGen1",
            Self::AdlsGen2 => "adlsGen2",
            Self::File => "file",
        }
    }
}

impl fmt::Display for DatastoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the service reads through a datastore with the workspace's own identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceDataAccess {
    /// It does not: previews use the identity of whoever looks.
    None,
    /// It does.
    Workspace,
    /// It does, with the user-assigned identity that is the workspace's primary one; files do not say this.
    PrimaryIdentity,
}

impl ServiceDataAccess {
    /// Azure's `serviceDataAccessAuthIdentity`.
    ///
    /// Source: Azure/bicep-types-az `generated/machinelearningservices/…/2025-12-01/types.md`.
    #[must_use]
    pub fn as_wire(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Workspace => "WorkspaceSystemAssignedIdentity",
            Self::PrimaryIdentity => "WorkspaceUserAssignedIdentity",
        }
    }
}
