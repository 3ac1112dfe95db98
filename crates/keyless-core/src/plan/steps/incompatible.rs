//! What is known not to work in workspaces that go forward, told before they are switched; of computes after it, too.

use std::collections::BTreeSet;

use crate::access::{self, Cover, Question};
use crate::catalog;
use crate::desired::{DesiredWorkspace, PrincipalRef};
use crate::gate::ReadSet;
use crate::incompatibility::{self, Detected, Incompatibility};
use crate::observed::{BarrierReads, Compute, PrincipalType, Reading, Workspace};
use crate::plan::gates::tenant::{self, Tenants};
use crate::plan::{Finding, Unseen, gates};

use super::Planner;

impl Planner<'_> {
    pub(super) fn incompatible(&mut self, workspace: &DesiredWorkspace, own: &Workspace) {
        self.switches.insert(own.kind.clone());
        self.look_for(incompatibility::ALL.iter(), workspace, own);
        self.note_tenants(own);
    }

    /// An account of another tenant is mostly one that cannot be read: then this is asked for whatever else holds the switch,
    /// for it says why.
    fn note_tenants(&mut self, own: &Workspace) {
        match tenant::tenants(own, self.observed) {
            Tenants::NotRead(subscription) if self.observed.account.failure().is_some() => {
                let tenants = BTreeSet::from([subscription]);
                let barriers = Box::new(BarrierReads { tenants, ..BarrierReads::default() });
                self.wants.add(ReadSet { barriers, ..ReadSet::default() });
            }
            Tenants::Unseen(why, cause) => {
                self.findings.insert(Finding::Unseen { what: Unseen::Tenants(own.id.clone()), why, cause });
            }
            Tenants::NotRead(_) | Tenants::Same | Tenants::Apart { .. } | Tenants::Unknown(_) => {}
        }
    }

    /// Computes that came into a workspace after its switch. It costs a read of each once an interval, and holds nothing.
    pub(super) fn late_computes(&mut self, workspace: &DesiredWorkspace, own: &Workspace) {
        match self.observed.workspaces.get(&workspace.id).map(|entry| &entry.computes) {
            None | Some(Reading::NotRead) => {
                let computes_lately = BTreeSet::from([workspace.id.clone()]);
                self.wants.add(ReadSet { computes_lately, ..ReadSet::default() });
            }
            Some(Reading::Unknown { why, cause }) => {
                let what = Unseen::Computes(workspace.id.clone());
                self.findings.insert(Finding::Unseen { what, why: why.clone(), cause: cause.clone() });
            }
            Some(Reading::Known { .. }) => {
                self.look_for(incompatibility::ALL.iter().filter(|row| row.is_of_computes()), workspace, own);
            }
        }
    }

    fn look_for<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a Incompatibility>,
        workspace: &DesiredWorkspace,
        own: &Workspace,
    ) {
        for row in rows {
            let found = match gates::detect(row, workspace, own, self.observed) {
                Ok(Detected::Yes(found)) => found,
                Ok(Detected::NeedsRoles) => self.computes_without_role(workspace),
                // What was not read yet is asked for by the gate.
                Ok(Detected::No | Detected::NeedsComputes | Detected::NeedsTenants) | Err(_) => continue,
            };
            if found.is_empty() {
                continue;
            }
            let accepted = workspace.accept_incompatible.get(row.id);
            self.findings.insert(Finding::Incompatible {
                workspace: workspace.id.clone(),
                id: row.id,
                found: found.join(", "),
                accepted: accepted.filter(|accepted| accepted.holds(self.observed.latest())).map(ToString::to_string),
            });
        }
    }

    /// Training computes that the document does not name, and an identity of which is known not to read blobs.
    fn computes_without_role(&mut self, workspace: &DesiredWorkspace) -> Vec<String> {
        let computes = self.observed.workspaces.get(&workspace.id).and_then(|entry| entry.computes.value());
        let named = |compute: &Compute| {
            workspace.needs.iter().any(|need| match &need.principal {
                PrincipalRef::Compute(name) => compute.name.eq_ignore_ascii_case(name),
                _ => false,
            })
        };
        let clusters = computes.into_iter().flatten();
        let clusters = clusters.filter(|compute| compute.compute_type.eq_ignore_ascii_case("AmlCompute"));
        let lacking = clusters.filter(|compute| !named(compute) && self.lacks_role(compute));
        lacking.map(|compute| compute.name.clone()).collect()
    }

    fn lacks_role(&mut self, compute: &Compute) -> bool {
        let Some(role) = catalog::find_role(catalog::BLOB_READER) else { return false };
        let (observed, waits) = (self.observed, &self.desired.fleet.waits);
        let mut lacks = false;
        let assigned = compute.identity.user_assigned.iter();
        let assigned = assigned.filter_map(|(id, told)| told.or_else(|| *observed.identities.get(id)?.value()?));
        for principal in compute.identity.system.into_iter().chain(assigned) {
            let question = Question::plain(principal, PrincipalType::ServicePrincipal, role);
            match access::effective_cover(&question, observed, waits) {
                Cover::Missing { .. } | Cover::Denied { .. } => lacks = true,
                Cover::NotRead(reads) => self.wants.add(*reads),
                Cover::Covered { .. } | Cover::Unknown { .. } => {}
            }
        }
        lacks
    }
}
