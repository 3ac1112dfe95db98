//! Token buckets: ARM's per subscription (or tenant), principal and class, and the storage provider's own; or ARM's older
//! counts by the hour.
//! Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>, its
//! edition for Azure operated by 21Vianet, and MicrosoftDocs/azure-docs
//! `includes/azure-storage-limits-azure-resource-manager.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::options::{Speed, ThrottleModel};
use crate::time;

/// What a request counts as. POST counts as a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Reads,
    Writes,
    Deletes,
}

impl Class {
    pub(crate) fn of(method: &http::Method) -> Self {
        match method.as_str() {
            "GET" | "HEAD" => Self::Reads,
            "DELETE" => Self::Deletes,
            _ => Self::Writes,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Deletes => "deletes",
        }
    }

    fn size(self, model: ThrottleModel) -> Size {
        let bucket = |capacity, per_second| Size { capacity, refill: Refill::PerSecond(per_second) };
        let hourly = |capacity| Size { capacity, refill: Refill::EveryHour };
        match (model, self) {
            (ThrottleModel::Buckets, Self::Reads) => bucket(250.0, 25.0),
            (ThrottleModel::Buckets, Self::Writes | Self::Deletes) => bucket(200.0, 10.0),
            (ThrottleModel::Hourly, Self::Reads) => hourly(12_000.0),
            (ThrottleModel::Hourly, Self::Writes) => hourly(1200.0),
            (ThrottleModel::Hourly, Self::Deletes) => hourly(15_000.0),
        }
    }
}

/// What the storage provider counts by itself, per subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StorageClass {
    Read,
    List,
    Write,
}

impl StorageClass {
    fn size(self) -> Size {
        let (count, window) = match self {
            Self::Read => (800.0, 300.0),
            Self::List => (100.0, 300.0),
            Self::Write => (1200.0, 3600.0),
        };
        Size { capacity: count, refill: Refill::PerSecond(count / window) }
    }

    fn window(self) -> &'static str {
        match self {
            Self::Read => "Read_ObservationWindow_00:05:00",
            Self::List => "List_ObservationWindow_00:05:00",
            Self::Write => "Write_ObservationWindow_01:00:00",
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Size {
    capacity: f64,
    refill: Refill,
}

#[derive(Debug, Clone, Copy)]
enum Refill {
    PerSecond(f64),
    /// All at once, an hour after the first request. That the hour begins so is a design decision.
    EveryHour,
}

const HOUR: Duration = Duration::from_secs(3600);

/// The global bucket of a subscription is this many times that of one principal: a public recording of May 2025 shows 249
/// and 3749 reads left. There is none of a tenant.
const GLOBAL: f64 = 15.0;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Principal { subscription: String, principal: String, class: Class },
    Global { subscription: String, class: Class },
    Storage { subscription: String, class: StorageClass },
}

struct Bucket {
    tokens: f64,
    at: Timestamp,
    closed_until: Timestamp,
}

/// All buckets that were ever touched.
pub(crate) struct Buckets {
    speed: Speed,
    model: ThrottleModel,
    buckets: BTreeMap<Name, Bucket>,
}

/// What is left after a request that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remaining {
    pub(crate) principal: u64,
    /// Of all principals together, where they are counted.
    pub(crate) global: Option<u64>,
}

/// A bucket that counts a request, as it stands.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketUse {
    /// Subscription, principal or provider, and class.
    pub name: String,
    /// How many requests it lets through at once.
    pub capacity: f64,
    /// How many come back in a second of the simulator's clock; zero where all come back by the hour.
    pub per_second: f64,
    /// How many it lets through now, after this request.
    pub left: f64,
}

/// A request that came too early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Throttled {
    pub(crate) retry_after: u64,
    /// The bucket that was empty.
    pub(crate) bucket: String,
    pub(crate) message: String,
    /// If the storage provider refused: what ARM's own buckets still hold.
    pub(crate) by_storage: Option<Remaining>,
}

