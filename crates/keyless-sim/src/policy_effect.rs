//! Policies at work: what is refused, and what is changed without a word.
//! Source: MicrosoftDocs/azure-docs `articles/governance/policy/concepts/` `effects.md` (order: `modify` and `append`
//! before `deny`; an `append` to a field that was sent otherwise refuses; `denyAction` bars deleting),
//! `assignment-structure.md` and `exemption-structure.md`. The refusal: recorded in Azure/Azure-Landing-Zones issue 2954,
//! with the details of `articles/governance/policy/troubleshoot/general.md`.

use serde_json::{Value, json};

use crate::azure::Azure;
use crate::policy_rule::{self, Looked, member, resolved};
use crate::request::{Answer, Call, Reply};
use crate::world::{EXEMPTION, POLICY, POLICY_DEFINITION, POLICY_SET};
use crate::{arm_id, json, time};

/// One policy in force at a resource, its parameters put in.
struct InForce {
    assignment: Value,
    definition: Value,
    given: Value,
}

impl InForce {
    fn resolve(&self, value: &Value) -> Option<Value> {
        let defaults = json::at(&self.definition, &["properties", "parameters"]).cloned().unwrap_or_default();
        resolved(value, &self.given, &defaults)
    }

    fn effect(&self) -> String {
        let effect = json::at(&self.definition, &["properties", "policyRule", "then", "effect"]);
        let effect = effect.and_then(|effect| self.resolve(effect));
        effect.as_ref().and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase()
    }

    fn matches(&self, kind: &str, resource: &Value) -> bool {
        json::at(&self.definition, &["properties", "policyRule", "if"])
            .is_some_and(|rule| policy_rule::holds(rule, &Looked { kind, resource }, &|value| self.resolve(value)))
    }

    fn details(&self) -> Value {
        json::at(&self.definition, &["properties", "policyRule", "then", "details"]).cloned().unwrap_or_default()
    }
}

impl Azure {
    /// The resource as policies let it be written; `sent` is the part that the caller asked for.
    pub(crate) fn policed(&self, kind: &str, key: &str, mut resource: Value, sent: &Value) -> Result<Value, Answer> {
        let in_force = self.policies_at(key);
        for policy in &in_force {
            let effect = policy.effect();
            if !matches!(effect.as_str(), "modify" | "append") || !policy.matches(kind, &resource) {
                continue;
            }
            let details = policy.details();
            let operations = match &details {
                Value::Array(pairs) => pairs.clone(),
                other => member(other, "operations").and_then(Value::as_array).cloned().unwrap_or_default(),
            };
            for operation in operations {
                let Some(field) = member(&operation, "field").and_then(Value::as_str) else { continue };
                let Some(value) = member(&operation, "value").and_then(|value| policy.resolve(value)) else { continue };
                let clashes = policy_rule::get(kind, sent, field).is_some_and(|asked| *asked != value);
                if effect == "append" && clashes {
                    return Err(refusal(key, policy, field));
                }
                policy_rule::set(kind, &mut resource, field, value);
            }
        }
        match in_force.iter().find(|policy| policy.effect() == "deny" && policy.matches(kind, &resource)) {
            Some(policy) => Err(refusal(key, policy, "type")),
            None => Ok(resource),
        }
    }

    /// Whether policies let a resource be deleted.
    pub(crate) fn police_delete(&self, kind: &str, key: &str) -> Result<(), Answer> {
        let Some(resource) = self.world.get(key) else { return Ok(()) };
        let bars = |policy: &InForce| {
            let details = policy.details();
            let names = member(&details, "actionNames").and_then(Value::as_array).cloned().unwrap_or_default();
            policy.effect() == "denyaction"
                && names.iter().any(|name| name.as_str().is_some_and(|name| name.eq_ignore_ascii_case("delete")))
                && policy.matches(kind, resource)
        };
        match self.policies_at(key).iter().find(|policy| bars(policy)) {
            Some(policy) => Err(refusal(key, policy, "type")),
            None => Ok(()),
        }
    }

    /// What is in force at a resource: enforced, not left out, not exempted.
    fn policies_at(&self, key: &str) -> Vec<InForce> {
        let mut found = Vec::new();
        if self.world.keys_of(POLICY).next().is_none() {
            return found;
        }
        for (id, assignment) in self.world.extensions_covering(POLICY, key) {
            let word = |name: &str| json::text(assignment, &["properties", name]).unwrap_or_default();
            let left_out = json::at(assignment, &["properties", "notScopes"]).and_then(Value::as_array);
            let left_out = left_out.into_iter().flatten().filter_map(Value::as_str);
            if word("enforcementMode").eq_ignore_ascii_case("DoNotEnforce")
                || left_out.map(arm_id::key).any(|scope| arm_id::is_within(key, &scope))
            {
                continue;
            }
            let given = json::at(assignment, &["properties", "parameters"]).cloned().unwrap_or_default();
            let definition = arm_id::key(word("policyDefinitionId"));
            let Some(set) = self.world.typed(POLICY_SET, &definition) else {
                if let Some(definition) = self.policy_definition(&definition)
                    && !self.exempt(key, id, "")
                {
                    found.push(InForce { assignment: assignment.clone(), definition, given });
                }
                continue;
            };
            let defaults = json::at(set, &["properties", "parameters"]).cloned().unwrap_or_default();
            for part in
                json::at(set, &["properties", "policyDefinitions"]).and_then(Value::as_array).into_iter().flatten()
            {
                let reference = json::text(part, &["policyDefinitionReferenceId"]).unwrap_or_default();
                let id_of_part = arm_id::key(json::text(part, &["policyDefinitionId"]).unwrap_or_default());
                let Some(definition) = self.policy_definition(&id_of_part).filter(|_| !self.exempt(key, id, reference))
                else {
                    continue;
                };
                let mut own = json!({});
                for (name, entry) in part.get("parameters").and_then(Value::as_object).into_iter().flatten() {
                    let value = member(entry, "value").and_then(|value| resolved(value, &given, &defaults));
                    json::into_object(&mut own).insert(name.clone(), json!({"value": value}));
                }
                found.push(InForce { assignment: assignment.clone(), definition, given: own });
            }
        }
        found
    }

