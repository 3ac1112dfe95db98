//! The perturbation matrix: small stories with everything that can go wrong at every place of them, one thing at a time
//! and in pairs.
//!
//! Each [`workload`] is run undisturbed once. Its record yields plans ([`generate`]): the process dies at each write, each
//! read gets an older answer, each change of others is not seen at first. Every plan is run ([`stage`]) and held against
//! the rules and the undisturbed run ([`oracle`]); each difference is a failure until a rule explains it.

mod generate;
mod oracle;
mod plan;
mod stage;
mod tamper;
mod workload;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use keyless_check::say;
use keyless_core::ablate::Ablation;

use crate::dst::Shard;
use crate::progress::Progress;
use generate::Generated;
use plan::Plan;
use stage::{Outcome, play};
use workload::Workload;

/// Decides which pairs are drawn where there are too many.
const SEED: u64 = 1;

/// How many things go wrong in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Plans {
    /// One.
    Singles,
    /// Two.
    Pairs,
}

/// What is run.
pub(crate) struct Options {
    /// The workloads by name; all of them if none is named.
    pub(crate) workloads: Vec<String>,
    pub(crate) plans: Plans,
    pub(crate) shard: Shard,
    /// The number of the first plan of each workload.
    pub(crate) from: usize,
    /// After how much of the machine's time no further plan is begun.
    pub(crate) limit: Duration,
    /// One plan, and everything that happens in it.
    pub(crate) plan: Option<String>,
    /// The rules that are taken away.
    pub(crate) gone: BTreeSet<Ablation>,
}

/// What the plans of one workload come to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) executed: usize,
    /// The plans of which not everything came about.
    unreached: usize,
    requests: usize,
    /// The plans that failed, with what was wrong.
    pub(crate) failed: Vec<(Plan, Vec<String>)>,
    /// The number of the plan that was not begun for want of time.
    stopped: Option<usize>,
}

/// The undisturbed runs of a story: the whole one, and those in which an event never happens, by its number.
#[derive(Debug)]
struct References {
    whole: Outcome,
    less: BTreeMap<usize, Outcome>,
}

impl References {
    fn of(workload: &Workload) -> anyhow::Result<Self> {
        let whole = reference(workload)?;
        let numbers = 1..workload.events.len();
        let less = numbers.map(|number| Ok((number, reference(&workload.less(number))?)));
        Ok(Self { whole, less: less.collect::<anyhow::Result<_>>()? })
    }

    /// What a run under a plan is held against.
    fn expected(&self, workload: &Workload, plan: &Plan) -> &Outcome {
        oracle::unseen(workload, plan).and_then(|number| self.less.get(&number)).unwrap_or(&self.whole)
    }
}

/// Runs what is asked and tells what came of it.
///
/// # Errors
/// If a plan fails, or none was run.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let began = Instant::now();
    let all = workload::all();
    for name in &options.workloads {
        let known: Vec<&str> = all.iter().map(|workload| workload.name).collect();
        ensure!(known.contains(&name.as_str()), "no workload is called `{name}`; there are {}", known.join(", "));
    }
    let (mut failed, mut executed) = (0, 0);
    for workload in
        all.iter().filter(|one| options.workloads.is_empty() || options.workloads.iter().any(|name| name == one.name))
    {
        let (done, wrong) = one(workload, options, began).with_context(|| format!("workload `{}`", workload.name))?;
        executed += done;
        failed += wrong;
    }
    ensure!(executed > 0, "no plan was run");
    if failed > 0 { bail!("{failed} plans fail") } else { Ok(()) }
}

/// Runs the plans of one workload. How many there were, and how many failed.
fn one(workload: &Workload, options: &Options, began: Instant) -> anyhow::Result<(usize, usize)> {
    let started = Instant::now();
    let references = References::of(workload)?;
    if let Some(name) = &options.plan {
        return told(workload, name, &references, &options.gone).map(|failed| (1, failed));
    }
    let reference = &references.whole;
    let generated = made(workload, options.plans, reference);
    let left = options.limit.saturating_sub(began.elapsed());
    let tally = explore(workload, &references, &generated, options, left)?;
    say!(
        "{:<18} {} writes, {} reads; {} plans generated, {} executed ({} requests), {} failed, {} in which not all came about, in {:.1} s",
        workload.name,
        reference.writes.len(),
        reference.reads.all.len(),
        generated.plans.len(),
        tally.executed,
        tally.requests,
        tally.failed.len(),
        tally.unreached,
        started.elapsed().as_secs_f64()
    );
    for (why, count) in &generated.pruned {
        say!("    {count} pruned: {why}");
    }
    if let Some(number) = tally.stopped {
        say!("    the time is over; go on with --workload {} --from {number}", workload.name);
    }
    for (plan, wrong) in &tally.failed {
        say!("  {}", wrong.join("\n  "));
        let rules = crate::ablation::arguments(&options.gone);
        say!("  again: keyless-check matrix --workload {} --plan {plan}{rules}", workload.name);
    }
    if matches!(options.plans, Plans::Singles) {
        ensure!(tally.unreached == 0, "{} plans of which nothing came about", tally.unreached);
    }
    Ok((tally.executed, tally.failed.len()))
}

/// The undisturbed run, which has to end as the workload says.
fn reference(workload: &Workload) -> anyhow::Result<Outcome> {
    let outcome = play(workload, &Plan::default(), None, &BTreeSet::new())?;
    let wrong = oracle::of_reference(workload, &outcome);
    ensure!(wrong.is_empty(), "undisturbed: {}\n{}", wrong.join("\n"), outcome.lines.join("\n"));
    Ok(outcome)
}

