//! Long-running operations of workspaces and their poll URLs.
//! Source: MicrosoftDocs/azure-docs `articles/azure-resource-manager/management/async-operations.md`; for what
//! clients need in an answer azure-core 1.41.0 `polling/base_polling.py` and azure-mgmt-core 1.6.0 `polling/arm_polling.py`.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::azure::{Azure, Timer};
use crate::options::{PollHeaders, WorkspaceWrite};
use crate::request::{Answer, Call, Reply};
use crate::world::WORKSPACE;
use crate::{json, time};

/// What an operation will do.
pub(crate) enum Write {
    Patch(Value),
    Put(Value),
    Delete,
    /// Takes the keys of its account anew.
    TakeKeys,
}

impl Write {
    /// The third mode is reported to end in server errors.
    /// Source: <https://github.com/Azure/terraform-provider-azapi/issues/807>.
    pub(crate) fn is_doomed(&self) -> bool {
        let body = match self {
            Self::Patch(body) | Self::Put(body) => body,
            Self::Delete | Self::TakeKeys => return false,
        };
        json::text(body, &["properties", "systemDatastoresAuthMode"])
            .is_some_and(|mode| mode.eq_ignore_ascii_case("UserDelegationSAS"))
    }
}

/// An operation, running or done.
pub(crate) struct Operation {
    workspace: String,
    path: String,
    started: Timestamp,
    state: State,
    before: Option<Value>,
    /// The event that says that it was accepted.
    accepted: Option<Value>,
}

enum State {
    Running { write: Write, fails: bool },
    Succeeded { at: Timestamp, left: Left },
    Failed { at: Timestamp },
}

/// What a finished operation has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Workspace,
    /// The workspace is gone.
    Gone,
    /// It was an action without a result.
    Nothing,
}

impl Operation {
    /// Whether it keeps others from writing to the workspace.
    pub(crate) fn holds(&self, workspace: &str) -> bool {
        self.workspace == workspace && matches!(self.state, State::Running { .. })
    }

    /// Nothing while it runs; then its error, if it failed.
    pub(crate) fn outcome(&self) -> Option<Option<Value>> {
        match self.state {
            State::Running { .. } => None,
            State::Succeeded { .. } => Some(None),
            State::Failed { .. } => Some(Some(server_error())),
        }
    }
}

impl Azure {
    /// 202 with the poll URLs and a whole `Retry-After`.
    pub(crate) fn start_operation(&mut self, call: &Call, key: &str, write: Write) -> Answer {
        let id = self.guid();
        let fails = self.knobs.workspace_write == WorkspaceWrite::Fails || write.is_doomed();
        let mut before = None;
        if let Some(workspace) = self.world.get_mut(key) {
            before = json::at(workspace, &["properties", "provisioningState"]).cloned();
            json::object(workspace, "properties").insert("provisioningState".to_owned(), json!("Updating"));
        }
        let location = self.world.get(key).and_then(|workspace| workspace.get("location")?.as_str());
        let location = location.unwrap_or("westeurope").replace(' ', "").to_ascii_lowercase();
        let subscription = call.segments.get(1).map(String::as_str).unwrap_or_default();
        let url = format!(
            "{}/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{location}/workspaceOperationsStatus/{id}?api-version={}",
            call.origin,
            call.api_version()
        );
        let operation = Operation {
            workspace: key.to_owned(),
            path: call.path(),
            started: self.now,
            state: State::Running { write, fails },
            before,
            accepted: self.activity.latest(),
        };
        self.operations.insert(id.clone(), operation);
        let done = time::after(self.now, self.speed.shorten(self.knobs.operation));
        self.schedule(done, Timer::OperationDone { id });
        let wait = time::retry_after(self.speed.shorten(self.knobs.operation_retry_after));
        let answer = Answer::empty(202)
            .header("Location", format!("{url}&type=location"))
            .header("Retry-After", wait.to_string());
        match self.knobs.poll_headers {
            PollHeaders::Both => answer.header("Azure-AsyncOperation", format!("{url}&type=async")),
            PollHeaders::Location => answer,
        }
    }

