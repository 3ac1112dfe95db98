//! The jobs of a workspace: the whole history is read, and what is not over is kept.

use keyless_arm::api::ReadArm;
use keyless_arm::error::ErrorClass;
use keyless_core::id::WorkspaceId;
use serde_json::{Value, json};

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
    assert!(error_of_pages.message.contains("200 were read"), "{error_of_pages}");
    assert_eq!(asks.lock().unwrap().len(), 200);

    let odd = json!({"name": "x", "properties": {"status": {"now": "Completed"}}});
    let (odd_one, _) = client(move |_, _| {
        let body = json!({"value": [odd, job("a", "Running")]});
        async move { reply(200, &[], body) }
    });
    assert_eq!(odd_one.jobs(&workspace()).await.unwrap_err().class, ErrorClass::Unreadable);

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
