//! Time and randomness as values from outside, so that every failure can be replayed.
//!
//! Wall time comes from a [`Clock`]; waiting goes through `tokio::time`, which tests pause.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

/// Tells the wall time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the real clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Where client request ids and jitter come from.
pub type Ids = Arc<dyn Fn() -> Uuid + Send + Sync>;

/// Ids from the machine's own randomness.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that draws real randomness")]
pub fn random_ids() -> Ids {
    Arc::new(Uuid::new_v4)
}

/// A fraction in `0.0..1.0` drawn from `ids`.
pub(crate) fn fraction(ids: &Ids) -> f64 {
    let bits = u32::try_from(ids().as_u128() & 0xffff_ffff).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}
