//! Resources of an ARM template, and the same resources as bodies of requests.
//!
//! Only the properties that desired state has a word for are evaluated, so an expression elsewhere is in nobody's way.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::desired::AuthMode;
use crate::id::{ArmId, PrincipalId, StorageAccountId};
use crate::manifest::hint;
use crate::manifest::node::{Node, Place, Value};
use crate::manifest::problem::shorten;
use crate::observed::{PrincipalType, WorkspaceKind};
use crate::secret;

use super::expression::{Evaluated, SECURE, Scope};
use super::parameters;
use super::roles::{Meant, meant};
use super::{FoundAccount, FoundGrant, Reading, entries, field, is_placeholder, place, text};

const WORKSPACES: &str = "Microsoft.MachineLearningServices/workspaces";
const ACCOUNTS: &str = "Microsoft.Storage/storageAccounts";
const ASSIGNMENTS: &str = "Microsoft.Authorization/roleAssignments";
/// The older form of an assignment at an account, with the account's name in its own.
const ASSIGNMENTS_OF_ACCOUNT: &str = "Microsoft.Storage/storageAccounts/providers/roleAssignments";

/// A template, with what a file of parameters gives.
pub(super) fn read(node: &Node, given: &BTreeMap<String, Node>, reading: &mut Reading<'_>) {
    let named = |name: &str| {
        let found = field(node, name).into_iter().flat_map(|(_, value)| entries(value));
        found.filter_map(|(key, value)| Some((text(key)?.to_ascii_lowercase(), value))).collect::<BTreeMap<_, _>>()
    };
    let scope = Scope {
        parameters: parameters::of(node, given),
        variables: named("variables"),
        subscription: reading.facts.subscription.map(|id| id.to_string()),
        group: reading.facts.resource_group.clone(),
        any_guid: None,
        steps: Cell::default(),
    };
    let read = ["$schema", "contentVersion", "languageVersion", "metadata", "parameters", "variables", "resources"];
    reading.left_out(node, "", &read);
    match field(node, "resources") {
        Some((_, resources)) => each(resources, "", "", &scope, reading),
        None => reading.problem(node.at, "the template has no `resources`", None),
    }
}

/// A body of a request, an answer, or a list of either.
pub(super) fn read_body(node: &Node, reading: &mut Reading<'_>) {
    let scope = Scope {
        parameters: BTreeMap::new(),
        variables: BTreeMap::new(),
        subscription: reading.facts.subscription.map(|id| id.to_string()),
        group: reading.facts.resource_group.clone(),
        any_guid: None,
        steps: Cell::default(),
    };
    match (&node.value, field(node, "value")) {
        (Value::List(items), _) => items.iter().for_each(|item| read_body(item, reading)),
        (_, Some((_, Node { value: Value::List(items), .. }))) => {
            items.iter().for_each(|item| read_body(item, reading));
        }
        _ => resource(node, "", "", &scope, reading),
    }
}

