//! Answers that are wrong, cut, late or misdated, and operations that go wrong after they began.

use keyless_sim::{Fault, FaultRule, Knobs, WorkspaceWrite};
use serde_json::{Value, json};

use super::{account_url, cloud, first, flag_of, last, minutes, patch, write};
use crate::cloud::{BLOB_READER, Cloud, DANA, account, small_world, workspace};

fn server_error(status: u16, html: bool, takes_effect: bool) -> Fault {
    Fault::ServerError { status, html, takes_effect }
}

#[tokio::test]
async fn server_errors_come_in_the_gateways_words_with_and_without_the_effect() {
    for (status, code) in
        [(500, "InternalServerError"), (502, "BadGatewayConnection"), (503, "ServerTimeout"), (504, "GatewayTimeout")]
    {
        for (takes_effect, flag) in [(false, None), (true, Some(false))] {
            let cloud = cloud(patch(server_error(status, false, takes_effect)));
            let reply = cloud.flag(false).await;
            assert_eq!((reply.status, reply.code()), (status, code));
            assert_eq!(flag_of(&cloud).await, flag, "{status} {takes_effect}");
        }
    }
}

#[tokio::test]
async fn html_page() {
    let cloud = cloud(patch(server_error(503, true, false)));
    let reply = cloud.sim.call(write(&cloud)).await.unwrap();
    assert_eq!((reply.status().as_u16(), &reply.headers()["content-type"]), (503, &"text/html".parse().unwrap()));
    assert!(reply.body().starts_with(b"<!DOCTYPE html>"));
    assert!(last(&cloud).response_body.as_str().unwrap().starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn not_found_once_for_what_is_there() {
    let cloud = cloud(FaultRule::new("GET", "/storageAccounts/{}", Fault::NotFound).times_per_resource(1));
    assert_eq!(cloud.get(&account_url()).await.status, 404);
    assert_eq!(cloud.get(&account_url()).await.status, 200);
}

#[tokio::test]
async fn busy_is_429_without_retry_after() {
    let cloud = cloud(patch(Fault::Busy));
    let reply = cloud.flag(false).await;
    assert_eq!((reply.status, reply.code(), reply.header("retry-after")), (429, "RetryableError", ""));
    assert_eq!(last(&cloud).bucket.as_deref(), Some("fault/busy"));
    assert_eq!(flag_of(&cloud).await, None);
}

#[tokio::test]
async fn truncated_takes_effect_and_the_body_is_shorter_than_told() {
    let cloud = cloud(patch(Fault::Truncated));
    let reply = cloud.sim.call(write(&cloud)).await.unwrap();
    let told: usize = reply.headers()["content-length"].to_str().unwrap().parse().unwrap();
    assert!(!reply.body().is_empty() && reply.body().len() < told, "{} of {told}", reply.body().len());
    assert!(serde_json::from_slice::<Value>(reply.body()).is_err());
    let recorded = last(&cloud);
    assert_eq!((recorded.outcome, recorded.fault, recorded.status), ("truncated", Some("truncated"), 200));
    assert_eq!(flag_of(&cloud).await, Some(false));
}

#[tokio::test]
async fn truncated_without_a_body_is_a_broken_connection() {
    let knobs = Knobs { workspace_write: WorkspaceWrite::Async, ..Knobs::default() };
    let cloud = Cloud::new(small_world(), knobs);
    let rule = FaultRule::new("PATCH", "/workspaces/{}", Fault::Truncated);
    cloud.sim.set_faults(keyless_sim::Faults::new([rule]));
    let body = json!({"properties": {"systemDatastoresAuthMode": "Identity"}});
    let request = cloud.request("PATCH", &format!("{}?api-version=2025-09-01", workspace("churn")), Some(body));
    assert!(cloud.sim.call(request).await.is_err());
    cloud.pass(60);
    assert!(cloud.sim.world_json().to_string().contains("\"systemDatastoresAuthMode\":\"Identity\""));
}

#[tokio::test]
async fn not_json_is_200_and_takes_effect() {
    let cloud = cloud(patch(Fault::NotJson));
    let reply = cloud.sim.call(write(&cloud)).await.unwrap();
    assert_eq!(reply.status(), 200);
    assert!(reply.headers()["content-type"].to_str().unwrap().starts_with("application/json"));
    assert!(serde_json::from_slice::<Value>(reply.body()).is_err());
    assert_eq!(flag_of(&cloud).await, Some(false));
}

#[tokio::test]
async fn a_mode_may_not_stick() {
    let cloud = first("PATCH", "/workspaces/{}", Fault::Ignored);
    assert_eq!(cloud.mode("churn", "Identity").await.status, 200);
    let shown = cloud.get(&format!("{}?api-version=2025-09-01", workspace("churn"))).await;
    assert_eq!(shown.body["properties"]["systemDatastoresAuthMode"], "AccessKey");
}

#[tokio::test]
async fn an_operation_may_run_until_the_fault_is_over() {
    let cloud = first("PATCH", "/workspaces/{}", Fault::OperationHangs { lasts: minutes(20) });
    let started = cloud.mode("churn", "Identity").await;
    assert_eq!(started.status, 202);
    let poll = started.header("azure-asyncoperation").to_owned();
    cloud.pass(20 * 60 - 1);
    assert_eq!(cloud.get(&poll).await.body["status"], "InProgress");
    assert_eq!(cloud.mode("churn", "Identity").await.status, 409);
    cloud.pass(1);
    assert_eq!(cloud.get(&poll).await.body["status"], "Succeeded");
}

#[tokio::test]
async fn a_poll_may_be_answered_500_once() {
    let rule = FaultRule::new("GET", "/workspaceOperationsStatus/{}", server_error(500, false, false));
    let knobs = Knobs { workspace_write: WorkspaceWrite::Async, ..Knobs::immediate() };
    let cloud = Cloud::new(small_world(), knobs);
    cloud.sim.set_faults(keyless_sim::Faults::new([rule.times_per_resource(1)]));
    for _ in 0..2 {
        let started = cloud.mode("churn", "Identity").await;
        let poll = started.header("azure-asyncoperation").to_owned();
        assert_eq!(cloud.get(&poll).await.status, 500);
        assert_eq!(cloud.get(&poll).await.body["status"], "Succeeded");
    }
}

#[tokio::test]
async fn ids_may_come_in_mixed_casing() {
    let cloud = cloud(FaultRule::new("GET", "/storageAccounts/{}", Fault::MixedCasing));
    let mut spellings = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let reply = cloud.get(&account_url()).await;
        let id = reply.body["id"].as_str().unwrap().to_owned();
        assert!(id.eq_ignore_ascii_case(&account()) && id != account(), "{id}");
        spellings.insert(id);
    }
    assert!(spellings.len() > 1, "{spellings:?}");
}

#[tokio::test]
async fn dates_may_be_missing_behind_or_ahead() {
    for (fault, date) in [
        (Fault::NoDate, ""),
        (Fault::DateBehind { by: minutes(3) }, "Fri, 15 Jan 2027 07:57:00 GMT"),
        (Fault::DateAhead { by: minutes(3) }, "Fri, 15 Jan 2027 08:03:00 GMT"),
    ] {
        let cloud = first("GET", "/storageAccounts/{}", fault);
        assert_eq!(cloud.get(&account_url()).await.header("date"), date);
        assert_eq!(cloud.get(&account_url()).await.header("date"), "Fri, 15 Jan 2027 08:00:00 GMT");
    }
}

#[tokio::test]
async fn the_clock_may_jump_forward_and_never_back() {
    let cloud = first("GET", "/storageAccounts/{}", Fault::ClockJump { by: minutes(4) });
    let before = cloud.sim.now();
    assert_eq!(cloud.get(&account_url()).await.header("date"), "Fri, 15 Jan 2027 08:04:00 GMT");
    assert_eq!(cloud.get(&account_url()).await.header("date"), "Fri, 15 Jan 2027 08:04:00 GMT");
    cloud.pass(60);
    assert_eq!(cloud.sim.now().duration_since(before).as_secs(), 300);
}

#[tokio::test]
async fn a_jump_lets_happen_what_was_due() {
    let knobs = Knobs { workspace_write: WorkspaceWrite::Async, ..Knobs::default() };
    let cloud = Cloud::new(small_world(), knobs);
    let jump = FaultRule::new("GET", "/workspaceOperationsStatus/{}", Fault::ClockJump { by: minutes(1) });
    cloud.sim.set_faults(keyless_sim::Faults::new([jump]));
    let started = cloud.mode("churn", "Identity").await;
    assert_eq!(cloud.get(started.header("azure-asyncoperation")).await.body["status"], "Succeeded");
}

#[tokio::test]
async fn a_principal_is_unknown_to_its_first_writes_whatever_its_type_is_said_to_be() {
    let not_found = Fault::PrincipalNotFound { attempts: 2, younger_than: std::time::Duration::ZERO };
    let cloud = cloud(FaultRule::new("PUT", "/roleAssignments/{}", not_found));
    for (principal, name) in
        [(DANA, "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234"), (crate::cloud::JOB, "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901235")]
    {
        for status in [400, 400, 201] {
            let reply = cloud.grant(&account(), name, principal, BLOB_READER).await;
            assert_eq!(reply.status, status, "{reply:?}");
            assert!(status == 201 || reply.code() == "PrincipalNotFound");
        }
    }
}

#[tokio::test]
async fn a_young_identity_is_unknown_until_it_is_older() {
    let mut world = small_world();
    world[1]["systemData"] = json!({"createdAt": "2027-01-15T07:58:00Z"});
    let not_found = Fault::PrincipalNotFound { attempts: 0, younger_than: minutes(5) };
    let faults = keyless_sim::Faults::new([FaultRule::new("PUT", "/roleAssignments/{}", not_found)]);
    let cloud = Cloud::new(world, Knobs { faults, ..Knobs::immediate() });
    let own = "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f";
    let body = json!({"properties": {"roleDefinitionId": crate::cloud::role(BLOB_READER), "principalId": own,
        "principalType": "ServicePrincipal"}});
    let name = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";
    let path = format!("{}/providers/Microsoft.Authorization/roleAssignments/{name}?api-version=2022-04-01", account());
    assert_eq!(cloud.ask("PUT", &path, Some(body.clone())).await.code(), "PrincipalNotFound");
    assert_eq!(cloud.grant(&account(), "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901235", DANA, BLOB_READER).await.status, 201);
    cloud.pass(180);
    assert_eq!(cloud.ask("PUT", &path, Some(body)).await.status, 201);
}

#[tokio::test]
async fn what_the_caller_got_is_in_the_counts() {
    let cloud = cloud(patch(server_error(502, false, true)));
    cloud.flag(false).await;
    let counted = cloud.sim.requests();
    assert_eq!(counted.by_operation.iter().map(|entry| (entry.status, entry.count)).collect::<Vec<_>>(), [(502, 1)]);
    assert_eq!(last(&cloud).fault, Some("badGateway"));
}
