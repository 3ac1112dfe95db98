//! How a tree becomes the objects people write, and how the same declarations become a JSON Schema.
//!
//! [`Wire`] is both at once, so that the decoder and the schema cannot drift apart: `object!` declares an object by its
//! fields, `words!` a text that must be one of a few words, and the leaves stand in `scalar`. Decoding never stops: a
//! field that is wrong is reported and left out, and the rest goes on.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::desired::Location;

use super::hint;
use super::node::{Node, Place, Value};
use super::problem::Report;

/// A type that can be read from a tree and described by a schema.
pub(super) trait Wire: Sized {
    /// The name of its definition in a schema; empty if it is written in place.
    const NAME: &'static str = "";

    /// Reads it, reporting whatever is wrong; nothing if it cannot be made sense of at all.
    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;

    /// Describes it.
    fn describe(schemas: &mut SchemaGenerator) -> Schema;
}

/// Lends a [`Wire`] type to schemars.
pub(super) struct Described<T>(PhantomData<T>);

impl<T: Wire> JsonSchema for Described<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::describe(generator)
    }

    fn inline_schema() -> bool {
        T::NAME.is_empty()
    }
}

/// A value and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At<T> {
    pub value: T,
    pub at: Place,
}

/// The values of a list.
pub(super) fn values<T>(list: &At<Vec<At<T>>>) -> impl Iterator<Item = &T> {
    list.value.iter().map(|item| &item.value)
}

/// What decoding carries along: where in the document it is, and where problems go.
pub(super) struct Reader<'r> {
    path: &'r str,
    /// Whether the document breaks off: then nothing is said about what is not there.
    partial: bool,
    trail: Vec<Step>,
    report: &'r mut Report,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Field(&'static str),
    Item(usize),
}

impl<'r> Reader<'r> {
    pub(super) fn new(path: &'r str, partial: bool, report: &'r mut Report) -> Self {
        Self { path, partial, trail: Vec::new(), report }
    }

    pub(super) fn is_partial(&self) -> bool {
        self.partial
    }

    pub(super) fn location(&self, at: Place) -> Location {
        Location { path: self.path.to_owned(), line: at.line, column: at.column }
    }

    pub(super) fn problem(&mut self, at: Place, message: impl Into<String>, hint: Option<String>) {
        let location = self.location(at);
        self.report.problem(location, message, hint);
    }

    pub(super) fn warning(&mut self, at: Place, message: impl Into<String>, hint: Option<String>) {
        let location = self.location(at);
        self.report.warning(location, message, hint);
    }

    /// Reports about the field that is being read, by its full name.
    pub(super) fn wrong(&mut self, at: Place, what: impl std::fmt::Display, hint: Option<String>) {
        let message = match self.trail.as_slice() {
            [] => format!("the document {what}"),
            _ => format!("`{}` {what}", self.name()),
        };
        self.problem(at, message, hint);
    }

    /// Reports a value of the wrong type; what is missing because the document breaks off is passed over.
    pub(super) fn wrong_type(&mut self, node: &Node, expected: &str, hint: Option<String>) {
        if self.partial && node.value == Value::Null {
            return;
        }
        self.wrong(node.at, format_args!("must be {expected}; found {}", node.value.describe()), hint);
    }

    /// Reads something as the value of a field.
    pub(super) fn within<T>(&mut self, field: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.trail.push(Step::Field(field));
        let value = read(self);
        self.trail.pop();
        value
    }

    /// The field that is being read: `spec.access[2].level`.
    pub(super) fn name(&self) -> String {
        let mut name = String::new();
        for step in &self.trail {
            match step {
                Step::Field(field) => {
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.push_str(field);
                }
                Step::Item(index) => name.push_str(&format!("[{index}]")),
            }
        }
        name
    }

