//! Small reads and writes on ARM bodies, which are kept as the JSON they came as.

use serde_json::{Map, Value};

/// `value.a.b.c`, or nothing where a step is missing or null.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| value.get(step)).filter(|value| !value.is_null())
}

/// Text at `value.a.b.c`.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path).and_then(Value::as_str)
}

/// The object under `name`, made where it is missing or no object.
pub(crate) fn object<'a>(value: &'a mut Value, name: &str) -> &'a mut Map<String, Value> {
    let outer = into_object(value);
    into_object(outer.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new())))
}

/// The value itself as an object, emptied into one if it is something else.
pub(crate) fn into_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// Lays the fields of `patch` over `target`, one level deep, leaving nulls out.
pub(crate) fn lay_over(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        if !value.is_null() {
            target.insert(name.clone(), value.clone());
        }
    }
}
