//! What would lift a refusal, for the person who has to: taken from the body where it says, else from what was asked.
//!
//! Azure writes names and scopes into sentences; they are looked for here for display only, and nothing is decided by
//! them. Sources: the shapes of public error dumps, and of the recorded answers in the tests.

use http::StatusCode;
use serde_json::Value;

use crate::envelope::{Fault, field, shorten};
use crate::error::{ErrorClass, tenant_in};
use crate::operation::Operation;

/// What was asked, and of what.
pub(crate) struct Asked<'a> {
    pub(crate) operation: Operation,
    pub(crate) resource: &'a str,
}

/// The longest text taken from a body.
const MAX_PART: usize = 300;

/// What would lift this refusal; `None` where only time does, or nothing is known.
pub(crate) fn lift(asked: &Asked<'_>, class: ErrorClass, status: StatusCode, fault: &Fault) -> Option<String> {
    let code = fault.telling().unwrap_or_default().to_ascii_lowercase();
    let text = match (class, code.as_str()) {
        (ErrorClass::Authentication, _) => {
            "a credential of the tenant that the subscription belongs to, for the resource manager of this cloud"
                .to_owned()
        }
        (ErrorClass::Bug, "noregisteredproviderfound" | "invalidapiversionparameter" | "invalidresourcetype") => {
            let interface = asked.operation.interface();
            format!("a version that this cloud knows, in `apiVersions: {{{interface}: …}}` of the settings")
        }
        (ErrorClass::Bug, _) => "a correction of this program or its settings".to_owned(),
        (ErrorClass::Propagating, _) => {
            "time, if the principal was made in the last minutes; else the right object id in the files".to_owned()
        }
        (ErrorClass::Refused, "scopelocked") => locked(asked, fault),
        (ErrorClass::Refused, "requestdisallowedbypolicy") => policy(asked, fault),
        (ErrorClass::Refused, "authorizationfailed") => rights(asked, fault),
        (ErrorClass::Refused, "linkedauthorizationfailed") => linked(asked, fault),
        (ErrorClass::Refused, "denyassignmentauthorizationfailed") => denied(asked, fault),
        (ErrorClass::Refused, "authorizationfailure") => {
            format!("network rules at {} that let this machine in; roles are not what is missing", asked.resource)
        }
        (ErrorClass::Refused, "authorizationpermissionmismatch") => format!(
            "the data role at {}, or time if it was granted in the last minutes, or the end of a deny assignment",
            asked.resource
        ),
        (ErrorClass::Refused, "keybasedauthenticationnotpermitted") => {
            "a caller who signs with an identity in place of the account key".to_owned()
        }
        (ErrorClass::Refused, "roleassignmentlimitexceeded") => {
            "free role assignments in the subscription, or grants to groups in place of single principals".to_owned()
        }
        (ErrorClass::Refused, "roleassignmentupdatenotpermitted") => {
            "the end of the role assignment that has this name and is for somebody or something else".to_owned()
        }
        (ErrorClass::Refused, "roleassignmentexists") => "the existing role assignment".to_owned(),
        (ErrorClass::Refused, "roledefinitiondoesnotexist") => "a role that exists in this tenant".to_owned(),
        (ErrorClass::Refused, "unmatchedprincipaltype") => {
            "the kind of principal (`user`, `group`, `servicePrincipal`) that the directory has, in the files"
                .to_owned()
        }
        (ErrorClass::Refused, "invalidprincipalid") => "the principal's object id in the files".to_owned(),
        (ErrorClass::Refused, "missingsubscriptionregistration") => {
            let provider = between(&fault.message, "namespace '", "'").unwrap_or("the resource provider");
            format!("{provider} registered in the subscription")
        }
        (
            ErrorClass::Refused,
            "subscriptiondisabled" | "readonlydisabledsubscription" | "subscriptionstateforbidden",
        ) => "the subscription enabled again".to_owned(),
        (ErrorClass::Refused, "invalidauthenticationtokentenant") => foreign(asked, fault),
        (ErrorClass::Refused, "subscriptionnotfound") => {
            "the right of the controller to see the subscription, in the tenant it signs in to".to_owned()
        }
        (ErrorClass::Refused, _) if status == StatusCode::FORBIDDEN => rights(asked, fault),
        _ => return None,
    };
    Some(text)
}

fn locked(asked: &Asked<'_>, fault: &Fault) -> String {
    let scopes =
        between(&fault.message, "are locked: ", ". Please").or_else(|| between(&fault.message, "are locked: ", ""));
    let scopes = scopes.map(|scopes| part(&scopes.replace('\'', ""))).filter(|scopes| !scopes.trim().is_empty());
    match scopes {
        Some(scopes) => format!("remove the lock at {scopes}, for as long as the change takes"),
        None => format!("remove the lock at {} or above it, for as long as the change takes", asked.resource),
    }
}

