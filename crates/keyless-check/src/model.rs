//! All interleavings of a small world, under the shipped planner, gates and pass.

mod azure;
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
use system::{Budget, Config, System};

/// How much is explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tier {
    /// What every change has to pass.
    Pr,
    /// What main has to.
    Main,
}

const fn budget(crashes: u8, lost: u8, stale: u8, foreign: u8, flips: u8) -> Budget {
    Budget { crashes, lost, stale, foreign, flips }
}

/// The configurations of a tier, each with how many states it has.
fn configs(tier: Tier) -> Vec<(Config, Option<usize>)> {
    let at =
        |workspaces, persons, want, from_the_end, budget| Config { workspaces, persons, want, from_the_end, budget };
    let pr = vec![
        (at(1, 1, Want::Forward, false, budget(1, 1, 0, 1, 0)), None),
        (at(1, 1, Want::Forward, false, budget(1, 0, 1, 0, 1)), None),
        (at(2, 1, Want::Forward, false, budget(0, 1, 0, 1, 0)), None),
        (at(1, 1, Want::Back, true, budget(1, 1, 0, 0, 1)), None),
        (at(2, 1, Want::Back, true, budget(1, 0, 1, 0, 0)), None),
        (at(1, 1, Want::Forward, true, budget(0, 1, 0, 1, 1)), None),
    ];
    match tier {
        Tier::Pr => pr,
        Tier::Main => vec![(at(2, 2, Want::Forward, false, budget(1, 1, 1, 1, 1)), None)],
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
    /// What was reached somewhere.
    pub(crate) reached: BTreeSet<&'static str>,
}

/// Explores every configuration of the tier, without the rules in `gone`, until something does not hold.
///
/// # Errors
///
/// If a configuration is not explored within `limit`, or has another number of states than is expected.
pub(crate) fn explore(tier: Tier, limit: Duration, gone: &BTreeSet<Ablation>, told: bool) -> anyhow::Result<Explored> {
    let mut all = Explored { states: 0, failure: None, rejected: 0, reached: BTreeSet::new() };
    for (config, expected) in configs(tier) {
        let began = Instant::now();
        let checker = System::new(config, gone.clone())?
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
        if let Some(expected) = expected.filter(|expected| *expected != states && gone.is_empty()) {
            bail!("{expected} states were expected and {states} found, the protocol has changed: {config:?}");
        }
    }
    Ok(all)
}

/// Explores the tier and prints what was found.
///
/// # Errors
///
/// If a property does not hold, or something that should be reached is not.
pub(crate) fn run(tier: Tier, limit: Duration, gone: &BTreeSet<Ablation>) -> anyhow::Result<()> {
    let Explored { states, failure, rejected, reached } = explore(tier, limit, gone, true)?;
    if let Some((name, path)) = failure {
        bail!("{name}: does not hold\n{path}");
    }
    let missed: Vec<&str> = system::REACHED.into_iter().filter(|name| !reached.contains(name)).collect();
    if !missed.is_empty() {
        bail!("never reached: {}", missed.join("; "));
    }
    println!("{states} states in all, everything holds; {rejected} plans were rejected");
    Ok(())
}
