//! What a path is proved by, beside that it is there: its age, and reads that agree on it.
//!
//! Created is not effective. A grant counts once it is old enough for its path and `agreeingReads` reads, spread over
//! half of `rolePropagation`, have all shown it; one that does not begins the count anew.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::desired::Waits;
use crate::observed::{Agreement, Observed, Shown};

/// After so many times `rolePropagation` a grant needs no repeated reads: two hours as a rule. What was written that long
/// ago has reached every replica of a list, so the read at hand is all there is to know, and the longest public report of
/// a grant that did not work yet is of a little more than one hour. So a fleet that is settled costs no pass after a
/// restart. Design decision; source of the report: <https://github.com/hashicorp/terraform-provider-azurerm/issues/11434>.
const SETTLED_AFTER: u32 = 8;

/// What a cover waits for, or waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// When it is old enough, where Azure tells its age.
    pub aged_at: Option<Timestamp>,
    /// How many reads have agreed.
    pub reads: u32,
    /// How many have to; 0 where it is so old that none is asked for.
    pub of: u32,
}

impl Evidence {
    /// The words for a gate that waits at `now`.
    #[must_use]
    pub fn told(&self, now: Timestamp) -> Told {
        Told(*self, now)
    }
}

/// Evidence as it stands at a moment, for people.
#[derive(Debug, Clone, Copy)]
pub struct Told(Evidence, Timestamp);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Evidence { aged_at, reads, of }, now) = self;
        match aged_at {
            Some(at) if at > now => write!(f, "old enough at {at}")?,
            Some(_) => f.write_str("old enough")?,
            None => f.write_str("of unknown age")?,
        }
        if *of == 0 { Ok(()) } else { write!(f, ", {reads} of {of} reads agree") }
    }
}

impl Waits {
    /// How far apart reads have to be to count one by one. Passes come once per interval, so this leaves room for all of
    /// them within `rolePropagation`: who sees a grant from its beginning waits no longer for reads than for its age.
    #[must_use]
    pub fn reads_apart(&self) -> Duration {
        self.role_propagation / self.agreeing_reads.max(1).saturating_mul(2)
    }

    /// How far the last of them has to be from the first.
    fn reads_spread(&self) -> Duration {
        if self.agreeing_reads > 1 { self.role_propagation / 2 } else { Duration::ZERO }
    }

    /// Whether reads of something young prove it: enough of them, and spread far enough.
    #[must_use]
    pub fn are_met_by(&self, agreement: &Agreement) -> bool {
        agreement.reads >= self.agreeing_reads.max(1) && agreement.last >= after(agreement.first, self.reads_spread())
    }

    /// How old a grant is when repeated reads of it prove nothing more.
    #[must_use]
    pub fn settled_after(&self) -> Duration {
        self.role_propagation.saturating_mul(SETTLED_AFTER)
    }
}

/// When reads prove all of `shown`, and how many of how many have so far; nothing where all of it is of old.
pub(super) fn agreed(
    shown: impl IntoIterator<Item = Shown>,
    observed: &Observed,
    waits: &Waits,
) -> Option<(Timestamp, u32, u32)> {
    let (now, of) = (observed.now, waits.agreeing_reads.max(1));
    let mut found: Option<(Timestamp, u32)> = None;
    for shown in shown {
        // Not remembered means seen just now, for the first time.
        let agreement = observed.history.agreements.get(&shown).copied().unwrap_or_else(|| Agreement::begun(now));
        let since = match shown {
            Shown::Assignment { made, .. } => made,
            Shown::Member { .. } => agreement.first,
        };
        let settled_at = after(since, waits.settled_after());
        if settled_at <= now {
            continue;
        }
        let at = agreed_at(agreement, waits, now).min(settled_at);
        // The last one counts when it is far enough from the first.
        let most = if at > now { of.saturating_sub(1) } else { of };
        let reads = agreement.reads.min(most);
        found = Some(found.map_or((at, reads), |(latest, fewest)| (latest.max(at), fewest.min(reads))));
    }
    found.map(|(at, reads)| (at, reads, of))
}

