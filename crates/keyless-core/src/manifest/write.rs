//! Documents of desired state as text, for whoever turns something else into files: the way back of [`super::load`].
//!
//! Only the fields that such files have are here; what people add by hand has no form in this module. Comments are part
//! of a document, because what cannot be said in a field must be said all the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::desired::{AuthMode, DesiredSharedKey, Enforcement, PrincipalRef};
use crate::id::{StorageAccountId, SubscriptionId, WorkspaceId};
use crate::observed::PrincipalType;

use super::API_VERSION;

/// One entry of an access list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Who.
    pub principal: PrincipalRef,
    /// What for.
    pub asks: Asks,
}

/// What an entry asks for, in the words of the catalog; never nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asks {
    /// A level.
    pub level: Option<&'static str>,
    /// Scenarios.
    pub scenarios: BTreeSet<&'static str>,
}

impl Asks {
    /// Whether nothing is asked for, which no document may say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.level.is_none() && self.scenarios.is_empty()
    }
}

/// A document to be written, with the lines of comment above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Lines for people, without `#`.
    pub comment: Vec<String>,
    /// The document; `None` leaves the comment alone.
    pub document: Option<Document>,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// `kind: Fleet`, in observe mode.
    Fleet {
        /// `spec.owner`.
        owner: String,
        /// `spec.scope.subscriptions`; left out if empty.
        subscriptions: BTreeSet<SubscriptionId>,
    },
    /// `kind: AccessProfile`.
    Profile {
        /// `metadata.name`.
        name: String,
        /// `spec.access`.
        access: Vec<Entry>,
    },
    /// `kind: StorageAccount`.
    Account {
        /// `metadata.name`.
        name: String,
        /// `spec.resourceId`.
        id: StorageAccountId,
        /// `spec.sharedKeyAccess`.
        shared_key_access: DesiredSharedKey,
    },
    /// `kind: Workspace`.
    Workspace {
        /// `metadata.name`.
        name: String,
        /// `spec.resourceId`.
        id: WorkspaceId,
        /// `spec.authMode`.
        auth_mode: AuthMode,
        /// `spec.enforcement`; left to the fleet if `None`.
        enforcement: Option<Enforcement>,
        /// `spec.access`.
        access: Vec<Entry>,
        /// `spec.profiles`.
        profiles: Vec<String>,
    },
}

/// The text of one file.
#[must_use]
pub fn file(documents: &[Written]) -> String {
    let mut text = String::new();
    for (number, written) in documents.iter().enumerate() {
        if number > 0 {
            text.push_str("---\n");
        }
        for line in &written.comment {
            comment(&mut text, line);
        }
        if let Some(document) = &written.document {
            write_document(&mut text, document);
        }
    }
    text
}

/// The same document as comment: for what a person has to decide before it can be one.
#[must_use]
pub fn as_comment(document: &Document) -> Vec<String> {
    let mut text = String::new();
    write_document(&mut text, document);
    text.lines().map(str::to_owned).collect()
}

/// Whether a text may stand as `metadata.name`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// One line of comment: whatever is in it, it does not end before the line does.
fn comment(text: &mut String, line: &str) {
    let line: String =
        line.chars().map(|c| if super::problem::is_forbidden(c) || c.is_control() { ' ' } else { c }).collect();
    let line = line.trim_end();
    let _ = if line.is_empty() { writeln!(text, "#") } else { writeln!(text, "# {line}") };
}

fn write_document(text: &mut String, document: &Document) {
    let _ = match document {
        Document::Fleet { owner, subscriptions } => {
            let _ = writeln!(text, "apiVersion: {API_VERSION}\nkind: Fleet\nspec:\n  owner: {}", scalar(owner));
            if !subscriptions.is_empty() {
                let _ = writeln!(text, "  scope:\n    subscriptions:");
                for subscription in subscriptions {
                    let _ = writeln!(text, "      - {}", scalar(&subscription.to_string()));
                }
            }
            writeln!(text, "  defaults:\n    enforcement: observe")
        }
        Document::Profile { name, access } => {
            head(text, "AccessProfile", name);
            write_access(text, access);
            Ok(())
        }
        Document::Account { name, id, shared_key_access } => {
            head(text, "StorageAccount", name);
            let word = match shared_key_access {
                DesiredSharedKey::Disabled => "disabled",
                DesiredSharedKey::Enabled => "enabled",
                DesiredSharedKey::Unmanaged => "unmanaged",
            };
            writeln!(text, "  resourceId: {}\n  sharedKeyAccess: {word}", scalar(id.as_str()))
        }
        Document::Workspace { name, id, auth_mode, enforcement, access, profiles } => {
            head(text, "Workspace", name);
            let _ = writeln!(text, "  resourceId: {}\n  authMode: {auth_mode}", scalar(id.as_str()));
            if let Some(enforcement) = enforcement {
                let word = match enforcement {
                    Enforcement::Observe => "observe",
                    Enforcement::Enforce => "enforce",
                };
                let _ = writeln!(text, "  enforcement: {word}");
            }
            if !access.is_empty() {
                write_access(text, access);
            }
            if !profiles.is_empty() {
                let _ = writeln!(text, "  profiles:");
                for profile in profiles {
                    let _ = writeln!(text, "    - {}", scalar(profile));
                }
            }
            Ok(())
        }
    };
}

