//! Rules taken away one at a time.

use std::collections::BTreeSet;

use anyhow::Context as _;
use keyless_core::ablate::Ablation;
use keyless_core::gate::Gate;

/// The rules of these names.
///
/// # Errors
///
/// If there is none of a name.
pub(crate) fn named(names: &[String]) -> anyhow::Result<BTreeSet<Ablation>> {
    names.iter().map(|name| find(name).with_context(|| format!("no rule is called `{name}`"))).collect()
}

fn find(name: &str) -> Option<Ablation> {
    match name {
        "lint" => Some(Ablation::Lint),
        "revision" => Some(Ablation::Revision),
        "same_step" => Some(Ablation::SameStep),
        "confirm" => Some(Ablation::Confirm),
        "off_last" => Some(Ablation::OffLast),
        "on_first" => Some(Ablation::OnFirst),
        _ => Gate::ALL.into_iter().find(|gate| gate.as_str() == name).map(Ablation::Gate),
    }
}
