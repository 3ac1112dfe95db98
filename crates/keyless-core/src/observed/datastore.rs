//! A datastore of a workspace.

/// A datastore of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datastore {
    /// Its name in the workspace.
    pub name: String,
    /// The account name it points to; `None` when the type has none (Data Lake Gen1, OneLake).
    pub account_name: Option<String>,
    /// `credentials.credentialsType`, such as `AccountKey`, `Sas`, `ServicePrincipal`, `None`.
    pub credentials: DatastoreCredentials,
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
}

impl Datastore {
    /// Whether the workspace manages this datastore itself and rewrites it with its mode.
    ///
    /// Source: observed in a public preflight module: the switch rewrites these four at once.
    #[must_use]
    pub fn is_system(&self) -> bool {
        matches!(
            self.name.as_str(),
            "workspaceblobstore" | "workspacefilestore" | "workspaceartifactstore" | "workspaceworkingdirectory"
        )
    }
}
