//! Checks that need one document only: an object that contradicts itself, or says what is hardly meant.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::catalog::{ScenarioIdentity, find_scenarios};
use crate::desired::{AuthMode, LONGEST_KEY_IDLE};
use crate::span::span;

use super::kinds::{
    AccessEntry, AccessProfile, ChangeWindow, CreateSpec, Defaults, Fleet, KindWord, Principal, SasAcceptance, Scope,
    StorageAccount, Workspace, WorkspaceIdentity,
};
use super::node::{Node, Place, Value};
use super::wire::{At, Fields, Reader};

pub(super) fn workspace(node: &Node, workspace: &Workspace, reader: &mut Reader<'_>) {
    let Some(At { value: spec, .. }) = &workspace.spec else { return };
    let accesskey = spec.auth_mode.as_ref().is_some_and(|mode| mode.value == AuthMode::AccessKey);
    let key_access = entry(node, "spec").and_then(|(_, spec)| entry(spec, "sharedKeyAccess"));
    if let Some((key, value)) = key_access
        && accesskey
        && value.value == *"disabled"
    {
        reader.problem(
            key.at,
            "the document contradicts itself: `authMode: accesskey` needs the key that `sharedKeyAccess: disabled` turns off",
            Some("a disabled key goes with `authMode: identity`".to_owned()),
        );
    }
    if let Some(At { value, at }) = &spec.create {
        create(value, *at, reader);
        if let Some(At { value: hub, at }) = &value.hub
            && spec.resource_id.as_ref().is_some_and(|own| own.value == *hub)
        {
            reader.problem(*at, "a project cannot be its own hub", None);
        }
        if accesskey {
            let hint = "make it with `authMode: identity`; it can go to keys once it exists".to_owned();
            reader.problem(
                *at,
                "the document contradicts itself: what is made is on identity, and `authMode` is accesskey",
                Some(hint),
            );
        }
    }
    access(spec.access.as_ref(), reader);
    if let Some(At { value, .. }) = &spec.datastores {
        super::datastores::check(value, reader);
    }
    let mut accepted: BTreeSet<&str> = BTreeSet::new();
    for At { value, at } in items(spec.accept_incompatible.as_ref()) {
        if let Some(id) = &value.id
            && !accepted.insert(id.value.0)
        {
            reader.problem(*at, format!("`{}` is accepted twice", id.value.0), None);
        }
    }
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for At { value: profile, at } in items(spec.profiles.as_ref()) {
        if !seen.insert(&profile.0) {
            reader.warning(*at, format!("profile `{}` is named twice", profile.0), None);
        }
    }
}

/// A project has a hub, which has the rest.
fn create(create: &CreateSpec, at: Place, reader: &mut Reader<'_>) {
    let CreateSpec { kind, key_vault, application_insights, container_registry, hub, .. } = create;
    let parts = [
        ("keyVault", key_vault, "Microsoft.KeyVault/vaults"),
        ("applicationInsights", application_insights, "Microsoft.Insights/components"),
        ("containerRegistry", container_registry, "Microsoft.ContainerRegistry/registries"),
    ];
    for (name, given, kind) in parts {
        if let Some(At { value: id, at }) = given
            && !id.is_resource(kind)
        {
            let message = format!("`spec.create.{name}` is `{id}`, which is no {kind}");
            let hint = format!("as in `/subscriptions/GUID/resourceGroups/GROUP/providers/{kind}/NAME`");
            reader.problem(*at, message, Some(hint));
        }
    }
    let Some(At { value: kind, .. }) = kind else { return };
    if *kind == KindWord::Project {
        if hub.is_none() {
            reader.problem(at, "a project needs the `hub` it is made in", None);
        }
        let lent = [
            ("keyVault", key_vault),
            ("applicationInsights", application_insights),
            ("containerRegistry", container_registry),
        ];
        for (name, given) in lent {
            if let Some(At { at, .. }) = given {
                reader.problem(
                    *at,
                    format!("a project has no `{name}` of its own"),
                    Some("it uses its hub's".to_owned()),
                );
            }
        }
    } else {
        if key_vault.is_none() {
            reader.problem(at, "a workspace or hub needs a `keyVault`", None);
        }
        if let Some(At { at, .. }) = hub {
            reader.problem(*at, "only a project has a `hub`", Some("say `kind: project`".to_owned()));
        }
    }
}

