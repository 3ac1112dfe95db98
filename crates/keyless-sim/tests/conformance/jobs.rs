//! Jobs that begin and end, their list, and instances that are started, stopped and left idle.

use keyless_sim::Knobs;
use serde_json::{Value, json};

use crate::cloud::{BLOB_READER, Cloud, DANA, JOB, READ_BLOBS, account, grant_entry, small_world, workspace};

const VERSION: &str = "api-version=2025-09-01";

/// A job of the simulator's own kind in the workspace `churn`.
fn run(name: &str, fields: Value) -> Value {
    let mut entry = json!({"type": "Keyless.Sim/jobs",
        "id": format!("{}/providers/Keyless.Sim/jobs/{name}", workspace("churn")),
        "properties": {"workspace": workspace("churn"), "name": name, "principalId": JOB, "dataActions": [READ_BLOBS]}});
    entry["properties"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    entry
}

fn cloud(more: impl IntoIterator<Item = Value>) -> Cloud {
    let mut world = small_world();
    let name = |n: u8| format!("0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f90000{n}");
    world.push(grant_entry(&account(), &name(1), JOB, BLOB_READER));
    world.push(grant_entry(&account(), &name(2), DANA, BLOB_READER));
    world.extend(more);
    Cloud::new(world, Knobs::immediate())
}

async fn statuses(cloud: &Cloud, query: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut next = format!("{}/jobs?{VERSION}{query}", workspace("churn"));
    loop {
        let reply = cloud.ask("GET", &next, None).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        for job in reply.body["value"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            found.push((text(&job["name"]), text(&job["properties"]["status"])));
        }
        match reply.body["nextLink"].as_str() {
            Some(link) => next = link.to_owned(),
            None => return found,
        }
    }
}

fn pair(name: &str, status: &str) -> (String, String) {
    (name.to_owned(), status.to_owned())
}

#[tokio::test]
async fn a_job_begins_and_ends_by_the_clock_and_works_in_between() {
    let cloud = cloud([run("train", json!({"startsAfter": "10m", "runsFor": "1h", "endsAs": "Failed"}))]);
    let before = cloud.sim.oracle().tries;
    assert_eq!(statuses(&cloud, "").await, []);
    cloud.pass(600);
    let idle = cloud.sim.oracle().tries - before;
    assert_eq!(statuses(&cloud, "").await, [pair("train", "Running")]);
    cloud.pass(3600);
    let worked = cloud.sim.oracle().tries;
    assert_eq!(statuses(&cloud, "").await, [pair("train", "Failed")]);
    cloud.pass(3600);
    let after = cloud.sim.oracle().tries - worked;
    assert_eq!((idle, worked - idle - before, after), (60, 720, 360), "Dana alone, both, Dana alone");
    let one = cloud.ask("GET", &format!("{}/jobs/train?{VERSION}", workspace("churn")), None).await;
    assert_eq!((one.status, &one.body["properties"]["jobType"]), (200, &json!("Command")));
    assert_eq!(cloud.ask("GET", &format!("{}/jobs/none?{VERSION}", workspace("churn")), None).await.status, 404);
}

#[tokio::test]
async fn a_job_that_mounted_with_the_key_is_refused_from_the_switch_on_and_one_after_it_is_not() {
    let cloud =
        cloud([run("long", json!({"runsFor": "10h"})), run("late", json!({"startsAfter": "2h", "runsFor": "1h"}))]);
    cloud.pass(3600);
    cloud.mode("churn", "Identity").await;
    assert_eq!(cloud.sim.oracle().denied.entitled, 0);
    cloud.pass(3600);
    let oracle = cloud.sim.oracle();
    assert_eq!((oracle.denied.entitled, oracle.events.len()), (360, 1));
    assert_eq!(oracle.events[0].principal, JOB);
    assert!(oracle.events[0].cause.contains("mounted with the key"), "{:?}", oracle.events);
    cloud.pass(24 * 3600);
    let oracle = cloud.sim.oracle();
    assert_eq!((oracle.denied.entitled, oracle.events.len()), (360 * 9, 1), "to its end, and nobody else");
}

#[tokio::test]
async fn a_job_that_mounted_with_a_token_goes_on_with_it_when_its_workspace_goes_back() {
    let mut world = small_world();
    world[1]["properties"]["systemDatastoresAuthMode"] = json!("Identity");
    world.push(grant_entry(&account(), "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f900001", JOB, BLOB_READER));
    world.push(run("long", json!({})));
    let cloud = Cloud::new(world, Knobs::immediate());
    cloud.mode("churn", "AccessKey").await;
    cloud.flag(false).await;
    cloud.pass(3600);
    let events = cloud.sim.oracle().events;
    assert!(events.iter().all(|event| event.principal != JOB), "the key does not matter to it: {events:?}");
}

#[tokio::test]
async fn the_list_comes_in_pages_knows_no_status_and_shows_archived_jobs_to_who_asks() {
    let job = |name: &str, kind: &str, archived: bool| {
        json!({"id": format!("{}/jobs/{name}", workspace("churn")), "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/jobs",
            "properties": {"jobType": kind, "status": "Completed", "isArchived": archived}})
    };
    let mut world = small_world();
    world.extend((0..5).map(|n| job(&format!("j{n}"), if n == 0 { "Pipeline" } else { "Command" }, n == 4)));
    let mut cloud = Cloud::new(world, Knobs { workspace_page_size: 2, ..Knobs::immediate() });
    assert_eq!(statuses(&cloud, "").await.len(), 4);
    assert_eq!(statuses(&cloud, "&listViewType=All").await.len(), 5);
    assert_eq!(statuses(&cloud, "&listViewType=ArchivedOnly").await, [pair("j4", "Completed")]);
    assert_eq!(statuses(&cloud, "&jobType=pipeline").await, [pair("j0", "Completed")]);
    assert_eq!(statuses(&cloud, "&status=Running").await.len(), 4, "it is not asked");
    let first = cloud.ask("GET", &format!("{}/jobs?{VERSION}", workspace("churn")), None).await;
    assert_eq!(first.body["value"].as_array().unwrap().len(), 2);
    let elsewhere = cloud.ask("GET", &format!("{}/jobs?{VERSION}", workspace("none")), None).await;
    assert_eq!((elsewhere.status, elsewhere.code()), (404, "ParentResourceNotFound"));
    cloud.act_as(DANA);
    let refused = cloud.ask("GET", &format!("{}/jobs?{VERSION}", workspace("churn")), None).await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
}

fn instance(name: &str, idle: Option<&str>) -> Value {
    json!({"id": format!("{}/computes/{name}", workspace("churn")), "name": name,
        "type": "Microsoft.MachineLearningServices/workspaces/computes", "location": "westeurope",
        "properties": {"computeType": "ComputeInstance",
            "properties": {"state": "Running", "idleTimeBeforeShutdown": idle}}})
}

async fn state(cloud: &Cloud, name: &str) -> String {
    let reply = cloud.ask("GET", &format!("{}/computes/{name}?{VERSION}", workspace("churn")), None).await;
    reply.body["properties"]["properties"]["state"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_idle_instance_is_stopped_after_its_time_and_any_other_runs_on() {
    let cloud = cloud([instance("idle", Some("PT15M")), instance("busy", None)]);
    cloud.pass(14 * 60);
    assert_eq!(
        (state(&cloud, "idle").await, state(&cloud, "busy").await),
        ("Running".to_owned(), "Running".to_owned())
    );
    cloud.pass(60);
    assert_eq!(
        (state(&cloud, "idle").await, state(&cloud, "busy").await),
        ("Stopped".to_owned(), "Running".to_owned())
    );
}

#[tokio::test]
async fn an_instance_is_stopped_and_started_after_a_while() {
    let knobs = Knobs { operation: std::time::Duration::from_secs(60), ..Knobs::immediate() };
    let mut world = small_world();
    world.push(instance("dev", None));
    world.push(json!({"id": format!("{}/computes/cpu", workspace("churn")), "name": "cpu",
        "type": "Microsoft.MachineLearningServices/workspaces/computes", "properties": {"computeType": "AmlCompute"}}));
    let mut cloud = Cloud::new(world, knobs);
    let verb = |name: &str, verb: &str| format!("{}/computes/{name}/{verb}?{VERSION}", workspace("churn"));
    assert_eq!(cloud.ask("POST", &verb("dev", "stop"), None).await.status, 202);
    assert_eq!(state(&cloud, "dev").await, "Stopping");
    cloud.pass(60);
    assert_eq!(state(&cloud, "dev").await, "Stopped");
    assert_eq!(cloud.ask("POST", &verb("dev", "start"), None).await.status, 202);
    cloud.pass(60);
    assert_eq!(state(&cloud, "dev").await, "Running");
    assert_eq!(cloud.ask("POST", &verb("cpu", "stop"), None).await.status, 404, "clusters are not stopped");
    cloud.act_as(DANA);
    assert_eq!(cloud.ask("POST", &verb("dev", "stop"), None).await.status, 403);
}

#[tokio::test]
async fn a_job_that_is_put_later_begins_then_and_one_that_is_removed_ends() {
    let cloud = cloud([]);
    let entry = run("late", json!({}));
    cloud.drift("resourcePut", entry["id"].as_str().unwrap(), entry.clone());
    assert_eq!(statuses(&cloud, "").await, [pair("late", "Running")]);
    cloud.drift("resourceRemoved", entry["id"].as_str().unwrap(), Value::Null);
    assert_eq!(statuses(&cloud, "").await, [pair("late", "Completed")]);
}
