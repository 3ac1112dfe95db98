//! The way of a request: sender, faults, throttling, version, permission, and then the operation itself.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use jiff::Timestamp;

use crate::azure::Azure;
use crate::faults::strike::{Fate, client_of};
use crate::faults::target::{self, Target};
use crate::faults::trouble::Spoiled;
use crate::faults::{Fault, Struck};
use crate::request::{Answer, Call, Reply, Sent, Unread, answer_of};
use crate::throttle::{BucketUse, Class, Remaining, StorageClass, Throttled};
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

/// What is told about a request beside its answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Note {
    pub(crate) at: Timestamp,
    pub(crate) operation: String,
    pub(crate) caller: String,
    /// What struck it.
    pub(crate) fault: Option<&'static str>,
    /// Every bucket that counts it.
    pub(crate) buckets: Vec<BucketUse>,
    /// The bucket that refused it.
    pub(crate) bucket: Option<String>,
    /// When a write that is late takes effect.
    pub(crate) lands_at: Option<Timestamp>,
}

impl Azure {
    /// One request at one instant. Nothing is noted of requests to `/sim`.
    pub(crate) fn handle(
        &mut self,
        now: Timestamp,
        origin: &str,
        request: &http::Request<Bytes>,
    ) -> (Outcome, Option<Note>) {
        self.advance(now);
        let call = Call::new(origin, request);
        let mut note = Note { at: self.now, ..Note::default() };
        if let Some(account) = crate::blob::account_asked(&call) {
            return self.ask_blobs(&call, &account, note);
        }
        let lower: Vec<String> = call.segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let plain = match (call.method.as_str(), lower.as_slice()) {
            (_, ["sim", rest @ ..]) => {
                let answer = answer_of(self.control(&call, rest));
                let date = time::http_date(self.now);
                return (Outcome::Answered(answer.header("Date", date).into_response()), None);
            }
            ("GET", ["metadata", "endpoints"]) => Ok(crate::metadata::endpoints(&call)),
            ("GET", [] | ["msi", "token"]) => return self.ask_token(&call, target::APP_TOKEN, note),
            ("GET", ["metadata", "identity", "oauth2", "token"]) => {
                return self.ask_token(&call, target::MACHINE_TOKEN, note);
            }
            (_, [_, "oauth2", "v2.0", "token"]) => return self.ask_token(&call, target::ENTRA_TOKEN, note),
            (_, [_, "oauth2", "token"]) => return self.ask_token(&call, target::ENTRA_V1_TOKEN, note),
            (
                "GET",
                [tenant, ".well-known", "openid-configuration"] | [tenant, _, ".well-known", "openid-configuration"],
            ) => Ok(crate::metadata::openid(&call, tenant)),
            ("GET", ["discovery"]) => Ok(crate::metadata::services(&call)),
            ("GET", ["common", "discovery", "instance"]) => Ok(crate::metadata::instance(&call)),
            ("GET", [_, "discovery", "keys"] | [_, "discovery", "v2.0", "keys"]) => {
                Ok(Answer::ok(serde_json::json!({"keys": []})))
            }
            _ => match self.graph(&call, &lower) {
                Some(reply) => reply,
                None => {
                    let outcome = self.arm(&call, &mut note);
                    return (outcome, Some(note));
                }
            },
        };
        note.operation = call.path();
        let date = time::http_date(self.now);
        (Outcome::Answered(answer_of(plain).header("Date", date).into_response()), Some(note))
    }

    fn ask_token(&mut self, call: &Call, template: &'static str, mut note: Note) -> (Outcome, Option<Note>) {
        let target = Target { method: call.method.as_str(), template };
        template.clone_into(&mut note.operation);
        note.caller = self.principal_of_client(&client_of(call)).unwrap_or_default();
        let outcome = self.give_token(call, &target, &mut note);
        (outcome, Some(note))
    }

    fn give_token(&mut self, call: &Call, target: &Target<'_>, note: &mut Note) -> Outcome {
        let entra = matches!(target.template, target::ENTRA_TOKEN | target::ENTRA_V1_TOKEN);
        let mut struck = None;
        if self.rejection(&client_of(call)).is_none() {
            struck = self.strike(target, call);
        } else {
            self.knobs.faults.miss(self.now, target);
        }
        note.fault = struck.as_ref().map(|struck| struck.fault.name());
        let dated = |azure: &Self, answer: Answer| answer.header("Date", time::http_date(azure.now)).into_response();
        if let Some(struck) = &struck {
            match self.before_judging(target, call, "", &struck.fault) {
                Fate::Goes => {}
                Fate::Reset => return Outcome::Reset,
                Fate::Hang => return Outcome::Hang,
                Fate::Answered(answer) => {
                    let response = dated(self, answer);
                    return self.deliver(Some(struck), response);
                }
            }
        }
        if let Some(code) = self.rejection(&client_of(call)) {
            note.fault = Some("tokenRejected");
            let answer = self.token_rejected(entra, code);
            return Outcome::Answered(dated(self, answer));
        }
        let tenant = call.segments.first().map(|tenant| tenant.to_ascii_lowercase()).unwrap_or_default();
        let reply = if entra { self.entra_token(call, &tenant) } else { self.identity_token(call) };
        let replaced = struck.as_ref().and_then(|struck| self.replaced(target, &struck.fault));
        let response = dated(self, replaced.unwrap_or_else(|| answer_of(reply)));
        self.deliver(struck.as_ref(), response)
    }

