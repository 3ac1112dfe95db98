//! Plans out of the record of an undisturbed run; none is written by hand.

use std::collections::BTreeMap;

use super::plan::{Disturbance, Moment, Older, Plan, Span};
use super::tamper::Reads;
use super::workload::Workload;
use crate::dst::dice::Dice;

/// How many pairs of a workload are run at most; more are drawn from. Only the longest story has more.
pub(crate) const PAIRS: usize = 30_000;

/// What there is to run, and how much was left out why.
#[derive(Debug, Default)]
pub(crate) struct Generated {
    pub(crate) plans: Vec<Plan>,
    pub(crate) pruned: BTreeMap<&'static str, usize>,
}

impl Generated {
    fn prune(&mut self, why: &'static str, count: usize) {
        if count > 0 {
            *self.pruned.entry(why).or_default() += count;
        }
    }
}

/// Every single disturbance, with the place of each in the order of the run.
pub(crate) fn singles(workload: &Workload, writes: usize, reads: &Reads) -> Generated {
    let mut made = Generated::default();
    let mut all = Vec::new();
    for write in 1..=writes {
        for moment in [Moment::Before, Moment::Unanswered, Moment::Answered] {
            all.push(Disturbance::Crash { write, moment });
        }
    }
    for (number, read) in reads.all.iter().enumerate() {
        let older = reads.older(read);
        let mut chosen = Vec::new();
        if let Some((last, others)) = older.split_last() {
            chosen.push(Older::Previous);
            if others.is_empty() {
                made.prune("the first answer is the previous one", 1);
            } else {
                chosen.push(Older::First);
            }
            let between = others.get(1..).unwrap_or_default();
            if is_list(&read.address) {
                chosen.extend(between.iter().filter(|place| *place != last).map(|place| Older::Number(*place)));
            }
        } else {
            made.prune("a read that was never answered otherwise before", 2);
        }
        all.extend(chosen.into_iter().map(|older| Disturbance::Stale { read: number + 1, older }));
    }
    let count = workload.events.len();
    for change in 1..=count {
        all.extend([1, 3].map(|looks| Disturbance::Missed { change, span: Span::Looks(looks) }));
        if change < count {
            all.push(Disturbance::Missed { change, span: Span::Next });
        } else {
            made.prune("no change comes after the last one to cancel it", 1);
        }
    }
    made.plans = all.into_iter().map(|one| Plan(vec![one])).collect();
    made
}

/// Every pair of two singles that can both come about.
pub(crate) fn pairs(singles: &Generated, seed: u64) -> Generated {
    let mut made = Generated::default();
    let all: Vec<Disturbance> = singles.plans.iter().filter_map(|plan| plan.0.first().copied()).collect();
    for (place, one) in all.iter().enumerate() {
        for other in all.iter().skip(place + 1) {
            if same_place(*one, *other) {
                made.prune("both are about the same request or change", 1);
            } else {
                made.plans.push(Plan(vec![*one, *other]));
            }
        }
    }
    if made.plans.len() > PAIRS {
        made.prune("not drawn", made.plans.len() - PAIRS);
        let mut dice = Dice::of(seed, "pairs");
        // The front part of a shuffle, and then in order again.
        let mut places: Vec<usize> = (0..made.plans.len()).collect();
        for at in 0..PAIRS {
            let last = places.len() - 1;
            let with = dice.between(at as u64, last as u64);
            places.swap(at, usize::try_from(with).unwrap_or(at));
        }
        places.truncate(PAIRS);
        places.sort_unstable();
        made.plans = places.into_iter().filter_map(|place| made.plans.get(place).cloned()).collect();
    }
    made
}

fn same_place(one: Disturbance, other: Disturbance) -> bool {
    match (one, other) {
        (Disturbance::Crash { write, .. }, Disturbance::Crash { write: also, .. }) => write == also,
        (Disturbance::Stale { read, .. }, Disturbance::Stale { read: also, .. }) => read == also,
        (Disturbance::Missed { change, .. }, Disturbance::Missed { change: also, .. }) => change == also,
        _ => false,
    }
}

/// Whether what is asked for is a list: its last name is that of a kind, not of a thing.
fn is_list(address: &str) -> bool {
    const KINDS: [&str; 12] = [
        "/workspaces",
        "/datastores",
        "/computes",
        "/jobs",
        "/resources",
        "/roleassignments",
        "/roleeligibilityscheduleinstances",
        "/denyassignments",
        "/locks",
        "/permissions",
        "/policyassignments",
        "/policyexemptions",
    ];
    let path = address.split(['?', ' ']).nth(1).unwrap_or_default();
    KINDS.iter().any(|kind| path.ends_with(kind))
}
