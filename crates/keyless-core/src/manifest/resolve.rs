//! From all documents to one [`Desired`], with the checks that need more than one document.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::catalog::find_scenarios;
use crate::desired::{
    Acceptance, ChangeWindow, Desired, DesiredAccount, DesiredWorkspace, Enforcement, Fleet, Location, Need,
    PrincipalRef, Revision, Scope, Suspend, Waits,
};
use crate::id::{PrincipalId, RoleId, SubscriptionId};
use crate::observed::PrincipalType;

use super::documents::{Document, Documents};
use super::hint;
use super::kinds::{self, AccessEntry, DirectoryObject, Metadata, Principal};
use super::problem::Report;
use super::scalar::Name;
use super::wire::At;

/// Joins all documents. Nothing if a required part is missing, which has been reported where it is missing.
pub(super) fn resolve(documents: &Documents, report: &mut Report) -> Option<Desired> {
    check_duplicates(documents, report);
    let fleet = fleet(documents, report);
    let profiles = profiles(documents);
    check_references(documents, &profiles, report);
    check_scope(documents, &fleet, report);
    check_principal_kinds(documents, report);

    let mut workspaces = BTreeMap::new();
    for document in &documents.workspaces {
        let workspace = workspace(document, &fleet, &profiles)?;
        workspaces.insert(workspace.id.clone(), workspace);
    }
    let mut accounts = BTreeMap::new();
    for document in &documents.accounts {
        let account = account(document)?;
        accounts.insert(account.id.clone(), account);
    }
    Some(Desired { revision: revision(&documents.contents), fleet, workspaces, accounts })
}

/// A hash over the contents in any order; the form of the files, their names and their order leave no trace.
fn revision(contents: &[String]) -> Revision {
    const LENGTH: usize = 12;
    let hash = |bytes: &[u8]| Uuid::new_v5(&Uuid::NAMESPACE_OID, bytes);
    let mut hashes: Vec<Uuid> = contents.iter().map(|content| hash(content.as_bytes())).collect();
    hashes.sort();
    let all: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
    Revision(hash(&all).simple().to_string().chars().take(LENGTH).collect())
}

fn location<T>(document: &Document<T>, at: &At<impl Sized>) -> Location {
    Location { path: document.location.path.clone(), line: at.at.line, column: at.at.column }
}

