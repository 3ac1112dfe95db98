//! A workspace takes the account's keys anew, on its way back to them.
//!
//! Before the switch rather than after it: in access-key mode a workspace with old keys is an outage, on identity it is
//! not. Azure itself takes about an hour to hand new keys on.
//! Source: MicrosoftDocs/azure-ai-docs `articles/machine-learning/how-to-manage-workspace-cli.md`, "Sync keys".

use std::collections::BTreeSet;

use crate::action::{Action, Effort};
use crate::desired::DesiredWorkspace;
use crate::gate::Gate;
use crate::observed::Workspace;
use crate::plan::gates;

use super::Planner;
use super::key::KeyTarget;

impl Planner<'_> {
    /// Where the keys may have been made anew since the workspace took them.
    pub(super) fn resync_before(&mut self, workspace: &DesiredWorkspace, own: &Workspace, target: &KeyTarget) {
        let Some(account) = self.observed.account.value().and_then(Option::as_ref) else { return };
        let accepted =
            workspace.accept_stale_keys.as_ref().is_some_and(|accepted| accepted.holds(self.observed.latest()));
        if !accepted && gates::staleness(own, account.key_times, self.observed).is_some() {
            self.resync(workspace, target);
        }
    }

    /// Once more after the switch, where they were taken before it.
    pub(super) fn resync_after(&mut self, workspace: &DesiredWorkspace, target: &KeyTarget) {
        if gates::is_owed(&workspace.id, self.observed) {
            self.resync(workspace, target);
        }
    }

    fn resync(&mut self, workspace: &DesiredWorkspace, target: &KeyTarget) {
        let action = Action::ResyncWorkspaceKeys { workspace: workspace.id.clone() };
        let active = gates::workspace_active(workspace, self.desired, self.observed.now);
        let mut checks = self.checks(&action, Effort::Loosen, active);
        checks.look(Gate::ModeKnown, gates::mode_known(&workspace.id, self.observed));
        checks.look(Gate::KeyOn, gates::key_on(self.observed, matches!(target, KeyTarget::On)));
        self.barriers(&mut checks, &action);
        self.push(action, Effort::Loosen, BTreeSet::from([workspace.id.clone()]), checks);
    }
}