fn agreed_at(agreement: Agreement, waits: &Waits, now: Timestamp) -> Timestamp {
    let Agreement { first, last, reads } = agreement;
    let (of, apart) = (waits.agreeing_reads.max(1), waits.reads_apart());
    let spread = after(first, waits.reads_spread());
    if waits.are_met_by(&agreement) {
        return last;
    }
    let counted = after(last, apart.saturating_mul(of.saturating_sub(reads).max(1)));
    // It takes one more read, which has not come yet.
    let next = now.saturating_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
    counted.max(spread).max(next)
}

/// `start` plus `wait`; the end of time if that is out of range, so that a wait is never cut short.
fn after(start: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| start.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::PrincipalId;

    const APART: Duration = Duration::from_secs(300);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn row(first: i64, last: i64, reads: u32) -> Agreement {
        Agreement { first: at(first), last: at(last), reads }
    }

    #[test]
    fn reads_count_only_when_they_are_apart() {
        let mut agreement = Agreement::begun(at(0));
        for (second, reads) in [(1, 1), (299, 1), (300, 2), (300, 2), (599, 2), (0, 2), (601, 3)] {
            agreement.seen_again(at(second), APART);
            assert_eq!(agreement.reads, reads, "{second}");
        }
        assert_eq!(agreement, row(0, 601, 3));
    }

    #[test]
    fn what_is_missing_is_waited_for_and_never_reckoned_as_read() {
        // Three reads, 150 s apart and 450 s from the first to the last.
        let waits = Waits { agreeing_reads: 3, ..Waits::default() };
        for (agreement, now, expected) in [
            (row(0, 0, 1), 0, 450),
            (row(0, 300, 2), 310, 450),
            (row(0, 400, 2), 410, 550),
            (row(0, 450, 3), 460, 450),
            // Time went by without a read.
            (row(0, 300, 2), 700, 701),
            // Enough, and all of them soon after the first.
            (row(0, 300, 3), 310, 450),
            (row(0, 10, 9), 800, 801),
        ] {
            assert_eq!(agreed_at(agreement, &waits, at(now)), at(expected), "{agreement:?} at {now}");
        }
        let one = Waits { agreeing_reads: 1, ..Waits::default() };
        assert_eq!(agreed_at(row(5, 5, 1), &one, at(5)), at(5), "one read is the read at hand");
    }

    #[test]
    fn until_reads_agree_the_last_of_them_is_still_to_come() {
        let account = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers\
                       /Microsoft.Storage/storageAccounts/stml";
        let mut observed = Observed::unread(account.parse().unwrap(), at(0));
        let [principal, group] = [1, 2].map(|n| PrincipalId(Uuid::from_u128(n)));
        let shown = Shown::Member { principal, group };
        // Two reads, 225 s apart and 450 s from the first to the last.
        for (last, agrees_at, reads) in [(450, 450, 2), (300, 525, 1)] {
            observed.now = at(last);
            observed.history.agreements.insert(shown.clone(), row(0, last, 2));
            let found = agreed([shown.clone()], &observed, &Waits::default());
            assert_eq!(found, Some((at(agrees_at), reads, 2)), "{last}");
        }
    }

    #[test]
    fn evidence_says_since_or_from_when_it_is_old_enough_and_how_many_reads_agree() {
        let told = |aged_at, reads, of| Evidence { aged_at, reads, of }.told(at(10)).to_string();
        assert_eq!(told(Some(at(11)), 1, 2), format!("old enough at {}, 1 of 2 reads agree", at(11)));
        assert_eq!(told(Some(at(10)), 2, 2), "old enough, 2 of 2 reads agree");
        assert_eq!(told(None, 0, 0), "of unknown age");
    }

    #[test]
    fn reads_of_every_minute_are_enough_before_the_age_is() {
        for agreeing_reads in 1..=10 {
            let waits = Waits { agreeing_reads, ..Waits::default() };
            let mut row = Agreement::begun(at(0));
            for minute in 1..=14 {
                row.seen_again(at(minute * 60), waits.reads_apart());
            }
            assert!(agreed_at(row, &waits, at(850)) <= at(850), "{agreeing_reads}: {row:?}");
        }
    }
}
