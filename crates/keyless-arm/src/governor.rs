//! Keeps this client below Azure's limits, so that people and other programs in the subscription are not throttled by it.
//!
//! Every call needs a place in two buckets at once: the resource manager's (per subscription and class of operation) and
//! the provider's. Whoever finds none waits in a line in which tasks take turns, so that one pass with many calls, or with
//! many that fail, does not hold up the others. Nothing that waits is sent to a bucket that Azure has closed meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyless_core::id::SubscriptionId;
use tokio::task::Id;
use tokio::time::Instant;

use crate::bucket::Bucket;
use crate::error::SetupError;
use crate::operation::Operation;
use crate::quota::{Class, Limits, Provider, Quota, Throttle};

/// The global bucket of all principals is this many times as large as that of one.
/// Source: a recording of May 2025 shows 249 and 3749 reads left.
const GLOBAL: f64 = 15.0;

type Key = (Option<SubscriptionId>, Option<Provider>, Class);

/// All buckets of one client and those who wait for them.
pub(crate) struct Governor {
    limits: Limits,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    buckets: BTreeMap<Key, Bucket>,
    /// By the bucket of the resource manager, which all of a line need.
    lines: BTreeMap<Key, Line>,
    /// Calls that Azure asked to have repeated no sooner: operation and resource.
    held: BTreeMap<(Operation, String), Instant>,
}

/// Those who wait for one bucket of the resource manager.
#[derive(Default)]
struct Line {
    waiting: BTreeMap<Turn, Waiter>,
    tasks: BTreeMap<Option<Id>, Task>,
    /// The round of the last who got a place.
    round: u64,
    arrivals: u64,
}

/// Places are given in this order: everybody's first call, everybody's second, and so on.
type Turn = (u64, u64);

struct Waiter {
    provider: Key,
    task: Option<Id>,
}

#[derive(Default)]
struct Task {
    round: u64,
    waiting: usize,
}

enum Next {
    Go,
    At(Instant),
    Closed(Duration),
}

