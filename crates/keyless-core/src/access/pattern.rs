//! Patterns of actions and permission blocks.

use crate::observed::Permission;

/// Whether a permission block allows a data action: one pattern matches it and no subtracted pattern does.
#[must_use]
pub fn allows(block: &Permission, data_action: &str) -> bool {
    block.data_actions.iter().any(|pattern| matches(pattern, data_action))
        && !block.not_data_actions.iter().any(|pattern| matches(pattern, data_action))
}

/// As [`allows`], for actions of the control plane.
#[must_use]
pub fn allows_control(block: &Permission, action: &str) -> bool {
    block.actions.iter().any(|pattern| matches(pattern, action))
        && !block.not_actions.iter().any(|pattern| matches(pattern, action))
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
