//! What the world was a while ago, for readers who lag.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::world::World;
use crate::{arm_id, time};

/// The changes of the last while, each with what was there before. Nothing is kept unless somebody lags.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    now: Timestamp,
    keep: Duration,
    changes: VecDeque<Change>,
}

#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) at: Timestamp,
    pub(crate) key: String,
    /// Nothing where there was nothing.
    pub(crate) before: Option<Value>,
}

/// The world at an instant that is over.
pub(crate) struct Past<'a> {
    world: &'a World,
    /// What has changed since, as it was then.
    changed: BTreeMap<&'a str, Option<&'a Value>>,
}

impl History {
    /// Remembers changes from here on for so long, or longer where somebody else wants that.
    pub(crate) fn keep_at_least(&mut self, keep: Duration) {
        self.keep = self.keep.max(keep);
    }

    /// Time goes on.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        self.now = now;
        let gone = time::before(now, self.keep);
        while self.changes.front().is_some_and(|change| change.at <= gone) {
            self.changes.pop_front();
        }
    }

    /// Something is about to change.
    pub(crate) fn note(&mut self, key: &str, before: Option<&Value>) {
        if !self.keep.is_zero() {
            self.changes.push_back(Change { at: self.now, key: key.to_owned(), before: before.cloned() });
        }
    }

    /// What has changed since that instant, latest first.
    pub(crate) fn since(&self, instant: Timestamp) -> impl Iterator<Item = &Change> {
        self.changes.iter().rev().take_while(move |change| change.at > instant)
    }
}

impl World {
    /// The world as it was at that instant, as far back as changes are kept.
    pub(crate) fn past(&self, then: Timestamp) -> Past<'_> {
        let changed = self.history.since(then).map(|change| (change.key.as_str(), change.before.as_ref()));
        // Of several changes the oldest tells; it comes last.
        Past { world: self, changed: changed.collect() }
    }
}

impl<'a> Past<'a> {
    /// Everything that was of this type, in order.
    pub(crate) fn of(&self, kind: &str) -> BTreeMap<&'a str, &'a Value> {
        let mut found: BTreeMap<&str, &Value> =
            self.world.keys_of(kind).filter_map(|key| Some((key, self.world.get(key)?))).collect();
        for (key, before) in &self.changed {
            if arm_id::type_of(key).as_deref() != Some(kind) {
                continue;
            }
            match before {
                Some(value) => found.insert(key, value),
                None => found.remove(key),
            };
        }
        found
    }
}
