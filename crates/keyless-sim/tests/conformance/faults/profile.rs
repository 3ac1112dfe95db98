//! The profile with everything in it: each kind strikes, the seed repeats a run, and all of it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use keyless_sim::{CLIENT_ID, Fault, FaultRule, Faults, Knobs, Recorded, SimOptions, TENANT_ID, WorkspaceWrite};
use serde_json::json;

use super::minutes;
use crate::cloud::{BLOB_READER, Cloud, DANA, RG, account, small_world, workspace};

/// A client that asks for everything again and again for this long, a request every three seconds.
async fn busy_client(cloud: &Cloud, requests: u32) -> Vec<Recorded> {
    let mut all = Vec::new();
    for step in 0..requests {
        cloud.pass(3);
        let name = format!("0f6c7b8a-2d1e-5c3f-9a4b-{:012}", step / 40);
        let assignment = format!("{}/providers/Microsoft.Authorization/roleAssignments", account());
        let request = match step % 20 {
            0 => {
                let body = json!({"properties": {"systemDatastoresAuthMode": "Identity"}});
                cloud.request("PATCH", &format!("{}?api-version=2025-09-01", workspace("churn")), Some(body))
            }
            1 => super::write(cloud),
            2 | 3 => {
                let role = crate::cloud::role(BLOB_READER);
                let body = json!({"properties": {"roleDefinitionId": role, "principalId": DANA}});
                cloud.request("PUT", &format!("{assignment}/{name}?api-version=2022-04-01"), Some(body))
            }
            4 | 5 => cloud.request("DELETE", &format!("{assignment}/{name}?api-version=2022-04-01"), None),
            6 => {
                let form = format!(
                    "client_id={CLIENT_ID}&client_secret={}&grant_type=client_credentials&scope=x%2F.default",
                    cloud.sim.client_secret().reveal()
                );
                let url = format!("/{TENANT_ID}/oauth2/v2.0/token");
                http::Request::post(url).body(Bytes::from(form)).unwrap()
            }
            7 => cloud.request("GET", &format!("{assignment}?api-version=2022-04-01"), None),
            8..=11 => {
                let list = format!("{RG}/providers/Microsoft.Storage/storageAccounts?api-version=2023-05-01");
                cloud.request("GET", &list, None)
            }
            12 | 13 => {
                let poll = all.iter().rev().find_map(|entry: &Recorded| {
                    entry.response_headers.get("azure-asyncoperation")?.as_str().map(str::to_owned)
                });
                cloud.request("GET", &poll.unwrap_or_else(super::account_url), None)
            }
            14..=16 => cloud.request("GET", &format!("{}?api-version=2025-09-01", workspace("churn")), None),
            _ => cloud.request("GET", &super::account_url(), None),
        };
        // The client's own patience.
        let _ = tokio::time::timeout(Duration::from_secs(30), cloud.sim.call(request)).await;
        all.push(super::last(cloud));
    }
    all
}

fn full(seed: u64) -> Cloud {
    let knobs = Knobs {
        faults: Faults::full(seed),
        workspace_write: WorkspaceWrite::Async,
        operation: Duration::from_secs(15),
        ..Knobs::immediate()
    };
    Cloud::with(small_world(), SimOptions { knobs, ..SimOptions::default() })
}

fn struck(all: &[Recorded]) -> BTreeMap<&'static str, u32> {
    let mut counts = BTreeMap::new();
    for fault in all.iter().filter_map(|entry| entry.fault) {
        *counts.entry(fault).or_default() += 1;
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn full_has_every_kind_strikes_a_part_and_ends_by_itself() {
    let cloud = full(7);
    let all = busy_client(&cloud, 7200).await;
    let counts = struck(&all);
    let missing: Vec<_> = Faults::full(7).kinds().into_iter().filter(|kind| !counts.contains_key(kind)).collect();
    assert!(missing.is_empty(), "{missing:?} of {counts:?}");
    let total: u32 = counts.values().sum();
    assert!((200..=2400).contains(&total), "{total}: {counts:?}");
    // Jumps of the clock are part of the six hours, so that the last of these are beyond them.
    let after = busy_client(&cloud, 600).await;
    assert_eq!(struck(&after), BTreeMap::new());
    let mut usual: Vec<u16> = after.iter().map(|entry| entry.status).collect();
    usual.sort_unstable();
    usual.dedup();
    assert_eq!(usual, [200, 201, 202, 204], "an end state in which all is well");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_struck_requests_twice() {
    let run = async |seed| {
        let all = busy_client(&full(seed), 1200).await;
        all.into_iter().map(|entry| (entry.at, entry.operation, entry.status, entry.fault)).collect::<Vec<_>>()
    };
    let (first, second) = (run(3).await, run(3).await);
    assert!(first.iter().filter(|entry| entry.3.is_some()).count() > 20);
    assert_eq!(first, second);
    assert_ne!(first, run(4).await);
}

#[tokio::test]
async fn the_simulators_seed_decides_where_the_table_has_none() {
    let run = |table: Option<u64>, seed| async move {
        let mut faults = Faults::new([FaultRule::new("GET", "", Fault::NotFound).chance(0.3)]);
        if let Some(table) = table {
            faults = faults.seed(table);
        }
        let knobs = Knobs { faults, ..Knobs::immediate() };
        let cloud = Cloud::with(small_world(), SimOptions { knobs, seed, ..SimOptions::default() });
        let mut statuses = Vec::new();
        for _ in 0..60 {
            statuses.push(cloud.get(&super::account_url()).await.status);
        }
        statuses
    };
    assert_ne!(run(None, 1).await, run(None, 2).await);
    assert_eq!(run(Some(5), 1).await, run(Some(5), 2).await);
}

#[tokio::test]
async fn a_write_that_is_late_lands_before_the_end_of_all_faults() {
    let late = Fault::Late { by: minutes(30), then: keyless_sim::Meanwhile::Reset };
    let faults = Faults::new([FaultRule::new("PATCH", "", late)]).until(minutes(10));
    let cloud = Cloud::new(small_world(), Knobs { faults, ..Knobs::immediate() });
    assert!(cloud.sim.call(super::write(&cloud)).await.is_err());
    cloud.pass(599);
    assert_eq!(super::flag_of(&cloud).await, None);
    cloud.pass(1);
    assert_eq!(super::flag_of(&cloud).await, Some(false));
}
