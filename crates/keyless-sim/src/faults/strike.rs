//! What a strike does to a request: before it is judged, while it takes effect, and to its answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE};
use http::{HeaderValue, Method, Response};
use serde_json::Value;

use crate::arm::Outcome;
use crate::azure::{Azure, Timer};
use crate::faults::kind::{Fault, Meanwhile};
use crate::faults::target::Target;
use crate::faults::trouble::{self, Spoiled};
use crate::options::WorkspaceWrite;
use crate::request::{Answer, Call, Sent, answer_of};
use crate::time;

/// A fault on its way to a request.
#[derive(Debug, Clone)]
pub(crate) struct Struck {
    pub(crate) fault: Fault,
    /// Drawn for this strike.
    pub(crate) draw: u64,
}

/// What a strike leaves of a request before it is judged.
pub(crate) enum Fate {
    /// It goes on.
    Goes,
    Reset,
    Hang,
    Answered(Answer),
}

/// How a page of a list comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OddPage {
    Empty,
    /// One entry, and the link in one of the odd spellings.
    OddLink(u64),
}

/// Left among the extensions of an answer whose body is cut: how long it says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Bytes that will never come.
    pub(crate) missing: u64,
}

const HTML: &str = "<!DOCTYPE html><html><head><title>Service Unavailable</title></head><body><h2>Our services aren't \
                    available right now</h2><p>We're working to restore all services as soon as possible. Please check \
                    back soon.</p></body></html>";
const SENTENCE: &str = "The service is busy right now. Please come back later.";

impl Azure {
    /// The fault that strikes a request.
    pub(crate) fn strike(&mut self, target: &Target<'_>, call: &Call) -> Option<Struck> {
        let mut faults = std::mem::take(&mut self.knobs.faults);
        let struck = faults.strike(self.now, target, &call.key(), |fault| match fault {
            Fault::PrincipalNotFound { attempts, younger_than } => {
                let principal = trouble::principal_of(call);
                let young =
                    || self.principal_age(&principal).is_some_and(|age| age < self.speed.shorten(*younger_than));
                !principal.is_empty() && (self.troubles.attempts(&principal) < *attempts || young())
            }
            _ => true,
        });
        self.knobs.faults = faults;
        struck
    }

    /// The part of a strike that comes before the request is judged.
    pub(crate) fn before_judging(&mut self, target: &Target<'_>, call: &Call, caller: &str, fault: &Fault) -> Fate {
        match fault {
            Fault::ResetBefore => return Fate::Reset,
            Fault::HangBefore => return Fate::Hang,
            Fault::Refuse { status, code, retry_after } => {
                let answer = Answer::error(*status, code, "Injected by the simulator.");
                return Fate::Answered(match retry_after {
                    Some(0) => answer.header("Retry-After", "0"),
                    Some(seconds) => {
                        let wait = self.speed.shorten(Duration::from_secs(*seconds));
                        answer.header("Retry-After", time::retry_after(wait).to_string())
                    }
                    None => answer,
                });
            }
            Fault::ServerError { takes_effect: false, status, .. } => {
                return Fate::Answered(self.server_error(target, *status));
            }
            Fault::NotFound => {
                let message = "The requested resource does not exist at this instance.";
                return Fate::Answered(Answer::error(404, "NotFound", message));
            }
            Fault::Busy => return Fate::Answered(busy(call)),
            Fault::ClockJump { by } => {
                let by = self.speed.shorten(*by);
                self.jump(by);
            }
            Fault::PrincipalNotFound { .. } => {
                let principal = trouble::principal_of(call);
                let answer = trouble::principal_not_found(&principal);
                self.troubles.attempted(principal);
                return Fate::Answered(answer);
            }
            Fault::ScopeLocked { lasts, scope, read_only } => self.begin_lock(call, *scope, *read_only, *lasts),
            Fault::Storm { lasts, retry_after } => self.begin_storm(call, *lasts, *retry_after),
            Fault::PolicyDeny { lasts, scope } => self.begin_policy(call, *scope, *lasts),
            Fault::AuthorizationFailed { lasts, scope } => self.begin_lost_rights(call, caller, *scope, *lasts),
            Fault::TokenRejected { code, lasts } => {
                let client = client_of(call);
                self.begin_rejection(&client, *code, *lasts);
            }
            Fault::TokenExpired => return self.spoil(call, Spoiled::Expired),
            Fault::TokenRevoked => return self.spoil(call, Spoiled::Revoked),
            _ => {}
        }
        Fate::Goes
    }

