//! One look at a whole estate without any files: what `keyless adopt` writes down.
//!
//! Requests: the workspaces and the online endpoints of each subscription as pages; five for each account (itself, role assignments, deny
//! assignments, locks, one metric); five for each workspace on an account that is adopted (itself, datastores, computes,
//! role assignments, locks); one for each role definition and each user-assigned identity; two for each person or program
//! that works on an account without a data role of its own (its groups, and what it could activate).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use keyless_arm::api::ReadArm;
use keyless_core::adopt::{Around, Estate, undecided};
use keyless_core::desired::{Fleet, KeyDesired, Revision, Scope};
use keyless_core::gate::ReadSet;
use keyless_core::id::{ArmId, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::observed::{Observed, Reading, RoleDefinition};

use crate::clock::ServerClock;
use crate::growth::Growth;
use crate::memory::Memory;
use crate::observe::{Ask, Observer};
use crate::search::{Place, Search};

/// How many reads of one account are under way at a time.
const AT_A_TIME: usize = 4;

/// Where to look.
#[derive(Debug, Clone, Default)]
pub struct Where {
    /// The subscriptions that are searched.
    pub subscriptions: BTreeSet<SubscriptionId>,
    /// Only workspaces in these resource groups are adopted; empty means all. Their subscriptions are searched as a whole,
    /// for whatever stands on the same accounts.
    pub groups: BTreeSet<ArmId>,
}

/// Looks, at `at_a_time` accounts at once. `tick` is told how many accounts there are and how many are done.
pub async fn survey(
    read: Arc<dyn ReadArm>,
    place: &Where,
    owner: &str,
    at_a_time: usize,
    tick: &(dyn Fn(usize, usize) + Sync),
) -> Estate {
    let observer = Observer::new(read, Arc::new(ServerClock::default()), Arc::new(Memory::new(Growth::PERSON)));
    let mut subscriptions = place.subscriptions.clone();
    subscriptions.extend(place.groups.iter().filter_map(ArmId::subscription));
    let scope = Scope { subscriptions: Some(subscriptions), exclude: BTreeSet::new() };
    let Search { listings, found, .. } = observer.searcher().search(&scope, &BTreeSet::new()).await;

    let wanted = |id: &WorkspaceId| place.groups.is_empty() || place.groups.iter().any(|group| group.covers(id.arm()));
    let mut on: BTreeMap<StorageAccountId, BTreeSet<WorkspaceId>> = BTreeMap::new();
    for (id, place) in found {
        match place {
            // The accounts that a hub names besides its first are not where its datastores are.
            Place::On(account, _) => {
                on.entry(account).or_default().insert(id);
            }
            Place::Missing | Place::Unknown(_) => {}
        }
    }
    on.retain(|_, workspaces| workspaces.iter().any(&wanted));
    let adopted = on.values().flatten().filter(|id| wanted(id)).cloned().collect();
    let total = on.len();

    let mut estate = Estate {
        owner: owner.to_owned(),
        listings,
        adopted,
        accounts: BTreeMap::new(),
        workspaces: BTreeMap::new(),
        roles: BTreeMap::new(),
        identities: BTreeMap::new(),
        endpoints: BTreeMap::new(),
    };
    // The metric's window is cut from the server's time, which the lists have told by now.
    let mut looks =
        stream::iter(on).map(|(account, workspaces)| one(&observer, &scope, account, workspaces)).buffered(at_a_time);
    while let Some(look) = looks.next().await {
        estate.workspaces.extend(look.around);
        estate.roles.extend(look.roles);
        estate.accounts.insert(look.observed.account_id.clone(), look.observed);
        tick(estate.accounts.len(), total);
    }
    drop(looks);
    estate.identities = identities(&observer, &estate).await;
    let homes: BTreeSet<SubscriptionId> = estate.workspaces.keys().map(WorkspaceId::subscription).collect();
    for subscription in homes {
        let reading = observer.reading(observer.reader().online_endpoints(subscription).await);
        estate.endpoints.insert(subscription, reading);
    }
    let mut asked = stream::iter(undecided(&estate))
        .map(|(account, people)| groups_and_eligible(&observer, &scope, account, people))
        .buffered(at_a_time);
    let mut told = Vec::new();
    while let Some(part) = asked.next().await {
        told.push(part);
    }
    drop(asked);
    for part in told {
        if let Some(observed) = estate.accounts.get_mut(&part.account_id) {
            observed.groups.extend(part.groups);
            observed.eligibilities.extend(part.eligibilities);
        }
    }
    estate
}

/// Which groups these people are in, and what they could activate.
async fn groups_and_eligible(
    observer: &Observer,
    scope: &Scope,
    account: StorageAccountId,
    people: BTreeSet<PrincipalId>,
) -> Observed {
    let desired = nothing_desired(scope, &account);
    let reads = ReadSet { groups: people.clone(), eligibilities: people, ..ReadSet::default() };
    let ask = Ask { desired: &desired, reads: &reads, confirming: None, known: &BTreeSet::new() };
    observer.observe(ask).await.part
}

fn nothing_desired(scope: &Scope, account: &StorageAccountId) -> KeyDesired {
    KeyDesired {
        revision: Revision("none".to_owned()),
        fleet: Fleet { scope: scope.clone(), ..Fleet::default() },
        account_id: account.clone(),
        account: None,
        workspaces: BTreeMap::new(),
        unplaced: Arc::default(),
        out_of_scope: Reading::known(BTreeSet::new(), Timestamp::MIN),
        out_of_sight: BTreeMap::new(),
        group_is_shared: false,
    }
}

struct Look {
    observed: Observed,
    around: BTreeMap<WorkspaceId, Around>,
    roles: BTreeMap<RoleId, Reading<RoleDefinition>>,
}

/// Reads one account and all that stands on it.
async fn one(observer: &Observer, scope: &Scope, account: StorageAccountId, workspaces: BTreeSet<WorkspaceId>) -> Look {
    let desired = nothing_desired(scope, &account);
    let reads = ReadSet {
        account: true,
        workspaces: workspaces.clone(),
        datastores: workspaces.clone(),
        computes: workspaces.clone(),
        assignments: true,
        denies: true,
        locks: true,
        key_usage: true,
        ..ReadSet::default()
    };
    let ask = Ask { desired: &desired, reads: &reads, confirming: None, known: &BTreeSet::new() };
    let mut observed = Observed::unread(account, Timestamp::MIN);
    observed.absorb(observer.observe(ask).await.part);

    let read = observer.reader();
    let around: BTreeMap<WorkspaceId, Around> = stream::iter(workspaces)
        .map(|id| async move {
            let assignments = observer.reading(read.role_assignments(id.arm()).await);
            let locks = observer.reading(read.locks(id.arm()).await);
            (id, Around { assignments, locks })
        })
        .buffered(AT_A_TIME)
        .collect()
        .await;
    let assigned = around.values().filter_map(|around| around.assignments.value()).flatten();
    let more: BTreeSet<RoleId> =
        assigned.map(|assignment| assignment.role).filter(|role| !observed.roles.contains_key(role)).collect();
    let desired = &desired;
    let mut roles: BTreeMap<RoleId, Reading<RoleDefinition>> = stream::iter(more)
        .map(|role| async move { (role, observer.role(desired, role).await) })
        .buffered(AT_A_TIME)
        .collect()
        .await;
    roles.extend(observed.roles.clone());
    Look { observed, around, roles }
}

/// Who is behind the user-assigned identities. A plan reads each of them too, so what cannot be read is known now.
async fn identities(observer: &Observer, estate: &Estate) -> BTreeMap<ManagedIdentityId, Reading<Option<PrincipalId>>> {
    let mut ids = BTreeSet::new();
    for entry in estate.accounts.values().flat_map(|observed| observed.workspaces.values()) {
        if let Some(Some(own)) = entry.workspace.value() {
            ids.extend(own.identity.user_assigned.keys().cloned());
            ids.extend(own.primary_identity.clone());
        }
        for compute in entry.computes.value().into_iter().flatten() {
            ids.extend(compute.identity.user_assigned.keys().cloned());
        }
    }
    let read = observer.reader();
    stream::iter(ids)
        .map(|id| async move {
            let reading = observer.reading(read.managed_identity(&id).await);
            (id, reading)
        })
        .buffered(AT_A_TIME)
        .collect()
        .await
}
