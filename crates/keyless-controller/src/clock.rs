//! The server's time between answers: the `Date` of an answer plus what has passed since on the process's own monotonic
//! clock. No single answer is trusted with it, for one wrong `Date` would open every gate that waits.
//!
//! Ages are measured in the server's time, because Azure's answers tell when things were made. A wait that begins and ends
//! in this process is counted on its own clock ([`end_of`]), and only told in the server's time. Nothing here reads a wall
//! clock.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// `Date` headers are cut to whole seconds, so the server may be this much further.
pub(crate) const DATE_GRAIN: SignedDuration = SignedDuration::from_secs(1);

/// So many answers in a row have to tell a later time before it is believed. Design decision: a server in many whose clock
/// is wrong, or an answer without a `Date`, must not make every grant old enough; and a pass asks about as often.
const AGREED: usize = 8;

/// What the process knows of the server's clock.
#[derive(Debug, Default)]
pub struct ServerClock {
    /// The latest answers, the last of them at the end: what each told, and when it came.
    answers: Mutex<VecDeque<(Timestamp, Instant)>>,
}

impl ServerClock {
    /// Takes note of an answer's `Date`.
    pub fn saw(&self, at: Timestamp) {
        let mut answers = self.answers();
        if answers.len() == AGREED {
            answers.pop_front();
        }
        answers.push_back((at, Instant::now()));
    }

    fn answers(&self) -> MutexGuard<'_, VecDeque<(Timestamp, Instant)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each of the latest answers says that the time is now, in order.
    fn told(&self) -> Vec<Timestamp> {
        let mut told: Vec<Timestamp> = self.answers().iter().map(|(at, seen)| later(*at, seen.elapsed())).collect();
        told.sort_unstable();
        told
    }

    /// The server's time in the latest answer: never ahead of the server, so ages are measured against it.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        let at = self.answers().back()?.0;
        Some(self.believed(at))
    }

    /// What is believed of an answer that told `at`: nothing later than what any of the latest ones allows for.
    fn believed(&self, at: Timestamp) -> Timestamp {
        match self.told().first() {
            Some(&least) if at.duration_since(least) >= DATE_GRAIN => least,
            _ => at,
        }
    }

    /// The server's time now, by the estimate in the middle of the latest: what the end of a rest is told by, and what ends by
    /// itself is judged by.
    /// `None` until an answer has been seen.
    #[must_use]
    pub fn now(&self) -> Option<Timestamp> {
        let told = self.told();
        told.get(told.len() / 2).copied()
    }
}

/// `at` plus `wait`; the end of time if that is out of range, so that a wait is never cut short.
pub(crate) fn later(at: Timestamp, wait: std::time::Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| at.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}

/// `from` plus `wait` on this process's own clock, which no `Date` moves; a lifetime later if that is out of range.
pub(crate) fn end_of(from: Instant, wait: std::time::Duration) -> Instant {
    const LIFETIME: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 24 * 60 * 60);
    from.checked_add(wait.min(LIFETIME)).unwrap_or(from)
}

/// `at` minus `wait`; the beginning of time if that is out of range.
pub(crate) fn earlier(at: Timestamp, wait: std::time::Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| at.checked_sub(wait).ok()).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_that_is_ahead_is_not_believed() {
        let clock = ServerClock::default();
        for second in 0..20 {
            let wrong = if second % 5 == 3 { 43_200 } else { 0 };
            clock.saw(at(second + wrong));
            assert_eq!(clock.last(), Some(at(second)), "an age would be too great");
            assert_eq!(clock.now(), Some(at(second)), "a rest would take half a day");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_not_cut_short_by_one_answer_that_is_behind() {
        let clock = ServerClock::default();
        for second in 0..3 {
            clock.saw(at(second));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        clock.saw(at(3 - 180));
        assert_eq!(clock.now(), Some(at(3)));
        assert_eq!(clock.last(), Some(at(3 - 180)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_never_ends_lasts_a_lifetime() {
        let from = Instant::now();
        for wait in [Duration::MAX, Duration::from_secs(3_153_600_001)] {
            assert_eq!(end_of(from, wait) - from, Duration::from_secs(3_153_600_000));
        }
        assert_eq!(end_of(from, Duration::from_secs(7)) - from, Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_forward_is_believed_once_the_answers_agree() {
        let clock = ServerClock::default();
        for _ in 0..AGREED {
            clock.saw(at(0));
        }
        for _ in 1..AGREED {
            clock.saw(at(600));
            assert_eq!(clock.last(), Some(at(0)));
        }
        clock.saw(at(600));
        assert_eq!(clock.last(), Some(at(600)));
        assert_eq!(clock.now(), Some(at(600)));
    }

    #[tokio::test(start_paused = true)]
    async fn whole_seconds_and_slow_answers_are_no_difference() {
        let clock = ServerClock::default();
        assert_eq!((clock.last(), clock.now()), (None, None));
        for tenths in 0..40 {
            clock.saw(at(tenths / 10));
            assert_eq!(clock.last(), Some(at(tenths / 10)));
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    }
}
