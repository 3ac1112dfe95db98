//! Lists that lag: for the time of one request, listed things are as they were.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::arm_id;
use crate::history::History;
use crate::world::{ACCOUNT, ASSIGNMENT, WORKSPACE, World};

/// The present, put aside while the world shows its past.
pub(crate) struct Present {
    entries: BTreeMap<String, Option<Value>>,
    history: History,
}

impl World {
    /// Lets listed things be as they were at that instant, until [`World::restore`].
    pub(crate) fn rewind(&mut self, to: Timestamp) -> Present {
        // Nothing is noted of what happens meanwhile.
        let history = std::mem::take(&mut self.history);
        let listed = |key: &str| matches!(arm_id::type_of(key).as_deref(), Some(WORKSPACE | ACCOUNT | ASSIGNMENT));
        let mut past: BTreeMap<String, Option<Value>> = BTreeMap::new();
        for change in history.since(to).filter(|change| listed(&change.key)) {
            past.insert(change.key.clone(), change.before.clone());
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
    use std::time::Duration;

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
        world.history.keep_at_least(Duration::from_secs(60));
        world.history.advance(at(100));
        world.get_mut(&arm_id::key(&id("a"))).unwrap()["v"] = json!(2);
        world.history.advance(at(110));
        world.remove(&arm_id::key(&id("b")));
        world.insert(json!({"id": id("c")}));
        let last = world.to_json();
        for (then, shown) in [(99, &first), (110, &last)] {
            let present = world.rewind(at(then));
            assert_eq!(&world.to_json(), shown, "{then}");
            world.restore(present);
            assert_eq!(world.to_json(), last);
        }
        world.history.advance(at(171));
        let present = world.rewind(at(0));
        assert_eq!(world.to_json(), last, "nothing is kept longer than told");
        world.restore(present);
    }
}
