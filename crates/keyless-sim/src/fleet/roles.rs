//! The roles that levels and scenario words stand for, as far as made fleets use them.
//!
//! Source of the words' meaning: "Disable shared key access for your workspace's storage account" and "… for your
//! hub's storage account", learn.microsoft.com; of GUIDs and data actions:
//! <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage>.

use super::Asked;

const BLOB_READ: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";
const BLOB_WRITE: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write";
const BLOB_ADD: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action";
const FILE_READ: &str = "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/read";
const FILE_WRITE: &str = "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/write";
const FILE_BACKUP: &str = "Microsoft.Storage/storageAccounts/fileServices/readFileBackupSemantics/action";
const TABLE_READ: &str = "Microsoft.Storage/storageAccounts/tableServices/tables/entities/read";
const TABLE_ADD: &str = "Microsoft.Storage/storageAccounts/tableServices/tables/entities/add/action";
const QUEUE_READ: &str = "Microsoft.Storage/storageAccounts/queueServices/queues/messages/read";
const QUEUE_PROCESS: &str = "Microsoft.Storage/storageAccounts/queueServices/queues/messages/process/action";

/// A built-in data role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    BlobOwner,
    BlobContributor,
    BlobReader,
    FileContributor,
    FileReader,
    TableContributor,
    QueueContributor,
}

impl Role {
    pub(super) fn guid(self) -> &'static str {
        match self {
            Self::BlobOwner => "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
            Self::BlobContributor => "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
            Self::BlobReader => "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
            Self::FileContributor => "69566ab7-960f-475b-8e7c-b3118f30c6bd",
            Self::FileReader => "b8eda974-7b85-4f76-af95-65846b26df6d",
            Self::TableContributor => "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
            Self::QueueContributor => "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
        }
    }

    /// Whether whoever has this role can do all that `needed` stands for.
    pub(super) fn covers(self, needed: Self) -> bool {
        self == needed
            || matches!(
                (self, needed),
                (Self::BlobOwner, Self::BlobContributor | Self::BlobReader)
                    | (Self::BlobContributor, Self::BlobReader)
                    | (Self::FileContributor, Self::FileReader)
            )
    }

    /// A role that covers this one and more, if there is one.
    pub(super) fn stronger(self) -> Option<Self> {
        match self {
            Self::BlobContributor | Self::BlobReader => Some(Self::BlobOwner),
            Self::FileReader => Some(Self::FileContributor),
            _ => None,
        }
    }

    /// Some of its data actions, such as a principal at work tries.
    pub(super) fn data_actions(self) -> &'static [&'static str] {
        match self {
            Self::BlobOwner | Self::BlobContributor => &[BLOB_READ, BLOB_WRITE, BLOB_ADD],
            Self::BlobReader => &[BLOB_READ],
            Self::FileContributor => &[FILE_READ, FILE_WRITE, FILE_BACKUP],
            Self::FileReader => &[FILE_READ, FILE_BACKUP],
            Self::TableContributor => &[TABLE_READ, TABLE_ADD],
            Self::QueueContributor => &[QUEUE_READ, QUEUE_PROCESS],
        }
    }
}

/// The roles that an entry of an `access` list asks for, each once.
pub(super) fn roles_of(asked: &Asked) -> Vec<Role> {
    let mut roles = match asked {
        Asked::Level("readOnly") => vec![Role::BlobReader, Role::FileReader],
        Asked::Level(_) => vec![Role::BlobContributor, Role::FileContributor],
        Asked::Scenarios(words) => words.iter().flat_map(|word| roles_of_scenario(word)).copied().collect(),
    };
    roles.sort_unstable();
    roles.dedup();
    roles
}

fn roles_of_scenario(word: &str) -> &'static [Role] {
    match word {
        "training" => &[Role::BlobReader],
        "parallelRunStep" => &[Role::TableContributor, Role::QueueContributor],
        "computeInstance" | "notebooks" => &[Role::FileContributor],
        "promptFlow" | "speech" => &[Role::BlobContributor, Role::FileContributor],
        _ => &[Role::BlobContributor],
    }
}
