//! All interleavings of a small world, under the shipped planner, gates and pass.
//!
//! The world has one account, workspaces in a mode, persons with one role each, somebody else who signs with the key, and
//! time only as "young" and "old enough"; richer ones also a lock, a policy, a stored key, a job, and a kill switch. What it
//! does not have, its gates cannot be missed in: groups, service grants, networks, rights, rotated keys, reads that agree
//! again and again.

pub(crate) mod around;
pub(crate) mod azure;
mod decide;
mod foreign;
mod observe;
mod settle;
mod system;
mod tier;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::bail;
use keyless_check::say;
use keyless_core::ablate::Ablation;
use stateright::{Checker, DiscoveryClassification, HasDiscoveries, Model};

use system::{REACHED, System};
use tier::configs;

pub(crate) use system::Held;
pub(crate) use tier::Tier;

/// What came of exploring a tier.
pub(crate) struct Explored {
    /// How many states there are, over all configurations.
    pub(crate) states: usize,
    /// The first property that does not hold, and the shortest way there.
    pub(crate) failure: Option<(&'static str, String)>,
    /// How many plans their second judge rejected.
    pub(crate) rejected: usize,
    /// Configurations with another number of states than is written down: the protocol has changed.
    pub(crate) changed: Vec<String>,
    /// Configurations of which nobody has written down how many states they have.
    pub(crate) uncounted: Vec<String>,
    /// What was reached somewhere.
    pub(crate) reached: BTreeSet<&'static str>,
}

/// Explores every configuration of the tier, without the rules in `gone`, until something does not hold.
///
/// # Errors
///
/// If a configuration is not explored within `limit`.
pub(crate) fn explore(
    tier: Tier,
    limit: Duration,
    gone: &BTreeSet<Ablation>,
    held: Held,
    told: bool,
) -> anyhow::Result<Explored> {
    let mut all = Explored {
        states: 0,
        failure: None,
        rejected: 0,
        changed: Vec::new(),
        uncounted: Vec::new(),
        reached: BTreeSet::new(),
    };
    for (config, expected) in configs(tier) {
        let began = Instant::now();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let checker = System::new(config, gone.clone(), held)?
            .checker()
            .threads(threads)
            .timeout(limit)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let states = checker.unique_state_count();
        all.states += states;
        all.rejected += checker.model().decider().rejected();
        if told {
            let took = began.elapsed().as_secs_f64();
            let peak = peak_memory().map(|mib| format!(", {mib} MiB at most so far")).unwrap_or_default();
            say!("{states} states in {took:.1} s{peak}: {config:?}");
        }
        for (name, path) in checker.discoveries() {
            match checker.discovery_classification(name) {
                DiscoveryClassification::Counterexample => all.failure = Some((name, path.to_string())),
                DiscoveryClassification::Example => drop(all.reached.insert(name)),
            }
        }
        if all.failure.is_some() {
            break;
        }
        // A checker that ran out of time says that it is done.
        if began.elapsed() >= limit {
            bail!("not all states were explored within {limit:?}: {config:?}");
        }
        match expected {
            Some(expected) if expected != states && gone.is_empty() => {
                all.changed.push(format!("{states} states instead of {expected}: {config:?}"));
            }
            Some(_) => {}
            None => all.uncounted.push(format!("{states} states: {config:?}")),
        }
    }
    Ok(all)
}

/// Explores the tier and prints what was found.
///
/// # Errors
///
/// If a property does not hold, something that should be reached is not, or there are more or fewer states than before.
pub(crate) fn run(tier: Tier, limit: Duration, gone: &BTreeSet<Ablation>, safety: bool) -> anyhow::Result<()> {
    let held = if safety { Held::Safety } else { Held::Everything };
    let Explored { states, failure, rejected, changed, uncounted, reached } = explore(tier, limit, gone, held, true)?;
    if let Some((name, path)) = failure {
        bail!("{name}: does not hold\n{path}");
    }
    let missed: Vec<&str> = REACHED.into_iter().filter(|name| !reached.contains(name)).collect();
    if !missed.is_empty() {
        bail!("never reached: {}", missed.join("; "));
    }
    if !changed.is_empty() {
        bail!("the protocol has changed:\n{}", changed.join("\n"));
    }
    for config in &uncounted {
        say!("NOT ASSERTED, for nobody has written down how many there have to be: {config}");
    }
    say!("{states} states in all, {}", verdict(rejected));
    Ok(())
}

/// What it means that everything holds, where the second judge rejected so many plans.
fn verdict(rejected: usize) -> String {
    match rejected {
        0 => "everything holds, and no plan was rejected".to_owned(),
        _ => format!("everything holds only because the second judge rejected {rejected} plans"),
    }
}

/// The most memory that this process has had, in MiB; `None` where the system does not tell.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib / 1024)
}

