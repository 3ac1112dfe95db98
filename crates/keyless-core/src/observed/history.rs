//! What only time shows.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::id::{PrincipalId, StorageAccountId, WorkspaceId};

use super::{Agreement, KeysTaken, Shown};

/// Facts that only time shows and Azure does not store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Since when every read of this process has seen shared key access allowed.
    pub key_on_since: Option<Timestamp>,
    /// Which workspaces this process had take the account's keys anew.
    pub keys_taken: BTreeMap<WorkspaceId, KeysTaken>,
    /// Since when every read of this process has seen a principal (first) in a group (second).
    pub member_since: BTreeMap<(PrincipalId, PrincipalId), Timestamp>,
    /// How often what is young was shown, by reads that did not miss it in between.
    pub agreements: BTreeMap<Shown, Agreement>,
    /// Since when the account is watched for people who lost access.
    pub watch: Option<WatchFrom>,
    /// Until when something may have signed with the key that holds it no more: a workspace that was on keys, a datastore
    /// that stored one, or anybody while the files let the key be on, and until who waited for it then has had it. The start
    /// of a process that cannot know what was before counts as well.
    pub signed_until: Option<Timestamp>,
    /// Whether somebody turned the key on again that this process saw off.
    pub back_on: Option<BackOn>,
    /// How many grants are still to be made at other accounts of the subscription, by the last plan of each.
    pub due_elsewhere: BTreeMap<StorageAccountId, u32>,
}

/// A key that was off and is on again, by no write of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOn {
    /// Since when the account had been watched, or since when the key was seen off.
    pub watched: Timestamp,
    /// When it was first seen on again.
    pub seen: Timestamp,
}

impl BackOn {
    /// From when on refused requests may be what it was turned on for: for as long as accounts are watched before that.
    #[must_use]
    pub fn from(&self, watch: Duration) -> Timestamp {
        self.watched.max(self.seen.saturating_sub(watch).unwrap_or(Timestamp::MIN))
    }
}

/// From when on an account is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchFrom {
    /// The instant.
    pub at: Timestamp,
    /// What it is.
    pub because: WatchCause,
}

/// Why an account is watched from an instant on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchCause {
    /// This process turned the key off then.
    KeyOff,
    /// This process switched a workspace to identity then.
    Switch,
    /// This process first saw the key off then; since when it has been off is not known.
    FirstSeenOff,
    /// This process first saw a workspace on identity then; when it was switched is not known.
    FirstSeenSwitched,
}

impl WatchCause {
    /// The word in output and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyOff => "key off",
            Self::Switch => "switch to identity",
            Self::FirstSeenOff => "key first seen off by this process",
            Self::FirstSeenSwitched => "workspace first seen on identity by this process, which started then",
        }
    }
}
