//! Which groups principals are in: nothing but a request for each principal tells.

use std::collections::BTreeSet;
use std::time::Duration;

use keyless_core::id::PrincipalId;
use keyless_core::observed::{PrincipalType, RoleAssignment};

/// How long a plan may rest on what was read. Design decision: people change groups seldom, and a write reads again.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(5 * 60);

/// The groups in what is assigned to a principal. What claims to be made to somebody else who is no group is odd and
/// tells nothing.
pub(crate) fn groups_in(assigned: &[RoleAssignment], principal: PrincipalId) -> BTreeSet<PrincipalId> {
    assigned
        .iter()
        .filter(|assignment| match assignment.principal_type {
            None | Some(PrincipalType::Group | PrincipalType::ForeignGroup) => true,
            Some(PrincipalType::User | PrincipalType::ServicePrincipal | PrincipalType::Device) => false,
        })
        .map(|assignment| assignment.principal)
        .filter(|holder| *holder != principal)
        .collect()
}
