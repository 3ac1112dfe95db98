//! `/sim/*`.

use std::time::Duration;

use keyless_sim::{ClockMode, Knobs, SimOptions, Simulator, World};
use serde_json::{Value, json};

use crate::cloud::{Cloud, DANA, GROUP, account, grant_entry, read, small_world, workspace};

fn anonymous(method: &str, path: &str, body: Value) -> http::Request<bytes::Bytes> {
    let body = if body.is_null() { bytes::Bytes::new() } else { bytes::Bytes::from(body.to_string()) };
    http::Request::builder().method(method).uri(path).body(body).unwrap()
}

#[tokio::test]
async fn the_world_loads_again_as_the_same_world() {
    let mut world = small_world();
    world.push(grant_entry(&account(), "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234", GROUP, "x"));
    world.push(json!({"type": "Keyless.Sim/keyUsers", "id": format!("{}/providers/Keyless.Sim/keyUsers/1", account()),
        "properties": {"account": account(), "name": "n", "stopsAfter": "1h", "triesPerHour": 60}}));
    let cloud = Cloud::new(world.clone(), Knobs::default());
    let reply = read(cloud.sim.call(anonymous("GET", "/sim/world", Value::Null)).await.unwrap());
    assert_eq!(reply.status, 200);
    let given = reply.body.as_array().unwrap().clone();
    for entry in &world {
        assert!(given.contains(entry), "{entry}");
    }
    assert_eq!(given.len(), world.len());
    let again = Cloud::new(given, Knobs::default());
    assert_eq!(again.sim.world_json(), reply.body);
    cloud.pass(1200);
    let later = cloud.sim.world_json();
    assert!(later.to_string().contains("\"stopsAfter\":\"40m\""), "{later}");
}

#[tokio::test]
async fn the_world_is_shown_without_knobs() {
    let cloud = Cloud::immediate();
    cloud.mode("churn", "identity").await;
    let world = cloud.sim.world_json();
    assert_eq!(
        world
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["properties"]["systemDatastoresAuthMode"] == "identity")
            .count(),
        1
    );
}

#[tokio::test]
async fn sim_requests_need_no_token_and_are_not_counted() {
    let cloud = Cloud::immediate();
    for path in ["/sim/oracle", "/sim/requests", "/sim/world", "/metadata/endpoints"] {
        assert_eq!(read(cloud.sim.call(anonymous("GET", path, Value::Null)).await.unwrap()).status, 200, "{path}");
    }
    assert_eq!(cloud.sim.requests().total, 0);
    cloud.flag(false).await;
    cloud.get("/nowhere?api-version=2024-01-01").await;
    let refused = cloud.sim.call(anonymous("GET", &format!("{}?api-version=2023-05-01", account()), Value::Null)).await;
    assert_eq!(refused.unwrap().status(), 401);
    let reply = read(cloud.sim.call(anonymous("GET", "/sim/requests", Value::Null)).await.unwrap());
    assert_eq!((&reply.body["total"], &reply.body["writes"]), (&json!(3), &json!(1)));
    let patch = &reply.body["byOperation"].as_array().unwrap().iter().find(|entry| entry["method"] == "PATCH").unwrap();
    assert_eq!(
        patch["operation"],
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{}"
    );
    assert_eq!((&patch["status"], &patch["count"]), (&json!(200), &json!(1)));
    assert_eq!(patch["caller"], keyless_sim::CLIENT_OBJECT_ID);
}

