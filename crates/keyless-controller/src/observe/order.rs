//! In which order the reads of a pass are made, and which of them are made once more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream;
use keyless_core::action::Action;
use keyless_core::gate::ReadSet;
use keyless_core::observed::BarrierReads;
use tokio::time::Instant;

use super::{AT_A_TIME, Ask, Observer, Piece};

/// How much older than the last of them an answer may be that opens a write: what was answered while another read took long
/// is read once more. Design decision.
const BESIDE_OTHERS: Duration = Duration::from_secs(2);

/// How often it is, at most: where every answer is slow, the pass ends without a write.
const AGAIN: u8 = 2;

/// The reads of a pass, in the order in which they are made. Before a write what somebody may change from one moment to the
/// next comes after what may take long (metrics, logs, jobs), and the lists after what they are held against.
#[derive(Default)]
pub(super) struct Order<'a> {
    pub(super) first: Vec<BoxFuture<'a, Piece>>,
    /// Modes, stored credentials, grants, denials, locks.
    near: Vec<BoxFuture<'a, Piece>>,
    /// Which workspaces there are.
    lists: Vec<BoxFuture<'a, Piece>>,
    /// The account and the action's target.
    pub(super) last: Vec<BoxFuture<'a, Piece>>,
}

impl Observer {
    /// What may change from one moment to the next, and the lists. For a write, answers that are older than the others are read
    /// once more.
    pub(super) async fn near(&self, ask: Ask<'_>) -> Vec<Piece> {
        let mut near = self.near_at(ask, None).await;
        for _ in 0..if ask.confirming.is_some() { AGAIN } else { 0 } {
            let by = Instant::now();
            let old = near.iter().filter(|(_, (_, answered))| by.duration_since(*answered) > BESIDE_OTHERS);
            let old: BTreeSet<usize> = old.map(|(place, _)| *place).collect();
            if old.is_empty() {
                break;
            }
            near.extend(self.near_at(ask, Some(&old)).await);
        }
        near.into_values().map(|(piece, _)| piece).collect()
    }

    /// What may change from one moment to the next, and then the lists: all, or those at these places; each with when it was
    /// answered.
    async fn near_at(&self, ask: Ask<'_>, only: Option<&BTreeSet<usize>>) -> BTreeMap<usize, (Piece, Instant)> {
        let Order { near, lists, .. } = self.ordered(ask);
        let (mut read, mut place) = (BTreeMap::new(), 0);
        for group in [near, lists] {
            let mut timed = Vec::new();
            for one in group {
                if only.is_none_or(|only| only.contains(&place)) {
                    timed.push(answered(place, one));
                }
                place += 1;
            }
            read.extend(stream::iter(timed).buffered(AT_A_TIME).collect::<Vec<_>>().await);
        }
        read
    }

