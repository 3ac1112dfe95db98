//! From all documents to one [`Desired`], with the checks that need more than one document.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::desired::{
    Acceptance, AfterSuspend, ChangeWindow, Create, CreateKind, Desired, DesiredAccount, DesiredWorkspace, Enforcement,
    FightGuard, Fleet, Parts, Revision, SasAcceptance, Scope, Suspend, Waits,
};

use super::across;
use super::datastores;
use super::documents::{Document, Documents};
use super::evidence;
use super::kinds::{self, Metadata};
use super::needs::{self, Profiles};
use super::problem::Report;
use super::scalar::Name;
use super::wire::{At, values};

/// The most access entries of all workspaces with their profiles put in: a profile that thousands of workspaces name is
/// an alias bomb of another kind. Five thousand workspaces with two hundred entries each stay below it.
const MAX_ASKED: usize = 1_000_000;

/// Joins all documents. Nothing if a required part is missing, which has been reported where it is missing.
pub(super) fn resolve(documents: &Documents, report: &mut Report) -> Option<Desired> {
    let fleet = fleet(documents, report);
    let profiles = profiles(documents);
    across::check(documents, &fleet, &profiles, report);

    let mut asked: usize = 0;
    for document in &documents.workspaces {
        asked = asked.saturating_add(needs::asked_by(document, &profiles));
        if asked > MAX_ASKED {
            let message = format!("the access lists with their profiles come to more than {MAX_ASKED} entries");
            let hint = "grant to groups, or give this part of the fleet a desired state of its own".to_owned();
            report.problem(document.location.clone(), message, Some(hint));
            return None;
        }
    }
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

/// The name that a document gives itself.
pub(super) fn name_of(metadata: Option<&At<Metadata>>) -> Option<&At<Name>> {
    metadata.and_then(|metadata| metadata.value.name.as_ref())
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
        agreeing_reads: defaults.and_then(|d| d.agreeing_reads).map_or(standard.waits.agreeing_reads, |n| n.value.0),
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
        is_declared: true,
        owner: spec.owner.as_ref().map_or(standard.owner, |owner| owner.value.0.clone()),
        scope: spec.scope.as_ref().map_or(standard.scope, |scope| Scope {
            subscriptions: scope.value.subscriptions.as_ref().map(|list| values(list).copied().collect()),
            exclude: scope.value.exclude.iter().flat_map(values).cloned().collect(),
        }),
        waits,
        enforcement: defaults.and_then(|d| d.enforcement).map_or(standard.enforcement, |given| given.value),
        prune: defaults.and_then(|d| d.prune).map_or(standard.prune, |given| given.value),
        drain: defaults.and_then(|d| d.drain).map_or(standard.drain, |given| given.value),
        change_windows: spec.change_windows.iter().flat_map(values).filter_map(change_window).collect(),
        fight: spec.guard.as_ref().and_then(|guard| guard.value.fight.as_ref()).map_or(standard.fight, |fight| {
            let FightGuard { reversals, within } = standard.fight;
            FightGuard {
                reversals: fight.value.reversals.map_or(reversals, |given| given.value.0),
                within: fight.value.within.map_or(within, |given| given.value),
            }
        }),
        accept_sas: spec.accept_sas.iter().flat_map(values).filter_map(sas_acceptance).collect(),
        log_analytics: evidence::workspace(spec.evidence.as_ref()),
        data_probe: evidence::data_probe(spec.evidence.as_ref()).unwrap_or(standard.data_probe),
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

/// An acceptance by selector; nothing at all if it is written down wrongly.
fn sas_acceptance(given: &kinds::SasAcceptance) -> Option<SasAcceptance> {
    Some(SasAcceptance {
        accounts: given.accounts.as_ref()?.value.iter().map(|id| id.value.clone()).collect(),
        services: given.services.iter().flat_map(values).copied().collect(),
        acceptance: Acceptance {
            reason: given.reason.as_ref()?.value.0.clone(),
            owner: given.owner.as_ref()?.value.0.clone(),
            until: given.until?.value,
        },
    })
}

fn profiles(documents: &Documents) -> Profiles<'_> {
    let mut profiles = Profiles::new();
    for document in &documents.profiles {
        let Some(name) = name_of(document.body.metadata.as_ref()) else { continue };
        let access = document.body.spec.as_ref().and_then(|spec| spec.value.access.as_ref());
        profiles.entry(&name.value.0).or_insert(access.map_or(&[], |access| access.value.as_slice()));
    }
    profiles
}

fn workspace(
    document: &Document<kinds::Workspace>,
    fleet: &Fleet,
    profiles: &Profiles<'_>,
) -> Option<DesiredWorkspace> {
    let spec = &document.body.spec.as_ref()?.value;
    Some(DesiredWorkspace {
        name: name_of(document.body.metadata.as_ref())?.value.0.clone(),
        id: spec.resource_id.as_ref()?.value.clone(),
        auth_mode: spec.auth_mode?.value,
        enforcement: spec.enforcement.map_or(fleet.enforcement, |given| given.value),
        suspend: suspend(spec.suspend.as_ref())?,
        needs: needs::of(spec, profiles),
        service_grants: spec.service_grants.map(|given| given.value).unwrap_or_default(),
        datastores: datastores::resolve(spec.datastores.as_ref())?,
        accept_one_way: acceptance(spec.accept_one_way.as_ref())?,
        accept_stale_keys: acceptance(spec.accept_stale_keys.as_ref())?,
        accept_incompatible: spec.accept_incompatible.iter().flat_map(values).map(accepted).collect::<Option<_>>()?,
        drain: spec.drain.map_or(fleet.drain, |given| given.value),
        create: create(spec.create.as_ref())?,
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
        log_analytics: evidence::workspace(spec.evidence.as_ref()),
        data_probe: evidence::data_probe(spec.evidence.as_ref()),
        location: document.location.clone(),
    })
}

/// How it is made, if that is written down; nothing at all if it is written down wrongly.
fn create(given: Option<&At<kinds::CreateSpec>>) -> Option<Option<Create>> {
    let Some(At { value, .. }) = given else { return Some(None) };
    let parts = || {
        Some(Parts {
            key_vault: value.key_vault.as_ref()?.value.clone(),
            application_insights: value.application_insights.as_ref().map(|given| given.value.clone()),
            container_registry: value.container_registry.as_ref().map(|given| given.value.clone()),
        })
    };
    Some(Some(Create {
        location: value.location.as_ref()?.value.0.clone(),
        kind: match value.kind?.value {
            kinds::KindWord::Default => CreateKind::Default(parts()?),
            kinds::KindWord::Hub => CreateKind::Hub(parts()?),
            kinds::KindWord::Project => CreateKind::Project(value.hub.as_ref()?.value.clone()),
        },
        friendly_name: value.friendly_name.as_ref().map(|given| given.value.0.clone()),
        storage_account: value.storage_account.as_ref()?.value.clone(),
        public_network_access: value.public_network_access.is_none_or(|given| given.value.0),
        isolation: value.managed_network.map(|given| given.value).unwrap_or_default(),
    }))
}

/// The pause, if one is written down; nothing at all if it is written down wrongly.
fn suspend(given: Option<&At<kinds::Suspend>>) -> Option<Option<Suspend>> {
    let Some(At { value, .. }) = given else { return Some(None) };
    Some(Some(Suspend {
        reason: value.reason.as_ref()?.value.0.clone(),
        until: value.until?.value,
        then: value.then.map_or(AfterSuspend::Stay, |given| given.value),
    }))
}

fn accepted(given: &kinds::AcceptedIncompatibility) -> Option<(&'static str, Acceptance)> {
    let acceptance = Acceptance {
        reason: given.reason.as_ref()?.value.0.clone(),
        owner: given.owner.as_ref()?.value.0.clone(),
        until: given.until?.value,
    };
    Some((given.id?.value.0, acceptance))
}

/// The acceptance, if one is written down; nothing at all if it is written down wrongly.
pub(super) fn acceptance(given: Option<&At<kinds::Acceptance>>) -> Option<Option<Acceptance>> {
    let Some(At { value, .. }) = given else { return Some(None) };
    Some(Some(Acceptance {
        reason: value.reason.as_ref()?.value.0.clone(),
        owner: value.owner.as_ref()?.value.0.clone(),
        until: value.until?.value,
    }))
}
