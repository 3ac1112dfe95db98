//! Grants whose holder is gone: an identity that is deleted and made again has a new object id, and what was granted to
//! the old one gives the new one nothing.
//!
//! Azure's resource manager does not tell whether an object id still exists, so only grants of this installation are
//! judged: those to identities that no document comes to any more.

use std::collections::BTreeSet;

use crate::action::is_own_name;
use crate::id::{ArmId, PrincipalId, RoleId};
use crate::observed::{PrincipalType, RoleAssignment};

/// A grant of this installation to an identity that no document comes to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Orphan {
    /// The assignment.
    pub assignment: ArmId,
    /// Whom it was made to.
    pub principal: PrincipalId,
    /// Which role it gives.
    pub role: RoleId,
}

/// The grants of `owner` to identities that are not `present`, which are all that the documents come to.
#[must_use]
pub fn orphans(owner: &str, assignments: &[RoleAssignment], present: &BTreeSet<PrincipalId>) -> Vec<Orphan> {
    assignments
        .iter()
        .filter(|assignment| assignment.principal_type == Some(PrincipalType::ServicePrincipal))
        .filter(|assignment| !present.contains(&assignment.principal) && is_own_name(owner, assignment))
        .map(|assignment| Orphan {
            assignment: assignment.id.clone(),
            principal: assignment.principal,
            role: assignment.role,
        })
        .collect()
}
