//! Writing: one request, one outcome, and honesty about what is not known.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use keyless_arm::api::{Grant, ReadArm, WriteArm, WriteKind, WritePermit, Written};
use keyless_arm::client::Client;
use keyless_arm::error::{ErrorClass, Landed, WriteError};
use keyless_arm::secret::Secret;
use keyless_arm::token::{TokenError, TokenSource};
use keyless_arm::wire::WireError;
use keyless_core::desired::AuthMode;
use keyless_core::id::{ArmId, StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::observed::PrincipalType;
use serde_json::json;
use tokio::time::Instant;

use crate::fake::{
    Asks, BASE, GUID, SUBSCRIPTION, account_id, client, client_with, error, reply, silence, workspace_id,
};

fn subscription() -> SubscriptionId {
    SUBSCRIPTION.parse().unwrap()
}

async fn permit(client: &Client, kind: WriteKind) -> WritePermit {
    client.reserve_write(subscription(), kind).await.unwrap()
}

async fn set_key(client: &Client, allowed: bool) -> Result<Written, WriteError> {
    let permit = permit(client, WriteKind::Account).await;
    let account = StorageAccountId::parse(&account_id()).unwrap();
    client.set_shared_key_access(permit, &account, allowed).await.map(|answer| answer.value)
}

async fn set_mode(client: &Client, mode: AuthMode) -> Result<Written, WriteError> {
    let permit = permit(client, WriteKind::Workspace).await;
    let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
    client.set_auth_mode(permit, &workspace, mode).await.map(|answer| answer.value)
}

async fn grant(client: &Client) -> Result<Written, WriteError> {
    grant_under(client, None).await
}

async fn grant_under(client: &Client, condition: Option<&str>) -> Result<Written, WriteError> {
    let grant = Grant {
        scope: ArmId::parse(&account_id()).unwrap(),
        name: GUID.parse().unwrap(),
        principal: GUID.parse().unwrap(),
        principal_type: PrincipalType::ServicePrincipal,
        role: "ba92f5b4-2d11-453d-a403-e96b0029c9fe".parse().unwrap(),
        condition: condition.map(str::to_owned),
        description: "keyless owner=prod".to_owned(),
    };
    let permit = permit(client, WriteKind::Grant).await;
    client.grant_role(permit, &grant).await.map(|answer| answer.value)
}

async fn revoke(client: &Client) -> Result<Written, WriteError> {
    let id = format!("{}/providers/Microsoft.Authorization/roleAssignments/{GUID}", account_id());
    let permit = permit(client, WriteKind::Revoke).await;
    client.revoke_role(permit, &ArmId::parse(&id).unwrap()).await.map(|answer| answer.value)
}

fn fixed(status: u16, headers: &'static [(&str, &str)], body: &'static str) -> (Client, Asks) {
    client(move |_, _| async move { reply(status, headers, body) })
}

fn workspace_body(state: &str) -> String {
    json!({"id": workspace_id(), "properties": {"provisioningState": state}}).to_string()
}

#[tokio::test(start_paused = true)]
async fn a_patch_carries_the_one_property_it_changes() {
    let (client, asks) = client(|_, _| async { reply(200, &[], workspace_body("Succeeded")) });
    assert_eq!(set_key(&client, false).await.unwrap(), Written::Changed);
    assert_eq!(set_mode(&client, AuthMode::Identity).await.unwrap(), Written::Changed);
    set_mode(&client, AuthMode::AccessKey).await.unwrap();
    let asks = asks.lock().unwrap();
    assert_eq!(asks[0].body, json!({"properties": {"allowSharedKeyAccess": false}}));
    assert_eq!((asks[0].method.as_str(), asks[0].token.as_str()), ("PATCH", "Bearer token-1"));
    assert_eq!(asks[1].body, json!({"properties": {"systemDatastoresAuthMode": "Identity"}}));
    assert_eq!(asks[1].url, format!("{BASE}{}?api-version=2025-09-01", workspace_id()));
    assert_eq!(asks[2].body, json!({"properties": {"systemDatastoresAuthMode": "AccessKey"}}));
}

#[tokio::test(start_paused = true)]
async fn a_grant_carries_its_condition_and_the_version_of_that() {
    let (client, asks) = fixed(201, &[], "{}");
    let condition = "(@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'raw')";
    assert_eq!(grant_under(&client, Some(condition)).await.unwrap(), Written::Changed);
    let properties = asks.lock().unwrap()[0].body["properties"].clone();
    assert_eq!((&properties["condition"], &properties["conditionVersion"]), (&json!(condition), &json!("2.0")));
}

#[tokio::test(start_paused = true)]
async fn a_grant_names_the_principals_type_and_says_whether_it_was_new() {
    let (client, asks) = fixed(201, &[], "{}");
    assert_eq!(grant(&client).await.unwrap(), Written::Changed);
    let asked = asks.lock().unwrap()[0].clone();
    assert_eq!(asked.method, "PUT");
    assert_eq!(
        asked.url,
        format!(
            "{BASE}{}/providers/Microsoft.Authorization/roleAssignments/{GUID}?api-version=2022-04-01",
            account_id()
        )
    );
    assert_eq!(
        asked.body,
        json!({"properties": {
            "roleDefinitionId": format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
            "principalId": GUID, "principalType": "ServicePrincipal", "description": "keyless owner=prod"
        }})
    );
    assert_eq!(grant(&fixed(200, &[], "{}").0).await.unwrap(), Written::AlreadySo);
    let (client, _) = crate::fake::client(|_, _| async { error(409, "RoleAssignmentExists") });
    assert_eq!(grant(&client).await.unwrap(), Written::AlreadySo);
}

#[tokio::test(start_paused = true)]
async fn a_revoke_of_what_is_gone_is_already_so() {
    assert_eq!(revoke(&fixed(200, &[], "{}").0).await.unwrap(), Written::Changed);
    assert_eq!(revoke(&fixed(204, &[], "").0).await.unwrap(), Written::AlreadySo);
    let (client, asks) = fixed(200, &[], "{}");
    let permit = permit(&client, WriteKind::Revoke).await;
    let error = client.revoke_role(permit, &ArmId::parse(&account_id()).unwrap()).await.unwrap_err();
    assert_eq!((error.landed, error.error.class), (Landed::No, ErrorClass::Bug));
    assert_eq!(asks.lock().unwrap().len(), 0, "an account is never deleted in place of an assignment");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_not_landed_and_is_not_repeated() {
    for (status, code, class) in [
        (409, "ScopeLocked", ErrorClass::Refused),
        (403, "RequestDisallowedByPolicy", ErrorClass::Refused),
        (409, "StorageAccountOperationInProgress", ErrorClass::Transient),
        (429, "TooManyRequests", ErrorClass::Throttled),
        (400, "PrincipalNotFound", ErrorClass::Propagating),
    ] {
        let (client, asks) = client(move |_, _| async move { error(status, code) });
        let failed = set_key(&client, true).await.unwrap_err();
        assert_eq!((failed.landed, failed.error.class), (Landed::No, class), "{code}");
        assert_eq!(asks.lock().unwrap().len(), 1, "{code}");
    }
    let (client, _) = fixed(429, &[("retry-after", "36")], "");
    assert_eq!(grant(&client).await.unwrap_err().error.retry_after, Some(Duration::from_secs(36)));
}

#[tokio::test(start_paused = true)]
async fn what_may_have_had_an_effect_is_unknown_and_never_repeated() {
    type Answer = fn() -> Result<Response<Bytes>, WireError>;
    let cases: [Answer; 6] = [
        || error(500, "InternalServerError"),
        || error(504, "GatewayTimeout"),
        || reply(503, &[], "<html>"),
        || reply(200, &[], "<html>a captive portal</html>"),
        || reply(302, &[("location", "https://elsewhere.example")], ""),
        || Err(WireError::Unknown("reset".to_owned())),
    ];
    for answer in cases {
        let (client, asks) = client(move |_, _| async move { answer() });
        for failed in [
            set_key(&client, false).await.unwrap_err(),
            set_mode(&client, AuthMode::Identity).await.unwrap_err(),
            grant(&client).await.unwrap_err(),
            revoke(&client).await.unwrap_err(),
        ] {
            assert_eq!(failed.landed, Landed::Unknown, "{failed}");
        }
        assert_eq!(asks.lock().unwrap().len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_is_abandoned_after_eight_seconds() {
    let (client, asks) = client(|_, _| silence());
    let permit = permit(&client, WriteKind::Workspace).await;
    let start = Instant::now();
    let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
    let failed = client.set_auth_mode(permit, &workspace, AuthMode::Identity).await.unwrap_err();
    assert_eq!((failed.landed, start.elapsed()), (Landed::Unknown, Duration::from_secs(8)));
    assert_eq!(asks.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_never_left_has_not_landed() {
    let (client, _) = client(|_, _| async { Err(WireError::NotSent("connection refused".to_owned())) });
    let failed = set_key(&client, false).await.unwrap_err();
    assert_eq!((failed.landed, failed.error.class), (Landed::No, ErrorClass::Transient));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_safe_to_replace_even_for_a_write() {
    let (client, asks) = client(|number, _| async move {
        if number == 1 { error(401, "ExpiredAuthenticationToken") } else { reply(201, &[], "{}") }
    });
    assert_eq!(grant(&client).await.unwrap(), Written::Changed);
    assert_eq!(asks.lock().unwrap()[1].token, "Bearer token-2");
    let (client, asks) = crate::fake::client(|_, _| async { error(401, "ExpiredAuthenticationToken") });
    let failed = grant(&client).await.unwrap_err();
    assert_eq!((failed.landed, failed.error.class), (Landed::No, ErrorClass::Authentication));
    assert_eq!(asks.lock().unwrap().len(), 2);
}

const POLL: &str = "https://arm.example/poll?t=1&c=x&s=y&h=z";

#[tokio::test(start_paused = true)]
async fn an_operation_is_followed_by_its_status_with_fractional_waits() {
    let (client, asks) = client(|number, _| async move {
        match number {
            1 => reply(
                202,
                &[("azure-asyncoperation", POLL), ("location", "https://arm.example/other"), ("retry-after", "10")],
                "",
            ),
            2 => reply(200, &[("retry-after", "0.25")], json!({"status": "Enqueued"})),
            3 => error(504, "GatewayTimeout"),
            4 => reply(200, &[], json!({"status": "InProgress"})),
            _ => reply(200, &[], json!({"status": "Succeeded", "percentComplete": 100.0})),
        }
    });
    let start = Instant::now();
    assert_eq!(set_mode(&client, AuthMode::Identity).await.unwrap(), Written::Changed);
    let elapsed = start.elapsed();
    assert!(elapsed > Duration::from_millis(10_250) && elapsed < Duration::from_secs(30), "{elapsed:?}");
    let asks = asks.lock().unwrap();
    assert_eq!(asks.len(), 5);
    assert!(asks[1..].iter().all(|asked| asked.url == POLL && asked.method == "GET"));
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_followed_by_its_location_which_may_move() {
    let (client, asks) = client(|number, _| async move {
        match number {
            1 => reply(202, &[("location", "https://arm.example/locations/East US/1")], ""),
            2 => reply(202, &[("location", "/locations/2")], ""),
            _ => reply(200, &[], workspace_body("Succeeded")),
        }
    });
    assert_eq!(set_mode(&client, AuthMode::Identity).await.unwrap(), Written::Changed);
    let asks = asks.lock().unwrap();
    assert_eq!(asks[1].url, format!("{BASE}/locations/East%20US/1"));
    assert_eq!(asks[2].url, format!("{BASE}/locations/2"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_inside_a_200_is_a_failure_with_its_code() {
    let failed_body = json!({"status": "Failed", "error": {"code": "InternalServerError", "message": "boom"}});
    for header in ["location", "azure-asyncoperation"] {
        let body = failed_body.to_string();
        let (client, _) = client(move |number, _| {
            let body = body.clone();
            async move { if number == 1 { reply(202, &[(header, POLL)], "") } else { reply(200, &[], body) } }
        });
        let failed = set_mode(&client, AuthMode::Identity).await.unwrap_err();
        assert_eq!(failed.error.code.as_deref(), Some("InternalServerError"), "{header}");
        assert_eq!((failed.landed, failed.error.class), (Landed::Unknown, ErrorClass::Transient));
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_ends_in_a_refusal_waits_for_a_person() {
    let (client, _) = client(|number, _| async move {
        match number {
            1 => reply(202, &[("location", POLL)], ""),
            _ => reply(200, &[], json!({"status": "Failed", "error": {"code": "RequestDisallowedByPolicy"}})),
        }
    });
    let failed = set_mode(&client, AuthMode::Identity).await.unwrap_err();
    assert_eq!((failed.landed, failed.error.class), (Landed::No, ErrorClass::Refused));
    assert!(failed.error.lift.unwrap().contains("policy exemption"));
}

#[tokio::test(start_paused = true)]
async fn an_operation_whose_status_is_gone_is_unknown_and_soon_looked_at_again() {
    for (status, code) in [(404, "OperationNotFound"), (404, ""), (410, "")] {
        let (client, _) = client(move |number, _| async move {
            if number == 1 { reply(202, &[("location", POLL)], "") } else { error(status, code) }
        });
        let failed = set_mode(&client, AuthMode::Identity).await.unwrap_err();
        assert_eq!((failed.landed, failed.error.class), (Landed::Unknown, ErrorClass::Transient), "{status} {code}");
        assert_eq!(failed.error.status, Some(status));
    }
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_is_still_updating_is_waited_for() {
    let (client, asks) = client(|number, _| async move {
        reply(200, &[], workspace_body(if number < 3 { "Updating" } else { "Succeeded" }))
    });
    assert_eq!(set_mode(&client, AuthMode::Identity).await.unwrap(), Written::Changed);
    let asks = asks.lock().unwrap();
    assert_eq!((asks.len(), asks[2].method.as_str()), (3, "GET"));
    assert_eq!(asks[2].url, asks[0].url);
}

#[tokio::test(start_paused = true)]
async fn no_token_is_sent_to_a_poll_address_elsewhere() {
    for address in ["https://evil.example/poll", "http://arm.example/poll"] {
        let (client, asks) = client(move |_, _| async move { reply(202, &[("location", address)], "") });
        let failed = set_mode(&client, AuthMode::Identity).await.unwrap_err();
        assert_eq!((failed.landed, failed.error.class), (Landed::Unknown, ErrorClass::Unreadable));
        assert_eq!(asks.lock().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_does_not_end_is_given_up_as_unknown() {
    let (client, _) = client(|_, _| async { reply(202, &[("location", POLL), ("retry-after", "100000")], "") });
    let failed = set_mode(&client, AuthMode::Identity).await.unwrap_err();
    assert_eq!((failed.landed, failed.error.class), (Landed::Unknown, ErrorClass::Transient));
    let (client, _) = crate::fake::client(|_, _| async { reply(202, &[], "") });
    assert_eq!(set_mode(&client, AuthMode::Identity).await.unwrap_err().landed, Landed::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_write_closes_the_way_for_the_next_one_before_it_is_sent() {
    let (client, asks) = fixed(429, &[("retry-after", "36"), ("x-ms-failure-cause", "gateway")], "");
    grant(&client).await.unwrap_err();
    let start = Instant::now();
    permit(&client, WriteKind::Workspace).await;
    assert!(start.elapsed() >= Duration::from_secs(36), "a reservation waits, not the write");
    assert_eq!(asks.lock().unwrap().len(), 1);
    let (client, _) = fixed(429, &[("retry-after", "600"), ("x-ms-failure-cause", "gateway")], "");
    grant(&client).await.unwrap_err();
    let refused = client.reserve_write(subscription(), WriteKind::Account).await.unwrap_err();
    assert_eq!((refused.class, refused.retry_after), (ErrorClass::Throttled, Some(Duration::from_secs(600))));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_provider_holds_up_its_own_writes_and_no_others() {
    for told in [
        ("x-ms-failure-cause", "service"),
        ("x-ms-ratelimit-remaining-subscription-writes", "1198"),
        ("server", "Microsoft-Azure-Storage-Resource-Provider/1.0,Microsoft-HTTPAPI/2.0"),
    ] {
        let headers: &'static [(&str, &str)] = Box::leak(Box::new([("retry-after", "36"), told]));
        let (client, _) = fixed(429, headers, "");
        set_key(&client, false).await.unwrap_err();
        let start = Instant::now();
        permit(&client, WriteKind::Workspace).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "{told:?}");
        permit(&client, WriteKind::Account).await;
        assert!(start.elapsed() >= Duration::from_secs(36), "{told:?}");
    }
    // Without a word of whose quota it was, both are left alone.
    let (client, _) = fixed(429, &[("retry-after", "36")], "");
    set_key(&client, false).await.unwrap_err();
    let start = Instant::now();
    permit(&client, WriteKind::Workspace).await;
    assert!(start.elapsed() >= Duration::from_secs(36));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_resource_manager_holds_up_all_writes_whatever_is_left_of_its_quota() {
    for (cause, code) in [("gateway", "429"), ("", "SubscriptionRequestsThrottled"), ("", "TenantRequestsThrottled")] {
        let (client, _) = client(move |_, _| async move {
            let left = ("x-ms-ratelimit-remaining-subscription-writes", "1198");
            let body = json!({"error": {"code": code, "message": "too many"}});
            reply(429, &[("retry-after", "36"), ("x-ms-failure-cause", cause), left], body)
        });
        set_key(&client, false).await.unwrap_err();
        let start = Instant::now();
        permit(&client, WriteKind::Workspace).await;
        assert!(start.elapsed() >= Duration::from_secs(36), "{cause} {code}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_answer_that_is_no_refusal_the_next_refusal_is_waited_for_as_the_first_was() {
    let (client, _) = client(|number, _| async move {
        if number == 2 { reply(201, &[], "{}") } else { reply(429, &[("x-ms-failure-cause", "gateway")], "") }
    });
    let mut waited = Vec::new();
    for is_refused in [true, false, true] {
        assert_eq!(grant(&client).await.is_err(), is_refused);
        let start = Instant::now();
        permit(&client, WriteKind::Grant).await;
        waited.push(start.elapsed());
    }
    assert!(!waited[0].is_zero() && waited[1].is_zero(), "{waited:?}");
    assert_eq!(waited[2], waited[0]);
}

#[tokio::test(start_paused = true)]
async fn something_busy_holds_up_its_own_operation_only() {
    let (client, asks) = client(|_, _| async {
        let body = json!({"error": {"code": "RetryableError", "message": "busy"}});
        reply(429, &[("retry-after", "40")], body)
    });
    let failed = set_mode(&client, AuthMode::Identity).await.unwrap_err();
    assert_eq!((failed.landed, failed.error.class), (Landed::No, ErrorClass::Transient));
    let failed = set_mode(&client, AuthMode::Identity).await.unwrap_err();
    assert_eq!((failed.landed, failed.error.class), (Landed::No, ErrorClass::Throttled));
    assert_eq!(asks.lock().unwrap().len(), 1, "not sent before its time");
    let start = Instant::now();
    grant(&client).await.unwrap_err();
    set_key(&client, true).await.unwrap_err();
    assert_eq!((start.elapsed(), asks.lock().unwrap().len()), (Duration::ZERO, 3));
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_resource_is_not_asked_again_before_its_time() {
    let (client, asks) = fixed(503, &[("retry-after", "90")], "");
    let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
    for _ in 0..3 {
        let error = client.workspace(&workspace).await.unwrap_err();
        assert!(error.retry_after.is_some(), "{error}");
    }
    assert_eq!(asks.lock().unwrap().len(), 1);
    // Another resource is nobody's business.
    client.account(&StorageAccountId::parse(&account_id()).unwrap()).await.unwrap_err();
    assert_eq!(asks.lock().unwrap().len(), 2);
    tokio::time::sleep(Duration::from_secs(90)).await;
    client.workspace(&workspace).await.unwrap_err();
    assert_eq!(asks.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_good_for_its_own_kind_of_write_in_its_own_subscription_only() {
    let (client, asks) = fixed(200, &[], "{}");
    let account = StorageAccountId::parse(&account_id()).unwrap();
    for (subscription, kind) in [(GUID.parse().unwrap(), WriteKind::Account), (subscription(), WriteKind::Grant)] {
        let permit = client.reserve_write(subscription, kind).await.unwrap();
        let failed = client.set_shared_key_access(permit, &account, false).await.unwrap_err();
        assert_eq!((failed.landed, failed.error.class), (Landed::No, ErrorClass::Bug));
    }
    let failed =
        client.set_shared_key_access(WritePermit::unmetered(subscription()), &account, false).await.unwrap_err();
    assert_eq!((failed.landed, failed.error.class), (Landed::No, ErrorClass::Bug));
    assert_eq!(asks.lock().unwrap().len(), 0);
}

/// Every token takes this long.
struct SlowTokens(Duration);

#[async_trait::async_trait]
impl TokenSource for SlowTokens {
    async fn token(&self) -> Result<Secret, TokenError> {
        tokio::time::sleep(self.0).await;
        Ok(Secret::new("token".to_owned()))
    }
    async fn renew(&self, _: &Secret) {}
}

#[tokio::test(start_paused = true)]
async fn a_write_does_not_leave_long_after_its_gates_were_read_because_a_token_was_slow() {
    for (slow, sent) in [(Duration::from_secs(1), 1), (Duration::from_secs(2), 1), (Duration::from_secs(15), 0)] {
        let (client, asks) =
            client_with(|_, _| async { reply(201, &[], "{}") }, |options| options.tokens = Arc::new(SlowTokens(slow)));
        let result = grant(&client).await;
        assert_eq!(asks.lock().unwrap().len(), sent, "{slow:?}");
        match result {
            Ok(written) => assert_eq!(written, Written::Changed),
            Err(failed) => assert_eq!((failed.landed, failed.error.status), (Landed::No, None)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_refusal_of_the_token_took_long_is_not_repeated() {
    let (client, asks) = client(|_, _| async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        error(401, "ExpiredAuthenticationToken")
    });
    let failed = grant(&client).await.unwrap_err();
    assert_eq!((failed.landed, failed.error.status), (Landed::No, None));
    assert_eq!(asks.lock().unwrap().len(), 1);
}
