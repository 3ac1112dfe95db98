//! Keeps this client below Azure's limits, so that people and other programs in the subscription are not throttled by it.
//!
//! Every call passes two token buckets: the resource manager's (per subscription and class of operation) and the
//! provider's. Waiters queue in order. A bucket that Azure closed (`Retry-After`) opens when Azure said.
//! Sources: <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling> and
//! MicrosoftDocs/azure-docs `includes/azure-storage-limits-azure-resource-manager.md`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyless_core::id::SubscriptionId;
use tokio::time::Instant;

use crate::error::SetupError;

/// One token bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// How many calls may come at once.
    pub capacity: f64,
    /// How many calls are added each second.
    pub per_second: f64,
}

impl Rate {
    const fn new(capacity: f64, per_second: f64) -> Self {
        Self { capacity, per_second }
    }
}

/// What Azure allows, and how much of it is left to others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// GETs per subscription: 250, refilled by 25 a second.
    pub reads: Rate,
    /// PUT, PATCH and POST per subscription: 200, refilled by 10 a second.
    pub writes: Rate,
    /// DELETEs per subscription: 200, refilled by 10 a second.
    pub deletes: Rate,
    /// GETs of single accounts at the storage provider: 800 in 5 minutes.
    pub storage_reads: Rate,
    /// Lists at the storage provider: 100 in 5 minutes.
    pub storage_lists: Rate,
    /// Writes at the storage provider: 1,200 an hour.
    pub storage_writes: Rate,
    /// The part of each bucket, from 0 to below 1, that is never used.
    pub headroom: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reads: Rate::new(250.0, 25.0),
            writes: Rate::new(200.0, 10.0),
            deletes: Rate::new(200.0, 10.0),
            storage_reads: Rate::new(800.0, 800.0 / 300.0),
            storage_lists: Rate::new(100.0, 100.0 / 300.0),
            storage_writes: Rate::new(1200.0, 1200.0 / 3600.0),
            headroom: 0.2,
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), SetupError> {
        let Self { reads, writes, deletes, storage_reads, storage_lists, storage_writes, headroom } = self;
        if !(0.0..1.0).contains(headroom) {
            return Err(SetupError::Limits(format!("the headroom {headroom} is not between 0 and 1")));
        }
        for (name, rate) in [
            ("reads", reads),
            ("writes", writes),
            ("deletes", deletes),
            ("storage reads", storage_reads),
            ("storage lists", storage_lists),
            ("storage writes", storage_writes),
        ] {
            let whole = rate.capacity * (1.0 - headroom) >= 1.0;
            if !whole || !rate.capacity.is_finite() || rate.per_second <= 0.0 || !rate.per_second.is_finite() {
                return Err(SetupError::Limits(format!(
                    "{name}: after headroom less than one call remains, or nothing is refilled"
                )));
            }
        }
        Ok(())
    }
}

/// The class of operation that Azure counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A GET of one thing.
    Read,
    /// A GET of many things; a read for the resource manager.
    List,
    /// PUT, PATCH, POST.
    Write,
    /// DELETE.
    Delete,
}

/// Who answers below the resource manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Provider {
    /// The resource manager's own resources.
    Resources,
    Storage,
    MachineLearning,
    Authorization,
    Insights,
    ManagedIdentity,
}

/// Which quota a call falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) subscription: Option<SubscriptionId>,
    pub(crate) provider: Provider,
    pub(crate) class: Class,
}

/// Where a refusal came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Throttle {
    ResourceManager,
    Provider,
}

type Key = (Option<SubscriptionId>, Option<Provider>, Class);

/// All buckets of one client.
pub(crate) struct Governor {
    limits: Limits,
    buckets: Mutex<BTreeMap<Key, Arc<Bucket>>>,
}

