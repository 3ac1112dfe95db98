//! Metrics, the activity log, and answers that belong to another interface and must not be misread.

use std::time::Duration;

use keyless_arm::api::ReadArm;
use keyless_arm::client::Client;
use keyless_arm::error::{ArmError, ErrorClass};
use keyless_core::observed::{ChangesOf, KeyUsage};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fake::{GUID, SUBSCRIPTION};
use crate::with::{account, account_body, always, class_and_code, scope, workspace};

const SPAN: &str = "2026-02-01T00:00:00Z/2026-02-02T00:00:00Z";

async fn usage_of(client: &Client) -> Result<KeyUsage, ArmError> {
    let (from, to) = SPAN.split_once('/').unwrap();
    client.key_usage(&account(), from.parse().unwrap(), to.parse().unwrap()).await.map(|answer| answer.value)
}

async fn usage(body: Value) -> KeyUsage {
    usage_of(&always(200, &[], body).0).await.unwrap()
}

fn metric(series: Value) -> Value {
    json!([{"name": {"value": "Transactions", "localizedValue": "Transactions"}, "errorCode": "Success", "timeseries": series}])
}

/// None of the client's lists and reads takes this answer for one of its own.
async fn is_foreign(body: Value) {
    let (client, _) = always(200, &[], &body);
    let classes = [
        client.role_assignments(&scope()).await.map(|_| ()),
        client.locks(&scope()).await.map(|_| ()),
        client.workspaces(SUBSCRIPTION.parse().unwrap()).await.map(|_| ()),
        client.datastores(&workspace()).await.map(|_| ()),
        client.workspace(&workspace()).await.map(|_| ()),
        client.account(&account()).await.map(|_| ()),
    ];
    for found in classes {
        assert_eq!(found.map_err(|error| error.class), Err(ErrorClass::Unreadable), "{body}");
    }
    assert!(!usage_of(&client).await.is_ok_and(|usage| usage.complete || usage.alive), "{body}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_resource_graph_is_never_a_list() {
    is_foreign(json!({"totalRecords": 1, "count": 1, "resultTruncated": "false", "facets": [],
                      "data": {"columns": [{"name": "id", "type": "string"}], "rows": [["/x"]]}}))
    .await;
    is_foreign(json!({"totalRecords": 0, "count": 0, "resultTruncated": "false", "facets": [], "data": []})).await;
    is_foreign(json!({"value": [], "$skipToken": "ew0K"})).await;
}

#[tokio::test(start_paused = true)]
async fn another_quotas_headers_close_nothing() {
    let headers = [("x-ms-user-quota-remaining", "0"), ("x-ms-user-quota-resets-after", "00:00:05")];
    let (client, _) = always(200, &headers, account_body(json!({})));
    let start = Instant::now();
    for _ in 0..10 {
        client.account(&account()).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn no_series_at_all_is_not_zero() {
    let found = usage(json!({"timespan": SPAN, "interval": "PT1H", "value": metric(json!([]))})).await;
    assert!(!found.alive, "an answer without any series does not prove the key idle");
}

#[tokio::test(start_paused = true)]
async fn a_timespan_that_was_replaced_answers_another_question() {
    for span in [
        "2025-02-01T00:00:00Z/2025-02-02T00:00:00Z",
        "2026-02-01T06:00:00Z/2026-02-02T00:00:00Z",
        "2998-12-01T00:00:00Z/2999-01-01T00:00:00Z",
    ] {
        let found = usage(json!({"cost": 0, "timespan": span, "interval": "PT1M", "value": metric(json!([]))})).await;
        assert!(!found.complete, "{span}");
    }
    for extra in [
        json!({"namespace": "Microsoft.Storage/storageAccounts", "resourceregion": "westus", "cost": 14_399}),
        json!({}),
    ] {
        let mut body = json!({"timespan": SPAN, "interval": "PT1H", "value": metric(json!([]))});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert!(usage(body).await.complete, "{extra}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_metrics_is_bare_and_its_long_message_is_cut() {
    let message =
        format!("Failed to find metric configuration for metric: X, Valid metrics: {}", "Network In,".repeat(900));
    let body = json!({"code": "BadRequest", "message": message});
    let error = usage_of(&always(400, &[], body).0).await.unwrap_err();
    assert_eq!(class_and_code(&error), (ErrorClass::Refused, Some("BadRequest")));
    assert!(error.message.starts_with("Failed to find") && error.message.len() <= 600);
}

#[tokio::test(start_paused = true)]
async fn events_of_the_activity_log_are_never_read_as_something_else() {
    let event = |status: &str| {
        json!({
            "id": format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/rg/events/1/ticks/2"), "correlationId": GUID,
            "resourceId": format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"), "claims": {"exp": "1769937247"},
            "operationName": {"value": "Microsoft.Storage/storageAccounts/write"}, "status": {"value": status}, "subStatus": {"value": ""},
            "properties": {"statusCode": "OK"}
        })
    };
    is_foreign(json!({"value": [event("Started"), event("Accepted"), event("Succeeded")]})).await;
}

/// Several events of one operation, one correlation id; claims are texts; groups are spelled in two ways.
#[tokio::test(start_paused = true)]
async fn of_the_events_of_one_operation_the_one_that_succeeded_tells() {
    let event = |name: &str, status: &str, group: &str| {
        json!({
            "resourceId": format!("/subscriptions/{SUBSCRIPTION}/{group}/rg/providers/Microsoft.Storage/storageAccounts/s"),
            "correlationId": GUID, "claims": {"exp": "1769937247", "appid": "app-1"}, "eventName": {"value": name},
            "operationName": {"value": "Microsoft.Storage/storageAccounts/write"}, "status": {"value": status},
            "subStatus": {"value": ""}, "eventTimestamp": "2026-11-01T00:00:10.9792776Z",
        })
    };
    let body = json!({"value": [
        event("EndRequest", "Succeeded", "resourcegroups"), event("EndRequest", "Accepted", "resourceGroups"),
        event("BeginRequest", "Started", "resourceGroups"),
    ]});
    let (client, _) = always(200, &[], body);
    let (from, to) = ("2026-11-01T00:00:00Z".parse().unwrap(), "2026-11-01T01:00:00Z".parse().unwrap());
    let found = client.changes(&ChangesOf::Resource(scope()), from, to).await.unwrap().value;
    assert_eq!(found.len(), 1);
    assert!(found[0].resource.contains("/resourcegroups/"));
    assert_eq!(found[0].by.to_string(), "application app-1");
}

#[tokio::test(start_paused = true)]
async fn a_bad_filter_is_refused_with_its_bare_code() {
    let (client, asks) = always(400, &[], json!({"code": "BadRequest", "message": "The $filter is invalid."}));
    let error = client.role_assignments(&scope()).await.unwrap_err();
    assert_eq!(class_and_code(&error), (ErrorClass::Refused, Some("BadRequest")));
    assert_eq!(asks.lock().unwrap().len(), 1);
}
