//! The one way a request takes: token, client request id, quota, send, judge, repeat reads, trace, count.
//!
//! Writes are sent once. The only repetition of a write is after a 401, which is a refusal before any effect.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{Level, debug, enabled, trace};
use url::Url;

use crate::classify::{Kind, Verdict, classify, exhausts_quota, knows_no_version};
use crate::clock::{Clock, Ids, fraction};
use crate::cloud::{self, Cloud};
use crate::counts::Counts;
use crate::envelope::{self, Fault};
use crate::error::{ArmError, ErrorClass, Landed, WriteError};
use crate::governor::{Counted, Gauge, Governor, Place};
use crate::headers;
use crate::lift::{Asked, lift};
use crate::operation::Operation;
use crate::own::Sent;
use crate::quota::{Class, Quota, Throttle};
use crate::redact;
use crate::secret::Secret;
use crate::token::{TokenError, TokenSource};
use crate::versions::Versions;
use crate::wire::{Wire, WireError};

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// One attempt, from send to the last byte of the answer.
    pub attempt: Duration,
    /// One read with all its repetitions.
    pub read: Duration,
    /// Attempts per read.
    pub attempts: u32,
    /// One long-running operation, polls included; after that its outcome is unknown, so that an operation that hangs does
    /// not hold up other accounts for longer.
    pub operation: Duration,
    /// The longest closure of a quota that is waited out; longer ones are told to the caller.
    pub quota: Duration,
    /// One token, repetitions included.
    pub token: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(8),
            read: Duration::from_secs(60),
            attempts: 4,
            operation: Duration::from_secs(5 * 60),
            quota: Duration::from_secs(60),
            token: Duration::from_secs(20),
        }
    }
}

/// How long a write may wait for its token: its gates were read just before, and a slow Entra must not let them age.
const SEND_WRITE_WITHIN: Duration = Duration::from_secs(2);

/// The pause before the second attempt; doubles up to the ceiling.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// After so many answers with status 500 a read is tried in the next version of its interface.
const BROKEN_AFTER: u32 = 2;

/// One request to be made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) resource: String,
    pub(crate) kind: Kind,
    pub(crate) quota: Quota,
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// The version in the URL, if this program put it there; addresses that came from Azure are used as they are.
    pub(crate) version: Option<String>,
    pub(crate) body: Option<Bytes>,
}

impl Call {
    /// How often it may be sent in one read: what decides nothing is not worth a second time.
    fn attempts(&self, timeouts: &Timeouts) -> u32 {
        if self.operation == Operation::QueryCallers { 1 } else { timeouts.attempts }
    }

    /// An error of this call before or besides any answer.
    pub(crate) fn error(&self, class: ErrorClass, message: impl Into<String>) -> ArmError {
        ArmError {
            operation: self.operation.name(),
            resource: self.resource.clone(),
            class,
            status: None,
            code: None,
            message: message.into(),
            lift: None,
            request_id: None,
            retry_after: None,
        }
    }

    /// An error of this call about an answer.
    pub(crate) fn error_of(&self, reply: &Reply, class: ErrorClass, message: impl Into<String>) -> ArmError {
        ArmError {
            status: Some(reply.status.as_u16()),
            request_id: reply.request_id.clone(),
            ..self.error(class, message)
        }
    }

    /// The error that Azure's refusal of this call is.
    pub(crate) fn refusal(&self, reply: &Reply, fault: Fault, class: ErrorClass) -> ArmError {
        let message = match (fault.message.is_empty(), reply.status.canonical_reason()) {
            (true, reason) => format!("status {} {}", reply.status.as_u16(), reason.unwrap_or_default()),
            (false, _) => fault.message.clone(),
        };
        let asked = Asked { operation: self.operation, resource: &self.resource };
        ArmError {
            code: fault.telling().map(str::to_owned),
            lift: lift(&asked, class, reply.status, &fault),
            retry_after: headers::retry_after(&reply.headers, reply.at),
            ..self.error_of(reply, class, message.trim_end())
        }
    }

    /// An error of this call for want of a token.
    fn without_token(&self, error: &TokenError) -> ArmError {
        ArmError {
            lift: Some(error.class.hint().to_owned()),
            ..self.error(ErrorClass::Token(error.class), error.to_string())
        }
    }

    /// The same call in another version of its interface.
    fn speak(&mut self, version: &str) {
        let query: Vec<(String, String)> = self
            .url
            .query_pairs()
            .map(|(name, value)| {
                let value = if name == "api-version" { version.to_owned() } else { value.into_owned() };
                (name.into_owned(), value)
            })
            .collect();
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        cloud::set_query(&mut self.url, &query);
        self.version = Some(version.to_owned());
    }
}