fn made(workload: &Workload, plans: Plans, reference: &Outcome) -> Generated {
    let singles = generate::singles(workload, reference.writes.len(), &reference.reads);
    match plans {
        Plans::Singles => singles,
        Plans::Pairs => generate::pairs(&singles, SEED),
    }
}

fn explore(
    workload: &Workload,
    references: &References,
    generated: &Generated,
    options: &Options,
    left: Duration,
) -> anyhow::Result<Tally> {
    let began = Instant::now();
    let mut tally = Tally::default();
    let Shard { part, of } = options.shard;
    let mut progress = Progress::of("plans", (generated.plans.len().saturating_sub(options.from) as u64).div_ceil(of));
    for (number, plan) in generated.plans.iter().enumerate().skip(options.from) {
        if number as u64 % of != part - 1 {
            continue;
        }
        if began.elapsed() >= left {
            tally.stopped = Some(number);
            break;
        }
        let outcome =
            play(workload, plan, Some(&references.whole), &options.gone).with_context(|| format!("plan {plan}"))?;
        tally.executed += 1;
        tally.requests += outcome.requests;
        tally.unreached += usize::from(outcome.struck < plan.0.len());
        let wrong = oracle::against(workload, plan, references.expected(workload, plan), &outcome);
        if !wrong.is_empty() {
            tally.failed.push((plan.clone(), wrong));
        }
        progress.tell(tally.executed as u64, tally.failed.len());
    }
    Ok(tally)
}

/// Runs one plan and tells everything.
fn told(workload: &Workload, name: &str, references: &References, gone: &BTreeSet<Ablation>) -> anyhow::Result<usize> {
    let plan: Plan = name.parse().map_err(anyhow::Error::msg)?;
    let reference = &references.whole;
    let outcome = play(workload, &plan, Some(reference), gone)?;
    for (title, run) in [("undisturbed", reference), (name, &outcome)] {
        say!("{title}: {} requests, at rest after {:?}", run.requests, run.rested);
        say!("{}", run.lines.join("\n"));
        say!("    alerts:");
        for alert in &run.alerts {
            say!("    {alert}");
        }
    }
    say!("shown older than it is: {:?}", outcome.aged);
    for disturbance in &plan.0 {
        if let plan::Disturbance::Stale { read, .. } = disturbance
            && let Some(read) = reference.reads.all.get(read.wrapping_sub(1))
        {
            say!("{disturbance} is number {} of {}, after {} writes", read.nth + 1, read.address, read.writes);
        }
    }
    let wrong = oracle::against(workload, &plan, references.expected(workload, &plan), &outcome);
    for line in &wrong {
        say!("{line}");
    }
    if outcome.struck < plan.0.len() {
        say!("{} of the {} disturbances came about", outcome.struck, plan.0.len());
        ensure!(outcome.struck > 0 || plan.0.is_empty(), "nothing of the plan came about");
    }
    Ok(usize::from(!wrong.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(name: &str) -> Workload {
        workload::all().into_iter().find(|workload| workload.name == name).unwrap()
    }

    /// What is wrong with one plan of a workload without some rules.
    fn wrong(name: &str, plan: &str, rules: &[&str]) -> Vec<String> {
        let workload = workload(name);
        let references = References::of(&workload).unwrap();
        let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        let gone = crate::ablation::named(&rules).unwrap();
        let plan = plan.parse().unwrap();
        let outcome = play(&workload, &plan, Some(&references.whole), &gone).unwrap();
        oracle::against(&workload, &plan, references.expected(&workload, &plan), &outcome)
    }

    /// A part of the single plans of all workloads.
    fn part(part: u64, of: u64) -> Options {
        Options {
            workloads: Vec::new(),
            plans: Plans::Singles,
            shard: Shard { part, of },
            from: 0,
            limit: Duration::MAX,
            plan: None,
            gone: BTreeSet::new(),
        }
    }

    #[test]
    fn a_part_without_plans_is_no_success() {
        let nothing = Options { workloads: vec!["half-back".to_owned()], ..part(500, 500) };
        assert_eq!(run(&nothing).unwrap_err().to_string(), "no plan was run");
    }

    #[test]
    fn a_workspace_that_goes_back_before_the_key_works_is_noticed() {
        assert!(wrong("back", "none", &["key_effective", "lint"]).iter().any(|why| why.starts_with("S1")));
    }

    #[test]
    fn a_switch_before_roles_work_is_noticed() {
        assert!(wrong("migrate", "none", &["needs_aged", "lint"]).iter().any(|why| why.starts_with("S3")));
    }

    #[test]
    fn a_key_that_goes_off_while_it_is_in_use_is_noticed() {
        assert!(wrong("migrate", "none", &["key_idle", "lint"]).iter().any(|why| why.starts_with("S2")));
    }

    #[test]
    fn whatever_goes_wrong_once_two_small_stories_end_as_if_nothing_had() {
        for name in ["drift-mode", "drift-role"] {
            let workload = workload(name);
            let references = References::of(&workload).unwrap();
            let generated = made(&workload, Plans::Singles, &references.whole);
            assert!(generated.plans.len() > 10, "{name}: {}", generated.plans.len());
            let tally = explore(&workload, &references, &generated, &part(1, 4), Duration::MAX).unwrap();
            assert_eq!(tally.failed, Vec::new(), "{name}");
        }
    }
}
