//! The datastores of the whole fleet, read for the one question which of them name a given account.
//!
//! A workspace on another account may hold this account's key in a datastore of its own, and only its list tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use keyless_arm::api::{Answer, ReadArm};
use keyless_core::id::WorkspaceId;
use keyless_core::observed::{Datastore, Reading};
use tokio::time::Instant;

use crate::clock::ServerClock;
use crate::failed::failed_as;
use crate::memory::Memory;

/// How many lists are under way at a time.
const AT_A_TIME: usize = 16;

/// How long a list may be reused. Reading a large fleet takes longer than confirming reads may, so each key that goes
/// off cannot have a sweep of its own; the key-idle evidence stands beside it.
const REUSED_FOR: Duration = Duration::from_secs(5 * 60);

/// What was read of the fleet lately.
#[derive(Default)]
pub(crate) struct Sweep {
    lists: BTreeMap<WorkspaceId, List>,
}

struct List {
    read: Instant,
    at: Timestamp,
    datastores: Vec<Datastore>,
}

impl Sweep {
    /// The datastores of `workspaces` that name the account, unknown if any list could not be read. What this process wrote
    /// itself is read anew.
    pub(crate) async fn naming(
        &mut self,
        account: &str,
        workspaces: BTreeSet<WorkspaceId>,
        read: &dyn ReadArm,
        clock: &ServerClock,
        memory: &Memory,
    ) -> Reading<BTreeMap<WorkspaceId, Vec<Datastore>>> {
        self.lists.retain(|id, list| serves(list.read, memory.stored(id)));
        let missing: Vec<WorkspaceId> = workspaces.iter().filter(|id| !self.lists.contains_key(id)).cloned().collect();
        let mut answers =
            stream::iter(missing).map(|id| async move { (read.datastores(&id).await, id) }).buffered(AT_A_TIME);
        let mut failed = None;
        while let Some((answer, id)) = answers.next().await {
            match answer {
                Ok(Answer { value, at, request_id: _ }) => {
                    clock.saw(at);
                    memory.saw_datastores(&id, &value);
                    self.lists.insert(id, List { read: Instant::now(), at, datastores: value });
                }
                // The others are read all the same: the next sweep need not.
                Err(error) => failed = Some(failed_as(id.name(), &error)),
            }
        }
        if let Some(failed) = failed {
            return failed;
        }
        let mut naming = BTreeMap::new();
        let mut oldest = clock.last().unwrap_or(Timestamp::MIN);
        for id in workspaces {
            let Some(list) = self.lists.get(&id) else { return Reading::NotRead };
            oldest = oldest.min(list.at);
            let named = |datastore: &&Datastore| {
                datastore.account_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(account))
            };
            let named: Vec<Datastore> = list.datastores.iter().filter(named).cloned().collect();
            if !named.is_empty() {
                naming.insert(id, named);
            }
        }
        Reading::known(naming, oldest)
    }
}

/// Whether a list that was read at `read` may be used once more, where its datastores were last written at `written`.
fn serves(read: Instant, written: Option<Instant>) -> bool {
    read.elapsed() < REUSED_FOR && written.is_none_or(|written| written < read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_list_serves_for_minutes_and_none_of_before_an_own_write() {
        let second = Duration::from_secs(1);
        let before = Instant::now();
        tokio::time::advance(second).await;
        let read = Instant::now();
        assert!(serves(read, None) && serves(read, Some(before)));
        assert!(!serves(read, Some(read)), "it may be of before or after");
        tokio::time::advance(REUSED_FOR - second).await;
        assert!(serves(read, None) && !serves(read, Some(Instant::now())));
        tokio::time::advance(second).await;
        assert!(!serves(read, None));
    }
}
