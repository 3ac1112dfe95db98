//! A role that a principal may activate and has not: Privileged Identity Management calls it eligible.

use jiff::Timestamp;

use crate::id::{ArmId, PrincipalId, RoleId};

/// One eligible role. It gives nothing until it is activated, and then shows as an ordinary assignment.
///
/// Source: <https://learn.microsoft.com/rest/api/authorization/role-eligibility-schedule-instances>, `2020-10-01`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eligibility {
    /// Where it would count.
    pub scope: ArmId,
    /// Who may activate it: the principal itself, or a group it is in.
    pub principal: PrincipalId,
    /// Which role.
    pub role: RoleId,
    /// The role's name, where told.
    pub role_name: Option<String>,
    /// When the eligibility ends; `None`: not told, or never.
    pub until: Option<Timestamp>,
}
