//! From a deployment's `properties` to the resources it makes, in order.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::expression::{self, Reading};
use super::scope::{Kind, Named, Place, Scope};
use super::{Reference, Wrong, field, functions, names, nothing_yet};
use crate::arm_id;

/// Source of all three: the limits page named in the parent module.
const MOST_PARAMETERS: usize = 256;
const MOST_VARIABLES: usize = 256;
const MOST_RESOURCES: usize = 800;

/// What of a resource is for Resource Manager and not for the provider.
const NOT_SENT: [&str; 10] = [
    "apiVersion",
    "comments",
    "condition",
    "dependsOn",
    "name",
    "resourceGroup",
    "resources",
    "scope",
    "subscriptionId",
    "type",
];

/// A template that holds together, and everything its expressions can see.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) scope: Scope,
    /// Each after those it depends on.
    pub(crate) resources: Vec<Resource>,
    /// As `properties.parameters` of the deployment shows them: secure ones without their values.
    pub(crate) parameters: Value,
    outputs: Value,
}

/// A resource whose condition holds; its body waits for what it may refer to.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) id: String,
    /// As the template writes it.
    pub(crate) kind: String,
    /// As the template writes it; parts of the name joined by slashes.
    pub(crate) name: String,
    pub(crate) api_version: String,
    pub(crate) body: Value,
    after: Vec<String>,
}

impl Plan {
    /// Checks parameters, expressions, names and order; bodies are evaluated later.
    pub(crate) fn new(place: Place, properties: &Value) -> Result<Self, Wrong> {
        let template = field(properties, "template").filter(|template| template.is_object());
        let template = template.ok_or_else(|| Wrong::new("The deployment has no template of its own."))?;
        check_expressions(template)?;
        let mut scope = Scope::new(place);
        let declared = fields(template, "parameters", MOST_PARAMETERS)?;
        declare(&mut scope, &declared, properties)?;
        for (name, value) in fields(template, "variables", MOST_VARIABLES)? {
            if name.eq_ignore_ascii_case("copy") {
                return Err(no_loops());
            }
            scope.names.insert((Kind::Variable, name.to_ascii_lowercase()), Named::Declared(value));
        }
        let parameters = settle_parameters(&mut scope, &declared)?;
        let mut resources = Vec::new();
        collect(&mut scope, items(template)?, None, &mut resources)?;
        if resources.len() > MOST_RESOURCES {
            return Err(Wrong(format!("The template has more than {MOST_RESOURCES} resources.")));
        }
        for Resource { name, id, .. } in &resources {
            scope.resources.insert(name.to_ascii_lowercase(), id.clone());
        }
        let resources = in_order(resources)?;
        let outputs = field(template, "outputs").cloned().unwrap_or_else(|| json!({}));
        Ok(Self { scope, resources, parameters, outputs })
    }

    /// What the template tells at its end.
    pub(crate) fn outputs(&mut self, outside: &Reference<'_>) -> Result<Value, Wrong> {
        let mut told = Map::new();
        for (name, output) in self.outputs.as_object().into_iter().flatten() {
            let kind = field(output, "type").cloned().unwrap_or_default();
            let value = field(output, "value").unwrap_or(&Value::Null);
            told.insert(name.clone(), json!({"type": kind, "value": self.scope.evaluate(value, outside)?}));
        }
        Ok(Value::Object(told))
    }
}

/// Reads every expression of the template once, so that what is not known fails before anything is made.
fn check_expressions(value: &Value) -> Result<(), Wrong> {
    match value {
        Value::String(text) => match expression::read(text)? {
            Reading::Literal(_) => Ok(()),
            Reading::Expression(expression) => functions::check(&expression),
        },
        Value::Array(items) => items.iter().try_for_each(check_expressions),
        Value::Object(fields) => fields.values().try_for_each(check_expressions),
        _ => Ok(()),
    }
}

fn fields(template: &Value, name: &str, most: usize) -> Result<Map<String, Value>, Wrong> {
    let fields = match field(template, name) {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(fields)) => fields.clone(),
        Some(_) => return Err(Wrong(format!("The '{name}' of the template are no object."))),
    };
    if fields.len() > most {
        return Err(Wrong(format!("The template has more than {most} {name}.")));
    }
    Ok(fields)
}

