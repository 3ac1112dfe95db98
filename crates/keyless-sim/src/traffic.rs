//! Who asked the data plane how often: constant rates over spans, from which any count follows by arithmetic.

use jiff::Timestamp;

/// What a try looks like to the storage account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Look {
    /// `Authentication`.
    pub(crate) authentication: &'static str,
    /// `ResponseType`.
    pub(crate) response: &'static str,
}

/// Tries at a constant pace from `since` (the first one at that instant) until `until`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) look: Look,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) pace: Pace,
}

/// The span between two tries, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace(i128);

impl Pace {
    pub(crate) fn per_hour(tries: f64) -> Option<Self> {
        let span = 3_600e9 / tries;
        (span.is_finite() && tries > 0.0).then(|| Self((span as i128).max(1)))
    }

    /// Tries in [`from`, `to`) of a caller who began at `since`.
    pub(crate) fn tries(self, since: Timestamp, from: Timestamp, to: Timestamp) -> u64 {
        let before = |at: Timestamp| {
            let elapsed = (at.as_nanosecond() - since.as_nanosecond()).max(0);
            (elapsed + self.0 - 1) / self.0
        };
        u64::try_from(before(to) - before(from)).unwrap_or(0)
    }
}

impl Segment {
    /// Tries of this span that fall into [`from`, `to`).
    pub(crate) fn tries(&self, from: Timestamp, to: Timestamp) -> u64 {
        let (from, to) = (from.max(self.since), to.min(self.until));
        if from < to { self.pace.tries(self.since, from, to) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn tries_of_adjoining_windows_add_up() {
        let segment = Segment {
            look: Look { authentication: "OAuth", response: "Success" },
            since: at(5),
            until: at(1000),
            pace: Pace::per_hour(360.0).unwrap(),
        };
        assert_eq!(segment.tries(at(0), at(2000)), 100);
        let parts: u64 = (0..200).map(|part| segment.tries(at(part * 10), at(part * 10 + 10))).sum();
        assert_eq!(parts, 100);
    }

    #[test]
    fn a_span_of_any_length_holds_at_least_one_try() {
        let pace = Pace::per_hour(1.0).unwrap();
        assert_eq!(pace.tries(at(0), at(0), at(1)), 1);
        assert_eq!(pace.tries(at(0), at(0), at(0)), 0);
        assert_eq!(Pace::per_hour(0.0), None);
    }
}
