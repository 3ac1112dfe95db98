//! Storage accounts.

use keyless_arm::api::{ReadArm, Written};
use keyless_core::observed::SharedKeyAccess;
use serde_json::json;

use crate::fake::{BASE, GROUP, SUBSCRIPTION, account_id};
use crate::with::{account, account_body, always, in_turn, read_account, set_key};

#[tokio::test(start_paused = true)]
async fn an_absent_flag_means_that_keys_are_allowed() {
    let found = read_account(account_body(json!({"minimumTlsVersion": "TLS1_2"}))).await;
    assert_eq!(found.shared_key, SharedKeyAccess::Absent);
    assert!(found.shared_key.is_on());
}

#[tokio::test(start_paused = true)]
async fn the_flag_goes_off_and_on_at_once_and_is_read_back() {
    for allowed in [false, true] {
        let (client, asks) = always(200, &[], account_body(json!({"allowSharedKeyAccess": allowed})));
        assert_eq!(set_key(&client, allowed).await.unwrap(), Written::Changed);
        assert_eq!(asks.lock().unwrap().len(), 1);
        assert_eq!(asks.lock().unwrap()[0].body, json!({"properties": {"allowSharedKeyAccess": allowed}}));
        assert_eq!(client.account(&account()).await.unwrap().value.unwrap().shared_key.is_on(), allowed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_null_flag_means_allowed_and_is_never_sent() {
    let found = read_account(account_body(json!({"allowSharedKeyAccess": null}))).await;
    assert_eq!(found.shared_key, SharedKeyAccess::Null);
    assert!(found.shared_key.is_on());
    let (client, asks) = always(200, &[], account_body(json!({})));
    set_key(&client, true).await.unwrap();
    assert_eq!(asks.lock().unwrap()[0].body["properties"]["allowSharedKeyAccess"], true);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_being_made_is_read() {
    for state in ["Creating", "ResolvingDns"] {
        let found = read_account(account_body(json!({"provisioningState": state}))).await;
        assert_eq!(found.shared_key, SharedKeyAccess::Absent, "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_accepted_as_plain_text_is_followed_to_the_account() {
    let location =
        format!("{BASE}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Storage/locations/westus/asyncoperations/1");
    let headers = vec![("content-type", "text/plain; charset=utf-8"), ("location", location.as_str())];
    let done = account_body(json!({"provisioningState": "Succeeded", "allowSharedKeyAccess": false})).to_string();
    let (client, asks) = in_turn(vec![(202, headers, String::new()), (200, vec![], done)]);
    assert_eq!(set_key(&client, false).await.unwrap(), Written::Changed);
    assert_eq!(asks.lock().unwrap()[1].url, location);
}

#[tokio::test(start_paused = true)]
async fn a_write_answered_with_the_account_is_not_polled() {
    let (client, asks) = always(200, &[("location", "https://arm.example/elsewhere")], account_body(json!({})));
    assert_eq!(set_key(&client, false).await.unwrap(), Written::Changed);
    assert_eq!(asks.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_asked_for_may_have_any_form() {
    let mut body = account_body(json!({
        "allowSharedKeyAccess": false, "keyCreationTime": {"key1": null, "key2": "2026-02-03T09:14:07.4420133Z"},
        "networkAcls": {"bypass": "Logging, Metrics, AzureServices", "defaultAction": "Allow"}, "creationTime": null
    }));
    for kind in ["Storage", "BlobStorage", "FileStorage", "BlockBlobStorage", "Brandnew"] {
        body["kind"] = kind.into();
        body["identity"] = json!({"type": "None"});
        body["tags"] = json!({"CostCenter": "0042", "owner": ""});
        assert_eq!(read_account(body.clone()).await.shared_key, SharedKeyAccess::Disallowed, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_differently_cased_key_in_a_part_is_skipped() {
    let body = account_body(json!({"allowSharedKeyAccess": true, "sub": {"ID": "/x", "id": "/y"}, "ALLOWED": false}));
    assert_eq!(read_account(body).await.shared_key, SharedKeyAccess::Allowed);
}

#[tokio::test(start_paused = true)]
async fn an_id_comes_back_in_its_makers_case() {
    let asked = account_id().replace("resourceGroups", "resourcegroups");
    let (client, asks) = always(200, &[], account_body(json!({})));
    let found = client.account(&asked.parse().unwrap()).await.unwrap().value.unwrap();
    assert_eq!(found.id, asked.parse().unwrap());
    assert_eq!(found.id.as_str(), account_id());
    assert_eq!(asks.lock().unwrap().len(), 1);
}

/// Accounts are never listed; the largest lists that are have the same form.
#[tokio::test(start_paused = true)]
async fn a_large_list_is_one_page() {
    let item = |number: usize| {
        let id = format!("{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/mlw-{number}");
        json!({"id": id, "properties": {"storageAccount": account_id(), "description": "x".repeat(500)}})
    };
    let body = json!({"value": (0..300).map(item).collect::<Vec<_>>()}).to_string();
    assert!(body.len() > 200_000);
    let (client, asks) = always(200, &[], body);
    assert_eq!(client.workspaces(SUBSCRIPTION.parse().unwrap()).await.unwrap().value.len(), 300);
    assert_eq!(asks.lock().unwrap().len(), 1);
}