    fn policy_definition(&self, key: &str) -> Option<Value> {
        self.world.typed(POLICY_DEFINITION, key).cloned().or_else(|| policy_rule::built_in(arm_id::name(key)))
    }

    fn exempt(&self, key: &str, assignment: &str, reference: &str) -> bool {
        self.world.extensions_covering(EXEMPTION, key).any(|(_, exemption)| {
            let of = json::text(exemption, &["properties", "policyAssignmentId"]).map(arm_id::key);
            let ends = json::text(exemption, &["properties", "expiresOn"]).and_then(time::parse);
            let named = json::at(exemption, &["properties", "policyDefinitionReferenceIds"]).and_then(Value::as_array);
            of.as_deref() == Some(assignment)
                && ends.is_none_or(|ends| self.now < ends)
                && named.is_none_or(|named| {
                    let mut named = named.iter().filter_map(Value::as_str).peekable();
                    named.peek().is_none() || named.any(|one| one.eq_ignore_ascii_case(reference))
                })
        })
    }

    /// A definition or an initiative. Whoever signs in may read those that are built in, which is a design decision.
    pub(crate) fn get_policy(&self, caller: &str, call: &Call, scope: &str, kind: &str) -> Reply {
        let key = call.key();
        if kind == POLICY_DEFINITION
            && let Some(built_in) = policy_rule::built_in(arm_id::name(&key))
        {
            return Ok(Answer::ok(built_in));
        }
        let action = if kind == POLICY_SET { "policySetDefinitions" } else { "policyDefinitions" };
        self.authorize(caller, &format!("Microsoft.Authorization/{action}/read"), scope)?;
        match self.world.typed(kind, &key) {
            Some(definition) => Ok(Answer::ok(self.shown(call, definition))),
            None => {
                let (code, name) = (
                    if kind == POLICY_SET { "PolicySetDefinitionNotFound" } else { "PolicyDefinitionNotFound" },
                    arm_id::name(&key),
                );
                Err(Answer::error(404, code, format!("The policy definition '{name}' could not be found.")))
            }
        }
    }

    /// The caller's own permissions at a scope: a block for each block of each role it holds there.
    /// Source: azure-mgmt-authorization 4.0.0 `v2022_04_01`, `PermissionsOperations`.
    pub(crate) fn list_permissions(&self, caller: &str, call: &Call, scope: &str) -> Reply {
        self.authorize(caller, "Microsoft.Authorization/permissions/read", scope)?;
        let blocks = self.own_permissions(caller, scope);
        let count = blocks.len();
        self.page(call, (0..count).map(|n| format!("{n:06}")), |n| blocks.get(n.parse::<usize>().ok()?).cloned())
    }
}

/// 403 in Azure's words.
fn refusal(key: &str, policy: &InForce, field: &str) -> Answer {
    let name = arm_id::name(key);
    let of = |value: &Value, shown: &str| {
        json!({"name": json::text(value, &["properties", "displayName"]).or_else(|| json::text(value, &["name"])).unwrap_or(shown),
            "id": value.get("id").cloned().unwrap_or_default()})
    };
    let (assignment, definition) = (of(&policy.assignment, "assignment"), of(&policy.definition, "definition"));
    let message = format!(
        "Resource '{name}' was disallowed by policy. Policy identifiers: '{}'.",
        json!([{"policyAssignment": assignment, "policyDefinition": definition}])
    );
    let mut answer = Answer::error(403, "RequestDisallowedByPolicy", message);
    if let Some(error) = answer.body.as_mut().and_then(|body| body.get_mut("error")) {
        let error = json::into_object(error);
        error.insert("target".to_owned(), json!(name));
        error.insert(
            "additionalInfo".to_owned(),
            json!([{"type": "PolicyViolation", "info": {
                "policyAssignmentId": policy.assignment.get("id"), "policyDefinitionId": policy.definition.get("id"),
                "policyDefinitionEffect": policy.effect(),
                "evaluationDetails": {"evaluatedExpressions": [{"result": "True", "path": field}]},
            }}]),
        );
    }
    answer
}