/// Notes what was sent for each parameter, or its default; null counts as not sent.
fn declare(scope: &mut Scope, declared: &Map<String, Value>, properties: &Value) -> Result<(), Wrong> {
    let sent = fields(properties, "parameters", usize::MAX)?;
    let unknown: Vec<&str> = sent
        .keys()
        .filter(|name| !declared.keys().any(|known| known.eq_ignore_ascii_case(name)))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        return Err(Wrong(format!(
            "The following parameters were supplied, but do not correspond to any parameters defined in the \
             template: '{}'.",
            unknown.join(", ")
        )));
    }
    for (name, declaration) in declared {
        let given =
            sent.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).and_then(|(_, own)| field(own, "value"));
        let named = match (given.filter(|value| !value.is_null()), field(declaration, "defaultValue")) {
            (Some(value), _) => Named::Known(value.clone()),
            (None, Some(default)) => Named::Declared(default.clone()),
            (None, None) => {
                return Err(Wrong(format!("The value for the template parameter '{name}' is not provided.")));
            }
        };
        scope.names.insert((Kind::Parameter, name.to_ascii_lowercase()), named);
    }
    Ok(())
}

/// Evaluates every parameter and checks it against its declaration.
fn settle_parameters(scope: &mut Scope, declared: &Map<String, Value>) -> Result<Value, Wrong> {
    let mut shown = Map::new();
    for (name, declaration) in declared {
        let value = scope.named(Kind::Parameter, name, &nothing_yet)?;
        let kind = field(declaration, "type").and_then(Value::as_str).unwrap_or_default();
        let fits = match kind.to_ascii_lowercase().as_str() {
            "string" | "securestring" => value.is_string(),
            "int" => value.is_i64(),
            "bool" => value.is_boolean(),
            "object" | "secureobject" => value.is_object(),
            "array" => value.is_array(),
            _ => return Err(Wrong(format!("The type '{kind}' of the template parameter '{name}' is not known."))),
        };
        if !fits {
            return Err(Wrong(format!("The template parameter '{name}' is not of the expected type '{kind}'.")));
        }
        if let Some(allowed) = field(declaration, "allowedValues").and_then(Value::as_array)
            && !allowed.iter().any(|allowed| is_the_same(allowed, &value))
        {
            return Err(Wrong(format!(
                "The provided value for the template parameter '{name}' is not valid: {value} is not part of the \
                 allowed values."
            )));
        }
        let secure = kind.to_ascii_lowercase().starts_with("secure");
        shown.insert(name.clone(), if secure { json!({"type": kind}) } else { json!({"type": kind, "value": value}) });
    }
    Ok(Value::Object(shown))
}

/// In any case, and as the member of an enum too: azure-ai-ml 1.35.2 sends `PublicNetworkAccessType.ENABLED` where its
/// template allows `Enabled` (`operations/_workspace_operations.py`, a project's access is its hub's). What Azure makes of
/// that was not recorded; that it is taken is a design decision.
fn is_the_same(allowed: &Value, sent: &Value) -> bool {
    match (allowed, sent) {
        (Value::String(allowed), Value::String(sent)) => {
            sent.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case(allowed)) || sent == allowed
        }
        (allowed, sent) => allowed == sent,
    }
}

fn items(holder: &Value) -> Result<&[Value], Wrong> {
    match field(holder, "resources") {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(Wrong::new("The 'resources' of the template are no array.")),
    }
}

