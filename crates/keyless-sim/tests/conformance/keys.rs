//! Keys that are made anew, and what it takes until a workspace has them.

use keyless_sim::{Knobs, WorkspaceWrite};
use serde_json::{Value, json};

use crate::cloud::{BLOB_CONTRIBUTOR, Cloud, DANA, Reply, account, grant_entry, small_world, workspace};

const GRANT: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";

fn world() -> Vec<Value> {
    let mut world = small_world();
    world.push(grant_entry(&account(), GRANT, DANA, BLOB_CONTRIBUTOR));
    world
}

async fn resync(cloud: &Cloud) -> Reply {
    cloud.ask("POST", &format!("{}/resyncKeys?api-version=2025-09-01", workspace("churn")), None).await
}

fn denied(cloud: &Cloud) -> u64 {
    cloud.sim.oracle().denied.entitled
}

#[tokio::test]
async fn a_new_key_shows_in_the_account_and_in_the_list_of_keys() {
    let cloud = Cloud::new(world(), Knobs::immediate());
    cloud.pass(3600);
    cloud.drift("keyRegenerated", &account(), json!("key2"));
    let shown = cloud.get(&format!("{}?api-version=2023-05-01", account())).await.body;
    let made = shown["properties"]["keyCreationTime"]["key2"].as_str().unwrap().to_owned();
    assert_eq!(shown["properties"]["keyCreationTime"].get("key1"), None);
    let keys = cloud.ask("POST", &format!("{}/listKeys?api-version=2023-05-01", account()), None).await.body;
    assert_eq!(keys["keys"][1]["creationTime"], made);
    assert_ne!(keys["keys"][0]["creationTime"], made);
}

#[tokio::test]
async fn a_workspace_on_keys_fails_with_the_old_key_until_it_is_told_or_an_hour_is_over() {
    for told in [true, false] {
        let cloud = Cloud::new(world(), Knobs::immediate());
        cloud.pass(60);
        cloud.drift("keyRegenerated", &account(), json!("key2"));
        cloud.pass(600);
        assert_eq!(denied(&cloud), 0, "workspaces hold the first key");
        cloud.drift("keyRegenerated", &account(), json!("key1"));
        cloud.pass(600);
        let before = denied(&cloud);
        assert_eq!(before, 60);
        assert!(cloud.sim.oracle().events[0].cause.starts_with("AuthenticationFailed"));
        if told {
            assert_eq!(resync(&cloud).await.status, 200);
            cloud.pass(3000);
            assert_eq!(denied(&cloud), before);
        } else {
            cloud.pass(3000 + 3600);
            assert_eq!(denied(&cloud), 360, "an hour, and not a moment longer");
        }
    }
}

#[tokio::test]
async fn a_workspace_on_identity_keeps_its_old_key_for_the_day_it_is_switched_back() {
    let back = |told: bool| async move {
        let cloud = Cloud::new(world(), Knobs::immediate());
        cloud.mode("churn", "Identity").await;
        cloud.drift("keyRegenerated", &account(), json!("key1"));
        cloud.pass(14 * 24 * 3600);
        assert_eq!(denied(&cloud), 0, "nobody needs the key");
        if told {
            assert_eq!(resync(&cloud).await.status, 200);
        }
        cloud.mode("churn", "AccessKey").await;
        cloud.pass(600);
        denied(&cloud)
    };
    assert_eq!((back(true).await, back(false).await), (0, 60));
}

#[tokio::test]
async fn it_is_an_operation_that_ends_with_nothing() {
    let knobs = Knobs { workspace_write: WorkspaceWrite::Async, ..Knobs::default() };
    let cloud = Cloud::new(world(), knobs);
    let accepted = resync(&cloud).await;
    assert_eq!((accepted.status, accepted.body.clone()), (202, Value::Null));
    let other = cloud.mode("churn", "Identity").await;
    assert_eq!((other.status, other.code()), (409, "Conflict"));
    let (location, status) =
        (accepted.header("location").to_owned(), accepted.header("azure-asyncoperation").to_owned());
    assert_eq!(cloud.get(&location).await.status, 202);
    cloud.pass(30);
    let done = cloud.get(&location).await;
    assert_eq!((done.status, done.body), (200, Value::Null));
    assert_eq!(cloud.get(&status).await.body["status"], "Succeeded");
}

#[tokio::test]
async fn it_takes_a_right_of_its_own_and_keys_that_may_be_listed() {
    let mut world = world();
    let role = "99999999-0000-4000-8000-000000000001";
    let definition = |actions: Value| {
        json!({"id": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"), "name": role,
            "type": "Microsoft.Authorization/roleDefinitions", "properties": {"roleName": "some", "type": "CustomRole",
            "permissions": [{"actions": actions, "notActions": [], "dataActions": [], "notDataActions": []}]}})
    };
    let writes = "Microsoft.MachineLearningServices/workspaces/write";
    let takes = "Microsoft.MachineLearningServices/workspaces/resyncKeys/action";
    let assigned =
        grant_entry(account().split("/providers").next().unwrap(), role, keyless_sim::CLIENT_OBJECT_ID, role);
    for (actions, status) in [(json!([writes]), 403), (json!([writes, takes]), 200)] {
        let mut world = world.clone();
        world.extend([definition(actions), assigned.clone()]);
        assert_eq!(resync(&Cloud::new(world, Knobs::immediate())).await.status, status);
    }
    world.push(json!({"id": format!("{}/providers/Microsoft.Authorization/locks/l", account()), "name": "l",
        "type": "Microsoft.Authorization/locks", "properties": {"level": "ReadOnly"}}));
    let refused = resync(&Cloud::new(world, Knobs::immediate())).await;
    assert_eq!((refused.status, refused.code()), (409, "ScopeLocked"));
}