/// The resources of a template or of a parent: a list, or a mapping by symbolic names.
fn each(resources: &Node, parent: &str, parent_name: &str, scope: &Scope<'_>, reading: &mut Reading<'_>) {
    match &resources.value {
        Value::List(items) => items.iter().for_each(|item| resource(item, parent, parent_name, scope, reading)),
        Value::Map(entries) => entries.iter().for_each(|(_, item)| resource(item, parent, parent_name, scope, reading)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {
            reading.problem(resources.at, "`resources` is no list", None);
        }
    }
}

fn resource(node: &Node, parent: &str, parent_name: &str, scope: &Scope<'_>, reading: &mut Reading<'_>) {
    if !matches!(node.value, Value::Map(_)) {
        return reading.problem(node.at, "a resource is a mapping", None);
    }
    if let Some((key, _)) = field(node, "copy") {
        reading.problem(key.at, "`copy` makes several resources out of one, which is not read", None);
        return;
    }
    if let Some((_, condition)) = field(node, "condition") {
        match scope.evaluate(condition) {
            Ok(Evaluated::Bool(true)) => {}
            Ok(Evaluated::Bool(false)) => {
                return reading.warning(condition.at, "the resource is left out: its `condition` is false", None);
            }
            Ok(_) => return reading.problem(condition.at, "`condition` is neither true nor false", None),
            Err(why) => return reading.expression(condition, &why),
        }
    }
    let own = field(node, "type").and_then(|(_, kind)| text(kind)).unwrap_or_default();
    let id = field(node, "id").and_then(|(_, id)| text(id)).and_then(|id| ArmId::parse(id).ok());
    let kind = match (&id, own) {
        (Some(id), "") => kind_of(id),
        (_, own) if parent.is_empty() || own.starts_with("Microsoft.") => own.to_owned(),
        (_, own) => format!("{parent}/{own}"),
    };
    let properties = field(node, "properties").map(|(_, properties)| properties);
    let has = |name: &str| properties.is_some_and(|properties| field(properties, name).is_some());
    let is = |known: &str| kind.eq_ignore_ascii_case(known);
    let name = || Named { node, id, parent_name };
    if is(WORKSPACES) || (kind.is_empty() && has("systemDatastoresAuthMode")) {
        workspace(&name(), properties, scope, reading);
    } else if is(ACCOUNTS) || (kind.is_empty() && has("allowSharedKeyAccess")) {
        account(&name(), properties, scope, reading);
    } else if is(ASSIGNMENTS) || is(ASSIGNMENTS_OF_ACCOUNT) || (kind.is_empty() && has("roleDefinitionId")) {
        assignment(&name(), is(ASSIGNMENTS_OF_ACCOUNT), properties, scope, reading);
    } else if is("Microsoft.Resources/deployments") {
        reading.problem(node.at, "a template within the template is not read", Some("import it by itself".to_owned()));
    } else if kind.is_empty() {
        reading.problem(node.at, "there is no telling what resource this is", Some("it has no `type`".to_owned()));
    } else {
        reading.warning(node.at, format!("`{}` is left alone", shorten(&kind)), None);
    }
    if let Some((_, children)) = field(node, "resources") {
        match field(node, "name").map(|(_, name)| (name, value(name, scope))) {
            Some((_, Ok(name))) => each(children, &kind, &name, scope, reading),
            Some((name, Err(why))) => reading.expression(name, &why),
            None => reading.problem(node.at, "missing field `name`", None),
        }
    }
}

/// What of a resource is read, or tells a deployment how to go about it.
const OF_RESOURCE: [&str; 11] = [
    "type",
    "apiVersion",
    "id",
    "name",
    "kind",
    "scope",
    "condition",
    "dependsOn",
    "comments",
    "properties",
    "resources",
];

/// A resource and what it is called.
struct Named<'n> {
    node: &'n Node,
    id: Option<ArmId>,
    parent_name: &'n str,
}

impl Named<'_> {
    /// Names what is not read of it.
    fn left_out(&self, properties: Option<&Node>, read: &[&str], reading: &mut Reading<'_>) {
        reading.left_out(self.node, "", &OF_RESOURCE);
        if let Some(properties) = properties {
            reading.left_out(properties, "properties.", read);
        }
    }

    /// The id, from the resource itself or from its name.
    fn id(&self, kind: &str, scope: &Scope<'_>, reading: &mut Reading<'_>) -> Option<(Place, ArmId)> {
        let name = field(self.node, "name").map(|(_, name)| name);
        let at = name.map_or(self.node.at, |name| name.at);
        if let Some(id) = &self.id {
            return Some((at, id.clone()));
        }
        let given = match name {
            Some(name) => match value(name, scope) {
                Ok(text) => Some(text),
                // A placeholder of an article looks like an expression; the flag tells what it stands for.
                Err(_) if reading.facts.name.is_some() => None,
                Err(why) => {
                    reading.expression(name, &why);
                    return None;
                }
            },
            None => None,
        };
        let name = reading.name(at, given.as_deref())?;
        Some((at, reading.id(at, kind, &name)?))
    }
}

fn workspace(named: &Named<'_>, properties: Option<&Node>, scope: &Scope<'_>, reading: &mut Reading<'_>) {
    named.left_out(properties, &["systemDatastoresAuthMode", "storageAccount"], reading);
    let property = |name: &str| properties.and_then(|properties| field(properties, name)).map(|(_, value)| value);
    let mode = match property("systemDatastoresAuthMode") {
        None => reading.mode(named.node.at, None),
        Some(word) => match value(word, scope) {
            Ok(text) => reading.mode(named.node.at, Some((word.at, &text))),
            Err(why) => {
                reading.expression(word, &why);
                None::<AuthMode>
            }
        },
    };
    let account = property("storageAccount").and_then(|given| match value(given, scope) {
        Ok(text) => reading.account(given.at, &text),
        // Nothing here needs the account, so an article's placeholder is no error.
        Err(_) if text(given).is_some_and(looks_like_a_placeholder) => reading.account(given.at, "<…>"),
        Err(why) => {
            reading.expression(given, &why);
            None
        }
    });
    let kind = field(named.node, "kind").and_then(|(_, kind)| value(kind, scope).ok());
    let kind = WorkspaceKind::from_wire(kind.as_deref());
    let Some((at, id)) = named.id(WORKSPACES, scope, reading) else { return };
    reading.add_workspace(at, Some(id), kind, mode, account);
}