impl Governor {
    pub(crate) fn new(limits: Limits) -> Result<Self, SetupError> {
        limits.check()?;
        Ok(Self { limits, buckets: Mutex::default() })
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// The remaining time, if a bucket is closed for longer than `patience`.
    pub(crate) async fn acquire(&self, quota: Quota, patience: Duration) -> Result<(), Duration> {
        self.manager(quota).take(patience).await?;
        self.provider(quota).take(patience).await
    }

    /// Waits for a place in the resource manager's write bucket, whatever the write will be.
    pub(crate) async fn reserve_write(&self, subscription: SubscriptionId, patience: Duration) -> Result<(), Duration> {
        let quota = Quota { subscription: Some(subscription), provider: Provider::Resources, class: Class::Write };
        self.manager(quota).take(patience).await
    }

    /// Takes what a reserved write still needs, without waiting: between confirm and send nothing may wait.
    pub(crate) fn spend_reserved(&self, quota: Quota) -> Result<(), Duration> {
        if quota.class == Class::Delete {
            self.manager(quota).try_take()?;
        }
        self.provider(quota).try_take()
    }

    /// Azure said how many calls remain: never more is assumed, less is believed.
    pub(crate) fn remaining(&self, quota: Quota, from: Throttle, left: f64) {
        let bucket = match from {
            Throttle::ResourceManager => self.manager(quota),
            Throttle::Provider => self.provider(quota),
        };
        bucket.lower(left * (1.0 - self.limits.headroom));
    }

    /// Azure refused: nothing more is sent until `wait` is over.
    pub(crate) fn close(&self, quota: Quota, from: Throttle, wait: Duration) {
        match from {
            Throttle::ResourceManager => self.manager(quota).close(wait),
            Throttle::Provider => self.provider(quota).close(wait),
        }
    }

    fn manager(&self, quota: Quota) -> Arc<Bucket> {
        let class = if quota.class == Class::List { Class::Read } else { quota.class };
        let rate = match class {
            Class::Read | Class::List => self.limits.reads,
            Class::Write => self.limits.writes,
            Class::Delete => self.limits.deletes,
        };
        self.bucket((quota.subscription, None, class), Some(rate))
    }

    fn provider(&self, quota: Quota) -> Arc<Bucket> {
        let rate = (quota.provider == Provider::Storage).then_some(match quota.class {
            Class::Read => self.limits.storage_reads,
            Class::List => self.limits.storage_lists,
            Class::Write | Class::Delete => self.limits.storage_writes,
        });
        self.bucket((quota.subscription, Some(quota.provider), quota.class), rate)
    }

    fn bucket(&self, key: Key, rate: Option<Rate>) -> Arc<Bucket> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(buckets.entry(key).or_insert_with(|| {
            let kept = 1.0 - self.limits.headroom;
            Arc::new(Bucket::new(rate.map(|rate| Rate::new(rate.capacity * kept, rate.per_second * kept))))
        }))
    }
}

/// One token bucket on tokio's clock. Without a rate it only knows open and closed.
struct Bucket {
    rate: Option<Rate>,
    /// Makes waiters go in the order in which they came.
    queue: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    level: f64,
    at: Instant,
    closed_until: Option<Instant>,
}

impl Bucket {
    fn new(rate: Option<Rate>) -> Self {
        let level = rate.map_or(0.0, |rate| rate.capacity);
        Self {
            rate,
            queue: tokio::sync::Mutex::new(()),
            state: Mutex::new(State { level, at: Instant::now(), closed_until: None }),
        }
    }

