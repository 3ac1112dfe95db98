//! How waits grow from one try to the next.

use std::time::Duration;

/// How the waits between tries of a refused action grow: doubling from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// After the first refusal.
    pub first: Duration,
    /// At most.
    pub last: Duration,
}

impl Growth {
    /// For refusals that only a person can lift. Design decision: a minute to four hours.
    pub const PERSON: Self = Self { first: Duration::from_secs(60), last: Duration::from_secs(4 * 60 * 60) };
    /// For refusals that time lifts and that come without `Retry-After`: a second to five minutes.
    pub const TIME: Self = Self { first: Duration::from_secs(1), last: Duration::from_secs(5 * 60) };

    /// The wait after this many refusals in a row, from 1.
    #[must_use]
    pub fn wait(self, tries: u32) -> Duration {
        let factor = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.checked_mul(factor.max(1)).unwrap_or(self.last).min(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_end() {
        let seconds: Vec<u64> = (1..=10).map(|tries| Growth::PERSON.wait(tries).as_secs()).collect();
        assert_eq!(seconds, [60, 120, 240, 480, 960, 1920, 3840, 7680, 14_400, 14_400]);
        assert_eq!(Growth::PERSON.wait(u32::MAX).as_secs(), 14_400);
        assert_eq!(Growth::PERSON.wait(0).as_secs(), 60);
    }
}
