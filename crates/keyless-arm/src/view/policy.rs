//! Policy assignments, definitions, initiatives and exemptions, and the caller's own permissions.
//!
//! A form of rule that is not known reads as unclear, so that it warns and never decides.
//! Source: MicrosoftDocs/azure-docs `articles/governance/policy/concepts/` `definition-structure.md`,
//! `assignment-structure.md`, `exemption-structure.md`; azure-rest-api-specs `specification/resources/.../policy`.

use std::collections::BTreeSet;

use keyless_core::id::ArmId;
use keyless_core::observed::OwnRight;
use keyless_core::policy::{
    PolicyAssignment, PolicyCondition, PolicyDefinition, PolicyExemption, PolicyMember, PolicyParameters, PolicySet,
    PolicyTest, PolicyValue,
};

use serde_json::Value;

use super::access;
use super::node::{Node, Result};

/// One assignment.
pub(crate) fn assignment(node: &Node<'_>) -> Result<PolicyAssignment> {
    let properties = node.object("properties")?;
    let mode = properties.opt_text("enforcementMode")?.unwrap_or("Default");
    Ok(PolicyAssignment {
        id: id(node, "id")?,
        definition: id(&properties, "policyDefinitionId")?,
        enforced: !mode.eq_ignore_ascii_case("DoNotEnforce"),
        not_scopes: scopes(&properties, "notScopes")?,
        parameters: given(&properties)?,
        altered: !properties.items("resourceSelectors")?.is_empty() || !properties.items("overrides")?.is_empty(),
        overrides: properties
            .items("overrides")?
            .iter()
            .map(|over| over.opt("value").map_or(PolicyValue::Unclear, |effect| value(&effect)))
            .collect(),
    })
}

/// One exemption.
pub(crate) fn exemption(node: &Node<'_>) -> Result<PolicyExemption> {
    const SUFFIX: &str = "/providers/microsoft.authorization/policyexemptions/";
    let properties = node.object("properties")?;
    let id = id(node, "id")?;
    let Some(at) = id.folded().rfind(SUFFIX) else { return node.fail("`id` is not the id of an exemption") };
    let scope = id.as_str().get(..at).filter(|scope| !scope.is_empty()).unwrap_or("/");
    let scope = ArmId::parse(scope).or_else(|error| node.fail(error.to_string()))?;
    let references: BTreeSet<String> = properties.texts("policyDefinitionReferenceIds")?.into_iter().collect();
    Ok(PolicyExemption {
        scope,
        assignment: self::id(&properties, "policyAssignmentId")?,
        references,
        expires: properties.opt_time("expiresOn")?,
        altered: !properties.items("resourceSelectors")?.is_empty(),
        id,
    })
}

/// One definition.
pub(crate) fn definition(node: &Node<'_>) -> Result<PolicyDefinition> {
    let properties = node.object("properties")?;
    let rule = properties.object("policyRule")?;
    let then = rule.object("then")?;
    let details = then.opt("details").filter(Node::is_object);
    let mut sets = Vec::new();
    if let Some(details) = &details {
        for operation in details.items("operations")? {
            sets.extend(operation.opt_text("field")?.map(|field| (field.to_owned(), set_by(&operation))));
        }
    }
    // `append` has a list where `modify` has an object.
    for pair in then.opt("details").and_then(|details| details.list()).unwrap_or_default() {
        if let (Some(field), Some(to)) = (pair.opt_text("field")?, pair.opt("value")) {
            sets.push((field.to_owned(), value(&to)));
        }
    }
    let deletes = details.map(|details| details.texts("actionNames")).transpose()?.unwrap_or_default();
    Ok(PolicyDefinition {
        name: properties.opt_text("displayName")?.or(node.opt_text("name")?).unwrap_or("unnamed").to_owned(),
        defaults: defaults(&properties)?,
        condition: rule.opt("if").map_or(PolicyCondition::Unclear(Vec::new()), |condition| self::condition(&condition)),
        effect: then.opt("effect").map_or(PolicyValue::Unclear, |effect| value(&effect)),
        sets,
        bars_delete: deletes.iter().any(|name| name.eq_ignore_ascii_case("delete")),
    })
}

/// One initiative.
pub(crate) fn set(node: &Node<'_>) -> Result<PolicySet> {
    let properties = node.object("properties")?;
    properties.required("policyDefinitions")?;
    let member = |node: &Node<'_>| {
        Ok(PolicyMember {
            reference: node.opt_text("policyDefinitionReferenceId")?.unwrap_or_default().to_owned(),
            definition: id(node, "policyDefinitionId")?,
            parameters: given(node)?,
        })
    };
    Ok(PolicySet {
        defaults: defaults(&properties)?,
        members: properties.items("policyDefinitions")?.iter().map(member).collect::<Result<_>>()?,
    })
}

/// One block of the caller's own permissions.
pub(crate) fn own_right(node: &Node<'_>) -> Result<OwnRight> {
    Ok(OwnRight { permission: access::permission(node)?, conditional: node.opt_text("condition")?.is_some() })
}

