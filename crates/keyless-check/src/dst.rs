//! Deterministic simulation: the shipped controller and the shipped client on paused time, over the simulated cloud in
//! process, with everything drawn from one seed.
//!
//! A run has two parts. First things go wrong: requests and answers are lost, writes land late, others change things, the
//! files change their mind, the process dies and comes back; [`judge`] holds that nothing is done that must not be. Then
//! nothing goes wrong any more, and the world has to come to what the files ask, and stay there without a write.
//!
//! Seeds run twice (all of few, some of many), and both runs have to be the same to the last byte and millisecond.

pub(crate) mod aims;
pub(crate) mod dice;
pub(crate) mod draw;
pub(crate) mod fleet;
pub(crate) mod foreign;
mod incidents;
pub(crate) mod judge;
pub(crate) mod life;
mod losses;
pub(crate) mod others;
pub(crate) mod record;
mod run;
pub(crate) mod truth;
pub(crate) mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use keyless_check::numbers::numbers;
use keyless_check::say;
use keyless_core::ablate::Ablation;

use crate::progress::Progress;
use draw::Draw;
use run::{Outcome, once};

/// How many of the last writes and incidents are told of a seed that fails.
const TOLD: usize = 40;

/// What is run.
pub(crate) struct Options {
    /// The first seed.
    pub(crate) from: u64,
    /// How many seeds.
    pub(crate) seeds: u64,
    /// Every so-manieth seed of them, and which.
    pub(crate) shard: Shard,
    /// After how much of the machine's time no further seed is begun.
    pub(crate) limit: Duration,
    /// The rules that are taken away.
    pub(crate) gone: BTreeSet<Ablation>,
    /// Whether everything that happens is told.
    pub(crate) told: bool,
    /// Whether nothing goes wrong.
    pub(crate) quiet: bool,
    /// Every so-manieth seed runs twice, to the same hash.
    pub(crate) again: u64,
}

impl Options {
    /// The seeds of the part.
    fn numbers(&self) -> anyhow::Result<impl Iterator<Item = u64>> {
        let Shard { part, of } = self.shard;
        Ok(numbers(self.from, self.seeds)?.filter(move |seed| seed % of == part - 1))
    }
}

/// So many seeds reach all of [`reach`]; fewer need not.
const ENOUGH: u64 = 2_000;

/// What has to happen in some seed of enough.
fn reach() -> Vec<String> {
    let steps = ["grant", "revoke", "to identity", "to accesskey", "key on", "key off", "datastore", "keys taken"];
    let drifts = [
        "AuthMode",
        "SharedKey",
        "GrantRemoved",
        "GrantAdded",
        "WorkspaceAdded",
        "WorkspaceRemoved",
        "KeyUserStarted",
        "LockAdded",
        "LockRemoved",
        "DatastoreAdded",
        "ResourceRemoved",
        "KeyUserStopped",
        "KeyRegenerated",
        "MemberAdded",
        "MemberRemoved",
    ];
    let flips = [
        "account to identity",
        "account to accesskey",
        "workspace to identity",
        "workspace to accesskey",
        "principal added",
        "principal removed",
        "one suspended or resumed",
        "all suspended or resumed",
        "paused or resumed",
        "documents gone",
        "one observes",
    ];
    let others = [
        "crashes",
        "starts",
        "starts without a state directory",
        "stops that were settled",
        "stops that were not settled",
        "losses to others",
        "writes of unknown outcome",
        "aimed: Mode",
        "aimed: Store",
        "aimed: Grant",
        "aimed: Files",
        "aimed: Key",
        "aimed: Newcomer",
        "aimed: StoreElsewhere",
        "aimed: Deny",
        "aimed: Role",
        "people who are denied",
        "said of a key: Enabled",
        "said of a key: Disabled",
        "said of a key: Unmanaged",
        "swapped: a group",
        "swapped: a person",
        "roles that give less",
        "roles that are whole again",
        "wire: request lost",
        "wire: answer lost",
        "wire: late",
    ];
    let all = steps.map(|step| format!("step: {step}")).into_iter();
    let all = all.chain(drifts.map(|drift| format!("drift: {drift}")));
    let all = all.chain(flips.map(|flip| format!("flip: {flip}")));
    let all = all.chain(others.map(str::to_owned));
    all.chain(draw::fault_names().into_iter().map(|fault| format!("fault: {fault}"))).collect()
}