fn account(named: &Named<'_>, properties: Option<&Node>, scope: &Scope<'_>, reading: &mut Reading<'_>) {
    named.left_out(properties, &["allowSharedKeyAccess"], reading);
    let silent = |reading: &mut Reading<'_>| {
        let message = "the storage account is left out: without `allowSharedKeyAccess` nothing is said of its key";
        reading.warning(named.node.at, message, None);
    };
    let Some((_, given)) = properties.and_then(|properties| field(properties, "allowSharedKeyAccess")) else {
        return silent(reading);
    };
    let key_allowed = match scope.evaluate(given) {
        Ok(Evaluated::Bool(allowed)) => Some(allowed),
        Ok(Evaluated::Null) => return silent(reading),
        Ok(_) => {
            reading.problem(given.at, "`allowSharedKeyAccess` is neither true nor false", None);
            None
        }
        Err(why) => {
            reading.expression(given, &why);
            None
        }
    };
    let (Some((at, id)), Some(key_allowed)) = (named.id(ACCOUNTS, scope, reading), key_allowed) else { return };
    match StorageAccountId::try_from(id) {
        Ok(id) => reading.found.accounts.push(FoundAccount { at: place(reading.path, at), id, key_allowed }),
        Err(error) => reading.problem(at, error.to_string(), None),
    }
}

fn assignment(
    named: &Named<'_>,
    of_account: bool,
    properties: Option<&Node>,
    scope: &Scope<'_>,
    reading: &mut Reading<'_>,
) {
    let node = named.node;
    let Some(properties) = properties else {
        return reading.problem(node.at, "the role assignment has no `properties`", None);
    };
    let known = ["roleDefinitionId", "roleDefinitionName", "principalId", "principalType", "scope", "condition"];
    named.left_out(Some(properties), &[&known[..], &["conditionVersion"]].concat(), reading);
    let read = |name: &str, reading: &mut Reading<'_>| -> Option<(Place, String)> {
        let (_, given) = field(properties, name)?;
        match value(given, scope) {
            Ok(text) => Some((given.at, text)),
            Err(why) => {
                reading.expression(given, &why);
                None
            }
        }
    };
    let missing = |name: &str| field(properties, name).is_none();
    let role = read("roleDefinitionId", reading).or_else(|| read("roleDefinitionName", reading));
    let principal = read("principalId", reading);
    let kind = read("principalType", reading);
    if missing("roleDefinitionId") && missing("roleDefinitionName") {
        reading.problem(properties.at, "missing field `roleDefinitionId`", None);
    }
    if missing("principalId") {
        reading.problem(properties.at, "missing field `principalId`", None);
    }
    if missing("principalType") {
        let hint = "`User`, `Group` or `ServicePrincipal`".to_owned();
        reading.problem(
            properties.at,
            "whether the principal is a person, a group or a machine is not said: missing field `principalType`",
            Some(hint),
        );
    }
    let scope_id = assignment_scope(named, of_account, scope, reading);

    let role = role.and_then(|(at, given)| match meant(&given) {
        Meant::Role(role) => Some(role),
        Meant::Misspelled(role) => {
            let message = format!(
                "there is no role `{}`; `{}` is meant",
                secret::part(given.rsplit('/').next().unwrap_or_default(), &given),
                role.name
            );
            reading.warning(at, message, None);
            Some(role)
        }
        Meant::Other => {
            let message = format!("the role `{}` is left out: no word of desired state stands for it", shorten(&given));
            reading.warning(at, message, None);
            None
        }
    });
    let principal = principal.and_then(|(at, given)| match given.parse::<PrincipalId>() {
        Ok(id) => Some(id),
        Err(error) => {
            reading.problem(at, error.to_string(), Some("role assignments need the object id".to_owned()));
            None
        }
    });
    let kind = kind.and_then(|(at, given)| match PrincipalType::from_wire(&given) {
        Some(kind @ (PrincipalType::User | PrincipalType::Group | PrincipalType::ServicePrincipal)) => Some(kind),
        _ => {
            let known = ["User", "Group", "ServicePrincipal"];
            let message = format!("`{}` is no kind of principal that desired state names", shorten(&given));
            reading.problem(at, message, Some(hint::among(&given, known)));
            None
        }
    });
    if let Some((key, condition)) = field(properties, "condition")
        && condition.value != Value::Null
    {
        let hint = "a grant under a condition does not satisfy a need, so it stays out of the files".to_owned();
        return reading.warning(key.at, "the role assignment has a condition and is left out", Some(hint));
    }
    if let (Some(role), Some(principal), Some(kind), Some(scope)) = (role, principal, kind, scope_id) {
        reading.found.grants.push(FoundGrant { at: place(reading.path, node.at), scope, principal, kind, role });
    }
}

