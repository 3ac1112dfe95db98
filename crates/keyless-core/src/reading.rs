//! A value that was read, could not be read, or has not been asked for: unknown is not absent.

use jiff::Timestamp;

/// One value read from Azure, with the server's time of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reading<T> {
    /// Nobody has asked yet; a plan that needs it says so in [`crate::plan::Plan::wants`].
    #[default]
    NotRead,
    /// Azure answered completely.
    Known {
        /// The value.
        value: T,
        /// The server's time of the (oldest part of the) answer.
        at: Timestamp,
    },
    /// The read failed, was partial, could not be understood, or used an api-version that hides the value.
    Unknown {
        /// What happened, for people.
        why: String,
        /// What kind of failure it was, and what would lift it.
        cause: Cause,
    },
}

/// What kind of failure stands behind a value that is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause {
    /// The kind, in the words of the event field `error_class`, such as `refused` or `transient`.
    pub class: Option<&'static str>,
    /// What would lift it, where that can be told.
    pub lift: Option<String>,
}

impl<T> Reading<T> {
    /// A known value.
    pub fn known(value: T, at: Timestamp) -> Self {
        Self::Known { value, at }
    }

    /// The same reading of what `change` makes of the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known { value, at } => Reading::known(change(value), at),
            Self::Unknown { why, cause } => Reading::Unknown { why, cause },
            Self::NotRead => Reading::NotRead,
        }
    }

    /// A failed read.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into(), cause: Cause::default() }
    }

    /// The value, if it is known.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::NotRead | Self::Unknown { .. } => None,
        }
    }

    /// When the value was read, if it is known.
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Known { at, .. } => Some(*at),
            Self::NotRead | Self::Unknown { .. } => None,
        }
    }

    /// Takes the newer reading, unless nobody made one.
    pub(crate) fn absorb(&mut self, newer: Self) {
        if !matches!(newer, Self::NotRead) {
            *self = newer;
        }
    }

    /// Why the value is not known although it was asked for.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Unknown { why, .. } => Some(why),
            Self::NotRead | Self::Known { .. } => None,
        }
    }

    /// The failure behind a value that is not known although it was asked for, as a reading of another value.
    pub fn failed<U>(&self) -> Option<Reading<U>> {
        match self {
            Self::Unknown { why, cause } => Some(Reading::Unknown { why: why.clone(), cause: cause.clone() }),
            Self::NotRead | Self::Known { .. } => None,
        }
    }
}
