//! Templates of Resource Manager: what a deployment's template asks for, once its parameters are known.
//! Source: <https://learn.microsoft.com/azure/azure-resource-manager/templates/syntax> for the parts of a template and
//! <https://learn.microsoft.com/azure/azure-resource-manager/templates/best-practices#template-limits> for its limits;
//! azure-ai-ml 1.35.2 `_arm_deployments/arm_templates/workspace_base.json` and `workspace_project.json` for what is used.
//! Loops (`copy`), user functions and linked templates are refused: no recorded client sends them.

mod expression;
mod functions;
mod names;
mod plan;
mod scope;

use serde_json::Value;

pub(crate) use plan::{Plan, Resource};
pub(crate) use scope::Place;

/// Why a template cannot be carried out, in words for its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong(pub(crate) String);

impl Wrong {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// What `reference()` asks of the cloud: the whole resource behind an id.
pub(crate) type Reference<'a> = dyn Fn(&str) -> Result<Value, Wrong> + 'a;

/// Before anything is deployed nothing can be referred to.
fn nothing_yet(_: &str) -> Result<Value, Wrong> {
    Err(Wrong::new("The template function 'reference' is not expected at this location."))
}

/// A field of an object, by a name in any case.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
