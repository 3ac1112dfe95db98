//! Who may do what at another account than that of the pass: datastores may stand there.

use std::collections::BTreeMap;

use crate::id::RoleId;
use crate::reading::Reading;

use super::{DenyAssignment, RoleAssignment, RoleDefinition};

/// What decides over access at one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessAt {
    /// Every role assignment that applies there.
    pub assignments: Reading<Vec<RoleAssignment>>,
    /// The definitions of all roles in `assignments` that could be read.
    pub roles: BTreeMap<RoleId, Reading<RoleDefinition>>,
    /// Deny assignments that apply there.
    pub denies: Reading<Vec<DenyAssignment>>,
}
