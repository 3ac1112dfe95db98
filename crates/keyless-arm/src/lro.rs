//! Long-running operations: followed to their end and judged by what the body says, not by the HTTP status.
//!
//! Source: MicrosoftDocs/azure-docs `articles/azure-resource-manager/management/async-operations.md`, and recorded
//! traffic, in which a poll answers 200 with `status: Failed`, 202 with `Succeeded`, and statuses in free text.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tracing::debug;
use url::Url;

use crate::classify::{Kind, classify_end};
use crate::envelope::{self, Fault, field};
use crate::error::{ArmError, ErrorClass, Landed, WriteError};
use crate::headers;
use crate::pipeline::{Call, Pipeline, Reply};
use crate::quota::Class;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The specification of workspaces bounds `Retry-After` to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// What one answer says about the operation.
#[derive(Debug, PartialEq)]
enum Progress {
    Running,
    Succeeded,
    Failed(Fault),
    Unreadable(&'static str),
}

/// Where to ask next.
enum Poll {
    /// A status document.
    Status(Url),
    /// 202 until done, then the resource or a status document.
    Location(Url),
    /// The resource itself, by its `provisioningState`.
    Resource(Url),
}

impl Pipeline {
    /// Follows the operation that `reply` to `call` started; returns the last answer once it succeeded.
    pub(crate) async fn settle(&self, call: &Call, reply: Reply) -> Result<Reply, WriteError> {
        let unknown = |error: ArmError| WriteError { error, landed: Landed::Unknown };
        let started = Instant::now();
        let mut poll = match self.poll_address(call, &call.url, &reply).map_err(unknown)? {
            Some(poll) => poll,
            None => match first_answer(call.kind, &reply) {
                Progress::Succeeded => return Ok(reply),
                Progress::Running if reply.status.as_u16() == 202 => {
                    let message = "the operation was accepted without an address to follow it";
                    return Err(unknown(call.error_of(&reply, ErrorClass::Unreadable, message)));
                }
                Progress::Running => Poll::Resource(call.url.clone()),
                failed => return Err(failure(call, &reply, failed)),
            },
        };
        let mut last = reply;
        let mut pause = FIRST_PAUSE;
        loop {
            let told = headers::retry_after(&last.headers, last.at).filter(|wait| !wait.is_zero());
            let wait = told.map_or(pause, |wait| wait.min(LONGEST_RETRY_AFTER));
            pause = (pause * 2).min(LONGEST_PAUSE);
            if started.elapsed().saturating_add(wait) > self.timeouts.operation {
                let message = format!("the operation did not end within {:?}", self.timeouts.operation);
                return Err(unknown(call.error_of(&last, ErrorClass::Transient, message)));
            }
            tokio::time::sleep(wait).await;
            let (url, asks_resource) = match &poll {
                Poll::Status(url) | Poll::Location(url) => (url.clone(), false),
                Poll::Resource(url) => (url.clone(), true),
            };
            let ask = Call {
                kind: Kind::Poll,
                quota: crate::quota::Quota { class: Class::Read, ..call.quota },
                method: http::Method::GET,
                url,
                version: None,
                body: None,
                ..call.clone()
            };
            last = self.read(&ask).await.map_err(|error| unknown(lost_track(error)))?;
            let progress = match &poll {
                Poll::Status(_) => status_answer(&last),
                Poll::Location(_) => location_answer(&last),
                Poll::Resource(_) => resource_answer(&last),
            };
            debug!(operation = call.operation.name(), resource = call.resource, progress = ?progress, "operation_polled");
            match progress {
                Progress::Running => {}
                Progress::Succeeded => return Ok(last),
                failed => return Err(failure(call, &last, failed)),
            }
            // A poll may move the address; the last one counts.
            if !asks_resource && let Some(moved) = self.poll_address(call, &ask.url, &last).map_err(unknown)? {
                poll = moved;
            }
        }
    }