    async fn take(&self, patience: Duration) -> Result<(), Duration> {
        if let Some(closed) = self.closed_for(Instant::now())
            && closed > patience
        {
            return Err(closed);
        }
        let _turn = self.queue.lock().await;
        loop {
            match self.try_take() {
                Ok(()) => return Ok(()),
                Err(wait) if wait > patience => return Err(wait),
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    fn closed_for(&self, now: Instant) -> Option<Duration> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed_until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    fn try_take(&self) -> Result<(), Duration> {
        let now = Instant::now();
        if let Some(left) = self.closed_for(now) {
            return Err(left);
        }
        let Some(rate) = self.rate else { return Ok(()) };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(state.at).as_secs_f64();
        state.level = (state.level + elapsed * rate.per_second).min(rate.capacity);
        state.at = now;
        // A sleep that ends exactly on time must find a whole call in spite of rounding.
        if state.level >= 1.0 - 1e-6 {
            state.level -= 1.0;
            return Ok(());
        }
        let wait = Duration::try_from_secs_f64((1.0 - state.level) / rate.per_second).unwrap_or(Duration::MAX);
        Err(wait.max(Duration::from_millis(1)))
    }

    fn lower(&self, left: f64) {
        if self.rate.is_none() || !left.is_finite() {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.level = state.level.min(left.max(0.0));
    }

    fn close(&self, wait: Duration) {
        let Some(until) = Instant::now().checked_add(wait) else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed_until.is_none_or(|known| known < until) {
            state.closed_until = Some(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Quota = Quota { subscription: None, provider: Provider::MachineLearning, class: Class::Read };
    const PATIENCE: Duration = Duration::from_secs(60);

    fn governor(headroom: f64) -> Governor {
        Governor::new(Limits { headroom, ..Limits::default() }).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_fits_in_the_bucket_and_the_rest_waits_for_the_refill() {
        let governor = governor(0.2);
        let start = Instant::now();
        for _ in 0..200 {
            governor.acquire(READ, PATIENCE).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "80 % of 250 calls may come at once");
        for _ in 0..40 {
            governor.acquire(READ, PATIENCE).await.unwrap();
        }
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(1999) && waited < Duration::from_millis(2100), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_bucket_opens_when_azure_said_and_not_before() {
        let governor = governor(0.0);
        governor.close(READ, Throttle::Provider, Duration::from_secs(17));
        let start = Instant::now();
        governor.acquire(READ, PATIENCE).await.unwrap();
        assert!(start.elapsed() >= Duration::from_secs(17));
    }

    #[tokio::test(start_paused = true)]
    async fn a_closure_longer_than_patience_is_told_at_once() {
        let governor = governor(0.0);
        governor.close(READ, Throttle::ResourceManager, Duration::from_secs(600));
        let start = Instant::now();
        let left = governor.acquire(READ, PATIENCE).await.unwrap_err();
        assert!(left > Duration::from_secs(599));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_provider_does_not_hold_up_the_others() {
        let governor = governor(0.0);
        let storage = Quota { provider: Provider::Storage, ..READ };
        governor.close(storage, Throttle::Provider, Duration::from_secs(30));
        let start = Instant::now();
        governor.acquire(READ, PATIENCE).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn remaining_headers_lower_the_level_and_never_raise_it() {
        let governor = governor(0.0);
        governor.remaining(READ, Throttle::ResourceManager, 11_999.0);
        governor.remaining(READ, Throttle::ResourceManager, 2.0);
        let start = Instant::now();
        for _ in 0..2 {
            governor.acquire(READ, PATIENCE).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        governor.acquire(READ, PATIENCE).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(40));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reserved_write_never_waits() {
        let governor = governor(0.0);
        let storage = Quota { provider: Provider::Storage, class: Class::Write, ..READ };
        governor.spend_reserved(storage).unwrap();
        governor.close(storage, Throttle::Provider, Duration::from_secs(9));
        assert_eq!(governor.spend_reserved(storage), Err(Duration::from_secs(9)));
    }

    #[test]
    fn limits_that_would_never_let_a_call_through_are_refused() {
        for bad in [
            Limits { headroom: 1.0, ..Limits::default() },
            Limits { headroom: -0.1, ..Limits::default() },
            Limits { reads: Rate::new(1.0, 1.0), ..Limits::default() },
            Limits { writes: Rate::new(200.0, 0.0), ..Limits::default() },
            Limits { deletes: Rate::new(f64::NAN, 1.0), ..Limits::default() },
        ] {
            assert!(Governor::new(bad).is_err(), "{bad:?}");
        }
    }
}
