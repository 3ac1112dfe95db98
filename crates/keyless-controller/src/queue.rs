//! Which account is passed over next: at most one pass for each at a time, triggers coalesced, a bounded number in flight.
//!
//! Accounts whose last pass failed may have half of the room, so that many that fail slowly do not starve the others.
//! A pure data structure: the time comes in, nothing sleeps here. [`crate::daemon`] turns it into a loop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keyless_core::id::StorageAccountId;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::time::Instant;

/// Why a pass runs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The account has just become known.
    Start,
    /// The files changed.
    Files,
    /// A write of its own: what it changed is to be seen.
    Written,
    /// A gate is due to open, or a wait is over.
    Due,
    /// The last pass failed.
    Retry,
    /// The regular interval.
    Interval,
}

impl Reason {
    /// The word in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Files => "files",
            Self::Written => "written",
            Self::Due => "due",
            Self::Retry => "retry",
            Self::Interval => "interval",
        }
    }
}

/// A pass that is to start.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Over which account.
    pub key: StorageAccountId,
    /// Why, first reason first.
    pub reasons: BTreeSet<Reason>,
}

type Ready = BTreeSet<(Instant, u64, StorageAccountId)>;

#[derive(Debug, Default)]
struct Entry {
    due: Option<(Instant, u64)>,
    reasons: BTreeSet<Reason>,
    running: bool,
    /// Whether the pass that is running takes room of the ailing.
    runs_ailing: bool,
    failures: u32,
    dropped: bool,
}

/// The accounts and when each is due.
#[derive(Debug)]
pub struct Queue {
    max_in_flight: usize,
    in_flight: usize,
    entries: BTreeMap<StorageAccountId, Entry>,
    /// How many of those in flight had failed before.
    ailing_in_flight: usize,
    /// The due ones that are not running, in the order in which they start.
    ready: Ready,
    /// Those of them that failed.
    ailing: Ready,
    sequence: u64,
    jitter: ChaCha8Rng,
}

impl Queue {
    /// An empty queue. `seed` decides the jitter.
    #[must_use]
    pub fn new(max_in_flight: usize, seed: u64) -> Self {
        Self {
            max_in_flight: max_in_flight.max(1),
            in_flight: 0,
            entries: BTreeMap::new(),
            ailing_in_flight: 0,
            ready: Ready::new(),
            ailing: Ready::new(),
            sequence: 0,
            jitter: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Asks for a pass at `at`. Several requests for one account become one pass at the earliest of their times.
    pub fn request(&mut self, key: &StorageAccountId, at: Instant, reason: Reason) {
        let entry = self.entries.entry(key.clone()).or_default();
        entry.dropped = false;
        entry.reasons.insert(reason);
        if entry.due.is_some_and(|(due, _)| due <= at) {
            return;
        }
        let ready = if entry.failures > 0 { &mut self.ailing } else { &mut self.ready };
        if let Some((due, sequence)) = entry.due {
            ready.remove(&(due, sequence, key.clone()));
        }
        entry.due = Some((at, self.sequence));
        if !entry.running {
            ready.insert((at, self.sequence, key.clone()));
        }
        self.sequence += 1;
    }

    /// The one that starts next, if there is room for it, and whether it is ailing.
    fn first(&self) -> Option<(&(Instant, u64, StorageAccountId), bool)> {
        if self.in_flight >= self.max_in_flight {
            return None;
        }
        let room = self.ailing_in_flight < self.max_in_flight.div_ceil(2);
        match (self.ready.first(), self.ailing.first().filter(|_| room)) {
            (Some(well), Some(ailing)) if ailing < well => Some((ailing, true)),
            (Some(well), _) => Some((well, false)),
            (None, ailing) => ailing.map(|ailing| (ailing, true)),
        }
    }

    /// The next pass that may start, if one is due and there is room. Whoever takes it calls [`Queue::done`] at its end.
    #[must_use]
    pub fn take(&mut self, now: Instant) -> Option<Start> {
        let (&(due, ..), ailing) = self.first()?;
        if due > now {
            return None;
        }
        let (_, _, key) = if ailing { self.ailing.pop_first()? } else { self.ready.pop_first()? };
        let entry = self.entries.get_mut(&key)?;
        entry.due = None;
        entry.running = true;
        entry.runs_ailing = ailing;
        self.in_flight += 1;
        self.ailing_in_flight += usize::from(ailing);
        Some(Start { key, reasons: std::mem::take(&mut entry.reasons) })
    }

    /// A pass is over. What was requested meanwhile may start now.
    pub fn done(&mut self, key: &StorageAccountId) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if !entry.running {
            return;
        }
        entry.running = false;
        self.in_flight -= 1;
        self.ailing_in_flight -= usize::from(std::mem::take(&mut entry.runs_ailing));
        if entry.dropped {
            self.entries.remove(key);
        } else if let Some((due, sequence)) = entry.due {
            let ready = if entry.failures > 0 { &mut self.ailing } else { &mut self.ready };
            ready.insert((due, sequence, key.clone()));
        }
    }

    /// Puts a pass that was taken off until `at`.
    pub fn postpone(&mut self, start: Start, at: Instant) {
        let Start { key, reasons } = start;
        self.done(&key);
        for reason in reasons {
            self.request(&key, at, reason);
        }
    }

    /// How long to wait after this account's last failure: doubling from a second up to `at_most`, less up to a quarter
    /// by chance, so that accounts that failed together do not come back together.
    pub fn backoff(&mut self, key: &StorageAccountId, at_most: Duration) -> Duration {
        let failures = self.entries.get(key).map_or(0, |entry| entry.failures);
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX).max(1);
        let wait = Duration::from_secs(1).saturating_mul(factor).min(at_most);
        self.spread(wait, 0.25)
    }

