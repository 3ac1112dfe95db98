//! Where the simulated cloud's time comes from.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::time;

/// Which time the simulator follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockMode {
    /// The machine's clock.
    Wall,
    /// Stands still at the given instant until `POST /sim/advance` (or [`crate::Simulator::advance`]) moves it.
    Simulated(Timestamp),
    /// Starts at the given instant and follows `tokio::time::Instant`, so that a paused runtime moves it.
    Tokio(Timestamp),
}

#[derive(Debug)]
pub(crate) enum Clock {
    Wall,
    Simulated(Mutex<Timestamp>),
    Tokio { start: Timestamp, base: tokio::time::Instant },
}

impl Clock {
    pub(crate) fn new(mode: ClockMode) -> Self {
        match mode {
            ClockMode::Wall => Self::Wall,
            ClockMode::Simulated(start) => Self::Simulated(Mutex::new(start)),
            ClockMode::Tokio(start) => Self::Tokio { start, base: tokio::time::Instant::now() },
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::Wall => wall(),
            Self::Simulated(now) => *now.lock().unwrap_or_else(PoisonError::into_inner),
            Self::Tokio { start, base } => time::after(*start, base.elapsed()),
        }
    }

    /// Moves a simulated clock; other clocks are not ours to move.
    pub(crate) fn advance(&self, by: Duration) -> Option<Timestamp> {
        let Self::Simulated(now) = self else { return None };
        let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = time::after(*now, by);
        Some(*now)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
fn wall() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_clock_moves_only_when_told() {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let clock = Clock::new(ClockMode::Simulated(start));
        assert_eq!(clock.now(), start);
        assert_eq!(clock.advance(Duration::from_secs(3600)).map(|at| at.as_second()), Some(1_800_003_600));
        assert_eq!(clock.now().as_second(), 1_800_003_600);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tokio_clock_follows_paused_time() {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let clock = Clock::new(ClockMode::Tokio(start));
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now().as_second(), 1_800_000_090);
        assert_eq!(clock.advance(Duration::from_secs(1)), None);
    }
}
