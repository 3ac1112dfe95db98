//! Who is at work in a world of plain resources, as `--world` loads one.

use keyless_sim::Knobs;
use serde_json::{Value, json};

use crate::cloud::{BLOB_CONTRIBUTOR, Cloud, DANA, GROUP, JOB, account, grant_entry, small_world, workspace};

const G1: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";
const G2: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901235";
const OWN: &str = "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f";

fn plain_world() -> Vec<Value> {
    let mut world = small_world();
    world.retain(|entry| entry["type"] != "Keyless.Sim/workloads");
    world
}

#[tokio::test]
async fn the_published_order_denies_in_a_world_of_plain_resources_too() {
    let cloud = Cloud::new(plain_world(), Knobs::immediate());
    cloud.flag(false).await;
    cloud.pass(60);
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    cloud.mode("churn", "Identity").await;
    cloud.pass(60);
    let oracle = cloud.sim.oracle();
    assert_eq!((oracle.denied.entitled, oracle.events.len()), (6, 1));
    assert_eq!((oracle.events[0].principal.as_str(), &oracle.events[0].workspace), (OWN, &workspace("churn")));
}

#[tokio::test]
async fn holders_of_data_roles_are_at_work_and_the_safe_order_denies_none_of_them() {
    let mut world = plain_world();
    world.push(grant_entry(&account(), G1, GROUP, BLOB_CONTRIBUTOR));
    world.push(grant_entry(&account(), G2, JOB, "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"));
    let cloud = Cloud::new(world, Knobs::immediate());
    cloud.pass(3600);
    assert_eq!(cloud.sim.oracle().tries, 2 * 360, "the workspace and Dana; an Owner holds no data action");
    cloud.mode("churn", "Identity").await;
    cloud.flag(false).await;
    cloud.pass(14 * 24 * 3600);
    assert_eq!((cloud.sim.oracle().denied.entitled, cloud.sim.oracle().never_worked), (0, 0));
    cloud.drift("memberRemoved", GROUP, json!(DANA));
    cloud.pass(100);
    let oracle = cloud.sim.oracle();
    assert_eq!((oracle.denied.entitled, oracle.events[0].principal.as_str()), (10, DANA));
}

#[tokio::test]
async fn their_traffic_makes_the_metric_tell_keys_from_identity() {
    let cloud = Cloud::new(plain_world(), Knobs::immediate());
    let split = |cloud: &Cloud| {
        let now = cloud.sim.now();
        let span = format!("{}/{}", now - jiff::SignedDuration::from_mins(30), now);
        let path = format!(
            "{}/providers/Microsoft.Insights/metrics?api-version=2024-02-01&metricnames=Transactions&interval=FULL\
             &timespan={span}&$filter=Authentication eq '*'",
            account()
        );
        cloud.request("GET", &path, None)
    };
    for seen in ["AccountKey", "OAuth"] {
        let metric = cloud.send(split(&cloud)).await.body["value"][0]["timeseries"].clone();
        assert_eq!(metric.as_array().unwrap().len(), 1, "{metric}");
        assert_eq!(metric[0]["metadatavalues"][0]["value"], seen);
        cloud.mode("churn", "Identity").await;
        cloud.pass(3600);
    }
}

#[tokio::test]
async fn they_are_no_entries_of_the_world() {
    let cloud = Cloud::new(plain_world(), Knobs::immediate());
    assert_eq!(cloud.sim.world_json().as_array().unwrap().len(), plain_world().len());
}

#[tokio::test]
async fn a_workspace_that_comes_late_has_somebody_at_work_too() {
    let cloud = Cloud::immediate();
    let late = json!({"kind": "Default", "identity": {"type": "SystemAssigned", "principalId": JOB},
        "properties": {"storageAccount": account()}});
    cloud.drift("workspaceAdded", &workspace("late"), late);
    cloud.pass(60);
    cloud.mode("churn", "Identity").await;
    cloud.flag(false).await;
    cloud.pass(60);
    let events = cloud.sim.oracle().events;
    assert!(events.iter().any(|event| event.workspace == workspace("late") && event.principal == JOB), "{events:?}");
}

#[tokio::test]
async fn a_late_project_works_by_the_grant_that_the_service_conditions() {
    let mut world = small_world();
    world[1]["kind"] = json!("Hub");
    let cloud = Cloud::new(world, Knobs::immediate());
    let project = json!({"kind": "Project", "identity": {"type": "SystemAssigned", "principalId": JOB},
        "properties": {"hubResourceId": workspace("churn"), "workspaceId": "a1", "systemDatastoresAuthMode": "Identity"}});
    cloud.drift("workspaceAdded", &workspace("late"), project);
    cloud.pass(3600);
    cloud.flag(false).await;
    cloud.pass(3600);
    let events = cloud.sim.oracle().events;
    assert!(events.iter().all(|event| event.principal == DANA), "{events:?}");
    assert_eq!(cloud.sim.oracle().never_worked, 0);
}
