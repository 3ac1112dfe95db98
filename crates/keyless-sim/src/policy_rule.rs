//! What policy rules say of a resource as it would be after a write.
//! Source: MicrosoftDocs/azure-docs `articles/governance/policy/concepts/definition-structure.md` (fields, operators,
//! parameters) and `effects.md` beside it. A form that is not listed here matches nothing, which is a design decision.

use serde_json::{Map, Value, json};

use crate::{access, json};

/// The built-in policy about shared keys: its GUID, for those who look for it.
///
/// Source: Azure/azure-policy `built-in-policies/policyDefinitions/Storage/StorageAccountAllowSharedKeyAccess_Audit.json`;
/// that a missing flag matches too is as its version 2 has it.
pub(crate) const SHARED_KEY: &str = "8c6a50c6-9ffd-4ae7-986f-5fa6111f9a54";

/// A built-in definition.
pub(crate) fn built_in(name: &str) -> Option<Value> {
    const FLAG: &str = "Microsoft.Storage/storageAccounts/allowSharedKeyAccess";
    name.eq_ignore_ascii_case(SHARED_KEY).then(|| {
        json!({
            "id": format!("/providers/Microsoft.Authorization/policyDefinitions/{SHARED_KEY}"),
            "name": SHARED_KEY, "type": "Microsoft.Authorization/policyDefinitions",
            "properties": {
                "displayName": "Storage accounts should prevent shared key access",
                "policyType": "BuiltIn", "mode": "Indexed",
                "parameters": {"effect": {
                    "type": "String", "defaultValue": "Audit", "allowedValues": ["Audit", "Deny", "Disabled"],
                }},
                "policyRule": {
                    "if": {"allOf": [
                        {"field": "type", "equals": "Microsoft.Storage/storageAccounts"},
                        {"anyOf": [{"field": FLAG, "exists": "false"}, {"field": FLAG, "equals": "true"}]},
                    ]},
                    "then": {"effect": "[parameters('effect')]"},
                },
            },
        })
    })
}

/// A member under a name in any case.
pub(crate) fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let members = object.as_object()?;
    members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The value with `[parameters('name')]` replaced, by what is given, else by the default; other expressions stand for
/// nothing.
pub(crate) fn resolved(value: &Value, given: &Value, defaults: &Value) -> Option<Value> {
    let Some(text) = value.as_str().filter(|text| text.starts_with('[')) else { return Some(value.clone()) };
    let name = text.strip_prefix("[parameters('")?.strip_suffix("')]")?;
    let given = member(given, name).and_then(|entry| member(entry, "value"));
    given.or_else(|| member(defaults, name).and_then(|entry| member(entry, "defaultValue"))).cloned()
}

/// A resource as rules look at it.
pub(crate) struct Looked<'a> {
    pub(crate) kind: &'a str,
    pub(crate) resource: &'a Value,
}

impl Looked<'_> {
    fn field(&self, field: &str) -> Option<&Value> {
        let lower = field.to_ascii_lowercase();
        if matches!(lower.as_str(), "id" | "name" | "location" | "kind") {
            return member(self.resource, &lower);
        }
        if let Some(tag) = lower.strip_prefix("tags.") {
            return member(self.resource.get("tags")?, tag);
        }
        if let Some(tag) = lower.strip_prefix("tags['").and_then(|rest| rest.strip_suffix("']")) {
            return member(self.resource.get("tags")?, tag);
        }
        property_path(self.kind, field)?.try_fold(self.resource.get("properties")?, member)
    }
}

/// The steps below `properties` that an alias of this type stands for.
fn property_path<'a>(kind: &str, alias: &'a str) -> Option<impl Iterator<Item = &'a str>> {
    let head = alias.get(..kind.len())?;
    let rest = alias.get(kind.len()..)?.strip_prefix('/')?;
    head.eq_ignore_ascii_case(kind).then(|| rest.split(['.', '/']))
}

/// Whether the condition holds for the resource.
pub(crate) fn holds(condition: &Value, looked: &Looked<'_>, resolve: &impl Fn(&Value) -> Option<Value>) -> bool {
    if let Some(parts) = member(condition, "allOf").and_then(Value::as_array) {
        return parts.iter().all(|part| holds(part, looked, resolve));
    }
    if let Some(parts) = member(condition, "anyOf").and_then(Value::as_array) {
        return parts.iter().any(|part| holds(part, looked, resolve));
    }
    if let Some(part) = member(condition, "not") {
        return !holds(part, looked, resolve);
    }
    let Some(field) = member(condition, "field").and_then(Value::as_str) else { return false };
    let kind = json!(looked.kind);
    let found = if field.eq_ignore_ascii_case("type") { Some(&kind) } else { looked.field(field) };
    let found = found.filter(|value| !value.is_null());
    let Some((operator, wanted)) =
        condition.as_object().into_iter().flatten().find(|(name, _)| !name.eq_ignore_ascii_case("field"))
    else {
        return false;
    };
    let Some(wanted) = resolve(wanted) else { return false };
    let operator = operator.to_ascii_lowercase();
    let asked = |name: &str| {
        let is = found.map(word);
        match name {
            "equals" => is.is_some_and(|is| is.eq_ignore_ascii_case(&word(&wanted))),
            "in" => is.is_some_and(|is| {
                wanted.as_array().into_iter().flatten().any(|one| is.eq_ignore_ascii_case(&word(one)))
            }),
            "contains" => is.is_some_and(|is| is.to_ascii_lowercase().contains(&word(&wanted).to_ascii_lowercase())),
            "like" => is.is_some_and(|is| access::matches(&word(&wanted), &is)),
            "exists" => word(&wanted).eq_ignore_ascii_case("true") == found.is_some(),
            _ => false,
        }
    };
    const KNOWN: [&str; 4] = ["equals", "in", "contains", "like"];
    match operator.strip_prefix("not") {
        Some(positive) if KNOWN.contains(&positive) => !asked(positive),
        _ => asked(&operator),
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Sets an alias of the type in a resource.
pub(crate) fn set(kind: &str, resource: &mut Value, alias: &str, value: Value) {
    let Some(steps) = property_path(kind, alias) else { return };
    let steps: Vec<&str> = steps.collect();
    let Some((last, above)) = steps.split_last() else { return };
    let mut place: &mut Map<String, Value> = json::object(resource, "properties");
    for step in above {
        place = json::into_object(place.entry((*step).to_owned()).or_insert_with(|| json!({})));
    }
    place.insert((*last).to_owned(), value);
}

/// What an alias of the type has in a resource.
pub(crate) fn get<'a>(kind: &str, resource: &'a Value, alias: &str) -> Option<&'a Value> {
    property_path(kind, alias)?.try_fold(resource.get("properties")?, member)
}