fn name_of(metadata: Option<&At<Metadata>>) -> Option<&At<Name>> {
    metadata.and_then(|metadata| metadata.value.name.as_ref())
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

fn fleet(documents: &Documents, report: &mut Report) -> Fleet {
    let standard = Fleet::default();
    let Some(document) = documents.fleets.first() else { return standard };
    let Some(At { value: spec, .. }) = &document.body.spec else { return standard };
    let defaults = spec.defaults.as_ref().map(|defaults| &defaults.value);
    let duration = |field: fn(&kinds::Defaults) -> &Option<At<std::time::Duration>>, standard| {
        defaults.and_then(|defaults| field(defaults).as_ref()).map_or(standard, |given| given.value)
    };
    let waits = Waits {
        role_propagation: duration(|d| &d.role_propagation, standard.waits.role_propagation),
        group_propagation: duration(|d| &d.group_propagation, standard.waits.group_propagation),
        key_idle: duration(|d| &d.key_idle, standard.waits.key_idle),
        key_effect: duration(|d| &d.key_effect, standard.waits.key_effect),
        metrics_lag: duration(|d| &d.metrics_lag, standard.waits.metrics_lag),
        late_write: duration(|d| &d.late_write, standard.waits.late_write),
        watch: duration(|d| &d.watch, standard.waits.watch),
    };
    if spec.owner.is_none() {
        let message = "the Fleet has no `owner`, so grants are marked as made by `keyless`";
        let hint = "two installations with the same owner take each other's grants for their own".to_owned();
        report.warning(document.location.clone(), message, Some(hint));
    }
    Fleet {
        owner: spec.owner.as_ref().map_or(standard.owner, |owner| owner.value.0.clone()),
        scope: spec.scope.as_ref().map_or(standard.scope, |scope| Scope {
            subscriptions: scope.value.subscriptions.as_ref().map(|list| values(list).copied().collect()),
            exclude: scope.value.exclude.iter().flat_map(values).cloned().collect(),
        }),
        waits,
        enforcement: defaults.and_then(|d| d.enforcement).map_or(standard.enforcement, |given| given.value),
        prune: defaults.and_then(|d| d.prune).map_or(standard.prune, |given| given.value),
        change_windows: spec.change_windows.iter().flat_map(values).filter_map(change_window).collect(),
        paused: spec.guard.as_ref().and_then(|guard| guard.value.paused).map_or(standard.paused, |given| given.value),
    }
}

fn change_window(window: &kinds::ChangeWindow) -> Option<ChangeWindow> {
    Some(ChangeWindow {
        days: window.days.iter().flat_map(values).map(|day| day.0).collect(),
        from: window.from?.value.0,
        to: window.to?.value.0,
    })
}

fn values<T>(list: &At<Vec<At<T>>>) -> impl Iterator<Item = &T> {
    list.value.iter().map(|item| &item.value)
}

type Profiles<'d> = BTreeMap<&'d str, &'d [At<AccessEntry>]>;

fn profiles(documents: &Documents) -> Profiles<'_> {
    let mut profiles = Profiles::new();
    for document in &documents.profiles {
        let Some(name) = name_of(document.body.metadata.as_ref()) else { continue };
        let access = document.body.spec.as_ref().and_then(|spec| spec.value.access.as_ref());
        profiles.entry(&name.value.0).or_insert(access.map_or(&[], |access| access.value.as_slice()));
    }
    profiles
}

