//! A deny assignment.

use std::collections::BTreeSet;

use crate::id::{ArmId, PrincipalId};

use super::Permission;

/// A deny assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenyAssignment {
    /// Its name, for people.
    pub name: String,
    /// Where it was made.
    pub scope: ArmId,
    /// The denied actions.
    pub permissions: Vec<Permission>,
    /// Whether it stops at its own scope.
    pub exact_scope_only: bool,
    /// Whom it denies.
    pub principals: Vec<DeniedPrincipal>,
    /// Whom it spares.
    pub excluded: BTreeSet<PrincipalId>,
    /// Whether a condition narrows it; a narrowed deny may still apply, so it counts.
    pub conditional: bool,
}

/// One principal of a deny assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeniedPrincipal {
    /// Everyone: the zero GUID, type `SystemDefined`.
    Everyone,
    /// A group: its members are not known here, so it may hold anybody.
    Group(PrincipalId),
    /// A user or service principal.
    One(PrincipalId),
}
