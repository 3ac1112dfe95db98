//! Which layer notices the loss of which rule, as one table.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use keyless_core::ablate::Ablation;
use keyless_core::gate::Gate;

use crate::model::{self, Held, Tier};
use crate::shut;

/// Gates whose facts the model's worlds have.
const IN_MODEL: [Gate; 15] = [
    Gate::NeedsCovered,
    Gate::NeedsAged,
    Gate::KeyOn,
    Gate::KeyEffective,
    Gate::AllOnIdentity,
    Gate::NoStoredKeys,
    Gate::KeyIdle,
    Gate::Unlocked,
    Gate::PolicyAllows,
    Gate::WayBack,
    Gate::Active,
    Gate::Settled,
    Gate::Booted,
    Gate::Drained,
    Gate::Listed,
];

/// Gates that are noticed in fewer than two layers, and why that has to do.
fn excused(gate: Gate) -> Option<&'static str> {
    match gate {
        Gate::PrincipalKnown => shut::never_alone(gate),
        Gate::Permitted | Gate::BelowCeiling => Some("Azure refuses what it stands for, and nothing is lost by that"),
        _ => None,
    }
}

/// What is taken away for a row: where another gate stands in for it, that one too.
fn taken(gate: Gate) -> BTreeSet<Ablation> {
    let mut gone = BTreeSet::from([Ablation::Gate(gate)]);
    match gate {
        Gate::NeedsCovered => drop(gone.insert(Ablation::Gate(Gate::NeedsAged))),
        Gate::KeyOn => drop(gone.insert(Ablation::Gate(Gate::KeyEffective))),
        _ => {}
    }
    gone
}

/// Whether the quick tier of the model breaks without these rules and without the second judge.
fn breaks_model(mut gone: BTreeSet<Ablation>) -> anyhow::Result<bool> {
    gone.insert(Ablation::Lint);
    let explored = model::explore(Tier::Quick, Duration::from_secs(600), &gone, Held::Everything, false)?;
    Ok(explored.failure.is_some())
}

fn word(noticed: Option<bool>) -> &'static str {
    match noticed {
        Some(true) => "yes",
        Some(false) => "no",
        None => "does not know it",
    }
}

/// Prints the table.
///
/// # Errors
/// If a layer cannot be asked, or if fewer than two notice a row that nothing excuses.
pub(crate) fn run() -> anyhow::Result<()> {
    println!("{:<18} {:<17} {:<17} model", "rule", "unit", "second judge");
    let mut thin = Vec::new();
    for gate in Gate::ALL {
        let held = shut::held(gate)?;
        let objection = held.as_ref().and_then(shut::Held::objection);
        let unit = held.as_ref().map(|_| objection.is_none());
        let judge = held.as_ref().map(shut::Held::is_rejected);
        let model = if IN_MODEL.contains(&gate) { Some(breaks_model(taken(gate))?) } else { None };
        println!("{:<18} {:<17} {:<17} {}", gate.as_str(), word(unit), word(judge), word(model));
        if let Some(why) = objection {
            println!("    {why}");
        }
        let yes = [unit, judge, model].into_iter().filter(|noticed| *noticed == Some(true)).count();
        if yes < 2 {
            match excused(gate) {
                Some(why) => println!("    {why}"),
                None => thin.push(gate.as_str()),
            }
        }
    }
    for (name, rule) in
        [("confirm", Ablation::Confirm), ("revision", Ablation::Revision), ("same_step", Ablation::SameStep)]
    {
        let model = breaks_model(BTreeSet::from([rule]))?;
        println!("{name:<18} {:<17} {:<17} {}", "not asked", "not asked", word(Some(model)));
        if !model {
            thin.push(name);
        }
    }
    println!("the simulation and the matrix are not asked by this table");
    if thin.is_empty() { Ok(()) } else { bail!("noticed by fewer than two layers: {}", thin.join(", ")) }
}
