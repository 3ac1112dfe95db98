//! The real transport: reqwest over rustls with ring.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use keyless_core::secret;
use url::Url;

use crate::cloud::is_loopback;
use crate::error::SetupError;
use crate::small_file;
use crate::wire::{Wire, WireError};

/// Ten times the largest page seen in recorded traffic, times ten; beyond it the answer is not ARM's.
const MAX_BODY: usize = 32 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The pipeline's own timeout is shorter; this one only frees sockets of abandoned requests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// HTTP over the network.
#[derive(Debug, Clone)]
pub struct ReqwestWire {
    /// Follows the proxy settings of the environment.
    outward: reqwest::Client,
    /// Never uses a proxy: for loopback and for the plain HTTP of metadata endpoints.
    direct: reqwest::Client,
}

impl ReqwestWire {
    /// Builds the transport. Share it: building loads the system's certificates.
    ///
    /// # Errors
    /// [`SetupError::Wire`] if `ca_file` cannot be read, or if there is none and the system has no certificates.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, SetupError> {
        // Fails only if a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificates = match ca_file {
            None => Vec::new(),
            Some(path) => {
                let wrong = |why: String| {
                    let message = format!("`cloud.caFile`: the file `{}` {why}", path.display());
                    SetupError::Wire(secret::without(&message))
                };
                let pem =
                    small_file::read(path, small_file::MOST_FOR_SIGNING_IN).map_err(|why| wrong(why.to_string()))?;
                let found = reqwest::Certificate::from_pem_bundle(&pem)
                    .map_err(|error| wrong(format!("is not PEM: {error}")))?;
                if found.is_empty() {
                    return Err(wrong("holds no certificate".to_owned()));
                }
                found
            }
        };
        let build = |proxied: bool| {
            let mut builder = reqwest::Client::builder()
                .user_agent(concat!("keyless/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(REQUEST_TIMEOUT);
            if !certificates.is_empty() {
                builder = builder.tls_certs_merge(certificates.clone());
            }
            if !proxied {
                builder = builder.no_proxy();
            }
            builder.build().map_err(|error| {
                SetupError::Wire(format!(
                    "{}; hint: install the package ca-certificates or set `cloud.caFile`",
                    chain(&error)
                ))
            })
        };
        Ok(Self { outward: build(true)?, direct: build(false)? })
    }
}

#[async_trait]
impl Wire for ReqwestWire {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WireError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string())
            .map_err(|error| WireError::NotSent(format!("the address is not a URL: {error}")))?;
        let client = if url.scheme() == "http" || is_loopback(&url) { &self.direct } else { &self.outward };
        let mut answer =
            client.request(parts.method, url).headers(parts.headers).body(body).send().await.map_err(lost)?;
        let mut collected = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(lost)? {
            if collected.len() + chunk.len() > MAX_BODY {
                return Err(WireError::Unknown(format!("the answer is longer than {MAX_BODY} bytes")));
            }
            collected.extend_from_slice(&chunk);
        }
        let mut response = Response::new(collected.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

fn lost(error: reqwest::Error) -> WireError {
    let not_sent = error.is_connect() || error.is_builder();
    let text = chain(&error.without_url());
    if not_sent { WireError::NotSent(text) } else { WireError::Unknown(text) }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