fn rights(asked: &Asked<'_>, fault: &Fault) -> String {
    let message = &fault.message;
    let own = asked.operation.actions().first().copied().unwrap_or("the action");
    let action = between(message, "perform action '", "'").map_or_else(|| own.to_owned(), part);
    let scope = between(message, "over scope '", "'").map_or_else(|| asked.resource.to_owned(), part);
    let condition = if message.contains("ABAC condition") {
        ", or a condition of its role assignment that this fulfils"
    } else {
        ""
    };
    format!("grant the controller `{action}` at {scope}{condition}")
}

fn linked(asked: &Asked<'_>, fault: &Fault) -> String {
    let message = &fault.message;
    // The first action named is one that the caller has.
    let Some((_, rest)) = message.split_once("does not have permission to perform action") else {
        return format!("a right that {} needs on another resource: {}", asked.operation.name(), part(message));
    };
    let action = between(rest, "'", "'").map_or_else(|| "the action".to_owned(), part);
    let scope = between(rest, "scope(s) '", "'").map_or_else(|| "the linked resource".to_owned(), part);
    format!("grant the controller `{action}` at {scope}")
}

/// An account that stands in another tenant than its workspace is no use to that whatever the credential.
fn foreign(asked: &Asked<'_>, fault: &Fault) -> String {
    let tenant = tenant_in(&fault.message).map(|tenant| format!("tenant {tenant}, ")).unwrap_or_default();
    let own = format!("a credential of {tenant}the one that the subscription belongs to");
    if !asked.resource.to_ascii_lowercase().contains("/microsoft.storage/storageaccounts/") {
        return own;
    }
    format!("{own}; a workspace of another tenant cannot use this account on identity (`crossTenantAccount`)")
}

fn denied(asked: &Asked<'_>, fault: &Fault) -> String {
    let message = &fault.message;
    let name = between(message, "with name '", "'").map(part);
    let id = between(message, " Id '", "'").or_else(|| between(message, " id '", "'")).map(part);
    let named = match (name, id) {
        (Some(name), Some(id)) => format!(" `{name}` ({id})"),
        (Some(one), None) | (None, Some(one)) => format!(" `{one}`"),
        (None, None) => format!(" at {}", asked.resource),
    };
    format!("the end of the deny assignment{named}, or the controller among those it excludes")
}

/// The assignments that refuse, and which values of the resource they look at.
fn policy(asked: &Asked<'_>, fault: &Fault) -> String {
    let mut assignments = Vec::new();
    let mut looked_at = Vec::new();
    violations(&fault.body, &mut assignments, &mut looked_at, 0);
    if assignments.is_empty() {
        assignments = assignments_in(&full_message(&fault.body));
    }
    assignments.dedup();
    let of = if assignments.is_empty() {
        format!("of the policy that bars `{}`", asked.operation.name())
    } else {
        format!("of assignment {}", assignments.join(" and "))
    };
    let because = if looked_at.is_empty() { String::new() } else { format!(" (it looks at {})", looked_at.join(", ")) };
    format!("ask for a policy exemption {of} at {}{because}", asked.resource)
}

