//! A role definition.

use jiff::Timestamp;

use crate::id::RoleId;

/// A role definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDefinition {
    /// Its GUID.
    pub id: RoleId,
    /// `roleName`.
    pub name: String,
    /// The permission blocks; an action is allowed if any one block allows it.
    pub permissions: Vec<Permission>,
    /// When it last changed.
    pub updated_on: Option<Timestamp>,
    /// Whether it is one of Azure's own: those change so seldom that a reader may keep them for a while.
    pub built_in: bool,
}

/// One permission block. `not_*` subtracts within the block only; it is not a deny.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permission {
    /// Allowed control-plane actions.
    pub actions: Vec<String>,
    /// Subtracted control-plane actions.
    pub not_actions: Vec<String>,
    /// Allowed data-plane actions.
    pub data_actions: Vec<String>,
    /// Subtracted data-plane actions.
    pub not_data_actions: Vec<String>,
}