    /// The reads in their order.
    pub(super) fn ordered<'a>(&'a self, ask: Ask<'a>) -> Order<'a> {
        let ReadSet {
            account,
            listings,
            workspaces,
            datastores,
            elsewhere,
            computes,
            computes_lately,
            jobs,
            glimpses,
            assignments,
            assignments_by_id,
            access_at,
            groups,
            eligibilities,
            denies,
            denies_lately,
            locks,
            key_usage,
            key_details,
            key_callers,
            data_probe,
            denials,
            endpoints,
            identities,
            barriers,
        } = ask.reads;
        let key = &ask.desired.account_id;
        let Order { mut first, mut near, mut lists, mut last } = Order::default();
        if *listings {
            lists.push(Box::pin(async move { Piece::Search(self.search(ask).await) }));
        }
        if *elsewhere {
            first.push(Box::pin(async move { Piece::Elsewhere(self.elsewhere(ask).await) }));
        }
        for id in datastores {
            let target = matches!(
                ask.confirming,
                Some(Action::SetDatastoreCredential { workspace, .. } | Action::CreateDatastore { workspace, .. })
                    if workspace == id
            );
            let group = if target { &mut last } else { &mut near };
            group.push(Box::pin(
                async move { Piece::Datastores(id.clone(), self.reading(self.read.datastores(id).await)) },
            ));
        }
        for id in computes {
            first.push(Box::pin(async move {
                Piece::Computes(id.clone(), self.reading(self.read.computes(id).await)) //
            }));
        }
        for id in computes_lately.difference(computes) {
            first.push(Box::pin(async move {
                let read = async { self.reading(self.read.computes(id).await) };
                Piece::Computes(id.clone(), self.computes.lately(id, read).await)
            }));
        }
        for id in jobs {
            first.push(Box::pin(async move { Piece::Jobs(id.clone(), self.jobs(ask, id).await) }));
        }
        for id in glimpses {
            first.push(Box::pin(async move {
                Piece::Glimpse(id.clone(), self.reading(self.read.some_jobs(id).await)) //
            }));
        }
        for id in assignments_by_id {
            near.push(Box::pin(async move {
                Piece::Assignment(id.clone(), self.reading(self.read.role_assignment(id).await)) //
            }));
        }
        for id in access_at {
            near.push(Box::pin(self.access_at(ask.desired, id)));
        }
        for id in groups {
            near.push(Box::pin(async move { Piece::Groups(*id, self.groups(ask, *id).await) }));
        }
        for id in eligibilities {
            first.push(Box::pin(async move {
                Piece::Eligibilities(*id, self.reading(self.read.eligibilities(key.arm(), *id).await))
            }));
        }
        if *denies || *denies_lately {
            near.push(Box::pin(self.denies(ask)));
        }
        if *locks {
            near.push(Box::pin(async move { Piece::Locks(self.reading(self.read.locks(key.arm()).await)) }));
        }
        for id in identities {
            first.push(Box::pin(async move {
                Piece::Identity(id.clone(), self.reading(self.read.managed_identity(id).await))
            }));
        }
        if **barriers != BarrierReads::default() {
            let anew = matches!(ask.confirming, Some(Action::SetSharedKeyAccess { allowed: false, .. }));
            first.push(Box::pin(async move {
                Piece::Barriers(self.barriers.read(barriers, anew, &self.endpoints, &*self.read, &self.clock).await)
            }));
        }
        if *key_usage {
            // Its window is cut from the server's time, which another read has to tell first.
            let group = if self.clock.last().is_some() { &mut first } else { &mut last };
            group.push(Box::pin(self.key_usage(ask.desired)));
        }
        if *key_details {
            let group = if self.clock.last().is_some() { &mut first } else { &mut last };
            group.push(Box::pin(self.key_details(ask)));
        }
        if *key_callers {
            last.push(Box::pin(self.key_callers(ask.desired)));
        }
        if let Some(endpoint) = data_probe {
            first.push(Box::pin(async move {
                Piece::DataProbe(self.reading(self.read.data_probe(key, endpoint).await)) //
            }));
        }
        if *denials {
            last.push(Box::pin(self.denials(ask.desired)));
        }
        if *endpoints {
            first.push(Box::pin(async move { Piece::Endpoints(self.endpoints(ask).await) }));
        }
        for id in workspaces {
            let target = matches!(
                ask.confirming,
                Some(
                    Action::SetAuthMode { workspace, .. }
                    | Action::CreateWorkspace { workspace, .. }
                    | Action::ResyncWorkspaceKeys { workspace }
                ) if workspace == id
            );
            let group = if target { &mut last } else { &mut near };
            group.push(Box::pin(async move {
                Piece::Workspace(id.clone(), self.reading(self.read.workspace(id).await)) //
            }));
        }
        if *assignments {
            // Whose an own grant is, and with which role, its id tells: the list may be older when one is taken back.
            let target = matches!(ask.confirming, Some(Action::GrantRole(_)));
            let group = if target { &mut last } else { &mut near };
            group.push(Box::pin(self.assignments(ask.desired)));
        }
        if *account {
            let group = if ask.confirming.is_some() { &mut last } else { &mut first };
            group.push(Box::pin(async move { Piece::Account(self.reading(self.read.account(key).await)) }));
        }
        if ask.confirming.is_none() {
            // Nothing is written after them, so they need no order.
            first.append(&mut near);
            first.append(&mut lists);
        }
        Order { first, near, lists, last }
    }
}

fn answered(place: usize, read: BoxFuture<'_, Piece>) -> BoxFuture<'_, (usize, (Piece, Instant))> {
    Box::pin(async move { (place, (read.await, Instant::now())) })
}

/// Makes reads, some at a time.
pub(super) async fn gather(reads: Vec<BoxFuture<'_, Piece>>) -> Vec<Piece> {
    stream::iter(reads).buffered(AT_A_TIME).collect().await
}
