//! Storage accounts.

use keyless_sim::{Casing, Knobs, ThrottleModel};
use serde_json::{Value, json};

use crate::cloud::{Cloud, RG, SUB, account, small_world, workspace};

fn path() -> String {
    format!("{}?api-version=2023-05-01", account())
}

#[tokio::test]
async fn an_account_never_configured_omits_the_flag() {
    let cloud = Cloud::immediate();
    let reply = cloud.get(&path()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body["properties"].get("allowSharedKeyAccess"), None);
}

#[tokio::test]
async fn a_patch_is_synchronous_minimal_and_idempotent() {
    let cloud = Cloud::immediate();
    for _ in 0..2 {
        let reply = cloud.flag(false).await;
        assert_eq!((reply.status, &reply.body["properties"]["allowSharedKeyAccess"]), (200, &json!(false)));
        assert_eq!(reply.body["properties"]["provisioningState"], "Succeeded");
        assert_eq!(reply.header("location"), "");
    }
    assert_eq!(cloud.get(&path()).await.body["properties"]["allowSharedKeyAccess"], false);
}

#[tokio::test]
async fn a_flag_that_is_no_boolean_is_refused_and_null_changes_nothing() {
    let cloud = Cloud::immediate();
    cloud.flag(false).await;
    let reply = cloud.ask("PATCH", &path(), Some(json!({"properties": {"allowSharedKeyAccess": "yes"}}))).await;
    assert_eq!(reply.status, 400);
    let reply = cloud.ask("PATCH", &path(), Some(json!({"properties": {"allowSharedKeyAccess": null}}))).await;
    assert_eq!((reply.status, &reply.body["properties"]["allowSharedKeyAccess"]), (200, &json!(false)));
}

#[tokio::test]
async fn list_keys_answers_with_keys_that_open_nothing_and_is_counted() {
    let cloud = Cloud::immediate();
    let reply = cloud.ask("POST", &format!("{}/listKeys?api-version=2023-05-01", account()), None).await;
    assert_eq!((reply.status, reply.body["keys"].as_array().unwrap().len()), (200, 2));
    let counted = cloud.sim.requests();
    assert_eq!((counted.total, counted.writes), (1, 0));
    assert_eq!(
        counted.by_operation[0].operation,
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{}/listKeys"
    );
}

#[tokio::test]
async fn what_does_not_exist_is_named_by_level() {
    let cloud = Cloud::immediate();
    for (path, code) in [
        (format!("{RG}/providers/Microsoft.Storage/storageAccounts/other"), "ResourceNotFound"),
        (format!("{SUB}/resourceGroups/none/providers/Microsoft.Storage/storageAccounts/a"), "ResourceGroupNotFound"),
        (
            "/subscriptions/none/resourceGroups/x/providers/Microsoft.Storage/storageAccounts/a".into(),
            "SubscriptionNotFound",
        ),
    ] {
        let reply = cloud.get(&format!("{path}?api-version=2023-05-01")).await;
        assert_eq!((reply.status, reply.code()), (404, code), "{path}");
    }
}

#[tokio::test]
async fn a_read_only_lock_stops_the_flag_and_list_keys_and_reads_go_on() {
    let cloud = Cloud::immediate();
    cloud.drift("lockAdded", RG, json!("ReadOnly"));
    let reply = cloud.flag(false).await;
    assert_eq!((reply.status, reply.code()), (409, "ScopeLocked"));
    let reply = cloud.ask("POST", &format!("{}/listKeys?api-version=2023-05-01", account()), None).await;
    assert_eq!((reply.status, reply.code()), (409, "ScopeLocked"));
    assert_eq!(cloud.get(&path()).await.status, 200);
    let locks =
        cloud.get(&format!("{}/providers/Microsoft.Authorization/locks?api-version=2016-09-01", account())).await;
    assert_eq!(locks.body["value"][0]["properties"]["level"], "ReadOnly");
    cloud.drift("lockRemoved", RG, Value::Null);
    assert_eq!(cloud.flag(false).await.status, 200);
}

