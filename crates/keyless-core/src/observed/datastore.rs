//! A datastore of a workspace.

use std::fmt;

/// A datastore of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datastore {
    /// Its name in the workspace.
    pub name: String,
    /// The account name it points to; `None` when the type has none (Data Lake Gen1, OneLake).
    pub account_name: Option<String>,
    /// `credentials.credentialsType`, such as `AccountKey`, `Sas`, `ServicePrincipal`, `None`.
    pub credentials: DatastoreCredentials,
    /// What else tells where it stands.
    pub form: DatastoreForm,
}

/// What tells where a datastore stands, beside its account's name. What an answer left out is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatastoreForm {
    /// `datastoreType`, such as `AzureBlob`.
    pub kind: String,
    /// The container, file system, share or store.
    pub space: Option<String>,
    /// `subscriptionId` of the account.
    pub subscription: Option<String>,
    /// `resourceGroup` of the account.
    pub resource_group: Option<String>,
    /// `serviceDataAccessAuthIdentity`.
    pub service_access: Option<String>,
}

/// What a datastore signs with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatastoreCredentials {
    /// No stored credential: identity-based.
    None,
    /// The account key: stops working with the key.
    AccountKey,
    /// A shared access signature: stops working with the key if the key made it.
    Sas,
    /// A service principal's secret or certificate.
    Principal(String),
    /// A value this version does not know: treated like a key.
    Other(String),
}

impl DatastoreCredentials {
    /// Whether the datastore may stop working when the key is turned off.
    #[must_use]
    pub fn may_need_key(&self) -> bool {
        matches!(self, Self::AccountKey | Self::Sas | Self::Other(_))
    }

    /// Whether it is an account key or a SAS.
    #[must_use]
    pub fn is_key(&self) -> bool {
        matches!(self, Self::AccountKey | Self::Sas)
    }
}

impl fmt::Display for DatastoreCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::AccountKey => "AccountKey",
            Self::Sas => "Sas",
            Self::Principal(word) | Self::Other(word) => word,
        })
    }
}

impl Datastore {
    /// Whether the workspace manages this datastore itself and rewrites it with its mode.
    ///
    /// Source: observed in a public preflight module: the switch rewrites these four at once.
    #[must_use]
    pub fn is_system(&self) -> bool {
        is_system_name(&self.name)
    }

    /// Whether it stands on the account of this name. One that names none may stand anywhere.
    #[must_use]
    pub fn is_on(&self, account: &str) -> bool {
        self.account_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(account))
    }
}

/// Whether a name is that of a datastore which the workspace manages itself.
#[must_use]
pub fn is_system_name(name: &str) -> bool {
    SYSTEM.iter().any(|system| system.eq_ignore_ascii_case(name))
}

const SYSTEM: [&str; 4] =
    ["workspaceblobstore", "workspacefilestore", "workspaceartifactstore", "workspaceworkingdirectory"];
