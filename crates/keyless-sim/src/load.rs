//! Reads a world from JSON: hand-written resources, pages of real lists, or recorded traffic.
//!
//! Three forms are taken, and may be mixed in one array: a resource in ARM's own shape, a page `{"value": […]}`, and a
//! recorded interaction `{"request": …, "response": …}`, of which the body of each successful GET counts. Nothing here
//! looks into a resource beyond its `id` and `type`, so recordings load as they are, placeholders and all. What a
//! resource means is for the world to find out.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What a text held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// The resources in the order of their first appearance, each id once: of several answers the last one counts.
    /// Every one has an `id` and a `type`, both strings.
    pub resources: Vec<Value>,
    /// How many things were passed over: objects that are no resource, and interactions that bring none.
    pub ignored: usize,
}

/// Why a text could not be read as a world.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is no JSON.
    #[error("line {line}, column {column}: not JSON: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1; 0 where the parser stood at the start of the line.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// It is JSON of another kind.
    #[error("`{pointer}`: expected {expected}, found {found}")]
    Shape {
        /// Where, as a JSON Pointer (RFC 6901) behind a `#`.
        pointer: String,
        /// What would have been understood there.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
}

const IN_ARRAY: &str = "a resource, a page `{\"value\": […]}` or a recorded interaction";
const AT_TOP: &str = "an array of resources or a page `{\"value\": […]}`";

/// Reads a world.
///
/// Accepts a JSON array of resources, pages and interactions, or one of these alone. A resource is an object with an
/// `id` that starts with `/` and a `type` (found from the id where it is missing), or a directory object with a
/// `type` of `Microsoft.Graph/users`, `groups` or `servicePrincipals` and any `id`. Ids are compared without case.
///
/// # Errors
///
/// [`LoadError::Syntax`] where the text is no JSON, [`LoadError::Shape`] where the text or an item of its array is no
/// object. An object that is no resource is no error: it is counted in [`Loaded::ignored`].
pub fn parse(text: &str) -> Result<Loaded, LoadError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document: Value = serde_json::from_str(text).map_err(|error| LoadError::Syntax {
        line: error.line(),
        column: error.column(),
        message: without_position(&error),
    })?;
    let mut collector = Collector::default();
    match document {
        Value::Array(items) => {
            for (index, item) in items.into_iter().enumerate() {
                let Value::Object(item) = item else {
                    return Err(shape(&format!("#/{index}"), IN_ARRAY, &item));
                };
                collector.take_item(item, &format!("#/{index}"))?;
            }
        }
        Value::Object(item) if is_readable(&item) => collector.take_item(item, "#")?,
        other => return Err(shape("#", AT_TOP, &other)),
    }
    Ok(collector.loaded)
}

/// The last segment of `id` that names a provider and its types, such as
/// `Microsoft.Storage/storageAccounts`; `None` where the id has another form.
///
/// ```
/// let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a";
/// assert_eq!(keyless_sim::load::type_of_id(id).as_deref(), Some("Microsoft.Storage/storageAccounts"));
/// ```
#[must_use]
pub fn type_of_id(id: &str) -> Option<String> {
    let segments: Vec<&str> = id.split('/').filter(|segment| !segment.is_empty()).collect();
    let Some(providers) = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers")) else {
        return match segments.as_slice() {
            [subscriptions, _] if subscriptions.eq_ignore_ascii_case("subscriptions") => {
                Some("Microsoft.Resources/subscriptions".to_owned())
            }
            [subscriptions, _, groups, _]
                if subscriptions.eq_ignore_ascii_case("subscriptions")
                    && groups.eq_ignore_ascii_case("resourceGroups") =>
            {
                Some("Microsoft.Resources/resourceGroups".to_owned())
            }
            _ => None,
        };
    };
    let (namespace, names) = segments.get(providers + 1..)?.split_first()?;
    if names.is_empty() || names.len() % 2 != 0 {
        return None;
    }
    let types = names.iter().step_by(2).copied();
    Some(std::iter::once(*namespace).chain(types).collect::<Vec<_>>().join("/"))
}

#[derive(Default)]
struct Collector {
    loaded: Loaded,
    places: BTreeMap<String, usize>,
}

