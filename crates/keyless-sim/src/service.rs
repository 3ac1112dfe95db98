//! The services of a storage account: which one a data action belongs to, and what calls there are named in metrics.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::json;

/// One service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Blob,
    File,
    Queue,
    Table,
}

impl Service {
    pub(crate) const ALL: [Self; 4] = [Self::Blob, Self::File, Self::Queue, Self::Table];

    /// The word in properties, and before `Services` in ids.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::File => "file",
            Self::Queue => "queue",
            Self::Table => "table",
        }
    }

    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.word().eq_ignore_ascii_case(word))
    }

    /// The service whose id below an account has this last part but one, such as `blobservices`.
    pub(crate) fn of_resource(kind: &str) -> Option<Self> {
        Self::named(kind.strip_suffix("services")?)
    }

    /// `ApiName` of reading, writing and deleting.
    /// Source: <https://learn.microsoft.com/rest/api/storageservices/storage-analytics-logged-operations-and-status-messages>.
    fn apis(self) -> [&'static str; 3] {
        match self {
            Self::Blob => ["GetBlob", "PutBlob", "DeleteBlob"],
            Self::File => ["GetFile", "PutRange", "DeleteFile"],
            Self::Queue => ["GetMessages", "PutMessage", "DeleteMessage"],
            Self::Table => ["QueryEntities", "InsertEntity", "DeleteEntity"],
        }
    }

    /// The call that somebody makes who only reads.
    pub(crate) fn read(self) -> &'static str {
        let [read, ..] = self.apis();
        read
    }
}

/// The call behind a data action such as `…/blobServices/containers/blobs/read`; anything else reads blobs.
pub(crate) fn call_of(action: &str) -> (Service, &'static str) {
    let lower = action.to_ascii_lowercase();
    let service = Service::ALL.into_iter().find(|service| lower.contains(&format!("/{}services/", service.word())));
    let service = service.unwrap_or(Service::Blob);
    let [read, write, delete] = service.apis();
    let api = match lower.rsplit('/').next() {
        Some("delete") => delete,
        Some("write" | "add" | "update") => write,
        _ => read,
    };
    (service, api)
}

/// The services for which an account refuses keys by itself.
/// Source: Azure/bicep-types-az `generated/storage/microsoft.storage/2025-08-01/types.md`. How it bears on the account's
/// own flag no public source tells; design decision: either of them refuses.
pub(crate) fn refused_by(account: &Value) -> BTreeSet<Service> {
    let on = |service: &Service| {
        let path = ["properties", "allowSharedKeyAccessForServices", service.word(), "enabled"];
        json::at(account, &path).and_then(Value::as_bool).unwrap_or(true)
    };
    Service::ALL.into_iter().filter(|service| !on(service)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_actions_belong_to_a_service_and_a_call() {
        let of = |tail: &str| call_of(&format!("Microsoft.Storage/storageAccounts/{tail}"));
        assert_eq!(of("blobServices/containers/blobs/read"), (Service::Blob, "GetBlob"));
        assert_eq!(of("blobServices/containers/blobs/write"), (Service::Blob, "PutBlob"));
        assert_eq!(of("fileServices/fileshares/files/write"), (Service::File, "PutRange"));
        assert_eq!(of("queueServices/queues/messages/delete"), (Service::Queue, "DeleteMessage"));
        assert_eq!(of("tableServices/tables/entities/read"), (Service::Table, "QueryEntities"));
        assert_eq!(call_of("*"), (Service::Blob, "GetBlob"));
    }
}
