//! Who the principals of the files are on this pass, and whether each need of a workspace is met.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use uuid::Uuid;

use crate::access::{self, Cover, Denial, Evidence, Question};
use crate::catalog::{self, CatalogRole};
use crate::desired::{Because, DesiredWorkspace, Need, PrincipalRef, ServiceGrants, Waits};
use crate::gate::ReadSet;
use crate::id::{ManagedIdentityId, PrincipalId, WorkspaceId};
use crate::observed::{Cause, Identity, Observed, PrincipalType, Reading, Workspace, WorkspaceKind};

/// A principal of the files, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resolved {
    /// These object ids.
    Known(Vec<(PrincipalId, PrincipalType)>),
    /// Azure says there is none.
    Missing(String),
    /// It could not be read.
    Unknown(String, Cause),
    /// These reads tell.
    NotRead(Box<ReadSet>),
}

/// One need of one workspace: the role and who holds it how.
#[derive(Clone)]
pub(super) struct NeedView<'a> {
    /// The need.
    pub(super) need: &'a Need,
    /// The catalog's entry of its role.
    pub(super) role: &'static CatalogRole,
    /// Its principals.
    pub(super) holders: Resolved,
}

impl NeedView<'_> {
    /// What is asked about one of its principals.
    pub(super) fn question(&self, principal: PrincipalId, kind: PrincipalType) -> Question<'_> {
        Question { principal, kind: Some(kind), role: self.role, condition: self.need.condition.as_deref() }
    }
}

/// The needs of a workspace, with the service's own grant added where the file says `serviceGrants: grant`.
pub(super) fn views<'a>(
    workspace: &'a DesiredWorkspace,
    service_need: Option<&'a Need>,
    observed: &Observed,
) -> Vec<NeedView<'a>> {
    let service_need = service_need.filter(|_| !stands_conditioned(workspace, observed));
    workspace
        .needs
        .iter()
        .chain(service_need)
        // The manifest admits only roles of the catalog.
        .filter_map(|need| catalog::find_role(need.role).map(|role| (need, role)))
        .map(|(need, role)| NeedView { need, role, holders: resolve(&need.principal, &workspace.id, observed) })
        .collect()
}

/// Whether the service's own grant is there in the conditioned form that is right for this kind of workspace. Azure takes no
/// second one beside it, and none is needed.
fn stands_conditioned(workspace: &DesiredWorkspace, observed: &Observed) -> bool {
    let Ok(own) = own(&workspace.id, observed) else { return false };
    let (Some(principal), Some(role)) = (own.identity.system, catalog::find_role(catalog::BLOB_CONTRIBUTOR)) else {
        return false;
    };
    let question = Question::plain(principal, PrincipalType::ServicePrincipal, role);
    // How old it is plays no part in the answer.
    let waits = Waits::default();
    let plain = access::direct_cover(&question, observed, &waits);
    let cover = access::service_cover(&question, own_containers(own), observed, &waits);
    matches!(plain, Cover::Missing { conditional: true, .. }) && !matches!(cover, Cover::Missing { .. })
}

/// The need that stands for the service's own grant, if the file asks for it to be made.
pub(super) fn service_need(workspace: &DesiredWorkspace) -> Option<Need> {
    (workspace.service_grants == ServiceGrants::Grant).then(grant_of_service)
}

/// What the service grants to the workspace's own identity, as a need.
pub(super) fn grant_of_service() -> Need {
    Need {
        principal: PrincipalRef::WorkspaceSystem,
        role: catalog::BLOB_CONTRIBUTOR,
        grant_scope: crate::desired::GrantScope::Account,
        condition: None,
        because: BTreeSet::from([Because::ServiceGrants]),
    }
}

pub(super) fn resolve(principal: &PrincipalRef, workspace: &WorkspaceId, observed: &Observed) -> Resolved {
    match principal {
        PrincipalRef::Object { kind, id, name: _ } => Resolved::Known(vec![(*id, kind_of(*id, *kind, observed))]),
        PrincipalRef::ManagedIdentity(id) => resolve_identity(id, observed),
        PrincipalRef::WorkspaceSystem => match own(workspace, observed) {
            Ok(own) => match own.identity.system {
                Some(id) => Resolved::Known(vec![(id, PrincipalType::ServicePrincipal)]),
                None => Resolved::Missing("the workspace has no system-assigned identity".to_owned()),
            },
            Err(resolved) => resolved,
        },
        PrincipalRef::WorkspaceUserAssigned => match own(workspace, observed) {
            Ok(own) if own.identity.user_assigned.is_empty() => {
                Resolved::Missing("the workspace has no user-assigned identity".to_owned())
            }
            Ok(own) => {
                let user_assigned = own.identity.user_assigned.clone();
                resolve_block(&Identity { system: None, user_assigned }, observed)
            }
            Err(resolved) => resolved,
        },
        PrincipalRef::Compute(name) => resolve_compute(name, workspace, observed),
    }
}

