//! Tags by themselves.

use keyless_sim::Knobs;
use serde_json::{Value, json};

use crate::cloud::{Cloud, DANA, RG, Reply, SUB, account, grant_entry, small_world, workspace};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

fn path(scope: &str) -> String {
    format!("{scope}/providers/Microsoft.Resources/tags/default?api-version=2025-03-01")
}

async fn patch(cloud: &Cloud, scope: &str, operation: &str, tags: Value) -> Reply {
    cloud.ask("PATCH", &path(scope), Some(json!({"operation": operation, "properties": {"tags": tags}}))).await
}

#[tokio::test]
async fn tags_are_replaced_merged_and_deleted_and_the_resource_shows_them() {
    let cloud = Cloud::immediate();
    let scope = workspace("churn");
    let merged = patch(&cloud, &scope, "Merge", json!({"TEAM": "growth", "ring": "1"})).await;
    assert_eq!((merged.status, &merged.body["properties"]["tags"]), (200, &json!({"team": "growth", "ring": "1"})));
    let left = patch(&cloud, &scope, "Delete", json!({"team": "churn", "ring": "1"})).await;
    assert_eq!(left.body["properties"]["tags"], json!({"team": "growth"}), "another value is not deleted");
    patch(&cloud, &scope, "Replace", json!({"only": "this"})).await;
    let read = cloud.get(&format!("{scope}?api-version=2025-09-01")).await;
    assert_eq!((&read.body["tags"], &read.body["oddity"]), (&json!({"only": "this"}), &json!({"kept": [1, null]})));
    assert_eq!(cloud.ask("PUT", &path(&scope), Some(json!({"properties": {"tags": {"a": "b"}}}))).await.status, 200);
    assert_eq!(cloud.get(&path(&scope)).await.body["properties"]["tags"], json!({"a": "b"}));
    assert_eq!(cloud.ask("DELETE", &path(&scope), None).await.status, 200);
    assert_eq!(cloud.get(&path(&scope)).await.body["properties"]["tags"], json!({}));
}

#[tokio::test]
async fn groups_and_subscriptions_bear_tags_too() {
    for scope in [RG, SUB] {
        let cloud = Cloud::immediate();
        assert_eq!(patch(&cloud, scope, "Merge", json!({"env": "prod"})).await.status, 200, "{scope}");
        let read = cloud.get(&format!("{scope}?api-version=2022-12-01")).await;
        assert_eq!((read.status, &read.body["tags"]), (200, &json!({"env": "prod"})), "{scope}");
        assert_eq!(cloud.get(&format!("{}?api-version=2023-05-01", account())).await.status, 200);
    }
}

#[tokio::test]
async fn tags_are_refused_on_nothing_under_a_lock_without_the_right_and_with_no_operation() {
    let mut world = small_world();
    world.push(grant_entry(RG, "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234", DANA, READER));
    let mut cloud = Cloud::new(world, Knobs::immediate());
    assert_eq!(patch(&cloud, &format!("{}x", account()), "Merge", json!({"a": "b"})).await.status, 404);
    assert_eq!(patch(&cloud, &account(), "Toggle", json!({"a": "b"})).await.status, 400);
    assert_eq!(patch(&cloud, &account(), "Merge", json!({"a": 1})).await.status, 400);
    cloud.drift("lockAdded", &account(), json!("ReadOnly"));
    assert_eq!(patch(&cloud, &account(), "Merge", json!({"a": "b"})).await.code(), "ScopeLocked");
    cloud.act_as(DANA);
    assert_eq!(cloud.get(&path(&account())).await.status, 200);
    assert_eq!(patch(&cloud, &account(), "Merge", json!({"a": "b"})).await.code(), "AuthorizationFailed");
}