/// One answer, whole.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Timestamp,
    pub(crate) request_id: Option<String>,
    /// From the sending of the request to the last byte, without any wait before it.
    pub(crate) took: Duration,
}

impl Reply {
    /// Whether the answer says that the resource does not exist.
    pub(crate) fn is_absent(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }
}

/// Why there is no answer worth judging.
struct Miss {
    error: ArmError,
    landed: Landed,
    /// Whether the next attempt may fare better.
    passing: bool,
}

pub(crate) struct Pipeline {
    pub(crate) cloud: Cloud,
    pub(crate) wire: Arc<dyn Wire>,
    pub(crate) tokens: Arc<dyn TokenSource>,
    pub(crate) governor: Arc<Governor>,
    pub(crate) versions: Versions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Ids,
    pub(crate) timeouts: Timeouts,
    pub(crate) counts: Counts,
    /// The writes of this process.
    pub(crate) sent: Sent,
}

impl Pipeline {
    /// Sends a read, repeating it within the limits. A 404 that is no error says that the one resource asked for does
    /// not exist ([`Reply::is_absent`]); lists and polls never get one.
    pub(crate) async fn read(&self, call: &Call) -> Result<Reply, ArmError> {
        let call = &mut call.clone();
        let start = Instant::now();
        let mut attempt = 1;
        let (mut renewed, mut fallen) = (false, false);
        loop {
            let token = self.place(call).await?;
            let (error, passing) = match self.attempt(call, attempt, &token).await {
                Err(miss) => (miss.error, miss.passing),
                Ok(reply) => {
                    let fault = fault_of(&reply);
                    if self.falls_back(call, &mut fallen, &reply, &fault) {
                        continue;
                    }
                    match classify(call.kind, reply.status, &fault) {
                        Verdict::Done | Verdict::AlreadySo | Verdict::Absent => return Ok(reply),
                        Verdict::Unauthorized => {
                            let error = call.refusal(&reply, fault, ErrorClass::Authentication);
                            if renewed {
                                return Err(error);
                            }
                            renewed = true;
                            self.tokens.renew(&token).await;
                            continue;
                        }
                        Verdict::Failed(class, _) => {
                            let passing = matches!(class, ErrorClass::Transient | ErrorClass::Throttled);
                            (call.refusal(&reply, fault, class), passing)
                        }
                    }
                }
            };
            // "At once" is no word on when it will be better.
            let told = error.retry_after.filter(|wait| !wait.is_zero());
            let pause = told.unwrap_or_else(|| self.pause(attempt));
            let too_late = start.elapsed().saturating_add(pause) > self.timeouts.read;
            if !passing || attempt >= call.attempts(&self.timeouts) || too_late {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
            // A version may be broken for some resources only, so the next one is tried for this read and not kept.
            if error.status == Some(500)
                && attempt > BROKEN_AFTER
                && let Some(version) = &call.version
                && let Some(next) = self.versions.after(call.operation.interface(), version)
            {
                debug!(operation = call.operation.name(), broken = version, api_version = next, "api_version_tried");
                call.speak(next);
            }
        }
    }

    /// Waits until a read may be sent, and returns the token to send it with.
    async fn place(&self, call: &Call) -> Result<Secret, ArmError> {
        let patience = self.timeouts.quota;
        let held = self.governor.held(call.operation, &call.resource);
        if held > patience {
            return Err(throttled(call, held));
        }
        tokio::time::sleep(held).await;
        // The token first, so that nothing comes between the place and the call.
        self.token(call).await?;
        loop {
            self.governor.acquire(call.quota, patience).await.map_err(|wait| throttled(call, wait))?;
            let began = Instant::now();
            let token = self.token(call).await?;
            // A token that ran out in the line took its time, in which Azure may have closed the quota.
            if began.elapsed() < Duration::from_millis(1) || !self.governor.is_closed(call.quota) {
                return Ok(token);
            }
        }
    }

    async fn token(&self, call: &Call) -> Result<Secret, ArmError> {
        self.tokens.token().await.map_err(|error| call.without_token(&error))
    }

    /// Sends a write once, in the place that was kept for it.
    pub(crate) async fn write(&self, call: &Call, place: Place) -> Result<(Reply, Verdict), WriteError> {
        let call = &mut call.clone();
        let not_sent = |error| WriteError { error, landed: Landed::No };
        let send_by = Instant::now() + SEND_WRITE_WITHIN;
        let mut place = Some(place);
        let (mut renewed, mut fallen) = (false, false);
        loop {
            let token = tokio::time::timeout_at(send_by, self.token(call)).await;
            let late = "the token came so late that what the write rests on has grown old";
            let token = token.unwrap_or_else(|_| Err(call.error(ErrorClass::Transient, late))).map_err(not_sent)?;
            if Instant::now() > send_by {
                return Err(not_sent(call.error(ErrorClass::Transient, late)));
            }
            let held = Some(self.governor.held(call.operation, &call.resource)).filter(|held| !held.is_zero());
            let spent = match (held, place.take()) {
                (Some(held), _) => Err(held),
                (None, Some(place)) => place.spend(),
                // It was refused before any effect, and goes once more.
                (None, None) => self.governor.try_acquire(call.quota),
            };
            spent.map_err(|wait| not_sent(throttled(call, wait)))?;
            let reply = self
                .attempt(call, if renewed { 2 } else { 1 }, &token)
                .await
                .map_err(|miss| WriteError { error: miss.error, landed: miss.landed })?;
            let fault = fault_of(&reply);
            // Who does not know the interface has done nothing.
            if self.falls_back(call, &mut fallen, &reply, &fault) {
                continue;
            }
            return match classify(call.kind, reply.status, &fault) {
                verdict @ (Verdict::Done | Verdict::AlreadySo) => Ok((reply, verdict)),
                Verdict::Unauthorized if !renewed => {
                    renewed = true;
                    self.tokens.renew(&token).await;
                    continue;
                }
                Verdict::Unauthorized => Err(not_sent(call.refusal(&reply, fault, ErrorClass::Authentication))),
                Verdict::Absent => Err(not_sent(call.refusal(&reply, fault, ErrorClass::Refused))),
                Verdict::Failed(class, landed) => Err(WriteError { error: call.refusal(&reply, fault, class), landed }),
            };
        }
    }

    /// Moves the call on to the next version of its interface, if that is what the answer asks for. `fallen` says whether
    /// that happened to this call before; the first answer after it settles the version.
    fn falls_back(&self, call: &mut Call, fallen: &mut bool, reply: &Reply, fault: &Fault) -> bool {
        let Some(version) = call.version.as_deref() else { return false };
        let interface = call.operation.interface();
        if knows_no_version(reply.status, fault, version) {
            let Some(next) = self.versions.after(interface, version) else { return false };
            call.speak(next);
            *fallen = true;
            return true;
        }
        if *fallen && reply.status.is_success() {
            self.versions.answered(interface, version);
        }
        false
    }

    fn pause(&self, attempt: u32) -> Duration {
        let full = FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(8)).min(LONGEST_PAUSE);
        full.mul_f64(0.5 + fraction(&self.ids) / 2.0)
    }

