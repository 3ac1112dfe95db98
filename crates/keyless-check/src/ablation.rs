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

/// The arguments that take these rules away.
pub(crate) fn arguments(rules: &BTreeSet<Ablation>) -> String {
    rules.iter().map(|rule| format!(" --without {}", name(*rule))).collect()
}

fn name(rule: Ablation) -> &'static str {
    match rule {
        Ablation::Gate(gate) => gate.as_str(),
        Ablation::Lint => "lint",
        Ablation::Revision => "revision",
        Ablation::SameStep => "same_step",
        Ablation::Confirm => "confirm",
        Ablation::OffLast => "off_last",
        Ablation::OnFirst => "on_first",
    }
}

/// All rules that can be taken away.
fn all() -> impl Iterator<Item = Ablation> {
    use Ablation::{Confirm, Lint, OffLast, OnFirst, Revision, SameStep};
    Gate::ALL.into_iter().map(Ablation::Gate).chain([Lint, Revision, SameStep, Confirm, OffLast, OnFirst])
}

fn find(of: &str) -> Option<Ablation> {
    all().find(|rule| name(*rule) == of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_found_by_the_name_by_which_it_is_told() {
        for rule in all() {
            let told = arguments(&BTreeSet::from([rule]));
            assert_eq!(find(told.trim_start_matches(" --without ")), Some(rule));
        }
    }
}
