//! The injected transport: everything this crate sends, tokens included, leaves through one [`Wire`].
//!
//! Production is [`crate::reqwest_wire::ReqwestWire`]; tests call a simulator in process with [`WireFn`].

use std::future::Future;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};

/// Why there is no answer; the difference decides whether a write may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No byte of the request has left.
    #[error("{0}")]
    NotSent(String),
    /// The request may have left, and may have been acted on.
    #[error("{0}")]
    Unknown(String),
}

/// Sends one request and returns the whole answer, whatever its status. Does not retry and does not follow redirects.
#[async_trait]
pub trait Wire: Send + Sync {
    /// Sends one request.
    ///
    /// # Errors
    /// [`WireError`] if no complete answer came.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WireError>;
}

/// A wire made of a function, such as one that calls an in-process server.
pub struct WireFn<F>(pub F);

#[async_trait]
impl<F, A> Wire for WireFn<F>
where
    F: Fn(Request<Bytes>) -> A + Send + Sync,
    A: Future<Output = Result<Response<Bytes>, WireError>> + Send,
{
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WireError> {
        (self.0)(request).await
    }
}
