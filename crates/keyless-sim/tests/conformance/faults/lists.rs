//! Lists that lag, and pages that come out oddly.

use keyless_sim::{Fault, FaultRule, Faults, Knobs};
use serde_json::json;

use super::{cloud, first, minutes};
use crate::cloud::{BLOB_READER, Cloud, DANA, RG, account, small_world, workspace};

const NAME: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";

fn accounts() -> String {
    format!("{RG}/providers/Microsoft.Storage/storageAccounts?api-version=2023-05-01")
}

fn many() -> Vec<serde_json::Value> {
    let mut world = small_world();
    world.extend((0..7).map(|n| json!({"id": format!("{}{n}", account()), "properties": {}})));
    world
}

async fn all_of(cloud: &Cloud, first: &str) -> (Vec<String>, Vec<String>) {
    let (mut ids, mut links, mut next) = (Vec::new(), Vec::new(), first.to_owned());
    while !next.is_empty() {
        // A link may be relative, and then it means this host.
        let page = cloud.get(&next).await;
        assert_eq!(page.status, 200, "{next}: {page:?}");
        ids.extend(page.body["value"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()));
        next = page.body["nextLink"].as_str().unwrap_or_default().to_owned();
        links.push(next.clone());
        assert!(links.len() < 100, "no end");
    }
    (ids, links)
}

#[tokio::test]
async fn stale_list_of_accounts_shows_the_flag_as_it_was() {
    let cloud = cloud(FaultRule::new("GET", "/storageAccounts", Fault::StaleList { by: minutes(2) }));
    cloud.pass(10);
    cloud.flag(false).await;
    let flag = |body: serde_json::Value| body["value"][0]["properties"].get("allowSharedKeyAccess").cloned();
    cloud.pass(119);
    assert_eq!(flag(cloud.get(&accounts()).await.body), None);
    cloud.pass(1);
    assert_eq!(flag(cloud.get(&accounts()).await.body), Some(json!(false)));
}

#[tokio::test]
async fn stale_list_of_assignments_shows_neither_new_grants_nor_removals() {
    let cloud = cloud(FaultRule::new("GET", "/roleAssignments", Fault::StaleList { by: minutes(2) }));
    let list = format!("{}/providers/Microsoft.Authorization/roleAssignments", account());
    let count = async || {
        let list = cloud.get(&format!("{list}?api-version=2022-04-01")).await;
        list.body["value"].as_array().unwrap().len()
    };
    cloud.pass(10);
    assert_eq!(cloud.grant(&account(), NAME, DANA, BLOB_READER).await.status, 201);
    assert_eq!(count().await, 0);
    // A direct read does not lag.
    assert_eq!(cloud.get(&format!("{list}/{NAME}?api-version=2022-04-01")).await.status, 200);
    cloud.pass(120);
    assert_eq!(count().await, 1);
    assert_eq!(cloud.ask("DELETE", &format!("{list}/{NAME}?api-version=2022-04-01"), None).await.status, 200);
    assert_eq!(count().await, 1);
    cloud.pass(120);
    assert_eq!(count().await, 0);
}

#[tokio::test]
async fn a_list_that_is_stale_at_times_shows_a_young_grant_off_and_on_until_it_is_old() {
    let stale = FaultRule::new("GET", "/roleAssignments", Fault::StaleList { by: minutes(10) }).chance(0.5);
    let cloud = cloud(stale);
    let list = format!("{}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01", account());
    cloud.pass(600);
    assert_eq!(cloud.grant(&account(), NAME, DANA, BLOB_READER).await.status, 201);
    let mut shown = Vec::new();
    for _ in 0..20 {
        shown.push(cloud.get(&list).await.body["value"].as_array().unwrap().len());
        cloud.pass(30);
    }
    let turns = shown.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(turns >= 4 && shown.iter().all(|count| *count < 2), "{shown:?}");
    for _ in 0..20 {
        assert_eq!(cloud.get(&list).await.body["value"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn stale_list_of_workspaces_shows_the_mode_as_it_was() {
    let cloud = cloud(FaultRule::new("GET", "/workspaces", Fault::StaleList { by: minutes(2) }));
    let list = format!("{RG}/providers/Microsoft.MachineLearningServices/workspaces?api-version=2025-09-01");
    cloud.pass(10);
    cloud.mode("churn", "Identity").await;
    let mode = async || {
        cloud.get(&list).await.body["value"][0]["properties"]["systemDatastoresAuthMode"].as_str().map(str::to_owned)
    };
    assert_eq!(mode().await.as_deref(), Some("AccessKey"));
    let direct = cloud.get(&format!("{}?api-version=2025-09-01", workspace("churn"))).await;
    assert_eq!(direct.body["properties"]["systemDatastoresAuthMode"], "Identity");
    cloud.pass(120);
    assert_eq!(mode().await.as_deref(), Some("Identity"));
}

#[tokio::test]
async fn empty_page_leads_on_to_the_page_that_was_asked_for() {
    let cloud = first("GET", "/storageAccounts", Fault::EmptyPage);
    let (ids, links) = all_of(&cloud, &accounts()).await;
    assert_eq!((ids, links.len()), (vec![account()], 2));
}

#[tokio::test]
async fn odd_next_link_leads_on_as_it_is() {
    let faults = Faults::new([FaultRule::new("GET", "/storageAccounts", Fault::OddNextLink)]);
    let knobs = Knobs { faults, ..Knobs::immediate() };
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..6 {
        let options = keyless_sim::SimOptions { knobs: knobs.clone(), seed, ..keyless_sim::SimOptions::default() };
        let cloud = Cloud::with(many(), options);
        let (ids, links) = all_of(&cloud, &accounts()).await;
        assert_eq!(ids.len(), 8, "{links:?}");
        for link in links.iter().filter(|link| !link.is_empty()) {
            seen.insert(match link {
                link if link.starts_with('/') => "relative",
                link if link.contains("$skipToken") => "another case",
                link if link.contains("%24expand=") => "another order",
                link if link.contains("api%2Dversion") => "encoded",
                other => panic!("{other}"),
            });
        }
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}