impl Buckets {
    pub(crate) fn new(speed: Speed, model: ThrottleModel) -> Self {
        Self { speed, model, buckets: BTreeMap::new() }
    }

    /// Takes one token out of every bucket that counts the request, or none.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        subscription: Option<&str>,
        principal: &str,
        class: Class,
        storage: Option<StorageClass>,
    ) -> Result<Remaining, Throttled> {
        let wanted = self.wanted(subscription, principal, class, storage);
        for (name, size) in &wanted {
            if let Some(wait) = self.refill(now, name, *size) {
                let by_storage = matches!(name, Name::Storage { .. }).then(|| self.remaining(&wanted));
                return Err(Throttled {
                    retry_after: time::retry_after(wait),
                    bucket: name.to_string(),
                    message: name.message(),
                    by_storage,
                });
            }
        }
        for (name, _) in &wanted {
            if let Some(bucket) = self.buckets.get_mut(name) {
                bucket.tokens -= 1.0;
            }
        }
        Ok(self.remaining(&wanted))
    }

    fn remaining(&self, wanted: &[(Name, Size)]) -> Remaining {
        let left = |name: &Name| self.buckets.get(name).map_or(0, |bucket| bucket.tokens.max(0.0) as u64);
        let of = |which: fn(&Name) -> bool| wanted.iter().map(|(name, _)| name).find(|name| which(name)).map(left);
        Remaining {
            principal: of(|name| matches!(name, Name::Principal { .. })).unwrap_or(0),
            global: of(|name| matches!(name, Name::Global { .. })),
        }
    }

    /// The principal's bucket, everybody's where there is one, and the provider's own where it has one.
    fn wanted(
        &self,
        subscription: Option<&str>,
        principal: &str,
        class: Class,
        storage: Option<StorageClass>,
    ) -> Vec<(Name, Size)> {
        let size = class.size(self.model);
        let name = subscription.unwrap_or_default().to_owned();
        let mut wanted =
            vec![(Name::Principal { subscription: name.clone(), principal: principal.to_owned(), class }, size)];
        if let (Some(_), Refill::PerSecond(per_second)) = (subscription, size.refill) {
            let refill = Refill::PerSecond(per_second * GLOBAL);
            let all = Size { capacity: size.capacity * GLOBAL, refill };
            wanted.push((Name::Global { subscription: name.clone(), class }, all));
        }
        if let (Some(_), Some(class)) = (subscription, storage) {
            wanted.push((Name::Storage { subscription: name, class }, class.size()));
        }
        wanted
    }

    /// The buckets that count such a request, as they stand.
    pub(crate) fn counting(
        &self,
        subscription: Option<&str>,
        principal: &str,
        class: Class,
        storage: Option<StorageClass>,
    ) -> Vec<BucketUse> {
        let wanted = self.wanted(subscription, principal, class, storage).into_iter();
        let counting = wanted.map(|(name, size)| BucketUse {
            capacity: size.capacity,
            per_second: match size.refill {
                Refill::PerSecond(per_second) => per_second * self.speed.factor(),
                Refill::EveryHour => 0.0,
            },
            left: self.buckets.get(&name).map_or(size.capacity, |bucket| bucket.tokens),
            name: name.to_string(),
        });
        counting.collect()
    }

    /// Brings the bucket up to date; the wait until it has a token, if it has none.
    fn refill(&mut self, now: Timestamp, name: &Name, size: Size) -> Option<Duration> {
        let bucket = self.buckets.entry(name.clone()).or_insert_with(|| Bucket {
            tokens: size.capacity,
            at: now,
            closed_until: Timestamp::MIN,
        });
        let wait = match size.refill {
            Refill::PerSecond(per_second) => {
                let per_second = per_second * self.speed.factor();
                let passed = time::between(bucket.at, now).as_secs_f64();
                bucket.tokens = (bucket.tokens + passed * per_second).min(size.capacity);
                bucket.at = bucket.at.max(now);
                Duration::try_from_secs_f64((1.0 - bucket.tokens) / per_second).unwrap_or(HOUR)
            }
            Refill::EveryHour => {
                let over = time::after(bucket.at, self.speed.shorten(HOUR));
                if now >= over {
                    (bucket.tokens, bucket.at) = (size.capacity, now);
                }
                time::between(now, over)
            }
        };
        if now < bucket.closed_until {
            return Some(time::between(now, bucket.closed_until));
        }
        if bucket.tokens >= 1.0 {
            return None;
        }
        let promised = Duration::from_secs(time::retry_after(wait));
        bucket.closed_until = time::after(now, promised);
        Some(promised)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Principal { subscription, principal, class } => {
                write!(out, "principal/{subscription}/{principal}/{}", class.name())
            }
            Self::Global { subscription, class } => write!(out, "global/{subscription}/{}", class.name()),
            Self::Storage { subscription, class } => write!(out, "storage/{subscription}/{}", class.window()),
        }
    }
}

