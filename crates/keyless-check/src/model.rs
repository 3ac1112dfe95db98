//! All interleavings of a small world, under the shipped planner, gates and pass.
//!
//! The world has one account, workspaces in a mode, persons with one role each, somebody else who signs with the key, and
//! time only as "young" and "old enough". What it does not have, its gates cannot be missed in: jobs, datastores, groups,
//! service grants, networks, policies, rights, locks, rotated keys, reads that agree again and again.

pub(crate) mod azure;
mod decide;
mod observe;
mod settle;
mod system;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::bail;
use keyless_core::ablate::Ablation;
use stateright::{Checker, DiscoveryClassification, HasDiscoveries, Model};

use observe::Want;
use system::{Budget, Config, Held, System};

/// How much is explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tier {
    /// What the tests run, in seconds.
    Quick,
    /// What every change has to pass.
    Pr,
    /// What main has to.
    Main,
}

const fn budget(crashes: u8, lost: u8, stale: u8, foreign: u8, flips: u8) -> Budget {
    Budget { crashes, lost, stale, foreign, flips }
}

/// The configurations of a tier, each with how many states it has.
fn configs(tier: Tier) -> Vec<(Config, usize)> {
    let at =
        |workspaces, persons, want, from_the_end, budget| Config { workspaces, persons, want, from_the_end, budget };
    let quick = vec![
        (at(1, 1, Want::Forward, false, budget(1, 1, 0, 1, 0)), 5_896),
        (at(1, 1, Want::Forward, false, budget(1, 0, 1, 0, 1)), 2_073),
        (at(2, 1, Want::Forward, false, budget(0, 1, 0, 1, 0)), 4_561),
        (at(1, 1, Want::Back, true, budget(1, 1, 0, 0, 1)), 559),
        (at(2, 1, Want::Back, true, budget(1, 0, 1, 0, 0)), 303),
        (at(1, 1, Want::Forward, true, budget(0, 1, 0, 1, 1)), 7_811),
    ];
    let pr = vec![
        (at(2, 2, Want::Forward, false, budget(1, 1, 1, 1, 1)), 305_002),
        (at(1, 1, Want::Forward, false, budget(1, 1, 1, 2, 2)), 802_270),
        (at(2, 1, Want::Forward, true, budget(1, 1, 1, 1, 2)), 460_827),
        (at(2, 2, Want::Back, true, budget(1, 1, 1, 1, 1)), 89_462),
        (at(2, 2, Want::Back, false, budget(1, 1, 0, 2, 1)), 205_207),
        (at(1, 2, Want::Forward, false, budget(2, 1, 1, 1, 1)), 294_429),
    ];
    let main = vec![
        (at(2, 2, Want::Forward, false, budget(1, 1, 1, 2, 2)), 5_584_460),
        (at(2, 2, Want::Back, true, budget(1, 1, 1, 2, 2)), 2_111_823),
    ];
    match tier {
        Tier::Quick => quick,
        Tier::Pr => pr,
        Tier::Main => main,
    }
}

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
    let mut all = Explored { states: 0, failure: None, rejected: 0, changed: Vec::new(), reached: BTreeSet::new() };
    for (config, expected) in configs(tier) {
        let began = Instant::now();
        let checker = System::new(config, gone.clone(), held)?
            .checker()
            .timeout(limit)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let states = checker.unique_state_count();
        all.states += states;
        all.rejected += checker.model().decider().rejected();
        if told {
            println!("{states} states in {:.1} s: {config:?}", began.elapsed().as_secs_f64());
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
        if !checker.is_done() {
            bail!("not all states were explored within {limit:?}: {config:?}");
        }
        if expected != 0 && expected != states && gone.is_empty() {
            all.changed.push(format!("{states} states instead of {expected}: {config:?}"));
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
    let Explored { states, failure, rejected, changed, reached } = explore(tier, limit, gone, held, true)?;
    if let Some((name, path)) = failure {
        bail!("{name}: does not hold\n{path}");
    }
    let missed: Vec<&str> = system::REACHED.into_iter().filter(|name| !reached.contains(name)).collect();
    if !missed.is_empty() {
        bail!("never reached: {}", missed.join("; "));
    }
    if !changed.is_empty() {
        bail!("the protocol has changed:\n{}", changed.join("\n"));
    }
    println!("{states} states in all, everything holds; {rejected} plans were rejected");
    Ok(())
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
        assert_eq!(explored.rejected, 0, "a plan of the planner's is rejected");
        let missed: Vec<&str> = system::REACHED.into_iter().filter(|name| !explored.reached.contains(name)).collect();
        assert_eq!(missed, Vec::<&str>::new());
    }

    /// What two gates see both is seen without one of them; then both are taken away.
    #[test]
    fn a_rule_that_is_taken_away_is_missed() {
        let gate = Ablation::Gate;
        let taken: [&[Ablation]; 11] = [
            &[gate(Gate::NeedsAged)],
            &[gate(Gate::NeedsCovered), gate(Gate::NeedsAged)],
            &[gate(Gate::AllOnIdentity)],
            &[gate(Gate::KeyIdle)],
            &[gate(Gate::Booted)],
            &[gate(Gate::Settled)],
            &[gate(Gate::KeyEffective)],
            &[gate(Gate::KeyOn), gate(Gate::KeyEffective)],
            &[Ablation::Confirm],
            &[Ablation::Revision],
            &[Ablation::SameStep],
        ];
        for gone in taken {
            let both: Vec<Ablation> = gone.iter().copied().chain([Ablation::Lint]).collect();
            assert!(without(&both, Held::Everything).failure.is_some(), "{gone:?} is not missed");
        }
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
