//! How a call to Azure fails, in terms a caller can act on.

use std::time::Duration;

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// Too many requests: wait for `retry_after`.
    Throttled,
    /// A passing fault (5xx, timeout, reset, another operation under way): try again with backoff.
    Transient,
    /// A fresh principal is not replicated yet (`PrincipalNotFound`): try again for minutes.
    Propagating,
    /// Refused until a person acts: lock, policy, missing rights, limit. Back off to hours.
    Refused,
    /// No token could be had, or it was refused twice.
    Authentication,
    /// The answer could not be understood: never a reason to act.
    Unreadable,
    /// The request was wrong: an error in this program or its settings.
    Bug,
}

/// A failed call.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} {resource}: {}{message}", .code.as_deref().map(|code| format!("{code}: ")).unwrap_or_default())]
pub struct ArmError {
    /// What was called, such as `get storage account`.
    pub operation: &'static str,
    /// On what.
    pub resource: String,
    /// What to do about it.
    pub class: ErrorClass,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Azure's error code.
    pub code: Option<String>,
    /// Azure's or this program's message; never holds a token or a key.
    pub message: String,
    /// `x-ms-request-id`.
    pub request_id: Option<String>,
    /// How long Azure asked to wait.
    pub retry_after: Option<Duration>,
}

/// Whether a failed write may have had, or may still have, an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Landed {
    /// Azure refused it, or it never left.
    No,
    /// It left, and no answer says what became of it.
    Unknown,
}

/// A failed write.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct WriteError {
    /// The failure.
    #[source]
    pub error: ArmError,
    /// Whether it may still land.
    pub landed: Landed,
}

/// Why the client cannot be built from its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// An address of the cloud.
    #[error("cloud: {0}")]
    Cloud(String),
    /// The transport.
    #[error("transport: {0}")]
    Wire(String),
    /// The credential.
    #[error("credential: {0}")]
    Credential(String),
    /// The limits.
    #[error("limits: {0}")]
    Limits(String),
}