#[tokio::test]
async fn a_cannot_delete_lock_lets_the_flag_pass() {
    let cloud = Cloud::immediate();
    cloud.drift("lockAdded", RG, json!("CanNotDelete"));
    assert_eq!(cloud.flag(false).await.status, 200);
    let reply = cloud.ask("DELETE", &path(), None).await;
    assert_eq!((reply.status, reply.code()), (409, "ScopeLocked"));
}

#[tokio::test]
async fn ids_are_found_in_any_case_and_may_be_spelled_in_another() {
    let cloud = Cloud::new(small_world(), Knobs { id_casing: Casing::Lower, ..Knobs::immediate() });
    let reply = cloud.get(&format!("/{}?api-version=2023-05-01", account().to_ascii_uppercase())).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body["id"].as_str().unwrap().contains("/resourcegroups/rg-ml-prod/"));
}

#[tokio::test]
async fn lists_come_in_pages_with_opaque_absolute_links() {
    let mut world = small_world();
    for number in 0..7 {
        world.push(json!({"id": format!("{RG}/providers/Microsoft.Storage/storageAccounts/more{number}"),
            "type": "Microsoft.Storage/storageAccounts"}));
    }
    let cloud = Cloud::new(world, Knobs { page_size: 3, empty_first_page: true, ..Knobs::immediate() });
    let mut next = format!("{SUB}/providers/Microsoft.Storage/storageAccounts?api-version=2023-05-01");
    let (mut sizes, mut ids) = (Vec::new(), Vec::new());
    while !next.is_empty() {
        let reply = cloud.get(&next).await;
        assert_eq!(reply.status, 200);
        let page = reply.body["value"].as_array().unwrap();
        sizes.push(page.len());
        ids.extend(page.iter().map(|account| account["id"].clone()));
        next = reply.body["nextLink"].as_str().unwrap_or_default().to_owned();
        assert!(next.is_empty() || next.starts_with("https://arm.test/") && next.contains("api-version=2023-05-01"));
    }
    assert_eq!(sizes, [0, 3, 3, 2]);
    ids.dedup();
    assert_eq!(ids.len(), 8);
}

#[tokio::test]
async fn accounts_are_made_by_put_without_the_flag() {
    let cloud = Cloud::immediate();
    let path = format!("{RG}/providers/Microsoft.Storage/storageAccounts/stnew?api-version=2023-05-01");
    let reply = cloud.ask("PUT", &path, Some(json!({"location": "westeurope", "sku": {"name": "Standard_LRS"}}))).await;
    assert_eq!((reply.status, &reply.body["name"]), (200, &json!("stnew")));
    let properties = cloud.get(&path).await.body["properties"].clone();
    assert_eq!(properties.get("allowSharedKeyAccess"), None);
    assert_eq!(properties["encryption"]["keySource"], "Microsoft.Storage");
    assert_eq!(properties["primaryEndpoints"]["blob"], "https://stnew.blob.core.windows.net/");
    let bad = path.replace("stnew", "Not-A-Name");
    let placed = json!({"location": "westeurope"});
    assert_eq!(cloud.ask("PUT", &bad, Some(placed)).await.code(), "StorageAccountNameNotValid");
}

#[tokio::test]
async fn what_stands_in_a_region_is_not_made_without_one() {
    let cloud = Cloud::immediate();
    for (id, version) in [
        (format!("{RG}/providers/Microsoft.Storage/storageAccounts/stnew"), "2023-05-01"),
        (account(), "2023-05-01"),
        (workspace("new"), "2025-09-01"),
        (format!("{RG}/providers/Microsoft.KeyVault/vaults/new"), "2023-07-01"),
    ] {
        for body in [json!({"properties": {}}), json!({"location": " "}), json!({"location": null})] {
            let reply = cloud.ask("PUT", &format!("{id}?api-version={version}"), Some(body)).await;
            assert_eq!((reply.status, reply.code()), (400, "LocationRequired"), "{id}");
        }
    }
}

