//! When the account's keys were made, and what this process knows of which a workspace holds.

use jiff::Timestamp;

/// `keyCreationTime` of an account: tells a rotation without any right to see a key.
///
/// Source: Azure/bicep-types-az `generated/storage/microsoft.storage/2023-05-01/types.md`; both may be null.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyTimes {
    /// When `key1` was made, where told.
    pub key1: Option<Timestamp>,
    /// When `key2` was made, where told.
    pub key2: Option<Timestamp>,
}

impl KeyTimes {
    /// When the younger one was made; nothing if either is not told, for it may be that one.
    #[must_use]
    pub fn newest(self) -> Option<Timestamp> {
        Some(self.key1?.max(self.key2?))
    }
}

/// That this process, or one whose notes it has, had a workspace take the account's keys anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysTaken {
    /// The keys that the account had right before; nothing where that was before this process and Azure does not tell when
    /// keys were made, for then a rotation since would not show.
    pub keys: Option<KeyTimes>,
    /// Whether they are to be taken once more.
    pub again: Again,
}

/// Whether keys that were taken while the workspace was on identity are to be taken once more.
///
/// No public source says whether a workspace on identity takes the storage key too when it is told to. Told before the
/// switch there is no moment with old keys if it does; told once more after it, the keys are new if it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// The workspace is still on identity.
    NotYet,
    /// It was switched since.
    Due,
    /// They were.
    Done,
}
