//! What the activity log tells of a write: who made it, when, and through which client.

use std::fmt;

use jiff::Timestamp;

use crate::id::{ArmId, PrincipalId, SubscriptionId};

use super::ObservedAuthMode;

/// Whose changes are looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangesOf {
    /// Of one resource.
    Resource(ArmId),
    /// Of the role assignments of a subscription.
    Assignments(SubscriptionId),
}

/// One write that succeeded, as the activity log has it. The log rarely tells values, and never the old ones.
///
/// Source: <https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When it happened.
    pub at: Timestamp,
    /// The operation, such as `Microsoft.Storage/storageAccounts/write`.
    pub operation: String,
    /// The changed resource's id in lower case.
    pub resource: String,
    /// Who made it.
    pub by: Caller,
    /// Whether this process, or another with its identity, made it.
    pub own: bool,
    /// The policies that changed the request under way; empty where none did. The caller is whoever sent the request.
    pub policies: Vec<String>,
    /// Groups the events of one request.
    pub correlation_id: Option<String>,
    /// The id that the client gave the request.
    pub client_request_id: Option<String>,
    /// What the request asked for, where the log holds its body.
    pub body: Option<ChangedTo>,
}

/// What a request asked for of the settings that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedTo {
    /// `allowSharedKeyAccess`, where the body holds it.
    pub shared_key: Option<bool>,
    /// `systemDatastoresAuthMode`, where the body holds it.
    pub auth_mode: Option<ObservedAuthMode>,
}

/// Who sent a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caller {
    /// What it is.
    pub kind: CallerKind,
    /// The user principal name of a person; the resource of a managed identity.
    pub name: Option<String>,
    /// The object id.
    pub object_id: Option<PrincipalId>,
    /// The application id: of the application itself, or of the client that a person used.
    pub app_id: Option<String>,
}

/// What kind of caller sent a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallerKind {
    /// A person.
    User,
    /// An application.
    Application,
    /// A managed identity.
    ManagedIdentity,
    /// The log does not tell.
    #[default]
    Unknown,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, object_id, app_id } = self;
        let word = match kind {
            CallerKind::User => "user",
            CallerKind::Application => "application",
            CallerKind::ManagedIdentity => "managed identity",
            CallerKind::Unknown => "caller",
        };
        match (kind, name, object_id, app_id) {
            (CallerKind::User, Some(name), ..) => f.write_str(name),
            (CallerKind::Application, _, Some(object), Some(app)) => write!(f, "{word} {app} (object {object})"),
            (CallerKind::Application, _, None, Some(app)) => write!(f, "{word} {app}"),
            (_, Some(name), Some(object), _) => write!(f, "{word} {name} (object {object})"),
            (_, None, Some(object), _) => write!(f, "{word} with object id {object}"),
            (_, Some(name), None, _) => write!(f, "{word} {name}"),
            (_, None, None, Some(app)) => write!(f, "{word} of application {app}"),
            (_, None, None, None) => f.write_str("a caller that the log does not name"),
        }
    }
}