impl Collector {
    fn take_item(&mut self, item: Map<String, Value>, pointer: &str) -> Result<(), LoadError> {
        if is_interaction(&item) {
            self.take_interaction(item);
            return Ok(());
        }
        if !is_page(&item) {
            self.take_object(item);
            return Ok(());
        }
        for (index, entry) in page_of(item).into_iter().enumerate() {
            match entry {
                Value::Object(entry) => self.take_object(entry),
                other => return Err(shape(&format!("{pointer}/value/{index}"), "a resource", &other)),
            }
        }
        Ok(())
    }

    /// Recordings hold whatever was said, so nothing in one is an error.
    fn take_interaction(&mut self, mut interaction: Map<String, Value>) {
        if !is_successful_get(&interaction) {
            self.loaded.ignored += 1;
            return;
        }
        match interaction.get_mut("response").and_then(|response| response.get_mut("body")).map(Value::take) {
            Some(Value::Object(body)) if is_page(&body) => {
                for entry in page_of(body) {
                    match entry {
                        Value::Object(entry) => self.take_object(entry),
                        _ => self.loaded.ignored += 1,
                    }
                }
            }
            Some(Value::Object(body)) => self.take_object(body),
            _ => self.loaded.ignored += 1,
        }
    }

    fn take_object(&mut self, object: Map<String, Value>) {
        let Some((key, resource)) = as_resource(object) else {
            self.loaded.ignored += 1;
            return;
        };
        match self.places.get(&key).and_then(|&place| self.loaded.resources.get_mut(place)) {
            Some(earlier) => *earlier = resource,
            None => {
                self.places.insert(key, self.loaded.resources.len());
                self.loaded.resources.push(resource);
            }
        }
    }
}

/// The resource with its key for comparison, if the object is one.
fn as_resource(mut object: Map<String, Value>) -> Option<(String, Value)> {
    let id = object.get("id")?.as_str()?.to_owned();
    let named = object.get("type").and_then(Value::as_str).filter(|name| !name.is_empty());
    if !id.starts_with('/') {
        let directory = !id.is_empty() && named.is_some_and(is_directory_type);
        return directory.then(|| (id.to_lowercase(), Value::Object(object)));
    }
    if named.is_none() {
        let found = type_of_id(&id)?;
        object.insert("type".to_owned(), Value::String(found));
    }
    Some((id.trim_end_matches('/').to_lowercase(), Value::Object(object)))
}

fn is_directory_type(name: &str) -> bool {
    ["Microsoft.Graph/users", "Microsoft.Graph/groups", "Microsoft.Graph/servicePrincipals"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

fn is_readable(item: &Map<String, Value>) -> bool {
    is_page(item) || is_interaction(item) || item.get("id").is_some_and(Value::is_string)
}

fn is_page(item: &Map<String, Value>) -> bool {
    // A resource may well have a property `value`, but an id of its own sets it apart from a page.
    item.get("value").is_some_and(Value::is_array) && !item.get("id").is_some_and(Value::is_string)
}

fn page_of(mut page: Map<String, Value>) -> Vec<Value> {
    match page.remove("value") {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    }
}

fn is_interaction(item: &Map<String, Value>) -> bool {
    ["request", "response"].iter().all(|side| item.get(*side).is_some_and(Value::is_object))
}

fn is_successful_get(interaction: &Map<String, Value>) -> bool {
    let method = interaction.get("request").and_then(|request| request.get("method")).and_then(Value::as_str);
    // Published examples give statuses as numbers, as text, or as the word `default`, which stands for an error.
    let status = interaction.get("response").and_then(|response| response.get("status"));
    let status = status.and_then(|status| status.as_u64().or_else(|| status.as_str()?.parse().ok()));
    method.is_some_and(|method| method.eq_ignore_ascii_case("GET"))
        && status.is_some_and(|status| (200..300).contains(&status))
}

fn shape(pointer: &str, expected: &'static str, found: &Value) -> LoadError {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object without `id`, `value` or `request` and `response`",
    };
    LoadError::Shape { pointer: pointer.to_owned(), expected, found }
}

/// `serde_json` ends its messages with the position, which the caller prints itself.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned()
}

#[cfg(test)]
mod tests;
