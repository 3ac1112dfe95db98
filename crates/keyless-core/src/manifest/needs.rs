//! From access entries and profiles to the needs of one workspace, each principal with each role once.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::find_scenarios;
use crate::desired::{Because, GrantScope, Need, PrincipalRef};
use crate::id::{PrincipalId, RoleId};
use crate::observed::PrincipalType;
use crate::secret;

use super::documents::Document;
use super::kinds::{self, AccessEntry, DirectoryObject, Principal};
use super::wire::{At, values};

/// The entries of each profile by its name.
pub(super) type Profiles<'d> = BTreeMap<&'d str, &'d [At<AccessEntry>]>;

/// The needs of a workspace with its profiles put in.
pub(super) fn of(spec: &kinds::WorkspaceSpec, profiles: &Profiles<'_>) -> Vec<Need> {
    let mut needs = Needs::default();
    for entry in spec.access.iter().flat_map(values) {
        needs.add(entry);
    }
    for name in profiles_of(spec) {
        for entry in profiles.get(name).copied().unwrap_or_default() {
            needs.add(&entry.value);
        }
    }
    needs.into_sorted()
}

/// The profiles a workspace names, each once.
fn profiles_of(spec: &kinds::WorkspaceSpec) -> BTreeSet<&str> {
    spec.profiles.iter().flat_map(values).map(|name| name.0.as_str()).collect()
}

/// How many access entries a workspace comes to.
pub(super) fn asked_by(document: &Document<kinds::Workspace>, profiles: &Profiles<'_>) -> usize {
    let Some(At { value: spec, .. }) = &document.body.spec else { return 0 };
    let own = spec.access.as_ref().map_or(0, |access| access.value.len());
    let shared = profiles_of(spec).into_iter().filter_map(|name| profiles.get(name)).map(|entries| entries.len());
    shared.fold(own, usize::saturating_add)
}

/// The needs of one workspace, each principal with each role once.
#[derive(Default)]
struct Needs(BTreeMap<(Who, RoleId), Need>);

/// What makes two principals the same: not the name that people gave them.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Object(PrincipalType, PrincipalId),
    Other(PrincipalRef),
}

impl Who {
    pub(super) fn of(principal: &PrincipalRef) -> Self {
        match principal {
            PrincipalRef::Object { kind, id, .. } => Self::Object(*kind, *id),
            other => Self::Other(other.clone()),
        }
    }
}

/// What one entry asks, whatever the role.
struct Asks {
    principal: PrincipalRef,
    scope: GrantScope,
    condition: Option<String>,
}

/// The roles that an entry comes to.
pub(super) fn roles_of(entry: &AccessEntry) -> BTreeSet<RoleId> {
    let of_level = entry.level.as_ref().into_iter().flat_map(|level| level.value.roles);
    let of_scenarios =
        entry.scenarios.iter().flat_map(values).flat_map(|name| find_scenarios(name.0)).flat_map(|row| row.roles);
    of_level.chain(of_scenarios).copied().collect()
}

impl Needs {
    fn add(&mut self, entry: &AccessEntry) {
        let Some(principal) = entry.principal.as_ref().and_then(|principal| principal_ref(&principal.value)) else {
            return;
        };
        let asks = Asks {
            principal,
            scope: entry.grant_scope.map(|given| given.value).unwrap_or_default(),
            condition: entry.condition.as_ref().map(|given| given.value.0.clone()),
        };
        if let Some(At { value: level, .. }) = entry.level {
            for role in level.roles {
                self.need(&asks, *role, Because::Level(level.name));
            }
        }
        for scenario in entry.scenarios.iter().flat_map(values) {
            let roles: BTreeSet<RoleId> = find_scenarios(scenario.0).flat_map(|row| row.roles).copied().collect();
            for role in roles {
                self.need(&asks, role, Because::Scenario(scenario.0));
            }
        }
    }

    fn need(&mut self, asks: &Asks, role: RoleId, because: Because) {
        let Asks { principal, scope, condition } = asks;
        let need = self.0.entry((Who::of(principal), role)).or_insert_with(|| Need {
            principal: principal.clone(),
            role,
            grant_scope: *scope,
            condition: condition.clone(),
            because: BTreeSet::new(),
        });
        // Asked for without a condition too, the grant has none: it gives what both ask for.
        if condition.is_none() {
            need.condition = None;
        }
        // The resource group is only asked for in words, the account also by saying nothing: the word counts.
        need.grant_scope = need.grant_scope.max(*scope);
        need.because.insert(because);
        if let (PrincipalRef::Object { name: known, .. }, PrincipalRef::Object { name: given, .. }) =
            (&mut need.principal, principal)
            && known.is_none()
        {
            known.clone_from(given);
        }
    }

    fn into_sorted(self) -> Vec<Need> {
        let mut needs: Vec<Need> = self.0.into_values().collect();
        needs.sort();
        needs
    }
}

pub(super) fn principal_ref(principal: &Principal) -> Option<PrincipalRef> {
    if let Some((kind, id, name)) = directory_object(principal) {
        return Some(PrincipalRef::Object { kind, id, name });
    }
    let Principal { user: _, group: _, service_principal: _, managed_identity, compute, workspace } = principal;
    if let Some(id) = managed_identity {
        return Some(PrincipalRef::ManagedIdentity(id.value.clone()));
    }
    if let Some(compute) = compute {
        return Some(PrincipalRef::Compute(compute.value.0.clone()));
    }
    workspace.map(|At { value, .. }| match value {
        kinds::WorkspaceIdentity::System => PrincipalRef::WorkspaceSystem,
        kinds::WorkspaceIdentity::UserAssigned => PrincipalRef::WorkspaceUserAssigned,
    })
}

/// The object in Entra that a principal names, if that is its form.
pub(super) fn directory_object(principal: &Principal) -> Option<(PrincipalType, PrincipalId, Option<String>)> {
    let object = |given: &Option<At<DirectoryObject>>, kind: PrincipalType| {
        let object = &given.as_ref()?.value;
        Some((kind, object.object_id?.value, object.name.as_ref().map(|name| secret::without(&name.value.0))))
    };
    object(&principal.user, PrincipalType::User)
        .or_else(|| object(&principal.group, PrincipalType::Group))
        .or_else(|| object(&principal.service_principal, PrincipalType::ServicePrincipal))
}
