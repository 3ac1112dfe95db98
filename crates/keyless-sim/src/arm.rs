//! The way of a request: sender, faults, throttling, version, permission, and then the operation itself.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use jiff::Timestamp;

use crate::azure::{Azure, Timer};
use crate::faults::{Fault, Meanwhile};
use crate::request::{Answer, Call, Reply, Sent, Unread, answer_of};
use crate::throttle::{Class, Remaining, StorageClass, Throttled};
use crate::{arm_id, time};

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Answered.
    Answered(Response<Bytes>),
    /// Answered after a while.
    Slow(Duration, Response<Bytes>),
    /// The connection breaks.
    Reset,
    /// Never answered.
    Hang,
}

impl Azure {
    /// One request at one instant.
    pub(crate) fn handle(&mut self, now: Timestamp, origin: &str, request: &http::Request<Bytes>) -> Outcome {
        self.advance(now);
        let call = Call::new(origin, request);
        let lower: Vec<String> = call.segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let plain = match (call.method.as_str(), lower.as_slice()) {
            (_, ["sim", rest @ ..]) => Some(self.control(&call, rest)),
            ("GET", ["metadata", "endpoints"]) => Some(Ok(crate::metadata::endpoints(&call))),
            ("GET", [] | ["msi", "token"] | ["metadata", "identity", "oauth2", "token"]) => {
                Some(self.identity_token(&call))
            }
            (_, [tenant, "oauth2", "v2.0", "token"] | [tenant, "oauth2", "token"]) => {
                Some(self.entra_token(&call, tenant))
            }
            (
                "GET",
                [tenant, ".well-known", "openid-configuration"] | [tenant, _, ".well-known", "openid-configuration"],
            ) => Some(Ok(crate::metadata::openid(&call, tenant))),
            ("GET", ["common", "discovery", "instance"]) => Some(Ok(crate::metadata::instance(&call))),
            ("GET", [_, "discovery", "keys"] | [_, "discovery", "v2.0", "keys"]) => {
                Some(Ok(Answer::ok(serde_json::json!({"keys": []}))))
            }
            _ => None,
        };
        match plain {
            Some(reply) => {
                let date = time::http_date(self.now);
                Outcome::Answered(answer_of(reply).header("Date", date).into_response())
            }
            None => self.arm(call),
        }
    }

    fn arm(&mut self, call: Call) -> Outcome {
        let operation = arm_id::operation(&call.segments);
        let method = call.method.clone();
        let finish = |azure: &mut Self, caller: &str, answer: Answer| {
            azure.log.add(method.as_str(), &operation, answer.status.as_u16(), caller);
            azure.common_headers(&call, answer).into_response()
        };
        let caller = match self.authenticate(&call) {
            Ok(caller) => caller,
            Err(refused) => return Outcome::Answered(finish(self, "", refused)),
        };
        if let Some(unread) = call.unread {
            return Outcome::Answered(finish(self, &caller, unread_body(unread)));
        }
        let fault = self.knobs.faults.strike(method.as_str(), &operation, &mut self.rng);
        match fault {
            Some(Fault::ResetBefore | Fault::HangBefore) => {
                self.log.add(method.as_str(), &operation, 0, &caller);
                return if fault == Some(Fault::ResetBefore) { Outcome::Reset } else { Outcome::Hang };
            }
            Some(Fault::Refuse { status, code, retry_after }) => {
                let answer = Answer::error(status, &code, "Injected by the simulator.");
                let answer = match retry_after {
                    Some(seconds) => answer.header("Retry-After", seconds.to_string()),
                    None => answer,
                };
                return Outcome::Answered(finish(self, &caller, answer));
            }
            _ => {}
        }
        let remaining = match self.throttle(&call, &caller) {
            Ok(header) => header,
            Err(refused) => return Outcome::Answered(finish(self, &caller, refused)),
        };
        if let Some(Fault::Late { by, then }) = fault {
            let at = time::after(self.now, self.speed.shorten(by));
            let sent = Box::new(Sent { caller: caller.clone(), call: call.clone() });
            self.schedule(at, Timer::LateWrite { sent });
            let answer = Answer::error(504, "GatewayTimeout", "The gateway did not receive a response in time.");
            let response = finish(self, &caller, answer);
            return match then {
                Meanwhile::Reset => Outcome::Reset,
                Meanwhile::Hang => Outcome::Hang,
                Meanwhile::GatewayTimeout => Outcome::Answered(response),
            };
        }
        let answer = match fault {
            Some(Fault::Ignored) => self.pretend(&caller, &call),
            Some(Fault::OperationFails) => {
                let usual = std::mem::replace(&mut self.knobs.workspace_write, crate::WorkspaceWrite::Fails);
                let reply = self.perform(&caller, &call);
                self.knobs.workspace_write = usual;
                answer_of(reply)
            }
            _ => answer_of(self.perform(&caller, &call)),
        };
        let answer = remaining.into_iter().fold(answer, |answer, (name, value)| answer.header(name, value));
        let response = finish(self, &caller, answer);
        match fault {
            Some(Fault::ResetAfter) => Outcome::Reset,
            Some(Fault::HangAfter) => Outcome::Hang,
            Some(Fault::Slow { by }) => Outcome::Slow(self.speed.shorten(by), response),
            _ => Outcome::Answered(response),
        }
    }