/// A part of the seeds: the `part`-th of `of`, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) part: u64,
    pub(crate) of: u64,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not of the form `2/5`");
        let (part, of) = text.split_once('/').ok_or_else(wrong)?;
        let (part, of) = (part.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        if part == 0 || part > of { Err(wrong()) } else { Ok(Self { part, of }) }
    }
}

/// What many runs come to.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u64,
    /// How many of them ran twice.
    twice: u64,
    requests: usize,
    writes: usize,
    virtual_time: Duration,
    counts: BTreeMap<String, u64>,
    /// The seeds that failed, with what was broken first.
    pub(crate) failed: BTreeMap<u64, String>,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.requests += outcome.requests;
        self.writes += outcome.writes;
        self.virtual_time += outcome.virtual_time;
        for (what, count) in &outcome.counts {
            *self.counts.entry(what.clone()).or_default() += count;
        }
    }
}

/// Runs one seed twice. What is broken, that both differ among it.
///
/// # Errors
/// If it could not be run at all.
fn twice(draw: &Draw, gone: &BTreeSet<Ablation>) -> anyhow::Result<Outcome> {
    let mut one = once(draw, gone)?;
    let other = once(draw, gone)?;
    if one.digest != other.digest {
        let same = one.marks.iter().zip(&other.marks).take_while(|(one, other)| one == other).count();
        one.broken.push(format!(
            "the second run of the seed differs, from event {same} of {} and {} on",
            one.marks.len(),
            other.marks.len()
        ));
    }
    Ok(one)
}

/// Runs the seeds and tells what was explored and what was broken.
///
/// # Errors
/// If a rule is broken, or no seed was run.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let began = Instant::now();
    let tally = explore(options)?;
    ensure!(tally.seeds > 0, "no seed was run");
    let Tally { seeds, twice, requests, writes, virtual_time, counts, failed } = tally;
    let took = began.elapsed().as_secs_f64();
    let hours = virtual_time.as_secs_f64() / 3600.0;
    say!(
        "{seeds} seeds, {twice} of them twice, in {took:.1} s: {hours:.1} virtual hours, {requests} requests, {writes} writes"
    );
    for (what, count) in &counts {
        say!("{count:>9} {what}");
    }
    let missed: Vec<String> = reach().into_iter().filter(|what| !counts.contains_key(what)).collect();
    if !missed.is_empty() {
        say!("never: {}", missed.join("; "));
    }
    if !failed.is_empty() {
        bail!("{} of {seeds} seeds fail: {:?}", failed.len(), failed.keys());
    }
    if !missed.is_empty() && seeds >= ENOUGH && options.gone.is_empty() && !options.quiet {
        bail!("{seeds} seeds should have reached all of it");
    }
    Ok(())
}

