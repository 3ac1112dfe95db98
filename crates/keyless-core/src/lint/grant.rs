//! The least that must be seen of grants before a need can be said to work.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::catalog::CatalogRole;
use crate::id::PrincipalId;
use crate::observed::{DeniedPrincipal, DenyAssignment, Observed, Permission, RoleAssignment};

/// What stands against `user` being able to do with the account what `role` stands for; nothing where nothing is seen.
///
/// Every data action must be given by some assignment, to the user or to a group that the user is known to be in, that is
/// at least `age` old, and its role as it is too, and that has no condition but such as `under` says. No deny assignment may
/// name the user or everybody.
pub(super) fn objection(
    user: PrincipalId,
    role: &CatalogRole,
    under: Under<'_>,
    age: Duration,
    observed: &Observed,
) -> Option<String> {
    let Some(assignments) = observed.assignments.value() else { return Some("role assignments are not known".into()) };
    let Some(denies) = observed.denies.value() else { return Some("deny assignments are not known".into()) };
    let mut names: BTreeSet<PrincipalId> = BTreeSet::from([user]);
    names.extend(observed.groups.get(&user).and_then(|groups| groups.value()).into_iter().flatten());
    let account = observed.account_id.arm();
    let counting: Vec<&RoleAssignment> = assignments
        .iter()
        .filter(|assignment| names.contains(&assignment.principal) && assignment.scope.covers(account))
        .filter(|assignment| under.takes(assignment.condition.as_deref()))
        .filter(|assignment| is_old(assignment.created_on.max(assignment.updated_on), age, observed.now))
        .collect();
    for action in role.data_actions {
        let given = counting.iter().any(|assignment| {
            let Some(definition) = observed.roles.get(&assignment.role).and_then(|role| role.value()) else {
                return false;
            };
            let is_settled = definition.updated_on.is_none() || is_old(definition.updated_on, age, observed.now);
            is_settled && definition.permissions.iter().any(|block| gives(block, action))
        });
        if !given {
            return Some(format!("nothing that is old enough gives {user} `{action}`"));
        }
        let denied = denies.iter().find(|deny| {
            let applies = deny.scope == *account || (!deny.exact_scope_only && deny.scope.covers(account));
            applies && !deny.conditional && names_user(deny, user) && deny.permissions.iter().any(|b| gives(b, action))
        });
        if let Some(deny) = denied {
            return Some(format!("`{}` denies {user} `{action}`", deny.name));
        }
    }
    None
}

/// Under which conditions a grant counts, besides under none.
#[derive(Clone, Copy)]
pub(super) enum Under<'a> {
    /// Under this one; blanks around it mean nothing.
    Just(Option<&'a str>),
    /// Under any.
    Any,
}

impl Under<'_> {
    fn takes(self, condition: Option<&str>) -> bool {
        match self {
            Self::Just(asked) => condition.is_none() || condition.map(str::trim) == asked.map(str::trim),
            Self::Any => true,
        }
    }
}

fn is_old(since: Option<Timestamp>, age: Duration, now: Timestamp) -> bool {
    let Ok(age) = SignedDuration::try_from(age) else { return false };
    since.is_some_and(|at| at.checked_add(age).is_ok_and(|works| works <= now))
}

fn names_user(deny: &DenyAssignment, user: PrincipalId) -> bool {
    // A spared group may hold the user.
    deny.excluded.is_empty()
        && deny.principals.iter().any(|denied| match denied {
            DeniedPrincipal::Everyone => true,
            DeniedPrincipal::One(id) => *id == user,
            DeniedPrincipal::Group(_) => false,
        })
}

fn gives(block: &Permission, action: &str) -> bool {
    block.data_actions.iter().any(|pattern| matches(pattern, action))
        && !block.not_data_actions.iter().any(|pattern| matches(pattern, action))
}

/// Whether a pattern of Azure, in which `*` stands for anything, matches; letters of either case are the same.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|head| text.strip_prefix(head)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part).and_then(|at| rest.get(at.saturating_add(part.len())..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything_and_nothing_else_does() {
        for (pattern, text, is) in [
            ("*", "a/b", true),
            ("a/*/c", "A/b/C", true),
            ("a/*/c", "a/b/d", false),
            ("a/*/c*", "a/b/c", true),
            ("a*a", "a", false),
            ("a", "a/b", false),
            ("*/read", "x/y/read", true),
            ("*/read", "x/read/write", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, text), is, "{pattern} on {text}");
        }
    }
}