    /// A write that was on its way takes effect; nobody waits for its answer any more.
    pub(crate) fn land(&mut self, sent: &Sent) {
        let _ = self.perform(&sent.caller, &sent.call);
    }

    /// The answer of a write that does not stick: the resource as it is, as under a policy of effect `Modify`.
    /// Source: the comment of one team in a public preflight module, seen with `publicNetworkAccess`.
    fn pretend(&mut self, caller: &str, call: &Call) -> Answer {
        let mut reading = call.clone();
        reading.method = Method::GET;
        answer_of(self.perform(caller, &reading))
    }

    fn throttle(&mut self, call: &Call, caller: &str) -> Result<Vec<(&'static str, String)>, Answer> {
        if !self.knobs.throttling {
            return Ok(Vec::new());
        }
        let class = Class::of(&call.method);
        let key = call.key();
        let subscription = arm_id::subscription(&key);
        let storage = storage_class(&call.method, &key);
        let headers = |left: Remaining| left_headers(subscription.is_some(), class, left);
        self.buckets.take(self.now, subscription, caller, class, storage).map(headers).map_err(|throttled| {
            let Throttled { retry_after, message, by_storage } = throttled;
            // Source: the provider's refusal in <https://github.com/Azure/azure-media-migration/issues/237>, and the
            // headers beside one in <https://github.com/velero-io/velero-plugin-for-microsoft-azure/issues/80>. The code
            // of ARM's own has no public source; `x-ms-failure-cause` is recorded with its other refusals.
            let answer = match by_storage {
                Some(left) => headers(left)
                    .into_iter()
                    .fold(Answer::error(429, "TooManyRequests", message), |answer, (name, value)| {
                        answer.header(name, value)
                    })
                    .header("Server", "Microsoft-Azure-Storage-Resource-Provider/1.0,Microsoft-HTTPAPI/2.0"),
                None => {
                    let code = if subscription.is_some() {
                        "SubscriptionRequestsThrottled"
                    } else {
                        "TenantRequestsThrottled"
                    };
                    Answer::error(429, code, message).header("x-ms-failure-cause", "gateway")
                }
            };
            answer.header("Retry-After", retry_after.to_string())
        })
    }

    /// Version, subscription, then the operation.
    fn perform(&mut self, caller: &str, call: &Call) -> Reply {
        check_version(call)?;
        if let Some(subscription) = arm_id::subscription(&call.key())
            && !self.world.subscription_exists(subscription)
        {
            let message = format!("The subscription '{subscription}' could not be found.");
            return Err(Answer::error(404, "SubscriptionNotFound", message));
        }
        self.route(caller, call)
    }