pub(super) fn profile(profile: &AccessProfile, reader: &mut Reader<'_>) {
    if let Some(At { value: spec, .. }) = &profile.spec {
        access(spec.access.as_ref(), reader);
    }
}

pub(super) fn fleet(fleet: &Fleet, reader: &mut Reader<'_>) {
    let Some(At { value: spec, .. }) = &fleet.spec else { return };
    for At { value: ChangeWindow { from, to, .. }, at } in items(spec.change_windows.as_ref()) {
        if let (Some(from), Some(to)) = (from, to)
            && from.value >= to.value
        {
            let hint = "a window over midnight is written as two, the first one to \"24:00\"".to_owned();
            reader.problem(*at, "the window contradicts itself: `from` must be earlier than `to`", Some(hint));
        }
    }
    if let Some(At { value: Scope { exclude, .. }, .. }) = &spec.scope {
        for At { value: excluded, at } in items(exclude.as_ref()) {
            if excluded.subscription().is_none() {
                let message = format!("`{excluded}` cannot be excluded: it is not in a subscription");
                let hint =
                    "as in `/subscriptions/GUID`, with a resource group or resource below it if need be".to_owned();
                reader.problem(*at, message, Some(hint));
            }
        }
    }
    if let Some(At { value: defaults, .. }) = &spec.defaults {
        floors(defaults, reader);
        evidence_lasts(defaults.key_idle.as_ref(), "spec.defaults.keyIdle", reader);
    }
    for At { value: entry, .. } in items(spec.accept_sas.as_ref()) {
        accepts_something(entry, reader);
    }
}

pub(super) fn account(account: &StorageAccount, reader: &mut Reader<'_>) {
    let Some(At { value: spec, .. }) = &account.spec else { return };
    evidence_lasts(spec.key_idle.as_ref(), "spec.keyIdle", reader);
}

/// Nobody can look further back than Azure keeps what it counted, so a longer `keyIdle` would hold the key for ever.
fn evidence_lasts(given: Option<&At<Duration>>, field: &str, reader: &mut Reader<'_>) {
    if let Some(At { value, at }) = given
        && *value > LONGEST_KEY_IDLE
    {
        let days = value.as_secs().div_ceil(24 * 60 * 60);
        let message = format!("`{field}` is {days} days, but Azure keeps metrics for 93");
        reader.problem(*at, message, Some("at most `92d`, for the newest metrics are not complete".to_owned()));
    }
}

/// A selector must name accounts, and accounts are in subscriptions.
fn accepts_something(entry: &SasAcceptance, reader: &mut Reader<'_>) {
    for At { value: scope, at } in items(entry.accounts.as_ref()) {
        if scope.subscription().is_none() {
            let hint = "as in `/subscriptions/GUID`, with a resource group or account below it if need be".to_owned();
            reader.problem(*at, format!("`{scope}` holds no account: it is not in a subscription"), Some(hint));
        }
    }
}

/// How long a write may well be on its way where nothing is wrong; Azure documents nothing.
const LATE: Duration = Duration::from_secs(10);

/// Warns of durations below what Azure documents, or what a write may take.
fn floors(defaults: &Defaults, reader: &mut Reader<'_>) {
    // Source: <https://learn.microsoft.com/azure/role-based-access-control/troubleshooting>: changes of assignments take
    // up to 10 minutes; through a group's managed identity or at a management group several hours, cached for 24.
    let floors = [
        (&defaults.role_propagation, "rolePropagation", Duration::from_secs(10 * 60), "10m"),
        (&defaults.group_propagation, "groupPropagation", Duration::from_secs(24 * 60 * 60), "24h"),
    ];
    for (given, name, floor, text) in floors {
        if let Some(At { value, at }) = given
            && *value < floor
        {
            let message = format!("`spec.defaults.{name}` is {}, but Azure says that it can take {text}", span(*value));
            reader.warning(*at, message, Some("a grant may not work yet when it counts as old enough".to_owned()));
        }
    }
    if let Some(At { value, at }) = &defaults.late_write
        && *value < LATE
    {
        let message = format!("`spec.defaults.lateWrite` is {}, which is less than {}", span(*value), span(LATE));
        let hint = "with less, a write of a process that died may land after the next process has begun to write";
        reader.warning(*at, message, Some(hint.to_owned()));
    }
}