    fn spoil(&mut self, call: &Call, how: Spoiled) -> Fate {
        if let Some(signature) = call.header("authorization").and_then(|token| token.rsplit('.').next()) {
            self.troubles.spoil(signature.trim().to_owned(), how);
        }
        match self.authenticate(call) {
            Ok(_) => Fate::Goes,
            Err(refused) => Fate::Answered(refused),
        }
    }

    /// The part of a strike that is about the effect.
    pub(crate) fn perform_struck(&mut self, caller: &str, call: &Call, struck: Option<&Struck>) -> Answer {
        let Some(struck) = struck else { return answer_of(self.perform(caller, call)) };
        match struck.fault {
            Fault::Ignored => self.pretend(caller, call),
            Fault::OperationFails => {
                let usual = std::mem::replace(&mut self.knobs.workspace_write, WorkspaceWrite::Fails);
                let reply = self.perform(caller, call);
                self.knobs.workspace_write = usual;
                answer_of(reply)
            }
            Fault::OperationHangs { lasts } => {
                let span = self.speed.lengthen(time::between(self.now, self.trouble_ends(lasts)));
                let write = std::mem::replace(&mut self.knobs.workspace_write, WorkspaceWrite::Async);
                let usual = std::mem::replace(&mut self.knobs.operation, span);
                let reply = self.perform(caller, call);
                self.knobs.operation = usual;
                self.knobs.workspace_write = write;
                answer_of(reply)
            }
            Fault::StaleList { by } => {
                let then = time::before(self.now, self.speed.shorten(by));
                let present = self.world.rewind(then);
                let reply = self.perform(caller, call);
                self.world.restore(present);
                answer_of(reply)
            }
            Fault::EmptyPage | Fault::OddNextLink => {
                self.odd_page = Some(match struck.fault {
                    Fault::EmptyPage => OddPage::Empty,
                    _ => OddPage::OddLink(struck.draw),
                });
                let reply = self.perform(caller, call);
                self.odd_page = None;
                answer_of(reply)
            }
            Fault::MixedCasing => {
                let mut answer = answer_of(self.perform(caller, call));
                if let Some(body) = &mut answer.body {
                    respell(body, &mut { struck.draw });
                }
                answer
            }
            _ => answer_of(self.perform(caller, call)),
        }
    }

    /// A write that is judged and takes effect later; what its sender gets meanwhile.
    pub(crate) fn send_late(&mut self, caller: &str, call: &Call, by: Duration, then: Meanwhile) -> Fate {
        let at = self.trouble_ends(by);
        let sent = Box::new(Sent { caller: caller.to_owned(), call: call.clone() });
        self.schedule(at, Timer::LateWrite { sent });
        match then {
            Meanwhile::Reset => Fate::Reset,
            Meanwhile::Hang => Fate::Hang,
            Meanwhile::GatewayTimeout => Fate::Answered(gateway(504)),
        }
    }

    /// The answer of a write that does not stick: the resource as it is, as under a policy of effect `Modify`.
    /// Source: the comment of one team in a public preflight module, seen with `publicNetworkAccess`.
    fn pretend(&mut self, caller: &str, call: &Call) -> Answer {
        let mut reading = call.clone();
        reading.method = Method::GET;
        let answer = answer_of(self.perform(caller, &reading));
        if answer.status.is_success() {
            self.record_modified(caller, call);
        }
        answer
    }

    /// What takes the place of the answer although the request took effect.
    pub(crate) fn replaced(&self, target: &Target<'_>, fault: &Fault) -> Option<Answer> {
        match fault {
            Fault::ServerError { takes_effect: true, status, .. } => Some(self.server_error(target, *status)),
            Fault::NotJson => Some(Answer::empty(200)),
            _ => None,
        }
    }

    fn server_error(&self, target: &Target<'_>, status: u16) -> Answer {
        if target.is_token() {
            let text = "A transient error has occurred. Please try again.";
            return self.entra_error(status, "temporarily_unavailable", 90033, text);
        }
        gateway(status)
    }

