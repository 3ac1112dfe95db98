//! The functions of the expression language that recorded templates use; any other is an error.
//! Source: <https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions>; which are used:
//! azure-ai-ml 1.35.2 `_arm_deployments/arm_templates`.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::expression::Expression;
use super::scope::{Kind, Scope};
use super::{Reference, Wrong, names};

/// Every function that is known, in lower case.
const KNOWN: [&str; 20] = [
    "and",
    "array",
    "concat",
    "empty",
    "equals",
    "guid",
    "if",
    "json",
    "newguid",
    "not",
    "or",
    "parameters",
    "reference",
    "resourcegroup",
    "resourceid",
    "subscription",
    "subscriptionresourceid",
    "tolower",
    "uniquestring",
    "variables",
];

/// Fails on the first function that is not known, before anything is evaluated.
/// Source of the words: <https://github.com/microsoft/vscode-azurearmtools/issues/531>.
pub(super) fn check(expression: &Expression) -> Result<(), Wrong> {
    match expression {
        Expression::Text(_) | Expression::Number(_) => Ok(()),
        Expression::Property { of, name } => check(of).and_then(|()| check(name)),
        Expression::Call { function, arguments } => {
            if !KNOWN.contains(&function.to_ascii_lowercase().as_str()) {
                return Err(Wrong(format!("The template function '{function}' is not valid.")));
            }
            arguments.iter().try_for_each(check)
        }
    }
}

/// The value of one call.
pub(super) fn call(
    scope: &mut Scope,
    function: &str,
    arguments: &[Expression],
    outside: &Reference<'_>,
) -> Result<Value, Wrong> {
    let name = function.to_ascii_lowercase();
    if name == "if" {
        return choose(scope, arguments, outside);
    }
    let values = arguments.iter().map(|argument| scope.expression(argument, outside)).collect::<Result<Vec<_>, _>>()?;
    let misfit = || Wrong(format!("The template function '{function}' is not given what it expects."));
    let texts = || values.iter().map(Value::as_str).collect::<Option<Vec<_>>>().ok_or_else(misfit);
    let flags = || values.iter().map(Value::as_bool).collect::<Option<Vec<_>>>().ok_or_else(misfit);
    match (name.as_str(), values.as_slice()) {
        ("parameters", [Value::String(of)]) => scope.named(Kind::Parameter, of, outside),
        ("variables", [Value::String(of)]) => scope.named(Kind::Variable, of, outside),
        ("subscription", []) => Ok(scope.place.subscription.clone()),
        ("resourcegroup", []) => Ok(scope.place.group.clone()),
        ("equals", [left, right]) => Ok(json!(left == right)),
        ("and", [_, _, ..]) => Ok(json!(flags()?.into_iter().all(|flag| flag))),
        ("or", [_, _, ..]) => Ok(json!(flags()?.into_iter().any(|flag| flag))),
        ("not", [Value::Bool(flag)]) => Ok(json!(!flag)),
        ("concat", [_, ..]) => concat(&values).ok_or_else(misfit),
        ("tolower", [Value::String(text)]) => Ok(json!(text.to_lowercase())),
        ("empty", [value]) => is_empty(value).map(Value::Bool).ok_or_else(misfit),
        ("array", [Value::Array(items)]) => Ok(json!(items)),
        ("array", [value]) => Ok(json!([value])),
        ("json", [Value::String(text)]) => serde_json::from_str(text).map_err(|_| misfit()),
        ("guid", [_, ..]) => Ok(json!(guid(&texts()?.join("-")))),
        ("uniquestring", [_, ..]) => Ok(json!(unique(&texts()?.join("-")))),
        ("newguid", []) if scope.in_default => {
            scope.drawn += 1;
            Ok(json!(guid(&format!("{} {}", scope.place.seed, scope.drawn))))
        }
        ("newguid", []) => Err(Wrong::new("The function 'newGuid' is for default values of parameters alone.")),
        ("resourceid", [_, ..]) => names::resource_id(&scope.place, &texts()?).map(Value::String).ok_or_else(misfit),
        ("subscriptionresourceid", [_, ..]) => {
            names::subscription_resource_id(&scope.place, &texts()?).map(Value::String).ok_or_else(misfit)
        }
        ("reference", [Value::String(of), rest @ ..]) if rest.len() < 3 => {
            let known = scope.resources.get(&of.to_ascii_lowercase());
            let resource = outside(known.unwrap_or(of))?;
            let full = rest.get(1).and_then(Value::as_str).is_some_and(|form| form.eq_ignore_ascii_case("full"));
            Ok(if full { resource } else { resource.get("properties").cloned().unwrap_or_default() })
        }
        (known, _) if KNOWN.contains(&known) => Err(misfit()),
        _ => Err(Wrong(format!("The template function '{function}' is not valid."))),
    }
}

/// Only the branch that is chosen is evaluated, so that the other one may refer to what does not exist.
fn choose(scope: &mut Scope, arguments: &[Expression], outside: &Reference<'_>) -> Result<Value, Wrong> {
    let [condition, then, otherwise] = arguments else {
        return Err(Wrong::new("The template function 'if' takes a condition and two values."));
    };
    match scope.expression(condition, outside)? {
        Value::Bool(true) => scope.expression(then, outside),
        Value::Bool(false) => scope.expression(otherwise, outside),
        _ => Err(Wrong::new("The condition of the template function 'if' is neither true nor false.")),
    }
}

/// Arrays one after the other, or texts and numbers as one text.
fn concat(values: &[Value]) -> Option<Value> {
    if values.iter().all(Value::is_array) {
        return Some(values.iter().filter_map(Value::as_array).flatten().cloned().collect());
    }
    let mut text = String::new();
    for value in values {
        match value {
            Value::String(piece) => text.push_str(piece),
            Value::Number(number) => text.push_str(&number.to_string()),
            Value::Bool(flag) => text.push_str(if *flag { "True" } else { "False" }),
            _ => return None,
        }
    }
    Some(Value::String(text))
}

fn is_empty(value: &Value) -> Option<bool> {
    match value {
        Value::Null => Some(true),
        Value::String(text) => Some(text.is_empty()),
        Value::Array(items) => Some(items.is_empty()),
        Value::Object(fields) => Some(fields.is_empty()),
        _ => None,
    }
}

/// The same GUID for the same text. How Azure computes it is not published; design decision.
fn guid(text: &str) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).to_string()
}

/// 13 letters and digits that follow from the text. How Azure computes them is not published; design decision.
fn unique(text: &str) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(13).filter_map(|byte| LETTERS.get(usize::from(byte % 32))).map(|byte| char::from(*byte)).collect()
}
