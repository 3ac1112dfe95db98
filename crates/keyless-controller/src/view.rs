//! One revision of the files laid over one look at the fleet: which accounts are passed over, and what each pass starts from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use keyless_core::desired::{Desired, DesiredWorkspace, KeyDesired, OutOfSight};
use keyless_core::id::{StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::observed::{Observed, ObservedWorkspace};

use crate::index::Index;

/// Files and fleet, joined once for all passes.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) desired: Arc<Desired>,
    pub(crate) index: Arc<Index>,
    /// Workspaces that may stand on any account, with their documents.
    unplaced: Arc<BTreeMap<WorkspaceId, Option<DesiredWorkspace>>>,
    /// Subscriptions that are searched in any case.
    pub(crate) known: BTreeSet<SubscriptionId>,
}

impl View {
    pub(crate) fn new(desired: Arc<Desired>, index: Arc<Index>) -> Self {
        let mut unplaced: BTreeSet<WorkspaceId> = index.unplaced.keys().cloned().collect();
        let placed: BTreeSet<&WorkspaceId> = index.placed.values().flatten().collect();
        let told = |id: &WorkspaceId| placed.contains(id) || index.missing.contains(id);
        // Declared since the last look over the fleet.
        unplaced.extend(desired.workspaces.keys().filter(|id| !told(id)).cloned());
        let known = index.listings.keys().copied().collect();
        let with_document = |id: WorkspaceId| {
            let document = desired.workspaces.get(&id).cloned();
            (id, document)
        };
        let unplaced = Arc::new(unplaced.into_iter().map(with_document).collect());
        Self { desired, index, unplaced, known }
    }

    /// Whether it is known of every declared workspace where it stands.
    pub(crate) fn places_all(&self) -> bool {
        self.unplaced.is_empty()
    }

    pub(crate) fn keys(&self) -> BTreeSet<StorageAccountId> {
        self.index.keys(&self.desired)
    }

    /// The workspaces on an account, declared or not.
    pub(crate) fn on(&self, key: &StorageAccountId) -> BTreeSet<WorkspaceId> {
        self.index.placed.get(key).cloned().unwrap_or_default()
    }

    /// The files' part for one account.
    pub(crate) fn desired_for(&self, key: &StorageAccountId) -> KeyDesired {
        let workspaces: BTreeMap<_, _> = self
            .index
            .placed
            .get(key)
            .into_iter()
            .flatten()
            .filter_map(|id| self.desired.workspaces.get_key_value(id))
            .map(|(id, workspace)| (id.clone(), workspace.clone()))
            .collect();
        KeyDesired {
            revision: self.desired.revision.clone(),
            fleet: self.desired.fleet.clone(),
            account_id: key.clone(),
            account: self.desired.accounts.get(key).cloned(),
            workspaces,
            unplaced: Arc::clone(&self.unplaced),
            out_of_scope: self.index.out_of_scope.clone(),
            out_of_sight: self.out_of_sight(key),
            group_is_shared: self.index.placed.iter().any(|(other, on)| {
                other != key && !on.is_empty() && other.group() == key.group() //
            }),
        }
    }

    /// The workspaces that no pass over the account sees, and whose people may rest on grants there all the same.
    fn out_of_sight(&self, key: &StorageAccountId) -> BTreeMap<WorkspaceId, OutOfSight> {
        let missing = self.index.missing.iter().map(|id| (id.clone(), OutOfSight::Missing));
        let here = |accounts: &Option<BTreeSet<_>>| accounts.as_ref().is_none_or(|all| all.contains(key));
        let left_out = self.index.left_out.iter().filter(|(id, accounts)| {
            here(accounts) && !self.desired.workspaces.contains_key(id) //
        });
        missing.chain(left_out.map(|(id, _)| (id.clone(), OutOfSight::Excluded))).collect()
    }

    /// What a pass starts from: which workspaces are there, and nothing read of them.
    pub(crate) fn observed_for(&self, key: &StorageAccountId, now: Timestamp) -> Observed {
        let users = self.index.users_of(key);
        Observed {
            listings: self.index.listings.clone(),
            listed: users.intersection(&self.index.listed).cloned().collect(),
            workspaces: users.into_iter().map(|id| (id, ObservedWorkspace::unread())).collect(),
            ..Observed::unread(key.clone(), now)
        }
    }

    /// Whether a pass over the account would start from something else in `other`.
    pub(crate) fn differs(&self, other: &Self, key: &StorageAccountId) -> bool {
        self.index.placed.get(key) != other.index.placed.get(key)
            || self.index.holders.get(key) != other.index.holders.get(key)
            || self.unplaced != other.unplaced
            || self.index.out_of_scope.value() != other.index.out_of_scope.value()
            || self.out_of_sight(key) != other.out_of_sight(key)
    }
}
