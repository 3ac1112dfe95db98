//! Whom the document of one workspace names, and who is left out of it and why.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{self, BLOB_CONTRIBUTOR};
use crate::desired::PrincipalRef;
use crate::id::{ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, WorkspaceId};
use crate::manifest::write::{Entry, is_name};
use crate::observed::{Compute, ObservedWorkspace, PrincipalType, Reading, Workspace};

use super::held::{self, Here, Holder, Sort};
use super::{DeniedToday, Estate};

/// The access list of one workspace.
#[derive(Debug, Clone, Default)]
pub(super) struct People {
    /// Who is named.
    pub(super) access: Vec<Entry>,
    /// Who has a grant that a deny assignment takes something of today, named in the list or not.
    pub(super) denied: Vec<DeniedToday>,
    /// What the list does not say, a line each.
    pub(super) left_out: Vec<String>,
    /// What could not be read.
    pub(super) unread: Vec<String>,
    /// The same, for what every workspace on the account has in common.
    pub(super) unread_at_account: BTreeSet<String>,
}

/// Whose identity a principal is, over the whole estate.
#[derive(Debug, Default)]
pub(super) struct Identities {
    owners: BTreeMap<PrincipalId, Owner>,
    /// The workspaces that have a user-assigned identity, as their own or through a compute.
    attached: BTreeMap<ManagedIdentityId, BTreeSet<WorkspaceId>>,
    accounts: BTreeMap<WorkspaceId, StorageAccountId>,
}

/// Whose identity it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// The system-assigned identity of a workspace.
    Workspace(WorkspaceId),
    /// The system-assigned identity of a compute.
    Compute(WorkspaceId, String),
    /// A user-assigned identity.
    UserAssigned(ManagedIdentityId),
    /// The system-assigned identity of an online endpoint.
    Endpoint(WorkspaceId, String),
}

impl Identities {
    pub(super) fn of(estate: &Estate) -> Self {
        let mut all = Self::default();
        for (account, observed) in &estate.accounts {
            for (id, entry) in &observed.workspaces {
                all.accounts.insert(id.clone(), account.clone());
                let own = entry.workspace.value().and_then(Option::as_ref);
                if let Some(own) = own {
                    if let Some(system) = own.identity.system {
                        all.owners.insert(system, Owner::Workspace(id.clone()));
                    }
                    let assigned = own.identity.user_assigned.keys().chain(&own.primary_identity);
                    all.attach(id, assigned);
                }
                for compute in entry.computes.value().into_iter().flatten() {
                    if let Some(system) = compute.identity.system {
                        all.owners.insert(system, Owner::Compute(id.clone(), compute.name.clone()));
                    }
                    all.attach(id, compute.identity.user_assigned.keys());
                }
            }
        }
        for endpoint in estate.endpoints.values().filter_map(Reading::value).flatten() {
            if let Some(system) = endpoint.identity.system {
                all.owners.insert(system, Owner::Endpoint(endpoint.workspace.clone(), endpoint.name.clone()));
            }
        }
        for (id, reading) in &estate.identities {
            if let Some(Some(principal)) = reading.value() {
                all.owners.insert(*principal, Owner::UserAssigned(id.clone()));
            }
        }
        all
    }

    fn attach<'a>(&mut self, workspace: &WorkspaceId, identities: impl Iterator<Item = &'a ManagedIdentityId>) {
        for identity in identities {
            self.attached.entry(identity.clone()).or_default().insert(workspace.clone());
        }
    }

    /// Whose identity the principal is, if it is a known one.
    pub(super) fn owner(&self, principal: PrincipalId) -> Option<&Owner> {
        self.owners.get(&principal)
    }

    /// Whether another workspace on the same account is the one to name this identity.
    fn is_anothers(&self, identity: &ManagedIdentityId, workspace: &WorkspaceId) -> bool {
        let account = self.accounts.get(workspace);
        self.attached.get(identity).is_some_and(|attached| {
            !attached.contains(workspace) && attached.iter().any(|other| self.accounts.get(other) == account)
        })
    }
}

