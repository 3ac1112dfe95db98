//! Traffic by service: which calls show where, who is refused there, and what the flags of single services do.
//! Sources: MicrosoftDocs/azure-docs `articles/storage/blobs/monitor-blob-storage-reference.md` and
//! `articles/storage/common/shared-key-authorization-prevent.md`; Azure/bicep-types-az
//! `generated/storage/microsoft.storage/2025-08-01/types.md`.

use std::time::Duration;

use keyless_sim::Knobs;
use serde_json::{Value, json};

use crate::cloud::{BLOB_CONTRIBUTOR, Cloud, DANA, account, small_world, workload};

const G1: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";
const FILES: &str = "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/read";
const BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";

/// Series of one service, or of the account, over the last two hours.
async fn seen(cloud: &Cloud, service: Option<&str>) -> Vec<(String, f64)> {
    let now = cloud.sim.now().as_second();
    let stamp = |second: i64| jiff::Timestamp::from_second(second).unwrap();
    let below = service.map(|service| format!("/{service}Services/default")).unwrap_or_default();
    let path = format!(
        "{}{below}/providers/Microsoft.Insights/metrics?api-version=2024-02-01&metricnames=Transactions&aggregation=Total\
         &interval=PT1H&timespan={}/{}&$filter=Authentication eq '*' and ResponseType eq '*' and ApiName eq '*'&top=100",
        account(),
        stamp(now - 7200),
        stamp(now)
    );
    let reply = cloud.get(&path).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let series = reply.body["value"][0]["timeseries"].as_array().unwrap();
    let of = |series: &Value| {
        let words: Vec<_> =
            series["metadatavalues"].as_array().unwrap().iter().map(|value| value["value"].as_str().unwrap()).collect();
        let points = series["data"].as_array().unwrap().iter();
        (words.join("/"), points.filter_map(|point| point["total"].as_f64()).sum())
    };
    series.iter().map(of).collect()
}

fn with_key_user(properties: Value) -> Vec<Value> {
    let mut world = small_world();
    world.retain(|entry| entry["type"] != "Keyless.Sim/workloads");
    let mut user = json!({"type": "Keyless.Sim/keyUsers", "id": format!("{}/providers/Keyless.Sim/keyUsers/1", account()),
        "properties": {"account": account(), "name": "mount", "triesPerHour": 60}});
    for (name, value) in properties.as_object().unwrap() {
        user["properties"][name] = value.clone();
    }
    world.push(user);
    world
}

fn quiet(mut world: Vec<Value>) -> Vec<Value> {
    // Without a workspace nobody but the key user works.
    world.retain(|entry| entry["type"] != "Microsoft.MachineLearningServices/workspaces");
    world
}

#[tokio::test]
async fn a_key_user_of_file_shares_shows_there_and_on_the_account_alone() {
    let cloud = Cloud::new(quiet(with_key_user(json!({"service": "file"}))), Knobs::immediate());
    cloud.pass(7200);
    let expected = vec![("AccountKey/Success/GetFile".to_owned(), 120.0)];
    assert_eq!(seen(&cloud, Some("file")).await, expected);
    assert_eq!(seen(&cloud, None).await, expected);
    for other in ["blob", "queue", "table"] {
        assert_eq!(seen(&cloud, Some(other)).await, [], "{other}");
    }
}

