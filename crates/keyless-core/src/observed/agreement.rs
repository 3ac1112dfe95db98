//! How many reads in a row have shown one thing.
//!
//! Lists are eventually consistent: what one of them shows the next may miss, so a single sight proves little. Which reads
//! count for how much is decided in [`crate::access`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::id::{ArmId, PrincipalId, StorageAccountId};

/// Something that reads show and that access rests on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shown {
    /// A role assignment in the list of an account.
    Assignment {
        /// The account.
        at: StorageAccountId,
        /// The assignment.
        id: ArmId,
        /// The later of `createdOn` and `updatedOn`: made or changed anew it is another one.
        made: Timestamp,
    },
    /// A principal in a group.
    Member {
        /// The principal.
        principal: PrincipalId,
        /// The group.
        group: PrincipalId,
    },
}

/// An unbroken row of reads that show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// The first of them.
    pub first: Timestamp,
    /// The last that counted.
    pub last: Timestamp,
    /// How many counted, the first included.
    pub reads: u32,
}

impl Agreement {
    /// A row that begins at `at`.
    #[must_use]
    pub fn begun(at: Timestamp) -> Self {
        Self { first: at, last: at, reads: 1 }
    }

    /// Takes in one more read, which counts if it comes at least `apart` after the last that did.
    pub fn seen_again(&mut self, at: Timestamp, apart: Duration) {
        let apart = SignedDuration::try_from(apart).unwrap_or(SignedDuration::MAX);
        if at.duration_since(self.last) >= apart && at > self.last {
            self.last = at;
            self.reads = self.reads.saturating_add(1);
        }
    }
}