#[tokio::test]
async fn removals_are_in_the_activity_log() {
    let cloud = Cloud::immediate();
    let store = format!("{}/datastores/raw?api-version=2024-04-01", workspace("churn"));
    let body = json!({"properties": {"datastoreType": "AzureBlob", "credentials": {"credentialsType": "None"}}});
    cloud.ask("PUT", &store, Some(body)).await;
    assert_eq!(cloud.ask("DELETE", &store, None).await.status, 200);
    assert_eq!(cloud.ask("DELETE", &store, None).await.status, 204);
    assert_eq!(cloud.ask("DELETE", &format!("{}?api-version=2023-05-01", account()), None).await.status, 200);
    let log = format!(
        "{SUB}/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01\
         &$filter=eventTimestamp ge '2027-01-01T00:00:00Z'"
    );
    let events = cloud.get(&log).await.body;
    for action in
        ["Microsoft.MachineLearningServices/workspaces/datastores/delete", "Microsoft.Storage/storageAccounts/delete"]
    {
        let own = events["value"].as_array().unwrap().iter().filter(|event| event["operationName"]["value"] == action);
        assert_eq!(own.count(), 2, "{action}: its beginning and its end");
    }
}

#[tokio::test]
async fn a_put_over_an_account_drops_what_it_leaves_out_and_keeps_what_the_service_says() {
    let cloud = Cloud::immediate();
    let path = format!("{RG}/providers/Microsoft.Storage/storageAccounts/stnew?api-version=2023-05-01");
    let body = |properties: Value| json!({"location": "westeurope", "tags": {"a": "b"}, "properties": properties});
    let made = cloud.ask("PUT", &path, Some(body(json!({"allowSharedKeyAccess": false})))).await.body;
    cloud.pass(60);
    let again = cloud.ask("PUT", &path, Some(body(json!({"creationTime": "1999-01-01T00:00:00Z"})))).await.body;
    assert_eq!(again["properties"]["creationTime"], made["properties"]["creationTime"]);
    assert_eq!(again["properties"].get("allowSharedKeyAccess"), None);
    let moved = cloud.ask("PUT", &path, Some(json!({"location": "North Europe"}))).await;
    assert_eq!((moved.status, moved.code()), (409, "InvalidResourceLocation"));
}

#[tokio::test]
async fn unknown_operations_and_missing_versions_are_refused_in_arms_envelope() {
    let cloud = Cloud::immediate();
    let reply = cloud.get(&account()).await;
    assert_eq!((reply.status, reply.code()), (400, "MissingApiVersionParameter"));
    let reply = cloud.get(&format!("{}?api-version=latest", account())).await;
    assert_eq!((reply.status, reply.code()), (400, "InvalidApiVersionParameter"));
    let reply = cloud.get(&format!("{RG}/providers/Microsoft.Network/virtualNetworks?api-version=2024-01-01")).await;
    assert_eq!((reply.status, reply.code()), (400, "NoRegisteredProviderFound"));
    let reply = cloud.get("/nowhere?api-version=2024-01-01").await;
    assert_eq!((reply.status, reply.code()), (404, "InvalidResourceType"));
    let reply = cloud.ask("POST", &format!("{}?api-version=2025-09-01", workspace("churn")), None).await;
    assert_eq!((reply.status, reply.code()), (405, "MethodNotAllowed"));
}

#[tokio::test]
async fn reads_beyond_the_bucket_get_429_with_a_whole_retry_after() {
    let cloud = Cloud::immediate();
    let first = cloud.get(&path()).await;
    assert_eq!(first.header("x-ms-ratelimit-remaining-subscription-reads"), "249");
    assert_eq!(first.header("x-ms-ratelimit-remaining-subscription-global-reads"), "3749");
    assert!(!first.header("x-ms-request-id").is_empty() && !first.header("date").is_empty());
    for _ in 1..250 {
        assert_eq!(cloud.get(&path()).await.status, 200);
    }
    let refused = cloud.get(&path()).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    assert_eq!(cloud.get(&path()).await.status, 429);
    cloud.pass(1);
    assert_eq!(cloud.get(&path()).await.status, 200);
    assert_eq!(cloud.sim.requests().by_operation.iter().find(|entry| entry.status == 429).unwrap().count, 2);
}