#[tokio::test]
async fn a_workload_shows_in_every_service_it_uses_and_is_refused_only_where_a_role_is_missing() {
    let mut world = small_world();
    world.retain(|entry| entry["type"] != "Keyless.Sim/workloads");
    let mut both = workload("churn", DANA);
    both["properties"]["dataActions"] = json!([BLOBS, FILES]);
    world.push(both);
    let cloud = Cloud::new(world, Knobs::immediate());
    cloud.pass(7200);
    let rate = |series: &[(String, f64)], name: &str| {
        series.iter().find(|(label, _)| label == name).map_or(0.0, |(_, total)| *total)
    };
    let (blob, file) = (seen(&cloud, Some("blob")).await, seen(&cloud, Some("file")).await);
    let (blobs, files) = (rate(&blob, "AccountKey/Success/GetBlob"), rate(&file, "AccountKey/Success/GetFile"));
    assert!(blobs > 0.0 && (blobs - files).abs() <= 1.0, "{blob:?} {file:?}");
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    cloud.mode("churn", "Identity").await;
    cloud.pass(7200);
    assert!(rate(&seen(&cloud, Some("blob")).await, "OAuth/Success/GetBlob") > 0.0);
    let file = seen(&cloud, Some("file")).await;
    assert!(rate(&file, "OAuth/AuthorizationError/Unknown") > 0.0, "{file:?}");
    assert_eq!(file.len(), 1, "{file:?}");
}

#[tokio::test]
async fn a_sas_dies_with_the_key_unless_entra_signed_it() {
    for (signs, after) in [("keySas", "SAS/AuthorizationError/Unknown"), ("delegationSas", "SAS/Success/GetBlob")] {
        let cloud = Cloud::new(quiet(with_key_user(json!({"signs": signs}))), Knobs::immediate());
        cloud.pass(7200);
        assert_eq!(seen(&cloud, Some("blob")).await, [("SAS/Success/GetBlob".to_owned(), 120.0)], "{signs}");
        cloud.flag(false).await;
        cloud.pass(7200);
        assert_eq!(seen(&cloud, Some("blob")).await, [(after.to_owned(), 120.0)], "{signs}");
    }
}

#[tokio::test]
async fn a_stranger_with_a_wrong_key_fails_before_and_after_and_loses_nothing() {
    let cloud = Cloud::new(quiet(with_key_user(json!({"signs": "wrongKey", "service": "queue"}))), Knobs::immediate());
    cloud.pass(7200);
    cloud.flag(false).await;
    let expected = [("AccountKey/AuthenticationError/Unknown".to_owned(), 120.0)];
    assert_eq!(seen(&cloud, Some("queue")).await, expected);
    cloud.pass(7200);
    assert_eq!(seen(&cloud, Some("queue")).await, expected);
    assert_eq!(cloud.sim.oracle().denied.key_users, 0);
}

#[tokio::test]
async fn a_service_refuses_keys_by_itself_after_the_same_delay_and_is_shown_from_2025_08_01_on() {
    let knobs = Knobs { key_effect: Duration::from_secs(60), ..Knobs::immediate() };
    let cloud = Cloud::new(quiet(with_key_user(json!({"service": "file"}))), knobs);
    let at = |version: &str| format!("{}?api-version={version}", account());
    let body = json!({"properties": {"allowSharedKeyAccessForServices": {"file": {"enabled": false}}}});
    let reply = cloud.ask("PATCH", &at("2025-08-01"), Some(body)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    cloud.pass(59);
    assert_eq!(cloud.sim.oracle().denied.key_users, 0);
    cloud.pass(3601);
    assert_eq!(cloud.sim.oracle().denied.key_users, 60);
    let flag = "allowSharedKeyAccessForServices";
    assert_eq!(cloud.get(&at("2025-08-01")).await.body["properties"][flag]["file"]["enabled"], false);
    assert_eq!(cloud.get(&at("2023-05-01")).await.body["properties"].get(flag), None);
    // The account as a whole is still on, and other services with it.
    cloud.drift("keyUserStarted", &account(), json!({"service": "blob"}));
    cloud.pass(3600);
    assert_eq!(seen(&cloud, Some("blob")).await, [("AccountKey/Success/GetBlob".to_owned(), 60.0)]);
    let body = json!({"properties": {"allowSharedKeyAccessForServices": {"file": {"enabled": true}}}});
    assert_eq!(cloud.ask("PATCH", &at("2025-08-01"), Some(body)).await.status, 200);
    let denied = cloud.sim.oracle().denied.key_users;
    cloud.pass(60 + 7200);
    assert_eq!(cloud.sim.oracle().denied.key_users, denied + 1, "the last minute of the delay");
}
