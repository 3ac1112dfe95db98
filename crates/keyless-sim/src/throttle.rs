//! Token buckets: ARM's per subscription, principal and class, and the storage provider's own.
//! Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>, and
//! MicrosoftDocs/azure-docs `includes/azure-storage-limits-azure-resource-manager.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::options::Speed;
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

    fn size(self) -> Size {
        match self {
            Self::Reads => Size { capacity: 250.0, per_second: 25.0 },
            Self::Writes | Self::Deletes => Size { capacity: 200.0, per_second: 10.0 },
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
        Size { capacity: count, per_second: count / window }
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
    per_second: f64,
}

/// The global bucket of a subscription is this many times that of one principal: a public recording of May 2025 shows 249
/// and 3749 reads left.
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
    buckets: BTreeMap<Name, Bucket>,
}

/// What is left after a request that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remaining {
    pub(crate) principal: u64,
    pub(crate) global: u64,
}

/// A bucket that counts a request, as it stands.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketUse {
    /// Subscription, principal or provider, and class.
    pub name: String,
    /// How many requests it lets through at once.
    pub capacity: f64,
    /// How many come back in a second of the simulator's clock.
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
}

impl Buckets {
    pub(crate) fn new(speed: Speed) -> Self {
        Self { speed, buckets: BTreeMap::new() }
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
        let wanted = wanted(subscription, principal, class, storage);
        for (name, size) in &wanted {
            let wait = self.refill(now, name, *size);
            if let Some(wait) = wait {
                return Err(Throttled {
                    retry_after: time::retry_after(wait),
                    bucket: name.to_string(),
                    message: name.message(),
                });
            }
        }
        for (name, _) in &wanted {
            if let Some(bucket) = self.buckets.get_mut(name) {
                bucket.tokens -= 1.0;
            }
        }
        let left = |(name, _): &(Name, Size)| self.buckets.get(name).map_or(0, |bucket| bucket.tokens.max(0.0) as u64);
        let mut left = wanted.iter().map(left);
        Ok(Remaining { principal: left.next().unwrap_or(0), global: left.next().unwrap_or(0) })
    }

    /// The buckets that count such a request, as they stand.
    pub(crate) fn counting(
        &self,
        subscription: Option<&str>,
        principal: &str,
        class: Class,
        storage: Option<StorageClass>,
    ) -> Vec<BucketUse> {
        let wanted = wanted(subscription, principal, class, storage).into_iter();
        let counting = wanted.map(|(name, size)| BucketUse {
            capacity: size.capacity,
            per_second: size.per_second * self.speed.factor(),
            left: self.buckets.get(&name).map_or(size.capacity, |bucket| bucket.tokens),
            name: name.to_string(),
        });
        counting.collect()
    }

    /// Brings the bucket up to date; the wait until it has a token, if it has none.
    fn refill(&mut self, now: Timestamp, name: &Name, size: Size) -> Option<Duration> {
        let per_second = size.per_second * self.speed.factor();
        let bucket = self.buckets.entry(name.clone()).or_insert_with(|| Bucket {
            tokens: size.capacity,
            at: now,
            closed_until: Timestamp::MIN,
        });
        let passed = time::between(bucket.at, now).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * per_second).min(size.capacity);
        bucket.at = bucket.at.max(now);
        if now < bucket.closed_until {
            return Some(time::between(now, bucket.closed_until));
        }
        if bucket.tokens >= 1.0 {
            return None;
        }
        let wait = Duration::try_from_secs_f64((1.0 - bucket.tokens) / per_second).unwrap_or(Duration::from_secs(3600));
        let promised = Duration::from_secs(time::retry_after(wait));
        bucket.closed_until = time::after(now, promised);
        Some(promised)
    }
}

/// The principal's bucket, everybody's, and the provider's own where it has one.
fn wanted(
    subscription: Option<&str>,
    principal: &str,
    class: Class,
    storage: Option<StorageClass>,
) -> Vec<(Name, Size)> {
    let subscription_name = subscription.unwrap_or_default().to_owned();
    let size = class.size();
    let mut wanted = vec![
        (Name::Principal { subscription: subscription_name.clone(), principal: principal.to_owned(), class }, size),
        (
            Name::Global { subscription: subscription_name.clone(), class },
            Size { capacity: size.capacity * GLOBAL, per_second: size.per_second * GLOBAL },
        ),
    ];
    if let (Some(_), Some(class)) = (subscription, storage) {
        wanted.push((Name::Storage { subscription: subscription_name, class }, class.size()));
    }
    wanted
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
        Buckets::new(Speed::new(speed).unwrap())
    }

    #[test]
    fn reads_are_250_at_once_and_25_a_second() {
        let mut buckets = buckets(1.0);
        let mut read = |millis| buckets.take(at(millis), Some("s"), "p", Class::Reads, None);
        assert_eq!(read(0), Ok(Remaining { principal: 249, global: 3749 }));
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
}
