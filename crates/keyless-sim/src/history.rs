//! What the world was a while ago: for readers who lag, and for lists that are made to show the past.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::world::{ACCOUNT, ASSIGNMENT, WORKSPACE, World};
use crate::{arm_id, time};

/// The latest changes, oldest first. Nothing is kept unless somebody looks back.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    now: Timestamp,
    /// How far readers lag.
    lag: Duration,
    /// How far lists may go back.
    depth: Duration,
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

/// The present, put aside while the world shows its past.
pub(crate) struct Present {
    entries: BTreeMap<String, Option<Value>>,
    history: History,
}

impl History {
    /// Something is about to change.
    pub(crate) fn note(&mut self, key: &str, before: Option<&Value>) {
        if !self.lag.max(self.depth).is_zero() {
            self.changes.push_back(Change { at: self.now, key: key.to_owned(), before: before.cloned() });
        }
    }

    /// What has changed after an instant, each as it was then.
    fn since(&self, then: Timestamp) -> BTreeMap<&str, Option<&Value>> {
        let mut changed = BTreeMap::new();
        for change in self.changes.iter().filter(|change| change.at > then) {
            changed.entry(change.key.as_str()).or_insert(change.before.as_ref());
        }
        changed
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

impl World {
    /// Readers lag so far from here on.
    pub(crate) fn lag(&mut self, lag: Duration) {
        self.history.lag = lag;
    }

    /// Lists may go back so far from here on, or not at all.
    pub(crate) fn remember(&mut self, depth: Option<Duration>) {
        self.history.depth = depth.unwrap_or_default();
    }

    /// It is so late now.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        let history = &mut self.history;
        history.now = now;
        let gone = time::before(now, history.lag.max(history.depth));
        while history.changes.front().is_some_and(|change| change.at <= gone) {
            history.changes.pop_front();
        }
    }

    /// What readers see who lag.
    pub(crate) fn past(&self) -> Past<'_> {
        Past { world: self, changed: self.history.since(time::before(self.history.now, self.history.lag)) }
    }

    /// Lets listed things be as they were at that instant, until [`World::restore`].
    pub(crate) fn rewind(&mut self, to: Timestamp) -> Present {
        let history = std::mem::take(&mut self.history);
        let listed = |key: &str| matches!(arm_id::type_of(key).as_deref(), Some(WORKSPACE | ACCOUNT | ASSIGNMENT));
        let changed = history.since(to).into_iter().filter(|(key, _)| listed(key));
        let past: BTreeMap<String, Option<Value>> =
            changed.map(|(key, before)| (key.to_owned(), before.cloned())).collect();
        let entries = past.keys().map(|key| (key.clone(), self.get(key).cloned())).collect();
        self.replace(past);
        Present { entries, history }
    }

    /// Takes the present back.
    pub(crate) fn restore(&mut self, present: Present) {
        self.replace(present.entries);
        self.history = present.history;
    }

    fn replace(&mut self, entries: BTreeMap<String, Option<Value>>) {
        for (key, value) in entries {
            match value {
                Some(value) => {
                    self.insert(value);
                }
                None => {
                    self.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_past_is_shown_and_the_present_comes_back() {
        let id = |name: &str| {
            format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/{name}")
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        let (mut world, _) = World::from_resources([json!({"id": id("a"), "v": 1}), json!({"id": id("b")})]);
        let first = world.to_json();
        world.remember(Some(Duration::from_secs(60)));
        world.tick(at(100));
        world.get_mut(&crate::arm_id::key(&id("a"))).unwrap()["v"] = json!(2);
        world.tick(at(110));
        world.remove(&crate::arm_id::key(&id("b")));
        world.insert(json!({"id": id("c")}));
        let last = world.to_json();
        for (then, shown) in [(99, &first), (110, &last)] {
            let present = world.rewind(at(then));
            assert_eq!(&world.to_json(), shown, "{then}");
            world.restore(present);
            assert_eq!(world.to_json(), last);
        }
        world.tick(at(171));
        let present = world.rewind(at(0));
        assert_eq!(world.to_json(), last, "nothing is kept longer than told");
        world.restore(present);
    }
}