/// Takes rules away and tells how many of the seeds notice each.
///
/// # Errors
/// If a seed could not be run at all, if none was, or if no seed notices one of the rules.
pub(crate) fn ablations(options: &Options) -> anyhow::Result<()> {
    let mut unnoticed = Vec::new();
    let seeds: Vec<u64> = options.numbers()?.collect();
    ensure!(!seeds.is_empty(), "no seed was run");
    for names in ABLATIONS {
        let mut gone = crate::ablation::named(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        let alone = noticed(&seeds, &gone)?;
        gone.insert(Ablation::Lint);
        let both = noticed(&seeds, &gone)?;
        let rules = names.join(" + ");
        say!("{rules:<36} {:>3} of {} seeds, first {}", both.0, seeds.len(), both.1);
        say!("{:<36} {:>3} of {} seeds, first {}", "    with the second judge", alone.0, seeds.len(), alone.1);
        if both.0 == 0 {
            unnoticed.push(rules);
        }
    }
    if unnoticed.is_empty() { Ok(()) } else { bail!("not noticed: {}", unnoticed.join("; ")) }
}

/// Rules whose absence has to be noticed. What two of them see both is taken away together.
const ABLATIONS: [&[&str]; 17] = [
    &["needs_covered", "needs_aged"],
    &["needs_aged"],
    &["key_on", "key_effective"],
    &["key_effective"],
    &["all_on_identity"],
    &["key_idle"],
    &["no_stored_keys"],
    &["settled"],
    &["booted"],
    &["active"],
    &["window"],
    &["drained"],
    &["confirm"],
    &["revision"],
    &["same_step"],
    &["off_last", "all_on_identity"],
    &["on_first", "key_on", "key_effective"],
];

/// Rules with seeds that notice their absence where the second judge is gone too. What two rules see both is taken away
/// together. There are two of each: whatever changes the requests of the shipped code moves the moments that a seed draws.
const NOTICED: [(&[&str], [u64; 2]); 12] = [
    (&["needs_covered", "needs_aged"], [1, 4]),
    (&["needs_aged"], [1, 4]),
    (&["key_idle"], [1, 4]),
    (&["active"], [2, 13]),
    (&["window"], [10, 85]),
    (&["drained"], [5, 9]),
    (&["all_on_identity"], [1_248, 1_598]),
    (&["confirm"], [2015, 2045]),
    (&["revision"], [3034, 3064]),
    (&["same_step"], [2015, 2045]),
    (&["no_stored_keys"], [2040, 2063]),
    (&["on_first", "key_on", "key_effective"], [320, 428]),
];

/// Whether one of the seeds that are kept for `rules` breaks without them and the second judge, and none with them;
/// nothing where none is kept.
///
/// # Errors
/// If a seed could not be run at all.
pub(crate) fn is_noticed(rules: &BTreeSet<Ablation>) -> anyhow::Result<Option<bool>> {
    for (names, seeds) in NOTICED {
        let mut gone = crate::ablation::named(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        if gone == *rules {
            gone.insert(Ablation::Lint);
            let (mut without, mut with) = (false, false);
            for seed in seeds {
                let run = |gone: &BTreeSet<Ablation>| -> anyhow::Result<bool> {
                    let outcome = once(&Draw::new(seed), gone).with_context(|| format!("seed {seed}"))?;
                    Ok(!outcome.broken.is_empty())
                };
                without |= run(&gone)?;
                with |= run(&BTreeSet::new())?;
            }
            return Ok(Some(without && !with));
        }
    }
    Ok(None)
}

/// How many seeds break something without these rules, and what the first of them breaks.
fn noticed(seeds: &[u64], gone: &BTreeSet<Ablation>) -> anyhow::Result<(u64, String)> {
    let (mut count, mut first) = (0, String::new());
    for &seed in seeds {
        let outcome = once(&Draw::new(seed), gone).with_context(|| format!("seed {seed}"))?;
        if let Some(broken) = outcome.broken.first() {
            if count == 0 {
                first = format!("{seed}: {}", broken.lines().next().unwrap_or_default());
            }
            count += 1;
        }
    }
    Ok((count, first))
}

/// Runs the seeds.
///
/// # Errors
/// If one could not be run at all, or there are not so many.
pub(crate) fn explore(options: &Options) -> anyhow::Result<Tally> {
    let began = Instant::now();
    let mut tally = Tally::default();
    let mut progress = Progress::of("seeds", options.seeds.div_ceil(options.shard.of));
    for seed in options.numbers()? {
        if began.elapsed() > options.limit {
            say!("the time is over; go on with --from {seed}");
            break;
        }
        let draw = if options.quiet { Draw::quiet(seed) } else { Draw::new(seed) };
        let repeated = seed.is_multiple_of(options.again.max(1));
        let outcome = if repeated { twice(&draw, &options.gone) } else { once(&draw, &options.gone) };
        let outcome = outcome.with_context(|| format!("seed {seed}"))?;
        tally.twice += u64::from(repeated);
        tally.add(&outcome);
        let first = tally.failed.is_empty();
        if let Some(broken) = outcome.broken.first() {
            tally.failed.insert(seed, broken.clone());
        }
        if options.told || (first && !outcome.broken.is_empty() && options.gone.is_empty()) {
            tell(&draw, &outcome, options);
        } else if let Some(broken) = outcome.broken.first() {
            say!("seed {seed}: {broken}\n{}", again(options, seed));
        }
        progress.tell(tally.seeds, tally.failed.len());
    }
    Ok(tally)
}

/// How a seed is run alone, as it was among the others.
fn again(Options { gone, quiet, .. }: &Options, seed: u64) -> String {
    let quiet = if *quiet { " --quiet" } else { "" };
    format!("again: keyless-check dst --seed {seed}{quiet}{}", crate::ablation::arguments(gone))
}

fn tell(draw: &Draw, outcome: &Outcome, options: &Options) {
    let all = options.told;
    say!("seed {}: {draw:?}", draw.seed);
    let skipped = if all { 0 } else { outcome.lines.len().saturating_sub(TOLD) };
    for (_, line) in outcome.lines.iter().skip(skipped) {
        say!("{line}");
    }
    say!("the last requests:");
    for line in &outcome.last {
        say!("{line}");
    }
    for broken in &outcome.broken {
        say!("{broken}");
    }
    say!("{}", again(options, draw.seed));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(from: u64, seeds: u64) -> Options {
        Options {
            from,
            seeds,
            shard: Shard { part: 1, of: 1 },
            limit: Duration::MAX,
            gone: BTreeSet::new(),
            told: false,
            quiet: false,
            again: 1,
        }
    }

    #[test]
    fn where_nothing_goes_wrong_every_fleet_comes_to_rest_and_both_runs_are_the_same() {
        let tally = explore(&Options { quiet: true, ..options(1, 1) }).unwrap();
        assert_eq!(tally.failed, BTreeMap::new());
    }

    #[test]
    fn whatever_goes_wrong_nothing_is_done_that_must_not_be_and_every_fleet_comes_to_rest() {
        let tally = explore(&options(1, 5)).unwrap();
        assert_eq!(tally.failed, BTreeMap::new());
    }

    #[test]
    fn people_come_by_what_they_need_through_groups_and_leave_them() {
        let seed = (1..).find(|seed| Draw::new(*seed).members).unwrap();
        let outcome = once(&Draw::new(seed), &BTreeSet::new()).unwrap();
        assert_eq!(outcome.broken, Vec::<String>::new());
        for change in ["drift: MemberAdded", "drift: MemberRemoved"] {
            assert!(outcome.counts.contains_key(change), "seed {seed}: {:?}", outcome.counts);
        }
    }

    #[test]
    fn what_was_found_once_stays_mended() {
        let lines = include_str!("../seeds.txt").lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        for seed in lines.filter(|line| !line.is_empty()) {
            let tally = explore(&options(seed.parse().unwrap(), 1)).unwrap();
            assert_eq!(tally.failed, BTreeMap::new());
        }
    }

    #[test]
    fn the_absence_of_a_rule_is_noticed_by_its_seed_and_by_nothing_else() {
        for (names, _) in NOTICED {
            let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            assert_eq!(is_noticed(&crate::ablation::named(&names).unwrap()).unwrap(), Some(true), "{names:?}");
        }
    }

    #[test]
    fn the_last_of_all_seeds_is_run_and_no_seed_is_no_success() {
        assert_eq!(explore(&Options { quiet: true, again: u64::MAX, ..options(u64::MAX, 1) }).unwrap().seeds, 1);
        for nothing in [options(1, 0), Options { shard: Shard { part: 5, of: 5 }, ..options(1, 3) }] {
            assert_eq!(run(&nothing).unwrap_err().to_string(), "no seed was run");
            assert_eq!(ablations(&nothing).unwrap_err().to_string(), "no seed was run");
        }
        let refused = run(&options(u64::MAX, 3)).unwrap_err().to_string();
        assert!(refused.contains("no 3 numbers"), "{refused}");
    }

    #[test]
    fn a_part_of_the_seeds_is_named_by_its_number() {
        let seeds = |part| {
            let options = Options { shard: Shard { part, of: 3 }, ..options(1, 7) };
            options.numbers().unwrap().collect::<Vec<u64>>()
        };
        assert_eq!([1, 2, 3].map(seeds), [vec![3, 6], vec![1, 4, 7], vec![2, 5]]);
        assert_eq!("2/5".parse(), Ok(Shard { part: 2, of: 5 }));
        for wrong in ["", "2", "0/5", "6/5", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