    fn arm(&mut self, call: &Call, note: &mut Note) -> Outcome {
        let operation = arm_id::operation(&call.segments);
        let target = Target { method: call.method.as_str(), template: &operation };
        note.operation.clone_from(&operation);
        let finish = |azure: &mut Self, caller: &str, answer: Answer| {
            azure.log.add(target.method, &operation, answer.status.as_u16(), caller);
            azure.common_headers(call, answer).into_response()
        };
        let caller = match self.authenticate(call) {
            Ok(caller) => caller,
            Err(refused) => {
                note.fault = self.spoiled(call).map(Spoiled::fault);
                if note.fault.is_some() {
                    self.knobs.faults.miss(self.now, &target);
                }
                return Outcome::Answered(finish(self, "", refused));
            }
        };
        note.caller.clone_from(&caller);
        if let Some(unread) = call.unread {
            return Outcome::Answered(finish(self, &caller, unread_body(unread)));
        }
        if let Some(refused) = self.suffer(call, &caller) {
            self.knobs.faults.miss(self.now, &target);
            return Outcome::Answered(finish(self, &caller, refused.note(note)));
        }
        let struck = self.strike(&target, call);
        note.fault = struck.as_ref().map(|struck| struck.fault.name());
        if let Some(struck) = &struck {
            match self.before_judging(&target, call, &caller, &struck.fault) {
                Fate::Goes => {}
                fate @ (Fate::Reset | Fate::Hang) => {
                    self.log.add(target.method, &operation, 0, &caller);
                    return if matches!(fate, Fate::Reset) { Outcome::Reset } else { Outcome::Hang };
                }
                Fate::Answered(answer) => {
                    if answer.status == 429 {
                        note.bucket = Some(format!("fault/{}", struck.fault.name()));
                    }
                    let response = finish(self, &caller, answer);
                    return self.deliver(Some(struck), response);
                }
            }
            // What has just begun may be meant for this request too.
            if let Some(refused) = self.suffer(call, &caller) {
                return Outcome::Answered(finish(self, &caller, refused.note(note)));
            }
        }
        let remaining = match self.throttle(call, &caller, note) {
            Ok(header) => header,
            Err(refused) => return Outcome::Answered(finish(self, &caller, refused)),
        };
        if let Some(Struck { fault: Fault::Late { by, then }, .. }) = &struck {
            note.lands_at = Some(self.trouble_ends(*by));
            let fate = self.send_late(&caller, call, *by, *then);
            let status = if let Fate::Answered(answer) = &fate { answer.status.as_u16() } else { 504 };
            return match fate {
                Fate::Answered(answer) => Outcome::Answered(finish(self, &caller, answer)),
                fate => {
                    self.log.add(target.method, &operation, status, &caller);
                    if matches!(fate, Fate::Hang) { Outcome::Hang } else { Outcome::Reset }
                }
            };
        }
        let answer = self.perform_struck(&caller, call, struck.as_ref());
        if answer.status == 409 && note.fault.is_none() && answer.is_error("ScopeLocked") && self.locked_by_fault(call)
        {
            note.fault = Some("scopeLocked");
        }
        let answer = remaining.into_iter().fold(answer, |answer, (name, value)| answer.header(name, value));
        let replaced = struck.as_ref().and_then(|struck| self.replaced(&target, &struck.fault));
        let response = finish(self, &caller, replaced.unwrap_or(answer));
        self.deliver(struck.as_ref(), response)
    }

    /// A write that was on its way takes effect; nobody waits for its answer any more.
    pub(crate) fn land(&mut self, sent: &Sent) {
        let _ = self.perform(&sent.caller, &sent.call);
    }

    fn throttle(&mut self, call: &Call, caller: &str, note: &mut Note) -> Result<Vec<(&'static str, String)>, Answer> {
        if !self.knobs.throttling {
            return Ok(Vec::new());
        }
        // Source: azure-mgmt-resourcegraph recordings, where these headers take the place of the usual ones.
        if crate::resource_graph::is_query(&call.segments) {
            return self.take_query(caller);
        }
        let class = Class::of(&call.method);
        let key = call.key();
        let subscription = arm_id::subscription(&key);
        let storage = storage_class(&call.method, &key);
        let headers = |left: Remaining| left_headers(subscription.is_some(), class, left);
        let taken = self.buckets.take(self.now, subscription, caller, class, storage);
        note.buckets = self.buckets.counting(subscription, caller, class, storage);
        taken.map(headers).map_err(|throttled| {
            let Throttled { retry_after, bucket, message, by_storage } = throttled;
            note.bucket = Some(bucket);
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
    pub(crate) fn perform(&mut self, caller: &str, call: &Call) -> Reply {
        let before = self.activity.begin(call);
        let reply = self.carry_out(caller, call);
        self.end_request(caller, call, before, &reply);
        reply
    }

    fn carry_out(&mut self, caller: &str, call: &Call) -> Reply {
        if let Some(path) = crate::datastore_v1::resource_path(&call.segments) {
            return self.datastores_v1(caller, call, path);
        }
        self.check_tenant(call)?;
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
        Err(authorization_failed(caller, action, shown))
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

/// Source: MicrosoftDocs/azure-docs `articles/role-based-access-control/troubleshooting.md`.
pub(crate) fn authorization_failed(caller: &str, action: &str, scope: &str) -> Answer {
    let message = format!(
        "The client '{caller}' with object id '{caller}' does not have authorization to perform action '{action}' \
         over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials."
    );
    Answer::error(403, "AuthorizationFailed", message)
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