/// Collects from `additionalInfo` of type `PolicyViolation`, wherever it is nested.
fn violations(value: &Value, assignments: &mut Vec<String>, looked_at: &mut Vec<String>, depth: usize) {
    const DEPTH: usize = 8;
    const EXPRESSIONS: usize = 4;
    if depth > DEPTH {
        return;
    }
    for info in list(value, "additionalInfo").iter().filter_map(|entry| field(entry, "info")) {
        let text = |name: &str| field(info, name).and_then(Value::as_str).map(part);
        assignments.extend(text("policyAssignmentId").or_else(|| text("policyAssignmentName")));
        let details = field(info, "evaluationDetails");
        for expression in details.map(|details| list(details, "evaluatedExpressions")).unwrap_or_default() {
            let Some(path) = field(expression, "path").and_then(Value::as_str) else { continue };
            // Which type it is for does not tell what to change.
            if path.eq_ignore_ascii_case("type") || looked_at.len() >= EXPRESSIONS {
                continue;
            }
            let value = field(expression, "expressionValue").map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            looked_at.push(format!("`{}` = `{}`", part(path), part(&value.unwrap_or_default())));
        }
    }
    let inner = ["error", "innerError"].iter().filter_map(|name| field(value, name)).filter(|inner| inner.is_object());
    for inner in list(value, "details").iter().chain(inner) {
        violations(inner, assignments, looked_at, depth + 1);
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    field(value, name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The message before it was cut: a policy's ids stand at its end.
fn full_message(body: &Value) -> String {
    let mut error = field(body, "error").unwrap_or(body);
    // Through a deployment the refusal stands in the first of the details.
    while let Some(inner) = list(error, "details").first() {
        error = inner;
    }
    field(error, "message").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The ids in `Policy identifiers: '[{"policyAssignment":{"name":…,"id":…},…}]'.`
fn assignments_in(message: &str) -> Vec<String> {
    let Some(json) = between(message, "identifiers: '", "'.").or_else(|| between(message, "identifiers: '", "'"))
    else {
        return Vec::new();
    };
    let Ok(Value::Array(policies)) = serde_json::from_str(json) else { return Vec::new() };
    let ids = policies.iter().filter_map(|policy| {
        let assignment = field(policy, "policyAssignment")?;
        field(assignment, "id").or_else(|| field(assignment, "name")).and_then(Value::as_str).map(part)
    });
    ids.collect()
}

/// What stands between the first `from` and the next `to`, or the end where `to` is empty.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    if to.is_empty() { Some(rest) } else { rest.split_once(to).map(|(part, _)| part) }
}

/// A text of a body, on one line and of limited length.
fn part(text: &str) -> String {
    let line = shorten(text);
    if line.chars().count() <= MAX_PART { line } else { line.chars().take(MAX_PART).chain("...".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Kind, Verdict, classify};
    use crate::envelope;

    const ACCOUNT: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/st";

    fn lifted(operation: Operation, status: u16, body: &str) -> Option<String> {
        let (status, fault) = (StatusCode::from_u16(status).unwrap(), envelope::read(body.as_bytes()));
        let kind = if operation == Operation::GrantRole { Kind::Grant } else { Kind::Patch };
        let class = match classify(kind, status, &fault) {
            Verdict::Failed(class, _) => class,
            Verdict::Unauthorized => ErrorClass::Authentication,
            other => panic!("{body} is no failure but {other:?}"),
        };
        lift(&Asked { operation, resource: ACCOUNT }, class, status, &fault)
    }

    fn check(operation: Operation, status: u16, body: &str, expected: &str) {
        assert_eq!(lifted(operation, status, body).as_deref(), Some(expected), "{body}");
    }

    #[test]
    fn a_lock_is_named_with_its_scope() {
        let body = r#"{"error":{"code":"ScopeLocked","message":"The scope '/subscriptions/s/x' cannot perform write operation because following scope(s) are locked: '/subscriptions/s/resourcegroups/rg'. Please remove the lock and try again."}}"#;
        check(
            Operation::SetSharedKeyAccess,
            409,
            body,
            "remove the lock at /subscriptions/s/resourcegroups/rg, for as long as the change takes",
        );
        let terse = r#"{"error":{"code":"ScopeLocked","message":"locked"}}"#;
        let text = lifted(Operation::SetSharedKeyAccess, 409, terse).unwrap();
        assert!(text.contains(ACCOUNT), "{text}");
    }

    #[test]
    fn a_policy_is_named_with_its_assignment_and_what_it_looks_at() {
        let violation = r#"{"error":{"code":"RequestDisallowedByPolicy","message":"m","additionalInfo":[{"type":"PolicyViolation","info":{"policyAssignmentId":"/subscriptions/s/providers/Microsoft.Authorization/policyAssignments/p","evaluationDetails":{"evaluatedExpressions":[{"path":"type","expressionValue":"Microsoft.Storage/storageAccounts"},{"path":"properties.allowSharedKeyAccess","expressionValue":true,"operator":"NotEquals"}]}}}]}}"#;
        let expected = format!(
            "ask for a policy exemption of assignment /subscriptions/s/providers/Microsoft.Authorization/policyAssignments/p \
             at {ACCOUNT} (it looks at `properties.allowSharedKeyAccess` = `true`)"
        );
        check(Operation::SetSharedKeyAccess, 403, violation, &expected);
        let nested = format!(
            r#"{{"error":{{"code":"InvalidTemplateDeployment","details":[{}]}}}}"#,
            violation.trim_start_matches(r#"{"error":"#).trim_end_matches('}').to_owned() + "}"
        );
        assert!(serde_json::from_str::<Value>(&nested).is_ok(), "{nested}");
        check(Operation::SetSharedKeyAccess, 400, &nested, &expected);
        // Only in the message, behind more than is kept of it.
        let long = "x".repeat(700);
        let packed = format!(
            r#"{{"error":{{"code":"RequestDisallowedByPolicy","message":"Resource 'st' {long} was disallowed by policy. Policy identifiers: '[{{\"policyAssignment\":{{\"name\":\"n\",\"id\":\"/p/a\"}}}},{{\"policyAssignment\":{{\"id\":\"/p/b\"}}}}]'."}}}}"#
        );
        check(
            Operation::SetSharedKeyAccess,
            403,
            &packed,
            &format!("ask for a policy exemption of assignment /p/a and /p/b at {ACCOUNT}"),
        );
        check(
            Operation::SetSharedKeyAccess,
            403,
            r#"{"error":{"code":"RequestDisallowedByPolicy","message":"no"}}"#,
            &format!("ask for a policy exemption of the policy that bars `set shared key access` at {ACCOUNT}"),
        );
    }

    #[test]
    fn a_missing_right_is_named_with_its_scope() {
        let body = r#"{"error":{"code":"AuthorizationFailed","message":"The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.Storage/storageAccounts/write' over scope '/subscriptions/s/rg' or the scope is invalid. If access was recently granted, please refresh your credentials."}}"#;
        check(
            Operation::SetSharedKeyAccess,
            403,
            body,
            "grant the controller `Microsoft.Storage/storageAccounts/write` at /subscriptions/s/rg",
        );
        let conditional = r#"{"error":{"code":"AuthorizationFailed","message":"The client does not have authorization or an ABAC condition not fulfilled to perform action 'Microsoft.Authorization/roleAssignments/write' over scope '/s'"}}"#;
        let text = lifted(Operation::GrantRole, 403, conditional).unwrap();
        assert!(text.contains("roleAssignments/write` at /s, or a condition"), "{text}");
        // Said in other words, the request itself tells what it needed.
        check(
            Operation::GrantRole,
            403,
            r#"{"error":{"code":"Forbidden","message":"no"}}"#,
            &format!("grant the controller `Microsoft.Authorization/roleAssignments/write` at {ACCOUNT}"),
        );
        let linked = r#"{"error":{"code":"LinkedAuthorizationFailed","message":"The client 'c' has permission to perform action 'a/b' on scope '/one'; however, it does not have permission to perform action 'join/action' on the linked scope(s) '/two' or the linked scope(s) are invalid."}}"#;
        check(Operation::SetAuthMode, 403, linked, "grant the controller `join/action` at /two");
        let denied = r#"{"error":{"code":"DenyAssignmentAuthorizationFailed","message":"The client has permission to perform action 'x' on scope '/s'; however, the access is denied because of the deny assignment with name 'stack' and Id 'd1' at scope '/s'."}}"#;
        let text = lifted(Operation::GrantRole, 403, denied).unwrap();
        assert!(text.contains("`stack` (d1)"), "{text}");
    }

    #[test]
    fn everything_that_waits_for_a_person_says_what_lifts_it() {
        for (operation, status, code, words) in [
            (Operation::GrantRole, 400, "RoleAssignmentLimitExceeded", "grants to groups"),
            (Operation::GrantRole, 400, "RoleAssignmentUpdateNotPermitted", "has this name"),
            (Operation::GrantRole, 400, "RoleDefinitionDoesNotExist", "a role that exists"),
            (Operation::GrantRole, 400, "UnmatchedPrincipalType", "kind of principal"),
            (Operation::GrantRole, 400, "InvalidPrincipalId", "object id"),
            (Operation::GrantRole, 400, "PrincipalNotFound", "object id"),
            (Operation::SetAuthMode, 409, "MissingSubscriptionRegistration", "registered"),
            (Operation::SetAuthMode, 403, "SubscriptionDisabled", "enabled"),
            (Operation::GetWorkspace, 404, "SubscriptionNotFound", "see the subscription"),
            (Operation::GetWorkspace, 400, "NoRegisteredProviderFound", "`apiVersions: {workspaces: …}`"),
            (Operation::GetStorageAccount, 403, "AuthorizationFailure", "network rules"),
            (Operation::GetStorageAccount, 403, "AuthorizationPermissionMismatch", "data role"),
            (Operation::GetStorageAccount, 403, "KeyBasedAuthenticationNotPermitted", "identity"),
            (Operation::GetWorkspace, 401, "InvalidAuthenticationToken", "tenant"),
            (Operation::GetStorageAccount, 401, "InvalidAuthenticationTokenTenant", "`crossTenantAccount`"),
            (
                Operation::GetWorkspace,
                401,
                "InvalidAuthenticationTokenTenant",
                "the one that the subscription belongs to",
            ),
        ] {
            let body = format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
            let text = lifted(operation, status, &body).unwrap_or_default();
            assert!(text.contains(words), "{code}: {text:?}");
        }
        assert_eq!(lifted(Operation::SetAuthMode, 503, "<html>"), None, "time lifts it");
    }
}