    /// The part of a strike that is about the way back.
    pub(crate) fn deliver(&self, struck: Option<&Struck>, mut response: Response<Bytes>) -> Outcome {
        let Some(struck) = struck else { return Outcome::Answered(response) };
        let text = HeaderValue::from_static;
        match &struck.fault {
            Fault::ResetAfter => return Outcome::Reset,
            Fault::HangAfter => return Outcome::Hang,
            Fault::Slow { by } => return Outcome::Slow(self.speed.shorten(*by), response),
            Fault::ServerError { html: true, .. } => {
                *response.body_mut() = Bytes::from_static(HTML.as_bytes());
                response.headers_mut().insert(CONTENT_TYPE, text("text/html"));
            }
            Fault::NotJson => {
                *response.body_mut() = Bytes::from_static(SENTENCE.as_bytes());
                response.headers_mut().insert(CONTENT_TYPE, text("application/json; charset=utf-8"));
            }
            Fault::NoDate => {
                response.headers_mut().remove(DATE);
            }
            Fault::DateBehind { by } | Fault::DateAhead { by } => {
                let by = self.speed.shorten(*by);
                let behind = matches!(struck.fault, Fault::DateBehind { .. });
                let date = if behind { time::before(self.now, by) } else { time::after(self.now, by) };
                if let Ok(date) = HeaderValue::try_from(time::http_date(date)) {
                    response.headers_mut().insert(DATE, date);
                }
            }
            Fault::Truncated => return cut(response),
            _ => {}
        }
        Outcome::Answered(response)
    }
}

/// The client that asks for a token.
pub(crate) fn client_of(call: &Call) -> String {
    let form = call.form().remove("client_id");
    form.or_else(|| call.query("client_id").map(str::to_owned)).unwrap_or_default().to_ascii_lowercase()
}

/// Half of the body, and the word that there is more. An answer without a body breaks before its head.
fn cut(mut response: Response<Bytes>) -> Outcome {
    let whole = response.body().len();
    let kept = response.body().slice(..whole / 2);
    if whole == 0 {
        return Outcome::Reset;
    }
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(whole));
    response.extensions_mut().insert(Cut { missing: (whole - kept.len()) as u64 });
    *response.body_mut() = kept;
    Outcome::Answered(response)
}

/// Source: recordings of Azure/azure-cli, `test_mysql_flexible_server_iops_mgmt` and `test_sql_mi_failover_mgmt`.
fn gateway(status: u16) -> Answer {
    let (code, message) = match status {
        502 => ("BadGatewayConnection", "The network connectivity issue encountered; cannot fulfill the request."),
        503 => ("ServerTimeout", "The request timed out."),
        504 => ("GatewayTimeout", "The gateway did not receive a response within the specified time period."),
        _ => ("InternalServerError", "Encountered internal server error."),
    };
    Answer::error(status, code, message)
}

/// Source: recording of Azure/azure-service-operator, `Test_Compute_v1api_CreationAndDeletion`.
fn busy(call: &Call) -> Answer {
    let resource = trouble::reach(call, crate::Breadth::Resource);
    let message = format!("Cannot proceed with operation because resource {resource} is not in Succeeded state.");
    Answer::new(
        429,
        Some(serde_json::json!({"error": {
            "code": "RetryableError", "message": "A retryable error occurred.",
            "details": [{"code": "ReferencedResourceNotProvisioned", "message": message}],
        }})),
    )
}

/// Spells every id in an answer in another case, each in one of three ways.
fn respell(value: &mut Value, way: &mut u64) {
    match value {
        Value::String(text) if text.starts_with("/subscriptions/") || text.starts_with("/providers/") => {
            *way = way.wrapping_add(1);
            *text = match *way % 3 {
                0 => text.to_ascii_lowercase(),
                1 => text.replace("/resourceGroups/", "/resourcegroups/").replace("/Microsoft.", "/microsoft."),
                _ => upper_group(text),
            };
        }
        Value::Array(entries) => entries.iter_mut().for_each(|entry| respell(entry, way)),
        Value::Object(fields) => fields.values_mut().for_each(|field| respell(field, way)),
        _ => {}
    }
}

fn upper_group(id: &str) -> String {
    let mut segments: Vec<String> = id.split('/').map(str::to_owned).collect();
    let group = segments.iter().position(|segment| segment.eq_ignore_ascii_case("resourceGroups"));
    if let Some(name) = group.and_then(|at| segments.get_mut(at + 1)) {
        *name = name.to_ascii_uppercase();
    }
    segments.join("/")
}
