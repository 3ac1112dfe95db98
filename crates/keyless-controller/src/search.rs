//! One search of every subscription in scope for workspaces, and the account each of them stands on.
//!
//! A subscription counts as listed only if its list was complete *and* the account of every workspace in it could be told:
//! a project whose hub could not be read may stand on any account.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use keyless_arm::api::{Answer, ReadArm};
use keyless_core::desired::Scope;
use keyless_core::id::{ArmId, StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::observed::{Cause, ObservedAuthMode, Reading, Workspace};

use crate::clock::ServerClock;
use crate::failed::{Failure, failed, failed_as};
use crate::memory::Memory;

/// How many lists or direct reads one search has under way at a time.
const AT_A_TIME: usize = 4;

/// Where a workspace stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the first account; it holds the keys of the others too.
    On(StorageAccountId, BTreeSet<StorageAccountId>),
    /// It does not exist.
    Missing,
    /// A read that would tell failed, or told nothing.
    Unknown(Failure),
}

impl Place {
    /// Where a workspace says that it stands, if it names an account itself.
    fn on(own: &Workspace) -> Option<Self> {
        Some(Self::On(own.storage_account.clone()?, own.more_accounts.clone()))
    }

    /// The accounts whose keys a workspace in this place holds.
    fn accounts(&self) -> impl Iterator<Item = &StorageAccountId> {
        let all = if let Self::On(first, more) = self { Some((first, more)) } else { None };
        all.into_iter().flat_map(|(first, more)| std::iter::once(first).chain(more))
    }

    /// Whether a workspace in this place holds the key of `account`.
    pub(crate) fn holds(&self, account: &StorageAccountId) -> bool {
        self.accounts().any(|one| one == account)
    }
}

/// What one search found.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Per subscription in scope: whether it was listed completely.
    pub(crate) listings: BTreeMap<SubscriptionId, Reading<()>>,
    /// The listed workspaces whose place could be told, excluded ones left out.
    pub(crate) found: BTreeMap<WorkspaceId, Place>,
    /// The listed workspaces that are excluded, and the accounts they use; `None` where the lists do not tell.
    pub(crate) left_out: BTreeMap<WorkspaceId, Option<BTreeSet<StorageAccountId>>>,
    /// Those that the lists show.
    pub(crate) listed: BTreeSet<WorkspaceId>,
    /// Those that the lists show on the account key. Not those of which they tell no mode, which counts as a key where a
    /// direct read says so: that lists tell it of all is stated nowhere, and one that never does would hold a key for good.
    pub(crate) on_keys: BTreeSet<WorkspaceId>,
}

/// Searches with one reader, noting the server's time and what is on keys as it goes.
#[derive(Clone, Copy)]
pub(crate) struct Searcher<'a> {
    pub(crate) read: &'a dyn ReadArm,
    pub(crate) clock: &'a ServerClock,
    pub(crate) memory: &'a Memory,
}

