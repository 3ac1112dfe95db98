//! What lists showed some time ago: changes of listed things, kept as far back as somebody may look.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::time;
use crate::world::{ACCOUNT, ASSIGNMENT, WORKSPACE, World};

/// The latest changes, oldest first, each with what was there before.
#[derive(Debug, Clone)]
pub(crate) struct History {
    depth: Duration,
    now: Timestamp,
    changes: VecDeque<(Timestamp, String, Option<Value>)>,
}

/// The present, put aside while the world shows its past.
pub(crate) struct Present {
    entries: BTreeMap<String, Option<Value>>,
    history: Option<History>,
}

impl World {
    /// Keeps changes as long as this, or none.
    pub(crate) fn remember(&mut self, depth: Option<Duration>) {
        self.history = depth.map(|depth| History { depth, now: Timestamp::MIN, changes: VecDeque::new() });
    }

    /// It is so late now.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        let Some(history) = &mut self.history else { return };
        history.now = now;
        let oldest = time::before(now, history.depth);
        while history.changes.front().is_some_and(|(at, ..)| *at < oldest) {
            history.changes.pop_front();
        }
    }

    /// An entry is about to change.
    pub(crate) fn changes(&mut self, key: &str, kind: &str) {
        if !matches!(kind, WORKSPACE | ACCOUNT | ASSIGNMENT) || self.history.is_none() {
            return;
        }
        let before = self.get(key).cloned();
        if let Some(history) = &mut self.history {
            history.changes.push_back((history.now, key.to_owned(), before));
        }
    }

    /// Lets listed things be as they were at that instant, until [`World::restore`].
    pub(crate) fn rewind(&mut self, to: Timestamp) -> Present {
        let history = self.history.take();
        let mut past: BTreeMap<String, Option<Value>> = BTreeMap::new();
        let changes = history.iter().flat_map(|history| history.changes.iter().rev());
        for (_, key, before) in changes.take_while(|(at, ..)| *at > to) {
            past.insert(key.clone(), before.clone());
        }
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