#[cfg(test)]
mod tests {
    use keyless_core::gate::Gate;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(600);

    fn without(gone: &[Ablation], held: Held) -> Explored {
        explore(Tier::Quick, LIMIT, &gone.iter().copied().collect(), held, false).unwrap()
    }

    #[test]
    fn everything_holds_in_small_worlds_and_everything_is_reached() {
        let explored = without(&[], Held::Everything);
        assert_eq!(explored.failure, None);
        assert_eq!(explored.changed, Vec::<String>::new());
        assert_eq!(explored.uncounted, Vec::<String>::new());
        assert_eq!(explored.rejected, 0, "a plan of the planner's is rejected");
        let missed: Vec<&str> = REACHED.into_iter().filter(|name| !explored.reached.contains(name)).collect();
        assert_eq!(missed, Vec::<&str>::new());
    }

    #[test]
    fn what_is_not_explored_to_the_end_does_not_hold() {
        let cut_short = explore(Tier::Pr, Duration::from_millis(1), &BTreeSet::new(), Held::Everything, false);
        assert!(cut_short.is_err_and(|error| error.to_string().contains("not all states")));
    }

    /// What two gates see both is seen without one of them; then both are taken away.
    #[test]
    fn a_rule_that_is_taken_away_is_missed() {
        let gate = Ablation::Gate;
        let taken: [&[Ablation]; 17] = [
            &[gate(Gate::NeedsAged)],
            &[gate(Gate::NeedsCovered), gate(Gate::NeedsAged)],
            &[gate(Gate::AllOnIdentity)],
            &[gate(Gate::KeyIdle)],
            &[gate(Gate::Booted)],
            &[gate(Gate::Settled)],
            &[gate(Gate::KeyEffective)],
            &[gate(Gate::KeyOn), gate(Gate::KeyEffective)],
            &[gate(Gate::Unlocked)],
            &[gate(Gate::PolicyAllows)],
            &[gate(Gate::WayBack)],
            &[gate(Gate::NoStoredKeys)],
            &[gate(Gate::Drained)],
            &[gate(Gate::Active)],
            &[Ablation::Confirm],
            &[Ablation::Revision],
            &[Ablation::SameStep],
        ];
        for gone in taken {
            let both: Vec<Ablation> = gone.iter().copied().chain([Ablation::Lint]).collect();
            assert!(without(&both, Held::Everything).failure.is_some(), "{gone:?} is not missed");
        }
    }

    #[test]
    fn what_holds_by_the_second_judge_alone_is_told_as_that() {
        assert_eq!(verdict(0), "everything holds, and no plan was rejected");
        assert!(verdict(2_907).contains("only because the second judge rejected 2907 plans"));
    }

    /// The second judge of plans stands behind the gates whose facts it knows.
    #[test]
    fn a_gate_that_is_taken_away_is_stood_in_for() {
        // Not for the waits after a start and after a lost answer: a pass that begins in one and ends after it rests on
        // reads from within, and the second judge knows only the moment of the plan.
        for gate in [Gate::NeedsAged, Gate::AllOnIdentity, Gate::KeyIdle, Gate::KeyEffective] {
            // A plan that is always rejected leads nowhere, but it takes nothing from anybody, in no state at all.
            let explored = without(&[Ablation::Gate(gate)], Held::Safety);
            assert!(explored.rejected > 0, "{gate}: no plan is rejected");
            assert_eq!(explored.failure, None, "{gate}");
        }
    }
}
