//! A management lock.

use crate::id::ArmId;

/// A management lock. Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The lock's id.
    pub id: ArmId,
    /// Where it was put.
    pub scope: ArmId,
    /// What it forbids.
    pub level: LockLevel,
}

/// `level` of a lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockLevel {
    /// Deleting is barred; grants still work, revokes do not.
    CanNotDelete,
    /// Every write and delete is barred.
    ReadOnly,
    /// A value this version does not know: treated like `ReadOnly`.
    Other(String),
}
