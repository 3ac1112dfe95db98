//! Role assignments, role definitions, locks and denials.
//! Source: azure-mgmt-authorization 4.0.0 `v2022_04_01`; MicrosoftDocs/azure-docs
//! `articles/role-based-access-control/role-assignments-list-rest.md` and `troubleshooting.md` beside it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::account::Change;
use crate::azure::{Actor, Azure};
use crate::request::{Answer, Call, Reply};
use crate::roles::BUILT_IN;
use crate::world::{ACCOUNT, ASSIGNMENT, DEFINITION, WORKSPACE};
use crate::{arm_id, json, time};

const TYPE: &str = "Microsoft.Authorization/roleAssignments";
const READ: &str = "Microsoft.Authorization/roleAssignments/read";
const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
const DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";

/// What a PUT may change of an assignment that is there.
const UPDATABLE: [&str; 3] = ["condition", "conditionVersion", "description"];

/// The part of a filter that names a principal.
enum Of {
    Anyone,
    Direct(String),
    Through(BTreeSet<String>),
}

/// The clauses of a `$filter`, joined by `and`.
pub(crate) fn clauses(filter: &str) -> Vec<String> {
    let mut rest = filter.trim();
    let mut found = Vec::new();
    while let Some(cut) = rest.to_ascii_lowercase().find(" and ") {
        found.push(rest.get(..cut).unwrap_or_default().trim().to_owned());
        rest = rest.get(cut + 5..).unwrap_or_default();
    }
    found.push(rest.trim().to_owned());
    found.retain(|clause| !clause.is_empty());
    found
}

/// The value in `name eq 'value'`.
pub(crate) fn equals<'a>(clause: &'a str, name: &str) -> Option<&'a str> {
    let mut words = clause.splitn(3, ' ').map(str::trim);
    let (field, operator, value) = (words.next()?, words.next()?, words.next()?);
    (field.eq_ignore_ascii_case(name) && operator.eq_ignore_ascii_case("eq"))
        .then(|| value.trim_matches(|quote| quote == '\'' || quote == ' '))
}

pub(crate) fn argument<'a>(clause: &'a str, function: &str) -> Option<&'a str> {
    let open = clause.find('(')?;
    let (name, rest) = clause.split_at_checked(open)?;
    let inner = rest.strip_prefix('(')?.strip_suffix(')')?;
    name.trim().eq_ignore_ascii_case(function).then(|| inner.trim().trim_matches('\''))
}

/// What older versions of the api leave out of an assignment.
/// Source: Azure/azure-cli, recording `hybrid_2018_03_01.test_create_for_rbac_with_existing_kv_cert` (2015-07-01).
pub(crate) fn hide_newer(call: &Call, assignment: &mut Value) {
    let older = |than: &str| call.api_version().get(..10).is_some_and(|version| version < than);
    let Some(properties) = assignment.get_mut("properties").and_then(Value::as_object_mut) else { return };
    if older("2018-01-01") {
        properties.remove("principalType");
    }
    if older("2020-03-01") {
        for name in ["condition", "conditionVersion", "description", "delegatedManagedIdentityResourceId"] {
            properties.remove(name);
        }
    }
}

impl Azure {
    /// The forms of `$filter` and what each returns.
    /// Source: MicrosoftDocs/azure-docs `articles/role-based-access-control/role-assignments-list-rest.md`.
    pub(crate) fn list_assignments(&self, caller: &str, call: &Call, scope: &str) -> Reply {
        self.authorize(caller, READ, scope)?;
        let (mut at_scope, mut of) = (false, Of::Anyone);
        for clause in clauses(call.query("$filter").unwrap_or_default()) {
            if argument(&clause, "atScope").is_some() {
                at_scope = true;
            } else if let Some(principal) = argument(&clause, "assignedTo") {
                if self.world.principal_type(principal) == Some("Group") {
                    let message = "A group id is not accepted in assignedTo().";
                    return Err(Answer::error(400, "BadRequest", message));
                }
                of = Of::Through(self.world.with_groups(principal));
            } else if let Some(principal) = equals(&clause, "principalId") {
                of = Of::Direct(principal.to_ascii_lowercase());
            } else {
                let message = format!("The filter '{clause}' is not supported.");
                return Err(Answer::error(400, "UnsupportedQuery", message));
            }
        }
        let covering = self.world.extensions_covering(ASSIGNMENT, scope);
        let below = self.world.extensions_below(ASSIGNMENT, scope).filter(|_| !at_scope);
        let found: BTreeSet<String> = covering
            .chain(below)
            .filter(|(_, assignment)| {
                let principal = json::text(assignment, &["properties", "principalId"]).unwrap_or_default();
                match &of {
                    Of::Anyone => true,
                    Of::Direct(wanted) => principal.eq_ignore_ascii_case(wanted),
                    Of::Through(all) => all.contains(&principal.to_ascii_lowercase()),
                }
            })
            .map(|(key, _)| key.to_owned())
            .collect();
        self.page(call, found.into_iter(), |key| Some(self.shown(call, self.world.get(key)?)))
    }

