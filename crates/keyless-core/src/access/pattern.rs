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
    let mut parts = pattern.split('*').map(str::as_bytes);
    let Some(mut rest) = parts.next().and_then(|first| without_prefix(action.as_bytes(), first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match (0..=rest.len()).find_map(|at| without_prefix(rest.get(at..)?, part)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.len().checked_sub(last.len()).and_then(|at| rest.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(last))
}

/// What follows `prefix`, whose case does not count.
fn without_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_allows_of_each_plane_what_it_names_and_does_not_subtract() {
        let list = |pattern: &str| vec![pattern.to_owned()];
        let block = Permission {
            actions: list("a/*"),
            not_actions: list("a/delete"),
            data_actions: list("d/*"),
            not_data_actions: list("d/delete"),
        };
        for (action, control, data) in [
            ("a/read", true, false),
            ("a/delete", false, false),
            ("d/read", false, true),
            ("d/delete", false, false),
            ("b/read", false, false),
        ] {
            assert_eq!((allows_control(&block, action), allows(&block, action)), (control, data), "{action}");
        }
    }

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
            ("a*B*b", "axbyB", true),
            ("a**b", "ab", true),
            ("a*bb*b", "abxbbb", true),
            ("ab*bc", "abc", false),
            ("é*", "éa", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, action), expected, "{pattern} on {action}");
        }
    }
}
