//! What is asked: one principal and one role's data actions.

use crate::catalog::CatalogRole;
use crate::id::PrincipalId;
use crate::observed::PrincipalType;

/// "Does this principal have what this role stands for?"
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// Who.
    pub principal: PrincipalId,
    /// What kind of principal, where known: it decides whether groups can be asked for, and how long they take.
    pub kind: Option<PrincipalType>,
    /// The role whose data actions are needed.
    pub role: &'a CatalogRole,
    /// The ABAC condition under which a grant is enough, besides a grant without any.
    pub condition: Option<&'a str>,
}

impl<'a> Question<'a> {
    /// The question of a need without a condition.
    #[must_use]
    pub fn plain(principal: PrincipalId, kind: PrincipalType, role: &'a CatalogRole) -> Self {
        Self { principal, kind: Some(kind), role, condition: None }
    }

    /// Whether Azure tells the groups of such a principal. `assignedTo` takes users and service principals, no groups.
    /// Source: <https://learn.microsoft.com/azure/role-based-access-control/role-assignments-list-rest>.
    #[must_use]
    pub fn has_groups(&self) -> bool {
        match self.kind {
            None | Some(PrincipalType::User | PrincipalType::ServicePrincipal) => true,
            Some(PrincipalType::Group | PrincipalType::ForeignGroup | PrincipalType::Device) => false,
        }
    }

    /// Whether a grant under `condition` is enough.
    pub(super) fn takes(&self, condition: Option<&str>) -> bool {
        match condition {
            None => true,
            Some(condition) => self.condition.is_some_and(|asked| asked.trim() == condition.trim()),
        }
    }
}
