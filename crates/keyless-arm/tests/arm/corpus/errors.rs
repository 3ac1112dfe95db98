//! Refusals and failures, each put to the operation that would meet it: class, code, status, `Retry-After`, how often
//! it was asked again, and whether a write may have landed.

use keyless_arm::api::{Grant, ReadArm, WriteArm, WriteKind, Written};
use keyless_arm::error::{ArmError, ErrorClass, Landed, WriteError};
use keyless_core::desired::AuthMode;
use keyless_core::id::{ArmId, StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::observed::PrincipalType;
use serde_json::Value;

use super::walk::{AtLeast, Recorded, Report, answered_by, topic};
use crate::fake::{GUID, SUBSCRIPTION, account_id, workspace_id};

#[tokio::test(start_paused = true)]
async fn recorded_errors_mean_what_they_say() {
    let Some((exchanges, mut report)) = topic("errors") else { return };
    for one in exchanges.iter().flatten() {
        match one.status {
            400.. => check(&mut report, one).await,
            200 => failed_inside_a_success(&mut report, one).await,
            _ => {}
        }
    }
    report.finish(AtLeast { files: 181, parsed: 196, assertions: 1932 });
}

/// The codes of this corpus that say of the one thing asked for that it is not there.
const MISSING: &[&str] = &[
    "AccountNotFound",
    "ApplicationNotFound",
    "ClusterNotFound",
    "ContainerNotFound",
    "DeletedVaultNotFound",
    "DeploymentNotFound",
    "EntityNotFound",
    "IpFirewallRuleNotFound",
    "JobNotFound",
    "ManagedEnvironmentNotFound",
    "ManagementPartnerNotFound",
    "ManagementPolicyNotFound",
    "NamespaceNotFound",
    "NotFound",
    "ParentResourceNotFound",
    "PolicyDefinitionNotFound",
    "PolicySetDefinitionNotFound",
    "ReceiverNotFound",
    "ResourceGroupNotFound",
    "ResourceNotFound",
    "RoleAssignmentNotFound",
    "RoleDefinitionDoesNotExist",
    "ShareNotFound",
    "UserErrorGenericResourceNotFound",
];

/// Codes that say only that something is wrong within.
const WRAPPERS: &[&str] = &["UserError", "InvalidTemplateDeployment"];

/// Conflicts that do not pass by themselves.
const LASTING: &[&str] = &[
    "ScopeLocked",
    "MissingSubscriptionRegistration",
    "OperationNotAllowed",
    "PropertyChangeNotAllowed",
    "RoleAssignmentExists",
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Meaning {
    Absent,
    AlreadySo,
    Error(ErrorClass, Landed),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    One,
    List,
    Grant,
    Revoke,
    Write,
}

fn meaning(asked: Asked, status: u16, code: Option<&str>) -> Meaning {
    use ErrorClass::{Authentication, Bug, Propagating, Refused, Throttled, Transient, Unreadable};
    let read = matches!(asked, Asked::One | Asked::List);
    let code = code.unwrap_or_default();
    let class = match status {
        401 => Authentication,
        404 if asked == Asked::One && MISSING.contains(&code) => return Meaning::Absent,
        404 if asked == Asked::Revoke && MISSING.contains(&code) => return Meaning::AlreadySo,
        409 if asked == Asked::Grant && code == "RoleAssignmentExists" => return Meaning::AlreadySo,
        404 if code.is_empty() && read => Unreadable,
        404 if code == "InvalidResourceType" => Bug,
        400 if code == "PrincipalNotFound" => Propagating,
        400 if code == "InvalidQuery" => Bug,
        405 => Bug,
        400 | 403 | 404 => Refused,
        409 if LASTING.contains(&code) => Refused,
        409 | 412 => Transient,
        429 if code == "RetryableError" => Transient,
        429 => Throttled,
        500.. => return Meaning::Error(Transient, Landed::Unknown),
        other => panic!("status {other} was not met before"),
    };
    Meaning::Error(class, Landed::No)
}

/// The code, wherever the envelope keeps it, in whatever case and type.
pub(super) fn code_of(body: &Value) -> Option<String> {
    let field = |value: &Value, name: &str| {
        value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    };
    // What the recorder could not parse it kept as text.
    let parsed = body.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let body = parsed.as_ref().unwrap_or(body);
    let inner = field(body, "error").filter(Value::is_object).unwrap_or_else(|| body.clone());
    match field(&inner, "code") {
        Some(Value::String(code)) if !code.is_empty() => Some(code),
        Some(Value::Number(code)) => Some(code.to_string()),
        _ => field(body, "error")?.as_str().map(str::to_owned),
    }
}

fn inner_codes(value: &Value, codes: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                codes.extend(value.as_str().filter(|_| name.eq_ignore_ascii_case("code")).map(str::to_owned));
                inner_codes(value, codes);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| inner_codes(item, codes)),
        _ => {}
    }
}

