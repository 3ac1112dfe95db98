//! The parameters of a template: their values, and which of them are secrets.
//!
//! Source: <https://learn.microsoft.com/azure/azure-resource-manager/templates/data-types>, "Secure strings and objects", and
//! `definitions`, the section from which languageVersion 2.0 takes types by `$ref`.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::node::{Node, Value};

use super::expression::Parameter;
use super::{entries, field, named_parameters, text};

/// The parameters of a template, in lower case; `given` is what a file of parameters says, which counts before a default.
pub(super) fn of<'n>(template: &'n Node, given: &'n BTreeMap<String, Node>) -> BTreeMap<String, Parameter<'n>> {
    let parameter = |(name, _, declared): (String, &'n Node, &'n Node)| {
        let default = field(declared, "defaultValue").map(|(_, default)| default);
        let value = match given.get(&name).or(default) {
            _ if is_secure(declared, template, &mut BTreeSet::new()) => Parameter::Secure,
            Some(value) => Parameter::Known(value),
            None => Parameter::Without,
        };
        (name, value)
    };
    named_parameters(template).map(parameter).collect()
}

/// Whether a type is a secret or has one in it. `seen` are the definitions on the way, for a type may name itself.
fn is_secure<'n>(declared: &'n Node, template: &'n Node, seen: &mut BTreeSet<&'n str>) -> bool {
    let word = field(declared, "type").and_then(|(_, word)| text(word)).unwrap_or_default();
    if ["securestring", "secureobject"].iter().any(|secure| word.eq_ignore_ascii_case(secure)) {
        return true;
    }
    let named = field(declared, "$ref").and_then(|(_, path)| text(path)).and_then(|path| path.rsplit('/').next());
    let definition =
        named.filter(|name| seen.insert(name)).and_then(|name| field(field(template, "definitions")?.1, name));
    let parts = ["properties", "items", "prefixItems", "additionalProperties"];
    let within = parts.into_iter().filter_map(|part| field(declared, part)).flat_map(|(_, part)| types(part));
    definition.map(|(_, types)| types).into_iter().chain(within).any(|of| is_secure(of, template, seen))
}

/// A type itself, and what it is a mapping or a list of.
fn types(part: &Node) -> Vec<&Node> {
    let items = match &part.value {
        Value::List(items) => items.as_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => &[],
    };
    std::iter::once(part).chain(items).chain(entries(part).map(|(_, of)| of)).collect()
}