impl Governor {
    pub(crate) fn new(limits: Limits) -> Result<Arc<Self>, SetupError> {
        limits.check()?;
        Ok(Arc::new(Self { limits, inner: Mutex::default() }))
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// The remaining time, if a bucket is closed for longer than `patience`.
    pub(crate) async fn acquire(&self, quota: Quota, patience: Duration) -> Result<(), Duration> {
        self.wait(quota, patience, Bucket::take).await
    }

    /// Waits for a place and keeps it for a write whose gates are to be read first.
    ///
    /// # Errors
    /// As [`Governor::acquire`].
    pub(crate) async fn reserve(self: &Arc<Self>, quota: Quota, patience: Duration) -> Result<Place, Duration> {
        self.wait(quota, patience, |bucket, _| bucket.reserve()).await?;
        Ok(Place { governor: Arc::clone(self), quota })
    }

    /// Takes a place if there is one that nobody waits for.
    ///
    /// # Errors
    /// How long there is none, as far as can be told now.
    pub(crate) fn try_acquire(&self, quota: Quota) -> Result<(), Duration> {
        let now = Instant::now();
        let mut visit = Visit::new(self, quota);
        match visit.inner.next(quota, None, Duration::ZERO, now) {
            Next::Go => {
                visit.each(|bucket| bucket.take(now));
                Ok(())
            }
            Next::At(at) => Err(at.duration_since(now)),
            Next::Closed(left) => Err(left),
        }
    }

    async fn wait(
        &self,
        quota: Quota,
        patience: Duration,
        taken: impl Fn(&mut Bucket, Instant),
    ) -> Result<(), Duration> {
        let queued = Queued::new(self, quota);
        loop {
            let now = Instant::now();
            let at = {
                let mut visit = Visit::new(self, quota);
                match visit.inner.next(quota, Some(queued.turn), patience, now) {
                    Next::Go => {
                        visit.each(|bucket| taken(bucket, now));
                        if let Some(line) = visit.inner.lines.get_mut(&manager_key(quota)) {
                            line.round = line.round.max(queued.turn.0);
                        }
                        return Ok(());
                    }
                    Next::Closed(left) => return Err(left),
                    Next::At(at) => at,
                }
            };
            tokio::time::sleep_until(at).await;
        }
    }

    /// Azure said in a header how many calls remain.
    pub(crate) fn heard(&self, quota: Quota, gauge: &Gauge, left: f64) {
        let now = Instant::now();
        let published = Limits::default();
        let own = match quota.managed() {
            Class::Read | Class::List => published.reads,
            Class::Write => published.writes,
            Class::Delete => published.deletes,
        };
        let (full, from) = match gauge.of {
            Counted::Principal => (own.capacity, Throttle::ResourceManager),
            Counted::Everybody => (own.capacity * GLOBAL, Throttle::ResourceManager),
            Counted::Provider => (0.0, Throttle::Provider),
        };
        Visit::new(self, quota).one(from, |bucket| bucket.heard(&gauge.header, left, full, now));
    }

    /// Azure refused: nothing more is sent until `wait` is over; without one, for a while that grows.
    pub(crate) fn refused(&self, quota: Quota, from: Throttle, wait: Option<Duration>) {
        let now = Instant::now();
        Visit::new(self, quota).one(from, |bucket| bucket.refused(wait, now));
    }

    /// Azure refused without a word of whose quota it was: the resource manager's is closed, and all of the provider's.
    pub(crate) fn refused_by_somebody(&self, quota: Quota, wait: Option<Duration>) {
        self.refused(quota, Throttle::ResourceManager, wait);
        for class in [Class::Read, Class::List, Class::Write] {
            self.refused(Quota { class, ..quota }, Throttle::Provider, wait);
        }
    }

    /// Azure let a call through.
    pub(crate) fn passed(&self, quota: Quota) {
        Visit::new(self, quota).each(Bucket::passed);
    }

    /// Azure asked to have this operation on this resource repeated no sooner than after `wait`.
    pub(crate) fn hold(&self, operation: Operation, resource: &str, wait: Duration) {
        let now = Instant::now();
        let Some(until) = now.checked_add(wait) else { return };
        let mut inner = self.lock();
        inner.held.retain(|_, until| *until > now);
        let held = inner.held.entry((operation, resource.to_owned())).or_insert(until);
        *held = until.max(*held);
    }

    /// How long this operation on this resource is still held.
    pub(crate) fn held(&self, operation: Operation, resource: &str) -> Duration {
        let inner = self.lock();
        if inner.held.is_empty() {
            return Duration::ZERO;
        }
        let until = inner.held.get(&(operation, resource.to_owned()));
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// How long reading in this subscription is closed by Azure, whichever of its buckets it is.
    pub(crate) fn reading_closed_for(&self, subscription: SubscriptionId) -> Duration {
        let now = Instant::now();
        let inner = self.lock();
        let reads = inner.buckets.iter().filter(|((of, _, class), _)| {
            *of == Some(subscription) && matches!(class, Class::Read | Class::List) //
        });
        reads.map(|(_, bucket)| bucket.closed_for(now)).max().unwrap_or_default()
    }

    /// Whether a bucket of this call is closed.
    pub(crate) fn is_closed(&self, quota: Quota) -> bool {
        let now = Instant::now();
        let mut closed = false;
        Visit::new(self, quota).each(|bucket| closed |= !bucket.closed_for(now).is_zero());
        closed
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn published(&self, key: Key) -> Option<crate::quota::Rate> {
        let limits = &self.limits;
        match key {
            (_, None, Class::Read | Class::List) => Some(limits.reads),
            (_, None, Class::Write) => Some(limits.writes),
            (_, None, Class::Delete) => Some(limits.deletes),
            (_, Some(Provider::Storage), Class::Read) => Some(limits.storage_reads),
            (_, Some(Provider::Storage), Class::List) => Some(limits.storage_lists),
            (_, Some(Provider::Storage), Class::Write | Class::Delete) => Some(limits.storage_writes),
            // None is published.
            (_, Some(_), _) => None,
        }
    }
}

/// A header that tells what is left.
pub(crate) struct Gauge {
    pub(crate) header: String,
    pub(crate) of: Counted,
}

/// Whose calls a header counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// This principal's, at the resource manager.
    Principal,
    /// All principals', at the resource manager.
    Everybody,
    /// At the provider.
    Provider,
}

fn manager_key(quota: Quota) -> Key {
    (quota.subscription, None, quota.managed())
}

/// A provider that publishes no limits is taken to have one for everything.
fn provider_key(quota: Quota) -> Key {
    let class = if quota.provider == Provider::Storage { quota.class } else { Class::Read };
    (quota.subscription, Some(quota.provider), class)
}

/// The governor's state, with the buckets of one call at hand.
struct Visit<'a> {
    inner: MutexGuard<'a, Inner>,
    quota: Quota,
}

impl<'a> Visit<'a> {
    fn new(governor: &'a Governor, quota: Quota) -> Self {
        let now = Instant::now();
        let mut inner = governor.lock();
        for key in [manager_key(quota), provider_key(quota)] {
            inner
                .buckets
                .entry(key)
                .or_insert_with(|| Bucket::new(governor.published(key), governor.limits.headroom, now));
        }
        Self { inner, quota }
    }

