//! From one file to its decoded documents, with the checks that need no other document.

use std::fmt;
use std::str::FromStr;

use crate::desired::Location;

use super::check;
use super::hint;
use super::kinds::{AccessProfile, Fleet, StorageAccount, Workspace};
use super::node::{self, Node, Value};
use super::problem::Report;
use super::source::{self, Part, SourceFile};
use super::wire::{Reader, Wire};

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A workspace, hub or project.
    Workspace,
    /// What belongs to a storage account.
    StorageAccount,
    /// A reusable list of principals.
    AccessProfile,
    /// Defaults and limits; at most one document.
    Fleet,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Workspace, Self::StorageAccount, Self::AccessProfile, Self::Fleet];

    /// The word in the files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Workspace => "Workspace",
            Self::StorageAccount => "StorageAccount",
            Self::AccessProfile => "AccessProfile",
            Self::Fleet => "Fleet",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Reads the word without regard to case, for command lines.
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.word().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownKind(super::problem::shorten(text)))
    }
}

/// The text is none of the kinds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kind; known are Workspace, StorageAccount, AccessProfile and Fleet")]
pub struct UnknownKind(String);

/// A decoded document and where it stands.
pub(super) struct Document<T> {
    pub location: Location,
    pub body: T,
}

/// Everything that was decoded, in the order of the files.
#[derive(Default)]
pub(super) struct Documents {
    pub workspaces: Vec<Document<Workspace>>,
    pub accounts: Vec<Document<StorageAccount>>,
    pub profiles: Vec<Document<AccessProfile>>,
    pub fleets: Vec<Document<Fleet>>,
    /// The content of each document without its form.
    pub contents: Vec<String>,
    /// Whether something could not be read that might have been a document others refer to.
    pub incomplete: bool,
}

impl Documents {
    pub(super) fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }
}

/// Reads one file into `documents`.
pub(super) fn read_file(file: &SourceFile, documents: &mut Documents, report: &mut Report) {
    let Some(text) = file.text(report) else {
        documents.incomplete = true;
        return;
    };
    let Some(parts) = source::parts(file.path(), text, report) else {
        documents.incomplete = true;
        return;
    };
    if parts.is_empty() {
        report.warning(source::whole_file(file.path()), "the file holds no document", None);
    }
    for part in parts {
        read_part(file.path(), part, documents, report);
    }
}

fn read_part(path: &str, part: Part<'_>, documents: &mut Documents, report: &mut Report) {
    let node::Parsed { node, fault } = node::parse(part);
    let partial = fault.is_some();
    let mut reader = Reader::new(path, partial, report);
    if let Some(node::Fault { at, message, hint }) = fault {
        reader.problem(at, message, hint);
        documents.incomplete = true;
    }
    let Some(node) = node else { return };
    node.repeated_keys(&mut |key, at, first| {
        let key = super::problem::shorten(key);
        reader.problem(at, format!("duplicate field `{key}`, first at line {}", first.line), None);
    });
    let mut content = String::new();
    node.canonical(&mut content);
    documents.contents.push(content);
    match kind_of(&node, &mut reader) {
        Some(Kind::Workspace) => {
            keep(&node, &mut reader, &mut documents.workspaces, |workspace, reader| {
                check::workspace(&node, workspace, reader);
            });
        }
        Some(Kind::StorageAccount) => keep(&node, &mut reader, &mut documents.accounts, check::account),
        Some(Kind::AccessProfile) => {
            keep(&node, &mut reader, &mut documents.profiles, check::profile);
        }
        Some(Kind::Fleet) => keep(&node, &mut reader, &mut documents.fleets, check::fleet),
        None => documents.incomplete = true,
    }
}

fn keep<T: Wire>(
    node: &Node,
    reader: &mut Reader<'_>,
    documents: &mut Vec<Document<T>>,
    check: impl FnOnce(&T, &mut Reader<'_>),
) {
    if let Some(body) = T::decode(node, reader) {
        check(&body, reader);
        documents.push(Document { location: reader.location(node.at), body });
    }
}

/// Reads `kind` before anything else, since it decides what the rest means.
fn kind_of(node: &Node, reader: &mut Reader<'_>) -> Option<Kind> {
    let Value::Map(entries) = &node.value else {
        let hint = "a document has the fields `apiVersion`, `kind`, `metadata` and `spec`".to_owned();
        reader.wrong_type(node, "a mapping", Some(hint));
        return None;
    };
    let words = Kind::ALL.map(Kind::word);
    let Some((_, kind)) = entries.iter().find(|(key, _)| key.value == *"kind") else {
        if !reader.is_partial() {
            reader.problem(node.at, "missing field `kind`", Some(format!("one of {}", hint::list(words))));
        }
        return None;
    };
    reader.within("kind", |reader| {
        let word = reader.word(kind, &words, &[])?;
        Kind::ALL.into_iter().find(|known| known.word() == word)
    })
}