    pub(crate) fn get_assignment(&self, caller: &str, call: &Call, scope: &str) -> Reply {
        self.authorize(caller, READ, scope)?;
        let key = call.key();
        let name = arm_id::name(&key);
        match self.world.typed(ASSIGNMENT, &key) {
            Some(assignment) => Ok(Answer::ok(self.shown(call, assignment))),
            None => {
                Err(Answer::error(404, "RoleAssignmentNotFound", format!("The role assignment '{name}' is not found.")))
            }
        }
    }

    /// 201 for a new assignment, 200 for the same one again.
    /// Source: azure-mgmt-authorization 4.0.0 `v2022_04_01`; MicrosoftDocs/azure-docs
    /// `articles/role-based-access-control/troubleshooting.md`.
    pub(crate) fn put_assignment(&mut self, caller: &str, call: &Call, scope: &str, written: &str) -> Reply {
        self.authorize(caller, WRITE, scope)?;
        let key = call.key();
        let name = arm_id::name(&key).to_owned();
        if uuid::Uuid::try_parse(&name).is_err() {
            let message =
                format!("The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID.");
            return Err(Answer::error(400, "InvalidRoleAssignmentId", message));
        }
        let body = call.json()?;
        let field = |name: &str| json::text(&body, &["properties", name]).unwrap_or_default().to_owned();
        let (principal, role) = (field("principalId"), field("roleDefinitionId"));
        if uuid::Uuid::try_parse(&principal).is_err() {
            let message = format!("The principal ID '{principal}' is not valid. The principal ID must be a GUID.");
            return Err(Answer::error(400, "InvalidPrincipalId", message));
        }
        let subscription = arm_id::subscription(scope).map(str::to_owned);
        if self.definition(&role, subscription.as_deref()).is_none() {
            let guid = arm_id::name(&role).replace('-', "");
            let message = format!("The specified role definition with ID '{guid}' does not exist.");
            return Err(Answer::error(400, "RoleDefinitionDoesNotExist", message));
        }
        let principal_type = self.check_principal(&principal, &field("principalType"))?;
        if matches!(arm_id::type_of(scope).as_deref(), Some(ACCOUNT | WORKSPACE)) && self.world.get(scope).is_none() {
            return Err(self.not_found(written));
        }
        self.unlocked(scope, Change::Write)?;
        if let Some(standing) = self.standing(&key, scope, &principal, &role)? {
            return Ok(self.update_assignment(caller, call, &body, standing));
        }
        let asked = json!({"id": call.path(), "name": name, "properties": {
            "roleDefinitionId": role, "principalId": principal, "principalType": principal_type, "scope": written,
        }});
        self.policed(TYPE, &key, asked.clone(), &asked)?;
        if let Some(id) = &subscription {
            let scope = format!("/subscriptions/{id}");
            if self.world.keys_below(ASSIGNMENT, &scope).count() >= self.knobs.assignment_limit {
                let message = "No more role assignments can be created (code: RoleAssignmentLimitExceeded).";
                return Err(Answer::error(400, "RoleAssignmentLimitExceeded", message));
            }
        }
        let prefix = subscription.map(|id| format!("/subscriptions/{id}")).unwrap_or_default();
        let now = time::stamp(self.now);
        let optional = |name: &str| json::at(&body, &["properties", name]).cloned().unwrap_or_default();
        let assignment = json!({
            "id": call.path(), "name": name, "type": "Microsoft.Authorization/roleAssignments",
            "properties": {
                "roleDefinitionId":
                    format!("{prefix}/providers/Microsoft.Authorization/roleDefinitions/{}", arm_id::name(&role)),
                "principalId": principal, "principalType": principal_type, "scope": written,
                "condition": optional("condition"), "conditionVersion": optional("conditionVersion"),
                "description": optional("description"),
                "delegatedManagedIdentityResourceId": optional("delegatedManagedIdentityResourceId"),
                "createdOn": now, "updatedOn": now, "createdBy": caller, "updatedBy": caller,
            },
        });
        self.grant(assignment.clone());
        self.record(&Actor { oid: caller, correlation: call.correlation() }, WRITE, &call.path(), 201);
        Ok(Answer::new(201, Some(self.shown(call, &assignment))))
    }

