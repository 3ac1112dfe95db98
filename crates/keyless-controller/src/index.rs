//! Which workspaces stand on which account, over the whole fleet: what the keys of the passes are made of.
//!
//! Refreshed at most once per interval by lists; never the last word before a write, because the step that turns a key
//! off lists again in its own pass.

use std::collections::{BTreeMap, BTreeSet};

use keyless_core::desired::Desired;
use keyless_core::id::{StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::observed::Reading;

use crate::failed::Failure;
use crate::search::{Place, Search, Searcher, excluded};

/// One view of the fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// The workspaces on each account, declared or not.
    pub placed: BTreeMap<StorageAccountId, BTreeSet<WorkspaceId>>,
    /// Per subscription in scope: whether its workspaces were listed completely.
    pub listings: BTreeMap<SubscriptionId, Reading<()>>,
    /// The workspaces that the lists show; where one failed, that the last one before it showed.
    pub listed: BTreeSet<WorkspaceId>,
    /// Declared workspaces whose account could not be found out, and why: each may stand on any account.
    pub unplaced: BTreeMap<WorkspaceId, Failure>,
    /// Per account, the workspaces that stand on another one and name this one too.
    pub holders: BTreeMap<StorageAccountId, BTreeSet<WorkspaceId>>,
    /// Declared workspaces that do not exist.
    pub missing: BTreeSet<WorkspaceId>,
    /// The subscriptions that are seen and not listed, for `scope` leaves them out. Asked for where grants may be taken back.
    pub out_of_scope: Reading<BTreeSet<SubscriptionId>>,
    /// Workspaces that `scope.exclude` leaves out, and the accounts they use; `None` where the lists do not tell.
    pub left_out: BTreeMap<WorkspaceId, Option<BTreeSet<StorageAccountId>>>,
}

impl Index {
    /// Looks over the fleet again. A failed list keeps what `self` knew, and says so in `listings`.
    #[must_use]
    pub(crate) async fn refreshed(&self, desired: &Desired, searcher: Searcher<'_>) -> Self {
        let scope = &desired.fleet.scope;
        let mut known: BTreeSet<SubscriptionId> = desired.workspaces.keys().map(WorkspaceId::subscription).collect();
        known.extend(desired.accounts.keys().map(StorageAccountId::subscription));
        let search = searcher.search(scope, &known).await;

        let failed = |id: &WorkspaceId| {
            search.listings.get(&id.subscription()).is_some_and(|reading| reading.failure().is_some())
        };
        let mut listed = search.listed;
        listed.extend(self.listed.iter().filter(|id| failed(id) && !excluded(scope, id.arm())).cloned());
        let mut places = search.found;
        for (account, workspaces) in &self.placed {
            for id in workspaces {
                if failed(id) && !excluded(scope, id.arm()) {
                    places.entry(id.clone()).or_insert_with(|| Place::On(account.clone(), BTreeSet::new()));
                }
            }
        }
        let unlisted: Vec<WorkspaceId> =
            desired.workspaces.keys().filter(|id| !places.contains_key(id)).cloned().collect();
        places.extend(searcher.direct_all(unlisted).await);

        let out_of_scope =
            if desired.fleet.prune { searcher.out_of_scope(scope, &known).await } else { Reading::NotRead };
        let Search { listings, left_out, .. } = search;
        let mut index = Self { out_of_scope, left_out, listings, listed, ..Self::default() };
        for (id, place) in places {
            match place {
                Place::On(account, more) => {
                    for account in more {
                        index.holders.entry(account).or_default().insert(id.clone());
                    }
                    index.placed.entry(account).or_default().insert(id);
                }
                Place::Unknown(why) => {
                    // Still observed where it was, and suspected everywhere.
                    if let Some(account) = self.account_of(&id) {
                        index.placed.entry(account.clone()).or_default().insert(id.clone());
                    }
                    index.unplaced.insert(id, why);
                }
                // One that is to be made belongs to the pass of the account that it is made on.
                Place::Missing => match desired.workspaces.get(&id).and_then(|declared| declared.create.as_ref()) {
                    Some(create) => {
                        index.placed.entry(create.storage_account.clone()).or_default().insert(id);
                    }
                    None => {
                        index.missing.insert(id);
                    }
                },
            }
        }
        index
    }

    fn account_of(&self, id: &WorkspaceId) -> Option<&StorageAccountId> {
        self.placed.iter().find(|(_, workspaces)| workspaces.contains(id)).map(|(account, _)| account)
    }

    /// The workspaces that stand on an account or name it beside their own, declared or not.
    #[must_use]
    pub fn users_of(&self, account: &StorageAccountId) -> BTreeSet<WorkspaceId> {
        self.placed.get(account).into_iter().chain(self.holders.get(account)).flatten().cloned().collect()
    }

    /// The accounts that are passed over: those of declared workspaces, and declared accounts.
    #[must_use]
    pub fn keys(&self, desired: &Desired) -> BTreeSet<StorageAccountId> {
        let declared = |workspaces: &BTreeSet<WorkspaceId>| {
            workspaces.iter().any(|workspace| desired.workspaces.contains_key(workspace))
        };
        let mut keys: BTreeSet<StorageAccountId> =
            self.placed.iter().filter(|(_, on)| declared(on)).map(|(account, _)| account.clone()).collect();
        keys.extend(desired.accounts.keys().cloned());
        keys
    }
}
