//! What was read lately, for reads that may be a little old and that many passes ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use keyless_core::observed::Reading;
use tokio::time::Instant;

/// How many reads are under way at a time.
const AT_A_TIME: usize = 4;

/// Values by what they are of. Whoever asks for one that is being read shares the answer.
pub(crate) struct Kept<K, V> {
    keep_for: Duration,
    slots: Mutex<BTreeMap<K, Slot<V>>>,
}

type Slot<V> = Arc<tokio::sync::Mutex<Option<(Instant, Timestamp, V)>>>;

impl<K: Ord + Clone, V: Clone> Kept<K, V> {
    pub(crate) fn for_as_long_as(keep_for: Duration) -> Self {
        Self { keep_for, slots: Mutex::default() }
    }

    /// The value, read again unless it is still kept.
    pub(crate) async fn lately(&self, key: &K, read: impl Future<Output = Reading<V>>) -> Reading<V> {
        self.get(key, self.keep_for, read).await
    }

    /// The value, read again unless it was read within `within`. A failure is not kept.
    pub(crate) async fn get(&self, key: &K, within: Duration, read: impl Future<Output = Reading<V>>) -> Reading<V> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            // What nobody holds and nobody may use any more is let go.
            slots.retain(|known, slot| {
                known == key
                    || Arc::strong_count(slot) > 1
                    || slot
                        .try_lock()
                        .is_ok_and(|slot| slot.as_ref().is_some_and(|(read, ..)| read.elapsed() < self.keep_for))
            });
            Arc::clone(slots.entry(key.clone()).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some((read, at, value)) = &*slot
            && read.elapsed() < within
        {
            return Reading::known(value.clone(), *at);
        }
        let value = read.await;
        *slot = match &value {
            Reading::Known { value, at } => Some((Instant::now(), *at, value.clone())),
            Reading::Unknown { .. } | Reading::NotRead => None,
        };
        value
    }

    /// How long ago the value was read that is kept.
    pub(crate) async fn age(&self, key: &K) -> Option<Duration> {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(key).map(Arc::clone)?;
        let slot = slot.lock().await;
        slot.as_ref().map(|(read, ..)| read.elapsed())
    }

    /// All of these, each read again unless it is still kept; some reads at a time.
    pub(crate) async fn get_all<F>(&self, keys: BTreeSet<K>, read: impl Fn(K) -> F) -> BTreeMap<K, Reading<V>>
    where
        F: Future<Output = Reading<V>>,
    {
        stream::iter(keys)
            .map(|key| {
                let read = read(key.clone());
                async move {
                    let value = self.lately(&key, read).await;
                    (key, value)
                }
            })
            .buffered(AT_A_TIME)
            .collect()
            .await
    }
}