/// Source: <https://github.com/Azure/azure-media-migration/issues/237> for the refusal, and
/// <https://github.com/velero-io/velero-plugin-for-microsoft-azure/issues/80> for what ARM says beside it.
#[tokio::test]
async fn the_storage_provider_refuses_in_its_own_words_while_arm_has_reads_left() {
    let cloud = Cloud::immediate();
    let list = format!("{SUB}/providers/Microsoft.Storage/storageAccounts?api-version=2023-05-01");
    for _ in 0..100 {
        assert_eq!(cloud.get(&list).await.status, 200);
    }
    let refused = cloud.get(&list).await;
    assert_eq!((refused.status, refused.code(), refused.header("retry-after")), (429, "TooManyRequests", "3"));
    assert!(refused.header("server").starts_with("Microsoft-Azure-Storage-Resource-Provider"));
    assert_eq!(refused.header("x-ms-ratelimit-remaining-subscription-reads"), "150");
    assert_eq!(cloud.get(&path()).await.status, 200, "single reads are counted apart");
}

#[tokio::test]
async fn what_is_left_is_told_by_class_and_scope() {
    let cloud = Cloud::immediate();
    let tenant = cloud.get("/subscriptions?api-version=2022-12-01").await;
    assert_eq!(tenant.header("x-ms-ratelimit-remaining-tenant-reads"), "249");
    assert_eq!(tenant.header("x-ms-ratelimit-remaining-subscription-reads"), "");
    let written = cloud.flag(true).await;
    assert_eq!(written.header("x-ms-ratelimit-remaining-subscription-writes"), "199");
    assert_eq!(written.header("x-ms-ratelimit-remaining-subscription-global-writes"), "2999");
    assert_eq!(written.header("x-ms-ratelimit-remaining-subscription-reads"), "");
    // Source: the edition of the page for Azure operated by 21Vianet.
    let older = Cloud::new(small_world(), Knobs { throttle_model: ThrottleModel::Hourly, ..Knobs::immediate() });
    let read = older.get(&path()).await;
    assert_eq!(read.header("x-ms-ratelimit-remaining-subscription-reads"), "11999");
    assert_eq!(read.header("x-ms-ratelimit-remaining-subscription-global-reads"), "");
}

#[tokio::test]
async fn the_flags_per_service_show_from_2025_08_01_on() {
    let mut world = small_world();
    world[0]["properties"]["allowSharedKeyAccessForServices"] = json!({"blob": {"enabled": false}});
    let cloud = Cloud::new(world, Knobs::immediate());
    assert_eq!(cloud.get(&path()).await.body["properties"].get("allowSharedKeyAccessForServices"), None);
    let newer = cloud.get(&format!("{}?api-version=2025-08-01", account())).await;
    assert_eq!(newer.body["properties"]["allowSharedKeyAccessForServices"]["blob"]["enabled"], false);
}

#[tokio::test]
async fn subscriptions_and_groups_follow_from_the_resources() {
    let cloud = Cloud::immediate();
    let all = cloud.get("/subscriptions?api-version=2022-12-01").await;
    assert_eq!(format!("/subscriptions/{}", all.body["value"][0]["subscriptionId"].as_str().unwrap()), SUB);
    let group = cloud.get(&format!("{SUB}/resourcegroups/RG-ML-PROD?api-version=2024-11-01")).await;
    assert_eq!((group.status, &group.body["location"]), (200, &json!("westeurope")));
    let groups = cloud.get(&format!("{SUB}/resourcegroups?api-version=2024-11-01")).await;
    assert_eq!(groups.body["value"][0]["name"], "rg-ml-prod");
    assert_eq!(cloud.ask("HEAD", &format!("{SUB}/resourcegroups/none?api-version=2024-11-01"), None).await.status, 404);
}

#[tokio::test]
async fn a_patch_of_an_account_passes_over_what_is_read_only_or_unknown() {
    let cloud = Cloud::immediate();
    let before = cloud.get(&path()).await.body;
    let patch = json!({"name": "z", "location": "mars",
        "properties": {"provisioningState": "Creating", "creationTime": "x", "isHnsEnabled": true, "surprise": 1}});
    let reply = cloud.ask("PATCH", &path(), Some(patch)).await;
    assert_eq!((reply.status, &reply.body), (200, &before));
    for body in [json!({"properties": "x"}), json!({"tags": 5}), json!("x")] {
        assert_eq!(cloud.ask("PATCH", &path(), Some(body.clone())).await.status, 400, "{body}");
    }
}