impl Searcher<'_> {
    fn saw<T>(&self, answer: Answer<T>) -> Answer<T> {
        self.clock.saw(answer.at);
        answer
    }

    /// Lists every subscription in scope. `known` are subscriptions that belong to it in any case: those of the
    /// declared resources, and those of earlier searches.
    pub(crate) async fn search(&self, scope: &Scope, known: &BTreeSet<SubscriptionId>) -> Search {
        let mut search = Search::default();
        let mut subscriptions = known.clone();
        match &scope.subscriptions {
            Some(named) => subscriptions.extend(named),
            None => match self.read.subscriptions().await {
                Ok(answer) => subscriptions.extend(self.saw(answer).value),
                Err(error) => {
                    // Which subscriptions there are is not known, so none of the known ones stands for all.
                    let unread = failed_as("the list of subscriptions could not be read", &error);
                    search.listings =
                        subscriptions.iter().map(|&subscription| (subscription, unread.clone())).collect();
                }
            },
        }
        subscriptions.retain(|subscription| !excluded(scope, &subscription.arm()));
        let lists: Vec<_> = stream::iter(subscriptions)
            .map(|subscription| async move { (subscription, self.read.workspaces(subscription).await) })
            .buffered(AT_A_TIME)
            .collect()
            .await;
        let mut listed: BTreeMap<WorkspaceId, (SubscriptionId, Workspace)> = BTreeMap::new();
        for (subscription, answer) in lists {
            let reading = match answer {
                Ok(answer) => {
                    let Answer { value, at, .. } = self.saw(answer);
                    listed.extend(value.into_iter().map(|own| (own.id.clone(), (subscription, own))));
                    Reading::known((), at)
                }
                Err(error) => failed(&error),
            };
            search.listings.entry(subscription).or_insert(reading);
        }
        self.place(scope, &listed, &mut search).await;
        // Whomever the lists were read for: no other read may show what was so for moments.
        for account in search.on_keys.iter().filter_map(|id| search.found.get(id)).flat_map(Place::accounts) {
            self.memory.saw_listed_on_key(account);
        }
        search
    }

    /// The subscriptions that can be seen and that no search lists, for the files leave them out.
    pub(crate) async fn out_of_scope(
        &self,
        scope: &Scope,
        known: &BTreeSet<SubscriptionId>,
    ) -> Reading<BTreeSet<SubscriptionId>> {
        if !scope.leaves_out_subscriptions() {
            return Reading::known(BTreeSet::new(), Timestamp::MIN);
        }
        let (seen, at) = match self.read.subscriptions().await {
            Ok(answer) => {
                let answer = self.saw(answer);
                (answer.value, answer.at)
            }
            Err(error) => return failed(&error),
        };
        let listed = |subscription: &SubscriptionId| {
            let named = scope.subscriptions.as_ref().is_none_or(|named| named.contains(subscription));
            (named || known.contains(subscription)) && !excluded(scope, &subscription.arm())
        };
        Reading::known(seen.into_iter().filter(|subscription| !listed(subscription)).collect(), at)
    }

    async fn place(
        &self,
        scope: &Scope,
        listed: &BTreeMap<WorkspaceId, (SubscriptionId, Workspace)>,
        search: &mut Search,
    ) {
        let mut open = Vec::new();
        for (id, (subscription, own)) in listed {
            let hub = own.hub.as_ref().and_then(|hub| listed.get(hub)).map(|(_, hub)| hub);
            let place = Place::on(own).or_else(|| Place::on(hub?));
            if excluded(scope, id.arm()) {
                search.left_out.insert(id.clone(), place.map(|place| place.accounts().cloned().collect()));
                continue;
            }
            search.listed.insert(id.clone());
            if own.auth_mode == ObservedAuthMode::AccessKey {
                search.on_keys.insert(id.clone());
            }
            match place {
                Some(place) => {
                    search.found.insert(id.clone(), place);
                }
                None => open.push((*subscription, id.clone())),
            }
        }
        let resolved: Vec<_> = stream::iter(open)
            .map(|(subscription, id)| async move { (subscription, self.direct(&id).await, id) })
            .buffered(AT_A_TIME)
            .collect()
            .await;
        for (subscription, place, id) in resolved {
            match place {
                Place::On(..) => {
                    search.found.insert(id, place);
                }
                // Lists lag behind deletions, and a read of what is there may be answered with 404.
                Place::Missing => {
                    let why = format!("{} is listed, and its own read says that it does not exist", id.name());
                    search.listings.insert(subscription, Reading::unknown(&why));
                }
                Place::Unknown(Failure { why, cause }) => {
                    let why = format!("the account of {} could not be found out: {why}", id.name());
                    search.listings.insert(subscription, Reading::Unknown { why, cause });
                }
            }
        }
    }

    /// Finds out by direct reads where one workspace stands.
    pub(crate) async fn direct(&self, id: &WorkspaceId) -> Place {
        let own = match self.read.workspace(id).await.map(|answer| self.saw(answer).value) {
            Ok(Some(own)) => own,
            Ok(None) => return Place::Missing,
            Err(error) => return Place::Unknown(Failure::of(None, &error)),
        };
        if let Some(place) = Place::on(&own) {
            return place;
        }
        let Some(hub) = own.hub else { return nowhere() };
        match self.read.workspace(&hub).await.map(|answer| self.saw(answer).value) {
            Ok(Some(hub)) => Place::on(&hub).unwrap_or_else(nowhere),
            Ok(None) => {
                let why = format!("its hub {} does not exist", hub.name());
                Place::Unknown(Failure { why, ..Failure::default() })
            }
            Err(error) => Place::Unknown(Failure::of(Some(format!("its hub {}", hub.name())), &error)),
        }
    }

    /// [`Searcher::direct`] for many.
    pub(crate) async fn direct_all(&self, ids: impl IntoIterator<Item = WorkspaceId>) -> Vec<(WorkspaceId, Place)> {
        stream::iter(ids)
            .map(|id| async move {
                let place = self.direct(&id).await;
                (id, place)
            })
            .buffered(AT_A_TIME)
            .collect()
            .await
    }
}

/// Every workspace stands on an account, and on the same one for ever; an answer that leaves it out says nothing.
fn nowhere() -> Place {
    let lift = "a storage account on the workspace; or `scope.exclude`, and no document";
    Place::Unknown(Failure {
        why: "Azure names neither a storage account nor a hub".to_owned(),
        cause: Cause { class: None, lift: Some(lift.to_owned()) },
    })
}

pub(crate) fn excluded(scope: &Scope, id: &ArmId) -> bool {
    scope.exclude.iter().any(|excluded| excluded.covers(id))
}
