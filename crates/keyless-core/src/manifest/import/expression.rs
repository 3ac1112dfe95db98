//! The expressions of templates, as far as their value follows from the template and the flags alone.
//!
//! Source: <https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions>, and the function
//! references below it. What only Azure knows at the time of deployment (`reference`, `listKeys`) has no value here.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::manifest::node::{Node, Value};

/// How deep expressions may lead into each other.
const MAX_DEPTH: usize = 32;

/// How many values one template may ask for: variables that name each other twice would double at each step.
const MAX_STEPS: usize = 20_000;

/// What expressions may refer to.
#[derive(Clone)]
pub(super) struct Scope<'n> {
    /// The parameters, in lower case.
    pub(super) parameters: BTreeMap<String, Parameter<'n>>,
    /// The variables, in lower case.
    pub(super) variables: BTreeMap<String, &'n Node>,
    /// The subscription of the deployment, if it is known.
    pub(super) subscription: Option<String>,
    /// The resource group of the deployment, if it is known.
    pub(super) group: Option<String>,
    /// What stands for a GUID that is made up, where it does not matter which one.
    pub(super) any_guid: Option<&'static str>,
    /// How many values were asked for so far.
    pub(super) steps: Cell<usize>,
}

/// What is known of a parameter.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parameter<'n> {
    /// Its value, given or by default.
    Known(&'n Node),
    /// It has none.
    Without,
    /// It is declared as a secret, which belongs in no message and in no file that is written here.
    Secure,
}

/// How it is said that a parameter is a secret.
pub(super) const SECURE: &str = "is secure, so its value is not read";

/// A value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Evaluated {
    /// A text, or a number as it is written.
    Text(String),
    /// A boolean.
    Bool(bool),
    /// Null.
    Null,
    /// An object with these fields, such as what `resourceGroup()` gives.
    Object(BTreeMap<&'static str, Result<String, String>>),
    /// A mapping or list of the template itself.
    Tree(Node),
}