    /// 403 unless the caller may do this, in ARM's words.
    /// Source: MicrosoftDocs/azure-docs `articles/role-based-access-control/troubleshooting.md`.
    pub(crate) fn authorize(&self, caller: &str, action: &str, scope: &str) -> Result<(), Answer> {
        let shown = if scope.is_empty() { "/" } else { scope };
        if self.denied_by(caller, action, scope) {
            let message = format!(
                "The client '{caller}' with object id '{caller}' has permission to perform action '{action}' on scope \
                 '{shown}'; however, the access is denied because of the deny assignment with name 'deny'."
            );
            return Err(Answer::error(403, "DenyAssignmentAuthorizationFailed", message));
        }
        if self.may(caller, action, scope) {
            return Ok(());
        }
        let message = format!(
            "The client '{caller}' with object id '{caller}' does not have authorization to perform action '{action}' \
             over scope '{shown}' or the scope is invalid. If access was recently granted, please refresh your credentials."
        );
        Err(Answer::error(403, "AuthorizationFailed", message))
    }
}

/// What is left, as recorded traffic tells it: storage, machine learning and authorization leave ARM's own headers in
/// place.
fn left_headers(in_subscription: bool, class: Class, left: Remaining) -> Vec<(&'static str, String)> {
    let Remaining { principal, global } = left;
    let (own, all, tenant) = match class {
        Class::Reads => (
            "x-ms-ratelimit-remaining-subscription-reads",
            "x-ms-ratelimit-remaining-subscription-global-reads",
            "x-ms-ratelimit-remaining-tenant-reads",
        ),
        Class::Writes => (
            "x-ms-ratelimit-remaining-subscription-writes",
            "x-ms-ratelimit-remaining-subscription-global-writes",
            "x-ms-ratelimit-remaining-tenant-writes",
        ),
        Class::Deletes => (
            "x-ms-ratelimit-remaining-subscription-deletes",
            "x-ms-ratelimit-remaining-subscription-global-deletes",
            "x-ms-ratelimit-remaining-tenant-deletes",
        ),
    };
    let own = (if in_subscription { own } else { tenant }, principal.to_string());
    std::iter::once(own).chain(global.map(|left| (all, left.to_string()))).collect()
}

/// `api-version` is mandatory and is a date. The error codes have no public source; design decision.
fn check_version(call: &Call) -> Result<(), Answer> {
    let Some(version) = call.query("api-version").filter(|version| !version.is_empty()) else {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(Answer::error(400, "MissingApiVersionParameter", message));
    };
    let date = version.get(..10).is_some_and(|date| date.parse::<jiff::civil::Date>().is_ok());
    let tail = version.get(10..).is_some_and(|tail| tail.is_empty() || tail.starts_with('-'));
    if date && tail {
        return Ok(());
    }
    let message =
        format!("The api-version '{version}' is invalid. The supported versions are dates, such as '2023-05-01'.");
    Err(Answer::error(400, "InvalidApiVersionParameter", message))
}

/// The answer to a body that could not be taken in. The error codes have no public source; design decision.
fn unread_body(unread: Unread) -> Answer {
    match unread {
        Unread::TooLong => Answer::error(413, "RequestEntityTooLarge", "The request content size exceeds the limit."),
        Unread::Broken => Answer::error(400, "InvalidRequestContent", "The request content could not be read."),
    }
}

fn storage_class(method: &Method, key: &str) -> Option<StorageClass> {
    const PROVIDER: &str = "/providers/microsoft.storage/storageaccounts";
    let at = key.find(PROVIDER)? + PROVIDER.len();
    let rest = key.get(at..)?;
    if rest.contains("/providers/") {
        return None;
    }
    Some(match (Class::of(method), rest.is_empty()) {
        (Class::Reads, true) => StorageClass::List,
        (Class::Reads, false) => StorageClass::Read,
        _ => StorageClass::Write,
    })
}
