//! Locks as callers make and remove them.

use keyless_sim::Knobs;
use serde_json::{Value, json};

use crate::cloud::{Cloud, JOB, RG, Reply, SUB, account, grant_entry, small_world, workspace};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const G1: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";

fn path(scope: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/locks/{name}?api-version=2016-09-01")
}

async fn put(cloud: &Cloud, scope: &str, level: &str) -> Reply {
    cloud.ask("PUT", &path(scope, "keep"), Some(json!({"properties": {"level": level, "notes": "mine"}}))).await
}

#[tokio::test]
async fn a_lock_is_201_then_200_and_holds_until_it_is_deleted() {
    let cloud = Cloud::immediate();
    let made = put(&cloud, &account(), "readonly").await;
    assert_eq!((made.status, &made.body["name"]), (201, &json!("keep")));
    assert_eq!(made.body["properties"], json!({"level": "ReadOnly", "notes": "mine"}));
    assert_eq!(cloud.flag(false).await.code(), "ScopeLocked");
    assert_eq!(put(&cloud, &account(), "CanNotDelete").await.status, 200);
    assert_eq!(cloud.flag(false).await.status, 200);
    assert_eq!(cloud.ask("DELETE", &path(&account(), "keep"), None).await.status, 200);
    assert_eq!(cloud.ask("DELETE", &path(&account(), "keep"), None).await.status, 204);
    assert_eq!(cloud.get(&path(&account(), "keep")).await.status, 404);
}

#[tokio::test]
async fn a_lock_on_a_group_or_a_subscription_covers_the_account_and_never_bars_its_own_removal() {
    for scope in [RG, SUB] {
        let cloud = Cloud::immediate();
        assert_eq!(put(&cloud, scope, "ReadOnly").await.status, 201);
        assert_eq!(cloud.flag(false).await.code(), "ScopeLocked", "{scope}");
        assert_eq!(cloud.ask("DELETE", &path(scope, "keep"), None).await.status, 200, "{scope}");
        assert_eq!(cloud.flag(false).await.status, 200, "{scope}");
    }
}

#[tokio::test]
async fn a_lock_whose_path_is_percent_encoded_as_a_whole_is_put_where_it_says() {
    let cloud = Cloud::immediate();
    let encoded = format!(
        "/{}/providers/Microsoft.Authorization/locks/keep?api-version=2016-09-01",
        account()[1..].replace('/', "%2F")
    );
    let made =
        cloud.ask("PUT", &encoded.replacen('/', "/%2F", 1), Some(json!({"properties": {"level": "ReadOnly"}}))).await;
    assert_eq!(made.status, 201, "{made:?}");
    let doubled = account().replace("Microsoft.Storage/", "Microsoft.Storage//");
    let listed = cloud.get(&path(&doubled, "")).await;
    assert_eq!(listed.body["value"][0]["name"], "keep");
}

#[tokio::test]
async fn levels_scopes_and_callers_are_checked() {
    let mut world = small_world();
    world.push(grant_entry(RG, G1, JOB, READER));
    let mut cloud = Cloud::new(world, Knobs::immediate());
    assert_eq!(put(&cloud, &account(), "Sometimes").await.status, 400);
    assert_eq!(put(&cloud, &format!("{}x", account()), "ReadOnly").await.code(), "ResourceNotFound");
    assert_eq!(put(&cloud, &format!("{RG}x"), "ReadOnly").await.code(), "ResourceGroupNotFound");
    cloud.act_as(JOB);
    for (method, body) in [("PUT", Some(json!({"properties": {"level": "ReadOnly"}}))), ("DELETE", None::<Value>)] {
        let refused = cloud.ask(method, &path(&account(), "keep"), body).await;
        assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
    }
}

/// Source: MicrosoftDocs/azure-docs `articles/azure-resource-manager/management/lock-resources.md`, which lets a read-only
/// lock hold every POST.
#[tokio::test]
async fn a_read_only_lock_keeps_every_key_where_it_is() {
    let cloud = Cloud::immediate();
    put(&cloud, RG, "ReadOnly").await;
    let store = format!("{}/datastores/workspaceblobstore/listSecrets", workspace("churn"));
    for action in [format!("{}/listKeys", account()), format!("{}/listKeys", workspace("churn")), store] {
        let refused = cloud.ask("POST", &format!("{action}?api-version=2023-05-01"), None).await;
        assert_eq!((refused.status, refused.code()), (409, "ScopeLocked"), "{action}");
    }
}

#[tokio::test]
async fn making_and_removing_a_lock_is_in_the_activity_log() {
    let cloud = Cloud::immediate();
    put(&cloud, &account(), "ReadOnly").await;
    cloud.ask("DELETE", &path(&account(), "keep"), None).await;
    let log = format!(
        "{SUB}/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter=eventTimestamp ge '2027-01-01T00:00:00Z'"
    );
    let events = cloud.get(&log).await.body;
    let actions: Vec<&str> = events["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["operationName"]["value"].as_str().unwrap())
        .collect();
    for action in ["Microsoft.Authorization/locks/write", "Microsoft.Authorization/locks/delete"] {
        assert_eq!(actions.iter().filter(|own| **own == action).count(), 2, "{action}");
    }
}