impl Scope<'_> {
    /// The value of a node: of its text, if that is an expression; a text that only looks like one says so with `[[`.
    pub(super) fn evaluate(&self, node: &Node) -> Result<Evaluated, String> {
        self.node(node, 0)
    }

    fn node(&self, node: &Node, depth: usize) -> Result<Evaluated, String> {
        if depth > MAX_DEPTH {
            return Err("it leads to itself".to_owned());
        }
        self.steps.set(self.steps.get().saturating_add(1));
        if self.steps.get() > MAX_STEPS {
            return Err("the template takes too many steps to evaluate".to_owned());
        }
        Ok(match &node.value {
            Value::Null => Evaluated::Null,
            Value::Bool(value) => Evaluated::Bool(*value),
            Value::Number(number) => Evaluated::Text(number.clone()),
            Value::List(_) | Value::Map(_) => Evaluated::Tree(node.clone()),
            Value::Text(text) => match inner(text) {
                None => Evaluated::Text(
                    text.strip_prefix('[').filter(|rest| rest.starts_with('[')).unwrap_or(text).to_owned(),
                ),
                Some(inner) => {
                    let mut parser = Parser { rest: inner, nested: 0 };
                    let expression = parser.expression()?;
                    if !parser.rest.trim().is_empty() {
                        return Err(format!("there is no telling what `{}` is", parser.rest.trim()));
                    }
                    self.expression(&expression, depth)?
                }
            },
        })
    }

    fn expression(&self, expression: &Expression, depth: usize) -> Result<Evaluated, String> {
        match expression {
            Expression::Text(text) => Ok(Evaluated::Text(text.clone())),
            Expression::Bool(value) => Ok(Evaluated::Bool(*value)),
            Expression::Call(name, arguments) => self.call(name, arguments, depth),
            Expression::Field(of, field) => match self.expression(of, depth)? {
                Evaluated::Object(fields) => {
                    let found = fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(field));
                    let (_, value) = found.ok_or_else(|| format!("`.{field}` is not known here"))?;
                    value.map(Evaluated::Text)
                }
                Evaluated::Tree(Node { value: Value::Map(entries), .. }) => {
                    let named = |(key, _): &&(Node, Node)| matches!(&key.value, Value::Text(key) if key.eq_ignore_ascii_case(field));
                    let (_, found) = entries.iter().find(named).ok_or_else(|| format!("there is no `.{field}`"))?;
                    self.node(found, depth + 1)
                }
                _ => Err(format!("`.{field}` of something that has no fields")),
            },
        }
    }

    fn call(&self, name: &str, arguments: &[Expression], depth: usize) -> Result<Evaluated, String> {
        let values = || -> Result<Vec<Evaluated>, String> {
            arguments.iter().map(|argument| self.expression(argument, depth)).collect()
        };
        let texts = || -> Result<Vec<String>, String> { values()?.into_iter().map(Evaluated::into_text).collect() };
        let one = || match texts()?.as_slice() {
            [one] => Ok(one.clone()),
            several => Err(format!("`{name}` takes one argument, not {}", several.len())),
        };
        match name.to_ascii_lowercase().as_str() {
            "parameters" => {
                let wanted = one()?;
                match self.parameters.get(&wanted.to_ascii_lowercase()) {
                    Some(Parameter::Known(value)) => self.node(value, depth + 1),
                    Some(Parameter::Secure) => Err(format!("the parameter `{wanted}` {SECURE}")),
                    Some(Parameter::Without) => Err(format!("the parameter `{wanted}` has no default value")),
                    None => Err(format!("there is no parameter `{wanted}`")),
                }
            }
            "variables" => {
                let wanted = one()?;
                match self.variables.get(&wanted.to_ascii_lowercase()) {
                    Some(variable) => self.node(variable, depth + 1),
                    None => Err(format!("there is no variable `{wanted}`")),
                }
            }
            "concat" => Ok(Evaluated::Text(texts()?.concat())),
            "format" => format_text(&texts()?).map(Evaluated::Text),
            "tolower" => Ok(Evaluated::Text(one()?.to_lowercase())),
            "toupper" => Ok(Evaluated::Text(one()?.to_uppercase())),
            "string" => one().map(Evaluated::Text),
            "true" => Ok(Evaluated::Bool(true)),
            "false" => Ok(Evaluated::Bool(false)),
            "not" => match values()?.as_slice() {
                [Evaluated::Bool(value)] => Ok(Evaluated::Bool(!value)),
                _ => Err("`not` takes one boolean".to_owned()),
            },
            "subscription" => Ok(Evaluated::Object(BTreeMap::from([
                ("subscriptionId", self.subscription()),
                ("id", self.subscription().map(|id| format!("/subscriptions/{id}"))),
            ]))),
            "resourcegroup" => {
                let id = || Ok(format!("/subscriptions/{}/resourceGroups/{}", self.subscription()?, self.group()?));
                Ok(Evaluated::Object(BTreeMap::from([("name", self.group()), ("id", id())])))
            }
            "resourceid" => self.resource_id(texts()?).map(Evaluated::Text),
            "subscriptionresourceid" => {
                let (subscription, rest) = scoped(texts()?);
                let subscription = subscription.map_or_else(|| self.subscription(), Ok)?;
                Ok(Evaluated::Text(format!("/subscriptions/{subscription}{}", provider(&rest)?)))
            }
            "tenantresourceid" => Ok(Evaluated::Text(provider(&texts()?)?)),
            "extensionresourceid" => {
                let texts = texts()?;
                let (scope, rest) = texts.split_first().ok_or("`extensionResourceId` takes a scope first")?;
                Ok(Evaluated::Text(format!("{scope}{}", provider(rest)?)))
            }
            "guid" | "newguid" if self.any_guid.is_some() => {
                Ok(Evaluated::Text(self.any_guid.unwrap_or_default().to_owned()))
            }
            "reference" | "listkeys" | "listaccountsas" | "uniquestring" | "newguid" | "guid" | "utcnow"
            | "deployment" => Err(format!("only Azure can tell what `{name}` gives")),
            _ => Err(format!("`{name}` is not a function that is read here")),
        }
    }

    fn subscription(&self) -> Result<String, String> {
        self.subscription.clone().ok_or_else(|| "the subscription is not known; `--subscription` tells it".to_owned())
    }

    fn group(&self) -> Result<String, String> {
        self.group.clone().ok_or_else(|| "the resource group is not known; `--resource-group` tells it".to_owned())
    }

    /// `resourceId([subscription], [group], type, name…)`: what stands before the type is told by its slash.
    fn resource_id(&self, texts: Vec<String>) -> Result<String, String> {
        let kind = texts.iter().position(|text| text.contains('/')).ok_or("`resourceId` names no type")?;
        let (before, rest) = texts.split_at_checked(kind).unwrap_or_default();
        let (subscription, group) = match before {
            [] => (self.subscription()?, self.group()?),
            [group] => (self.subscription()?, group.clone()),
            [subscription, group] => (subscription.clone(), group.clone()),
            _ => return Err("`resourceId` has too many arguments before the type".to_owned()),
        };
        Ok(format!("/subscriptions/{subscription}/resourceGroups/{group}{}", provider(rest)?))
    }
}

