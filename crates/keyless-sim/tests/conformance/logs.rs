//! Storage resource logs in Log Analytics workspaces.
//! Sources: azure-rest-api-specs `operationalinsights` 2017-10-01;
//! <https://learn.microsoft.com/azure/azure-monitor/logs/api/response-format>; MicrosoftDocs/azure-docs
//! `articles/storage/blobs/monitor-blob-storage.md` and `includes/azure-storage-logs-properties-authentication.md`;
//! <https://learn.microsoft.com/azure/azure-monitor/logs/data-ingestion-time>.

use std::time::Duration;

use keyless_sim::Knobs;
use serde_json::{Value, json};

use crate::cloud::{BLOB_CONTRIBUTOR, Cloud, DANA, SUB, account, grant_entry, small_world};

const G1: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";
const ALL: &str = "union isfuzzy=true StorageBlobLogs, StorageFileLogs, StorageQueueLogs, StorageTableLogs ";

fn logs() -> String {
    format!("{SUB}/resourceGroups/rg-ops/providers/Microsoft.OperationalInsights/workspaces/log-ops")
}

fn setting(service: &str, categories: &Value) -> Value {
    let scope = format!("{}/{service}Services/default", account());
    json!({"id": format!("{scope}/providers/Microsoft.Insights/diagnosticSettings/audit"),
        "type": "Microsoft.Insights/diagnosticSettings", "name": "audit",
        "properties": {"workspaceId": logs(), "logs": categories}})
}

fn everything() -> Value {
    json!([{"categoryGroup": "allLogs", "enabled": true}])
}

/// The small world without its people at work, with a workspace for logs.
fn world(settings: Vec<Value>) -> Vec<Value> {
    let mut world = small_world();
    world.retain(|entry| {
        entry["type"] != "Keyless.Sim/workloads" && entry["type"] != "Microsoft.MachineLearningServices/workspaces"
    });
    world.push(json!({"id": logs(), "name": "log-ops", "type": "Microsoft.OperationalInsights/workspaces",
        "location": "westeurope", "properties": {}}));
    world.extend(settings);
    world
}

fn key_user(cloud: &Cloud, value: Value) {
    cloud.drift("keyUserStarted", &account(), value);
}

async fn post(cloud: &Cloud, query: &str) -> crate::cloud::Reply {
    let path = format!("{}/query?api-version=2017-10-01", logs());
    cloud.ask("POST", &path, Some(json!({"query": query}))).await
}

/// The code of what does not resolve.
fn semantic(reply: &crate::cloud::Reply) -> &Value {
    assert_eq!((reply.status, reply.code()), (400, "BadArgumentError"), "{reply:?}");
    &reply.body["error"]["innererror"]["innererror"]["code"]
}

/// Rows with their columns joined.
async fn rows(cloud: &Cloud, query: &str) -> Vec<String> {
    let reply = post(cloud, query).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let table = &reply.body["tables"][0];
    assert_eq!(table["name"], "PrimaryResult");
    let text = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
    let rows = table["rows"].as_array().unwrap().iter();
    rows.map(|row| row.as_array().unwrap().iter().map(text).collect::<Vec<_>>().join(" ")).collect()
}

const WHO: &str =
    "| summarize N = count() by Type, AuthenticationType, OperationName, StatusCode, CallerIpAddress, UserAgentHeader";