/// Sorts everybody who is let at the account's data.
pub(super) fn of(
    id: &WorkspaceId,
    own: Option<&Workspace>,
    entry: &ObservedWorkspace,
    here: &Here<'_>,
    identities: &Identities,
) -> People {
    let mut people = People::default();
    if let Some(why) = here.observed.assignments.failure() {
        let account = here.observed.account_id.name();
        people.unread_at_account.insert(format!("who has access to {account}: {why}"));
        people.left_out.push("everybody with access, for they are not known; run `keyless adopt` again".to_owned());
    }
    if let Some(why) = here.observed.denies.failure() {
        people.unread_at_account.insert(format!("deny assignments: {why}"));
    }
    if let Some(why) = entry.computes.failure() {
        people.unread.push(format!("the computes, so that their identities may be missing below: {why}"));
    }
    let kind = own.map(|own| &own.kind);
    for (principal, holder) in &here.holders {
        let (named, sort, label) = match name(id, *principal, holder, identities) {
            Named::As(named, sort) => {
                let label = named.to_string();
                (named, sort, label)
            }
            Named::Elsewhere => continue,
            Named::Not(why) => {
                people.denied.extend(DeniedToday::of(&why, holder));
                let held: Vec<&str> =
                    holder.roles.iter().filter_map(|role| Some(catalog::find_role(*role)?.name)).collect();
                let held = if held.is_empty() { String::new() } else { format!(", which holds {}", held.join(", ")) };
                people.left_out.push(format!("{why}{held}"));
                continue;
            }
        };
        people.denied.extend(DeniedToday::of(&label, holder));
        for why in &holder.unknown {
            people.unread_at_account.insert(format!("what {label} may do: {why}"));
        }
        let roles = match &named {
            PrincipalRef::Compute(name) => match computes_roles(entry, name, *principal, holder) {
                Ok(roles) => roles,
                Err(why) => {
                    people.left_out.push(why);
                    continue;
                }
            },
            _ => holder.roles.clone(),
        };
        // That much the service grants by itself, to the workspace's own identity.
        if sort == Sort::Workspace && held::words(&roles, sort, kind).1.iter().all(|role| *role == BLOB_CONTRIBUTOR) {
            people.left_out.push("the workspace's own identity, whose grant the service makes and keeps".to_owned());
            continue;
        }
        let (asks, _) = held::words(&roles, sort, kind);
        let beyond = held::beyond(holder, &asks);
        people.left_out.extend(beyond.iter().map(|what| format!("{label}: {what}, which no word of the catalog says")));
        people.left_out.extend(holder.remarks.iter().map(|remark| format!("{label}: {remark}")));
        if !asks.is_empty() {
            people.access.push(Entry { principal: named, asks });
        }
    }
    people.access.sort();
    people
}

enum Named {
    /// In the file of this workspace.
    As(PrincipalRef, Sort),
    /// In the file of another workspace on the account.
    Elsewhere,
    /// In no file; why.
    Not(String),
}

fn name(id: &WorkspaceId, principal: PrincipalId, holder: &Holder, identities: &Identities) -> Named {
    let same_account = |other: &WorkspaceId| identities.accounts.get(other) == identities.accounts.get(id);
    match identities.owner(principal) {
        Some(Owner::Workspace(other)) if other == id => Named::As(PrincipalRef::WorkspaceSystem, Sort::Workspace),
        Some(Owner::Workspace(other) | Owner::Compute(other, _) | Owner::Endpoint(other, _)) if other != id => {
            if same_account(other) {
                Named::Elsewhere
            } else {
                Named::Not(format!("an identity of {}, which stands on another account", other.name()))
            }
        }
        Some(Owner::Compute(_, name)) if is_name(name) => Named::As(PrincipalRef::Compute(name.clone()), Sort::Machine),
        Some(Owner::Compute(_, name)) => Named::Not(format!("the identity of the compute `{name}`")),
        Some(Owner::Endpoint(_, name)) => {
            Named::Not(format!("the identity of the endpoint {name}, whose grant the service makes and keeps"))
        }
        Some(Owner::UserAssigned(identity)) if identities.is_anothers(identity, id) => Named::Elsewhere,
        Some(Owner::UserAssigned(identity)) => {
            Named::As(PrincipalRef::ManagedIdentity(identity.clone()), Sort::Machine)
        }
        Some(Owner::Workspace(_)) | None => {
            let object = |kind| PrincipalRef::Object { kind, id: principal, name: None };
            match holder.kind {
                Some(kind @ (PrincipalType::User | PrincipalType::Group)) => Named::As(object(kind), Sort::Person),
                Some(kind @ PrincipalType::ServicePrincipal) => Named::As(object(kind), Sort::Machine),
                Some(kind @ (PrincipalType::ForeignGroup | PrincipalType::Device)) => Named::Not(format!(
                    "{principal}, a {} as Azure calls it, which no document can name",
                    kind.as_wire()
                )),
                None => Named::Not(format!("{principal}, of which Azure does not tell what it is")),
            }
        }
    }
}

/// The roles that may be asked for a compute: its word means all of its identities, so all must have them.
fn computes_roles(
    entry: &ObservedWorkspace,
    name: &str,
    principal: PrincipalId,
    holder: &Holder,
) -> Result<BTreeSet<RoleId>, String> {
    let computes = match &entry.computes {
        Reading::Known { value, .. } => value.as_slice(),
        Reading::Unknown { .. } | Reading::NotRead => &[],
    };
    let found: Option<&Compute> = computes.iter().find(|compute| compute.name == name);
    let alone = found
        .is_some_and(|compute| compute.identity.system == Some(principal) && compute.identity.user_assigned.is_empty());
    if alone {
        Ok(holder.roles.clone())
    } else {
        Err(format!("compute {name}, which has identities of both sorts, while its word means all of them"))
    }
}