impl Evaluated {
    /// The value as text.
    pub(super) fn into_text(self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Bool(value) => Ok(value.to_string()),
            Self::Null => Err("it is null".to_owned()),
            Self::Object(_) | Self::Tree(_) => Err("it is no text".to_owned()),
        }
    }
}

/// What stands between the brackets of an expression.
fn inner(text: &str) -> Option<&str> {
    text.strip_prefix('[').filter(|rest| !rest.starts_with('['))?.strip_suffix(']')
}

/// A subscription before the type, if there is one.
fn scoped(mut texts: Vec<String>) -> (Option<String>, Vec<String>) {
    let given = texts.len() > 1 && texts.first().is_some_and(|first| !first.contains('/'));
    let subscription = given.then(|| texts.remove(0));
    (subscription, texts)
}

/// `/providers/Namespace/type/name/type/name` of a type and its names.
fn provider(texts: &[String]) -> Result<String, String> {
    let (kind, names) = texts.split_first().ok_or("a resource type is missing")?;
    let mut parts = kind.split('/');
    let mut id = format!("/providers/{}", parts.next().unwrap_or_default());
    // A name may be given in one piece for several types.
    let names: Vec<&str> = names.iter().flat_map(|name| name.split('/')).collect();
    let kinds: Vec<&str> = parts.collect();
    if kinds.len() != names.len() || kinds.is_empty() {
        return Err(format!("`{kind}` takes {} names, not {}", kinds.len(), names.len()));
    }
    for (kind, name) in kinds.iter().zip(names) {
        id.push_str(&format!("/{kind}/{name}"));
    }
    Ok(id)
}

/// `format('{0}-{1}', …)`, without formats of numbers.
fn format_text(texts: &[String]) -> Result<String, String> {
    let (pattern, values) = texts.split_first().ok_or("`format` takes a text first")?;
    let mut text = String::new();
    let mut rest = pattern.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            text.push('{');
            rest = after;
            continue;
        }
        let (number, after) = after.split_once('}').ok_or("a `{` of `format` is not closed")?;
        let value = number.trim().parse::<usize>().ok().and_then(|number| values.get(number));
        text.push_str(value.ok_or_else(|| format!("`format` has no value for `{{{number}}}`"))?);
        rest = after;
    }
    text.push_str(rest);
    Ok(text.replace("}}", "}"))
}

/// One expression, taken apart.
#[derive(Debug, PartialEq)]
enum Expression {
    Text(String),
    Bool(bool),
    Call(String, Vec<Expression>),
    Field(Box<Expression>, String),
}

struct Parser<'t> {
    rest: &'t str,
    nested: usize,
}

impl<'t> Parser<'t> {
    fn expression(&mut self) -> Result<Expression, String> {
        self.nested += 1;
        if self.nested > MAX_DEPTH {
            return Err("it nests too deep".to_owned());
        }
        self.rest = self.rest.trim_start();
        let mut expression = if let Some(rest) = self.rest.strip_prefix('\'') {
            self.rest = rest;
            Expression::Text(self.quoted()?)
        } else if self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            Expression::Text(self.take(|c| c.is_ascii_digit() || c == '-').to_owned())
        } else {
            let name = self.take(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.').to_owned();
            if name.is_empty() {
                return Err(format!("there is no telling what `{}` is", self.rest.trim()));
            }
            self.rest = self.rest.trim_start();
            match (self.rest.strip_prefix('('), name.as_str()) {
                (Some(rest), _) => {
                    self.rest = rest;
                    Expression::Call(name, self.arguments()?)
                }
                (None, "true") => Expression::Bool(true),
                (None, "false") => Expression::Bool(false),
                (None, _) => return Err(format!("`{name}` is neither a text in quotes nor a function with `()`")),
            }
        };
        loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix('.') {
                self.rest = rest;
                let field = self.take(|c| c.is_ascii_alphanumeric() || c == '_').to_owned();
                expression = Expression::Field(Box::new(expression), field);
            } else if let Some(rest) = self.rest.strip_prefix("['") {
                self.rest = rest;
                let field = self.quoted()?;
                self.rest = self.rest.strip_prefix(']').ok_or("a `[` is not closed")?;
                expression = Expression::Field(Box::new(expression), field);
            } else {
                self.nested -= 1;
                return Ok(expression);
            }
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expression>, String> {
        let mut arguments = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix(')') {
                self.rest = rest;
                return Ok(arguments);
            }
            if !arguments.is_empty() {
                self.rest = self.rest.strip_prefix(',').ok_or("a `(` is not closed")?;
            }
            arguments.push(self.expression()?);
        }
    }