    pub(crate) fn finish_operation(&mut self, id: &str) {
        let Some(mut operation) = self.operations.remove(id) else { return };
        if let Some(workspace) = self.world.get_mut(&operation.workspace) {
            let properties = json::object(workspace, "properties");
            match operation.before.take() {
                Some(before) => properties.insert("provisioningState".to_owned(), before),
                None => properties.remove("provisioningState"),
            };
        }
        if let (State::Running { fails, .. }, Some(accepted)) = (&operation.state, operation.accepted.take()) {
            self.record_end(&accepted, !fails);
        }
        operation.state = match operation.state {
            State::Running { fails: true, .. } => State::Failed { at: self.now },
            State::Running { write, fails: false } => {
                let left = match write {
                    Write::Delete => Left::Gone,
                    Write::TakeKeys => Left::Nothing,
                    Write::Patch(_) | Write::Put(_) => Left::Workspace,
                };
                self.apply(&operation.workspace, &operation.path, write);
                State::Succeeded { at: self.now, left }
            }
            done => done,
        };
        self.operations.insert(id.to_owned(), operation);
    }

    /// The poll URLs: a status document, or the resource itself once it is done.
    pub(crate) fn poll(&mut self, call: &Call, id: &str) -> Reply {
        let Some(operation) = self.operations.get(id) else {
            return Err(Answer::error(404, "NotFound", format!("The operation '{id}' was not found.")));
        };
        let by_location = call.query("type").is_some_and(|kind| kind.eq_ignore_ascii_case("location"));
        let mut document = json!({
            "id": call.path(), "name": id, "startTime": time::stamp(operation.started),
        });
        let fields = json::into_object(&mut document);
        match &operation.state {
            State::Running { .. } => {
                let wait = poll_wait(self.speed.shorten(self.knobs.operation_retry_after));
                fields.insert("status".to_owned(), json!("InProgress"));
                let answer = if by_location {
                    let query = call.query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
                    let url = format!("{}{}?{}", call.origin, call.path(), query.join("&"));
                    Answer::empty(202).header("Location", url)
                } else {
                    Answer::ok(document)
                };
                Ok(answer.header("Retry-After", wait))
            }
            State::Failed { at } => {
                fields.insert("status".to_owned(), json!("Failed"));
                fields.insert("endTime".to_owned(), json!(time::stamp(*at)));
                fields.insert("error".to_owned(), server_error());
                Ok(Answer::ok(document))
            }
            State::Succeeded { at, left } => {
                match left {
                    Left::Gone if by_location => return Ok(Answer::empty(204)),
                    Left::Nothing if by_location => return Ok(Answer::empty(200)),
                    Left::Workspace | Left::Gone | Left::Nothing => {}
                }
                if by_location && !self.knobs.location_poll_returns_status_document {
                    let workspace = self.world.typed(WORKSPACE, &operation.workspace);
                    return workspace
                        .map(|workspace| Answer::ok(self.shown(call, workspace)))
                        .ok_or_else(|| self.not_found(&operation.path));
                }
                fields.insert("status".to_owned(), json!("Succeeded"));
                fields.insert("endTime".to_owned(), json!(time::stamp(*at)));
                fields.insert("percentComplete".to_owned(), json!(100.0));
                Ok(Answer::ok(document))
            }
        }
    }
}

/// Source: <https://github.com/hashicorp/terraform-provider-azurerm/issues/22150>.
fn server_error() -> Value {
    json!({"code": "InternalServerError", "message": "InternalServerError"})
}

/// On a poll `Retry-After` may be a fraction, and must be above zero: zero and nothing mean half a minute to clients.
pub(crate) fn poll_wait(wait: Duration) -> String {
    if wait >= Duration::from_secs(1) {
        time::retry_after(wait).to_string()
    } else {
        format!("{:.3}", wait.as_secs_f64().max(0.05))
    }
}