#[tokio::test]
async fn requests_show_with_caller_call_and_outcome_where_a_setting_sends_them() {
    let cloud = Cloud::new(world(vec![setting("file", &everything())]), Knobs::immediate());
    key_user(&cloud, json!({"name": "mount", "service": "file", "address": "10.1.0.4", "userAgent": "nightly/2"}));
    key_user(&cloud, json!({"name": "blobs", "service": "blob"}));
    cloud.pass(3600);
    cloud.flag(false).await;
    cloud.pass(60);
    let found = rows(&cloud, &format!("{ALL}{WHO}")).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("StorageFileLogs AccountKey GetFile 200 10.1.0.4:"), "{found:?}");
    assert!(found[0].ends_with(" nightly/2 60"), "{found:?}");
    assert!(found[1].starts_with("StorageFileLogs AccountKey GetFile 403 10.1.0.4:"), "{found:?}");
    let elsewhere = format!("{ALL}| where AccountName =~ \"other\" {WHO}");
    assert_eq!(rows(&cloud, &elsewhere).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_setting_sends_its_categories_from_the_time_it_is_made() {
    let reads = json!([{"category": "StorageRead", "enabled": true}, {"category": "StorageDelete", "enabled": false}]);
    let writes = json!([{"category": "StorageWrite", "enabled": true}]);
    for (categories, seen) in [(reads, 60), (writes, 0)] {
        let cloud = Cloud::new(world(vec![]), Knobs::immediate());
        key_user(&cloud, json!({"service": "file"}));
        cloud.pass(3600);
        let setting = setting("file", &categories);
        let id = setting["id"].as_str().unwrap().to_owned();
        cloud.drift("resourcePut", &id, setting);
        cloud.pass(3600);
        let counted = rows(&cloud, "StorageFileLogs | summarize N = count() by OperationName").await;
        let expected = if seen == 0 { vec![] } else { vec![format!("GetFile {seen}")] };
        assert_eq!(counted, expected);
    }
}

#[tokio::test]
async fn a_table_is_there_once_a_setting_sends_to_it_and_a_union_of_none_is_refused() {
    let cloud = Cloud::new(world(vec![]), Knobs::immediate());
    let (file, blob) =
        ("StorageFileLogs | summarize N = count() by Type", "StorageBlobLogs | summarize N = count() by Type");
    let all = format!("{ALL}| summarize N = count() by Type");
    let empty = all.replacen("true ", "true (datatable(Type: string)[]), ", 1);
    assert_eq!(semantic(&post(&cloud, file).await), "SEM0100");
    assert_eq!(semantic(&post(&cloud, &all).await), "SEM0529");
    assert_eq!(rows(&cloud, &empty).await, Vec::<String>::new());
    let setting = setting("file", &everything());
    let id = setting["id"].as_str().unwrap().to_owned();
    cloud.drift("resourcePut", &id, setting);
    key_user(&cloud, json!({"service": "file"}));
    cloud.pass(3600);
    for query in [file, &all, &empty] {
        assert_eq!(rows(&cloud, query).await, ["StorageFileLogs 60"], "{query}");
    }
    assert_eq!(semantic(&post(&cloud, blob).await), "SEM0100");
    cloud.drift("resourceRemoved", &id, Value::Null);
    assert_eq!(rows(&cloud, file).await, Vec::<String>::new(), "it stays");
}

#[tokio::test]
async fn what_signed_shows_in_the_hash_for_keys_and_sas_made_from_them() {
    let kinds = "| extend Key = case(AuthenticationHash startswith \"key1(\", \"key1\", \
                 AuthenticationHash startswith \"SasSignature(\", \"signature\", \"none\") \
                 | summarize N = count() by AuthenticationType, Key";
    for (signs, expected) in [
        ("key", "AccountKey key1 60"),
        ("keySas", "SAS key1 60"),
        ("delegationSas", "SAS signature 60"),
        ("wrongKey", "AccountKey none 60"),
    ] {
        let cloud = Cloud::new(world(vec![setting("blob", &everything())]), Knobs::immediate());
        key_user(&cloud, json!({"signs": signs}));
        cloud.pass(3600);
        assert_eq!(rows(&cloud, &format!("StorageBlobLogs {kinds}")).await, [expected], "{signs}");
    }
}

#[tokio::test]
async fn a_token_names_its_holder_and_a_key_nobody() {
    let mut world = world(vec![setting("blob", &everything())]);
    world.extend(small_world().into_iter().filter(|entry| {
        entry["type"] == "Keyless.Sim/workloads" || entry["type"] == "Microsoft.MachineLearningServices/workspaces"
    }));
    let cloud = Cloud::new(world, Knobs::immediate());
    cloud.pass(600);
    cloud.mode("churn", "Identity").await;
    cloud.pass(600);
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    cloud.pass(600);
    let query = "StorageBlobLogs | summarize N = count() by AuthenticationType, StatusText, RequesterObjectId | top 9 by N desc";
    let found = rows(&cloud, query).await;
    assert!(found.iter().any(|row| row.starts_with("AccountKey Success  ")), "{found:?}");
    for outcome in ["AuthorizationPermissionMismatch", "Success"] {
        assert!(found.contains(&format!("OAuth {outcome} {DANA} 60")), "{found:?}");
    }
}

#[tokio::test]
async fn what_is_younger_than_the_lag_or_outside_the_timespan_is_not_shown() {
    let knobs = Knobs { log_lag: Duration::from_secs(180), ..Knobs::immediate() };
    let cloud = Cloud::new(world(vec![setting("blob", &everything())]), knobs);
    key_user(&cloud, json!({}));
    let count =
        "StorageBlobLogs | summarize N = count(), First = min(TimeGenerated), Last = max(TimeGenerated) by Type";
    cloud.pass(120);
    assert_eq!(rows(&cloud, count).await, Vec::<String>::new());
    cloud.pass(3600);
    assert!(rows(&cloud, count).await[0].starts_with("StorageBlobLogs 59 2027-01-15T08:00:00Z "));
    let (query, span) = (count.replace(' ', "%20").replace('|', "%7C"), "2027-01-15T08:10:00Z/2027-01-15T08:20:00Z");
    let got = cloud.get(&format!("{}/query?api-version=2017-10-01&query={query}&timespan={span}", logs())).await;
    assert_eq!(got.body["tables"][0]["rows"][0][1], json!(10), "{got:?}");
    assert_eq!(got.body["tables"][0]["columns"][1], json!({"name": "N", "type": "long"}));
}

#[tokio::test]
async fn the_rights_to_queries_and_to_each_table_are_needed() {
    let role = |actions: Value| {
        json!({"id": format!("/providers/Microsoft.Authorization/roleDefinitions/{G1}"), "name": G1,
            "type": "Microsoft.Authorization/roleDefinitions",
            "properties": {"roleName": "logs", "type": "CustomRole", "assignableScopes": ["/"],
                "permissions": [{"actions": actions, "notActions": [], "dataActions": [], "notDataActions": []}]}})
    };
    let query = "Microsoft.OperationalInsights/workspaces/query/read";
    let blobs = "Microsoft.OperationalInsights/workspaces/query/StorageBlobLogs/read";
    let one = "StorageBlobLogs | summarize N = count() by Type";
    for (actions, asked, status, code) in [
        (json!([blobs]), one.to_owned(), 403, "AuthorizationFailed"),
        (json!([query]), one.to_owned(), 403, "InsufficientAccessError"),
        (json!([query, blobs]), one.to_owned(), 200, ""),
        (json!([query, blobs]), format!("{ALL}| summarize N = count() by Type"), 403, "InsufficientAccessError"),
    ] {
        let mut world = world(vec![setting("blob", &everything())]);
        world.push(role(actions.clone()));
        world.push(grant_entry(&logs(), "1a2b3c4d-5e6f-4a1b-8c2d-3e4f5a6b7c8d", DANA, G1));
        let mut cloud = Cloud::new(world, Knobs::immediate());
        cloud.act_as(DANA);
        let reply = post(&cloud, &asked).await;
        assert_eq!(reply.status, status, "{actions} {reply:?}");
        if status != 200 {
            assert_eq!(reply.code(), code, "{actions}");
        }
    }
}

#[tokio::test]
async fn bad_queries_and_missing_workspaces_are_refused_and_a_world_may_answer_in_part() {
    let partial = logs().replace("log-ops", "log-broken");
    let mut sends = setting("blob", &everything());
    sends["properties"]["workspaceId"] = json!(partial);
    let mut world = world(vec![sends]);
    world.push(json!({"id": partial, "type": "Microsoft.OperationalInsights/workspaces", "name": "log-broken",
        "properties": {"simulatedAnswer": "partial"}}));
    let cloud = Cloud::new(world, Knobs::immediate());
    for query in ["", "Heartbeat | summarize N = count() by Type", "StorageBlobLogs | take 5"] {
        assert_eq!(
            (post(&cloud, query).await.status, post(&cloud, query).await.code()),
            (400, "BadArgumentError"),
            "{query}"
        );
    }
    let good = json!({"query": "StorageBlobLogs | summarize N = count() by Type"});
    let missing = logs().replace("log-ops", "log-gone");
    let reply = cloud.ask("POST", &format!("{missing}/query?api-version=2017-10-01"), Some(good.clone())).await;
    assert_eq!(reply.status, 404);
    let reply = cloud.ask("POST", &format!("{partial}/query?api-version=2017-10-01"), Some(good)).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (200, &json!("PartialError")));
    assert!(reply.body["tables"][0]["rows"].is_array());
}
