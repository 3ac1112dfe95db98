//! The short answer.

use jiff::Timestamp;

use crate::gate::ReadSet;
use crate::observed::Cause;

use super::{Denial, Evidence};

/// The answer to "does this principal have what this role stands for?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cover {
    /// Every data action is granted, at the account or above, by grants that are enough for the need.
    Covered {
        /// When the grants may be relied on: old enough for their path, and shown by enough reads. `None`: Azure did not
        /// tell their age.
        works_at: Option<Timestamp>,
        /// What that rests on, of the grant that takes longest.
        evidence: Evidence,
    },
    /// Some data actions are granted by nothing that was read.
    Missing {
        /// Those actions.
        data_actions: Vec<String>,
        /// Whether grants under another condition would have given all of them.
        conditional: bool,
    },
    /// A deny assignment takes a needed action away, or may do so.
    Denied {
        /// Which.
        by: Box<Denial>,
    },
    /// Something that decides it could not be read.
    Unknown {
        /// What.
        why: String,
        /// What kind of failure it was, and what would lift it.
        cause: Cause,
    },
    /// Something that decides it has not been read yet: these reads tell.
    NotRead(Box<ReadSet>),
}