    /// 200 where nothing changes; 201, as recorded, where the condition or the description does.
    /// Source: Azure/azure-cli, recording `test_role_assignment_create_update`.
    fn update_assignment(&mut self, caller: &str, call: &Call, body: &Value, mut standing: Value) -> Answer {
        let before = standing.clone();
        let properties = json::object(&mut standing, "properties");
        for name in UPDATABLE {
            properties.insert(name.to_owned(), json::at(body, &["properties", name]).cloned().unwrap_or_default());
        }
        let unchanged = UPDATABLE
            .iter()
            .all(|name| json::at(&before, &["properties", name]) == json::at(&standing, &["properties", name]));
        if unchanged {
            return Answer::ok(self.shown(call, &before));
        }
        let properties = json::object(&mut standing, "properties");
        properties.insert("updatedOn".to_owned(), json!(time::stamp(self.now)));
        properties.insert("updatedBy".to_owned(), json!(caller));
        self.grant(standing.clone());
        self.record(&Actor { oid: caller, correlation: call.correlation() }, WRITE, &call.path(), 201);
        Answer::new(201, Some(self.shown(call, &standing)))
    }

    /// The same assignment under the same name; another of the name, or another name for the same, is an error.
    fn standing(&self, key: &str, scope: &str, principal: &str, role: &str) -> Result<Option<Value>, Answer> {
        let same = |value: &Value| {
            json::text(value, &["properties", "principalId"]).is_some_and(|id| id.eq_ignore_ascii_case(principal))
                && json::text(value, &["properties", "roleDefinitionId"])
                    .is_some_and(|id| arm_id::name(id).eq_ignore_ascii_case(arm_id::name(role)))
        };
        if let Some(named) = self.world.assignment_named(arm_id::name(key)) {
            return match self.world.get(named) {
                Some(value) if named == key && same(value) => Ok(Some(value.clone())),
                _ => Err(Answer::error(
                    400,
                    "RoleAssignmentUpdateNotPermitted",
                    "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
                )),
            };
        }
        let at_scope = self.world.extensions_covering(ASSIGNMENT, scope);
        let mut twins = at_scope.filter(|(key, value)| arm_id::extension_scope(key) == scope && same(value));
        let Some((twin, _)) = twins.next() else { return Ok(None) };
        let mut message = "The role assignment already exists.".to_owned();
        if self.knobs.existing_assignment_named {
            let id = arm_id::name(twin).replace('-', "");
            message = format!("{message} The ID of the existing role assignment is {id}.");
        }
        Err(Answer::error(409, "RoleAssignmentExists", message))
    }

    /// The type that was sent, checked against the directory; without one the directory must know the principal.
    fn check_principal(&self, principal: &str, sent: &str) -> Result<String, Answer> {
        match (self.world.principal_type(principal), sent) {
            (Some(known), "") => Ok(known.to_owned()),
            (Some(known), sent) if known.eq_ignore_ascii_case(sent) => Ok(known.to_owned()),
            (Some(known), sent) => {
                let message = format!(
                    "The PrincipalId '{principal}' has type '{known}', which is different from specified PrinciaplType '{sent}'."
                );
                Err(Answer::error(400, "UnmatchedPrincipalType", message))
            }
            (None, "") => {
                let message = format!(
                    "Principal {} does not exist in the directory. If the principal was created recently, set \
                     principalType.",
                    principal.replace('-', "")
                );
                Err(Answer::error(400, "PrincipalNotFound", message))
            }
            (None, sent) => Ok(sent.to_owned()),
        }
    }

