//! The events operators match on: fixed names, fixed fields, and the sinks they go to.
//!
//! Names and fields are API. When one is told, and when it is told again, is [`crate::announce`]'s business.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;

/// The name of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// Azure differs from the files.
    DriftDetected,
    /// It no longer does.
    DriftCleared,
    /// The activity log names who caused a difference that was told before.
    DriftAttributed,
    /// Somebody sets back again and again what this installation sets, which leaves it alone from now on.
    FightDetected,
    /// The steps that are left have changed.
    PlanComputed,
    /// A plan breaks a rule that every plan keeps, and nothing of it is carried out.
    PlanRejected,
    /// A step waits or is held.
    GateUnmet,
    /// A write was made.
    ActionApplied,
    /// A write was refused, was lost, or did not take.
    ActionFailed,
    /// Something that decides could not be read.
    ObserveIncomplete,
    /// A pass is over.
    PassFinished,
    /// A revision of the files is in force.
    ConfigAccepted,
    /// A revision of the files is not put in force.
    ConfigRejected,
    /// A declared workspace does not exist.
    WorkspaceMissing,
    /// The service's grant to a workspace's own identity is not there.
    ServiceGrantMissing,
    /// It is there again, or is not asked for any more.
    ServiceGrantCleared,
    /// A workspace on an account of the files that no document declares.
    WorkspaceUndeclared,
    /// A grant of this installation that no document asks for.
    GrantUnwanted,
    /// Somebody was refused after a key went off or a workspace was switched.
    KeyUserDenied,
    /// Something in a workspace that goes to identity is known not to work there.
    IncompatibilityFound,
    /// A document is suspended.
    Suspended,
    /// A suspension ends soon.
    SuspensionEnds,
    /// A document is no longer suspended.
    SuspensionEnded,
}

impl Name {
    /// The name as in logs and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DriftDetected => "drift_detected",
            Self::DriftCleared => "drift_cleared",
            Self::DriftAttributed => "drift_attributed",
            Self::FightDetected => "fight_detected",
            Self::PlanComputed => "plan_computed",
            Self::PlanRejected => "plan_rejected",
            Self::GateUnmet => "gate_unmet",
            Self::ActionApplied => "action_applied",
            Self::ActionFailed => "action_failed",
            Self::ObserveIncomplete => "observe_incomplete",
            Self::PassFinished => "pass_finished",
            Self::ConfigAccepted => "config_accepted",
            Self::ConfigRejected => "config_rejected",
            Self::WorkspaceMissing => "workspace_missing",
            Self::ServiceGrantMissing => "service_grant_missing",
            Self::ServiceGrantCleared => "service_grant_cleared",
            Self::WorkspaceUndeclared => "workspace_undeclared",
            Self::GrantUnwanted => "grant_unwanted",
            Self::KeyUserDenied => "key_user_denied",
            Self::IncompatibilityFound => "incompatibility_found",
            Self::Suspended => "suspended",
            Self::SuspensionEnds => "suspension_ends",
            Self::SuspensionEnded => "suspension_ended",
        }
    }

    /// The fixed message that goes with it.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::DriftDetected => "Azure differs from the files",
            Self::DriftCleared => "a difference from the files is gone",
            Self::DriftAttributed => "it is known who caused a difference from the files",
            Self::FightDetected => "a setting is fought over and left alone",
            Self::PlanComputed => "the steps that are left have changed",
            Self::PlanRejected => "a plan breaks its own rules and is not carried out",
            Self::GateUnmet => "a step is held",
            Self::ActionApplied => "a change was made",
            Self::ActionFailed => "a change was not made, or may not have been",
            Self::ObserveIncomplete => "something that decides could not be read",
            Self::PassFinished => "pass finished",
            Self::ConfigAccepted => "a revision of the desired state is in force",
            Self::ConfigRejected => "a revision of the desired state was rejected",
            Self::WorkspaceMissing => "a declared workspace does not exist",
            Self::ServiceGrantMissing => "the service's grant to a workspace's identity is missing",
            Self::ServiceGrantCleared => "the service's grant to a workspace's identity is missing no more",
            Self::WorkspaceUndeclared => "a workspace on the account is not declared",
            Self::GrantUnwanted => "no document asks for a grant of this installation any more",
            Self::KeyUserDenied => "somebody was refused access since the last change",
            Self::IncompatibilityFound => "something is known not to work with identity-based access",
            Self::Suspended => "a document is suspended: its drift is not acted on",
            Self::SuspensionEnds => "a suspension ends soon",
            Self::SuspensionEnded => "a document is no longer suspended",
        }
    }
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Only for people who look into something.
    Debug,
    /// Something changed, started or stopped.
    #[default]
    Info,
    /// Drift, or blocked.
    Warn,
    /// A human must act.
    Error,
}

