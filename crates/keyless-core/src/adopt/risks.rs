//! What a switch of one workspace would break today, as far as roles, datastores, metrics and locks tell.
//!
//! Groups are not looked into and data-plane logs not read, so this names whom to ask, and never says that nobody is left.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{StorageAccountId, WorkspaceId};
use crate::observed::{Lock, LockLevel, ObservedAuthMode, Reading};
use crate::span::span;

use super::Estate;
use super::held::Here;
use super::people::Identities;
use super::workers::{self, Stands};

/// The dangers of one workspace.
#[derive(Debug, Clone, Default)]
pub(super) struct Risks {
    /// Who reaches the data through the key alone.
    pub(super) would_lose: Vec<String>,
    /// How many of them do so for sure: of the others the groups are not known.
    sure: usize,
    /// Who or what uses the key.
    pub(super) key_users: Vec<String>,
    locks: Vec<String>,
    declared_neighbours: Vec<String>,
    undeclared_neighbours: Vec<String>,
    /// What could not be read.
    pub(super) unread: Vec<String>,
    /// The same, for what every workspace on the account has in common.
    pub(super) unread_at_account: BTreeSet<String>,
}

/// The datastores that hold a key or SAS, by the account they name, in lower case.
pub(super) type StoredKeys = BTreeMap<String, Vec<String>>;

/// Looks through the datastores of the whole estate, because one may name an account that its workspace does not stand on.
pub(super) fn stored_keys(estate: &Estate) -> StoredKeys {
    let mut stored = StoredKeys::new();
    for (account, observed) in &estate.accounts {
        for (id, entry) in &observed.workspaces {
            for store in entry.datastores.value().into_iter().flatten() {
                if store.credentials.may_need_key() && !store.is_system() {
                    // One that names no account may be on this one.
                    let on = store.account_name.as_deref().unwrap_or(account.name()).to_ascii_lowercase();
                    stored.entry(on).or_default().push(format!(
                        "datastore {} of {} holds a key or SAS",
                        store.name,
                        id.name()
                    ));
                }
            }
        }
    }
    stored
}

pub(super) fn of(
    id: &WorkspaceId,
    account: &StorageAccountId,
    estate: &Estate,
    here: &Here<'_>,
    identities: &Identities,
    stored: &StoredKeys,
) -> Risks {
    let mut risks = Risks::default();
    let around = estate.workspaces.get(id);
    match around.map(|around| &around.assignments) {
        Some(Reading::Known { value, .. }) => {
            let (workers, unread) = workers::of(value, here, identities);
            risks.unread.extend(unread);
            let mut unsure = Vec::new();
            for (principal, worker) in &workers {
                if let Some(why) = here.observed.groups.get(principal).and_then(Reading::failure) {
                    risks.unread_at_account.insert(format!("the groups of {}: {why}", worker.who));
                }
                match worker.stands(*principal, here) {
                    Stands::Reaches => {}
                    Stands::Loses(why) => risks.would_lose.push(format!("{}{why}", worker.who)),
                    Stands::Unsure => unsure.push(worker.who.clone()),
                }
            }
            risks.sure = risks.would_lose.len();
            risks.would_lose.extend(unsure);
        }
        Some(Reading::Unknown { why, .. }) => risks.unread.push(format!("who works in the workspace: {why}")),
        Some(Reading::NotRead) | None => risks.unread.push("who works in the workspace: not read".to_owned()),
    }
    key_users(here, &mut risks);
    risks.key_users.extend(stored.get(&account.name().to_ascii_lowercase()).into_iter().flatten().cloned());
    if let Some(why) = here.observed.workspaces.get(id).and_then(|entry| entry.datastores.failure()) {
        risks.unread.push(format!("the datastores: {why}"));
    }
    let mut locks: BTreeMap<&str, &Lock> = BTreeMap::new();
    for (what, reading) in [("the account", Some(&here.observed.locks)), ("the workspace", around.map(|a| &a.locks))] {
        match reading {
            Some(Reading::Known { value, .. }) => locks.extend(value.iter().map(|lock| (lock.id.folded(), lock))),
            Some(Reading::Unknown { why, .. }) => risks.unread.push(format!("locks at {what}: {why}")),
            Some(Reading::NotRead) | None => risks.unread.push(format!("locks at {what}: not read")),
        }
    }
    risks.locks = locks.into_values().filter_map(bar).collect();
    for (other, entry) in &here.observed.workspaces {
        if other == id || matches!(entry.workspace, Reading::Known { value: None, .. }) {
            continue;
        }
        if estate.adopted.contains(other) {
            risks.declared_neighbours.push(other.name().to_owned());
        } else {
            risks.undeclared_neighbours.push(other.to_string());
        }
    }
    risks
}