/// Adds the resources whose conditions hold, those inside of others too: a condition does not reach into them.
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/templates/conditional-resource-deployment>.
fn collect(
    scope: &mut Scope,
    items: &[Value],
    parent: Option<(&str, &str)>,
    found: &mut Vec<Resource>,
) -> Result<(), Wrong> {
    for item in items {
        if field(item, "copy").is_some() {
            return Err(no_loops());
        }
        let mut text = |name: &str| -> Result<Option<String>, Wrong> {
            let Some(value) = field(item, name) else { return Ok(None) };
            match scope.evaluate(value, &nothing_yet)? {
                Value::String(text) => Ok(Some(text)),
                _ => Err(Wrong(format!("The '{name}' of a template resource is no text."))),
            }
        };
        let missing = |name: &str| Wrong(format!("A template resource has no '{name}'."));
        let mut kind = text("type")?.ok_or_else(|| missing("type"))?;
        let mut name = text("name")?.ok_or_else(|| missing("name"))?;
        let api_version = text("apiVersion")?.ok_or_else(|| missing("apiVersion"))?;
        let (at, group, subscription) = (text("scope")?, text("resourceGroup")?, text("subscriptionId")?);
        if let Some((outer_kind, outer_name)) = parent {
            (kind, name) = (format!("{outer_kind}/{kind}"), format!("{outer_name}/{name}"));
        }
        let wanted = match field(item, "condition").map(|value| scope.evaluate(value, &nothing_yet)).transpose()? {
            None | Some(Value::Bool(true)) => true,
            Some(Value::Bool(false)) => false,
            Some(_) => return Err(Wrong(format!("The condition of '{name}' is neither true nor false."))),
        };
        if wanted {
            let parts: Vec<&str> = name.split('/').collect();
            let below = names::below_providers(&kind, &parts).ok_or_else(|| {
                Wrong(format!("The template resource '{name}' for type '{kind}' has incorrect segment lengths."))
            })?;
            let at = at.unwrap_or_else(|| {
                let subscription = subscription.as_deref().unwrap_or(scope.place.subscription_id());
                format!(
                    "/subscriptions/{subscription}/resourceGroups/{}",
                    group.as_deref().unwrap_or(scope.place.group_name())
                )
            });
            let mut body = item.clone();
            if let Some(fields) = body.as_object_mut() {
                fields.retain(|name, _| !NOT_SENT.iter().any(|known| known.eq_ignore_ascii_case(name)));
            }
            let after = match field(item, "dependsOn").map(|value| scope.evaluate(value, &nothing_yet)).transpose()? {
                Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(arm_id::key).collect(),
                _ => Vec::new(),
            };
            let (kind, name) = (kind.clone(), name.clone());
            found.push(Resource {
                id: format!("{}{below}", at.trim_end_matches('/')),
                kind,
                name,
                api_version,
                body,
                after,
            });
        }
        collect(scope, self::items(item)?, Some((&kind, &name)), found)?;
    }
    Ok(())
}

/// Sorted so that each comes after what it depends on; what is not deployed is waited for by nobody.
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/templates/resource-dependency>.
fn in_order(resources: Vec<Resource>) -> Result<Vec<Resource>, Wrong> {
    let mut places = BTreeMap::new();
    for (place, resource) in resources.iter().enumerate() {
        places.insert(resource.name.to_ascii_lowercase(), place);
        if places.insert(arm_id::key(&resource.id), place).is_some() {
            return Err(Wrong(format!("The resource '{}' is defined multiple times in the template.", resource.id)));
        }
    }
    let mut needed_by: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let (mut waiting, mut ready) = (BTreeMap::new(), BTreeSet::new());
    for (place, resource) in resources.iter().enumerate() {
        let needed: BTreeSet<usize> = resource.after.iter().filter_map(|name| places.get(name)).copied().collect();
        if needed.is_empty() {
            ready.insert(place);
        } else {
            waiting.insert(place, needed.len());
        }
        for needed in needed {
            needed_by.entry(needed).or_default().push(place);
        }
    }
    let mut left: BTreeMap<usize, Resource> = resources.into_iter().enumerate().collect();
    let mut sorted = Vec::new();
    while let Some(next) = ready.pop_first() {
        sorted.extend(left.remove(&next));
        for place in needed_by.remove(&next).unwrap_or_default() {
            let Some(open) = waiting.get_mut(&place) else { continue };
            *open -= 1;
            if *open == 0 {
                ready.insert(place);
            }
        }
    }
    if left.is_empty() {
        return Ok(sorted);
    }
    Err(Wrong::new("Circular dependency detected between resources of the template."))
}

fn no_loops() -> Wrong {
    Wrong::new("Loops (`copy`) are not simulated.")
}