    /// Sends once and returns whatever was answered.
    async fn attempt(&self, call: &Call, attempt: u32, token: &Secret) -> Result<Reply, Miss> {
        let before = |error| Miss { error, landed: Landed::No, passing: false };
        if !self.cloud.owns(&call.url) {
            let message = "the address is not the resource manager's; no token is sent there";
            return Err(before(call.error(ErrorClass::Bug, message)));
        }
        let client_request_id = (self.ids)().to_string();
        let request = build(call, token, &client_request_id)
            .map_err(|error| before(call.error(ErrorClass::Bug, error.to_string())))?;
        if call.method != Method::GET {
            self.sent.remember(&client_request_id);
        }
        let url = enabled!(Level::DEBUG).then(|| redact::url(&call.url));
        trace!(
            method = %call.method, url, client_request_id,
            body = redact::body(call.body.as_deref().unwrap_or_default()), "request_body"
        );
        let start = Instant::now();
        let sent = tokio::time::timeout(self.timeouts.attempt, self.wire.send(request)).await;
        let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let answer =
            sent.unwrap_or_else(|_| Err(WireError::Unknown(format!("no answer within {:?}", self.timeouts.attempt))));
        let answer = match answer {
            Ok(answer) => answer,
            Err(lost) => {
                self.counts.add(call.operation.name(), None);
                let message = token.scrub(&lost.to_string());
                debug!(
                    operation = call.operation.name(), method = %call.method, url, client_request_id, attempt, elapsed_ms,
                    error = message, "request"
                );
                let landed = match lost {
                    WireError::NotSent(_) => Landed::No,
                    WireError::Unknown(_) => Landed::Unknown,
                };
                return Err(Miss { error: call.error(ErrorClass::Transient, message), landed, passing: true });
            }
        };
        let (parts, body) = answer.into_parts();
        let now = self.clock.now();
        let reply = Reply {
            status: parts.status,
            at: headers::date(&parts.headers).unwrap_or(now),
            request_id: headers::text(&parts.headers, "x-ms-request-id"),
            headers: parts.headers,
            body,
            took: start.elapsed(),
        };
        self.counts.add(call.operation.name(), Some(reply.status.as_u16()));
        debug!(
            operation = call.operation.name(), method = %call.method, url, http_status = reply.status.as_u16(),
            request_id = reply.request_id, client_request_id, attempt, elapsed_ms, "request"
        );
        trace!(client_request_id, body = redact::body(&reply.body), "response_body");
        self.learn_quota(call, &reply);
        Ok(reply)
    }

