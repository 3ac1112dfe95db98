//! Long-running operations.

use std::time::Duration;

use keyless_arm::api::{ReadArm, Written};
use keyless_arm::error::{ErrorClass, Landed};
use serde_json::json;
use tokio::time::Instant;

use crate::fake::BASE;
use crate::with::{class_and_code, in_turn, set_mode, workspace, workspace_body};

const POLL: &str =
    "https://arm.example/providers/x/locations/eastus/operationsStatus/1?api-version=2025-09-01&type=async";
const LOCATION: &str =
    "https://arm.example/providers/x/locations/eastus/operationsStatus/1?api-version=2025-09-01&type=location";

fn status(word: &str) -> String {
    json!({"status": word}).to_string()
}

fn resource(state: &str) -> String {
    workspace_body(json!({"provisioningState": state})).to_string()
}

#[tokio::test(start_paused = true)]
async fn a_poll_address_of_thousands_of_characters_is_used_as_given() {
    let (certificate, signature) = ("MIIH_-.~".repeat(400), "zYx-_09".repeat(60));
    let address = format!("{POLL}&t=638905651858740536&c={certificate}&s={signature}&h=hH%2b%2Fq==");
    assert!(address.len() > 3600);
    let headers = vec![("azure-asyncoperation", address.as_str()), ("location", address.as_str())];
    let (client, asks) = in_turn(vec![(202, headers, String::new()), (200, vec![], status("Succeeded"))]);
    assert_eq!(set_mode(&client).await.unwrap(), Written::Changed);
    assert_eq!(asks.lock().unwrap()[1].url, address, "byte for byte");
}

#[tokio::test(start_paused = true)]
async fn a_workspaces_operation_is_followed_by_its_status_without_being_told_how_long_to_wait() {
    let start = Instant::now();
    let headers = vec![("azure-asyncoperation", POLL), ("location", LOCATION)];
    let (client, asks) = in_turn(vec![
        (202, headers, String::new()),
        (200, vec![], status("InProgress")),
        (200, vec![], json!({"status": "Succeeded", "percentComplete": 100.0}).to_string()),
    ]);
    assert_eq!(set_mode(&client).await.unwrap(), Written::Changed);
    let urls: Vec<String> = asks.lock().unwrap().iter().skip(1).map(|asked| asked.url.clone()).collect();
    assert_eq!(urls, [POLL, POLL]);
    assert!(start.elapsed() >= Duration::from_secs(2), "the pauses are the client's own");
}