fn head(text: &mut String, kind: &str, name: &str) {
    let _ = writeln!(text, "apiVersion: {API_VERSION}\nkind: {kind}\nmetadata: {{name: {}}}\nspec:", scalar(name));
}

fn write_access(text: &mut String, access: &[Entry]) {
    let _ = writeln!(text, "  access:");
    for Entry { principal, asks: Asks { level, scenarios } } in access {
        let _ = writeln!(text, "    - principal: {{{}}}", principal_text(principal));
        if let Some(level) = level {
            let _ = writeln!(text, "      level: {level}");
        }
        if !scenarios.is_empty() {
            let words: Vec<&str> = scenarios.iter().copied().collect();
            let _ = writeln!(text, "      scenarios: [{}]", words.join(", "));
        }
    }
}

fn principal_text(principal: &PrincipalRef) -> String {
    match principal {
        PrincipalRef::Object { kind, id, name } => {
            let kind = match kind {
                PrincipalType::User => "user",
                PrincipalType::Group | PrincipalType::ForeignGroup => "group",
                PrincipalType::ServicePrincipal | PrincipalType::Device => "servicePrincipal",
            };
            let name = name.as_ref().map(|name| format!(", name: {}", scalar(name))).unwrap_or_default();
            format!("{kind}: {{objectId: {}{name}}}", scalar(&id.to_string()))
        }
        PrincipalRef::ManagedIdentity(id) => format!("managedIdentity: {}", scalar(id.as_str())),
        PrincipalRef::Compute(name) => format!("compute: {}", scalar(name)),
        PrincipalRef::WorkspaceSystem => "workspace: system".to_owned(),
        PrincipalRef::WorkspaceUserAssigned => "workspace: userAssigned".to_owned(),
    }
}

/// A text as a YAML scalar that reads back as the same text, in block and flow style: plain where nothing in it could
/// mean something else, in double quotes otherwise.
fn scalar(text: &str) -> String {
    let harmless = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.'));
    let path = text.starts_with('/');
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word));
    let guid = text.len() == 36 && uuid::Uuid::try_parse(text).is_ok();
    if harmless && (path || word || guid) {
        return text.to_owned();
    }
    // JSON's strings are YAML's in double quotes.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_is_quoted_where_it_could_be_something_else() {
        for (text, expected) in [
            ("fraud-train", "fraud-train"),
            ("/subscriptions/x", "/subscriptions/x"),
            ("9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f", "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f"),
            ("123", "\"123\""),
            ("123456789012345678901234567890123456", "\"123456789012345678901234567890123456\""),
            ("12345678901234567890123456789012", "\"12345678901234567890123456789012\""),
            ("1e5", "\"1e5\""),
            ("No", "\"No\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("rg (old)", "\"rg (old)\""),
            ("say \"hi\"", "\"say \\\"hi\\\"\""),
            ("-a", "\"-a\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }

    #[test]
    fn a_comment_stays_a_comment() {
        let written = Written { comment: vec!["first\nkind: Fleet\u{85}\u{2028}x".to_owned()], document: None };
        assert_eq!(file(&[written]), "# first kind: Fleet  x\n");
    }

    #[test]
    fn a_fleet_names_its_subscriptions_if_it_has_any() {
        let head = "apiVersion: keyless.dev/v1\nkind: Fleet\nspec:\n  owner: ml\n";
        let defaults = "  defaults:\n    enforcement: observe";
        let id = "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f";
        for (subscriptions, scope) in [
            (BTreeSet::new(), String::new()),
            (BTreeSet::from([id.parse().unwrap()]), format!("  scope:\n    subscriptions:\n      - {id}\n")),
        ] {
            let fleet = Document::Fleet { owner: "ml".to_owned(), subscriptions };
            assert_eq!(as_comment(&fleet).join("\n"), format!("{head}{scope}{defaults}"));
        }
    }
}
