//! What the world was a while ago, for readers who lag.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::time;
use crate::world::World;

/// The changes of the last while, each with what was there before. Nothing is kept unless somebody lags.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    now: Timestamp,
    keep: Duration,
    changes: VecDeque<Change>,
}

#[derive(Debug, Clone)]
struct Change {
    at: Timestamp,
    key: String,
    /// Nothing where there was nothing.
    before: Option<Value>,
}

/// The world at an instant that is over.
pub(crate) struct Past<'a> {
    world: &'a World,
    /// What has changed since, as it was then.
    changed: BTreeMap<&'a str, Option<&'a Value>>,
}

impl History {
    /// Remembers changes from here on for so long.
    pub(crate) fn keep(&mut self, keep: Duration) {
        self.keep = keep;
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

    /// The world as far back as changes are kept.
    pub(crate) fn past<'a>(&'a self, world: &'a World) -> Past<'a> {
        let mut changed = BTreeMap::new();
        for change in &self.changes {
            changed.entry(change.key.as_str()).or_insert(change.before.as_ref());
        }
        Past { world, changed }
    }
}

impl<'a> Past<'a> {
    /// Everything that was of this type, in order.
    pub(crate) fn of(&self, kind: &str) -> BTreeMap<&'a str, &'a Value> {
        let mut found: BTreeMap<&str, &Value> =
            self.world.keys_of(kind).filter_map(|key| Some((key, self.world.get(key)?))).collect();
        for (key, before) in &self.changed {
            if crate::arm_id::type_of(key).as_deref() != Some(kind) {
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
