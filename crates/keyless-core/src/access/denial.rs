//! Deny assignments that stand against a grant. A denial wins over every grant.
//!
//! Source: <https://learn.microsoft.com/azure/role-based-access-control/deny-assignments>.

use std::collections::BTreeSet;

use crate::gate::ReadSet;
use crate::id::{ArmId, PrincipalId};
use crate::observed::{DeniedPrincipal, DenyAssignment, Observed, PrincipalType, Reading};

use super::{Question, allows};

/// A deny assignment that takes a needed data action away from a principal, or may do so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Its name.
    pub name: String,
    /// Where it was made.
    pub scope: ArmId,
    /// How it hits the principal.
    pub hits: Hit,
    /// Whether it is known to apply. It may or may not where it names or spares a group whose members are not told, or
    /// has a condition.
    pub certain: bool,
    /// The data actions in question that it takes.
    pub data_actions: Vec<&'static str>,
}

/// How a deny assignment hits a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// It denies everyone.
    Everyone,
    /// It denies this group.
    Group(PrincipalId),
    /// It names the principal itself.
    Itself,
    /// The principal is a group, and it names somebody who may be in it.
    Member(PrincipalId),
}

/// What is known of the groups of the principal in question.
#[derive(Clone, Copy)]
pub(super) enum Groups<'a> {
    /// It is in these, as far as assignments at the account show.
    Known(&'a BTreeSet<PrincipalId>),
    /// They could not be read, or such a principal's are not told.
    Untold,
    /// They were not read.
    NotRead,
}

/// The denials that hit the principal, those that are known to apply first, or the reads that tell whether it is spared.
pub(super) fn denials(
    denies: &[DenyAssignment],
    question: &Question<'_>,
    groups: Groups<'_>,
    observed: &Observed,
) -> Result<Vec<Denial>, Box<ReadSet>> {
    let mut found: Vec<Denial> = Vec::new();
    let mut open = false;
    for deny in denies {
        let Some(denial) = denial(deny, question, groups, observed) else { continue };
        if matches!(groups, Groups::NotRead) && may_be_spared(deny, observed) {
            open = true;
        }
        found.push(denial);
    }
    if open {
        let groups = BTreeSet::from([question.principal]);
        return Err(Box::new(ReadSet { groups, ..ReadSet::default() }));
    }
    found.sort_by_key(|denial| !denial.certain);
    Ok(found)
}

fn denial(deny: &DenyAssignment, question: &Question<'_>, groups: Groups<'_>, observed: &Observed) -> Option<Denial> {
    let account = observed.account_id.arm();
    let reaches = if deny.exact_scope_only { deny.scope == *account } else { deny.scope.covers(account) };
    let is_in = |group: &PrincipalId| match groups {
        Groups::Known(groups) => groups.contains(group),
        Groups::Untold | Groups::NotRead => false,
    };
    let spared = deny.excluded.iter().any(|excluded| *excluded == question.principal || is_in(excluded));
    if !reaches || spared {
        return None;
    }
    let data_actions: Vec<&'static str> = question
        .role
        .data_actions
        .iter()
        .filter(|action| deny.permissions.iter().any(|block| allows(block, action)))
        .copied()
        .collect();
    if data_actions.is_empty() {
        return None;
    }
    let hit = |denied: &DeniedPrincipal| match denied {
        DeniedPrincipal::Everyone => Some((Hit::Everyone, true)),
        DeniedPrincipal::One(id) if *id == question.principal => Some((Hit::Itself, true)),
        // Who is in a group is not told.
        DeniedPrincipal::One(id) => {
            question.kind.is_some_and(PrincipalType::is_group).then_some((Hit::Member(*id), false))
        }
        DeniedPrincipal::Group(id) if *id == question.principal => Some((Hit::Itself, true)),
        // Membership is told only of groups that have assignments here, so any other may hold anybody.
        DeniedPrincipal::Group(id) => Some((Hit::Group(*id), is_in(id))),
    };
    let (hits, certain) = deny.principals.iter().filter_map(hit).max_by_key(|(_, certain)| *certain)?;
    let not_spared =
        deny.excluded.iter().all(|excluded| matches!(groups, Groups::Known(_)) && shows(*excluded, observed));
    let (name, scope) = (deny.name.clone(), deny.scope.clone());
    Some(Denial { name, scope, hits, certain: certain && not_spared && !deny.conditional, data_actions })
}

/// Whether the groups of the principal could tell that it is spared.
fn may_be_spared(deny: &DenyAssignment, observed: &Observed) -> bool {
    deny.excluded.iter().any(|excluded| shows(*excluded, observed))
}

/// Whether membership of this group shows in what is assigned to its members: it has an assignment at the account.
fn shows(group: PrincipalId, observed: &Observed) -> bool {
    let account = observed.account_id.arm();
    match &observed.assignments {
        Reading::Known { value, .. } => {
            value.iter().any(|assignment| assignment.principal == group && assignment.scope.covers(account))
        }
        Reading::Unknown { .. } | Reading::NotRead => false,
    }
}
