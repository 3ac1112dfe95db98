//! Checks that need more than one document: duplicates, dangling references, what lies outside of the fleet's scope.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::desired::{Fleet, Location};
use crate::id::{PrincipalId, SubscriptionId, WorkspaceId};
use crate::observed::PrincipalType;

use super::condition;
use super::documents::{Document, Documents};
use super::hint;
use super::kinds::{CreateSpec, KindWord};
use super::needs::{Profiles, directory_object};
use super::problem::Report;
use super::resolve::name_of;
use super::wire::{At, values};

/// Reports and warns of all that is wrong between documents.
pub(super) fn check(documents: &Documents, fleet: &Fleet, profiles: &Profiles<'_>, report: &mut Report) {
    check_duplicates(documents, report);
    check_references(documents, profiles, report);
    check_hubs(documents, report);
    check_scope(documents, fleet, report);
    check_principal_kinds(documents, report);
    condition::check(documents, profiles, report);
}

fn location<T>(document: &Document<T>, at: &At<impl Sized>) -> Location {
    Location { path: document.location.path.clone(), line: at.at.line, column: at.at.column }
}

/// Reports whatever names the same thing as something before it.
fn check_duplicates(documents: &Documents, report: &mut Report) {
    let mut names = Firsts::new("metadata.name");
    let mut ids = Firsts::new("resourceId");
    for document in &documents.workspaces {
        names.check("Workspace", document, name_of(document.body.metadata.as_ref()), |name| name.0.clone(), report);
        let id = document.body.spec.as_ref().and_then(|spec| spec.value.resource_id.as_ref());
        ids.check("Workspace", document, id, |id| id.arm().folded().to_owned(), report);
    }
    for document in &documents.accounts {
        names.check(
            "StorageAccount",
            document,
            name_of(document.body.metadata.as_ref()),
            |name| name.0.clone(),
            report,
        );
        let id = document.body.spec.as_ref().and_then(|spec| spec.value.resource_id.as_ref());
        ids.check("StorageAccount", document, id, |id| id.arm().folded().to_owned(), report);
    }
    for document in &documents.profiles {
        names.check("AccessProfile", document, name_of(document.body.metadata.as_ref()), |name| name.0.clone(), report);
    }
    let mut fleets = documents.fleets.iter();
    if let Some(first) = fleets.next() {
        for second in fleets {
            let message = format!("second Fleet, the first is at {}", first.location);
            report.problem(second.location.clone(), message, Some("one desired state has at most one".to_owned()));
        }
    }
}

/// Where each value of a field stood first.
struct Firsts {
    field: &'static str,
    seen: BTreeMap<(&'static str, String), Location>,
}

impl Firsts {
    fn new(field: &'static str) -> Self {
        Self { field, seen: BTreeMap::new() }
    }

