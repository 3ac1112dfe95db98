//! Identities that hold data roles on the account and belong to nothing that is known here: told, and never touched.

use std::collections::{BTreeMap, BTreeSet};

use crate::access;
use crate::action::{assignment_name, second_name};
use crate::catalog;
use crate::gate::ReadSet;
use crate::id::{PrincipalId, WorkspaceId};
use crate::observed::{Identity, PrincipalType, Reading, RoleAssignment};
use crate::plan::needs::{NeedView, Resolved};
use crate::plan::{Finding, Look};

use super::Planner;

impl Planner<'_> {
    /// Looks only when people do: what belongs to the workspaces costs a read of the computes of each.
    pub(super) fn foreign_holders(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>) {
        if self.look != Look::Everything {
            return;
        }
        let Some(known) = self.known_principals(views) else { return };
        let Some(assignments) = self.observed.assignments.value() else { return };
        let account = self.observed.account_id.arm();
        let owner = &self.desired.fleet.owner;
        let foreign = assignments.iter().filter(|assignment| {
            let RoleAssignment { principal, principal_type, role, scope, name, condition, .. } = assignment;
            *principal_type == Some(PrincipalType::ServicePrincipal)
                && scope.covers(account)
                && !known.contains(principal)
                && ![assignment_name, second_name]
                    .iter()
                    .any(|named| named(owner, scope, *principal, *role, condition.as_deref()) == *name)
                && self.gives_data(assignment)
        });
        let found: Vec<Finding> = foreign
            .map(|assignment| Finding::ForeignHolder {
                principal: assignment.principal,
                role: self.role_name(assignment),
                scope: assignment.scope.clone(),
            })
            .collect();
        self.findings.extend(found);
    }

    /// Everybody who belongs to a workspace, a compute, an endpoint or a document; nothing while any of them is not known.
    fn known_principals(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>) -> Option<BTreeSet<PrincipalId>> {
        let observed = self.observed;
        if observed.listings.is_empty() || observed.listings.values().any(|reading| reading.value().is_none()) {
            return None;
        }
        let mut known = BTreeSet::new();
        let mut wants = ReadSet::default();
        let mut complete = true;
        let mut take = |identity: &Identity, wants: &mut ReadSet| {
            known.extend(identity.system);
            let mut all = true;
            for (id, told) in &identity.user_assigned {
                match (told, observed.identities.get(id)) {
                    (Some(principal), _) => drop(known.insert(*principal)),
                    (None, Some(Reading::Known { value, .. })) => known.extend(*value),
                    (None, None | Some(Reading::NotRead)) => {
                        wants.identities.insert(id.clone());
                        all = false;
                    }
                    (None, Some(Reading::Unknown { .. })) => all = false,
                }
            }
            all
        };
        for (id, entry) in &observed.workspaces {
            match &entry.workspace {
                Reading::Known { value: Some(own), .. } => complete &= take(&own.identity, &mut wants),
                Reading::Known { value: None, .. } => continue,
                Reading::NotRead => {
                    wants.workspaces.insert(id.clone());
                    complete = false;
                }
                Reading::Unknown { .. } => complete = false,
            }
            match &entry.computes {
                Reading::Known { value, .. } => {
                    for compute in value {
                        complete &= take(&compute.identity, &mut wants);
                    }
                }
                Reading::NotRead => {
                    wants.computes.insert(id.clone());
                    complete = false;
                }
                Reading::Unknown { .. } => complete = false,
            }
        }
        match &observed.endpoints {
            Reading::Known { value, .. } => {
                for endpoint in value {
                    complete &= take(&endpoint.identity, &mut wants);
                }
                // Endpoints are read for declared workspaces alone.
                complete &= observed.workspaces.keys().all(|id| self.desired.workspaces.contains_key(id));
                complete &= !self.desired.workspaces.keys().any(|id| self.hides_endpoints(id));
            }
            Reading::NotRead => {
                wants.endpoints = true;
                complete = false;
            }
            Reading::Unknown { .. } => complete = false,
        }
        for view in views.values().flatten() {
            match &view.holders {
                Resolved::Known(holders) => known.extend(holders.iter().map(|(principal, _)| *principal)),
                // A principal that does not exist holds nothing.
                Resolved::Missing(_) => {}
                Resolved::Unknown(..) | Resolved::NotRead(_) => complete = false,
            }
        }
        self.wants.add(wants);
        complete.then_some(known)
    }

    fn gives_data(&self, assignment: &RoleAssignment) -> bool {
        let Some(definition) = self.observed.roles.get(&assignment.role).and_then(Reading::value) else { return false };
        let data = catalog::ROLES.iter().flat_map(|role| role.data_actions);
        data.into_iter().any(|action| definition.permissions.iter().any(|block| access::allows(block, action)))
    }

    fn role_name(&self, assignment: &RoleAssignment) -> String {
        let told = self.observed.roles.get(&assignment.role).and_then(Reading::value).map(|role| role.name.clone());
        told.unwrap_or_else(|| assignment.role.to_string())
    }
}
