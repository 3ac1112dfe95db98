//! A role assignment.

use jiff::Timestamp;

use crate::id::{ArmId, AssignmentName, PrincipalId, RoleId};

/// A role assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAssignment {
    /// The full id, as ARM spells it.
    pub id: ArmId,
    /// The GUID name.
    pub name: AssignmentName,
    /// Where it was made; inherited ones have a scope above the account.
    pub scope: ArmId,
    /// Who has it.
    pub principal: PrincipalId,
    /// What kind of principal, where told.
    pub principal_type: Option<PrincipalType>,
    /// Which role.
    pub role: RoleId,
    /// The ABAC condition. A conditional grant does not satisfy a plain need.
    pub condition: Option<String>,
    /// The description; grants of `keyless` name their owner in it.
    pub description: Option<String>,
    /// When it was made.
    pub created_on: Option<Timestamp>,
    /// When it last changed.
    pub updated_on: Option<Timestamp>,
}

/// `principalType` of a role assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalType {
    /// A person.
    User,
    /// A security group.
    Group,
    /// A service principal or managed identity.
    ServicePrincipal,
    /// A group of another tenant.
    ForeignGroup,
    /// A device.
    Device,
}

impl PrincipalType {
    /// Whether others are in it.
    #[must_use]
    pub fn is_group(self) -> bool {
        matches!(self, Self::Group | Self::ForeignGroup)
    }

    /// Azure's spelling.
    #[must_use]
    pub fn as_wire(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::ServicePrincipal => "ServicePrincipal",
            Self::ForeignGroup => "ForeignGroup",
            Self::Device => "Device",
        }
    }

    /// The type of Azure's word, without case.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        [Self::User, Self::Group, Self::ServicePrincipal, Self::ForeignGroup, Self::Device]
            .into_iter()
            .find(|kind| kind.as_wire().eq_ignore_ascii_case(text))
    }
}
