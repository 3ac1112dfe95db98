//! Events of the activity log, as far as they tell that a write succeeded.
//!
//! Source: <https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema>; all values are texts, numbers
//! too, and any part may be missing.

use keyless_core::observed::{Caller, CallerKind, Change, ChangedTo, ObservedAuthMode};
use serde_json::Value;

use super::node::{Node, Result};

/// What a Modify policy does to a request under way.
const MODIFIES: &str = "microsoft.authorization/policies/modify/action";

const OBJECT_ID: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";
const SCOPE: &str = "http://schemas.microsoft.com/identity/claims/scope";
const NAMES: [&str; 2] = [
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
];

/// The write that an event tells of; `None` for a beginning, a failure, and what does not write. Of the events of one
/// operation the last that succeeded tells, for an accepted one may still fail.
pub(crate) fn change(event: &Node<'_>, is_own: impl Fn(&Caller, Option<&str>) -> bool) -> Result<Option<Change>> {
    let word = |name: &str| Ok(event.opt_object(name)?.map(|node| node.opt_text("value")).transpose()?.flatten());
    let operation = word("operationName")?.unwrap_or_default().to_owned();
    let folded = operation.to_ascii_lowercase();
    let by_policy = folded == MODIFIES;
    let writes = folded.ends_with("/write") || folded.ends_with("/delete");
    let succeeded = word("status")?.is_some_and(|status| status.eq_ignore_ascii_case("Succeeded"));
    let ended = word("eventName")?.is_some_and(|name| name.eq_ignore_ascii_case("EndRequest"));
    if !succeeded || !(by_policy || (writes && ended)) {
        return Ok(None);
    }
    let Some(at) = event.opt_time("eventTimestamp")? else { return event.fail("`eventTimestamp` is missing") };
    let request = event.opt_object("httpRequest")?;
    let client_request_id = request.map(|node| node.opt_text("clientRequestId")).transpose()?.flatten();
    let by = caller(event)?;
    let own = is_own(&by, client_request_id);
    let properties = event.opt_object("properties")?;
    let property = |name: &str| Ok(properties.as_ref().map(|node| node.opt_text(name)).transpose()?.flatten());
    Ok(Some(Change {
        at,
        operation,
        resource: resource(event)?,
        own,
        by,
        policies: if by_policy { policies(property("policies")?.unwrap_or_default()) } else { Vec::new() },
        correlation_id: event.opt_text("correlationId")?.map(str::to_owned),
        client_request_id: client_request_id.map(str::to_owned),
        body: None,
    }))
}

/// What the request asked for, under its correlation id and the resource, where this event tells; another event of the
/// same request tells what came of it.
pub(crate) fn body(event: &Node<'_>) -> Result<Option<((String, String), ChangedTo)>> {
    let Some(properties) = event.opt_object("properties")? else { return Ok(None) };
    let (Some(text), Some(id)) = (properties.opt_text("requestbody")?, event.opt_text("correlationId")?) else {
        return Ok(None);
    };
    let Some(changed_to) = changed_to(text) else { return Ok(None) };
    Ok(Some(((id.to_owned(), resource(event)?), changed_to)))
}

fn resource(event: &Node<'_>) -> Result<String> {
    Ok(event.text("resourceId")?.trim_end_matches('/').to_ascii_lowercase())
}

