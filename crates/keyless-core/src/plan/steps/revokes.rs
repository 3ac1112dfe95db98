//! Own grants that no document asks for any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{Action, Effort};
use crate::gate::Gate;
use crate::id::WorkspaceId;
use crate::plan::Finding;
use crate::plan::gates::{self, listed};
use crate::plan::needs::NeedView;

use super::Planner;
use super::leavers::Leaving;

impl Planner<'_> {
    /// Takes back what nobody's access rests on any more: everybody whom the files name has to work without it.
    pub(super) fn revokes(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>, leaving: Leaving<'_>) {
        let Leaving { grants, named, doubts, rest } = leaving;
        if !doubts.is_empty() {
            let grants = grants.len().saturating_add(named.len());
            if grants > 0 {
                self.findings
                    .insert(Finding::LeaversUnknown { grants, why: listed(&doubts.into_iter().collect::<Vec<_>>()) });
            }
            return;
        }
        self.findings.extend(named.into_iter().map(|grant| Finding::GrantUnwanted {
            assignment: grant.id.clone(),
            principal: grant.principal,
            role: grant.role,
            scope: grant.scope.clone(),
        }));
        for grant in grants {
            let action =
                Action::RevokeRole { assignment: grant.id.clone(), principal: grant.principal, role: grant.role };
            let remaining = gates::leaver::remaining(views, grant, &rest);
            let active = gates::account_active(self.desired, self.observed.now);
            let mut checks = self.checks(&action, Effort::Loosen, active);
            checks.look(Gate::Unlocked, gates::unlocked(&action, self.observed));
            checks.look(Gate::WentBack, gates::went_back(self.observed, self.desired));
            checks.look(Gate::Listed, gates::subscriptions_listed(self.observed));
            checks.look(Gate::NeedsCovered, gates::leaver::covered(&remaining, &rest, self.desired));
            checks.look(Gate::NeedsAged, gates::needs_aged(&remaining, &rest, self.desired));
            self.rights_and_policies(&mut checks, &action);
            self.push(action, Effort::Loosen, BTreeSet::new(), checks);
        }
    }
}
