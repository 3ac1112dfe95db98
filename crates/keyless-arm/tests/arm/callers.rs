//! Who called, as the storage resource logs tell it.

use keyless_arm::api::ReadArm;
use keyless_arm::error::ErrorClass;
use keyless_core::id::{LogAnalyticsId, StorageAccountId};
use keyless_core::observed::{KeyCallers, Signed};
use serde_json::{Value, json};

use crate::fake::{Asked, BASE, GROUP, account_id, client, error, reply};

pub(crate) fn logs_id() -> String {
    format!("{GROUP}/providers/Microsoft.OperationalInsights/workspaces/log-ml")
}

const COLUMNS: [&str; 13] = [
    "Type",
    "AuthenticationType",
    "MadeFrom",
    "OperationName",
    "StatusCode",
    "StatusText",
    "Address",
    "UserAgentHeader",
    "RequesterObjectId",
    "RequesterAppId",
    "Requests",
    "First",
    "Last",
];

fn body(rows: Value) -> Value {
    let columns: Vec<Value> = COLUMNS.iter().map(|name| json!({"name": name, "type": "string"})).collect();
    json!({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}]})
}

async fn ask(client: &keyless_arm::client::Client) -> keyless_arm::api::Read<KeyCallers> {
    let (from, to) = ("2026-11-01T00:00:00Z".parse().unwrap(), "2026-11-08T00:00:00Z".parse().unwrap());
    let logs = LogAnalyticsId::parse(&logs_id()).unwrap();
    client.key_callers(&logs, &StorageAccountId::parse(&account_id()).unwrap(), from, to).await
}

fn query_of(asked: &Asked, name: &str) -> String {
    let url = url::Url::parse(&asked.url).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_resource_manager_is_asked_about_one_account_and_window() {
    let (client, asks) = client(|_, _| async {
        let row = json!([
            "StorageFileLogs",
            "AccountKey",
            "key1",
            "GetFile",
            "200",
            "Success",
            "10.1.0.4",
            "rclone",
            "",
            "",
            9,
            "2026-11-02T00:00:00Z",
            "2026-11-03T00:00:00Z",
        ]);
        reply(200, &[], body(json!([row])))
    });
    let KeyCallers { from, to, cut, callers } = ask(&client).await.unwrap().value;
    assert_eq!(
        (from.to_string().as_str(), to.to_string().as_str(), cut),
        ("2026-11-01T00:00:00Z", "2026-11-08T00:00:00Z", false)
    );
    assert_eq!((callers[0].signed, callers[0].requests), (Signed::AccountKey, 9));
    let asks = asks.lock().unwrap();
    assert_eq!((asks.len(), asks[0].method.as_str()), (1, "GET"));
    assert!(asks[0].url.starts_with(&format!("{BASE}{}/query?api-version=2017-10-01&", logs_id())), "{}", asks[0].url);
    assert_eq!(query_of(&asks[0], "timespan"), "2026-11-01T00:00:00Z/2026-11-08T00:00:00Z");
    let query = query_of(&asks[0], "query");
    assert!(query.contains("| where AccountName =~ \"stmlprod\" |"), "{query}");
}

#[tokio::test(start_paused = true)]
async fn a_partial_answer_is_unreadable_and_not_a_short_list() {
    let (client, _) = client(|_, _| async {
        let mut partial = body(json!([]));
        partial["error"] = json!({"code": "PartialError", "details": [{"code": "EngineError"}]});
        reply(200, &[], partial)
    });
    let failed = ask(&client).await.unwrap_err();
    assert_eq!(failed.class, ErrorClass::Unreadable);
    assert!(failed.message.contains("the answer is partial: PartialError"), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn logs_that_are_out_of_reach_are_asked_once() {
    for status in [429, 500, 503, 504] {
        let (client, asks) = client(move |_, _| async move { error(status, "Unavailable") });
        ask(&client).await.unwrap_err();
        assert_eq!(asks.lock().unwrap().len(), 1, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_waits_for_a_person_and_a_missing_workspace_is_named() {
    for code in ["InsufficientAccessError", "AuthorizationFailed"] {
        let (client, _) = client(move |_, _| async move { error(403, code) });
        let failed = ask(&client).await.unwrap_err();
        assert!(failed.waits_for_person(), "{failed}");
    }
    let (client, _) = client(|_, _| async { error(404, "ResourceNotFound") });
    let failed = ask(&client).await.unwrap_err();
    assert!(failed.resource.ends_with("/log-ml"), "{failed}");
}
