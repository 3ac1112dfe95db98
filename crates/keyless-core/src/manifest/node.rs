//! One YAML document as a tree in which every key and every value knows its place.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy, Options};

use super::problem::shorten;
use super::source::Part;

/// How deep a document may nest; the kinds need nine levels.
const MAX_DEPTH: usize = 32;

/// A place in a file, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub line: u32,
    pub column: u32,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub at: Place,
    pub value: Value,
}

/// What YAML can say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// The number as the parser understood it, for messages.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// All entries in order, repeated keys included.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// What it is, for a message.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("`{value}`"),
            Self::Number(number) => format!("the number {number}"),
            Self::Text(text) => format!("`{}`", shorten(text)),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }
}

impl Node {
    /// Calls `found` with each key that stands in its mapping before, and the place where it stands first.
    pub(super) fn repeated_keys(&self, found: &mut impl FnMut(&str, Place, Place)) {
        match &self.value {
            Value::Map(entries) => {
                let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
                for (key, value) in entries {
                    if let Value::Text(name) = &key.value {
                        match seen.get(name.as_str()) {
                            Some(first) => found(name, key.at, *first),
                            None => drop(seen.insert(name, key.at)),
                        }
                    }
                    value.repeated_keys(found);
                }
            }
            Value::List(items) => items.iter().for_each(|item| item.repeated_keys(found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
        }
    }

    /// Writes the content without its form: the order of keys, comments, quotes and places leave no trace.
    pub(super) fn canonical(&self, out: &mut String) {
        match &self.value {
            Value::Null => out.push('~'),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Number(number) => {
                out.push('#');
                out.push_str(number);
            }
            Value::Text(text) => out.push_str(&format!("{text:?}")),
            Value::List(items) => {
                out.push('[');
                for item in items {
                    item.canonical(out);
                    out.push(',');
                }
                out.push(']');
            }
            Value::Map(entries) => {
                let mut sorted: Vec<String> = entries
                    .iter()
                    .map(|(key, value)| {
                        let mut entry = String::new();
                        key.canonical(&mut entry);
                        entry.push(':');
                        value.canonical(&mut entry);
                        entry
                    })
                    .collect();
                sorted.sort();
                out.push('{');
                for entry in sorted {
                    out.push_str(&entry);
                    out.push(',');
                }
                out.push('}');
            }
        }
    }
}

/// Why a text is no YAML that is read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub at: Place,
    pub message: String,
    pub hint: Option<String>,
}

/// What came out of one document.
pub(super) struct Parsed {
    /// The tree; where there is a fault, of the lines before it, if those make one.
    pub node: Option<Node>,
    /// What stopped the parser.
    pub fault: Option<Fault>,
}

/// Parses one document. The lines before a fault are parsed again without what follows, so that they are checked too.
pub(super) fn parse(part: Part<'_>) -> Parsed {
    const TRIES: usize = 3;
    let fault = match parse_all(part.text, part.lines_before) {
        Ok(node) => return Parsed { node: Some(node), fault: None },
        Err(fault) => fault,
    };
    let mut line = fault.at.line;
    for _ in 0..TRIES {
        let keep = usize::try_from(line.saturating_sub(1).saturating_sub(part.lines_before)).unwrap_or_default();
        let length = super::source::lines(part.text).take(keep).map(str::len).sum();
        let Some(before) = part.text.get(..length).filter(|before| !before.trim().is_empty()) else { break };
        match parse_all(before, part.lines_before) {
            Ok(node) => return Parsed { node: Some(node), fault: Some(fault) },
            Err(earlier) => line = earlier.at.line.min(line.saturating_sub(1)),
        }
    }
    Parsed { node: None, fault: Some(fault) }
}

fn parse_all(text: &str, lines_before: u32) -> Result<Node, Fault> {
    let mut node: Node =
        serde_saphyr::from_str_with_options(text, options()).map_err(|error| fault(text, lines_before, &error))?;
    node.shift(lines_before);
    Ok(node)
}

fn options() -> Options {
    serde_saphyr::options! {
        // Anchors and aliases let a file of a kilobyte stand for a terabyte, and nothing here needs them.
        budget: serde_saphyr::budget! { max_anchors: 0, max_aliases: 0, max_depth: MAX_DEPTH },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    }
}

fn fault(text: &str, lines_before: u32, error: &serde_saphyr::Error) -> Fault {
    if let Some(mark) = super::source::lines(text).position(is_merge_conflict) {
        let line = u32::try_from(mark).unwrap_or(u32::MAX).saturating_add(1).saturating_add(lines_before);
        let message = "this line marks an unresolved merge conflict".to_owned();
        return Fault { at: Place { line, column: 1 }, message, hint: None };
    }
    let location = error.location();
    let line = location.map_or(1, |l| u32::try_from(l.line()).unwrap_or(u32::MAX)).max(1);
    let column = location.map_or(1, |l| u32::try_from(l.column()).unwrap_or(u32::MAX)).max(1);
    let (message, hint) = match error.without_snippet() {
        serde_saphyr::Error::Budget { breach: BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. }, .. }
        | serde_saphyr::Error::UnknownAnchor { .. }
        | serde_saphyr::Error::AliasError { .. } => (
            "anchors (`&`) and aliases (`*`) are not read".to_owned(),
            Some(
                "write the value out, in quotes if it starts with `&` or `*`; an AccessProfile shares access"
                    .to_owned(),
            ),
        ),
        serde_saphyr::Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            (format!("the document is nested deeper than {MAX_DEPTH} levels"), None)
        }
        serde_saphyr::Error::Budget { .. } => {
            ("the document is too large".to_owned(), Some("spread it over several documents".to_owned()))
        }
        other => {
            let what = other.to_string();
            // The parser repeats the place, which the problem already carries.
            let what = what.split(" at line ").next().unwrap_or(&what);
            if what.contains("recursion limit") {
                (format!("the document is nested deeper than {MAX_DEPTH} levels"), None)
            } else if let Some(tabbed) = tabbed_line(text, line).filter(|_| what.contains("tab")) {
                let at = Place { line: tabbed.saturating_add(lines_before), column: 1 };
                let hint = Some("YAML is indented with spaces".to_owned());
                return Fault { at, message: "a tab indents this line".to_owned(), hint };
            } else {
                (format!("the document is not YAML: {what}"), None)
            }
        }
    };
    Fault { at: Place { line: line.saturating_add(lines_before), column }, message, hint }
}

/// The line itself or the next one, if a tab indents it: the parser may stop at the text before the tab.
fn tabbed_line(text: &str, line: u32) -> Option<u32> {
    let skip = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    let (offset, _) = super::source::lines(text).skip(skip).take(2).enumerate().find(|(_, source)| {
        let indent = source.len() - source.trim_start().len();
        source.get(..indent).is_some_and(|indent| indent.contains('\t'))
    })?;
    line.checked_add(u32::try_from(offset).ok()?)
}

fn is_merge_conflict(line: &str) -> bool {
    line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ")
}

impl Node {
    /// Turns places in the document into places in the file.
    fn shift(&mut self, lines: u32) {
        self.at.line = self.at.line.saturating_add(lines);
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.shift(lines)),
            Value::Map(entries) => {
                for (key, value) in entries {
                    key.shift(lines);
                    value.shift(lines);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::deserialize(deserializer)?;
        let at = Place {
            line: u32::try_from(referenced.line()).unwrap_or(u32::MAX),
            column: u32::try_from(referenced.column()).unwrap_or(u32::MAX),
        };
        Ok(Self { at, value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}