/// Traffic. Counts move while one looks, so only whether there are any is told.
fn key_users(here: &Here<'_>, risks: &mut Risks) {
    match &here.observed.key_usage {
        Reading::Known { value: usage, .. } => {
            // The server's time is in whole seconds, so the length of the window is too.
            let within = span(usage.length());
            if usage.account_key.count > 0 {
                risks.key_users.push(format!("somebody signed with it within {within}, and was let in"));
            }
            if usage.sas.count > 0 {
                risks
                    .key_users
                    .push(format!("somebody used a SAS within {within}: the metric does not tell what signed it"));
            }
            if !usage.alive {
                risks
                    .key_users
                    .push(format!("the metric shows no traffic of any kind within {within}, which proves nothing"));
            }
            if !usage.complete {
                risks.unread_at_account.extend(["who signs with the key: the answer is incomplete".to_owned()]);
            }
        }
        Reading::Unknown { why, .. } => risks.unread_at_account.extend([format!("who signs with the key: {why}")]),
        Reading::NotRead => risks.unread_at_account.extend(["who signs with the key: not read".to_owned()]),
    }
}

/// The lock in words, if it stands in the way of a switch.
fn bar(lock: &Lock) -> Option<String> {
    match &lock.level {
        LockLevel::CanNotDelete => None,
        LockLevel::ReadOnly => Some(format!("{} (ReadOnly) at {}", lock.id.name(), lock.scope)),
        LockLevel::Other(level) => Some(format!("{} ({level}) at {}", lock.id.name(), lock.scope)),
    }
}

impl Risks {
    /// The lines for the head of the file.
    pub(super) fn told(&self, account: &StorageAccountId, mode: Option<&ObservedAuthMode>) -> Vec<String> {
        let Self {
            would_lose,
            sure,
            key_users,
            locks,
            declared_neighbours,
            undeclared_neighbours,
            unread: _,
            unread_at_account: _,
        } = self;
        let mut lines = vec![String::new()];
        let who = if mode == Some(&ObservedAuthMode::Identity) {
            lines.push(format!(
                "It stands on {} and is on identity. To know before its key is turned off:",
                account.name()
            ));
            "works here without a data role of their own"
        } else {
            lines.push(format!("It stands on {}. To know before `authMode: identity`:", account.name()));
            "reaches the data through the key alone"
        };
        let before = lines.len();
        let unless = |number| if number < *sure { "" } else { ", if no group of theirs is named below" };
        let holders = would_lose.iter().enumerate();
        lines.extend(holders.map(|(number, holder)| format!("- {who}{}: {holder}", unless(number))));
        lines.extend(key_users.iter().map(|what| format!("- the key: {what}")));
        lines.extend(locks.iter().map(|lock| format!("- a lock bars the switch: {lock}")));
        lines.extend(undeclared_neighbours.iter().map(|id| format!("- on the same account, and in no file: {id}")));
        if !declared_neighbours.is_empty() {
            lines.push(format!("- on the same account: {}", declared_neighbours.join(", ")));
        }
        if lines.len() == before {
            lines.push("- nothing that roles, datastores, metrics and locks would tell".to_owned());
        }
        lines.push(String::new());
        lines
    }
}
