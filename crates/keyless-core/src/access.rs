//! Whether a principal can do at the account what a role stands for, judged by data actions and age, not by role names.
//!
//! Unknown is not absent: while an assignment or definition that might matter could not be read, the answer is
//! [`Cover::Unknown`]. A conditional grant never satisfies a plain need.

use jiff::{SignedDuration, Timestamp};

use crate::catalog::CatalogRole;
use crate::desired::Waits;
use crate::id::{ArmId, PrincipalId};
use crate::observed::{
    Cause, DeniedPrincipal, DenyAssignment, Observed, Permission, Reading, RoleAssignment, RoleDefinition,
};

/// The answer to "does this principal have what this role stands for?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cover {
    /// Every data action is granted, without condition, at the account or above.
    Covered {
        /// When the grants may be relied on: age plus the wait for their path. `None`: Azure did not tell their age.
        works_at: Option<Timestamp>,
    },
    /// Some data actions are granted by nothing that was read.
    Missing {
        /// Those actions.
        data_actions: Vec<String>,
        /// Whether a conditional grant would have satisfied them.
        conditional: bool,
    },
    /// A deny assignment takes a needed action away, or may do so.
    Denied {
        /// Its name.
        by: String,
    },
    /// Something that decides it could not be read.
    Unknown {
        /// What.
        why: String,
        /// What kind of failure it was, and what would lift it.
        cause: Cause,
    },
    /// Something that decides it has not been read yet.
    NotRead,
}

/// Judges one principal's hold on one role's data actions at the observed account, deny assignments left out.
#[must_use]
pub fn cover(role: &CatalogRole, principal: PrincipalId, observed: &Observed, waits: &Waits) -> Cover {
    let assignments = match &observed.assignments {
        Reading::NotRead => return Cover::NotRead,
        Reading::Unknown { why, cause } => {
            return Cover::Unknown { why: format!("role assignments: {why}"), cause: cause.clone() };
        }
        Reading::Known { value, .. } => value,
    };
    let account = observed.account_id.arm();
    let applying: Vec<&RoleAssignment> =
        assignments.iter().filter(|a| a.principal == principal && a.scope.covers(account)).collect();

    let mut works_at: Option<Option<Timestamp>> = None; // None: nothing judged yet; Some(None): age not told
    let mut missing = Vec::new();
    let mut conditional = false;
    let mut unread_role = None;
    for action in role.data_actions {
        let mut best: Option<Option<Timestamp>> = None;
        for assignment in &applying {
            let definition = match observed.roles.get(&assignment.role) {
                Some(Reading::Known { value, .. }) => value,
                Some(Reading::Unknown { why, cause }) => {
                    unread_role = Some((format!("role definition {}: {why}", assignment.role), cause.clone()));
                    continue;
                }
                Some(Reading::NotRead) | None => {
                    unread_role = Some((format!("role definition {}: not read", assignment.role), Cause::default()));
                    continue;
                }
            };
            if !definition.permissions.iter().any(|block| allows(block, action)) {
                continue;
            }
            if assignment.condition.is_some() {
                conditional = true;
                continue;
            }
            let at = works_from(assignment, definition, waits);
            best = Some(match best {
                None => at,
                Some(known) => earlier(known, at),
            });
        }
        match best {
            Some(at) => {
                works_at = Some(match works_at {
                    None => at,
                    Some(so_far) => later(so_far, at),
                });
            }
            None => missing.push((*action).to_owned()),
        }
    }
    if missing.is_empty() {
        return Cover::Covered { works_at: works_at.flatten() };
    }
    match unread_role {
        Some((why, cause)) => Cover::Unknown { why, cause },
        None => Cover::Missing { data_actions: missing, conditional },
    }
}

/// As [`cover`], and deny assignments count too.
#[must_use]
pub fn effective_cover(role: &CatalogRole, principal: PrincipalId, observed: &Observed, waits: &Waits) -> Cover {
    let covered = cover(role, principal, observed, waits);
    if !matches!(covered, Cover::Covered { .. }) {
        return covered;
    }
    match &observed.denies {
        Reading::NotRead => Cover::NotRead,
        Reading::Unknown { why, cause } => {
            Cover::Unknown { why: format!("deny assignments: {why}"), cause: cause.clone() }
        }
        Reading::Known { value, .. } => value
            .iter()
            .find(|deny| may_deny(deny, role, principal, observed.account_id.arm()))
            .map_or(covered, |deny| Cover::Denied { by: deny.name.clone() }),
    }
}

fn may_deny(deny: &DenyAssignment, role: &CatalogRole, principal: PrincipalId, account: &ArmId) -> bool {
    let reaches = if deny.exact_scope_only { deny.scope == *account } else { deny.scope.covers(account) };
    let spared = deny.excluded.contains(&principal);
    // A group's members are not known here, so a denied group may hold anybody.
    let named = deny.principals.iter().any(|denied| match denied {
        DeniedPrincipal::Everyone | DeniedPrincipal::Group(_) => true,
        DeniedPrincipal::One(id) => *id == principal,
    });
    let takes = role.data_actions.iter().any(|action| deny.permissions.iter().any(|block| allows(block, action)));
    reaches && named && !spared && takes
}

/// When the grant may be relied on; `None` where Azure does not tell its age.
///
/// Age runs from the youngest of the assignment's `createdOn` and `updatedOn` and the role definition's `updatedOn`.
/// At management-group scope the data plane may take hours.
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/troubleshooting>.
fn works_from(assignment: &RoleAssignment, definition: &RoleDefinition, waits: &Waits) -> Option<Timestamp> {
    let made = assignment.created_on.max(assignment.updated_on)?;
    let youngest = Some(made).max(definition.updated_on)?;
    let wait = if assignment.scope.is_management_group() || assignment.scope.as_str() == "/" {
        waits.group_propagation
    } else {
        waits.role_propagation
    };
    SignedDuration::try_from(wait).ok().and_then(|wait| youngest.checked_add(wait).ok())
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (known, None) | (None, known) => known,
    }
}

fn later(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        _ => None,
    }
}

/// Whether a permission block allows a data action: one pattern matches it and no subtracted pattern does.
#[must_use]
pub fn allows(block: &Permission, data_action: &str) -> bool {
    block.data_actions.iter().any(|pattern| matches(pattern, data_action))
        && !block.not_data_actions.iter().any(|pattern| matches(pattern, data_action))
}

/// Wildcard match of Azure's action patterns: `*` stands for any run of characters, `/` included; case does not count.
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/role-definitions#wildcards>.
#[must_use]
pub fn matches(pattern: &str, action: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let action = action.to_ascii_lowercase();
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| action.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_any_run_without_case() {
        for (pattern, action, expected) in [
            ("*", "a/b/c", true),
            ("A/*/read", "a/b/c/READ", true),
            ("a/*", "a/", true),
            ("a/*", "a", false),
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("*/read", "a/readx", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*b", "ab", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, action), expected, "{pattern} on {action}");
        }
    }
}