/// Names of policies may have any characters; what ids do not have elsewhere reads as `_`, so that one odd name does not
/// spoil a list. A definition of such a name is then not found, which is a warning.
fn id(node: &Node<'_>, name: &str) -> Result<ArmId> {
    node.arm_id(name).or_else(|error| {
        let plain = |c: char| if c.is_alphanumeric() || "/-._()".contains(c) { c } else { '_' };
        ArmId::parse(&node.text(name)?.chars().map(plain).collect::<String>()).or(Err(error))
    })
}

fn scopes(node: &Node<'_>, name: &str) -> Result<Vec<ArmId>> {
    let parse = |text: String| ArmId::parse(&text).or_else(|error| node.fail(error.to_string()));
    node.texts(name)?.into_iter().map(parse).collect()
}

/// `parameters: {name: {value}}`.
fn given(node: &Node<'_>) -> Result<PolicyParameters> {
    parameters(node, "value")
}

/// `parameters: {name: {defaultValue}}`.
fn defaults(node: &Node<'_>) -> Result<PolicyParameters> {
    parameters(node, "defaultValue")
}

fn parameters(node: &Node<'_>, member: &str) -> Result<PolicyParameters> {
    let Some(list) = node.opt_object("parameters")? else { return Ok(PolicyParameters::new()) };
    let named = |(name, node): (&str, Node<'_>)| Some((name.to_owned(), value(&node.opt(member)?)));
    Ok(list.members().into_iter().filter_map(named).collect())
}

/// What an operation of `modify` leaves in its field.
fn set_by(operation: &Node<'_>) -> PolicyValue {
    let kind = operation.opt_text("operation").ok().flatten().unwrap_or_default().to_ascii_lowercase();
    match (kind.as_str(), operation.has("condition"), operation.opt("value")) {
        ("addorreplace", false, Some(to)) => value(&to),
        _ => PolicyValue::Unclear,
    }
}

/// A value: a word, a list of words, or a parameter's name in an expression of nothing else.
fn value(node: &Node<'_>) -> PolicyValue {
    if let Some(list) = node.list() {
        let words: Option<Vec<String>> = list.iter().map(Node::scalar).collect();
        return words.map_or(PolicyValue::Unclear, PolicyValue::Words);
    }
    let Some(text) = node.scalar() else { return PolicyValue::Unclear };
    // `[[` is how a text begins that starts with a bracket.
    if !text.starts_with('[') {
        return PolicyValue::Word(text);
    }
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default().trim();
    let called = |text: &str| {
        let rest = text.get(..10).filter(|name| name.eq_ignore_ascii_case("parameters")).and(text.get(10..))?;
        let name = rest.trim().strip_prefix('(')?.strip_suffix(')')?.trim();
        let name = name.strip_prefix('\'')?.strip_suffix('\'')?;
        (!name.contains('\'')).then(|| name.to_owned())
    };
    called(inner).map_or(PolicyValue::Unclear, PolicyValue::Parameter)
}

fn condition(node: &Node<'_>) -> PolicyCondition {
    understood(node).unwrap_or_else(|| {
        let mut texts = Vec::new();
        texts_in(node.raw(), &mut texts);
        PolicyCondition::Unclear(texts)
    })
}

/// All texts in a part of a rule, however deep.
fn texts_in(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts_in(item, texts)),
        Value::Object(members) => members.values().for_each(|member| texts_in(member, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A condition of a form that is judged.
fn understood(node: &Node<'_>) -> Option<PolicyCondition> {
    let members = node.members();
    let parts = |node: &Node<'_>| node.list().map(|list| list.iter().map(condition).collect::<Vec<_>>());
    let mut field = None;
    let mut test = None;
    for (name, inner) in &members {
        match name.to_ascii_lowercase().as_str() {
            "allof" => return parts(inner).map(PolicyCondition::All),
            "anyof" => return parts(inner).map(PolicyCondition::Any),
            "not" => return Some(PolicyCondition::Not(Box::new(condition(inner)))),
            "field" => field = inner.scalar().filter(|text| !text.starts_with('[')),
            operator => {
                let (positive, negated) = match operator.strip_prefix("not") {
                    Some(positive) => (positive, true),
                    None => (operator, false),
                };
                let kind = match positive {
                    "equals" => PolicyTest::Equals,
                    "in" => PolicyTest::In,
                    "contains" => PolicyTest::Contains,
                    "like" => PolicyTest::Like,
                    "exists" if !negated => PolicyTest::Exists,
                    _ => return None,
                };
                test = Some((kind, negated, value(inner)));
            }
        }
    }
    match (field, test) {
        (Some(field), Some((test, negated, value))) if members.len() == 2 && value != PolicyValue::Unclear => {
            let asked = PolicyCondition::Field { field, test, value };
            Some(if negated { PolicyCondition::Not(Box::new(asked)) } else { asked })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(condition: Value) -> PolicyCondition {
        let body = json!({"name": "d", "properties": {"policyRule": {"if": condition, "then": {"effect": "deny"}}}});
        definition(&Node::root(&body)).unwrap().condition
    }

    /// Source: Azure/azure-policy `built-in-policies/policyDefinitions/Storage/StorageAccountAllowSharedKeyAccess_Audit.json`.
    #[test]
    fn the_built_in_rule_about_shared_keys_is_understood() {
        let body = json!({
            "id": "/providers/Microsoft.Authorization/policyDefinitions/8c6a50c6-9ffd-4ae7-986f-5fa6111f9a54",
            "properties": {
                "displayName": "Storage accounts should prevent shared key access",
                "parameters": {"effect": {"type": "String", "defaultValue": "Audit"}},
                "policyRule": {
                    "if": {"allOf": [
                        {"field": "type", "equals": "Microsoft.Storage/storageAccounts"},
                        {"anyOf": [
                            {"field": "Microsoft.Storage/storageAccounts/allowSharedKeyAccess", "exists": false},
                            {"field": "Microsoft.Storage/storageAccounts/allowSharedKeyAccess", "equals": true}
                        ]}
                    ]},
                    "then": {"effect": "[parameters('effect')]"}
                }
            }
        });
        let found = definition(&Node::root(&body)).unwrap();
        assert_eq!(found.effect, PolicyValue::Parameter("effect".to_owned()));
        assert_eq!(found.defaults["effect"], PolicyValue::Word("Audit".to_owned()));
        assert!(!format!("{:?}", found.condition).contains("Unclear"), "{:?}", found.condition);
    }

    #[test]
    fn forms_that_are_not_known_are_unclear_and_never_dropped() {
        for unclear in [
            json!({"value": "[field('name')]", "equals": "x"}),
            json!({"count": {"field": "a[*]"}, "greater": 0}),
            json!({"field": "[concat('tags[', parameters('tag'), ']')]", "exists": false}),
            json!({"field": "name", "match": "st###"}),
            json!({"field": "name", "equals": "a", "notEquals": "b"}),
            json!({"field": "name", "equals": "[concat('a', 'b')]"}),
            json!({"field": "name"}),
            json!({"allOf": "everything"}),
            json!([]),
        ] {
            assert!(matches!(rule(unclear.clone()), PolicyCondition::Unclear(_)), "{unclear}");
        }
        let deep =
            json!({"count": {"value": ["a", 1], "where": {"field": "b", "equals": "[current()]"}}, "greater": 0});
        let PolicyCondition::Unclear(mut texts) = rule(deep) else { panic!("a form that is not judged") };
        texts.sort();
        assert_eq!(texts, ["[current()]", "a", "b"]);
        assert!(matches!(rule(json!({"field": "name", "notIn": ["a", 1]})), PolicyCondition::Not(_)));
    }

    #[test]
    fn what_modify_and_append_set_is_read_in_both_forms() {
        let sets = |details: Value| {
            let body =
                json!({"properties": {"policyRule": {"if": {}, "then": {"effect": "modify", "details": details}}}});
            definition(&Node::root(&body)).unwrap().sets
        };
        let of = |value| vec![("f".to_owned(), value)];
        assert_eq!(
            sets(json!({"operations": [{"operation": "addOrReplace", "field": "f", "value": false}]})),
            of(PolicyValue::Word("false".to_owned()))
        );
        for more in [
            json!({"operation": "remove", "field": "f"}),
            json!({"operation": "addOrReplace", "field": "f", "value": 1, "condition": "[x]"}),
        ] {
            assert_eq!(sets(json!({"operations": [more]})), of(PolicyValue::Unclear));
        }
        assert_eq!(
            sets(json!([{"field": "f", "value": "[parameters('p')]"}])),
            of(PolicyValue::Parameter("p".to_owned()))
        );
    }

    #[test]
    fn an_exemption_shows_its_scope_in_its_id() {
        let body = json!({
            "id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Authorization/policyExemptions/six months",
            "properties": {"policyAssignmentId": "/subscriptions/s/providers/Microsoft.Authorization/policyAssignments/a b",
                "expiresOn": "2027-01-01T00:00:00Z", "exemptionCategory": "Waiver"}
        });
        let found = exemption(&Node::root(&body)).unwrap();
        assert_eq!(found.scope.as_str(), "/subscriptions/s/resourceGroups/rg");
        assert_eq!(found.expires.unwrap().to_string(), "2027-01-01T00:00:00Z");
        let body = json!({"id": "/subscriptions/s/providers/Microsoft.Authorization/policyAssignments/A B",
            "properties": {"policyDefinitionId": "/providers/Microsoft.Authorization/policyDefinitions/d"}});
        let assigned = assignment(&Node::root(&body)).unwrap();
        assert!(assigned.enforced, "that is the default");
        assert!(assigned.overrides.is_empty() && !assigned.altered);
        let mut over = body.clone();
        over["properties"]["overrides"] = json!([{"kind": "policyEffect", "value": "Deny"}, {"kind": "policyEffect"}]);
        let over = assignment(&Node::root(&over)).unwrap();
        assert!(over.altered);
        assert_eq!(over.overrides, [PolicyValue::Word("Deny".to_owned()), PolicyValue::Unclear]);
        assert!(assigned.id.as_str().ends_with("A_B"));
        assert!(found.assignment.folded() == assigned.id.folded());
    }
}
