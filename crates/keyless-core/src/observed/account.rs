//! A storage account and its flag.

use crate::id::StorageAccountId;

use super::{KeyTimes, Network, ServiceFlags};

/// A storage account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The id in the account's own spelling.
    pub id: StorageAccountId,
    /// The flag as Azure reports it.
    pub shared_key: SharedKeyAccess,
    /// The flags of single services, where Azure shows them.
    pub services: ServiceFlags,
    /// Who may reach it over the network.
    pub network: Network,
    /// When its keys were made.
    pub key_times: KeyTimes,
    /// How its last change ended, in Azure's word; `None` where that is not told.
    pub provisioning_state: Option<String>,
    /// Where its blobs are (`primaryEndpoints.blob`), where Azure tells.
    pub blob_endpoint: Option<String>,
    /// The region, for throttling buckets and messages.
    pub location: String,
}

/// `allowSharedKeyAccess`, with the three spellings of "allowed" kept apart for reports.
///
/// Source: <https://learn.microsoft.com/azure/storage/common/shared-key-authorization-prevent>: absent or null means allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SharedKeyAccess {
    /// The property is missing: allowed, never set.
    Absent,
    /// The property is null: allowed.
    Null,
    /// `true`.
    Allowed,
    /// `false`.
    Disallowed,
}

impl SharedKeyAccess {
    /// Whether a request signed with the key is accepted.
    #[must_use]
    pub fn is_on(self) -> bool {
        self != Self::Disallowed
    }
}
