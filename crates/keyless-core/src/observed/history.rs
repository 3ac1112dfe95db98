//! What only time shows.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::id::{PrincipalId, WorkspaceId};

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
}

impl WatchCause {
    /// The word in output and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyOff => "key off",
            Self::Switch => "switch to identity",
            Self::FirstSeenOff => "key first seen off by this process",
        }
    }
}