fn check_references(documents: &Documents, profiles: &Profiles<'_>, report: &mut Report) {
    for document in &documents.workspaces {
        let spec = document.body.spec.as_ref().map(|spec| &spec.value);
        for name in spec.and_then(|spec| spec.profiles.as_ref()).into_iter().flat_map(|list| &list.value) {
            if profiles.contains_key(name.value.0.as_str()) {
                continue;
            }
            let near = hint::nearest(&name.value.0, profiles.keys().copied());
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

fn workspace(
    document: &Document<kinds::Workspace>,
    fleet: &Fleet,
    profiles: &Profiles<'_>,
) -> Option<DesiredWorkspace> {
    let spec = &document.body.spec.as_ref()?.value;
    let mut needs = Needs::default();
    for entry in spec.access.iter().flat_map(values) {
        needs.add(entry);
    }
    for name in spec.profiles.iter().flat_map(values) {
        for entry in profiles.get(name.0.as_str()).copied().unwrap_or_default() {
            needs.add(&entry.value);
        }
    }
    Some(DesiredWorkspace {
        name: name_of(document.body.metadata.as_ref())?.value.0.clone(),
        id: spec.resource_id.as_ref()?.value.clone(),
        auth_mode: spec.auth_mode?.value,
        enforcement: spec.enforcement.map_or(fleet.enforcement, |given| given.value),
        suspend: suspend(spec.suspend.as_ref())?,
        needs: needs.into_sorted(),
        service_grants: spec.service_grants.map(|given| given.value).unwrap_or_default(),
        location: document.location.clone(),
    })
}

fn account(document: &Document<kinds::StorageAccount>) -> Option<DesiredAccount> {
    let spec = &document.body.spec.as_ref()?.value;
    let id = spec.resource_id.as_ref()?.value.clone();
    let name =
        name_of(document.body.metadata.as_ref()).map_or_else(|| id.name().to_owned(), |name| name.value.0.clone());
    let enforcement: Option<Enforcement> = spec.enforcement.map(|given| given.value);
    Some(DesiredAccount {
        name,
        id,
        shared_key_access: spec.shared_key_access?.value,
        enforcement,
        suspend: suspend(spec.suspend.as_ref())?,
        key_idle: spec.key_idle.map(|given| given.value),
        accept_sas: acceptance(spec.accept_sas.as_ref())?,
        accept_unknown_key_use: acceptance(spec.accept_unknown_key_use.as_ref())?,
        accept_one_way: acceptance(spec.accept_one_way.as_ref())?,
        location: document.location.clone(),
    })
}

/// The pause, if one is written down; nothing at all if it is written down wrongly.
fn suspend(given: Option<&At<kinds::Suspend>>) -> Option<Option<Suspend>> {
    let Some(At { value, .. }) = given else { return Some(None) };
    Some(Some(Suspend {
        reason: value.reason.as_ref()?.value.0.clone(),
        until: value.until?.value,
        then: value.then.map_or(crate::desired::AfterSuspend::Stay, |given| given.value),
    }))
}

/// The acceptance, if one is written down; nothing at all if it is written down wrongly.
fn acceptance(given: Option<&At<kinds::Acceptance>>) -> Option<Option<Acceptance>> {
    let Some(At { value, .. }) = given else { return Some(None) };
    Some(Some(Acceptance {
        reason: value.reason.as_ref()?.value.0.clone(),
        owner: value.owner.as_ref()?.value.0.clone(),
        until: value.until?.value,
    }))
}

/// The needs of one workspace, each principal with each role once.
#[derive(Default)]
struct Needs(BTreeMap<(Who, RoleId), Need>);

/// What makes two principals the same: not the name that people gave them.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Object(PrincipalType, PrincipalId),
    Other(PrincipalRef),
}

impl Needs {
    fn add(&mut self, entry: &AccessEntry) {
        let Some(principal) = entry.principal.as_ref().and_then(|principal| principal_ref(&principal.value)) else {
            return;
        };
        let scope = entry.grant_scope.map(|given| given.value).unwrap_or_default();
        if let Some(At { value: level, .. }) = entry.level {
            for role in level.roles {
                self.need(&principal, *role, scope, format!("level {}", level.name));
            }
        }
        for scenario in entry.scenarios.iter().flat_map(values) {
            let roles: BTreeSet<RoleId> = find_scenarios(scenario.0).flat_map(|row| row.roles).copied().collect();
            for role in roles {
                self.need(&principal, role, scope, format!("scenario {}", scenario.0));
            }
        }
    }

    fn need(&mut self, principal: &PrincipalRef, role: RoleId, scope: crate::desired::GrantScope, because: String) {
        let who = match principal {
            PrincipalRef::Object { kind, id, .. } => Who::Object(*kind, *id),
            other => Who::Other(other.clone()),
        };
        let need = self.0.entry((who, role)).or_insert_with(|| Need {
            principal: principal.clone(),
            role,
            grant_scope: scope,
            because: BTreeSet::new(),
        });
        // The resource group is only asked for in words, the account also by saying nothing: the word counts.
        need.grant_scope = need.grant_scope.max(scope);
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

fn principal_ref(principal: &Principal) -> Option<PrincipalRef> {
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
    workspace.map(|At { value: kinds::WorkspaceIdentity::System, .. }| PrincipalRef::WorkspaceSystem)
}

fn directory_object(principal: &Principal) -> Option<(PrincipalType, PrincipalId, Option<String>)> {
    let object = |given: &Option<At<DirectoryObject>>, kind: PrincipalType| {
        let object = &given.as_ref()?.value;
        Some((kind, object.object_id?.value, object.name.as_ref().map(|name| name.value.0.clone())))
    };
    object(&principal.user, PrincipalType::User)
        .or_else(|| object(&principal.group, PrincipalType::Group))
        .or_else(|| object(&principal.service_principal, PrincipalType::ServicePrincipal))
}
