//! What a pass reads: at its start, before a write, and after it.

use std::collections::BTreeSet;

use crate::action::Action;
use crate::desired::{AuthMode, CreateKind, DesiredWorkspace, KeyDesired, PrincipalRef};
use crate::gate::{Gate, ReadSet};
use crate::id::{PrincipalId, WorkspaceId};
use crate::observed::Observed;

use super::Step;
use super::gates::barriers;
use super::needs::{self, Resolved};
use super::steps::lost;

/// What every pass reads first: enough to tell drift.
#[must_use]
pub fn base_reads(desired: &KeyDesired) -> ReadSet {
    // A missing grant of an endpoint is told on the pass after the endpoint came.
    let endpoints = desired.workspaces.values().any(DesiredWorkspace::cares_for_service_grants);
    let mut reads = ReadSet { account: true, assignments: true, endpoints, ..ReadSet::default() };
    for (id, workspace) in &desired.workspaces {
        reads.add(principal_reads(desired, id));
        // So is a compute that came after the switch and will not work.
        reads.computes_lately.extend((workspace.auth_mode == AuthMode::Identity).then(|| id.clone()));
        // And what deny assignments take after it.
        reads.denies_lately |= workspace.auth_mode == AuthMode::Identity && lost::may_lose(workspace);
    }
    reads
}

/// The hub that a project is made in, of a document that says how.
fn hub_of(id: &WorkspaceId, desired: &KeyDesired) -> Option<WorkspaceId> {
    match &desired.workspaces.get(id)?.create.as_ref()?.kind {
        CreateKind::Project(hub) => Some(hub.clone()),
        CreateKind::Default(_) | CreateKind::Hub(_) => None,
    }
}

/// The reads that resolve the principals of one workspace's document, and the workspace itself.
fn principal_reads(desired: &KeyDesired, id: &WorkspaceId) -> ReadSet {
    let mut reads = ReadSet { workspaces: BTreeSet::from([id.clone()]), ..ReadSet::default() };
    for need in desired.workspaces.get(id).into_iter().flat_map(|workspace| &workspace.needs) {
        match &need.principal {
            PrincipalRef::ManagedIdentity(identity) => {
                reads.identities.insert(identity.clone());
            }
            PrincipalRef::Compute(_) => {
                reads.computes.insert(id.clone());
            }
            PrincipalRef::Object { .. } | PrincipalRef::WorkspaceSystem | PrincipalRef::WorkspaceUserAssigned => {}
        }
    }
    reads
}

/// What is read again, after planning and right before the write, so that every gate of the step is judged afresh.
#[must_use]
pub fn confirm_reads(step: &Step, desired: &KeyDesired, observed: &Observed) -> ReadSet {
    let barriers = Box::new(barriers::reads(&step.action, &desired.account_id));
    let mut reads = ReadSet { account: true, locks: true, denies: true, barriers, ..ReadSet::default() };
    for id in &step.workspaces {
        reads.add(principal_reads(desired, id));
    }
    if step.gates.iter().any(|check| check.gate == Gate::DataProbed) {
        let account = observed.account.value().and_then(Option::as_ref);
        reads.data_probe = account.and_then(|account| account.blob_endpoint.clone());
    }
    match &step.action {
        Action::GrantRole(grant) => {
            reads.assignments = true;
            reads.barriers.assignment_counts.extend(grant.scope.subscription());
            // That no group of its gives what is missing, if it was looked up.
            reads.groups.extend(observed.groups.contains_key(&grant.principal).then_some(grant.principal));
            for id in &step.workspaces {
                reads.identities.extend(identities_told_apart(observed, id));
            }
            if step.gates.iter().any(|check| check.gate == Gate::HubThere) {
                reads.workspaces.extend(step.workspaces.iter().filter_map(|id| hub_of(id, desired)));
            }
        }
        Action::SetAuthMode { workspace, mode } => {
            reads.workspaces.insert(workspace.clone());
            if *mode == AuthMode::Identity {
                reads.assignments = true;
                reads.groups.extend(groups_rested_on(desired, observed, workspace));
                reads.computes.insert(workspace.clone());
                // That the account is of the same tenant, where that was asked.
                reads.barriers.tenants.extend(observed.barriers.tenants.keys());
                reads.identities.extend(identities_told_apart(observed, workspace));
                let (identities, principals) = needs::acting(workspace, observed);
                reads.identities.extend(identities.into_iter().filter(|id| observed.identities.contains_key(id)));
                reads.groups.extend(principals.into_iter().filter(|id| observed.groups.contains_key(id)));
                if step.gates.iter().any(|check| check.gate == Gate::Drained) {
                    reads.jobs.insert(workspace.clone());
                }
            }
        }
        Action::CreateWorkspace { workspace, create } => {
            reads.workspaces.insert(workspace.clone());
            if let CreateKind::Project(hub) = &create.kind {
                reads.workspaces.insert(hub.clone());
            }
            reads.assignments = true;
            reads.groups.extend(groups_rested_on(desired, observed, workspace));
            reads.denies = true;
        }
        Action::SetSharedKeyAccess { allowed: false, .. } => {
            reads.listings = true;
            reads.key_usage = true;
            // Only then does it decide anything; elsewhere it names people.
            reads.key_details = desired.accepted_sas().any(|(services, _)| !services.is_empty());
            reads.elsewhere = true;
            reads.workspaces.extend(observed.workspaces.keys().cloned());
            reads.datastores.extend(observed.workspaces.keys().cloned());
        }
        Action::ResyncWorkspaceKeys { .. } | Action::SetSharedKeyAccess { allowed: true, .. } => {}
        Action::SetDatastoreCredential { workspace, name, .. } => {
            let known = observed.workspaces.get(workspace).and_then(|entry| entry.datastores.value());
            let own = desired.account_id.name();
            reads.access_at = super::gates::accounts_of(name, known.map(Vec::as_slice).unwrap_or_default(), own);
            reads.workspaces.insert(workspace.clone());
            reads.datastores.insert(workspace.clone());
            reads.assignments = true;
            reads.groups.extend(groups_rested_on(desired, observed, workspace));
            reads.denies = true;
            reads.identities.extend(identities_told_apart(observed, workspace));
        }
        Action::CreateDatastore { workspace, .. } => {
            reads.workspaces.insert(workspace.clone());
            reads.datastores.insert(workspace.clone());
        }
        Action::RevokeRole { principal, .. } => {
            reads.assignments = true;
            reads.listings = true;
            reads.elsewhere = true;
            reads.groups.extend(observed.groups.contains_key(principal).then_some(*principal));
            for id in desired.workspaces.keys() {
                reads.add(principal_reads(desired, id));
                reads.groups.extend(groups_rested_on(desired, observed, id));
                reads.identities.extend(identities_told_apart(observed, id));
            }
        }
    }
    reads
}

