//! Asking the data plane of one account whether it lets the controller's own identity in.
//!
//! It is the one request of this crate that does not go to the resource manager, with a token that is good for nothing
//! else. Its address has to be the account's own; everything else is refused before a token is asked for. It is sent once
//! and never repeated: a pass that needs another answer asks again.
//! Source: <https://learn.microsoft.com/rest/api/storageservices/list-containers2> for the request and its answer.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, StatusCode};
use keyless_core::id::StorageAccountId;
use tokio::time::Instant;
use tracing::debug;

use crate::api::{Answer, Read};
use crate::client::Client;
use crate::cloud::BlobAddress;
use crate::envelope::shorten;
use crate::error::{ArmError, ErrorClass};
use crate::headers;
use crate::operation::Operation;
use crate::own;
use crate::redact;
use crate::secret::Secret;
use crate::token::{TokenError, TokenSource};
use crate::wire::WireError;

/// The scope of tokens for the data of any account, in every cloud.
///
/// Source: <https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory>, the resource id.
pub(crate) const SCOPE: &str = "https://storage.azure.com/.default";

/// A token for data. Nothing but the request below can be made to carry one.
struct StorageToken(Secret);

/// Where tokens for data come from: another kind than [`TokenSource`], so that the two cannot take each other's place.
#[derive(Clone)]
pub struct StorageTokens(Arc<dyn TokenSource>);

impl StorageTokens {
    /// Takes what this source hands out for tokens for data.
    #[must_use]
    pub fn new(source: Arc<dyn TokenSource>) -> Self {
        Self(source)
    }

    async fn token(&self) -> Result<StorageToken, TokenError> {
        self.0.token().await.map(StorageToken)
    }

    async fn renew(&self, refused: &StorageToken) {
        self.0.renew(&refused.0).await;
    }
}

impl Client {
    /// Has the data plane answered one request of the own identity.
    pub(crate) async fn probe(&self, account: &StorageAccountId, endpoint: &str) -> Read<()> {
        let Some(tokens) = &self.storage_tokens else {
            return Err(error(account, ErrorClass::Bug, "this client has no tokens for data"));
        };
        let address = self.pipeline.cloud.blob_address(account.name(), endpoint).map_err(|wrong| ArmError {
            lift: Some(wrong.lift.to_owned()),
            ..error(account, ErrorClass::Unreadable, wrong.why)
        })?;
        let token = tokens.token().await.map_err(|failed| ArmError {
            lift: Some(failed.class.hint().to_owned()),
            ..error(account, ErrorClass::Token(failed.class), failed.to_string())
        })?;
        let answer = self.ask(account, &address, &token).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            // The next pass has a new one.
            tokens.renew(&token).await;
        }
        judge(account, answer, &token)
    }

    async fn ask(
        &self,
        account: &StorageAccountId,
        address: &BlobAddress,
        token: &StorageToken,
    ) -> Result<Told, ArmError> {
        let pipeline = &self.pipeline;
        let name = Operation::ProbeData.name();
        let client_request_id = (pipeline.ids)().to_string();
        let version = pipeline.versions.current(Operation::ProbeData.interface());
        let request = build(address, token, version, &client_request_id)
            .map_err(|wrong| error(account, ErrorClass::Bug, wrong.to_string()))?;
        let url = redact::url(&address.url);
        let start = Instant::now();
        let limit = pipeline.timeouts.attempt;
        let sent = tokio::time::timeout(limit, pipeline.wire.send(request)).await;
        let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let answer = sent.unwrap_or_else(|_| Err(WireError::Unknown(format!("no answer within {limit:?}"))));
        let answer = match answer {
            Ok(answer) => answer,
            Err(lost) => {
                pipeline.counts.add(name, None);
                let message = token.0.scrub(&lost.to_string());
                debug!(operation = name, url, client_request_id, elapsed_ms, error = message, "request");
                return Err(ArmError {
                    lift: Some(format!("a way over the network from this machine to {}", address.host)),
                    ..error(account, ErrorClass::Transient, message)
                });
            }
        };
        let (parts, body) = answer.into_parts();
        let at = headers::date(&parts.headers).unwrap_or_else(|| pipeline.clock.now());
        let request_id = headers::text(&parts.headers, "x-ms-request-id");
        let http_status = parts.status.as_u16();
        pipeline.counts.add(name, Some(http_status));
        debug!(operation = name, url, http_status, request_id, client_request_id, elapsed_ms, "request");
        let code = headers::text(&parts.headers, "x-ms-error-code");
        let retry_after = headers::retry_after(&parts.headers, at);
        Ok(Told { status: parts.status, code, body, at, request_id, retry_after })
    }
}

