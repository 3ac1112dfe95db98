//! Reading: values, pages, repetition, quotas, and what must never be believed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyless_arm::api::ReadArm;
use keyless_arm::error::{ArmError, ErrorClass};
use keyless_arm::quota::{Limits, Rate};
use keyless_arm::secret::Secret;
use keyless_arm::token::{TokenClass, TokenError, TokenSource};
use keyless_arm::versions::{ApiVersions, Interface};
use keyless_arm::wire::WireError;
use keyless_core::id::{ArmId, StorageAccountId, WorkspaceId};
use keyless_core::observed::{ObservedAuthMode, SharedKeyAccess};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::fake::{
    BASE, GROUP, GUID, SUBSCRIPTION, account_id, client, client_with, error, reply, silence, try_client, workspace_id,
};

fn account() -> StorageAccountId {
    StorageAccountId::parse(&account_id()).unwrap()
}

fn workspace() -> WorkspaceId {
    WorkspaceId::parse(&workspace_id()).unwrap()
}

fn scope() -> ArmId {
    ArmId::parse(&account_id()).unwrap()
}

fn account_body() -> Value {
    json!({"id": account_id(), "location": "westeurope", "properties": {"allowSharedKeyAccess": false}})
}

fn workspace_body(name: &str) -> Value {
    let id = format!("{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/{name}");
    json!({"id": id, "properties": {"storageAccount": account_id(), "systemDatastoresAuthMode": "identity"}})
}

