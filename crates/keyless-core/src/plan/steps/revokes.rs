//! Own grants that no document asks for any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{Action, Effort, is_own_name};
use crate::gate::Gate;
use crate::id::{PrincipalId, WorkspaceId};
use crate::plan::Finding;
use crate::plan::gates::{self, listed};
use crate::plan::needs::{NeedView, Resolved};

use super::Planner;

impl Planner<'_> {
    /// Own grants of principals that left every document of the account. At the account they are taken back where the files say
    /// so; at its resource group they are only named, because what rests on them on other accounts is not seen from here.
    pub(super) fn revokes(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>) {
        let Some(assignments) = self.observed.assignments.value() else { return };
        let mut kept: BTreeSet<PrincipalId> = BTreeSet::new();
        let mut doubts: BTreeSet<String> =
            self.desired.unplaced.keys().map(|id| format!("{} may stand on it", id.name())).collect();
        // A workspace whose document was removed keeps what it has.
        let undeclared = self.observed.workspaces.keys().filter(|id| !self.desired.workspaces.contains_key(id));
        doubts.extend(undeclared.map(|id| format!("{} is not declared", id.name())));
        let absent = self.desired.workspaces.keys().filter(|id| !views.contains_key(id));
        doubts.extend(absent.map(|id| format!("{} is not there, or was not read", id.name())));
        for (id, view) in views.iter().flat_map(|(id, views)| views.iter().map(move |view| (id, view))) {
            match &view.holders {
                Resolved::Known(holders) => kept.extend(holders.iter().map(|(principal, _)| *principal)),
                Resolved::Missing(_) | Resolved::Unknown(..) | Resolved::NotRead(_) => {
                    doubts.insert(format!("who {} of {} is, is not known", view.need.principal, id.name()));
                }
            }
        }
        if self.desired.workspaces.is_empty() {
            return;
        }
        let owner = &self.desired.fleet.owner;
        let (account, group) = (self.desired.account_id.arm(), self.desired.account_id.group());
        let leavers: Vec<_> = assignments
            .iter()
            .filter(|assignment| !kept.contains(&assignment.principal) && is_own_name(owner, assignment))
            .filter(|grant| grant.scope == *account || (grant.scope == group && !self.desired.group_is_shared))
            .collect();
        if !doubts.is_empty() {
            if !leavers.is_empty() {
                let why = listed(&doubts.into_iter().collect::<Vec<_>>());
                self.findings.insert(Finding::LeaversUnknown { grants: leavers.len(), why });
            }
            return;
        }
        for assignment in leavers {
            let (id, principal, role) = (assignment.id.clone(), assignment.principal, assignment.role);
            if !self.desired.fleet.prune || assignment.scope != *account {
                self.findings.insert(Finding::GrantUnwanted {
                    assignment: id,
                    principal,
                    role,
                    scope: assignment.scope.clone(),
                });
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
