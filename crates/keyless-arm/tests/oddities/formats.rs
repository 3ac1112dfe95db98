//! Formats in general.

use std::time::Duration;

use keyless_arm::api::{ReadArm, Written};
use keyless_arm::error::ErrorClass;
use keyless_core::observed::SharedKeyAccess;
use serde_json::json;

use crate::fake::{BASE, account_id};
use crate::with::{
    account, account_body, always, assignment_body, failure, in_turn, read_account, read_assignment, read_workspace,
    scope, set_mode, workspace_body,
};

#[tokio::test(start_paused = true)]
async fn every_spelling_of_a_date_is_the_same_moment() {
    for text in [
        "2026-02-03T14:04:37.0000000Z",
        "2026-02-03T14:04:37.000000Z",
        "2026-02-03T14:04:37.00000Z",
        "2026-02-03T14:04:37.000Z",
        "2026-02-03T14:04:37.00Z",
        "2026-02-03T14:04:37Z",
        "2026-02-03T14:04:37+00:00",
        "2026-02-03T15:04:37.0+01:00",
        "2026-02-03T14:04:37",
        "2026-02-03 14:04:37Z",
        "2/3/2026 2:04:37 PM",
        "02/03/2026 02:04:37 PM",
        "/Date(1770127477000)/",
    ] {
        let found = read_assignment(assignment_body(json!({"createdOn": text, "updatedOn": text}))).await;
        assert_eq!(found.created_on.unwrap().to_string(), "2026-02-03T14:04:37Z", "{text}");
        assert_eq!(found.updated_on, found.created_on);
    }
    // How old a grant is decides whether it counts, so a date that cannot be read is not "no date".
    let body = json!({"value": [assignment_body(json!({"createdOn": "yesterday"}))]});
    let error = always(200, &[], body).0.role_assignments(&scope()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unreadable);
}

#[tokio::test(start_paused = true)]
async fn numbers_and_flags_may_be_texts() {
    for (flag, expected) in [
        (json!("False"), SharedKeyAccess::Disallowed),
        (json!("true"), SharedKeyAccess::Allowed),
        (json!(false), SharedKeyAccess::Disallowed),
    ] {
        assert_eq!(
            read_account(account_body(json!({"allowSharedKeyAccess": flag}))).await.shared_key,
            expected,
            "{flag}"
        );
    }
    let found = read_workspace(workspace_body(json!({"enableDataIsolation": "True"}))).await;
    assert_eq!(found.data_isolation, Some(true));
    let total = |total: serde_json::Value| async move {
        let span = "2026-02-01T00:00:00Z/2026-02-02T00:00:00Z";
        let body = json!({"timespan": span, "interval": "PT1H", "value": [{
            "name": {"value": "Transactions"}, "errorCode": "Success", "timeseries": [{
                "metadatavalues": [{"name": {"value": "authentication"}, "value": "AccountKey"}],
                "data": [{"timeStamp": "2026-02-01T00:00:00Z", "total": total}]
            }]
        }]});
        let (from, to) = span.split_once('/').unwrap();
        let (client, _) = always(200, &[], body);
        client.key_usage(&account(), from.parse().unwrap(), to.parse().unwrap()).await.unwrap().value.account_key.count
    };
    assert_eq!(total(json!("12")).await, 12);
    assert_eq!(total(json!(12.0)).await, 12);
    assert_eq!(total(json!("9007199254740994")).await, 9_007_199_254_740_994);
}

#[tokio::test(start_paused = true)]
async fn a_header_is_found_in_any_case_and_may_be_repeated() {
    let address = format!("{BASE}/poll");
    for name in ["azure-asyncoperation", "Azure-Asyncoperation", "Azure-AsyncOperation", "AZURE-ASYNCOPERATION"] {
        let headers = vec![
            ("Vary", "Accept-Encoding"),
            (name, &*address),
            ("VARY", "Origin"),
            ("ETag", "x"),
            ("Retry-AFTER", "2"),
        ];
        let (client, asks) =
            in_turn(vec![(202, headers, String::new()), (200, vec![], json!({"status": "Succeeded"}).to_string())]);
        assert_eq!(set_mode(&client).await.unwrap(), Written::Changed, "{name}");
        assert_eq!(asks.lock().unwrap()[1].url, address);
    }
    let error = failure(429, &[("RETRY-after", "36"), ("Retry-After", "36")], "").await;
    assert_eq!(error.retry_after, Some(Duration::from_secs(36)));
}

#[tokio::test(start_paused = true)]
async fn who_changed_it_last_is_anybodys_name() {
    for (by, kind) in [
        ("dana@contoso.example", json!("User")),
        ("9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f", json!("Application")),
        ("Dana Doe [Ops]", json!(null)),
    ] {
        let mut body = workspace_body(json!({"storageAccount": account_id()}));
        body["systemData"] =
            json!({"createdBy": by, "createdByType": kind, "lastModifiedAt": "2026-02-03T09:14:07.4420133Z"});
        assert_eq!(read_workspace(body).await.storage_account, Some(account()));
    }
}

/// HEAD is not sent; its answers show what a status without a body is worth.
#[tokio::test(start_paused = true)]
async fn a_status_without_a_body_proves_neither_presence_nor_absence() {
    for status in [204, 404] {
        assert_eq!(failure(status, &[], "").await.class, ErrorClass::Unreadable, "{status}");
    }
}
