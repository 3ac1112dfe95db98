//! One way from a principal to data actions: an assignment, the group it goes through, and since when it counts.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::catalog::CatalogRole;
use crate::desired::Waits;
use crate::id::PrincipalId;
use crate::observed::{Observed, PrincipalType, RoleAssignment, RoleDefinition, Shown};

use super::{Evidence, Question, evidence, matches};

/// One assignment that reaches the principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<'a> {
    /// The assignment.
    pub assignment: &'a RoleAssignment,
    /// Its role.
    pub definition: &'a RoleDefinition,
    /// The group it is made to, if it reaches the principal through one.
    pub through: Option<PrincipalId>,
    /// The data actions in question that it gives: none where the role only sounds right.
    pub gives: Vec<&'static str>,
    /// Whether the need takes it: it has no condition, or just the one that is asked for.
    pub is_enough: bool,
    /// When it may be relied on.
    pub trust: Trust,
}

impl Path<'_> {
    /// The data actions of `role` that a block of the definition names and then subtracts.
    #[must_use]
    pub fn holes(&self, role: &CatalogRole) -> Vec<&'static str> {
        let named = |action: &str| {
            let patterns = self.definition.permissions.iter().flat_map(|block| &block.data_actions);
            patterns.into_iter().any(|pattern| matches(pattern, action))
        };
        role.data_actions.iter().filter(|action| !self.gives.contains(action) && named(action)).copied().collect()
    }
}

/// Since when a path counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// The youngest of what makes it up; `None` where Azure does not tell the assignment's age.
    pub since: Option<Timestamp>,
    /// When it may be relied on: `since` plus the wait for such a path, or when enough reads agree if that is later.
    pub works_at: Option<Timestamp>,
    /// What that rests on.
    pub evidence: Evidence,
}

/// How long the change of a custom role takes to work at most.
/// Source: MicrosoftDocs/azure-ai-docs `articles/machine-learning/how-to-assign-roles.md`: 15 minutes to an hour.
const ROLE_CHANGES_WITHIN: Duration = Duration::from_secs(3600);

impl Trust {
    /// Age runs from the younger of the assignment's `createdOn` and `updatedOn` and, through a group, from the first time
    /// the membership was seen. From the role definition's `updatedOn` it runs too, and there takes the wait of slow ways, but
    /// no more than [`ROLE_CHANGES_WITHIN`] where that of this one is shorter.
    ///
    /// At management-group scope, and for managed identities through a group, the data plane may take hours. A group counts
    /// when it has come to whoever may be in it.
    /// Source: <https://learn.microsoft.com/azure/role-based-access-control/troubleshooting>.
    pub(super) fn of(
        question: &Question<'_>,
        assignment: &RoleAssignment,
        definition: &RoleDefinition,
        through: Option<PrincipalId>,
        observed: &Observed,
        waits: &Waits,
    ) -> Self {
        let member_since = through.map(|group| {
            // Not remembered means seen just now, for the first time.
            observed.history.member_since.get(&(question.principal, group)).copied().unwrap_or(observed.now)
        });
        let made = assignment.created_on.max(assignment.updated_on);
        let joined = made.map(|made| Some(made).max(member_since).unwrap_or(made));
        let since = joined.map(|joined| Some(joined).max(definition.updated_on).unwrap_or(joined));
        let high = assignment.scope.is_management_group() || assignment.scope.as_str() == "/";
        // A person signs in anew; an identity's groups are cached by the resources for about a day. Of a group that is asked
        // about itself it is not known who is in it.
        let slow = question.kind.is_some_and(PrincipalType::is_group)
            || (through.is_some() && question.kind != Some(PrincipalType::User));
        let wait = if high || slow { waits.group_propagation } else { waits.role_propagation };
        let changes = wait.max(waits.group_propagation.min(ROLE_CHANGES_WITHIN));
        let later = |at: Timestamp, wait: Duration| at.checked_add(SignedDuration::try_from(wait).ok()?).ok();
        let aged_at = joined.and_then(|joined| {
            let aged_at = later(joined, wait)?;
            let Some(changed) = definition.updated_on else { return Some(aged_at) };
            Some(aged_at.max(later(changed, changes)?))
        });
        let shown =
            made.map(|made| Shown::Assignment { at: observed.account_id.clone(), id: assignment.id.clone(), made });
        let member = through.map(|group| Shown::Member { principal: question.principal, group });
        let (agreed_at, reads, of) = match evidence::agreed(shown.into_iter().chain(member), observed, waits) {
            Some((at, reads, of)) => (Some(at), reads, of),
            None => (None, 0, 0),
        };
        let works_at = aged_at.map(|aged_at| Some(aged_at).max(agreed_at).unwrap_or(aged_at));
        Self { since, works_at, evidence: Evidence { aged_at, reads, of } }
    }

    /// The one that works earlier.
    pub(super) fn earlier(self, other: Self) -> Self {
        [self, other].into_iter().min_by_key(Self::order).unwrap_or(self)
    }

    /// The one that works later.
    pub(super) fn later(self, other: Self) -> Self {
        [other, self].into_iter().max_by_key(Self::order).unwrap_or(self)
    }

    /// What is not told works last.
    fn order(&self) -> (bool, Option<Timestamp>) {
        (self.works_at.is_none(), self.works_at)
    }
}