/// What came back.
struct Told {
    status: StatusCode,
    code: Option<String>,
    body: Bytes,
    at: jiff::Timestamp,
    request_id: Option<String>,
    retry_after: Option<std::time::Duration>,
}

fn build(
    address: &BlobAddress,
    token: &StorageToken,
    version: &str,
    client_request_id: &str,
) -> Result<Request<Bytes>, http::Error> {
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.0.expose()))?;
    bearer.set_sensitive(true);
    Request::get(address.url.as_str())
        .header(HOST, &address.host)
        .header(AUTHORIZATION, bearer)
        .header("accept", "application/xml")
        .header("x-ms-version", version)
        .header("x-ms-client-request-id", client_request_id)
        .body(Bytes::new())
}

/// Only a list of containers says that the identity was let in; any other page may come from anywhere.
fn judge(account: &StorageAccountId, told: Told, token: &StorageToken) -> Read<()> {
    let Told { status, code, body, at, request_id, retry_after } = told;
    let text = String::from_utf8_lossy(&body);
    if status == StatusCode::OK && text.contains("<EnumerationResults") {
        return Ok(Answer { value: (), at, request_id });
    }
    let code = code.or_else(|| within(&text, "Code").map(str::to_owned)).map(|code| shorten(&token.0.scrub(&code)));
    let class = match status.as_u16() {
        401 => ErrorClass::Authentication,
        403 => ErrorClass::Refused,
        429 => ErrorClass::Throttled,
        500..=599 => ErrorClass::Transient,
        _ => ErrorClass::Unreadable,
    };
    let message = match within(&text, "Message").and_then(|message| message.lines().next()) {
        Some(message) => shorten(&token.0.scrub(message.trim())),
        None if status == StatusCode::OK => "the answer is no list of containers".to_owned(),
        None => format!("status {} {}", status.as_u16(), status.canonical_reason().unwrap_or_default()),
    };
    let lift = lift(account, status, code.as_deref(), token);
    let message = message.trim_end().to_owned();
    Err(ArmError {
        status: Some(status.as_u16()),
        code,
        lift,
        request_id,
        retry_after,
        ..error(account, class, message)
    })
}

/// What would have the account let the identity in.
///
/// Source: <https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory>, the permissions for
/// Blob service operations, and the built-in roles; the codes are those of public error dumps.
fn lift(account: &StorageAccountId, status: StatusCode, code: Option<&str>, token: &StorageToken) -> Option<String> {
    let code = code.unwrap_or_default();
    if status == StatusCode::UNAUTHORIZED {
        return Some("a credential of the tenant that the subscription of the account belongs to".to_owned());
    }
    if status != StatusCode::FORBIDDEN {
        return None;
    }
    if code.eq_ignore_ascii_case("AuthorizationFailure") {
        return Some(format!(
            "network rules of {} that let this machine in; no role is what is missing",
            account.name()
        ));
    }
    let who = own::object_id(&token.0).map(|id| format!(" ({id})")).unwrap_or_default();
    let right = Operation::ProbeData.actions().first().copied().unwrap_or_default();
    Some(format!(
        "`{right}` at {account} for the identity of keyless{who}, as in the role `keyless data probe` of its deployment or in \
         Storage Blob Data Reader; or time, if that was granted in the last minutes and is young"
    ))
}

/// What stands in the first element of this name.
fn within<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn error(account: &StorageAccountId, class: ErrorClass, message: impl Into<String>) -> ArmError {
    ArmError {
        operation: Operation::ProbeData.name(),
        resource: account.to_string(),
        class,
        status: None,
        code: None,
        message: message.into(),
        lift: None,
        request_id: None,
        retry_after: None,
    }
}