    /// The address in the headers, if there is one; it must be the resource manager's.
    fn poll_address(&self, call: &Call, base: &Url, reply: &Reply) -> Result<Option<Poll>, ArmError> {
        let status = headers::text(&reply.headers, "azure-asyncoperation");
        let location = || headers::text(&reply.headers, "location");
        let (text, is_status) = match (status, reply.status.as_u16()) {
            (Some(text), _) => (text, true),
            // On anything but "accepted", `Location` only names the resource.
            (None, 201 | 202) => match location() {
                Some(text) => (text, false),
                None => return Ok(None),
            },
            (None, _) => return Ok(None),
        };
        let wrong = |why: String| call.error_of(reply, ErrorClass::Unreadable, why);
        let url = base.join(&text).map_err(|error| wrong(format!("the poll address is not a URL: {error}")))?;
        if !self.cloud.owns(&url) {
            let origin = url.origin().ascii_serialization();
            return Err(wrong(format!("the poll address is at `{origin}`, which is not the resource manager")));
        }
        Ok(Some(if is_status { Poll::Status(url) } else { Poll::Location(url) }))
    }
}

fn failure(call: &Call, reply: &Reply, progress: Progress) -> WriteError {
    match progress {
        Progress::Failed(fault) => {
            let (class, landed) = classify_end(call.kind, &fault);
            WriteError { error: call.refusal(reply, fault, class), landed }
        }
        Progress::Unreadable(why) => {
            WriteError { error: call.error_of(reply, ErrorClass::Unreadable, why), landed: Landed::Unknown }
        }
        Progress::Running | Progress::Succeeded => {
            let error = call.error_of(reply, ErrorClass::Bug, "an operation that did not fail was taken for failed");
            WriteError { error, landed: Landed::Unknown }
        }
    }
}

/// The answer to the write itself, where no header says that it goes on.
fn first_answer(kind: Kind, reply: &Reply) -> Progress {
    if reply.status.as_u16() == 202 {
        return Progress::Running;
    }
    if reply.body.is_empty() {
        return match (kind, reply.status.as_u16()) {
            (Kind::Revoke | Kind::Act, _) | (_, 204) => Progress::Succeeded,
            _ => Progress::Unreadable("the answer is empty"),
        };
    }
    match serde_json::from_slice(&reply.body) {
        Err(_) => Progress::Unreadable("the answer is not JSON"),
        Ok(body) => word_of(&body).unwrap_or_else(|| state_of(&body)),
    }
}

fn status_answer(reply: &Reply) -> Progress {
    match (reply.status.as_u16(), parse(reply)) {
        (204, _) => Progress::Succeeded,
        (202, None) => Progress::Running,
        (_, None) => Progress::Unreadable("the operation's status is not JSON"),
        (202, Some(body)) => word_of(&body).unwrap_or(Progress::Running),
        (_, Some(body)) if field(&body, "properties").is_some_and(Value::is_object) && field(&body, "id").is_some() => {
            word_of(&body).unwrap_or_else(|| state_of(&body))
        }
        (_, Some(body)) => word_of(&body).unwrap_or(Progress::Unreadable("the operation's status has no status")),
    }
}

fn location_answer(reply: &Reply) -> Progress {
    match (reply.status.as_u16(), parse(reply)) {
        (204, _) => Progress::Succeeded,
        (202, body) => body.and_then(|body| word_of(&body)).unwrap_or(Progress::Running),
        (_, None) if reply.body.is_empty() => Progress::Succeeded,
        (_, None) => Progress::Unreadable("the operation's result is not JSON"),
        (_, Some(body)) => word_of(&body).unwrap_or_else(|| state_of(&body)),
    }
}

fn resource_answer(reply: &Reply) -> Progress {
    match parse(reply) {
        None => Progress::Unreadable("the resource is not JSON"),
        Some(body) => state_of(&body),
    }
}

fn parse(reply: &Reply) -> Option<Value> {
    serde_json::from_slice(&reply.body).ok()
}

/// A status that is gone (404, 410) says nothing of how the operation ended, and is no refusal either: the caller reads
/// back soon instead of backing off.
fn lost_track(error: ArmError) -> ArmError {
    match error.status {
        Some(404 | 410) => {
            let message = format!("the operation can no longer be followed: {}", error.message);
            ArmError { class: ErrorClass::Transient, message, ..error }
        }
        _ => error,
    }
}

/// A status document's word; `None` if the body is something else.
fn word_of(body: &Value) -> Option<Progress> {
    match field(body, "status").and_then(Value::as_str) {
        Some(status) => Some(judge(status, body)),
        None => field(body, "error").filter(|error| error.is_object()).map(|_| failed("Failed", body)),
    }
}

/// A resource by `properties.provisioningState`; absent means done.
fn state_of(body: &Value) -> Progress {
    let state = field(body, "properties").and_then(|properties| field(properties, "provisioningState"));
    match state.and_then(Value::as_str) {
        None => Progress::Succeeded,
        Some(state) => judge(state, body),
    }
}

/// Terminal words are compared without case; everything else means wait.
fn judge(word: &str, body: &Value) -> Progress {
    match word.to_ascii_lowercase().as_str() {
        "succeeded" | "completed" => Progress::Succeeded,
        "failed" | "canceled" | "cancelled" => failed(word, body),
        _ => Progress::Running,
    }
}

fn failed(word: &str, body: &Value) -> Progress {
    let fault = envelope::of_value(body);
    let message = if fault.message.is_empty() { format!("the operation ended as {word}") } else { fault.message };
    Progress::Failed(Fault { message, ..fault })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status: http::StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            at: jiff::Timestamp::UNIX_EPOCH,
            request_id: None,
            took: std::time::Duration::ZERO,
        }
    }

    #[test]
    fn the_body_decides_and_not_the_status_code() {
        let is_failed = |progress: &Progress| matches!(progress, Progress::Failed(_));
        assert_eq!(status_answer(&reply(200, r#"{"status":"InProgress"}"#)), Progress::Running);
        assert_eq!(status_answer(&reply(200, r#"{"status":"Running, Progress = 5.00 %"}"#)), Progress::Running);
        assert_eq!(
            status_answer(&reply(200, r#"{"status":"succeeded","percentComplete":100.0}"#)),
            Progress::Succeeded
        );
        assert_eq!(status_answer(&reply(202, r#"{"status":"Succeeded"}"#)), Progress::Succeeded);
        assert!(is_failed(&status_answer(&reply(200, r#"{"status":"FAILED"}"#))));
        assert!(is_failed(&status_answer(&reply(200, r#"{"status":"Canceled","error":{"code":"X","message":"y"}}"#))));
        assert!(is_failed(&status_answer(&reply(200, r#"{"error":{"code":"X","message":"y"}}"#))));
        assert!(matches!(status_answer(&reply(200, "<html>")), Progress::Unreadable(_)));
        assert!(matches!(status_answer(&reply(200, "{}")), Progress::Unreadable(_)));
        assert_eq!(location_answer(&reply(202, "")), Progress::Running);
        assert_eq!(location_answer(&reply(204, "")), Progress::Succeeded);
        assert_eq!(
            location_answer(&reply(200, r#"{"id":"/x","properties":{"provisioningState":"Updating"}}"#)),
            Progress::Running
        );
        assert_eq!(location_answer(&reply(200, r#"{"id":"/x","properties":{}}"#)), Progress::Succeeded);
        assert!(is_failed(&location_answer(&reply(
            200,
            r#"{"status":"Failed","error":{"code":"InternalServerError","message":"InternalServerError"}}"#
        ))));
        assert!(is_failed(&first_answer(Kind::Patch, &reply(200, r#"{"properties":{"provisioningState":"Failed"}}"#))));
        assert!(matches!(first_answer(Kind::Patch, &reply(200, "<html>")), Progress::Unreadable(_)));
        assert!(matches!(first_answer(Kind::Patch, &reply(200, "")), Progress::Unreadable(_)));
    }
}