    fn one(&mut self, from: Throttle, act: impl FnOnce(&mut Bucket)) {
        let key = match from {
            Throttle::ResourceManager => manager_key(self.quota),
            Throttle::Provider => provider_key(self.quota),
        };
        if let Some(bucket) = self.inner.buckets.get_mut(&key) {
            act(bucket);
        }
    }

    fn each(&mut self, mut act: impl FnMut(&mut Bucket)) {
        self.one(Throttle::ResourceManager, &mut act);
        self.one(Throttle::Provider, &mut act);
    }
}

impl Inner {
    /// Whether whoever has this turn (or, without one, somebody who came last) may go, or when.
    fn next(&mut self, quota: Quota, turn: Option<Turn>, patience: Duration, now: Instant) -> Next {
        let Self { buckets, lines, held: _ } = self;
        let (manager, provider) = (manager_key(quota), provider_key(quota));
        let closed = [&manager, &provider].into_iter().filter_map(|key| buckets.get(key)).map(|b| b.closed_for(now));
        let closed = closed.max().unwrap_or_default();
        if closed > patience {
            return Next::Closed(closed);
        }
        // Places that come free before one's turn belong to those before, if they could use them.
        let (mut at_manager, mut at_providers) = (0, BTreeMap::<Key, u32>::new());
        if let Some(line) = lines.get(&manager) {
            let before = line.waiting.iter().take_while(|(own, _)| turn.is_none_or(|turn| **own < turn));
            for (_, waiter) in before {
                let at_provider = at_providers.entry(waiter.provider).or_default();
                let free = buckets.get_mut(&waiter.provider).is_none_or(|b| b.ready(now, *at_provider) <= now);
                *at_provider += 1;
                at_manager += u32::from(free);
            }
        }
        let at_provider = at_providers.get(&provider).copied().unwrap_or_default();
        let ready = [(manager, at_manager), (provider, at_provider)]
            .into_iter()
            .filter_map(|(key, ahead)| buckets.get_mut(&key).map(|bucket| bucket.ready(now, ahead)))
            .max()
            .unwrap_or(now);
        if ready <= now { Next::Go } else { Next::At(ready) }
    }
}

/// A place in a line, left when dropped.
struct Queued<'a> {
    governor: &'a Governor,
    line: Key,
    turn: Turn,
}

impl<'a> Queued<'a> {
    fn new(governor: &'a Governor, quota: Quota) -> Self {
        // One pass over one account is one task.
        let task = tokio::task::try_id();
        let key = manager_key(quota);
        let mut inner = governor.lock();
        let line = inner.lines.entry(key).or_default();
        let own = line.tasks.entry(task).or_insert_with(|| Task { round: 0, waiting: 0 });
        own.round = line.round.max(own.round) + 1;
        own.waiting += 1;
        line.arrivals += 1;
        let turn = (own.round, line.arrivals);
        line.waiting.insert(turn, Waiter { provider: provider_key(quota), task });
        Self { governor, line: key, turn }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let mut inner = self.governor.lock();
        let Some(line) = inner.lines.get_mut(&self.line) else { return };
        let Some(waiter) = line.waiting.remove(&self.turn) else { return };
        if let Some(task) = line.tasks.get_mut(&waiter.task) {
            task.waiting -= 1;
            if task.waiting == 0 {
                line.tasks.remove(&waiter.task);
            }
        }
    }
}

/// A place that is kept for a write, given back if it is not used.
pub(crate) struct Place {
    governor: Arc<Governor>,
    quota: Quota,
}

impl Place {
    /// What it is a place for.
    pub(crate) fn quota(&self) -> Quota {
        self.quota
    }

    /// Uses it, without waiting: between confirm and send nothing may wait.
    ///
    /// # Errors
    /// How long there is none after all, because Azure has closed the quota or lowered it meanwhile.
    pub(crate) fn spend(self) -> Result<(), Duration> {
        let now = Instant::now();
        let mut visit = Visit::new(&self.governor, self.quota);
        let mut ready = now;
        // The own kept place is one of those that `ready` leaves out.
        visit.each(|bucket| {
            bucket.release();
            ready = ready.max(bucket.ready(now, 0));
            bucket.reserve();
        });
        if ready > now {
            return Err(ready.duration_since(now));
        }
        visit.each(|bucket| bucket.take(now));
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        Visit::new(&self.governor, self.quota).each(Bucket::release);
    }
}

#[cfg(test)]
mod tests;
