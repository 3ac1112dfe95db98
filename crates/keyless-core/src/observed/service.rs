//! The services of a storage account, and the switch that each has of its own.

use std::collections::BTreeMap;
use std::fmt;

/// One of the services behind which a storage account keeps data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StorageService {
    /// Containers and blobs, Data Lake Storage included.
    Blob,
    /// File shares.
    File,
    /// Queues.
    Queue,
    /// Tables.
    Table,
}

impl StorageService {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Blob, Self::File, Self::Queue, Self::Table];

    /// The word in files, output and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::File => "file",
            Self::Queue => "queue",
            Self::Table => "table",
        }
    }
}

impl fmt::Display for StorageService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `allowSharedKeyAccessForServices`: for each service that Azure names, whether the key is accepted there.
///
/// Empty where nobody set it, or where the api-version does not show it. It never says anything about the account as a
/// whole: a service that is not named follows `allowSharedKeyAccess`.
/// Source: Azure/bicep-types-az `generated/storage/microsoft.storage/2025-08-01/types.md`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceFlags(pub BTreeMap<StorageService, bool>);

impl ServiceFlags {
    /// Whether the key is switched off for this service alone.
    #[must_use]
    pub fn is_off(&self, service: StorageService) -> bool {
        self.0.get(&service) == Some(&false)
    }

    /// Whether nothing is told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for ServiceFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (service, on)) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{service} {}", if *on { "on" } else { "off" })?;
        }
        Ok(())
    }
}
