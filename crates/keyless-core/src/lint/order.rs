//! In which order steps may stand.

use std::collections::BTreeSet;

use crate::action::{Action, Effort};
use crate::desired::AuthMode;
use crate::plan::Plan;

use super::{Rule, Verdict};

/// Where an action stands in any plan: nothing of a later rank comes before anything of an earlier one.
///
/// Forward: grants, new workspaces, modes to identity, datastores, key off. Back: key on, keys taken, modes back; grants
/// are taken back last of all.
fn rank(action: &Action) -> u8 {
    match action {
        Action::GrantRole(_) => 0,
        Action::CreateWorkspace { .. } => 1,
        Action::SetSharedKeyAccess { allowed: true, .. } => 2,
        Action::SetAuthMode { .. } | Action::ResyncWorkspaceKeys { .. } => 3,
        Action::SetDatastoreCredential { .. } | Action::CreateDatastore { .. } => 4,
        Action::SetSharedKeyAccess { allowed: false, .. } => 5,
        Action::RevokeRole { .. } => 6,
    }
}

/// What a change does to people, told apart from what the planner says of it.
fn effort(action: &Action) -> &'static [Effort] {
    match action {
        Action::GrantRole(_) => &[Effort::Repair],
        Action::SetAuthMode { mode: AuthMode::Identity, .. } => &[Effort::Tighten, Effort::Repair],
        Action::SetSharedKeyAccess { allowed: true, .. } => &[Effort::Loosen, Effort::Repair],
        Action::CreateWorkspace { .. }
        | Action::SetDatastoreCredential { .. }
        | Action::SetSharedKeyAccess { allowed: false, .. } => &[Effort::Tighten],
        Action::SetAuthMode { mode: AuthMode::AccessKey, .. }
        | Action::ResyncWorkspaceKeys { .. }
        | Action::CreateDatastore { .. }
        | Action::RevokeRole { .. } => &[Effort::Loosen],
    }
}

pub(super) fn judge(plan: &Plan, found: &mut Verdict) {
    let mut seen = BTreeSet::new();
    let mut highest = 0;
    for step in &plan.steps {
        found.step = Some(step.action.clone());
        found.demand(seen.insert(&step.action), Rule::Order, "the same change stands in the plan twice");
        let rank = rank(&step.action);
        found.demand(rank >= highest, Rule::Order, "it stands behind a step that has to come after it");
        highest = highest.max(rank);
        found.demand(
            effort(&step.action).contains(&step.effort),
            Rule::Order,
            format!("a change of this kind does not {}", step.effort.as_str()),
        );
    }
    found.step = None;
    let flags = plan.steps.iter().filter(|step| matches!(step.action, Action::SetSharedKeyAccess { .. })).count();
    found.demand(flags <= 1, Rule::Order, "the plan turns the key on and off");
    let mut modes = BTreeSet::new();
    for step in &plan.steps {
        if let Action::SetAuthMode { workspace, .. } = &step.action {
            found.demand(modes.insert(workspace), Rule::Order, format!("{} gets two modes", workspace.name()));
        }
    }
}
