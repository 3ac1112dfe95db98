//! Who asked the data plane how often: constant rates over spans, from which any count follows by arithmetic.

use std::sync::Arc;

use jiff::Timestamp;

use crate::footprint::Footprint;
use crate::service::Service;

/// What a try looks like to the storage account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Look {
    /// `Authentication`.
    pub(crate) authentication: &'static str,
    /// `ResponseType`.
    pub(crate) response: &'static str,
}

/// One thing that somebody does over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) service: Service,
    /// What it is called in metrics, where it gets that far.
    pub(crate) api: &'static str,
    pub(crate) look: Look,
}

impl Use {
    /// `ApiName`. Source: MicrosoftDocs/azure-docs `articles/storage/blobs/monitor-blob-storage-reference.md`; that a
    /// refused request is `Unknown` is a design decision, for the calls that end early are.
    pub(crate) fn api_name(&self) -> &'static str {
        if self.look.response == "Success" { self.api } else { "Unknown" }
    }
}

/// Tries at a constant pace from `since` (the first one at that instant) until `until`, each use in its turn.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) uses: Arc<[Use]>,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) pace: Pace,
    /// What it leaves in logs.
    pub(crate) by: Arc<Footprint>,
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
        u64::try_from(self.before(since, to) - self.before(since, from)).unwrap_or(0)
    }

    /// Tries before `at` of a caller who began at `since`.
    fn before(self, since: Timestamp, at: Timestamp) -> i128 {
        let elapsed = (at.as_nanosecond() - since.as_nanosecond()).max(0);
        (elapsed + self.0 - 1) / self.0
    }
}

impl Segment {
    /// Tries of one use of this span, by its place, that fall into [`from`, `to`).
    pub(crate) fn tries(&self, place: usize, from: Timestamp, to: Timestamp) -> u64 {
        let (from, to) = (from.max(self.since), to.min(self.until));
        let (Ok(place), Ok(all)) = (i128::try_from(place), i128::try_from(self.uses.len())) else { return 0 };
        if from >= to || all == 0 {
            return 0;
        }
        let before = |at| (self.pace.before(self.since, at) + all - 1 - place) / all;
        u64::try_from(before(to) - before(from)).unwrap_or(0)
    }

    /// When the first and the last of these tries are.
    pub(crate) fn span(&self, place: usize, from: Timestamp, to: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let (from, to) = (from.max(self.since), to.min(self.until));
        let (place, all) = (i128::try_from(place).ok()?, i128::try_from(self.uses.len()).ok()?);
        let (begin, end) = (self.pace.before(self.since, from), self.pace.before(self.since, to));
        let first = begin + (place - begin).rem_euclid(all.max(1));
        let last = end - 1 - (end - 1 - place).rem_euclid(all.max(1));
        let at = |number: i128| Timestamp::from_nanosecond(self.since.as_nanosecond() + number * self.pace.0).ok();
        (from < to && first <= last).then(|| Some((at(first)?, at(last)?)))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn segment(uses: usize) -> Segment {
        let look = Look { authentication: "OAuth", response: "Success" };
        let one = Use { service: Service::Blob, api: "GetBlob", look };
        let pace = Pace::per_hour(360.0).unwrap();
        Segment { uses: vec![one; uses].into(), since: at(5), until: at(1000), pace, by: Arc::default() }
    }

    #[test]
    fn tries_of_adjoining_windows_add_up() {
        let segment = segment(1);
        assert_eq!(segment.tries(0, at(0), at(2000)), 100);
        let parts: u64 = (0..200).map(|part| segment.tries(0, at(part * 10), at(part * 10 + 10))).sum();
        assert_eq!(parts, 100);
    }

    #[test]
    fn the_first_and_last_tries_of_a_use_lie_where_it_is_counted() {
        let segment = segment(3);
        for (place, from, to) in [(0, 0, 2000), (1, 0, 2000), (2, 40, 400), (0, 6, 7), (1, 5, 16), (2, 990, 2000)] {
            let count = segment.tries(place, at(from), at(to));
            let span = segment.span(place, at(from), at(to));
            assert_eq!(span.is_some(), count > 0, "{place} {from} {to}");
            let Some((first, last)) = span else { continue };
            let just = |at: Timestamp| {
                segment.tries(place, at, at.saturating_add(jiff::SignedDuration::from_nanos(1)).unwrap())
            };
            assert_eq!((just(first), just(last)), (1, 1), "{place} {from} {to}");
            assert_eq!(
                segment.tries(place, at(from), first) + segment.tries(place, last, at(to)),
                u64::from(count > 0)
            );
        }
    }

    #[test]
    fn several_uses_take_turns_and_together_are_all_tries() {
        let segment = segment(3);
        let of = |place, from, to| segment.tries(place, at(from), at(to));
        assert_eq!([of(0, 0, 2000), of(1, 0, 2000), of(2, 0, 2000)], [34, 33, 33]);
        for (from, to) in [(0, 17), (5, 6), (40, 400), (990, 2000)] {
            let all: u64 = (0..3).map(|place| of(place, from, to)).sum();
            assert_eq!(all, segment.pace.tries(at(5), at(from).max(at(5)), at(to).min(at(1000))), "{from} to {to}");
        }
        assert_eq!(of(3, 0, 5), 0);
    }

    #[test]
    fn a_span_of_any_length_holds_at_least_one_try() {
        let pace = Pace::per_hour(1.0).unwrap();
        assert_eq!(pace.tries(at(0), at(0), at(1)), 1);
        assert_eq!(pace.tries(at(0), at(0), at(0)), 0);
        assert_eq!(Pace::per_hour(0.0), None);
    }
}
