//! The data plane of blobs, as far as one request goes: who may list the containers of an account.
//!
//! It answers on the same sockets to whoever names an account's host. Only tokens are taken, which no key traffic comes
//! of: metrics count what callers of this world do, and not this. No world knows containers, so the list is empty; design
//! decisions both.
//! Sources: <https://learn.microsoft.com/rest/api/storageservices/list-containers2> for request and answer;
//! <https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory> for tokens, their refusal and
//! the right; <https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2> for the form of errors.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};

use crate::arm::{Note, Outcome};
use crate::azure::Azure;
use crate::faults::strike::Fate;
use crate::faults::target::Target;
use crate::request::Call;
use crate::token::TENANT_ID;
use crate::world::ACCOUNT;
use crate::{arm_id, network, time};

/// What follows the name of an account in the host of its blobs. Source: see `account::endpoints`.
const SUFFIX: &str = ".blob.core.windows.net";
/// How request logs and rules for faults name the one operation.
pub(crate) const LIST_CONTAINERS: &str = "/?comp=list";
/// The right it takes: one of the control plane, that the data plane looks at.
const READ: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/read";
/// The first version that takes tokens.
const FIRST_WITH_TOKENS: &str = "2017-11-09";

/// A refusal.
struct Refused {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
}

const CHALLENGED: &str =
    "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.";

fn refused(status: StatusCode, code: &'static str, message: &'static str) -> Refused {
    Refused { status, code, message }
}

/// The account whose blobs are asked for, by the host that the caller names.
pub(crate) fn account_asked(call: &Call) -> Option<String> {
    let host = call.origin.split("://").nth(1)?.split(':').next()?.to_ascii_lowercase();
    host.strip_suffix(SUFFIX).filter(|name| !name.is_empty() && !name.contains('.')).map(str::to_owned)
}

impl Azure {
    pub(crate) fn ask_blobs(&mut self, call: &Call, name: &str, mut note: Note) -> (Outcome, Option<Note>) {
        let target = Target { method: call.method.as_str(), template: LIST_CONTAINERS };
        LIST_CONTAINERS.clone_into(&mut note.operation);
        // A name that nobody has does not resolve.
        let found = self.world.keys_of(ACCOUNT).find(|key| arm_id::name(key).eq_ignore_ascii_case(name));
        let Some(account) = found.map(str::to_owned) else { return (Outcome::Reset, Some(note)) };
        let caller = self.data_caller(call, name);
        note.caller = caller.as_ref().map(|caller| (*caller).clone()).unwrap_or_default();
        let struck = self.strike(&target, call);
        note.fault = struck.as_ref().map(|struck| struck.fault.name());
        if let Some(struck) = &struck {
            match self.before_judging(&target, call, &note.caller, &struck.fault) {
                Fate::Goes => {}
                fate @ (Fate::Reset | Fate::Hang) => {
                    self.log.add(target.method, LIST_CONTAINERS, 0, &note.caller);
                    let outcome = if matches!(fate, Fate::Reset) { Outcome::Reset } else { Outcome::Hang };
                    return (outcome, Some(note));
                }
                Fate::Answered(answer) => {
                    self.log.add(target.method, LIST_CONTAINERS, answer.status.as_u16(), &note.caller);
                    let response = answer.header("Date", time::http_date(self.now)).into_response();
                    return (self.deliver(Some(struck), response), Some(note));
                }
            }
        }
        let answer = self.list_containers(call, &account, caller);
        let status = answer.as_ref().map_or_else(|refused| refused.status, |_| StatusCode::OK);
        self.log.add(target.method, LIST_CONTAINERS, status.as_u16(), &note.caller);
        let response = self.blob_response(call, answer);
        (self.deliver(struck.as_ref(), response), Some(note))
    }

    /// Whether network, token or right is looked at first is told by no public source; design decision.
    fn list_containers(
        &self,
        call: &Call,
        account: &str,
        caller: Result<String, &'static str>,
    ) -> Result<String, Refused> {
        if call.method != http::Method::GET || !call.segments.is_empty() || call.query("comp") != Some("list") {
            let message = "The requested operation is not implemented on the specified resource.";
            return Err(refused(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message));
        }
        let value = self.world.get(account).cloned().unwrap_or_default();
        if !network::lets_in(&value, None) {
            let message = "This request is not authorized to perform this operation.";
            return Err(refused(StatusCode::FORBIDDEN, "AuthorizationFailure", message));
        }
        // Source for the code: <https://blog.stigok.com/2022/03/09/azure-storage-blobs-rest-api-with-bearer-token.html>.
        if caller.is_ok() && call.header("x-ms-version").is_none_or(|version| version < FIRST_WITH_TOKENS) {
            let message = "Server failed to authenticate the request. Make sure the value of Authorization header is \
                           formed correctly including the signature.";
            return Err(refused(StatusCode::FORBIDDEN, "AuthenticationFailed", message));
        }
        let caller = caller.map_err(|code| refused(StatusCode::UNAUTHORIZED, code, CHALLENGED))?;
        if !self.data_plane_allows(&caller, READ, account) {
            let message = "This request is not authorized to perform this operation using this permission.";
            return Err(refused(StatusCode::FORBIDDEN, "AuthorizationPermissionMismatch", message));
        }
        let most = call.query("maxresults").map(|most| format!("<MaxResults>{most}</MaxResults>")).unwrap_or_default();
        Ok(format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://{}{SUFFIX}/\">{most}\
             <Containers /><NextMarker /></EnumerationResults>",
            arm_id::name(account)
        ))
    }

    fn blob_response(&mut self, call: &Call, answer: Result<String, Refused>) -> Response<Bytes> {
        let id = self.guid();
        let mut headers = vec![
            ("content-type", "application/xml".to_owned()),
            ("server", "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0".to_owned()),
            ("x-ms-request-id", id.clone()),
            ("date", time::http_date(self.now)),
        ];
        headers.extend(call.header("x-ms-version").map(|version| ("x-ms-version", version.to_owned())));
        let (status, body) = match answer {
            Ok(body) => (StatusCode::OK, body),
            Err(Refused { status, code, message }) => {
                headers.push(("x-ms-error-code", code.to_owned()));
                if status == StatusCode::UNAUTHORIZED {
                    let challenge = format!(
                        "Bearer authorization_uri=https://login.microsoftonline.com/{TENANT_ID}/oauth2/authorize \
                         resource_id=https://storage.azure.com"
                    );
                    headers.push(("www-authenticate", challenge));
                }
                let body = format!(
                    "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}\nRequestId:{id}\n\
                     Time:{}</Message></Error>",
                    time::stamp(self.now)
                );
                (status, body)
            }
        };
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
