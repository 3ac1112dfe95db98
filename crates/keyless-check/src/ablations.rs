//! Which layer notices the loss of which rule, as one table.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use keyless_check::say;
use keyless_core::ablate::Ablation;
use keyless_core::gate::Gate;

use crate::model::{self, Held, Tier};
use crate::{dst, shut};

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
        None => "not asked",
    }
}

/// One line of the table: what each layer says, none of it written down beforehand.
struct Row {
    name: &'static str,
    /// Whether a world in which the rule alone holds a step lets the step go without it.
    unit: Option<bool>,
    /// Whether the second judge rejects the plan that is made without it.
    judge: Option<bool>,
    model: Option<bool>,
    /// Whether the seed that is kept for it breaks.
    simulation: Option<bool>,
    remarks: Vec<String>,
}

impl Row {
    fn of(
        name: &'static str,
        worlds: &[shut::Held],
        model: Option<bool>,
        gone: &BTreeSet<Ablation>,
    ) -> anyhow::Result<Self> {
        let remarks: Vec<String> = worlds.iter().filter_map(shut::Held::objection).collect();
        let told = !worlds.is_empty();
        Ok(Self {
            name,
            unit: told.then_some(remarks.is_empty()),
            judge: told.then(|| worlds.iter().all(shut::Held::is_rejected)),
            model,
            simulation: dst::is_noticed(gone)?,
            remarks,
        })
    }

    /// Tells it, and whether at least two layers notice.
    fn told(&self) -> bool {
        let Self { name, unit, judge, model, simulation, remarks } = self;
        let layers = [*unit, *judge, *model, *simulation];
        let [unit, judge, model, simulation] = layers.map(word);
        say!("{name:<18} {unit:<10} {judge:<13} {model:<10} {simulation}");
        for remark in remarks {
            say!("    {remark}");
        }
        layers.iter().filter(|noticed| **noticed == Some(true)).count() > 1 && remarks.is_empty()
    }
}

/// Prints the table.
///
/// # Errors
/// If a layer cannot be asked, or if fewer than two notice a row that nothing excuses.
pub(crate) fn run() -> anyhow::Result<()> {
    say!("{:<18} {:<10} {:<13} {:<10} simulation", "rule", "unit", "second judge", "model");
    let mut thin = Vec::new();
    for gate in Gate::ALL {
        let gone = taken(gate);
        let model = if IN_MODEL.contains(&gate) { Some(breaks_model(gone.clone())?) } else { None };
        let row = Row::of(gate.as_str(), &shut::held(gate)?, model, &gone)?;
        if !row.told() {
            match excused(gate).filter(|_| row.remarks.is_empty()) {
                Some(why) => say!("    {why}"),
                None => thin.push(row.name),
            }
        }
    }
    for (name, rule) in
        [("confirm", Ablation::Confirm), ("revision", Ablation::Revision), ("same_step", Ablation::SameStep)]
    {
        let gone = BTreeSet::from([rule]);
        let row = Row::of(name, &[], Some(breaks_model(gone.clone())?), &gone)?;
        if !row.told() {
            thin.push(name);
        }
    }
    for (name, rule) in [("off_last", Ablation::OffLast), ("on_first", Ablation::OnFirst)] {
        let held = shut::misordered(rule)?;
        let gone = held.gone().clone();
        let row = Row::of(name, &[held], Some(breaks_model(gone.clone())?), &gone)?;
        if !row.told() {
            thin.push(name);
        }
    }
    say!(
        "not asked: the layer does not have what the rule is about, or no seed is kept; the matrix is not asked at all"
    );
    if thin.is_empty() { Ok(()) } else { bail!("noticed by fewer than two layers: {}", thin.join(", ")) }
}
