//! Large fleets and long spans stay cheap, because nothing is counted one by one.

use keyless_sim::Knobs;
use serde_json::{Value, json};

use crate::cloud::{Cloud, DANA, RG, SUB, read};

fn fleet(size: usize) -> Vec<Value> {
    let mut world = Vec::new();
    for number in 0..size {
        let account = format!("{RG}/providers/Microsoft.Storage/storageAccounts/st{number:05}");
        let workspace = format!("{RG}/providers/Microsoft.MachineLearningServices/workspaces/ws{number:05}");
        world.push(json!({"id": account, "properties": {}}));
        world.push(json!({"id": workspace, "properties": {"storageAccount": account}}));
        world.push(
            json!({"type": "Keyless.Sim/workloads", "id": format!("{workspace}/providers/Keyless.Sim/workloads/0"),
            "properties": {"workspace": workspace, "principalId": DANA, "dataActions": [], "triesPerHour": 360}}),
        );
    }
    world
}

#[tokio::test]
async fn a_year_of_a_thousand_workspaces_is_counted_at_once() {
    let cloud = Cloud::new(fleet(1000), Knobs::immediate());
    cloud.pass(365 * 24 * 3600);
    assert_eq!(cloud.sim.oracle().tries, 1000 * 365 * 24 * 360);
}

#[tokio::test]
async fn a_thousand_workspaces_are_listed_in_pages_of_a_hundred_and_accounts_in_one() {
    let cloud = Cloud::new(fleet(1000), Knobs::immediate());
    let mut next = format!("{SUB}/providers/Microsoft.MachineLearningServices/workspaces?api-version=2025-09-01");
    let (mut pages, mut found) = (0, 0);
    while !next.is_empty() {
        let reply = read(cloud.sim.call(cloud.request("GET", &next, None)).await.unwrap());
        found += reply.body["value"].as_array().unwrap().len();
        next = reply.body["nextLink"].as_str().unwrap_or_default().to_owned();
        pages += 1;
    }
    assert_eq!((pages, found), (10, 1000));
    let accounts = format!("{SUB}/providers/Microsoft.Storage/storageAccounts?api-version=2023-05-01");
    let reply = cloud.get(&accounts).await;
    assert_eq!((reply.body["value"].as_array().unwrap().len(), reply.body.get("nextLink")), (1000, None));
}
