//! Own grants that no document asks for any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{Action, Effort, is_own_name};
use crate::gate::Gate;
use crate::id::{PrincipalId, WorkspaceId};
use crate::plan::Finding;
use crate::plan::gates;
use crate::plan::needs::{NeedView, Resolved};

use super::Planner;

impl Planner<'_> {
    /// Own grants of principals that left every document of the account.
    pub(super) fn revokes(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>) {
        let Some(assignments) = self.observed.assignments.value() else { return };
        let mut kept: BTreeSet<PrincipalId> = BTreeSet::new();
        let mut all_known = self.desired.unplaced.is_empty()
            // A workspace whose document was removed keeps what it has.
            && self.observed.workspaces.keys().all(|id| self.desired.workspaces.contains_key(id))
            && self.desired.workspaces.keys().all(|id| views.contains_key(id));
        for view in views.values().flatten() {
            match &view.holders {
                Resolved::Known(holders) => kept.extend(holders.iter().map(|(principal, _)| *principal)),
                Resolved::Missing(_) | Resolved::Unknown(..) | Resolved::NotRead(_) => all_known = false,
            }
        }
        if self.desired.workspaces.is_empty() || !all_known {
            return;
        }
        let owner = &self.desired.fleet.owner;
        let account = self.desired.account_id.arm();
        let leavers = assignments.iter().filter(|assignment| {
            assignment.scope == *account && !kept.contains(&assignment.principal) && is_own_name(owner, assignment)
        });
        for assignment in leavers {
            let (id, principal, role) = (assignment.id.clone(), assignment.principal, assignment.role);
            if !self.desired.fleet.prune {
                self.findings.insert(Finding::GrantUnwanted { assignment: id, principal, role });
                continue;
            }
            let action = Action::RevokeRole { assignment: id, principal, role };
            let active = gates::account_active(self.desired, self.observed.now);
            let mut checks = self.checks(&action, Effort::Loosen, active);
            checks.look(Gate::Unlocked, gates::unlocked(&action, self.observed));
            checks.look(Gate::WentBack, gates::went_back(self.observed, self.desired));
            checks.look(Gate::Listed, gates::subscriptions_listed(self.observed));
            self.rights_and_policies(&mut checks, &action);
            self.push(action, Effort::Loosen, BTreeSet::new(), checks);
        }
    }
}