fn caller(event: &Node<'_>) -> Result<Caller> {
    let claims = event.opt_object("claims")?;
    let claim = |name: &str| Ok(claims.as_ref().map(|node| node.opt_text(name)).transpose()?.flatten());
    let told = event.opt_text("caller")?;
    let mut user = None;
    for name in NAMES {
        user = user.or(claim(name)?.filter(|name| name.contains('@')));
    }
    let user = user.or(told.filter(|told| told.contains('@')));
    // The id of a managed identity's resource; the name of the claim has no public source beyond reports.
    let managed = claim("xms_mirid")?;
    let app = claim("appid")?;
    let kind = match (user, managed, app) {
        (_, Some(_), _) => CallerKind::ManagedIdentity,
        (Some(_), ..) => CallerKind::User,
        (None, None, _) if claim(SCOPE)?.is_some() => CallerKind::User,
        (None, None, Some(_)) => CallerKind::Application,
        (None, None, None) => CallerKind::Unknown,
    };
    // Where there are no claims the caller may be the object id itself.
    let object_id = claim(OBJECT_ID)?.or(told).and_then(|id| id.parse().ok());
    let managed = managed.map(|id| id.rsplit('/').next().unwrap_or(id));
    let named = match kind {
        CallerKind::ManagedIdentity => managed,
        CallerKind::User => user,
        CallerKind::Application => None,
        CallerKind::Unknown => told.filter(|_| object_id.is_none()),
    };
    Ok(Caller { kind, name: named.map(str::to_owned), object_id, app_id: app.map(str::to_owned) })
}

/// The assignments' names in the list that a policy's event carries as text.
///
/// Source: the sample of category Policy in the schema's documentation.
fn policies(text: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(text).unwrap_or_default();
    let name = |policy: &Value| {
        ["policyAssignmentDisplayName", "policyAssignmentName", "policyDefinitionName"]
            .iter()
            .find_map(|name| policy.get(name)?.as_str())
            .map(str::to_owned)
    };
    let names: Vec<String> = list.as_array().into_iter().flatten().filter_map(name).collect();
    if names.is_empty() { vec!["a policy that the log does not name".to_owned()] } else { names }
}