/// Where an assignment is made: as its `scope` says, at the account in its name, or at the resource group.
fn assignment_scope(
    named: &Named<'_>,
    of_account: bool,
    scope: &Scope<'_>,
    reading: &mut Reading<'_>,
) -> Option<ArmId> {
    let node = named.node;
    if let Some(id) = &named.id {
        let split = id.folded().find("/providers/microsoft.authorization/")?;
        return ArmId::parse(id.as_str().get(..split)?).ok();
    }
    let body_scope = || field(node, "properties").and_then(|(_, properties)| field(properties, "scope"));
    if let Some((_, given)) = field(node, "scope").or_else(body_scope) {
        let text = match value(given, scope) {
            Ok(text) => text,
            Err(why) => {
                reading.expression(given, &why);
                return None;
            }
        };
        if text.starts_with('/') {
            return match ArmId::parse(&text) {
                Ok(id) => Some(id),
                Err(error) => {
                    reading.problem(given.at, error.to_string(), None);
                    None
                }
            };
        }
        // A scope may also be `Namespace/type/name` within the deployment's own group.
        let (kind, name) = text.rsplit_once('/').unwrap_or((&text, ""));
        return reading.id(given.at, kind, name);
    }
    let name = field(node, "name").map(|(_, name)| name);
    let at = name.map_or(node.at, |name| name.at);
    if of_account || !named.parent_name.is_empty() {
        if !named.parent_name.is_empty() {
            return reading.id(at, ACCOUNTS, named.parent_name);
        }
        // Its last part is a GUID that does not matter.
        let scope = Scope { any_guid: Some("guid"), ..scope.clone() };
        let own = match name.map(|name| (name, value(name, &scope))) {
            Some((_, Ok(text))) => text,
            Some((name, Err(why))) => {
                reading.expression(name, &why);
                return None;
            }
            None => String::new(),
        };
        let account = own.split('/').next().unwrap_or_default();
        return reading.id(at, ACCOUNTS, account);
    }
    match (reading.facts.subscription, &reading.facts.resource_group) {
        (Some(subscription), Some(group)) => {
            ArmId::parse(&format!("/subscriptions/{subscription}/resourceGroups/{group}")).ok()
        }
        _ => {
            let hint = "give `--subscription GUID` and `--resource-group NAME`, or a `scope`".to_owned();
            reading.problem(at, "where the role assignment is made is not said", Some(hint));
            None
        }
    }
}

impl Reading<'_> {
    /// An expression without a value, by its own words.
    fn expression(&mut self, node: &Node, why: &str) {
        let whole = text(node).unwrap_or_default();
        let given = shorten(whole);
        // It may name parts of the expression.
        let why = if secret::looks_like_one(whole) { "there is no telling what it is" } else { why };
        let hint = if text(node).is_some_and(looks_like_a_placeholder) {
            "put the value there, or give it with `--name`"
        } else if why.ends_with(SECURE) {
            "put the value there if it is no secret; what is imported stands in files that people read"
        } else if why.starts_with("only Azure") {
            "put the value there; identities have names of their own in desired state: `managedIdentity`, `compute`, `workspace: system`"
        } else {
            "put the value there, or give it in a file of parameters beside the template"
        };
        self.problem(node.at, format!("`{given}` has no value here: {why}"), Some(hint.to_owned()));
    }
}

/// Whether it is a placeholder as the articles write them in templates, such as `[workspace name]`.
fn looks_like_a_placeholder(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    is_placeholder(text) || inner.is_some_and(|inner| !inner.contains(['(', '\'']))
}

/// The value of a node as text.
fn value(node: &Node, scope: &Scope<'_>) -> Result<String, String> {
    scope.evaluate(node).and_then(Evaluated::into_text)
}

/// The type that an id names.
fn kind_of(id: &ArmId) -> String {
    let Some((_, tail)) = id.as_str().rsplit_once("/providers/") else { return String::new() };
    let mut segments = tail.split('/');
    let mut kind = segments.next().unwrap_or_default().to_owned();
    for segment in segments.step_by(2) {
        kind.push('/');
        kind.push_str(segment);
    }
    kind
}