impl Name {
    fn message(&self) -> String {
        match self {
            Self::Principal { principal, class, .. } => format!(
                "Number of '{}' requests for principal '{principal}' exceeded the limit. Please try again after the time \
                 in 'Retry-After'.",
                class.name()
            ),
            Self::Global { subscription, class } => {
                format!("Number of '{}' requests for subscription '{subscription}' exceeded the limit.", class.name())
            }
            Self::Storage { class, .. } => format!(
                "The request is being throttled as the limit has been reached for operation type - {}. For more \
                 information, see - https://aka.ms/srpthrottlinglimits",
                class.window()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    fn buckets(speed: f64) -> Buckets {
        Buckets::new(Speed::new(speed).unwrap(), ThrottleModel::Buckets)
    }

    #[test]
    fn reads_are_250_at_once_and_25_a_second() {
        let mut buckets = buckets(1.0);
        let mut read = |millis| buckets.take(at(millis), Some("s"), "p", Class::Reads, None);
        assert_eq!(read(0), Ok(Remaining { principal: 249, global: Some(3749) }));
        assert!((1..250).all(|_| read(0).is_ok()));
        assert_eq!(read(0).map_err(|throttled| throttled.retry_after), Err(1));
        assert!((0..25).all(|_| read(1000).is_ok()));
        assert!(read(1000).is_err());
    }

    #[test]
    fn a_call_before_retry_after_is_refused_again() {
        let mut buckets = buckets(1.0);
        let mut write = |millis| buckets.take(at(millis), Some("s"), "p", Class::Writes, None);
        assert!((0..200).all(|_| write(0).is_ok()));
        assert!(write(0).is_err());
        assert!(write(500).is_err(), "five tokens are back, the promised second is not over");
        assert!(write(1000).is_ok());
    }

    #[test]
    fn principals_subscriptions_and_classes_do_not_share() {
        let mut buckets = buckets(1.0);
        assert!((0..200).all(|_| buckets.take(at(0), Some("s"), "p", Class::Deletes, None).is_ok()));
        assert!(buckets.take(at(0), Some("s"), "p", Class::Deletes, None).is_err());
        assert!(buckets.take(at(0), Some("s"), "q", Class::Deletes, None).is_ok());
        assert!(buckets.take(at(0), Some("t"), "p", Class::Deletes, None).is_ok());
        assert!(buckets.take(at(0), Some("s"), "p", Class::Writes, None).is_ok());
    }

    #[test]
    fn speed_multiplies_refills_and_leaves_retry_after_whole() {
        let mut buckets = buckets(600.0);
        let mut read = |millis| buckets.take(at(millis), Some("s"), "p", Class::Reads, None);
        assert!((0..250).all(|_| read(0).is_ok()));
        assert_eq!(read(0).map_err(|throttled| throttled.retry_after), Err(1));
        assert!((0..250).all(|_| read(1000).is_ok()));
    }

    #[test]
    fn the_storage_provider_allows_100_lists_in_five_minutes() {
        let mut buckets = buckets(1.0);
        let mut list = |millis| buckets.take(at(millis), Some("s"), "p", Class::Reads, Some(StorageClass::List));
        assert!((0..100).all(|_| list(0).is_ok()));
        let refused = list(0).unwrap_err();
        assert_eq!(refused.retry_after, 3);
        assert!(refused.message.contains("List_ObservationWindow_00:05:00"));
        assert!(list(3000).is_ok());
    }

    /// Source: the recording of May 2025 beside the published bucket of one principal.
    #[test]
    fn fifteen_principals_use_up_a_subscription() {
        let mut buckets = buckets(1.0);
        for principal in 0..15 {
            let name = format!("p{principal}");
            assert!((0..200).all(|_| buckets.take(at(0), Some("s"), &name, Class::Writes, None).is_ok()));
        }
        let refused = buckets.take(at(0), Some("s"), "p15", Class::Writes, None).unwrap_err();
        assert!(refused.message.contains("subscription 's'"), "{}", refused.message);
        assert!(buckets.take(at(0), Some("t"), "p15", Class::Writes, None).is_ok());
    }

    /// Source: the published table, whose rows for the tenant are those of the subscription.
    #[test]
    fn the_tenant_has_buckets_of_its_own() {
        let mut buckets = buckets(1.0);
        for (class, size) in [(Class::Reads, 250), (Class::Writes, 200), (Class::Deletes, 200)] {
            let mut call = || buckets.take(at(0), None, "p", class, None);
            assert_eq!(call(), Ok(Remaining { principal: size - 1, global: None }));
            assert!((1..size).all(|_| call().is_ok()));
            assert!(call().is_err());
            assert!(buckets.take(at(0), Some("s"), "p", class, None).is_ok());
        }
    }

    /// Source: <https://github.com/velero-io/velero-plugin-for-microsoft-azure/issues/80>.
    #[test]
    fn the_storage_provider_refuses_while_arm_has_plenty_left() {
        let mut buckets = buckets(1.0);
        let mut list = || buckets.take(at(0), Some("s"), "p", Class::Reads, Some(StorageClass::List));
        assert!((0..100).all(|_| list().is_ok()));
        assert_eq!(list().unwrap_err().by_storage, Some(Remaining { principal: 150, global: Some(3650) }));
        let mut read = |millis| buckets.take(at(millis), Some("s"), "p", Class::Reads, Some(StorageClass::Read));
        // The reads of single accounts are counted apart, and last as long as ARM's own bucket lets them.
        assert!((0..800).all(|n| read(n * 50).is_ok()));
        let mut write = |millis| buckets.take(at(millis), Some("s"), "p", Class::Writes, Some(StorageClass::Write));
        let passed = (0..1500).filter(|n| write(n * 100).is_ok()).count();
        assert!((1240..=1250).contains(&passed), "1,200 writes, and 50 more in 150 seconds: {passed}");
    }

    /// Source: the edition for Azure operated by 21Vianet: 12,000 reads, 1,200 writes and 15,000 deletes an hour.
    #[test]
    fn the_older_model_counts_by_the_hour() {
        let mut buckets = Buckets::new(Speed::new(1.0).unwrap(), ThrottleModel::Hourly);
        for (class, size) in [(Class::Reads, 12_000), (Class::Writes, 1200), (Class::Deletes, 15_000)] {
            let mut call = |millis| buckets.take(at(millis), Some("s"), "p", class, None);
            assert_eq!(call(0), Ok(Remaining { principal: size - 1, global: None }));
            assert!((1..size).all(|_| call(0).is_ok()));
            assert_eq!(call(600_000).map_err(|refused| refused.retry_after), Err(3000));
            assert!(call(3_599_000).is_err());
            assert_eq!(call(3_600_000), Ok(Remaining { principal: size - 1, global: None }));
        }
    }
}
