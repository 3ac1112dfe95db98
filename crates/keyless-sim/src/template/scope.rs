//! What an expression can see: where the deployment is, its parameters and its variables.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::expression::{self, Expression, Reading};
use super::{Reference, Wrong, functions};

/// How deep values, expressions, and the parameters and variables they lean on may go, all together.
/// No public source; design decision.
const DEEPEST: usize = 200;
/// What all values of one deployment may come to, in characters and items: variables can double each other.
/// A template may be 4 MB long (the limits page named in the parent module); design decision.
const MOST: usize = 32 << 20;

/// Where a deployment is made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// As `subscription()` shows it.
    pub(crate) subscription: Value,
    /// As `resourceGroup()` shows it.
    pub(crate) group: Value,
    /// What GUIDs of this deployment are drawn from.
    pub(crate) seed: String,
}

impl Place {
    pub(super) fn subscription_id(&self) -> &str {
        self.subscription.get("subscriptionId").and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn group_name(&self) -> &str {
        self.group.get("name").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The two kinds of names a template declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Parameter,
    Variable,
}

/// A declared name on its way to a value.
#[derive(Debug, Clone)]
pub(super) enum Named {
    Known(Value),
    Declared(Value),
    /// Being evaluated: whoever asks for it now asks in a circle.
    Busy,
}

/// Everything an expression can see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    pub(super) place: Place,
    pub(super) names: BTreeMap<(Kind, String), Named>,
    /// Ids of the template's resources by their names, for `reference('name')`.
    pub(super) resources: BTreeMap<String, String>,
    /// How many GUIDs were drawn.
    pub(super) drawn: u64,
    /// Whether a default of a parameter is being evaluated, the one place for `newGuid()`.
    pub(super) in_default: bool,
    depth: usize,
    spent: usize,
}

impl Scope {
    pub(super) fn new(place: Place) -> Self {
        Self { place, ..Self::default() }
    }

    /// The value with every expression in it evaluated, names of fields included.
    pub(crate) fn evaluate(&mut self, value: &Value, outside: &Reference<'_>) -> Result<Value, Wrong> {
        self.descend()?;
        let evaluated = match value {
            Value::String(text) => match expression::read(text)? {
                Reading::Literal(text) => Value::String(text),
                Reading::Expression(expression) => self.expression(&expression, outside)?,
            },
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.evaluate(item, outside)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let mut evaluated = Map::new();
                for (name, value) in fields {
                    let name = match self.evaluate(&Value::String(name.clone()), outside)? {
                        Value::String(name) => name,
                        _ => return Err(Wrong(format!("The name '{name}' of a property is no text."))),
                    };
                    evaluated.insert(name, self.evaluate(value, outside)?);
                }
                Value::Object(evaluated)
            }
            plain => plain.clone(),
        };
        self.depth -= 1;
        Ok(evaluated)
    }

    pub(super) fn expression(&mut self, expression: &Expression, outside: &Reference<'_>) -> Result<Value, Wrong> {
        self.descend()?;
        let value = match expression {
            Expression::Text(text) => Value::String(text.clone()),
            Expression::Number(number) => Value::from(*number),
            Expression::Call { function, arguments } => functions::call(self, function, arguments, outside)?,
            Expression::Property { of, name } => {
                let of = self.expression(of, outside)?;
                let name = self.expression(name, outside)?;
                property(&of, &name)?.clone()
            }
        };
        self.depth -= 1;
        self.spend(&value)?;
        Ok(value)
    }

    /// The value of a parameter or variable, evaluated the first time it is asked for.
    pub(super) fn named(&mut self, kind: Kind, name: &str, outside: &Reference<'_>) -> Result<Value, Wrong> {
        let what = match kind {
            Kind::Parameter => "parameter",
            Kind::Variable => "variable",
        };
        let key = (kind, name.to_ascii_lowercase());
        let Some(named) = self.names.get_mut(&key) else {
            return Err(Wrong(format!("The template {what} '{name}' is not found.")));
        };
        let declared = match named {
            Named::Known(value) => return Ok(value.clone()),
            Named::Busy => return Err(Wrong(format!("The template {what} '{name}' leans on itself."))),
            Named::Declared(declared) => std::mem::take(declared),
        };
        *named = Named::Busy;
        let outer = std::mem::replace(&mut self.in_default, kind == Kind::Parameter);
        let value = self.evaluate(&declared, outside)?;
        self.in_default = outer;
        self.names.insert(key, Named::Known(value.clone()));
        Ok(value)
    }

    fn descend(&mut self) -> Result<(), Wrong> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Wrong(format!("The template goes deeper than {DEEPEST} levels.")));
        }
        Ok(())
    }

    fn spend(&mut self, value: &Value) -> Result<(), Wrong> {
        let size =
            size(value, DEEPEST).ok_or_else(|| Wrong(format!("The template goes deeper than {DEEPEST} levels.")))?;
        self.spent = self.spent.saturating_add(size);
        if self.spent > MOST {
            return Err(Wrong::new("The values of the template are too large."));
        }
        Ok(())
    }
}

/// `of.name` or `of[index]`.
fn property<'a>(of: &'a Value, name: &Value) -> Result<&'a Value, Wrong> {
    let found = match (of, name) {
        (Value::Object(_), Value::String(name)) => super::field(of, name),
        (Value::Array(items), Value::Number(index)) => {
            index.as_u64().and_then(|index| usize::try_from(index).ok()).and_then(|index| items.get(index))
        }
        _ => None,
    };
    found.ok_or_else(|| Wrong(format!("The language expression property {name} doesn't exist.")))
}

/// Characters and items; nothing where it goes deeper than so many levels.
fn size(value: &Value, levels: usize) -> Option<usize> {
    let levels = levels.checked_sub(1)?;
    Some(match value {
        Value::String(text) => text.len() + 1,
        Value::Array(items) => items.iter().try_fold(1, |sum, item| Some(sum + size(item, levels)?))?,
        Value::Object(fields) => {
            fields.iter().try_fold(1, |sum, (name, value)| Some(sum + name.len() + size(value, levels)?))?
        }
        _ => 1,
    })
}
