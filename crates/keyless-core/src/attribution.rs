//! Who is named for a difference: the last successful write of somebody else before it was seen.
//!
//! The activity log rarely tells what a request set, so nothing more than that is claimed, unless the log holds the body.

mod last;

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::id::{ArmId, StorageAccountId};
use crate::observed::{Change, ChangedTo, ObservedAuthMode};
use crate::plan::Drift;

pub use last::{LastWrite, Removals, last_write};

/// Who is named, and by which write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribution {
    /// The person, application, identity or policy.
    pub by: String,
    /// When the write happened.
    pub at: Timestamp,
    /// The operation.
    pub operation: String,
    /// Groups the events of the request.
    pub correlation_id: Option<String>,
    /// The client application and the id it gave the request, as far as told.
    pub client: Option<String>,
    /// How many others wrote to the same resource in the time that comes into question.
    pub other_writers: usize,
    /// Whether the log says that this write set the value: then nothing that shows later changes it.
    pub proven: bool,
}

/// The time within which the write must lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// When the setting was last seen as it should be.
    pub from: Timestamp,
    /// When the difference was seen.
    pub to: Timestamp,
}

/// How much speaks for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    /// Its body holds another value than the one that is there.
    Against,
    /// Its body is there and says nothing of the setting.
    Silent,
    /// What it set is not told.
    Possible,
    /// Its body holds the value that is there now, or it removed just the assignment that is gone.
    Proof,
}

/// Who is named for `drift`. `resources` are the changed resource, in lower case, or the assignments that are gone.
#[must_use]
pub fn attribute(
    drift: &Drift,
    resources: &BTreeSet<String>,
    changes: &[Change],
    window: Window,
) -> Option<Attribution> {
    let candidates: Vec<(Evidence, &Change)> = changes
        .iter()
        .filter(|change| !change.own || !change.policies.is_empty())
        .filter(|change| change.at >= window.from && change.at <= window.to)
        .filter(|change| resources.contains(&change.resource))
        .filter_map(|change| Some((evidence(drift, change)?, change)))
        .filter(|(evidence, _)| *evidence > Evidence::Against)
        .collect();
    let (evidence, change) = candidates.iter().max_by_key(|(evidence, change)| (*evidence, change.at))?;
    Some(named(*evidence, change, candidates.iter().map(|(_, other)| *other)))
}

/// The resource whose writes come into question, in the log's words; `None` for a missing role, which is one of many
/// assignments that are not there.
#[must_use]
pub fn resource(drift: &Drift, account: &StorageAccountId) -> Option<ArmId> {
    match drift {
        Drift::SharedKey { .. } => Some(account.arm().clone()),
        Drift::AuthMode { workspace, .. } => Some(workspace.arm().clone()),
        Drift::DatastoreCredential { workspace, name, .. } | Drift::DatastoreMissing { workspace, name } => {
            ArmId::parse(&format!("{workspace}/datastores/{name}")).ok()
        }
        Drift::RoleMissing { .. } => None,
    }
}

fn named<'a>(evidence: Evidence, change: &Change, all: impl Iterator<Item = &'a Change>) -> Attribution {
    let by = name(change);
    let others: BTreeSet<String> = all.map(name).filter(|other| *other != by).collect();
    Attribution {
        at: change.at,
        operation: change.operation.clone(),
        correlation_id: change.correlation_id.clone(),
        client: client(change),
        other_writers: others.len(),
        proven: evidence == Evidence::Proof,
        by,
    }
}

/// Source: <https://learn.microsoft.com/azure/role-based-access-control/permissions/ai-machine-learning>.
const DATASTORE_WRITE: &str = "microsoft.machinelearningservices/workspaces/datastores/write";

/// As above.
const DATASTORE_DELETE: &str = "microsoft.machinelearningservices/workspaces/datastores/delete";

/// `None` where the write has nothing to do with the difference.
fn evidence(drift: &Drift, change: &Change) -> Option<Evidence> {
    let operation = change.operation.to_ascii_lowercase();
    let by_policy = !change.policies.is_empty();
    match drift {
        Drift::SharedKey { desired_on, .. } => {
            let writes = operation == "microsoft.storage/storageaccounts/write";
            let asked = change.body.as_ref().map(|ChangedTo { shared_key, .. }| *shared_key);
            (writes || by_policy).then_some(())?;
            told(asked, |allowed| allowed != *desired_on)
        }
        Drift::AuthMode { observed, .. } => {
            let writes = operation == "microsoft.machinelearningservices/workspaces/write"
                || operation == "microsoft.machinelearningservices/workspaces/hubs/write";
            (writes || by_policy).then_some(())?;
            let asked = change.body.as_ref().map(|ChangedTo { auth_mode, .. }| auth_mode.clone());
            told(asked, |mode: ObservedAuthMode| mode == *observed)
        }
        // The body of such a request holds the secret, and is not looked into.
        Drift::DatastoreCredential { .. } => (operation == DATASTORE_WRITE || by_policy).then_some(Evidence::Possible),
        Drift::DatastoreMissing { .. } => (operation == DATASTORE_DELETE).then_some(Evidence::Proof),
        Drift::RoleMissing { .. } => match operation.as_str() {
            "microsoft.authorization/roleassignments/delete" => Some(Evidence::Proof),
            // A condition may have been put on it.
            "microsoft.authorization/roleassignments/write" => Some(Evidence::Possible),
            _ => None,
        },
    }
}

/// What a body speaks for: `None` where there is none, `Some(None)` where it does not hold the property.
fn told<T>(asked: Option<Option<T>>, is_the_value: impl Fn(T) -> bool) -> Option<Evidence> {
    match asked {
        None => Some(Evidence::Possible),
        Some(None) => Some(Evidence::Silent),
        Some(Some(value)) => Some(if is_the_value(value) { Evidence::Proof } else { Evidence::Against }),
    }
}

fn name(change: &Change) -> String {
    if change.policies.is_empty() {
        return change.by.to_string();
    }
    let policies = format!("policy {}", change.policies.join(", "));
    if change.own { policies } else { format!("{policies}, in a request of {}", change.by) }
}

fn client(change: &Change) -> Option<String> {
    let app = change.by.app_id.as_ref().map(|app| format!("application {app}"));
    let request = change.client_request_id.as_ref().map(|id| format!("request {id}"));
    let parts: Vec<String> = [app, request].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