    /// One of a few words; `why` explains words that people may expect to be among them.
    pub(super) fn word<'n>(&mut self, node: &'n Node, known: &[&str], why: &[(&str, &str)]) -> Option<&'n str> {
        let near = match &node.value {
            Value::Text(text) if known.contains(&text.as_str()) => return Some(text),
            Value::Text(text) => match why.iter().find(|(wrong, _)| wrong.eq_ignore_ascii_case(text)) {
                Some((_, why)) => Some((*why).to_owned()),
                None => hint::nearest(text, known.iter().copied()).map(|near| format!("did you mean `{near}`?")),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
        };
        let known = known.iter().copied();
        let expected = match known.len() {
            1 => format!("`{}`", hint::list(known)),
            _ => format!("one of {}", hint::list(known)),
        };
        self.wrong_type(node, &expected, near);
        None
    }

    /// A text that is not empty and holds nothing but what a line can show.
    pub(super) fn text<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        match &node.value {
            Value::Text(text) if text.trim().is_empty() => {
                self.wrong(node.at, "must not be empty", None);
                None
            }
            Value::Text(text) => match text.chars().find(|c| c.is_control() || super::problem::is_forbidden(*c)) {
                Some(c) => {
                    self.wrong(node.at, format_args!("holds the control character U+{:04X}", u32::from(c)), None);
                    None
                }
                None => Some(text),
            },
            Value::Number(_) | Value::Bool(_) => {
                self.wrong_type(node, "text", Some("put it in quotes".to_owned()));
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.wrong_type(node, "text", None);
                None
            }
        }
    }
}

/// The fields of one mapping while they are being read.
pub(super) struct Fields<'n> {
    at: Place,
    entries: &'n [(Node, Node)],
    known: Vec<&'static str>,
    present: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    pub(super) fn of(node: &'n Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self { at: node.at, entries, known: Vec::new(), present: Vec::new() }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                reader.wrong_type(node, "a mapping", None);
                None
            }
        }
    }

    /// Reads a field; a repeated one counts by its first place, since the repetition is reported anyhow.
    pub(super) fn take<T: Wire>(
        &mut self,
        name: &'static str,
        required: bool,
        reader: &mut Reader<'_>,
    ) -> Option<At<T>> {
        self.known.push(name);
        let Some((_, node)) = self.entries.iter().find(|(key, _)| key.value == *name) else {
            if required && !reader.partial {
                let place = if reader.trail.is_empty() { String::new() } else { format!(" in `{}`", reader.name()) };
                reader.problem(self.at, format!("missing field `{name}`{place}"), None);
            }
            return None;
        };
        self.present.push(name);
        let value = reader.within(name, |reader| {
            if node.value != Value::Null {
                return T::decode(node, reader);
            }
            if !reader.partial {
                let hint = if required { None } else { Some("give it a value, or leave it out".to_owned()) };
                reader.wrong(node.at, "has no value", hint);
            }
            None
        });
        value.map(|value| At { value, at: node.at })
    }

    /// Where the mapping stands.
    pub(super) fn at(&self) -> Place {
        self.at
    }

    /// The fields taken so far that are there, even if they are wrong.
    pub(super) fn present(&self) -> &[&'static str] {
        &self.present
    }

    /// Reports what was not asked for; `elsewhere` explains fields that people may expect here.
    pub(super) fn finish(&self, elsewhere: &[(&str, &str)], reader: &mut Reader<'_>) {
        let place = if reader.trail.is_empty() { String::new() } else { format!(" in `{}`", reader.name()) };
        for (key, _) in self.entries {
            match &key.value {
                Value::Text(name) if self.known.contains(&name.as_str()) => {}
                Value::Text(name) => {
                    let hint = match elsewhere.iter().find(|(other, _)| other == name) {
                        Some((_, why)) => (*why).to_owned(),
                        None if name == "<<" => "merge keys are not read; an AccessProfile shares access".to_owned(),
                        None => hint::among(name, self.known.iter().copied()),
                    };
                    let message = format!("unknown field `{}`{place}", super::problem::shorten(name));
                    reader.problem(key.at, message, Some(hint));
                }
                other => {
                    reader.problem(
                        key.at,
                        format!("a field name must be text, found {}{place}", other.describe()),
                        None,
                    );
                }
            }
        }
    }
}

impl PartialEq<str> for Value {
    fn eq(&self, other: &str) -> bool {
        matches!(self, Self::Text(text) if text == other)
    }
}

/// A list with at least one item.
impl<T: Wire> Wire for Vec<At<T>> {
    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::List(items) = &node.value else {
            reader.wrong_type(node, "a list", None);
            return None;
        };
        if items.is_empty() {
            reader.wrong(node.at, "is an empty list", Some("leave it out, or name at least one".to_owned()));
        }
        let mut decoded = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            reader.trail.push(Step::Item(index));
            if let Some(value) = T::decode(item, reader) {
                decoded.push(At { value, at: item.at });
            }
            reader.trail.pop();
        }
        Some(decoded)
    }

    fn describe(schemas: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "minItems": 1, "items": schemas.subschema_for::<Described<T>>() })
    }
}

/// The next move where a number, or true or false, stands in quotes.
pub(super) fn in_quotes() -> String {
    "in quotes it is text; write it without them".to_owned()
}