    /// Counts a failure of this account.
    pub fn failed(&mut self, key: &StorageAccountId) {
        let failures = self.entries.get(key).map_or(0, |entry| entry.failures);
        self.set_failures(key, failures.saturating_add(1));
    }

    /// Forgets the failures of this account.
    pub fn succeeded(&mut self, key: &StorageAccountId) {
        self.set_failures(key, 0);
    }

    fn set_failures(&mut self, key: &StorageAccountId, failures: u32) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let waiting = entry.due.filter(|_| !entry.running).map(|(due, sequence)| (due, sequence, key.clone()));
        if let Some(waiting) = waiting.filter(|_| (entry.failures > 0) != (failures > 0)) {
            let (from, to) = match failures {
                0 => (&mut self.ailing, &mut self.ready),
                _ => (&mut self.ready, &mut self.ailing),
            };
            from.remove(&waiting);
            to.insert(waiting);
        }
        entry.failures = failures;
    }

    /// `wait`, less up to `share` of it by chance: never later than asked for.
    pub fn spread(&mut self, wait: Duration, share: f64) -> Duration {
        wait.mul_f64(1.0 - share * self.jitter.random::<f64>())
    }

    /// Drops an account; a pass that is under way comes to its end.
    pub fn drop_key(&mut self, key: &StorageAccountId) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if let Some((due, sequence)) = entry.due.take() {
            let ready = if entry.failures > 0 { &mut self.ailing } else { &mut self.ready };
            ready.remove(&(due, sequence, key.clone()));
        }
        entry.reasons.clear();
        if entry.running {
            entry.dropped = true;
        } else {
            self.entries.remove(key);
        }
    }

    /// When the next pass is due, if there is room for one.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.first().map(|((due, _, _), _)| *due)
    }

    /// How many passes are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether it knows the account.
    #[must_use]
    pub fn knows(&self, key: &StorageAccountId) -> bool {
        self.entries.get(key).is_some_and(|entry| !entry.dropped)
    }

    /// The accounts it knows.
    pub fn keys(&self) -> impl Iterator<Item = &StorageAccountId> {
        self.entries.iter().filter(|(_, entry)| !entry.dropped).map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(n: u8) -> StorageAccountId {
        let group = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg";
        StorageAccountId::parse(&format!("{group}/providers/Microsoft.Storage/storageAccounts/account{n}")).unwrap()
    }

    #[test]
    fn requests_for_one_account_become_one_pass_at_the_earliest_time() {
        let start = Instant::now();
        let mut queue = Queue::new(8, 1);
        queue.request(&key(1), start + Duration::from_secs(9), Reason::Interval);
        queue.request(&key(1), start + Duration::from_secs(2), Reason::Files);
        queue.request(&key(1), start + Duration::from_secs(5), Reason::Due);
        assert_eq!(queue.take(start + Duration::from_secs(1)), None);
        let taken = queue.take(start + Duration::from_secs(2)).unwrap();
        assert_eq!(taken.reasons, BTreeSet::from([Reason::Files, Reason::Due, Reason::Interval]));
        queue.done(&key(1));
        assert_eq!(queue.take(start + Duration::from_secs(99)), None);
    }

    #[test]
    fn what_is_requested_during_a_pass_starts_after_it() {
        let start = Instant::now();
        let mut queue = Queue::new(8, 1);
        queue.request(&key(1), start, Reason::Start);
        assert!(queue.take(start).is_some());
        queue.request(&key(1), start, Reason::Files);
        assert_eq!(queue.take(start), None);
        queue.done(&key(1));
        assert_eq!(queue.take(start).map(|taken| taken.reasons), Some(BTreeSet::from([Reason::Files])));
    }

    #[test]
    fn backoff_grows_to_its_end_and_starts_over_after_a_success() {
        let mut queue = Queue::new(8, 1);
        let at_most = Duration::from_secs(60);
        queue.request(&key(1), Instant::now(), Reason::Start);
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            queue.failed(&key(1));
            let wait = queue.backoff(&key(1), at_most).as_secs_f64();
            assert!(
                (f64::from(expected) * 0.75..=f64::from(expected)).contains(&wait),
                "{wait} is not near {expected}"
            );
        }
        queue.succeeded(&key(1));
        queue.failed(&key(1));
        assert!(queue.backoff(&key(1), at_most) <= Duration::from_secs(1));
    }

    #[test]
    fn those_that_fail_get_half_of_the_room() {
        let start = Instant::now();
        let mut queue = Queue::new(4, 1);
        for n in 0..8 {
            queue.request(&key(n), start, Reason::Start);
            if n < 6 {
                queue.failed(&key(n));
            }
        }
        let taken = |queue: &mut Queue| queue.take(start).map(|start| start.key);
        let first: Vec<_> = std::iter::from_fn(|| taken(&mut queue)).collect();
        assert_eq!(first, [key(0), key(1), key(6), key(7)]);
        queue.done(&key(6));
        assert_eq!((taken(&mut queue), queue.next_due()), (None, None));
        queue.request(&key(6), start, Reason::Interval);
        queue.done(&key(0));
        // Six was asked for after two.
        assert_eq!((taken(&mut queue), taken(&mut queue)), (Some(key(2)), Some(key(6))));
        // One recovers.
        queue.done(&key(7));
        queue.succeeded(&key(5));
        assert_eq!(taken(&mut queue), Some(key(5)));
    }

    #[test]
    fn a_pass_that_is_postponed_keeps_its_reasons_and_takes_no_room() {
        let start = Instant::now();
        let mut queue = Queue::new(1, 1);
        queue.request(&key(1), start, Reason::Files);
        queue.request(&key(1), start, Reason::Interval);
        let later = start + Duration::from_secs(30);
        let taken = queue.take(start).unwrap();
        queue.postpone(taken, later);
        queue.request(&key(2), start, Reason::Start);
        assert_eq!(queue.take(start).map(|taken| taken.key), Some(key(2)));
        queue.done(&key(2));
        assert_eq!((queue.take(start), queue.next_due()), (None, Some(later)));
        assert_eq!(queue.take(later).unwrap().reasons, BTreeSet::from([Reason::Files, Reason::Interval]));
    }

    #[derive(Debug, Clone)]
    enum Op {
        Request(u8, u64),
        Take,
        Done(usize),
        Drop(u8),
        Pass(u64),
        Fail(u8, bool),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..6_u8, 0..20_u64).prop_map(|(key, after)| Op::Request(key, after)),
            4 => Just(Op::Take),
            3 => (0..8_usize).prop_map(Op::Done),
            1 => (0..6_u8).prop_map(Op::Drop),
            2 => (0..10_u64).prop_map(Op::Pass),
            2 => (0..6_u8, any::<bool>()).prop_map(|(key, failed)| Op::Fail(key, failed)),
        ]
    }

    proptest! {
        #[test]
        fn never_two_passes_for_one_account_nothing_lost_and_bounded(
            limit in 1..4_usize,
            ops in proptest::collection::vec(op(), 0..200),
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut queue = Queue::new(limit, 7);
            let mut running: Vec<StorageAccountId> = Vec::new();
            let mut owed: BTreeMap<StorageAccountId, Instant> = BTreeMap::new();
            let mut ailing: BTreeSet<StorageAccountId> = BTreeSet::new();
            let mut ailing_running: BTreeSet<StorageAccountId> = BTreeSet::new();
            for op in ops {
                match op {
                    Op::Request(n, after) => {
                        let at = now + Duration::from_secs(after);
                        queue.request(&key(n), at, Reason::Due);
                        owed.entry(key(n)).and_modify(|due| *due = (*due).min(at)).or_insert(at);
                    }
                    Op::Take => match queue.take(now) {
                        Some(taken) => {
                            prop_assert!(!running.contains(&taken.key), "two passes for {}", taken.key.name());
                            prop_assert!(owed.remove(&taken.key).is_some_and(|due| due <= now), "nobody asked");
                            if ailing.contains(&taken.key) {
                                ailing_running.insert(taken.key.clone());
                            }
                            running.push(taken.key);
                            prop_assert!(running.len() <= limit);
                            prop_assert!(ailing_running.len() <= limit.div_ceil(2));
                        }
                        None => {
                            let room = ailing_running.len() < limit.div_ceil(2);
                            let may = |key: &StorageAccountId| !running.contains(key) && (room || !ailing.contains(key));
                            let idle = owed.iter().any(|(key, due)| *due <= now && may(key));
                            prop_assert!(running.len() == limit || !idle, "a due pass did not start");
                        }
                    },
                    Op::Done(n) if n < running.len() => {
                        let key = running.remove(n);
                        queue.done(&key);
                        ailing_running.remove(&key);
                        if !queue.knows(&key) {
                            ailing.remove(&key);
                        }
                    }
                    Op::Done(_) => {}
                    Op::Drop(n) => {
                        queue.drop_key(&key(n));
                        owed.remove(&key(n));
                        // Nothing is known of it any more, unless its pass still runs.
                        if !running.contains(&key(n)) {
                            ailing.remove(&key(n));
                        }
                    }
                    Op::Fail(n, _) if !queue.knows(&key(n)) => {}
                    Op::Fail(n, true) => {
                        queue.failed(&key(n));
                        ailing.insert(key(n));
                    }
                    Op::Fail(n, false) => {
                        queue.succeeded(&key(n));
                        ailing.remove(&key(n));
                    }
                    Op::Pass(seconds) => now += Duration::from_secs(seconds),
                }
                prop_assert_eq!(queue.in_flight(), running.len());
            }
            // Whatever is still owed comes in the end, in the order of its due times.
            for key in running.drain(..) {
                queue.done(&key);
            }
            now += Duration::from_secs(1000);
            let mut last = start;
            while let Some(taken) = queue.take(now) {
                let due = owed.remove(&taken.key).unwrap();
                prop_assert!(due >= last);
                last = due;
                queue.done(&taken.key);
            }
            prop_assert!(owed.is_empty(), "lost: {owed:?}");
        }
    }
}
