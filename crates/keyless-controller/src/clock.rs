//! The server's time between answers: the `Date` of the latest answer plus what has passed since on the process's own
//! monotonic clock.
//!
//! Every wait that guards a write is measured in the server's time, because ages in Azure's answers are. Nothing here
//! reads a wall clock.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// `Date` headers are cut to whole seconds, so the server may be this much further.
pub(crate) const DATE_GRAIN: SignedDuration = SignedDuration::from_secs(1);

/// What the process knows of the server's clock.
#[derive(Debug, Default)]
pub struct ServerClock {
    latest: Mutex<Option<(Timestamp, Instant)>>,
}

impl ServerClock {
    /// Takes note of an answer's `Date`.
    pub fn saw(&self, at: Timestamp) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, Instant::now()));
    }

    /// The server's time in the latest answer: never ahead of the server, so ages are measured against it.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        Some((*self.latest.lock().unwrap_or_else(PoisonError::into_inner))?.0)
    }

    /// The server's time now, by estimate: what a rest that begins now is counted from. `None` until an answer has been seen.
    #[must_use]
    pub fn now(&self) -> Option<Timestamp> {
        let (at, seen) = (*self.latest.lock().unwrap_or_else(PoisonError::into_inner))?;
        let passed = SignedDuration::try_from(seen.elapsed()).ok()?;
        at.checked_add(passed).ok()
    }
}

/// `at` plus `wait`; the end of time if that is out of range, so that a wait is never cut short.
pub(crate) fn later(at: Timestamp, wait: std::time::Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| at.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}

/// `at` minus `wait`; the beginning of time if that is out of range.
pub(crate) fn earlier(at: Timestamp, wait: std::time::Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| at.checked_sub(wait).ok()).unwrap_or(Timestamp::MIN)
}