/// Puts one failure to the operations that would meet it.
pub(super) async fn check(report: &mut Report, one: &Recorded) {
    report.parsed();
    let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
    let account = StorageAccountId::parse(&account_id()).unwrap();
    let scope = ArmId::parse(&account_id()).unwrap();
    let subscription: SubscriptionId = SUBSCRIPTION.parse().unwrap();
    let (client, asks) = answered_by(one);
    match one.method.as_str() {
        "GET" | "HEAD" => {
            let result = client.workspace(&workspace).await.map(|answer| answer.value.is_none());
            read(report, one, Asked::One, result, asks.lock().unwrap().len());
            let (client, asks) = answered_by(one);
            let result = client.account(&account).await.map(|answer| answer.value.is_none());
            read(report, one, Asked::One, result, asks.lock().unwrap().len());
            let (client, asks) = answered_by(one);
            let result = client.role_assignments(&scope).await.map(|answer| answer.value.is_empty());
            read(report, one, Asked::List, result, asks.lock().unwrap().len());
        }
        method => {
            let (asked, result) = match method {
                "PUT" => {
                    let permit = client.reserve_write(subscription, WriteKind::Grant).await.unwrap();
                    let grant = Grant {
                        scope,
                        name: GUID.parse().unwrap(),
                        principal: GUID.parse().unwrap(),
                        principal_type: PrincipalType::ServicePrincipal,
                        role: GUID.parse().unwrap(),
                        condition: None,
                        description: "x".to_owned(),
                    };
                    (Asked::Grant, client.grant_role(permit, &grant).await)
                }
                "DELETE" => {
                    let permit = client.reserve_write(subscription, WriteKind::Revoke).await.unwrap();
                    let id = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{GUID}");
                    (Asked::Revoke, client.revoke_role(permit, &ArmId::parse(&id).unwrap()).await)
                }
                "PATCH" | "POST" => {
                    let permit = client.reserve_write(subscription, WriteKind::Workspace).await.unwrap();
                    (Asked::Write, client.set_auth_mode(permit, &workspace, AuthMode::Identity).await)
                }
                other => panic!("{other} was not met before"),
            };
            let sent = asks.lock().unwrap().len();
            write(report, one, asked, result.map(|answer| answer.value), sent);
        }
    }
}

fn read(report: &mut Report, one: &Recorded, asked: Asked, result: Result<bool, ArmError>, sent: usize) {
    let expected = meaning(asked, one.status, code_of(&one.body).as_deref());
    let found = match &result {
        Ok(true) => Meaning::Absent,
        Ok(false) => panic!("{}: a failure read as a value", one.file),
        // A read has nothing to land; only its class is told.
        Err(error) => Meaning::Error(error.class, if one.status >= 500 { Landed::Unknown } else { Landed::No }),
    };
    report.same(one, "meaning", found, expected);
    if let Err(error) = &result {
        details(report, one, error);
    }
    let times = match expected {
        Meaning::Error(ErrorClass::Authentication, _) => 2,
        Meaning::Error(ErrorClass::Transient | ErrorClass::Throttled, _) => attempts(one),
        _ => 1,
    };
    report.same(one, "requests of a read", sent, times);
}

fn write(report: &mut Report, one: &Recorded, asked: Asked, result: Result<Written, WriteError>, sent: usize) {
    let expected = meaning(asked, one.status, code_of(&one.body).as_deref());
    let found = match &result {
        Ok(Written::AlreadySo) => Meaning::AlreadySo,
        Ok(Written::Changed) => panic!("{}: a failure read as a change", one.file),
        Err(failed) => Meaning::Error(failed.error.class, failed.landed),
    };
    report.same(one, "meaning", found, expected);
    if let Err(failed) = &result {
        details(report, one, &failed.error);
    }
    report.same(one, "requests of a write", sent, if one.status == 401 { 2 } else { 1 });
}

fn details(report: &mut Report, one: &Recorded, error: &ArmError) {
    report.same(one, "status", error.status, Some(one.status));
    // Where the outer code is only a wrapper, one from within says more.
    let outer = code_of(&one.body);
    let mut codes = Vec::from_iter(outer.clone());
    if outer.as_ref().is_some_and(|outer| WRAPPERS.contains(&outer.as_str())) {
        inner_codes(&one.body, &mut codes);
    }
    let told = error.code.as_ref().is_some_and(|code| codes.contains(code));
    report.same(one, "code", (told, error.code.is_some()), (outer.is_some(), outer.is_some()));
    report.same(one, "request id", error.request_id.as_deref(), one.header("x-ms-request-id"));
    let told = one.header("retry-after").map(|text| text.parse::<u64>().unwrap());
    report.same(one, "Retry-After", error.retry_after.map(|wait| wait.as_secs()), told);
    report.same(one, "a message on one line", error.message.is_empty() || error.message.contains('\n'), false);
}

/// Four at most, as long as the waits that Azure asked for fit in a minute.
fn attempts(one: &Recorded) -> usize {
    let told = one.header("retry-after").map_or(0, |text| text.parse::<u64>().unwrap());
    (1..4).take_while(|number| number * told <= 60).count() + 1
}

/// A status document that was answered with 200.
async fn failed_inside_a_success(report: &mut Report, one: &Recorded) {
    report.parsed();
    let (client, _) = answered_by(one);
    let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
    let permit = client.reserve_write(SUBSCRIPTION.parse().unwrap(), WriteKind::Workspace).await.unwrap();
    let failed = client.set_auth_mode(permit, &workspace, AuthMode::Identity).await.unwrap_err();
    report.same(one, "landed", failed.landed, Landed::Unknown);
    report.same(one, "code", failed.error.code, code_of(&one.body));
    report.same(one, "class", failed.error.class, ErrorClass::Transient);
    report.same(one, "the same as a workspace", client.workspace(&workspace).await.is_err(), true);
}
