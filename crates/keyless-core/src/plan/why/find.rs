//! Whom a word of the command line means.

use std::collections::BTreeSet;

use crate::desired::{KeyDesired, Need, PrincipalRef};
use crate::id::{PrincipalId, WorkspaceId};
use crate::observed::{Observed, PrincipalType, Reading};
use crate::plan::needs::{self, Resolved};

/// Whom the word means.
pub(super) enum Found {
    /// A principal that the document of the workspace names, and all of its needs with whom it comes to.
    Declared(PrincipalRef, Vec<(Need, Resolved)>),
    /// The workspace's own identity, which it does not name, and what the service grants to that.
    Service(PrincipalRef, Vec<(Need, Resolved)>),
    /// An object id that it does not name, and what kind of principal that is, where assignments or the workspace tell.
    Other(PrincipalId, Option<PrincipalType>),
}

/// The word means nobody, or more than one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NobodyFound {
    /// It is no object id, and the document names nobody so.
    #[error("the document of {workspace} names no principal `{word}`\nhint: {}", hint(named))]
    Nobody {
        /// The word.
        word: String,
        /// The workspace's name.
        workspace: String,
        /// Whom the document names.
        named: BTreeSet<String>,
    },
    /// It stands for several.
    #[error("`{word}` may be any of: {}\nhint: give the object id", join(which))]
    Several {
        /// The word.
        word: String,
        /// Which.
        which: BTreeSet<String>,
    },
}

fn hint(named: &BTreeSet<String>) -> String {
    let others = if named.is_empty() { String::new() } else { format!("; it names {}", join(named)) };
    format!("an object id works for anybody{others}")
}

fn join(words: &BTreeSet<String>) -> String {
    words.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

pub(super) fn find(
    desired: &KeyDesired,
    observed: &Observed,
    workspace: &WorkspaceId,
    word: &str,
) -> Result<Found, NobodyFound> {
    let mut all: Vec<(Need, Resolved)> = Vec::new();
    if let Some(declared) = desired.workspaces.get(workspace) {
        let service = needs::service_need(declared);
        let views = needs::views(declared, service.as_ref(), observed);
        all = views.into_iter().map(|view| (view.need.clone(), view.holders)).collect();
    }
    let service = of_service(&all, observed, workspace, word);
    let id: Option<PrincipalId> = word.parse().ok();
    let meant: Vec<PrincipalRef> = all
        .iter()
        .filter(|(need, holders)| is_called(&need.principal, word) || id.is_some_and(|id| comes_to(holders, id)))
        .map(|(need, _)| need.principal.clone())
        .collect();
    let unique: BTreeSet<String> = meant.iter().map(ToString::to_string).collect();
    if unique.len() > 1 {
        return Err(NobodyFound::Several { word: word.to_owned(), which: unique });
    }
    match (meant.into_iter().next(), id) {
        (Some(principal), _) => {
            let its = all.into_iter().filter(|(need, _)| need.principal == principal).chain(service).collect();
            Ok(Found::Declared(principal, its))
        }
        (None, None) if service.is_some() => {
            Ok(Found::Service(PrincipalRef::WorkspaceSystem, service.into_iter().collect()))
        }
        (None, Some(id)) => Ok(Found::Other(id, kind_of(id, workspace, observed))),
        (None, None) if let Some(id) = own_identity(observed, workspace, word) => {
            Ok(Found::Other(id, Some(PrincipalType::ServicePrincipal)))
        }
        (None, None) => Err(NobodyFound::Nobody {
            word: word.to_owned(),
            workspace: workspace.name().to_owned(),
            named: all.iter().map(|(need, _)| need.principal.to_string()).collect(),
        }),
    }
}

/// What the service grants to the workspace's own identity, which is asked about by `system` whether or not the document names
/// it. Where another identity acts for the workspace, the service's grant to this one decides nothing.
fn of_service(
    all: &[(Need, Resolved)],
    observed: &Observed,
    workspace: &WorkspaceId,
    word: &str,
) -> Option<(Need, Resolved)> {
    let need = needs::grant_of_service();
    let other_acts = needs::own(workspace, observed).is_ok_and(|own| own.primary_identity.is_some());
    let is_there = all.iter().any(|(there, _)| {
        there.principal == need.principal && there.role == need.role && there.because.is_superset(&need.because)
    });
    if !word.eq_ignore_ascii_case("system") || other_acts || is_there {
        return None;
    }
    let holders = needs::resolve(&need.principal, workspace, observed);
    Some((need, holders))
}

/// The identity of its own that a workspace has and does not work with.
fn own_identity(observed: &Observed, workspace: &WorkspaceId, word: &str) -> Option<PrincipalId> {
    needs::own(workspace, observed).ok().filter(|_| is_called(&PrincipalRef::WorkspaceSystem, word))?.identity.system
}

fn comes_to(holders: &Resolved, id: PrincipalId) -> bool {
    match holders {
        Resolved::Known(holders) => holders.iter().any(|(holder, _)| *holder == id),
        Resolved::Missing(_) | Resolved::Unknown(..) | Resolved::NotRead(_) => false,
    }
}

fn is_called(principal: &PrincipalRef, word: &str) -> bool {
    let is = |name: &str| name.eq_ignore_ascii_case(word);
    match principal {
        PrincipalRef::Object { id, name, kind: _ } => is(&id.to_string()) || name.as_deref().is_some_and(is),
        PrincipalRef::ManagedIdentity(id) => is(id.name()) || is(id.as_str()),
        PrincipalRef::Compute(name) => is(name),
        PrincipalRef::WorkspaceSystem => is("system") || is("workspace"),
        PrincipalRef::WorkspaceUserAssigned => is("userAssigned") || is("workspace"),
    }
}

/// What kind of principal an object id is, as far as anything that was read says so.
fn kind_of(id: PrincipalId, workspace: &WorkspaceId, observed: &Observed) -> Option<PrincipalType> {
    let assigned = observed.assignments.value().into_iter().flatten();
    let told = assigned.filter(|assignment| assignment.principal == id).find_map(|found| found.principal_type);
    let entry = observed.workspaces.get(workspace);
    let own = entry.and_then(|entry| entry.workspace.value()).into_iter().flatten().map(|own| &own.identity);
    let computes = entry.and_then(|entry| entry.computes.value()).into_iter().flatten().map(|one| &one.identity);
    let is_identity = own.chain(computes).any(|identity| {
        identity.system == Some(id) || identity.user_assigned.values().any(|assigned| *assigned == Some(id))
    }) || observed
        .identities
        .values()
        .any(|reading| matches!(reading, Reading::Known { value, .. } if *value == Some(id)));
    told.or(is_identity.then_some(PrincipalType::ServicePrincipal))
}