/// What somebody is: a group where Azure says so, whatever a file calls it, for it takes longer until all in it have what it has.
fn kind_of(id: PrincipalId, named: PrincipalType, observed: &Observed) -> PrincipalType {
    let assigned = observed.assignments.value().into_iter().flatten().filter(|there| there.principal == id);
    assigned.filter_map(|there| there.principal_type).find(|kind| kind.is_group()).unwrap_or(named)
}

fn not_read(reads: ReadSet) -> Resolved {
    Resolved::NotRead(Box::new(reads))
}

pub(super) fn own<'a>(workspace: &WorkspaceId, observed: &'a Observed) -> Result<&'a Workspace, Resolved> {
    let wanted = || not_read(ReadSet { workspaces: BTreeSet::from([workspace.clone()]), ..ReadSet::default() });
    match observed.workspaces.get(workspace).map(|entry| &entry.workspace) {
        None | Some(Reading::NotRead) => Err(wanted()),
        Some(Reading::Unknown { why, cause }) => Err(Resolved::Unknown(why.clone(), cause.clone())),
        Some(Reading::Known { value: None, .. }) => Err(Resolved::Missing("the workspace does not exist".to_owned())),
        Some(Reading::Known { value: Some(own), .. }) => Ok(own),
    }
}

fn resolve_compute(name: &str, workspace: &WorkspaceId, observed: &Observed) -> Resolved {
    let wanted = || not_read(ReadSet { computes: BTreeSet::from([workspace.clone()]), ..ReadSet::default() });
    let computes = match observed.workspaces.get(workspace).map(|entry| &entry.computes) {
        None | Some(Reading::NotRead) => return wanted(),
        Some(Reading::Unknown { why, cause }) => return Resolved::Unknown(why.clone(), cause.clone()),
        Some(Reading::Known { value, .. }) => value,
    };
    let Some(compute) = computes.iter().find(|compute| compute.name.eq_ignore_ascii_case(name)) else {
        return Resolved::Missing("the workspace has no compute of this name".to_owned());
    };
    resolve_block(&compute.identity, observed)
}

fn resolve_block(identity: &Identity, observed: &Observed) -> Resolved {
    let mut ids: Vec<(PrincipalId, PrincipalType)> =
        identity.system.into_iter().map(|id| (id, PrincipalType::ServicePrincipal)).collect();
    let mut wanted = ReadSet::default();
    for (identity, told) in &identity.user_assigned {
        match told {
            Some(id) => ids.push((*id, PrincipalType::ServicePrincipal)),
            None => match resolve_identity(identity, observed) {
                Resolved::Known(more) => ids.extend(more),
                Resolved::NotRead(reads) => wanted.add(*reads),
                other => return other,
            },
        }
    }
    if !wanted.is_empty() {
        return not_read(wanted);
    }
    if ids.is_empty() {
        return Resolved::Missing("there is no managed identity".to_owned());
    }
    Resolved::Known(ids)
}

fn resolve_identity(id: &ManagedIdentityId, observed: &Observed) -> Resolved {
    match observed.identities.get(id) {
        None | Some(Reading::NotRead) => {
            not_read(ReadSet { identities: BTreeSet::from([id.clone()]), ..ReadSet::default() })
        }
        Some(Reading::Unknown { why, cause }) => Resolved::Unknown(why.clone(), cause.clone()),
        Some(Reading::Known { value: None, .. }) => Resolved::Missing("the managed identity does not exist".to_owned()),
        Some(Reading::Known { value: Some(principal), .. }) => {
            Resolved::Known(vec![(*principal, PrincipalType::ServicePrincipal)])
        }
    }
}

/// Who one of the user-assigned identities of a resource is, such as the one that acts for a workspace.
pub(super) fn resolve_assigned(id: &ManagedIdentityId, identity: &Identity, observed: &Observed) -> Resolved {
    let told = identity.user_assigned.get(id).copied().flatten();
    resolve_block(&Identity { system: None, user_assigned: BTreeMap::from([(id.clone(), told)]) }, observed)
}

/// The identities that may act for a workspace, and their principals as far as they are known.
pub(super) fn acting(
    workspace: &WorkspaceId,
    observed: &Observed,
) -> (BTreeSet<ManagedIdentityId>, BTreeSet<PrincipalId>) {
    let Ok(own) = own(workspace, observed) else { return Default::default() };
    let mut principals: BTreeSet<PrincipalId> = own.identity.system.into_iter().collect();
    if let Some(primary) = &own.primary_identity
        && let Resolved::Known(holders) = resolve_assigned(primary, &own.identity, observed)
    {
        principals.extend(holders.into_iter().map(|(principal, _)| principal));
    }
    (own.primary_identity.iter().cloned().collect(), principals)
}