/// One event. Fields that do not apply are left out of the JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its name.
    pub event: Name,
    /// How much it matters.
    pub level: Level,
    /// The server's time of what it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Whether it was told before and nothing has changed since.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reminder: bool,
    /// The revision of the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The id of the storage account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_account: Option<String>,
    /// The id of the workspace; several are joined by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The object id of the principal, or the principal as the file names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The role's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The gate's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// Who changed it: whoever made the last successful write, not this installation's own, between the moment in which
    /// the setting was last seen as it should be and the one in which it was not; or `unknown so far`, `unknown: …`,
    /// `not readable`. Left out where this process never saw it as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    /// When that write happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
    /// The operation of that write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What groups the events of that write in the activity log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The client application of that write and the id that it gave the request, as far as told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// How many others wrote to the same resource in that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_writers: Option<u64>,
    /// Why somebody turned a key on again, most likely, or `unknown: …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likely_cause: Option<String>,
    /// The name of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Azure's request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The change, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The kind of the change, such as `SetAuthMode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// `tighten`, `loosen` or `repair`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<&'static str>,
    /// What differs, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What would lift it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lift: Option<String>,
    /// Until when it is waited, by the server's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How a failed action stands: `refused`, `unknown`, `did_not_stick`, `not_read_back`, `not_sent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<&'static str>,
    /// What kind of failure it was: `refused`, `throttled`, `transient`, `propagating`, `authentication`, `unreadable`,
    /// `bug`, or `token_…` where no token could be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<&'static str>,
    /// Azure's error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// How long Azure asked to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The service of the storage account: `blob`, `file`, `queue` or `table`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<&'static str>,
    /// What was asked of it, in Azure's words, such as `GetBlob`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// How requests were signed: `AccountKey`, `SAS` or `OAuth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication: Option<&'static str>,
    /// The start of the hour it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<Timestamp>,
    /// How many requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Who made them, as far as the storage resource logs tell: addresses, programs, and object ids where a token came along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callers: Option<String>,
    /// `converged`, `ready`, `waiting` or `blocked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing: Option<&'static str>,
    /// How many steps are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// Why the pass ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The problems of a rejected revision or plan, or the warnings of an accepted revision, one line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Event {
    /// An event with nothing but its name and level.
    #[must_use]
    pub fn new(event: Name, level: Level) -> Self {
        Self {
            event,
            level,
            at: None,
            reminder: false,
            revision: None,
            storage_account: None,
            workspace: None,
            principal: None,
            role: None,
            gate: None,
            changed_by: None,
            changed_at: None,
            operation: None,
            correlation_id: None,
            client: None,
            other_writers: None,
            likely_cause: None,
            document: None,
            request_id: None,
            action: None,
            kind: None,
            effort: None,
            drift: None,
            why: None,
            lift: None,
            until: None,
            result: None,
            error_class: None,
            code: None,
            http_status: None,
            retry_after_ms: None,
            service: None,
            api: None,
            authentication: None,
            hour: None,
            requests: None,
            callers: None,
            standing: None,
            steps: None,
            elapsed_ms: None,
            reason: None,
            problems: Vec::new(),
        }
    }
}

/// Where events go.
pub trait Sink: Send + Sync {
    /// Takes one event. Must not block.
    fn emit(&self, event: &Event);
}

/// Events to several sinks, in order.
impl Sink for Vec<Arc<dyn Sink>> {
    fn emit(&self, event: &Event) {
        for sink in self {
            sink.emit(event);
        }
    }
}

/// Events to the log: a fixed message, and everything else as fields.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogSink;

impl Sink for LogSink {
    fn emit(&self, event: &Event) {
        macro_rules! log {
            ($level:expr) => {
                tracing::event!(
                    target: "keyless::event",
                    $level,
                    event = event.event.as_str(),
                    at = event.at.map(tracing::field::display),
                    reminder = event.reminder.then_some(true),
                    revision = event.revision,
                    storage_account = event.storage_account,
                    workspace = event.workspace,
                    principal = event.principal,
                    role = event.role,
                    gate = event.gate,
                    changed_by = event.changed_by,
                    changed_at = event.changed_at.map(tracing::field::display),
                    operation = event.operation,
                    correlation_id = event.correlation_id,
                    client = event.client,
                    other_writers = event.other_writers,
                    likely_cause = event.likely_cause,
                    document = event.document,
                    request_id = event.request_id,
                    action = event.action,
                    kind = event.kind,
                    effort = event.effort,
                    drift = event.drift,
                    why = event.why,
                    lift = event.lift,
                    until = event.until.map(tracing::field::display),
                    result = event.result,
                    error_class = event.error_class,
                    code = event.code,
                    http_status = event.http_status,
                    retry_after_ms = event.retry_after_ms,
                    service = event.service,
                    api = event.api,
                    authentication = event.authentication,
                    hour = event.hour.map(tracing::field::display),
                    requests = event.requests,
                    callers = event.callers,
                    standing = event.standing,
                    steps = event.steps,
                    elapsed_ms = event.elapsed_ms,
                    reason = event.reason,
                    problems = (!event.problems.is_empty()).then(|| event.problems.join("\n")),
                    "{}",
                    event.event.message()
                )
            };
        }
        match event.level {
            Level::Debug => log!(tracing::Level::DEBUG),
            Level::Info => log!(tracing::Level::INFO),
            Level::Warn => log!(tracing::Level::WARN),
            Level::Error => log!(tracing::Level::ERROR),
        }
    }
}

/// Keeps every event at or above a level, for reports and tests.
#[derive(Debug)]
pub struct Collected {
    from: Level,
    events: Mutex<Vec<Event>>,
}

impl Collected {
    /// An empty collection of events at `from` and above.
    #[must_use]
    pub fn new(from: Level) -> Self {
        Self { from, events: Mutex::default() }
    }

    /// The events so far, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Sink for Collected {
    fn emit(&self, event: &Event) {
        if event.level >= self.from {
            self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        }
    }
}

/// Sends events on to whoever listens; a listener that is too slow loses the oldest.
impl Sink for broadcast::Sender<Event> {
    fn emit(&self, event: &Event) {
        // An error only says that nobody listens.
        let _ = self.send(event.clone());
    }
}