    /// 200 with what was deleted, 204 where there was nothing.
    pub(crate) fn delete_assignment(&mut self, caller: &str, call: &Call, scope: &str) -> Reply {
        self.authorize(caller, DELETE, scope)?;
        self.unlocked(scope, Change::Delete)?;
        self.police_delete(TYPE, &call.key())?;
        match self.revoke(&call.key()) {
            Some(gone) => {
                self.record(&Actor { oid: caller, correlation: call.correlation() }, DELETE, &call.path(), 200);
                Ok(Answer::ok(self.shown(call, &gone)))
            }
            None => Ok(Answer::empty(204)),
        }
    }

    /// Definitions at the scope and above: the built-in ones and custom ones.
    /// Source: azure-mgmt-authorization 4.0.0 `v2022_04_01`.
    pub(crate) fn list_definitions(&self, caller: &str, call: &Call, scope: &str) -> Reply {
        self.authorize(caller, "Microsoft.Authorization/roleDefinitions/read", scope)?;
        let mut wanted = Vec::new();
        for clause in clauses(call.query("$filter").unwrap_or_default()) {
            match (equals(&clause, "roleName"), equals(&clause, "type")) {
                (Some(name), _) => wanted.push(("roleName", name.to_owned())),
                (_, Some(kind)) => wanted.push(("type", kind.to_owned())),
                _ if argument(&clause, "atScopeAndBelow").is_some() => {}
                _ => {
                    return Err(Answer::error(
                        400,
                        "UnsupportedQuery",
                        format!("The filter '{clause}' is not supported."),
                    ));
                }
            }
        }
        let subscription = arm_id::subscription(scope);
        let mut found: BTreeMap<String, Value> =
            BUILT_IN.iter().map(|role| (role.id.to_owned(), role.to_json(subscription))).collect();
        for key in self.world.keys_of(DEFINITION) {
            if let Some(custom) = self.world.get(key) {
                found.insert(arm_id::name(key).to_owned(), custom.clone());
            }
        }
        found.retain(|_, role| {
            wanted.iter().all(|(field, value)| {
                json::text(role, &["properties", field]).is_some_and(|own| own.eq_ignore_ascii_case(value))
            })
        });
        self.page(call, found.keys().cloned(), |key| found.get(key).cloned())
    }

    pub(crate) fn get_definition(&self, caller: &str, scope: &str, guid: &str) -> Reply {
        self.authorize(caller, "Microsoft.Authorization/roleDefinitions/read", scope)?;
        self.definition(guid, arm_id::subscription(scope)).map(Answer::ok).ok_or_else(|| {
            let message = format!("The specified role definition with ID '{guid}' does not exist.");
            Answer::error(404, "RoleDefinitionDoesNotExist", message)
        })
    }

    /// Locks or denials: at the scope and above, and below too unless `atScope()` is asked.
    pub(crate) fn list_extensions(&self, caller: &str, call: &Call, scope: &str, kind: &str, action: &str) -> Reply {
        self.authorize(caller, action, scope)?;
        let (mut at_scope, mut principal, mut name) = (false, None, None);
        for clause in clauses(call.query("$filter").unwrap_or_default()) {
            if argument(&clause, "atScope").is_some() {
                at_scope = true;
            } else if let Some(wanted) = equals(&clause, "principalId") {
                principal = Some(wanted.to_owned());
            } else if let Some(wanted) = equals(&clause, "denyAssignmentName") {
                name = Some(wanted.to_owned());
            } else {
                return Err(Answer::error(400, "UnsupportedQuery", format!("The filter '{clause}' is not supported.")));
            }
        }
        let covering = self.world.extensions_covering(kind, scope);
        let below = self.world.extensions_below(kind, scope).filter(|_| !at_scope);
        let found: BTreeSet<String> = covering
            .chain(below)
            .filter(|(_, value)| {
                let principals = json::at(value, &["properties", "principals"]).and_then(Value::as_array);
                let named = |wanted: &String| {
                    principals
                        .into_iter()
                        .flatten()
                        .any(|entry| json::text(entry, &["id"]).is_some_and(|id| id.eq_ignore_ascii_case(wanted)))
                };
                let own_name = json::text(value, &["properties", "denyAssignmentName"]);
                principal.as_ref().is_none_or(named)
                    && name.as_ref().is_none_or(|name| own_name.is_some_and(|own| own.eq_ignore_ascii_case(name)))
            })
            .map(|(key, _)| key.to_owned())
            .collect();
        self.page(call, found.into_iter(), |key| Some(self.shown(call, self.world.get(key)?)))
    }
}