async fn account_error(status: u16, body: &'static str) -> ArmError {
    let (client, _) = client(move |_, _| async move { reply(status, &[], body) });
    client.account(&account()).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn an_account_is_read_through_the_management_crate_with_the_pipelines_token() {
    let (client, asks) = client(|_, _| async { reply(200, &[], account_body()) });
    let answer = client.account(&account()).await.unwrap();
    assert_eq!(answer.value.unwrap().shared_key, SharedKeyAccess::Disallowed);
    assert_eq!(answer.at.to_string(), "2026-11-01T12:00:00Z", "the server's clock counts");
    assert_eq!(answer.request_id.as_deref(), Some("req-1"));
    let asks = asks.lock().unwrap();
    assert_eq!(asks.len(), 1);
    assert_eq!(asks[0].url, format!("{BASE}{}?api-version=2025-08-01", account_id()));
    assert_eq!(asks[0].token, "Bearer token-1");
    assert!(!asks[0].client_request_id.is_empty());
    assert_eq!(client.counts()[0].operation, "get storage account");
    assert_eq!((client.counts()[0].status, client.counts()[0].requests), (Some(200), 1));
}

#[tokio::test(start_paused = true)]
async fn the_storage_api_version_is_a_setting() {
    let (client, asks) = client_with(
        |_, _| async { reply(200, &[], account_body()) },
        |options| {
            let versions = vec!["2099-01-01".to_owned()];
            options.api_versions = ApiVersions::public().with(Interface::Storage, versions);
        },
    );
    client.account(&account()).await.unwrap();
    assert!(asks.lock().unwrap()[0].url.ends_with("?api-version=2099-01-01"));
}

#[tokio::test(start_paused = true)]
async fn a_missing_resource_is_none_and_a_missing_subscription_is_an_error() {
    let (client, _) = client(|_, _| async { error(404, "ResourceGroupNotFound") });
    let answer = client.account(&account()).await.unwrap();
    assert!(answer.value.is_none());
    assert_eq!(answer.at.to_string(), "2026-11-01T12:00:00Z", "absence has the server's time too");
    assert!(client.workspace(&workspace()).await.unwrap().value.is_none());
    let (client, _) = crate::fake::client(|_, _| async { error(404, "SubscriptionNotFound") });
    assert_eq!(client.account(&account()).await.unwrap_err().class, ErrorClass::Refused);
    assert_eq!(account_error(404, "<html>not here</html>").await.class, ErrorClass::Unreadable);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_cannot_be_understood_are_unreadable_and_never_absent() {
    for body in ["", "<html>", "{", "[]", "null", "5", r#"{"id":"/x","properties":{}}"#, r#"{"properties":null}"#] {
        let error = account_error(200, body).await;
        assert_eq!(error.class, ErrorClass::Unreadable, "{body}");
        assert_eq!((error.status, error.request_id.as_deref()), (Some(200), Some("req-1")));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_carries_operation_resource_code_message_and_request_id() {
    let error = account_error(403, r#"{"error":{"code":"AuthorizationFailed","message":"no\nright"}}"#).await;
    assert_eq!(error.to_string(), format!("get storage account {}: AuthorizationFailed: no right", account_id()));
    assert_eq!((error.class, error.status), (ErrorClass::Refused, Some(403)));
}

#[tokio::test(start_paused = true)]
async fn every_page_is_read_even_after_an_empty_one() {
    let (client, asks) = client(|number, _| async move {
        match number {
            1 => reply(
                200,
                &[],
                json!({"value": [workspace_body("one")], "nextLink": format!("{BASE}/p?$skiptoken=2&a=b c")}),
            ),
            2 => reply(200, &[], json!({"value": [], "nextLink": "/p3?x=%24y"})),
            _ => reply(200, &[], json!({"value": [workspace_body("two")], "nextLink": ""})),
        }
    });
    let answer = client.workspaces(SUBSCRIPTION.parse().unwrap()).await.unwrap();
    assert_eq!(answer.value.len(), 2);
    assert_eq!(answer.value[0].auth_mode, ObservedAuthMode::Identity);
    let asks = asks.lock().unwrap();
    assert_eq!(asks[1].url, format!("{BASE}/p?$skiptoken=2&a=b%20c"));
    assert_eq!(asks[2].url, format!("{BASE}/p3?x=%24y"), "a relative link is followed and not rebuilt");
}

#[tokio::test(start_paused = true)]
async fn no_token_is_sent_to_a_next_page_elsewhere() {
    for link in
        ["https://evil.example/p", "http://arm.example/p", "https://arm.example:444/p", "https://u@arm.example/p"]
    {
        let (client, asks) = client(move |_, _| async move { reply(200, &[], json!({"value": [], "nextLink": link})) });
        let error = client.locks(&scope()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unreadable);
        assert_eq!(asks.lock().unwrap().len(), 1, "{link}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_that_go_in_a_circle_are_an_error() {
    let (client, asks) = client(|number, _| async move {
        reply(200, &[], json!({"value": [], "nextLink": format!("{BASE}/p?n={}", number % 2)}))
    });
    assert!(client.locks(&scope()).await.unwrap_err().message.contains("do not end"));
    assert_eq!(asks.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_bad_item_or_a_missing_value_makes_the_list_unreadable() {
    for body in [
        json!({"value": [workspace_body("one"), {"id": "/nonsense"}]}),
        json!({"value": null}),
        json!({}),
        json!([]),
        json!({"value": {}}),
        json!({"value": [], "nextLink": 5}),
    ] {
        let text = body.to_string();
        let (client, _) = client(move |_, _| {
            let text = text.clone();
            async move { reply(200, &[], text) }
        });
        let error = client.workspaces(SUBSCRIPTION.parse().unwrap()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unreadable, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_goes_on_under_another_name_is_not_taken_for_whole() {
    for name in ["odata.nextLink", "@nextLink", "$skipToken"] {
        let body = json!({"value": [workspace_body("one")], name: "more"}).to_string();
        let (client, _) = client(move |_, _| {
            let body = body.clone();
            async move { reply(200, &[], body) }
        });
        let error = client.workspaces(SUBSCRIPTION.parse().unwrap()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unreadable, "{name}");
    }
    let (client, asks) = client(|number, _| async move {
        let (name, next) = if number == 1 { ("one", "/p2") } else { ("two", "") };
        reply(200, &[], json!({"value": [workspace_body(name)], "NextLink": next, "odata.nextLink": null}))
    });
    assert_eq!(client.workspaces(SUBSCRIPTION.parse().unwrap()).await.unwrap().value.len(), 2);
    assert_eq!(asks.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failing_second_page_fails_the_list() {
    let (client, _) = client(|number, _| async move {
        if number == 1 {
            reply(200, &[], json!({"value": [], "nextLink": "/p2"}))
        } else {
            error(403, "AuthorizationFailed")
        }
    });
    assert_eq!(client.locks(&scope()).await.unwrap_err().class, ErrorClass::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_client_does_not_begin_with_a_version_that_hides_the_mode() {
    for hiding in ["2024-04-01", "2024-10-01", "2025-04-01"] {
        let versions = ["2025-09-01".to_owned(), hiding.to_owned()].to_vec();
        let refused = try_client(|options| {
            options.api_versions = ApiVersions::public().with(Interface::Workspaces, versions);
        });
        let message = refused.err().unwrap().to_string();
        assert!(message.contains(&format!("workspaces: {hiding} hides systemDatastoresAuthMode")), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_passing_fault_is_repeated_and_a_lasting_one_told_after_four_attempts() {
    let (client, asks) = client(|number, _| async move {
        match number {
            1 => error(503, "ServerTimeout"),
            2 => Err(WireError::Unknown("connection reset".to_owned())),
            _ => reply(200, &[], account_body()),
        }
    });
    client.account(&account()).await.unwrap();
    assert_eq!(asks.lock().unwrap().len(), 3);
    let (client, asks) = crate::fake::client(|_, _| async { error(500, "InternalServerError") });
    assert_eq!(client.account(&account()).await.unwrap_err().class, ErrorClass::Transient);
    assert_eq!(asks.lock().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_an_answer_ends_after_eight_seconds() {
    let (client, asks) = client(|_, _| silence());
    let start = Instant::now();
    let error = client.workspace(&workspace()).await.unwrap_err();
    assert_eq!((error.class, error.status), (ErrorClass::Transient, None));
    assert!(error.message.contains("8s"), "{error}");
    assert_eq!(asks.lock().unwrap().len(), 4);
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_assignment_is_read_by_its_id_and_may_be_absent() {
    let id = scope().role_assignment(GUID.parse().unwrap());
    let (client, asks) = client(|number, _| async move {
        match number {
            1 => error(404, "RoleAssignmentNotFound"),
            2 => error(403, "AuthorizationFailed"),
            _ => reply(
                200,
                &[],
                json!({
                    "id": format!("{}/providers/Microsoft.Authorization/roleAssignments/{GUID}", account_id()), "name": GUID,
                    "properties": {
                        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{GUID}"),
                        "principalId": GUID, "scope": account_id(), "condition": "@Resource[x] StringEquals 'y'"
                    }
                }),
            ),
        }
    });
    assert_eq!(client.role_assignment(&id).await.unwrap().value, None);
    assert_eq!(client.role_assignment(&id).await.unwrap_err().class, ErrorClass::Refused);
    let found = client.role_assignment(&id).await.unwrap().value.unwrap();
    assert_eq!((found.id, found.scope), (id, scope()));
    assert!(found.condition.is_some());
    let expected = format!(
        "{BASE}{}/providers/Microsoft.Authorization/roleAssignments/{GUID}?api-version=2022-04-01",
        account_id()
    );
    assert!(asks.lock().unwrap().iter().all(|asked| asked.method == "GET" && asked.url == expected));
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_asks_for_a_repetition_at_once_is_repeated_with_backoff_all_the_same() {
    let start = Instant::now();
    let (client, asks) = client(|_, _| async { reply(503, &[("retry-after", "0")], "") });
    client.workspace(&workspace()).await.unwrap_err();
    assert_eq!(asks.lock().unwrap().len(), 4);
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_read_is_repeated_as_long_as_its_time_is_not_over_by_then() {
    for (seconds, sent) in [(17, 2), (16, 1)] {
        let (client, asks) = client_with(
            |number, _| async move {
                if number == 1 {
                    reply(503, &[("retry-after", "17")], "")
                } else {
                    reply(200, &[], workspace_body("one"))
                }
            },
            |options| options.timeouts.read = Duration::from_secs(seconds),
        );
        assert_eq!(client.workspace(&workspace()).await.is_ok(), sent == 2, "{seconds}");
        assert_eq!(asks.lock().unwrap().len(), sent, "{seconds}");
    }
}

/// No token is to be had.
struct NoTokens;

#[async_trait::async_trait]
impl TokenSource for NoTokens {
    async fn token(&self) -> Result<Secret, TokenError> {
        Err(TokenError::new(TokenClass::ExpiredSecret, "it ended yesterday"))
    }
    async fn renew(&self, _: &Secret) {}
}

/// Tokens, of which some take long.
struct LateTokens {
    late: Duration,
    is_late: fn(usize) -> bool,
    asked: AtomicUsize,
}

impl LateTokens {
    fn new(late: Duration, is_late: fn(usize) -> bool) -> Arc<Self> {
        Arc::new(Self { late, is_late, asked: AtomicUsize::new(0) })
    }
}

#[async_trait::async_trait]
impl TokenSource for LateTokens {
    async fn token(&self) -> Result<Secret, TokenError> {
        if (self.is_late)(self.asked.fetch_add(1, Ordering::Relaxed) + 1) {
            tokio::time::sleep(self.late).await;
        }
        Ok(Secret::new("token".to_owned()))
    }
    async fn renew(&self, _: &Secret) {}
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_late_is_no_way_into_a_quota_that_closed_meanwhile() {
    for late in [Duration::from_millis(1), Duration::from_secs(10)] {
        let (client, _) = client_with(
            |number, _| async move {
                let refused = [("retry-after", "36"), ("x-ms-failure-cause", "gateway")];
                if number == 1 { reply(429, &refused, "") } else { reply(200, &[], workspace_body("one")) }
            },
            // One more is asked for once there is a place.
            |options| options.tokens = LateTokens::new(late, |number| number == 2),
        );
        let (start, other) = (Instant::now(), client.clone());
        let waiting = tokio::spawn(async move {
            other.workspace(&workspace()).await.unwrap();
            start.elapsed()
        });
        tokio::task::yield_now().await;
        client.workspace(&workspace()).await.unwrap();
        assert!(waiting.await.unwrap() >= Duration::from_secs(36), "{late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_always_come_late_hold_up_no_read_for_ever() {
    let (client, asks) = client_with(
        |_, _| async { reply(200, &[], workspace_body("one")) },
        |options| options.tokens = LateTokens::new(Duration::from_secs(10), |_| true),
    );
    let read = tokio::time::timeout(Duration::from_secs(60), async { client.workspace(&workspace()).await });
    read.await.expect("it ends").unwrap();
    assert_eq!(asks.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_no_longer_than_the_patience_is_waited_out() {
    for (asked_for, sent) in [("60", 2), ("61", 1)] {
        let (client, asks) = client_with(
            move |number, _| async move {
                if number == 1 {
                    reply(503, &[("retry-after", asked_for)], "")
                } else {
                    reply(200, &[], workspace_body("one"))
                }
            },
            |options| options.timeouts.read = Duration::ZERO,
        );
        client.workspace(&workspace()).await.unwrap_err();
        assert_eq!(client.workspace(&workspace()).await.is_ok(), sent == 2, "{asked_for}");
        assert_eq!(asks.lock().unwrap().len(), sent, "{asked_for}");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_double_and_as_much_as_half_of_each_is_left_out_by_chance() {
    for (bits, least, most) in [(0, 875, 885), (u128::MAX, 1_740, 1_755)] {
        let (client, _) = client_with(
            |_, _| async { error(503, "ServerBusy") },
            |options| options.ids = Arc::new(move || Uuid::from_u128(bits)),
        );
        let start = Instant::now();
        client.account(&account()).await.unwrap_err();
        let took = start.elapsed().as_millis();
        assert!((least..=most).contains(&took), "{took} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_token_nothing_is_sent_and_the_error_says_what_would_lift_it() {
    let (client, asks) =
        client_with(|_, _| async { reply(200, &[], account_body()) }, |options| options.tokens = Arc::new(NoTokens));
    let error = client.account(&account()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Token(TokenClass::ExpiredSecret));
    assert_eq!(error.lift.as_deref(), Some(TokenClass::ExpiredSecret.hint()));
    assert_eq!(asks.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_by_this_and_every_other_call_of_the_provider() {
    let (client, asks) = client(|number, _| async move {
        if number == 1 { reply(429, &[("retry-after", "17")], "") } else { reply(200, &[], workspace_body("one")) }
    });
    let start = Instant::now();
    let other = client.clone();
    let first = tokio::spawn(async move { other.workspace(&workspace()).await });
    while asks.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    client.workspace(&workspace()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(17), "{:?}", start.elapsed());
    first.await.unwrap().unwrap();
    assert_eq!(asks.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_long_retry_after_is_told_instead_of_waited_out() {
    let (client, asks) = client(|_, _| async { reply(429, &[("retry-after", "372")], "") });
    let start = Instant::now();
    let error = client.workspace(&workspace()).await.unwrap_err();
    assert_eq!((error.class, error.retry_after), (ErrorClass::Throttled, Some(Duration::from_secs(372))));
    let error = client.workspace(&workspace()).await.unwrap_err();
    assert_eq!((error.class, error.retry_after), (ErrorClass::Throttled, Some(Duration::from_secs(372))));
    assert_eq!((start.elapsed(), asks.lock().unwrap().len()), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_keep_within_the_quota() {
    let limits = Limits { reads: Rate { capacity: 10.0, per_second: 10.0 }, headroom: 0.0, ..Limits::default() };
    let (client, _) =
        client_with(|_, _| async { reply(200, &[], workspace_body("one")) }, |options| options.limits = limits);
    let start = Instant::now();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.workspace(&workspace()).await.unwrap() })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    assert!((8.9..9.5).contains(&seconds), "90 calls beyond the burst take 9 s, not {seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_once() {
    let (client, asks) = client(|number, _| async move {
        if number == 1 { error(401, "ExpiredAuthenticationToken") } else { reply(200, &[], account_body()) }
    });
    client.account(&account()).await.unwrap();
    assert_eq!(asks.lock().unwrap()[1].token, "Bearer token-2");
    let (client, asks) = crate::fake::client(|_, _| async { error(401, "InvalidAuthenticationToken") });
    assert_eq!(client.account(&account()).await.unwrap_err().class, ErrorClass::Authentication);
    assert_eq!(asks.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_metric_is_asked_for_the_exact_window_split_by_who_signed() {
    let (client, asks) = client(|_, _| async {
        reply(
            200,
            &[],
            json!({
                "timespan": "2026-10-25T00:00:00Z/2026-10-31T23:45:00Z", "interval": "PT1H",
                "value": [{"name": {"value": "Transactions"}, "errorCode": "Success", "timeseries": [{
                    "metadatavalues": [{"name": {"value": "authentication"}, "value": "AccountKey"},
                                       {"name": {"value": "responsetype"}, "value": "Success"}],
                    "data": [{"timeStamp": "2026-10-31T23:00:00Z", "total": 4}]}]}]
            }),
        )
    });
    let (from, to) = ("2026-10-25T00:00:00Z".parse().unwrap(), "2026-10-31T23:45:00Z".parse().unwrap());
    let usage = client.key_usage(&account(), from, to).await.unwrap().value;
    assert!(usage.complete && usage.alive);
    assert_eq!((usage.account_key.count, usage.account_key.last), (4, Some(to)));
    let url = asks.lock().unwrap()[0].url.clone();
    for part in [
        "timespan=2026-10-25T00%3A00%3A00Z%2F2026-10-31T23%3A45%3A00Z",
        "interval=PT1H",
        "$filter=Authentication%20eq%20%27*%27%20and%20ResponseType%20eq%20%27*%27",
        "top=500",
        "api-version=2024-02-01",
        "aggregation=Total",
    ] {
        assert!(url.contains(part), "{part} is not in {url}");
    }
    let (client, asks) = crate::fake::client(|_, _| async { reply(200, &[], json!({"value": []})) });
    let to = "2026-10-25T00:00:06Z".parse().unwrap();
    assert!(!client.key_usage(&account(), from, to).await.unwrap().value.complete);
    assert!(asks.lock().unwrap()[0].url.contains("interval=PT1M"));
    assert_eq!(client.key_usage(&account(), to, from).await.unwrap_err().class, ErrorClass::Bug);
}

#[tokio::test(start_paused = true)]
async fn locks_of_what_lies_below_do_not_count() {
    let lock = |scope: &str| {
        json!({
            "id": format!("{scope}/providers/Microsoft.Authorization/locks/l"), "properties": {"level": "ReadOnly"}
        })
    };
    let below = format!("{}/blobServices/default", account_id());
    let body = json!({"value": [lock(GROUP), lock(&account_id()), lock(&below)]}).to_string();
    let (client, _) = client(move |_, _| {
        let body = body.clone();
        async move { reply(200, &[], body) }
    });
    assert_eq!(client.locks(&scope()).await.unwrap().value.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_read_asks_at_its_address() {
    let (client, asks) = client(|_, asked| async move {
        if asked.url.contains("roleDefinitions/") {
            let id = format!("/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/{GUID}");
            return reply(
                200,
                &[],
                json!({"id": id, "properties": {"roleName": "R", "type": "BuiltInRole", "permissions": []}}),
            );
        }
        if asked.url.contains("userAssignedIdentities/") {
            return reply(200, &[], json!({"properties": {"principalId": GUID}}));
        }
        if asked.url.contains("/subscriptions?") {
            return reply(200, &[], json!({"value": [{"subscriptionId": SUBSCRIPTION, "state": "Enabled"}]}));
        }
        reply(200, &[], json!({"value": []}))
    });
    assert_eq!(client.subscriptions().await.unwrap().value.len(), 1);
    client.datastores(&workspace()).await.unwrap();
    client.computes(&workspace()).await.unwrap();
    client.role_assignments(&scope()).await.unwrap();
    client.deny_assignments(&scope()).await.unwrap();
    client.locks(&scope()).await.unwrap();
    let role = client.role_definition(&ArmId::parse("/").unwrap(), GUID.parse().unwrap()).await.unwrap();
    assert!(role.value.unwrap().built_in);
    let identity = format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/train");
    assert!(client.managed_identity(&identity.parse().unwrap()).await.unwrap().value.is_some());
    let (workspace, account) = (workspace_id(), account_id());
    let urls: Vec<String> =
        asks.lock().unwrap().iter().map(|asked| asked.url.strip_prefix(BASE).unwrap().to_owned()).collect();
    assert_eq!(
        urls,
        [
            "/subscriptions?api-version=2022-12-01".to_owned(),
            format!("{workspace}/datastores?api-version=2025-09-01"),
            format!("{workspace}/computes?api-version=2025-09-01"),
            format!(
                "{account}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=atScope%28%29"
            ),
            format!(
                "{account}/providers/Microsoft.Authorization/denyAssignments?api-version=2022-04-01&$filter=atScope%28%29"
            ),
            format!("{account}/providers/Microsoft.Authorization/locks?api-version=2016-09-01"),
            format!("/providers/Microsoft.Authorization/roleDefinitions/{GUID}?api-version=2022-04-01"),
            format!("{identity}?api-version=2023-01-31"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn links_that_grow_with_each_page_are_not_followed_for_ever() {
    let (client, asks) =
        client(|_, _| async { reply(200, &[], r#"{"value":[],"nextLink":"more/and/more/and/more/and/more/"}"#) });
    let error = client.workspaces(SUBSCRIPTION.parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("is longer than 8192 bytes"), "{error}");
    let asked: usize = asks.lock().unwrap().iter().map(|ask| ask.url.len()).sum();
    assert!(asked < 2 * 1024 * 1024 && asks.lock().unwrap().len() > 100, "{asked} bytes of addresses");
}

/// The answers of Azure to a token of another tenant: the words are those of public reports of it.
#[tokio::test(start_paused = true)]
async fn a_subscription_of_another_tenant_is_refused_once_and_its_tenant_named() {
    const OTHER: &str = "a602cbf4-21c3-4761-b54e-acf397842b82";
    let message = format!(
        "The access token is from the wrong issuer 'https://sts.windows.net/{GUID}/'. It must match the tenant \
         'https://sts.windows.net/{OTHER}/' associated with this subscription. Please use the authority (URL) \
         'https://login.windows.net/{OTHER}' to get the token. Note, if the subscription is transferred to another tenant \
         there is no impact to the services, but information about new tenant could take time to propagate (up to an hour). \
         If you just transferred your subscription and see this error message, please try back later."
    );
    let (refusing, asks) = client(move |_, _| {
        let body = json!({"error": {"code": "InvalidAuthenticationTokenTenant", "message": message}}).to_string();
        async move { reply(401, &[], body) }
    });
    let error = refusing.tenant(SUBSCRIPTION.parse().unwrap()).await.unwrap_err();
    assert_eq!(error.tenant_named(), OTHER.parse().ok(), "{error}");
    assert_eq!(asks.lock().unwrap().len(), 1, "no other token of the same identity would do");
    let error = refusing.account(&StorageAccountId::parse(&account_id()).unwrap()).await.unwrap_err();
    assert_eq!((error.class, error.waits_for_person()), (ErrorClass::Refused, true));
    let lift = error.lift.unwrap();
    assert!(lift.contains(&format!("tenant {OTHER}")) && lift.contains("`crossTenantAccount`"), "{lift}");

    let (telling, asks) =
        client(|_, _| async { reply(200, &[], json!({"subscriptionId": SUBSCRIPTION, "tenantId": OTHER})) });
    assert_eq!(telling.tenant(SUBSCRIPTION.parse().unwrap()).await.unwrap().value, OTHER.parse().ok());
    let url = asks.lock().unwrap()[0].url.clone();
    assert_eq!(url.strip_prefix(BASE), Some(&*format!("/subscriptions/{SUBSCRIPTION}?api-version=2022-12-01")));
    let (silent, _) = client(|_, _| async { reply(200, &[], json!({"subscriptionId": SUBSCRIPTION})) });
    let error = silent.tenant(SUBSCRIPTION.parse().unwrap()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unreadable, "no tenant is not no other tenant");
}