/// The principals of a workspace's needs whose groups were looked up: their cover, or their being spared, may rest on them.
fn groups_rested_on(desired: &KeyDesired, observed: &Observed, workspace: &WorkspaceId) -> BTreeSet<PrincipalId> {
    let Some(declared) = desired.workspaces.get(workspace) else { return BTreeSet::new() };
    let service = needs::service_need(declared);
    needs::views(declared, service.as_ref(), observed)
        .into_iter()
        .filter_map(|view| match view.holders {
            Resolved::Known(holders) => Some(holders),
            Resolved::Missing(_) | Resolved::Unknown(..) | Resolved::NotRead(_) => None,
        })
        .flatten()
        .map(|(principal, _)| principal)
        .filter(|principal| observed.groups.contains_key(principal))
        .collect()
}

/// User-assigned identities of a workspace and its computes whose object id only a read of their own tells, as was needed.
fn identities_told_apart(observed: &Observed, workspace: &WorkspaceId) -> BTreeSet<crate::id::ManagedIdentityId> {
    let Some(entry) = observed.workspaces.get(workspace) else { return BTreeSet::new() };
    let own = entry.workspace.value().and_then(Option::as_ref).map(|own| &own.identity);
    let computes = entry.computes.value().into_iter().flatten().map(|compute| &compute.identity);
    let blocks = own.into_iter().chain(computes).flat_map(|identity| &identity.user_assigned);
    blocks
        .filter(|(id, told)| told.is_none() && observed.identities.contains_key(*id))
        .map(|(id, _)| id.clone())
        .collect()
}

/// What shows whether a write took: the changed resource itself.
#[must_use]
pub fn target_reads(action: &Action) -> ReadSet {
    match action {
        Action::GrantRole(grant) => {
            ReadSet { assignments_by_id: BTreeSet::from([grant.id()]), ..ReadSet::default() } //
        }
        Action::RevokeRole { assignment, .. } => {
            ReadSet { assignments_by_id: BTreeSet::from([assignment.clone()]), ..ReadSet::default() }
        }
        Action::SetAuthMode { workspace, .. } | Action::CreateWorkspace { workspace, .. } => {
            ReadSet { workspaces: BTreeSet::from([workspace.clone()]), ..ReadSet::default() }
        }
        Action::SetDatastoreCredential { workspace, .. } | Action::CreateDatastore { workspace, .. } => {
            ReadSet { datastores: BTreeSet::from([workspace.clone()]), ..ReadSet::default() }
        }
        Action::SetSharedKeyAccess { .. } => ReadSet { account: true, ..ReadSet::default() },
        // Azure shows nothing of it: that the operation ended well is all there is.
        Action::ResyncWorkspaceKeys { .. } => ReadSet::default(),
    }
}