    /// Takes in what an answer says about quotas.
    fn learn_quota(&self, call: &Call, reply: &Reply) {
        let word = match call.quota.managed() {
            Class::Read | Class::List => "reads",
            Class::Write => "writes",
            Class::Delete => "deletes",
        };
        let scope = if call.quota.subscription.is_some() { "subscription" } else { "tenant" };
        let mut principal_left = None;
        for (of, name) in [
            (Counted::Principal, word.to_owned()),
            (Counted::Everybody, format!("global-{word}")),
            (Counted::Provider, "resource-requests".to_owned()),
            (Counted::Provider, "resource-entities-read".to_owned()),
        ] {
            let gauge = Gauge { header: format!("x-ms-ratelimit-remaining-{scope}-{name}"), of };
            let Some(left) = headers::text(&reply.headers, &gauge.header).and_then(|text| text.parse::<f64>().ok())
            else {
                continue;
            };
            self.governor.heard(call.quota, &gauge, left);
            if of == Counted::Principal {
                principal_left = Some(left);
            }
        }
        let code = fault_of(reply).code;
        let wait = headers::retry_after(&reply.headers, reply.at);
        if !exhausts_quota(reply.status, code.as_deref()) {
            if reply.status != StatusCode::TOO_MANY_REQUESTS {
                self.governor.passed(call.quota);
            }
            // Only this call is meant; polls of a running operation carry the same header and keep to it themselves.
            if let Some(wait) = wait.filter(|_| reply.status.is_client_error() || reply.status.is_server_error()) {
                self.governor.hold(call.operation, &call.resource, wait);
            }
            return;
        }
        match refused_by(reply, code.as_deref(), principal_left) {
            Some(from) => self.governor.refused(call.quota, from, wait),
            None => self.governor.refused_by_somebody(call.quota, wait),
        }
    }
}

/// Who refused for want of quota; `None` where the answer does not tell.
///
/// Sources: recorded `x-ms-failure-cause`; the storage provider's refusal in
/// <https://github.com/Azure/azure-media-migration/issues/237>, and one beside a nearly full bucket of the resource
/// manager in <https://github.com/velero-io/velero-plugin-for-microsoft-azure/issues/80>.
fn refused_by(reply: &Reply, code: Option<&str>, principal_left: Option<f64>) -> Option<Throttle> {
    let code = code.unwrap_or_default().to_ascii_lowercase();
    let cause = headers::text(&reply.headers, "x-ms-failure-cause").unwrap_or_default().to_ascii_lowercase();
    let server = headers::text(&reply.headers, "server").unwrap_or_default().to_ascii_lowercase();
    if cause == "gateway" || code.starts_with("subscriptionrequests") || code.starts_with("tenantrequests") {
        Some(Throttle::ResourceManager)
    } else if cause == "service"
        || code.starts_with("resourcerequests")
        || server.contains("resource-provider")
        || principal_left.is_some_and(|left| left >= 1.0)
    {
        Some(Throttle::Provider)
    } else {
        None
    }
}

fn build(call: &Call, token: &Secret, client_request_id: &str) -> Result<Request<Bytes>, http::Error> {
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))?;
    bearer.set_sensitive(true);
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(call.url.as_str())
        .header(AUTHORIZATION, bearer)
        .header("accept", "application/json")
        .header("x-ms-client-request-id", client_request_id)
        .header("x-ms-return-client-request-id", "true");
    if call.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    } else if call.method == Method::POST {
        request = request.header("content-length", "0");
    }
    request.body(call.body.clone().unwrap_or_default())
}

fn fault_of(reply: &Reply) -> Fault {
    if reply.status.is_success() { Fault::default() } else { envelope::read(&reply.body) }
}

pub(crate) fn throttled(call: &Call, wait: Duration) -> ArmError {
    ArmError {
        retry_after: Some(wait),
        ..call.error(ErrorClass::Throttled, "Azure asked for a longer pause than is worth waiting")
    }
}
