//! Reads a datastore in the moment in which its credential is taken away: a PUT replaces the whole, so everything that it
//! does not change has to be what stands there now.

use std::time::Duration;

use keyless_arm::api::{Answer, ReadArm, Written};
use keyless_arm::error::{ArmError, ErrorClass, Landed, WriteError};
use keyless_arm::operation::Operation;
use keyless_arm::stored::StoredDatastore;
use keyless_core::id::WorkspaceId;
use keyless_core::observed::DatastoreCredentials;

/// The confirming reads may be as old as this when a write is sent, and this read comes between the two.
const WITHIN: Duration = Duration::from_secs(5);

/// What is to be written back, or that there is nothing to do.
pub(crate) enum Now {
    /// It holds what the plan says it holds.
    Stands(Box<StoredDatastore>),
    /// It holds no credential any more.
    AlreadySo(Answer<Written>),
}

/// Reads it once more; an error means that nothing was written.
pub(crate) async fn read_again(
    read: &dyn ReadArm,
    workspace: &WorkspaceId,
    name: &str,
    from: &DatastoreCredentials,
) -> Result<Now, WriteError> {
    let not_sent = |error| WriteError { error, landed: Landed::No };
    let changed = |message: String| {
        not_sent(ArmError {
            operation: Operation::SetDatastoreCredential.name(),
            resource: format!("{workspace}/datastores/{name}"),
            class: ErrorClass::Transient,
            status: None,
            code: None,
            message,
            lift: None,
            request_id: None,
            retry_after: None,
        })
    };
    let answer = match tokio::time::timeout(WITHIN, read.datastore(workspace, name)).await {
        Ok(answer) => answer.map_err(not_sent)?,
        Err(_) => return Err(changed(format!("reading it once more took longer than {WITHIN:?}"))),
    };
    let Answer { value, at, request_id } = answer;
    match value {
        None => Err(changed("it is gone".to_owned())),
        Some(stored) if stored.datastore.credentials == DatastoreCredentials::None => {
            Ok(Now::AlreadySo(Answer { value: Written::AlreadySo, at, request_id }))
        }
        Some(stored) if stored.datastore.credentials == *from => Ok(Now::Stands(Box::new(stored))),
        Some(stored) => Err(changed(format!("it holds {} now and not {from}", stored.datastore.credentials))),
    }
}