    /// The rest of a text in quotes; a quote in it is written twice.
    fn quoted(&mut self) -> Result<String, String> {
        let mut text = String::new();
        loop {
            let (before, after) = self.rest.split_once('\'').ok_or("a text is not closed")?;
            text.push_str(before);
            self.rest = after;
            match after.strip_prefix('\'') {
                Some(rest) => {
                    text.push('\'');
                    self.rest = rest;
                }
                None => return Ok(text),
            }
        }
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::node::Place;

    fn node(text: &str) -> Node {
        Node { at: Place { line: 1, column: 1 }, value: Value::Text(text.to_owned()) }
    }

    /// A variable with fields: one with a value, and one that is its own.
    fn object() -> Node {
        let fields = [("a_b", "[concat('x', 'y')]"), ("again", "[variables('object').again]")];
        let entries = fields.map(|(name, text)| (node(name), node(text)));
        Node { value: Value::Map(entries.to_vec()), ..node("") }
    }

    fn value(text: &str) -> Result<String, String> {
        let (name, looped, list) =
            (node("st"), node("[variables('again')]"), node("[concat(parameters('name'), 'ml')]"));
        let (object, own) = (object(), node("[parameters('own')]"));
        let scope = Scope {
            parameters: BTreeMap::from([
                ("name".to_owned(), Parameter::Known(&name)),
                ("bare".to_owned(), Parameter::Without),
                ("own".to_owned(), Parameter::Known(&own)),
                ("password".to_owned(), Parameter::Secure),
            ]),
            variables: BTreeMap::from([
                ("account".to_owned(), &list),
                ("again".to_owned(), &looped),
                ("object".to_owned(), &object),
            ]),
            ..scope()
        };
        scope.evaluate(&node(text)).and_then(Evaluated::into_text)
    }

    fn scope<'n>() -> Scope<'n> {
        Scope {
            parameters: BTreeMap::new(),
            variables: BTreeMap::new(),
            subscription: Some("SUB".to_owned()),
            group: Some("rg".to_owned()),
            any_guid: None,
            steps: Cell::default(),
        }
    }

    #[test]
    fn simple_expressions_have_a_value() {
        for (text, expected) in [
            ("plain", "plain"),
            ("[[not one]", "[not one]"),
            ("[parameters('Name')]", "st"),
            ("[variables('account')]", "stml"),
            ("[concat('a', '''', 'b')]", "a'b"),
            ("[format('{0}-{1}{{x}}', parameters('name'), 'b')]", "st-b{x}"),
            ("[toLower('AbC')]", "abc"),
            ("[toUpper('AbC')]", "ABC"),
            ("[string(-12)]", "-12"),
            ("[concat(string(1), true, false)]", "1truefalse"),
            ("[concat(true(), false(), not(true()))]", "truefalsefalse"),
            ("[variables('object').a_b]", "xy"),
            ("[variables('object')['A_B']]", "xy"),
            ("[subscription().id]", "/subscriptions/SUB"),
            ("[subscriptionResourceId('S', 'A.B/c', 'd')]", "/subscriptions/S/providers/A.B/c/d"),
            ("[tenantResourceId('A.B/c', 'd')]", "/providers/A.B/c/d"),
            ("[tenantResourceId('A.B/c/e', 'd/f')]", "/providers/A.B/c/d/e/f"),
            ("[resourceGroup().name]", "rg"),
            ("[subscription()['subscriptionId']]", "SUB"),
            ("[resourceId('A.B/c', 'd')]", "/subscriptions/SUB/resourceGroups/rg/providers/A.B/c/d"),
            ("[resourceId('g', 'A.B/c/e', 'd', 'f')]", "/subscriptions/SUB/resourceGroups/g/providers/A.B/c/d/e/f"),
            ("[resourceId('S', 'g', 'A.B/c', 'd')]", "/subscriptions/S/resourceGroups/g/providers/A.B/c/d"),
            ("[subscriptionResourceId('A.B/c', 'd')]", "/subscriptions/SUB/providers/A.B/c/d"),
            (
                "[extensionResourceId(resourceGroup().id, 'A.B/c', 'd')]",
                "/subscriptions/SUB/resourceGroups/rg/providers/A.B/c/d",
            ),
        ] {
            assert_eq!(value(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_value_here_says_why() {
        for (text, why) in [
            ("[parameters('bare')]", "has no default value"),
            ("[concat('x', parameters('Password'))]", "the parameter `Password` is secure"),
            ("[parameters('who')]", "no parameter `who`"),
            ("[variables('again')]", "leads to itself"),
            ("[variables('object').again]", "leads to itself"),
            ("[parameters('own')]", "leads to itself"),
            ("[variables('object').b]", "there is no `.b`"),
            ("[variables('object')]", "it is no text"),
            ("[variables('name')]", "no variable `name`"),
            ("[subscription().tenantId]", "`.tenantId` is not known here"),
            ("[toLower('a').b]", "`.b` of something that has no fields"),
            ("[toLower('a', 'b')]", "takes one argument, not 2"),
            ("[not('a')]", "takes one boolean"),
            ("[guid('a')]", "only Azure can tell"),
            ("[a.b_c1('x')]", "`a.b_c1` is not a function"),
            ("[reference('x').id]", "only Azure can tell"),
            ("[shout('x')]", "not a function"),
            ("[workspace name]", "neither a text in quotes"),
            ("[concat('a']", "not closed"),
            ("[concat('a') b]", "no telling what `b` is"),
            ("[]", "no telling"),
            ("[resourceId('A.B/c')]", "takes 1 names, not 0"),
            ("[resourceId('c')]", "names no type"),
            ("[resourceId('a', 'b', 'c', 'A.B/c', 'd')]", "too many arguments"),
            ("[tenantResourceId('A.B')]", "takes 0 names, not 0"),
            ("[subscriptionResourceId('a')]", "takes 0 names, not 0"),
            ("[format('{1}', 'a')]", "no value for `{1}`"),
        ] {
            let error = value(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        let deep = format!("[{}'x'{}]", "concat(".repeat(5000), ")".repeat(5000));
        assert!(value(&deep).unwrap_err().contains("too deep"));
    }

    #[test]
    fn what_leads_too_deep_or_takes_too_long_has_no_value() {
        let nested = |times: usize| value(&format!("[{}'x'{}]", "concat(".repeat(times), ")".repeat(times)));
        assert_eq!(nested(MAX_DEPTH - 1).as_deref(), Ok("x"));
        assert_eq!(nested(MAX_DEPTH), Err("it nests too deep".to_owned()));
        let many = vec!["'x'"; 2 * MAX_DEPTH];
        assert_eq!(value(&format!("[concat({})]", many.join(", "))), Ok("x".repeat(many.len())));

        // Each variable is the next one, and the last one a text.
        let chain: Vec<Node> = (1..=MAX_DEPTH).map(|next| node(&format!("[variables('{next}')]"))).collect();
        let last = node("x");
        let variables = chain.iter().chain([&last]).enumerate().map(|(number, node)| (number.to_string(), node));
        let scope = Scope { variables: variables.collect(), ..scope() };
        assert_eq!(scope.evaluate(&node("[variables('1')]")), Ok(Evaluated::Text("x".to_owned())));
        assert_eq!(scope.evaluate(&node("[variables('0')]")), Err("it leads to itself".to_owned()));

        scope.steps.set(MAX_STEPS - 1);
        assert_eq!(scope.evaluate(&last), Ok(Evaluated::Text("x".to_owned())));
        assert_eq!(scope.evaluate(&last), Err("the template takes too many steps to evaluate".to_owned()));
    }

    #[test]
    fn a_guid_that_does_not_matter_stands_for_any() {
        let scope = Scope { any_guid: Some("any"), ..scope() };
        for text in ["[guid('a', 'b')]", "[newGuid()]"] {
            assert_eq!(scope.evaluate(&node(text)), Ok(Evaluated::Text("any".to_owned())));
        }
    }

    #[test]
    fn what_is_no_text_is_taken_as_it_is() {
        for (given, expected) in [
            (Value::Null, Evaluated::Null),
            (Value::Bool(true), Evaluated::Bool(true)),
            (Value::Number("1".to_owned()), Evaluated::Text("1".to_owned())),
        ] {
            assert_eq!(scope().evaluate(&Node { value: given, ..node("") }), Ok(expected));
        }
    }
}
