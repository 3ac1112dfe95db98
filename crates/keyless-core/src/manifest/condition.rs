//! The ABAC condition of an access entry, and what two entries may not say together.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::condition::folded;
use crate::desired::Location;
use crate::id::RoleId;
use crate::secret;

use super::documents::{Document, Documents};
use super::kinds::AccessEntry;
use super::needs::{self, Profiles, Who};
use super::node::{Node, Value};
use super::problem::Report;
use super::wire::{At, Reader, Wire, values};

/// The text of a condition, as it is sent: on one line, however many it is written on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition(pub String);

impl Condition {
    /// In bytes. Source: <https://learn.microsoft.com/azure/role-based-access-control/conditions-faq>, 8 KB.
    const LONGEST: usize = 8 * 1024;
}

impl Wire for Condition {
    const NAME: &'static str = "Condition";

    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let folded = match &node.value {
            Value::Text(text) => Value::Text(folded(text)),
            other => other.clone(),
        };
        let node = &Node { at: node.at, value: folded };
        let text = reader.text(node)?;
        if text.len() > Self::LONGEST {
            reader.wrong(node.at, format_args!("is longer than {} bytes", Self::LONGEST), None);
            return None;
        }
        if secret::is_marked(text) {
            reader.wrong(
                node.at,
                "looks like it has a secret in it, and whoever reads role assignments reads it",
                None,
            );
            return None;
        }
        if !is_balanced(text) {
            let hint = "an expression such as `(@Resource[…containers:name] StringEquals 'raw')`".to_owned();
            reader.wrong(node.at, "is not a condition: its brackets and quotes do not match", Some(hint));
            return None;
        }
        Some(Self(text.to_owned()))
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": Self::LONGEST })
    }
}

/// Whether brackets and quotes match: the one mistake in a condition that can be told without Azure.
fn is_balanced(text: &str) -> bool {
    let mut open = Vec::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => open.push(c),
            ')' | ']' | '}' => {
                let opened = match c {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                if open.pop() != Some(opened) {
                    return false;
                }
            }
            _ => {}
        }
    }
    open.is_empty() && !quoted
}

/// Reports a workspace that asks for one role of one principal under two conditions: Azure has one assignment of a role
/// to a principal at a scope, with one condition or none.
pub(super) fn check(documents: &Documents, profiles: &Profiles<'_>, report: &mut Report) {
    for document in &documents.workspaces {
        let Some(At { value: spec, .. }) = &document.body.spec else { continue };
        let mut firsts: BTreeMap<(Who, RoleId), &Condition> = BTreeMap::new();
        let own = spec.access.iter().flat_map(values).map(|entry| (entry, None));
        let shared = spec.profiles.iter().flat_map(|list| &list.value).flat_map(|name| {
            let entries = profiles.get(name.value.0.as_str()).copied().unwrap_or_default();
            entries.iter().map(move |entry| (&entry.value, Some(name.at)))
        });
        for (entry, profile) in own.chain(shared) {
            let Some(At { value: condition, at }) = &entry.condition else { continue };
            for asked in asked(entry) {
                let first = *firsts.entry(asked).or_insert(condition);
                if first != condition {
                    // An entry of a profile stands in another document: the place is where this one names the profile.
                    let at = profile.unwrap_or(*at);
                    report.problem(
                        place(document, at.line, at.column),
                        "the principal is given the same role under another condition before",
                        Some("a principal has a role once at a scope: write one condition with `OR`".to_owned()),
                    );
                    break;
                }
            }
        }
    }
}

fn asked(entry: &AccessEntry) -> impl Iterator<Item = (Who, RoleId)> {
    let who = entry.principal.as_ref().and_then(|principal| needs::principal_ref(&principal.value));
    let roles = needs::roles_of(entry);
    who.into_iter().flat_map(move |who| roles.clone().into_iter().map(move |role| (Who::of(&who), role)))
}

fn place<T>(document: &Document<T>, line: u32, column: u32) -> Location {
    Location { path: document.location.path.clone(), line, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_what_is_quoted_is_kept() {
        assert_eq!(folded("  (a\n   StringEquals 'x  y')\n"), "(a StringEquals 'x  y')");
        assert_eq!(folded("'x  y'\n  OR  'z'"), "'x  y' OR 'z'");
    }

    #[test]
    fn brackets_and_quotes_have_to_match() {
        for (text, fine) in [
            ("(@Resource[a/b:name] StringEquals 'x')", true),
            ("(@Resource[a/b:name] StringEquals 'a)b')", true),
            ("((!(ActionMatches{'a'})) OR (@Resource[a] StringEquals 'x'))", true),
            ("(@Resource[a/b:name] StringEquals 'x'", false),
            ("@Resource[a)", false),
            ("(@Resource[a] StringEquals 'x)", false),
            (")(", false),
        ] {
            assert_eq!(is_balanced(text), fine, "{text}");
        }
    }
}