#[tokio::test]
async fn the_oracle_answers_in_its_documented_form() {
    let cloud = Cloud::immediate();
    let drift = json!({"change": "sharedKey", "target": account(), "value": false, "by": DANA});
    assert_eq!(cloud.sim.call(anonymous("POST", "/sim/drift", drift)).await.unwrap().status(), 200);
    let advance = cloud.sim.call(anonymous("POST", "/sim/advance", json!({"by": "1h"}))).await.unwrap();
    assert_eq!(advance.status(), 200);
    let body = read(cloud.sim.call(anonymous("GET", "/sim/oracle", Value::Null)).await.unwrap()).body;
    assert_eq!((&body["tries"], &body["denied"]), (&json!(360), &json!({"entitled": 360, "keyUsers": 0})));
    assert_eq!(
        body["events"],
        json!([{"at": "2027-01-15T08:00:00.0000000Z", "principal": DANA, "workspace": workspace("churn"),
            "account": account(), "cause": "KeyBasedAuthenticationNotPermitted"}])
    );
}

#[tokio::test]
async fn drift_that_makes_no_sense_is_refused() {
    let cloud = Cloud::immediate();
    for (drift, status) in [
        (json!({"change": "sharedKey", "target": "/subscriptions/x", "value": true}), 404),
        (json!({"change": "sharedKey", "target": account(), "value": "on"}), 400),
        (json!({"change": "colour", "target": account()}), 400),
        (json!({"change": "grantAdded", "target": account(), "value": {}}), 400),
        (json!({"change": "workspaceAdded", "target": account(), "value": {}}), 400),
        (json!({"change": "lockRemoved", "target": account()}), 404),
        (json!([]), 400),
    ] {
        let reply = cloud.sim.call(anonymous("POST", "/sim/drift", drift.clone())).await.unwrap();
        assert_eq!(reply.status(), status, "{drift}");
    }
}

