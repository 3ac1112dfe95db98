//! The jobs of a workspace: the whole history is read, and what is not over is kept.

use std::time::Duration;

use keyless_arm::api::ReadArm;
use keyless_arm::error::ErrorClass;
use keyless_core::id::WorkspaceId;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fake::{BASE, client, error, reply, workspace_id};

fn workspace() -> WorkspaceId {
    WorkspaceId::parse(&workspace_id()).unwrap()
}

fn job(name: &str, status: &str) -> Value {
    json!({"name": name, "type": "Microsoft.MachineLearningServices/workspaces/jobs",
        "properties": {"jobType": "Command", "status": status, "displayName": "of a person"}})
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_read_in_whatever_order_they_come_and_what_is_over_is_left_out() {
    let (client, asks) = client(|number, _| async move {
        let next = |page: usize| json!(format!("{BASE}/jobs?$skip={page}"));
        match number {
            1 => reply(200, &[], json!({"value": [job("new", "Completed"), job("a", "Running")], "nextLink": next(2)})),
            2 => reply(200, &[], json!({"value": [], "nextLink": next(3)})),
            3 => reply(200, &[], json!({"value": [job("b", "Failed"), job("c", "Canceled")], "nextLink": next(4)})),
            _ => reply(200, &[], json!({"value": [job("old", "CancelRequested")], "nextLink": null})),
        }
    });
    let found = client.jobs(&workspace()).await.unwrap().value;
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["job a (Command, Running)", "job old (Command, CancelRequested)"]);
    let asks = asks.lock().unwrap();
    assert_eq!(asks.len(), 4);
    let first = format!("{BASE}{}/jobs?api-version=2025-09-01&listViewType=All", workspace_id());
    assert_eq!(asks[0].url, first, "archived ones too");
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_too_long_or_not_understood_is_an_error_and_never_a_part() {
    let (endless, asks) = client(|number, _| async move {
        let next = format!("{BASE}/jobs?$skip={number}");
        reply(200, &[], json!({"value": [job("a", "Completed")], "nextLink": next}))
    });
    let error_of_pages = endless.jobs(&workspace()).await.unwrap_err();
    assert_eq!(error_of_pages.class, ErrorClass::Unreadable);
    assert!(error_of_pages.message.contains("100 were read"), "{error_of_pages}");
    assert_eq!(asks.lock().unwrap().len(), 100);

    let odd = json!({"name": "x", "properties": {"status": {"now": "Completed"}}});
    let (odd_one, asks) = client(move |number, _| {
        let next = format!("{BASE}/jobs?$skip={number}");
        let body = json!({"value": [odd, job("a", "Running")], "nextLink": next});
        async move { reply(200, &[], body) }
    });
    assert_eq!(odd_one.jobs(&workspace()).await.unwrap_err().class, ErrorClass::Unreadable);
    assert_eq!(asks.lock().unwrap().len(), 1, "what follows could not mend it");

    let (second_page_lost, _) = client(|number, _| async move {
        match number {
            1 => reply(200, &[], json!({"value": [job("a", "Completed")], "nextLink": format!("{BASE}/jobs?$skip=1")})),
            _ => error(403, "AuthorizationFailed"),
        }
    });
    let refused = second_page_lost.jobs(&workspace()).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Refused);
    assert!(refused.lift.unwrap().contains("Microsoft.MachineLearningServices/workspaces/jobs/read"));
}

#[tokio::test(start_paused = true)]
async fn a_history_whose_pages_come_too_slowly_is_an_error_before_other_reads_grow_old() {
    let (slow, asks) = client(|number, _| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let next = format!("{BASE}/jobs?$skip={number}");
        reply(200, &[], json!({"value": [job("a", "Completed")], "nextLink": next}))
    });
    let began = Instant::now();
    let error = slow.jobs(&workspace()).await.unwrap_err();
    assert!(began.elapsed() <= Duration::from_secs(21), "{:?}", began.elapsed());
    assert_eq!(error.class, ErrorClass::Unreadable);
    assert!(error.message.contains("within 20 s"), "{error}");
    assert!(asks.lock().unwrap().len() <= 21);
}

#[tokio::test(start_paused = true)]
async fn a_look_at_some_jobs_takes_one_request_however_long_the_history_is() {
    let (endless, asks) = client(|number, _| async move {
        let next = format!("{BASE}/jobs?$skip={number}");
        reply(200, &[], json!({"value": [job("a", "Running"), job("b", "Failed")], "nextLink": next}))
    });
    let some = endless.some_jobs(&workspace()).await.unwrap().value;
    assert_eq!(some.iter().map(ToString::to_string).collect::<Vec<_>>(), ["job a (Command, Running)"]);
    assert_eq!(asks.lock().unwrap().len(), 1);
}
