//! What accounts of one subscription share: how many grants each has still to make, and those that were made since the
//! role assignments of the subscription were last counted.
//!
//! It only hands numbers on; which account goes first and which is held is for [`keyless_core::plan`] to judge. A new process
//! begins with an empty one, and knows all of it once every account was planned; the wait after the start, where there is one,
//! gives it the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use keyless_core::id::{StorageAccountId, SubscriptionId};

use crate::clock::earlier;

/// How long a grant is remembered: longer than any count is kept.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// One grant on its way, or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Granting(u64);

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By the last plan of each account.
    due: BTreeMap<StorageAccountId, u32>,
    /// In which subscription, and when it was done; without a time it is on its way.
    made: BTreeMap<Granting, (SubscriptionId, Option<Timestamp>)>,
    next: u64,
}

impl Ledger {
    /// Takes in how many grants the newest plan of an account has still to make.
    pub(crate) fn planned(&mut self, key: &StorageAccountId, due: u32) {
        if due == 0 {
            self.due.remove(key);
        } else {
            self.due.insert(key.clone(), due);
        }
    }

    /// What the other accounts of its subscription have still to make.
    pub(crate) fn elsewhere(&self, key: &StorageAccountId) -> BTreeMap<StorageAccountId, u32> {
        let others = self.due.iter().filter(|(other, _)| *other != key && other.subscription() == key.subscription());
        others.map(|(other, due)| (other.clone(), *due)).collect()
    }

    /// A grant of the account is about to be sent: it is due no more, and counts as made until it turns out that it is not.
    pub(crate) fn sending(&mut self, key: &StorageAccountId) -> Granting {
        if let Some(due) = self.due.get_mut(key) {
            *due = due.saturating_sub(1);
        }
        self.next += 1;
        self.made.insert(Granting(self.next), (key.subscription(), None));
        Granting(self.next)
    }

    /// How it came out: `made` is whether it is there now, or may be.
    pub(crate) fn sent(&mut self, granting: Granting, made: bool, now: Option<Timestamp>) {
        if !made {
            self.made.remove(&granting);
            return;
        }
        // While no answer has told the time it counts as on its way.
        let Some(now) = now else { return };
        let old = earlier(now, REMEMBERED);
        self.made.retain(|_, (_, done)| done.is_none_or(|done| done > old));
        if let Some((_, done)) = self.made.get_mut(&granting) {
            *done = Some(now);
        }
    }

    /// How many were made in the subscription since they were counted at `at`, by the server's clock. Times are cut to whole
    /// seconds, so one of the same second counts twice rather than not at all, until they are counted again.
    pub(crate) fn made_since(&self, subscription: SubscriptionId, at: Timestamp) -> u32 {
        let since = self.made.values().filter(|(of, done)| *of == subscription && done.is_none_or(|done| done >= at));
        u32::try_from(since.count()).unwrap_or(u32::MAX)
    }

    /// Forgets the accounts that are not passed over any more.
    pub(crate) fn keep_only(&mut self, keys: &BTreeSet<StorageAccountId>) {
        self.due.retain(|key, _| keys.contains(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90";
    const OTHER: &str = "5a11c0de-0000-4000-8000-00000000000f";

    fn key(subscription: &str, name: &str) -> StorageAccountId {
        let id = format!(
            "/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/{name}"
        );
        id.parse().unwrap()
    }

    #[test]
    fn accounts_hear_of_the_others_of_their_subscription_alone() {
        let mut ledger = Ledger::default();
        ledger.planned(&key(ONE, "sta"), 2);
        ledger.planned(&key(ONE, "stb"), 3);
        ledger.planned(&key(OTHER, "stc"), 5);
        assert_eq!(ledger.elsewhere(&key(ONE, "sta")), BTreeMap::from([(key(ONE, "stb"), 3)]));
        ledger.planned(&key(ONE, "stb"), 0);
        assert_eq!(ledger.elsewhere(&key(ONE, "sta")), BTreeMap::new());
        ledger.keep_only(&BTreeSet::from([key(ONE, "sta")]));
        assert_eq!(ledger.elsewhere(&key(OTHER, "std")), BTreeMap::new());
        assert_eq!(ledger.elsewhere(&key(ONE, "stz")), BTreeMap::from([(key(ONE, "sta"), 2)]));
    }

    #[test]
    fn a_grant_counts_from_its_sending_until_a_count_that_is_younger() {
        let at = |second: i64| Timestamp::from_second(1_790_000_000 + second).unwrap();
        let (subscription, other) = (ONE.parse().unwrap(), OTHER.parse().unwrap());
        let mut ledger = Ledger::default();
        ledger.planned(&key(ONE, "sta"), 2);
        let first = ledger.sending(&key(ONE, "sta"));
        assert_eq!(ledger.elsewhere(&key(ONE, "stb")).into_values().collect::<Vec<_>>(), [1], "no longer due");
        assert_eq!(ledger.made_since(subscription, at(100)), 1, "on its way, whenever they were counted");
        ledger.sent(first, true, Some(at(10)));
        assert_eq!((ledger.made_since(subscription, at(10)), ledger.made_since(subscription, at(11))), (1, 0));
        assert_eq!(ledger.made_since(other, at(0)), 0);
        let timeless = ledger.sending(&key(ONE, "sta"));
        ledger.sent(timeless, true, None);
        assert_eq!(ledger.made_since(subscription, at(100)), 1, "made, and nobody knows when");
        ledger.sent(timeless, true, Some(at(10)));
        let refused = ledger.sending(&key(ONE, "sta"));
        ledger.sent(refused, false, Some(at(20)));
        assert_eq!(ledger.made_since(subscription, at(0)), 2);
        for (second, remembered) in [(3_609, 3), (3_610, 2)] {
            let late = ledger.sending(&key(ONE, "sta"));
            ledger.sent(late, true, Some(at(second)));
            assert_eq!(ledger.made_since(subscription, at(0)), remembered, "for an hour");
        }
    }
}
