//! Who called, as the storage resource logs tell it.
//!
//! The logs name people and programs; nothing is decided by them. Azure promises no completeness (requests are logged as
//! best it can), and a service is logged only where a diagnostic setting says so. Of a SAS that was made from a key,
//! `AuthenticationHash` begins with `key1(` or `key2(`: that is certain. A hash of a SAS that names no key therefore stands
//! for one that Entra signed; that is what follows from the form that is documented, and no source says it in so many words.
//! Sources: MicrosoftDocs/azure-docs `includes/azure-storage-logs-properties-authentication.md` and
//! `articles/storage/blobs/blob-storage-monitoring-scenarios.md`;
//! <https://learn.microsoft.com/rest/api/storageservices/about-storage-analytics-logging>.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;

use super::{Signed, StorageService};

/// The callers of one account in a window, without those whose tokens of Entra were accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCallers {
    /// Start of the window.
    pub from: Timestamp,
    /// End of the window.
    pub to: Timestamp,
    /// Whether there are more kinds of callers than the answer has room for: those with the fewest requests are left out.
    pub cut: bool,
    /// One entry for each kind of request of each caller.
    pub callers: Vec<KeyCaller>,
}

/// Requests of one kind by one caller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyCaller {
    /// The service.
    pub service: StorageService,
    /// How they were signed.
    pub signed: Signed,
    /// Which key stands behind the signature.
    pub made_from: MadeFrom,
    /// Azure's name of the call, such as `GetFile`.
    pub operation: String,
    /// Whether they were refused for lack of rights (401 or 403).
    pub refused: bool,
    /// Azure's word for the outcome, such as `Success`.
    pub outcome: String,
    /// The caller's address, without the port.
    pub address: String,
    /// What the caller calls itself: anything that anybody may write.
    pub agent: String,
    /// The caller's object id in Entra, where a token came along.
    pub object: Option<String>,
    /// The caller's application id in Entra, where a token came along.
    pub app: Option<String>,
    /// How many.
    pub requests: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
}

/// The key behind a signature, by the form of its hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MadeFrom {
    /// This one, `key1` or `key2`, for certain.
    Key(String),
    /// The hash is one of a SAS and names no key: most likely a user delegation, which works without the key.
    NoKey,
    /// There is no hash, or one of another form.
    Untold,
}

impl MadeFrom {
    /// The key, or `noKey`; nothing where it is not told.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::NoKey => Some("noKey"),
            Self::Untold => None,
        }
    }
}

impl KeyCallers {
    /// Who got at data, signed in this way.
    pub fn served(&self, signed: Signed) -> impl Iterator<Item = &KeyCaller> {
        self.callers.iter().filter(move |one| one.signed == signed && !one.refused && one.requests > 0)
    }

    /// The services of which anything is told, whoever it was: those are logged.
    #[must_use]
    pub fn services(&self, signed: Signed) -> BTreeSet<StorageService> {
        self.served(signed).map(|one| one.service).collect()
    }
}

/// Who it is: `10.1.0.4 (python-requests/2.31), object 5e7a…`.
impl fmt::Display for KeyCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, agent, object, app, .. } = self;
        f.write_str(if address.is_empty() { "an address that is not told" } else { address })?;
        if !agent.is_empty() {
            write!(f, " ({agent})")?;
        }
        if let Some(object) = object {
            write!(f, " as object {object}")?;
        }
        app.as_ref().map_or(Ok(()), |app| write!(f, " of application {app}"))
    }
}