/// How the grant stands that a workspace, or an endpoint of it, works by itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ServiceGrant {
    /// There, in the form that is right for this kind of workspace.
    Present {
        /// When it may be relied on; `None` where Azure does not tell its age.
        works_at: Option<Timestamp>,
        /// What that rests on.
        evidence: Evidence,
    },
    /// Not there.
    Missing(PrincipalId),
    /// Taken away, or perhaps, by this deny assignment.
    Denied(PrincipalId, Box<Denial>),
    /// The customer's own identity acts for the workspace, and has not the role, or is not there.
    NotGranted(Option<PrincipalId>, String),
    /// The workspace has neither a system-assigned nor a primary user-assigned identity.
    NoIdentity,
    /// It could not be read.
    Unknown(String, Cause),
    /// It has not been read: these reads tell.
    NotRead(Box<ReadSet>),
}

/// Judges the grant that a workspace works with by itself: the service's to its system-assigned identity.
///
/// On hub projects and data-isolated workspaces the service makes it with a condition, and that is the right form.
/// Source: "What is an Azure Machine Learning hub workspace?", MicrosoftDocs/azure-ai-docs `concept-hub-workspace.md`.
/// A user-assigned primary identity is the customer's to grant, in whatever way.
pub(super) fn service_grant(workspace: &Workspace, observed: &Observed, waits: &Waits) -> ServiceGrant {
    if let Some(primary) = &workspace.primary_identity {
        return granted_by_customer(primary, workspace, observed, waits);
    }
    let Some(principal) = workspace.identity.system else {
        return ServiceGrant::NoIdentity;
    };
    granted_by_service(principal, own_containers(workspace), observed, waits)
}

/// Judges the grant that the service makes to the system-assigned identity of a managed online endpoint.
pub(super) fn endpoint_grant(
    principal: PrincipalId,
    workspace: &Workspace,
    observed: &Observed,
    waits: &Waits,
) -> ServiceGrant {
    granted_by_service(principal, own_containers(workspace), observed, waits)
}

/// Why it is not known whether the service has granted to this identity of a workspace or of an endpoint; `None` where it is
/// known, and where that rests on the assignments as a whole, of which that is told by itself.
pub(super) fn service_grant_unread(
    principal: PrincipalId,
    workspace: &Workspace,
    observed: &Observed,
    waits: &Waits,
) -> Option<(String, Cause)> {
    let role = catalog::find_role(catalog::BLOB_CONTRIBUTOR)?;
    let question = Question::plain(principal, PrincipalType::ServicePrincipal, role);
    match access::service_granted(&question, own_containers(workspace), observed, waits) {
        Cover::Unknown { why, cause } if observed.assignments.failure().is_none() => Some((why, cause)),
        _ => None,
    }
}

/// Where the service grants under a condition: to which workspace's containers.
pub(super) fn own_containers(workspace: &Workspace) -> Option<Uuid> {
    workspace.guid.filter(|_| workspace.kind == WorkspaceKind::Project || workspace.data_isolation == Some(true))
}

fn granted_by_service(principal: PrincipalId, own: Option<Uuid>, observed: &Observed, waits: &Waits) -> ServiceGrant {
    let Some(role) = catalog::find_role(catalog::BLOB_CONTRIBUTOR) else { return without_role() };
    // The service makes it to the identity itself, so groups need not be read.
    let question = Question::plain(principal, PrincipalType::ServicePrincipal, role);
    of_cover(principal, access::service_cover(&question, own, observed, waits))
}

fn granted_by_customer(
    primary: &ManagedIdentityId,
    workspace: &Workspace,
    observed: &Observed,
    waits: &Waits,
) -> ServiceGrant {
    let Some(role) = catalog::find_role(catalog::BLOB_CONTRIBUTOR) else { return without_role() };
    let principal = match resolve_assigned(primary, &workspace.identity, observed) {
        Resolved::Known(holders) => match holders.first() {
            Some((principal, _)) => *principal,
            None => return ServiceGrant::NoIdentity,
        },
        Resolved::Missing(why) => {
            return ServiceGrant::NotGranted(None, format!("the identity `{}`: {why}", primary.name()));
        }
        Resolved::Unknown(why, cause) => return ServiceGrant::Unknown(why, cause),
        Resolved::NotRead(reads) => return ServiceGrant::NotRead(reads),
    };
    let question = Question::plain(principal, PrincipalType::ServicePrincipal, role);
    match access::effective_cover(&question, observed, waits) {
        Cover::Missing { .. } => {
            let why = format!("the identity `{}` lacks {}", primary.name(), role.name);
            ServiceGrant::NotGranted(Some(principal), why)
        }
        cover => of_cover(principal, cover),
    }
}

fn without_role() -> ServiceGrant {
    ServiceGrant::Unknown("the catalog lacks the role".to_owned(), Cause::default())
}

fn of_cover(principal: PrincipalId, cover: Cover) -> ServiceGrant {
    match cover {
        Cover::Covered { works_at, evidence } => ServiceGrant::Present { works_at, evidence },
        Cover::Missing { .. } => ServiceGrant::Missing(principal),
        Cover::Denied { by } => ServiceGrant::Denied(principal, by),
        Cover::Unknown { why, cause } => ServiceGrant::Unknown(why, cause),
        Cover::NotRead(reads) => ServiceGrant::NotRead(reads),
    }
}