#[tokio::test]
async fn drift_adds_and_removes_entries() {
    let cloud = Cloud::immediate();
    let assignments = format!("{}/providers/Microsoft.Authorization/roleAssignments", account());
    cloud.drift(
        "grantAdded",
        &account(),
        json!({"principalId": DANA, "roleDefinitionId": "ba92f5b4-2d11-453d-a403-e96b0029c9fe"}),
    );
    let listed = cloud.get(&format!("{assignments}?api-version=2022-04-01&$filter=atScope()")).await;
    assert_eq!(listed.body["value"].as_array().unwrap().len(), 1);
    cloud.drift("grantRemoved", listed.body["value"][0]["id"].as_str().unwrap(), Value::Null);
    cloud.drift(
        "datastoreAdded",
        &format!("{}/datastores/own", workspace("churn")),
        json!({"properties": {"datastoreType": "AzureBlob", "credentials": {"credentialsType": "AccountKey"}}}),
    );
    let stores = cloud.get(&format!("{}/datastores?api-version=2024-04-01", workspace("churn"))).await;
    assert_eq!(stores.body["value"].as_array().unwrap().len(), 5);
    cloud.drift("authMode", &workspace("churn"), json!("identity"));
    cloud.drift("authMode", &workspace("churn"), Value::Null);
    let shown = cloud.get(&format!("{}?api-version=2025-09-01", workspace("churn"))).await;
    assert_eq!(shown.body["properties"].get("systemDatastoresAuthMode"), None);
    cloud.drift("workspaceRemoved", &workspace("churn"), Value::Null);
    assert_eq!(cloud.get(&format!("{}?api-version=2025-09-01", workspace("churn"))).await.status, 404);
    cloud.drift("resourceRemoved", &account(), Value::Null);
    assert_eq!(cloud.flag(true).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn time_is_not_moved_on_request_unless_it_is_simulated() {
    let start = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    let options = SimOptions { clock: ClockMode::Tokio(start), ..SimOptions::default() };
    let sim = Simulator::new(World::default(), &options).unwrap();
    let reply = sim.call(anonymous("POST", "/sim/advance", json!({"by": "1h"}))).await.unwrap();
    assert_eq!(reply.status(), 409);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(sim.now().as_second(), 1_800_000_060);
    let simulated = Cloud::immediate();
    let reply = simulated.sim.call(anonymous("POST", "/sim/advance", json!({"by": "soon"}))).await.unwrap();
    assert_eq!(reply.status(), 400);
}

#[tokio::test]
async fn equal_seeds_and_requests_give_equal_answers() {
    let run = |seed| async move {
        let cloud = Cloud::with(small_world(), SimOptions { seed, ..SimOptions::default() });
        let started = cloud.mode("churn", "Identity").await;
        cloud.pass(400);
        (started.header("location").to_owned(), format!("{:?}", cloud.sim.oracle()))
    };
    assert_eq!(run(3).await, run(3).await);
    assert_ne!(run(3).await.0, run(4).await.0);
}

#[tokio::test]
async fn drift_with_bad_values_is_refused_and_changes_nothing() {
    let cloud = Cloud::immediate();
    let before = cloud.sim.world_json();
    let role = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
    for (change, target, value) in [
        ("grantAdded", account(), json!({"principalId": 5, "roleDefinitionId": role})),
        ("grantAdded", account(), json!({"principalId": DANA, "roleDefinitionId": null})),
        ("grantAdded", "nowhere".to_owned(), json!({"principalId": DANA, "roleDefinitionId": role})),
        ("keyUserStarted", account(), json!({"stopsAfter": "soon"})),
        ("keyUserStarted", account(), json!({"triesPerHour": 0})),
        ("keyUserStarted", account(), json!({"name": 7})),
        ("keyUserStarted", account(), json!("backup")),
        ("lockAdded", account(), json!("Shut")),
        ("lockAdded", "nowhere".to_owned(), json!("ReadOnly")),
        ("resourcePut", account(), json!({"id": workspace("churn")})),
        ("resourcePut", account(), json!(null)),
        ("resourcePut", "/subscriptions/s/colours/red".to_owned(), json!({})),
    ] {
        let drift = json!({"change": change, "target": target, "value": value});
        let reply = read(cloud.sim.call(anonymous("POST", "/sim/drift", drift.clone())).await.unwrap());
        assert_eq!(reply.status, 400, "{drift}");
        assert!(
            reply.body["error"]["message"].as_str().unwrap().contains("must be")
                || change == "grantAdded"
                || change == "resourcePut",
            "{reply:?}"
        );
    }
    assert_eq!(cloud.sim.world_json(), before);
}

#[tokio::test]
async fn a_key_user_started_later_never_takes_the_place_of_another() {
    let cloud = Cloud::immediate();
    for name in ["a", "b"] {
        cloud.drift("keyUserStarted", &account(), json!({"name": name}));
    }
    cloud.drift("keyUserStopped", &account(), json!("a"));
    cloud.drift("keyUserStarted", &account(), json!({"name": "c"}));
    let world = cloud.sim.world_json();
    let names: Vec<_> =
        world.as_array().unwrap().iter().filter(|entry| entry["type"] == "Keyless.Sim/keyUsers").collect();
    assert_eq!(names.len(), 2, "{names:?}");
    cloud.drift("sharedKey", &account(), json!(false));
    cloud.pass(3600);
    assert_eq!(cloud.sim.oracle().denied.key_users, 120);
}

#[tokio::test]
async fn an_assignment_put_out_of_band_begins_to_count_by_itself() {
    let wait = keyless_sim::Spread::fixed(Duration::from_secs(600));
    let mut world = small_world();
    world[1]["properties"]["systemDatastoresAuthMode"] = json!("identity");
    let cloud = Cloud::new(world, Knobs { role_propagation: wait, ..Knobs::immediate() });
    let mut grant =
        grant_entry(&account(), "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234", DANA, "ba92f5b4-2d11-453d-a403-e96b0029c9fe");
    grant["properties"]["createdOn"] = json!(cloud.sim.now().to_string());
    cloud.drift("resourcePut", grant["id"].as_str().unwrap(), grant.clone());
    cloud.pass(601);
    let before = cloud.sim.oracle().never_worked;
    cloud.pass(3600);
    assert_eq!((before, cloud.sim.oracle().never_worked), (60, 60));
}
