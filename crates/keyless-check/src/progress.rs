//! How far a long run is, now and then, for who waits for it.

use std::time::{Duration, Instant};

use keyless_check::say;

/// How often it is told.
const EVERY: Duration = Duration::from_secs(60);

/// Tells on standard error how far a run is, about once a minute.
pub(crate) struct Progress {
    what: &'static str,
    all: u64,
    began: Instant,
    told: Instant,
}

impl Progress {
    /// Begins a run of so many of `what`.
    pub(crate) fn of(what: &'static str, all: u64) -> Self {
        let began = Instant::now();
        Self { what, all, began, told: began }
    }

    /// So many are done, of which so many failed.
    pub(crate) fn tell(&mut self, done: u64, failed: usize) {
        if self.told.elapsed() < EVERY {
            return;
        }
        self.told = Instant::now();
        say::aside(format_args!("{}", self.line(done, failed, self.began.elapsed())));
    }

    fn line(&self, done: u64, failed: usize, took: Duration) -> String {
        let Self { what, all, .. } = self;
        let rate = done as f64 / took.as_secs_f64().max(0.001);
        format!("{done} of {all} {what} after {} s, {rate:.1} a second, {failed} failed", took.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_and_how_fast() {
        let line = Progress::of("seeds", 20_000).line(900, 1, Duration::from_secs(60));
        assert_eq!(line, "900 of 20000 seeds after 60 s, 15.0 a second, 1 failed");
    }
}