    fn check<B, T>(
        &mut self,
        kind: &'static str,
        document: &Document<B>,
        value: Option<&At<T>>,
        text: impl Fn(&T) -> String,
        report: &mut Report,
    ) {
        let Some(value) = value else { return };
        let text = text(&value.value);
        let here = location(document, value);
        match self.seen.entry((kind, text)) {
            Entry::Vacant(entry) => drop(entry.insert(here)),
            Entry::Occupied(first) => {
                let (_, text) = first.key();
                let message = format!("duplicate `{}` of a {kind}: `{text}`, first at {}", self.field, first.get());
                report.problem(here, message, None);
            }
        }
    }
}

/// How many profile names are compared with a dangling one.
const MAX_CANDIDATES: usize = 500;

fn check_references(documents: &Documents, profiles: &Profiles<'_>, report: &mut Report) {
    for document in &documents.workspaces {
        let spec = document.body.spec.as_ref().map(|spec| &spec.value);
        for name in spec.and_then(|spec| spec.profiles.as_ref()).into_iter().flat_map(|list| &list.value) {
            if profiles.contains_key(name.value.0.as_str()) {
                continue;
            }
            // Beyond that many names the search would take longer than the hint is worth.
            let candidates = profiles.keys().copied().take(MAX_CANDIDATES);
            let near = hint::nearest(&name.value.0, candidates);
            let hint = match near {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None if documents.incomplete => Some("what could not be read may define it".to_owned()),
                None if profiles.is_empty() => Some("there is no AccessProfile document".to_owned()),
                None => None,
            };
            let message = format!("there is no AccessProfile named `{}`", name.value.0);
            report.problem(location(document, name), message, hint);
        }
    }
}

/// Reports projects whose hub is declared to be made as something else, or on another account: a project stands on the
/// account of its hub.
fn check_hubs(documents: &Documents, report: &mut Report) {
    let specs =
        || documents.workspaces.iter().filter_map(|document| Some((document, &document.body.spec.as_ref()?.value)));
    let made: BTreeMap<&WorkspaceId, &CreateSpec> = specs()
        .filter_map(|(_, spec)| Some((&spec.resource_id.as_ref()?.value, &spec.create.as_ref()?.value)))
        .collect();
    for (document, spec) in specs() {
        let Some(At { value: project, .. }) = &spec.create else { continue };
        let Some(hub) = &project.hub else { continue };
        let own = spec.resource_id.as_ref().is_some_and(|own| own.value == hub.value);
        let Some(lender) = made.get(&hub.value).filter(|_| !own) else { continue };
        let name = hub.value.name();
        if lender.kind.as_ref().is_some_and(|kind| kind.value != KindWord::Hub) {
            let hint = Some("a project is made in a `kind: hub`".to_owned());
            report.problem(
                location(document, hub),
                format!("`{name}` is no hub: its document makes it something else"),
                hint,
            );
        } else if let (Some(here), Some(there)) = (&project.storage_account, &lender.storage_account)
            && here.value != there.value
        {
            let message = format!("the hub `{name}` is made on another account: `{}`", there.value);
            let hint = Some("a project stands on the account of its hub".to_owned());
            report.problem(location(document, here), message, hint);
        }
    }
}

/// Warns of what is declared but lies outside of the fleet's own scope.
fn check_scope(documents: &Documents, fleet: &Fleet, report: &mut Report) {
    let mut check = |subscription: SubscriptionId, arm: &crate::id::ArmId, at: Location| {
        let outside = fleet.scope.subscriptions.as_ref().is_some_and(|list| !list.contains(&subscription));
        if outside {
            report.warning(at, format!("`{arm}` is in a subscription that the Fleet's `scope` does not name"), None);
        } else if let Some(excluded) = fleet.scope.exclude.iter().find(|excluded| excluded.covers(arm)) {
            report.warning(at, format!("`{arm}` is declared, but the Fleet's `scope` excludes `{excluded}`"), None);
        }
    };
    for document in &documents.workspaces {
        if let Some(id) = document.body.spec.as_ref().and_then(|spec| spec.value.resource_id.as_ref()) {
            check(id.value.subscription(), id.value.arm(), location(document, id));
        }
    }
    for document in &documents.accounts {
        if let Some(id) = document.body.spec.as_ref().and_then(|spec| spec.value.resource_id.as_ref()) {
            check(id.value.subscription(), id.value.arm(), location(document, id));
        }
    }
}

/// Warns of an object id that is a person in one place and a group in another: one of the two is wrong.
fn check_principal_kinds(documents: &Documents, report: &mut Report) {
    let of_workspaces = documents.workspaces.iter().flat_map(|document| {
        let spec = document.body.spec.as_ref().map(|spec| &spec.value);
        let access = spec.and_then(|spec| spec.access.as_ref());
        access.into_iter().flat_map(values).map(|entry| (&document.location.path, entry))
    });
    let of_profiles = documents.profiles.iter().flat_map(|document| {
        let access = document.body.spec.as_ref().and_then(|spec| spec.value.access.as_ref());
        access.into_iter().flat_map(values).map(|entry| (&document.location.path, entry))
    });
    let mut firsts: BTreeMap<PrincipalId, (PrincipalType, Location)> = BTreeMap::new();
    for (path, entry) in of_workspaces.chain(of_profiles) {
        let Some(At { value: principal, at }) = &entry.principal else { continue };
        let Some((kind, id, _)) = directory_object(principal) else { continue };
        let here = Location { path: path.clone(), line: at.line, column: at.column };
        match firsts.get(&id) {
            Some((first, there)) if *first != kind => {
                report.warning(here, format!("`{id}` is another kind of principal at {there}"), None);
            }
            Some(_) => {}
            None => drop(firsts.insert(id, (kind, here))),
        }
    }
}
