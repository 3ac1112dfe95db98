//! Sums over a part of the record of requests.

use std::collections::BTreeMap;
use std::time::Duration;

use super::floor::count;
use super::kind::kind;
use super::told::Pass;
use crate::dst::judge::Judge;
use crate::dst::record::{End, Entry};

/// What a part of a run asked of the cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) requests: u64,
    pub(crate) writes: u64,
    /// Answers 429.
    pub(crate) refused: u64,
    /// Bytes of the bodies of answers.
    pub(crate) received: u64,
    /// How many requests of each kind.
    pub(crate) kinds: BTreeMap<String, u64>,
    /// How many writes of each step.
    pub(crate) steps: BTreeMap<&'static str, u64>,
}

impl Sum {
    pub(crate) fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut sum = Self::default();
        for entry in entries {
            sum.add(entry);
        }
        sum
    }

    fn add(&mut self, entry: &Entry) {
        self.requests += 1;
        self.refused += u64::from(entry.status == 429);
        self.received += count(entry.received);
        *self.kinds.entry(kind(entry)).or_default() += 1;
        if let Some(what) = &entry.what {
            self.writes += 1;
            *self.steps.entry(what.word()).or_default() += 1;
        }
    }

    fn join(&mut self, other: Self) {
        let Self { requests, writes, refused, received, kinds, steps } = other;
        self.requests += requests;
        self.writes += writes;
        self.refused += refused;
        self.received += received;
        for (kind, requests) in kinds {
            *self.kinds.entry(kind).or_default() += requests;
        }
        for (step, writes) in steps {
            *self.steps.entry(step).or_default() += writes;
        }
    }

    /// How many requests have such a path.
    pub(crate) fn like(&self, part: &str) -> u64 {
        self.kinds.iter().filter(|(kind, _)| kind.contains(part)).map(|(_, requests)| requests).sum()
    }
}

/// Requests by what they were made for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shares {
    /// Of passes that wrote, and of those that looked at what had been written.
    pub(crate) work: Sum,
    /// Of passes that found nothing to do yet.
    pub(crate) waiting: Sum,
    /// The accounts of those passes, with how many there were.
    pub(crate) waits: BTreeMap<String, u64>,
    /// Of no pass: looks over the fleet, tokens, whatever is of no account.
    pub(crate) others: Sum,
}

impl Shares {
    /// Sorts requests by the passes in which they left.
    pub(crate) fn of(judge: &Judge, entries: &[Entry], passes: &BTreeMap<String, Vec<Pass>>) -> Self {
        let mut shares = Self::default();
        let mut by_pass: BTreeMap<(&str, usize), Sum> = BTreeMap::new();
        // An operation is followed at an address that does not tell what it is about.
        let begun = entries.iter().filter_map(|entry| Some((entry.poll.as_ref()?, judge.account_of(&entry.path)?)));
        let polls: BTreeMap<&String, String> = begun.collect();
        for entry in entries {
            let account = judge.account_of(&entry.path).or_else(|| polls.get(&entry.path).cloned());
            let found = account.and_then(|account| passes.get_key_value(&account));
            let pass = found.and_then(|(account, passes)| {
                let at = at(passes, entry.since);
                passes.get(at).filter(|pass| pass.from <= entry.since).map(|_| (account.as_str(), at))
            });
            let sum = match pass {
                Some(pass) => by_pass.entry(pass).or_default(),
                None => &mut shares.others,
            };
            sum.add(entry);
        }
        for ((account, at), sum) in by_pass {
            let looks_back = passes.get(account).and_then(|all| all.get(at)).is_some_and(|pass| pass.looks_back);
            if sum.writes > 0 || looks_back {
                shares.work.join(sum);
            } else {
                shares.waiting.join(sum);
                *shares.waits.entry(account.to_owned()).or_default() += 1;
            }
        }
        shares
    }
}

/// How fresh was what writes rest on, one span for each.
#[derive(Debug, Default)]
pub(crate) struct Confirmed {
    /// From the last answer about the account until the write left.
    pub(crate) sends: Vec<Duration>,
    /// From the moment in which the cloud gave that answer until the write reached it.
    pub(crate) effects: Vec<Duration>,
    /// From the start of its pass until the write left.
    pub(crate) passes: Vec<Duration>,
}

impl Confirmed {
    pub(crate) fn of(judge: &Judge, entries: &[Entry], passes: &BTreeMap<String, Vec<Pass>>) -> Self {
        let mut confirmed = Self::default();
        for write in entries.iter().filter(|entry| entry.what.is_some()) {
            let Some(account) = judge.account_of(&write.path) else { continue };
            let pass = passes.get(&account).and_then(|all| all.get(at(all, write.since)));
            let Some(pass) = pass.filter(|pass| pass.from <= write.since) else { continue };
            confirmed.passes.push(write.since - pass.from);
            let known = judge.record.known_to(write, pass.from);
            let of_account = known.filter(|read| judge.account_of(&read.path).as_ref() == Some(&account));
            let Some(last) = of_account.max_by_key(|read| read.ended) else { continue };
            confirmed.sends.extend(last.ended.map(|ended| write.since.saturating_sub(ended)));
            if let (Some(read), Some(wrote)) = (last.arrived, write.arrived) {
                confirmed.effects.push(Duration::try_from(wrote.duration_since(read)).unwrap_or_default());
            }
        }
        confirmed
    }
}

/// The place of the pass in which something left. What leaves in the moment in which one ends belongs to the next.
fn at(passes: &[Pass], since: Duration) -> usize {
    passes.partition_point(|pass| pass.to <= since)
}

/// Whether every request of these has come to its end.
pub(crate) fn is_over(entries: &[Entry]) -> bool {
    entries.iter().all(|entry| entry.end != End::Open)
}

/// The middle, the 99th of a hundred and the last of some spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spans {
    pub(crate) count: usize,
    pub(crate) middle: Duration,
    pub(crate) late: Duration,
    pub(crate) most: Duration,
}

impl Spans {
    /// `None` of none.
    pub(crate) fn of(mut spans: Vec<Duration>) -> Option<Self> {
        spans.sort_unstable();
        let at = |percent: usize| spans.get((spans.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { count: spans.len(), middle: at(50)?, late: at(99)?, most: at(100)? })
    }
}

impl std::fmt::Display for Spans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, middle, late, most } = self;
        let seconds = Duration::as_secs_f64;
        let (middle, late, most) = (seconds(middle), seconds(late), seconds(most));
        write!(f, "p50 {middle:.2} s, p99 {late:.2} s, max {most:.2} s of {count}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_of_a_hundred_is_not_the_last() {
        let spans = Spans::of((1..=100).rev().map(Duration::from_secs).collect()).unwrap();
        let seconds = Duration::from_secs;
        assert_eq!(spans, Spans { count: 100, middle: seconds(50), late: seconds(99), most: seconds(100) });
        let one = Spans::of(vec![seconds(7)]).unwrap();
        assert_eq!((one.middle, one.late, one.most), (seconds(7), seconds(7), seconds(7)));
        assert_eq!(Spans::of(Vec::new()), None);
    }
}