impl Wire for bool {
    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Bool(value) => Some(*value),
            Value::Null | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                let quoted = node.value == *"true" || node.value == *"false";
                reader.wrong_type(node, "`true` or `false`", quoted.then(in_quotes));
                None
            }
        }
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean" })
    }
}

/// Collects an object's schema field by field.
pub(super) struct ObjectSchema {
    about: String,
    properties: serde_json::Map<String, serde_json::Value>,
    required: Vec<serde_json::Value>,
}

impl ObjectSchema {
    pub(super) fn new(about: &[&str]) -> Self {
        Self { about: prose(about), properties: serde_json::Map::new(), required: Vec::new() }
    }

    pub(super) fn field<T: Wire>(
        &mut self,
        name: &'static str,
        required: bool,
        about: &[&str],
        schemas: &mut SchemaGenerator,
    ) {
        let mut schema = schemas.subschema_for::<Described<T>>();
        schema.insert("description".to_owned(), prose(about).into());
        self.properties.insert(name.to_owned(), schema.into());
        if required {
            self.required.push(name.into());
        }
    }

    /// The schema, with what `also` demands beyond the fields.
    pub(super) fn finish(self, also: serde_json::Value) -> Schema {
        let mut schema = json_schema!({
            "type": "object",
            "description": self.about,
            "properties": self.properties,
            "additionalProperties": false,
        });
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), self.required.into());
        }
        if let serde_json::Value::Object(also) = also {
            for (key, value) in also {
                schema.insert(key, value);
            }
        }
        schema
    }
}

pub(super) fn prose(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Declares an object by its fields, as a struct that can be decoded and described.
///
/// `checked` fields are decoded and described, but nobody needs their values. `also` adds to the schema what the fields
/// alone do not say, and `check` is the decoder's side of it, told which fields are there, even if they are wrong; where
/// that takes their values, it stands in the module `check`.
macro_rules! object {
    (
        $(#[doc = $about:literal])+
        $name:ident $(checked { $( $(#[doc = $cdoc:literal])+ $cneed:ident $ckey:literal: $ctype:ty, )+ })? {
            $( $(#[doc = $doc:literal])+ $need:ident $field:ident($key:literal): $type:ty, )+
        }
        $(elsewhere { $($other:literal => $why:literal,)+ })?
        $(also $also:tt $(check $check:path)?)?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        pub(super) struct $name {
            $( $(#[doc = $doc])+ pub $field: Option<$crate::manifest::wire::At<$type>>, )+
        }

        impl $crate::manifest::wire::Wire for $name {
            const NAME: &'static str = stringify!($name);

            fn decode(
                node: &$crate::manifest::node::Node,
                reader: &mut $crate::manifest::wire::Reader<'_>,
            ) -> Option<Self> {
                let mut fields = $crate::manifest::wire::Fields::of(node, reader)?;
                $($( fields.take::<$ctype>($ckey, object!(@required $cneed), reader); )+)?
                $( let $field = fields.take($key, object!(@required $need), reader); )+
                fields.finish(&[$($(($other, $why),)+)?], reader);
                $($( $check(&fields, reader); )?)?
                Some(Self { $($field,)+ })
            }

            fn describe(schemas: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut object = $crate::manifest::wire::ObjectSchema::new(&[$($about),+]);
                $($( object.field::<$ctype>($ckey, object!(@required $cneed), &[$($cdoc),+], schemas); )+)?
                $( object.field::<$type>($key, object!(@required $need), &[$($doc),+], schemas); )+
                object.finish(object!(@also $($also)?))
            }
        }
    };
    (@required required) => { true };
    (@required optional) => { false };
    (@also) => { serde_json::Value::Null };
    (@also $also:tt) => { serde_json::json!($also) };
}

/// Declares which words stand for the values of an enum.
macro_rules! words {
    ($(#[doc = $about:literal])+ $type:ty as $name:literal { $($word:literal => $value:expr,)+ } $(hints { $($wrong:literal => $why:literal,)+ })?) => {
        impl $crate::manifest::wire::Wire for $type {
            const NAME: &'static str = $name;

            fn decode(
                node: &$crate::manifest::node::Node,
                reader: &mut $crate::manifest::wire::Reader<'_>,
            ) -> Option<Self> {
                let word = reader.word(node, &[$($word),+], &[$($(($wrong, $why),)+)?])?;
                $( if word == $word { return Some($value); } )+
                None
            }

            fn describe(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $crate::manifest::wire::prose(&[$($about),+]),
                    "enum": [$($word),+],
                })
            }
        }
    };
}

pub(super) use {object, words};