#[tokio::test(start_paused = true)]
async fn a_failure_inside_a_success_is_a_failure() {
    let failed =
        json!({"status": "Failed", "error": {"code": "InternalServerError", "message": "InternalServerError"}});
    let (client, _) =
        in_turn(vec![(202, vec![("location", LOCATION)], String::new()), (200, vec![], failed.to_string())]);
    let failed = set_mode(&client).await.unwrap_err();
    assert_eq!(class_and_code(&failed.error), (ErrorClass::Transient, Some("InternalServerError")));
    assert_eq!(failed.landed, Landed::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_not_known_means_wait() {
    let words = [
        "Enqueued",
        "Dequeued",
        "Active",
        "Created",
        "Removing",
        "CancelInProgress",
        "provisioningResources",
        "running",
        "Running, Progress = 5.00 %",
        "CreatingAgentPool: 0/1 nodes completed",
    ];
    let mut answers = vec![(202, vec![("azure-asyncoperation", POLL)], String::new())];
    answers.extend(words.iter().map(|word| (200, vec![], status(word))));
    for end in ["succeeded", "SUCCEEDED", "Completed"] {
        let (client, asks) = in_turn([answers.clone(), vec![(200, vec![], status(end))]].concat());
        assert_eq!(set_mode(&client).await.unwrap(), Written::Changed, "{end}");
        assert_eq!(asks.lock().unwrap().len(), words.len() + 2);
    }
    for end in ["failed", "CANCELED", "Cancelled"] {
        let (client, _) = in_turn([answers.clone(), vec![(200, vec![], status(end))]].concat());
        assert_eq!(set_mode(&client).await.unwrap_err().landed, Landed::Unknown, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_may_start_with_any_success_and_its_poll_may_say_202_when_it_is_done() {
    let starts = [
        (200, vec![("azure-asyncoperation", POLL)], resource("Updating")),
        (201, vec![("azure-asyncoperation", POLL)], resource("Creating")),
        (201, vec![("location", LOCATION)], resource("Creating")),
        (202, vec![("location", LOCATION)], resource("Succeeded")),
    ];
    for start in starts {
        let (client, asks) =
            in_turn(vec![start.clone(), (202, vec![], String::new()), (202, vec![], status("Succeeded"))]);
        assert_eq!(set_mode(&client).await.unwrap(), Written::Changed, "{start:?}");
        assert_eq!(asks.lock().unwrap().len(), 3, "{start:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_may_end_without_a_body_with_the_resource_or_with_its_status_gone() {
    let start = || (202, vec![("location", LOCATION)], String::new());
    let status = || (202, vec![("azure-asyncoperation", POLL)], String::new());
    for (begin, end) in [
        (start(), (204, vec![], String::new())),
        (status(), (204, vec![], String::new())),
        (start(), (200, vec![], String::new())),
        (start(), (200, vec![], resource("Succeeded"))),
        (status(), (200, vec![], resource("Succeeded"))),
    ] {
        let (client, _) = in_turn(vec![begin, end.clone()]);
        assert_eq!(set_mode(&client).await.unwrap(), Written::Changed, "{end:?}");
    }
    let blocked = json!({"Error": {"Code": "ResourceGroupDeletionBlocked", "Target": null, "Message": "because"}});
    for (code, end) in [
        (Some("ResourceGroupDeletionBlocked"), (409, vec![], blocked.to_string())),
        (Some("ResourceNotFound"), (404, vec![], json!({"error": {"code": "ResourceNotFound"}}).to_string())),
        (None, (404, vec![], String::new())),
    ] {
        let (client, _) = in_turn(vec![start(), end.clone()]);
        let failed = set_mode(&client).await.unwrap_err();
        assert_eq!(class_and_code(&failed.error), (ErrorClass::Transient, code), "{end:?}");
        assert_eq!(failed.landed, Landed::Unknown, "what became of it shows only in a read");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_fails_once_is_asked_again() {
    for fault in [500, 504] {
        let (client, asks) = in_turn(vec![
            (202, vec![("azure-asyncoperation", POLL)], String::new()),
            (fault, vec![], json!({"error": {"code": "InternalServerError", "message": "x"}}).to_string()),
            (200, vec![], status("InProgress")),
            (200, vec![], status("Succeeded")),
        ]);
        assert_eq!(set_mode(&client).await.unwrap(), Written::Changed, "{fault}");
        assert!(asks.lock().unwrap()[1..].iter().all(|asked| asked.url == POLL && asked.method == "GET"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_may_still_be_updating_after_success_and_the_read_says_so() {
    let (client, _) = in_turn(vec![
        (202, vec![("azure-asyncoperation", POLL)], String::new()),
        (200, vec![], status("Succeeded")),
        (200, vec![], resource("Updating")),
    ]);
    assert_eq!(set_mode(&client).await.unwrap(), Written::Changed);
    let found = client.workspace(&workspace()).await.unwrap().value.unwrap();
    assert_eq!(found.provisioning_state.as_deref(), Some("Updating"));
}

#[tokio::test(start_paused = true)]
async fn the_last_address_and_the_last_wait_count() {
    let next = ["/poll/1?t=1", "/poll/2?t=2", "/poll/3?t=3"].map(|path| format!("{BASE}{path}"));
    let (client, asks) = in_turn(vec![
        (202, vec![("location", &*next[0]), ("retry-after", "17")], String::new()),
        (202, vec![("location", &*next[1]), ("retry-after", "17")], String::new()),
        (202, vec![("location", &*next[2]), ("retry-after", "3")], String::new()),
        (200, vec![], resource("Succeeded")),
    ]);
    let start = Instant::now();
    assert_eq!(set_mode(&client).await.unwrap(), Written::Changed);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(37) && waited < Duration::from_millis(37_500), "{waited:?}");
    let urls: Vec<String> = asks.lock().unwrap().iter().skip(1).map(|asked| asked.url.clone()).collect();
    assert_eq!(urls, next);
}

#[tokio::test(start_paused = true)]
async fn a_region_with_a_blank_is_encoded_and_nothing_else_is() {
    let given = format!("{BASE}/subscriptions/x/locations/East US/operationStatuses/a%2Fb?api-version=1&q=%2b+c");
    let (client, asks) = in_turn(vec![(202, vec![("location", &*given)], String::new()), (204, vec![], String::new())]);
    assert_eq!(set_mode(&client).await.unwrap(), Written::Changed);
    assert_eq!(asks.lock().unwrap()[1].url, given.replace(' ', "%20"));
}

#[tokio::test(start_paused = true)]
async fn every_wait_that_was_seen_is_kept_and_none_is_no_wait() {
    for seconds in [0_u64, 1, 3, 10, 11, 12, 14, 15, 17, 20, 36, 60] {
        let told = seconds.to_string();
        let (client, asks) = in_turn(vec![
            (202, vec![("location", LOCATION), ("retry-after", &*told)], String::new()),
            (204, vec![], String::new()),
        ]);
        let start = Instant::now();
        assert_eq!(set_mode(&client).await.unwrap(), Written::Changed);
        let waited = start.elapsed();
        let least = Duration::from_secs(seconds.max(1));
        assert!(waited >= least && waited < least + Duration::from_millis(100), "{seconds}: {waited:?}");
        assert_eq!(asks.lock().unwrap().len(), 2);
    }
}