/// What the body of a request asks for; `None` where it cannot be read, for it may be cut.
fn changed_to(text: &str) -> Option<ChangedTo> {
    let body: Value = serde_json::from_str(text).ok()?;
    let body = Node::root(&body);
    let Ok(Some(properties)) = body.opt_object("properties") else { return Some(ChangedTo::default()) };
    Some(ChangedTo {
        shared_key: properties.opt_bool("allowSharedKeyAccess").ok().flatten(),
        auth_mode: properties
            .opt_text("systemDatastoresAuthMode")
            .ok()
            .flatten()
            .map(|mode| ObservedAuthMode::from_wire(Some(mode))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ACCOUNT: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/St";

    fn event(changed: &Value) -> Value {
        let mut event = json!({
            "caller": "dana@example.com",
            "claims": {
                OBJECT_ID: "5e7a1b2c-0000-4000-8000-00000000abcd", NAMES[0]: "dana@example.com",
                "appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46", SCOPE: "user_impersonation", "exp": "1769937247",
            },
            "correlationId": "c-1", "eventName": {"value": "EndRequest", "localizedValue": "End request"},
            "eventTimestamp": "2026-02-03T09:14:07.4420133Z", "submissionTimestamp": "2026-02-03T09:16:07Z",
            "httpRequest": {"clientRequestId": "r-1", "clientIpAddress": "203.0.113.7", "method": "PATCH"},
            "operationName": {"value": "Microsoft.Storage/storageAccounts/write"}, "resourceId": ACCOUNT,
            "status": {"value": "Succeeded"}, "subStatus": {"value": ""},
        });
        event.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        event
    }

    fn read(changed: &Value) -> Option<Change> {
        change(&Node::root(&event(changed)), |_, _| false).unwrap()
    }

    #[test]
    fn a_write_tells_who_when_and_through_which_client() {
        let change = read(&json!({})).unwrap();
        assert_eq!(change.at, "2026-02-03T09:14:07.4420133Z".parse().unwrap());
        assert_eq!(change.resource, ACCOUNT.to_ascii_lowercase());
        assert_eq!(change.by.to_string(), "dana@example.com");
        assert_eq!(change.by.app_id.as_deref(), Some("04b07795-8ddb-461a-bbee-02f9e1bf7b46"));
        assert_eq!((change.correlation_id.as_deref(), change.client_request_id.as_deref()), (Some("c-1"), Some("r-1")));
        assert_eq!(change.body, None, "the log does not tell what it was changed to");
    }

    #[test]
    fn only_what_ended_and_succeeded_is_a_change() {
        for odd in [
            json!({"eventName": {"value": "BeginRequest"}, "status": {"value": "Started"}}),
            json!({"status": {"value": "Accepted"}}),
            json!({"status": {"value": "Failed"}, "subStatus": {"value": "Forbidden"}}),
            json!({"operationName": {"value": "Microsoft.Storage/storageAccounts/listKeys/action"}}),
            json!({"operationName": null}),
            json!({"eventName": null}),
        ] {
            assert_eq!(read(&odd), None, "{odd}");
        }
        let loose = read(&json!({"operationName": {"value": "MICROSOFT.STORAGE/STORAGEACCOUNTS/WRITE"}}));
        assert!(loose.is_some());
        let dateless = event(&json!({"eventTimestamp": "soon"}));
        assert!(change(&Node::root(&dateless), |_, _| false).is_err(), "a change without its time is no change at all");
    }

    #[test]
    fn callers_of_every_kind_are_named_by_what_is_told_of_them() {
        const OID: &str = "5e7a1b2c-0000-4000-8000-00000000abcd";
        let identity =
            "/subscriptions/s/resourcegroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/pol";
        for (changed, shown) in [
            (
                json!({"caller": OID, "claims": {OBJECT_ID: OID, "appid": "a-1"}}),
                format!("application a-1 (object {OID})"),
            ),
            (
                json!({"caller": OID, "claims": {OBJECT_ID: OID, "appid": "a-1", "xms_mirid": identity}}),
                format!("managed identity pol (object {OID})"),
            ),
            (json!({"caller": OID, "claims": null}), format!("caller with object id {OID}")),
            (json!({"caller": "Microsoft.Something", "claims": {}}), "caller Microsoft.Something".to_owned()),
            (json!({"caller": null, "claims": {}}), "a caller that the log does not name".to_owned()),
            (json!({"claims": {NAMES[1]: "eve@example.com"}}), "eve@example.com".to_owned()),
            (json!({"caller": "mail@example.com", "claims": {"appid": "a-1"}}), "mail@example.com".to_owned()),
            (json!({"caller": OID, "claims": {OBJECT_ID: OID, SCOPE: "x"}}), format!("user with object id {OID}")),
        ] {
            assert_eq!(read(&changed).unwrap().by.to_string(), shown, "{changed}");
        }
    }

    #[test]
    fn a_body_tells_what_was_asked_for_where_the_log_has_it() {
        let body = |text: &str| {
            let event = event(&json!({"eventName": {"value": "BeginRequest"}, "properties": {"requestbody": text}}));
            super::body(&Node::root(&event)).unwrap().map(|((id, resource), body)| {
                assert_eq!((&*id, resource), ("c-1", ACCOUNT.to_ascii_lowercase()));
                body
            })
        };
        assert_eq!(body(r#"{"properties":{"allowSharedKeyAccess":true}}"#).unwrap().shared_key, Some(true));
        let mode = body(r#"{"properties":{"systemDatastoresAuthMode":"accesskey"}}"#).unwrap().auth_mode;
        assert_eq!(mode, Some(ObservedAuthMode::AccessKey));
        assert_eq!(body(r#"{"tags":{}}"#), Some(ChangedTo::default()));
        assert_eq!(body(r#"{"properties":{"allowShar"#), None, "a body that was cut tells nothing");
    }

    #[test]
    fn a_policy_that_changes_a_request_is_named() {
        let list = r#"[{"policyDefinitionEffect":"Modify","policyAssignmentName":"keys-stay-on"}]"#;
        let changed = json!({"operationName": {"value": "Microsoft.Authorization/policies/modify/action"},
            "properties": {"isComplianceCheck": "False", "policies": list}});
        assert_eq!(read(&changed).unwrap().policies, ["keys-stay-on"]);
        let nameless = json!({"operationName": {"value": "Microsoft.Authorization/policies/modify/action"}});
        assert_eq!(read(&nameless).unwrap().policies.len(), 1);
    }
}
