//! azure_identity on this crate's transport.
//!
//! It also keeps what azure_identity loses: the refusal's status and code (its own error type cannot hold an
//! `error_description` with line breaks), and the token's life as told, so that no clock of this machine decides about it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use serde_json::Value;
use tracing::debug;
use url::Url;

use crate::envelope;
use crate::headers;
use crate::redact;
use crate::secret::Secret;
use crate::token::{TokenClass, TokenError};
use crate::token_error::class_of;
use crate::view::node::Node;
use crate::wire::{Wire, WireError};

/// What was learned from the last answer.
#[derive(Default)]
struct Learned {
    life: Option<Duration>,
    date: Option<Timestamp>,
    failure: Option<TokenError>,
}

/// The HTTP client of one token request.
pub(super) struct Seam {
    wire: Arc<dyn Wire>,
    endpoint: Option<(Url, Secret)>,
    learned: Mutex<Learned>,
}

impl fmt::Debug for Seam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seam").finish_non_exhaustive()
    }
}

impl Seam {
    /// With `endpoint`, requests to the metadata service go there instead.
    pub(super) fn new(wire: Arc<dyn Wire>, endpoint: Option<(Url, Secret)>) -> Self {
        Self { wire, endpoint, learned: Mutex::default() }
    }

    /// How long the token lives, as told in seconds.
    pub(super) fn life(&self) -> Option<Duration> {
        self.learned().life
    }

    /// The endpoint's clock at its answer.
    pub(super) fn date(&self) -> Option<Timestamp> {
        self.learned().date
    }

    /// The failure in this crate's terms; `other` is azure_identity's word where nothing was answered.
    pub(super) fn failure(&self, other: &Error) -> TokenError {
        let learned = self.learned().failure.take();
        learned.unwrap_or_else(|| TokenError::new(TokenClass::Local, envelope::shorten(&other.to_string())))
    }

    fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail<T>(&self, class: TokenClass, message: String) -> azure_core::Result<T> {
        self.learned().failure = Some(TokenError::new(class, message.clone()));
        Err(Error::with_message(ErrorKind::Other, message))
    }

    fn translate(&self, request: &Request) -> Result<(http::Request<Bytes>, Vec<Secret>), String> {
        let Body::Bytes(body) = request.body() else { return Err("the body is a stream".to_owned()) };
        let mut url = request.url().clone();
        if let Some((endpoint, _)) = &self.endpoint {
            let query = url.query().unwrap_or_default().to_owned();
            url = endpoint.clone();
            match endpoint.query() {
                Some(own) if !query.starts_with(own) => url.set_query(Some(&format!("{own}&{query}"))),
                _ => url.set_query(Some(&query)),
            }
        }
        let method = Method::from_bytes(request.method().as_str().as_bytes()).map_err(|error| error.to_string())?;
        let mut built = http::Request::builder().method(method).uri(url.as_str());
        for (name, value) in request.headers().iter() {
            built = built.header(name.as_str(), value.as_str());
        }
        let mut built = built.body(body.clone()).map_err(|error| error.to_string())?;
        let mut secrets: Vec<Secret> = url::form_urlencoded::parse(body)
            .filter(|(name, _)| matches!(name.as_ref(), "client_secret" | "client_assertion"))
            .map(|(_, value)| Secret::new(value))
            .collect();
        if let Some((_, header)) = &self.endpoint {
            let mut value = HeaderValue::from_str(header.expose()).map_err(|_| "IDENTITY_HEADER is no header value")?;
            value.set_sensitive(true);
            built.headers_mut().insert(HeaderName::from_static("x-identity-header"), value);
            secrets.push(header.clone());
        }
        Ok((built, secrets))
    }
}

#[async_trait]
impl HttpClient for Seam {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        *self.learned() = Learned::default();
        let (request, secrets) = match self.translate(request) {
            Ok(translated) => translated,
            Err(why) => return self.fail(TokenClass::Local, why),
        };
        let scrub = |text: String| secrets.iter().fold(text, |text, secret| secret.scrub(&text));
        let asked = Url::parse(&request.uri().to_string());
        let (url, place) = asked.map(|url| (redact::url(&url), redact::place(&url))).unwrap_or_default();
        let answer = match self.wire.send(request).await {
            Ok(answer) => answer,
            Err(WireError::NotSent(why) | WireError::Unknown(why)) => {
                let why = scrub(why);
                debug!(url, error = why, "token_request");
                return self.fail(TokenClass::Unreachable, format!("no answer from `{place}`: {why}"));
            }
        };
        let status = answer.status();
        self.learned().date = headers::date(answer.headers());
        debug!(url, http_status = status.as_u16(), "token_request");
        if !status.is_success() {
            let fault = envelope::read(answer.body());
            let code = fault.code.map(|code| format!("{code}: ")).unwrap_or_default();
            let message = scrub(format!("status {} from `{place}`: {code}{}", status.as_u16(), fault.message));
            let metadata = self.endpoint.is_some() || place.contains("169.254.");
            return self.fail(class_of(status, answer.body(), metadata), message);
        }
        match life(answer.body()) {
            Ok(life) => self.learned().life = life,
            Err(why) => {
                return self.fail(TokenClass::Unreadable, format!("the answer from `{place}` is no token: {why}"));
            }
        }
        Ok(AsyncRawResponse::from_bytes(status.as_u16().into(), Headers::new(), answer.into_body()))
    }
}

/// The life of the token in a successful answer; `None` if only its end is told.
fn life(body: &[u8]) -> Result<Option<Duration>, String> {
    let body: Value = serde_json::from_slice(body).map_err(|_| "it is not JSON".to_owned())?;
    let node = Node::root(&body);
    let told = || -> crate::view::node::Result<(bool, Option<f64>, Option<f64>)> {
        let token = node.opt_text("access_token")?.is_some();
        Ok((token, node.opt_number("expires_in")?, node.opt_number("expires_on")?))
    };
    match told().map_err(|error| error.to_string())? {
        (false, ..) => Err("`access_token` is missing".to_owned()),
        (true, Some(life), _) if life > 0.0 => {
            Duration::try_from_secs_f64(life).map(Some).map_err(|_| "`expires_in` is out of range".to_owned())
        }
        (true, None, Some(_)) => Ok(None),
        _ => Err("its life is not told".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_life_is_read_from_both_spellings() {
        assert_eq!(life(br#"{"access_token":"t","expires_in":3599}"#), Ok(Some(Duration::from_secs(3599))));
        assert_eq!(
            life(br#"{"access_token":"t","expires_in":"3599","expires_on":"1"}"#),
            Ok(Some(Duration::from_secs(3599)))
        );
        assert_eq!(life(br#"{"access_token":"t","expires_on":"1770112345"}"#), Ok(None));
        for bad in [
            r#"{"access_token":"t"}"#,
            r#"{"access_token":"t","expires_in":0}"#,
            r#"{"access_token":"","expires_in":1}"#,
            r#"{"expires_in":1}"#,
            r#"{"access_token":"t","expires_in":1e300}"#,
            "<html>",
            "[]",
        ] {
            assert!(life(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