/// An entry of an access list must ask for something.
pub(super) fn asks_for_something(fields: &Fields<'_>, reader: &mut Reader<'_>) {
    let asks = fields.present().iter().any(|field| matches!(*field, "level" | "scenarios"));
    if !asks && !reader.is_partial() {
        let hint = "add `level: readWrite`, `level: readOnly` or a list of `scenarios`".to_owned();
        reader.wrong(fields.at(), "asks for nothing: it has neither `level` nor `scenarios`", Some(hint));
    }
}

/// A principal has one form.
pub(super) fn names_one_principal(fields: &Fields<'_>, reader: &mut Reader<'_>) {
    match fields.present() {
        [_] => {}
        [] if reader.is_partial() => {}
        [] => {
            let hint = "one of user, group, servicePrincipal, managedIdentity, compute, workspace".to_owned();
            reader.wrong(fields.at(), "names nobody", Some(hint));
        }
        several => {
            let what = format!("contradicts itself: it is named as {}", several.join(" and as "));
            reader.wrong(fields.at(), what, Some("write one entry for each".to_owned()));
        }
    }
}

fn access(entries: Option<&At<Vec<At<AccessEntry>>>>, reader: &mut Reader<'_>) {
    for At { value: entry, .. } in items(entries) {
        let Some(At { value: principal, .. }) = &entry.principal else { continue };
        for At { value: scenario, at } in items(entry.scenarios.as_ref()) {
            let name = scenario.0;
            if let Some(identity) = find_scenarios(name).map(|row| row.identity).next()
                && !find_scenarios(name).any(|row| may_be(principal, row.identity))
            {
                let whose = match identity {
                    ScenarioIdentity::User => "the identity of the person at work",
                    ScenarioIdentity::UserOrUserAssigned => "the identity of the person, or a user-assigned one",
                    ScenarioIdentity::UserAssigned => "a user-assigned managed identity",
                    ScenarioIdentity::Compute => "a managed identity of the compute",
                    ScenarioIdentity::Service => "an identity that the service keeps",
                };
                let hint =
                    "the roles are granted as asked, but they may not be what makes the scenario work".to_owned();
                reader.warning(*at, format!("scenario `{name}` uses {whose}, not this principal"), Some(hint));
            }
        }
    }
}

/// Whether the principal can be whom the scenario means. Groups and service principals may be anybody.
fn may_be(principal: &Principal, identity: ScenarioIdentity) -> bool {
    let managed = principal.managed_identity.is_some() || principal.compute.is_some();
    let system = matches!(principal.workspace, Some(At { value: WorkspaceIdentity::System, .. }));
    match identity {
        ScenarioIdentity::User => !managed && principal.workspace.is_none(),
        ScenarioIdentity::UserOrUserAssigned => principal.workspace.is_none(),
        ScenarioIdentity::UserAssigned => principal.user.is_none() && !system,
        ScenarioIdentity::Compute => principal.user.is_none() && principal.workspace.is_none(),
        ScenarioIdentity::Service => true,
    }
}

fn items<T>(list: Option<&At<Vec<At<T>>>>) -> impl Iterator<Item = &At<T>> {
    list.into_iter().flat_map(|list| &list.value)
}

fn entry<'n>(node: &'n Node, name: &str) -> Option<(&'n Node, &'n Node)> {
    match &node.value {
        Value::Map(entries) => entries.iter().find(|(key, _)| key.value == *name).map(|(key, value)| (key, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
    }
}
