//! Workspaces, their operations and datastores.

use keyless_sim::{Casing, Knobs, PollHeaders, SimOptions, WorkspaceWrite};
use serde_json::{Value, json};

use crate::cloud::{Cloud, DANA, RG, SUB, account, grant_entry, small_world, workspace};

fn path(version: &str) -> String {
    format!("{}?api-version={version}", workspace("churn"))
}

async fn mode_of(cloud: &Cloud) -> Value {
    cloud.get(&path("2025-09-01")).await.body["properties"]["systemDatastoresAuthMode"].clone()
}

async fn credentials(cloud: &Cloud) -> Vec<Value> {
    let list = cloud.get(&format!("{}/datastores?api-version=2024-04-01", workspace("churn"))).await;
    let stores = list.body["value"].as_array().unwrap().clone();
    stores.iter().map(|store| store["properties"]["credentials"]["credentialsType"].clone()).collect()
}

#[tokio::test]
async fn a_get_returns_what_was_loaded_unknown_fields_included() {
    let mut reply = Cloud::immediate().get(&path("2025-09-01")).await;
    let discovery = reply.body["properties"].as_object_mut().unwrap().remove("discoveryUrl");
    let tenant = reply.body["properties"].as_object_mut().unwrap().remove("tenantId");
    assert_eq!((reply.status, &reply.body), (200, &small_world()[1]));
    assert_eq!(tenant, Some(json!(keyless_sim::TENANT_ID)));
    assert_eq!(discovery, Some(json!("https://arm.test/discovery")));
}

#[tokio::test]
async fn old_stable_versions_hide_the_mode_on_reads_and_take_it_on_writes() {
    let cloud = Cloud::immediate();
    for version in ["2023-04-01", "2023-10-01", "2024-04-01", "2024-10-01", "2025-04-01"] {
        let body = cloud.get(&path(version)).await.body;
        assert_eq!(body["properties"].get("systemDatastoresAuthMode"), None, "{version}");
    }
    let patch = json!({"properties": {"systemDatastoresAuthMode": "identity"}});
    let reply = cloud.ask("PATCH", &path("2024-04-01"), Some(patch)).await;
    assert_eq!((reply.status, reply.body["properties"].get("systemDatastoresAuthMode")), (200, None));
    assert_eq!(mode_of(&cloud).await, "identity");
    assert_eq!(cloud.get(&path("2024-10-01-preview")).await.body["properties"]["systemDatastoresAuthMode"], "identity");
}

#[tokio::test]
async fn the_mode_may_come_back_in_another_case() {
    let cloud = Cloud::new(small_world(), Knobs { auth_mode_casing: Casing::Lower, ..Knobs::immediate() });
    cloud.mode("churn", "Identity").await;
    assert_eq!(mode_of(&cloud).await, "identity");
    let cloud = Cloud::new(small_world(), Knobs { auth_mode_casing: Casing::Schema, ..Knobs::immediate() });
    cloud.mode("churn", "IDENTITY").await;
    assert_eq!(mode_of(&cloud).await, "Identity");
}

#[tokio::test]
async fn switching_the_mode_rewrites_the_four_system_datastores() {
    let mut world = small_world();
    for (name, kind) in [("workspaceblobstore", "AccountKey"), ("mine", "Sas")] {
        world.push(json!({"id": format!("{}/datastores/{name}", workspace("churn")), "name": name,
            "properties": {"datastoreType": "AzureBlob", "credentials": {"credentialsType": kind}}}));
    }
    let cloud = Cloud::new(world, Knobs::immediate());
    assert_eq!(credentials(&cloud).await, ["Sas", "AccountKey", "AccountKey", "AccountKey", "AccountKey"]);
    cloud.mode("churn", "Identity").await;
    assert_eq!(credentials(&cloud).await, ["Sas", "None", "None", "None", "None"]);
    cloud.mode("churn", "accesskey").await;
    assert_eq!(credentials(&cloud).await, ["Sas", "AccountKey", "AccountKey", "AccountKey", "AccountKey"]);
}

#[tokio::test]
async fn a_patch_is_accepted_with_202_and_takes_effect_when_the_operation_ends() {
    let cloud = Cloud::new(small_world(), Knobs::default());
    let started = cloud.mode("churn", "Identity").await;
    assert_eq!((started.status, started.header("retry-after")), (202, "10"));
    assert_eq!(mode_of(&cloud).await, "AccessKey");
    let conflict = cloud.mode("churn", "Identity").await;
    assert_eq!((conflict.status, conflict.code()), (409, "Conflict"));

    let (location, status) = (started.header("location"), started.header("azure-asyncoperation"));
    let running = cloud.get(status).await;
    assert_eq!((running.status, &running.body["status"]), (200, &json!("InProgress")));
    assert_eq!((cloud.get(location).await.status, running.header("retry-after")), (202, "10"));
    cloud.pass(15);
    assert_eq!(cloud.get(status).await.body["status"], "Succeeded");
    let done = cloud.get(location).await;
    assert_eq!((done.status, &done.body["properties"]["systemDatastoresAuthMode"]), (200, &json!("Identity")));
    assert_eq!(done.body["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn an_operation_that_fails_says_so_inside_a_200_and_changes_nothing() {
    for poll_headers in [PollHeaders::Both, PollHeaders::Location] {
        let knobs = Knobs { workspace_write: WorkspaceWrite::Fails, poll_headers, ..Knobs::default() };
        let cloud = Cloud::new(small_world(), knobs);
        let started = cloud.mode("churn", "Identity").await;
        assert_eq!(started.header("azure-asyncoperation").is_empty(), poll_headers == PollHeaders::Location);
        cloud.pass(15);
        let failed = cloud.get(started.header("location")).await;
        assert_eq!((failed.status, failed.code()), (200, "InternalServerError"));
        assert_eq!((&failed.body["status"], mode_of(&cloud).await), (&json!("Failed"), json!("AccessKey")));
    }
}

#[tokio::test]
async fn a_finished_location_poll_may_answer_with_a_status_document() {
    let knobs = Knobs { location_poll_returns_status_document: true, ..Knobs::default() };
    let cloud = Cloud::new(small_world(), knobs);
    let started = cloud.mode("churn", "Identity").await;
    cloud.pass(15);
    let done = cloud.get(started.header("location")).await;
    assert_eq!((done.status, &done.body["status"], done.body.get("properties")), (200, &json!("Succeeded"), None));
}

#[tokio::test]
async fn speed_leaves_retry_after_whole_on_202_and_a_fraction_on_polls() {
    let cloud = Cloud::with(small_world(), SimOptions { speed: 600.0, ..SimOptions::default() });
    let started = cloud.mode("churn", "Identity").await;
    assert_eq!((started.status, started.header("retry-after")), (202, "1"));
    assert_eq!(cloud.get(started.header("location")).await.header("retry-after"), "0.050");
}

#[tokio::test]
async fn user_delegation_sas_ends_in_a_server_error() {
    let cloud = Cloud::immediate();
    let started = cloud.mode("churn", "UserDelegationSAS").await;
    assert_eq!(started.status, 202);
    assert_eq!(cloud.get(started.header("location")).await.body["status"], "Failed");
    assert_eq!(mode_of(&cloud).await, "AccessKey");
}

#[tokio::test]
async fn a_patch_leaves_what_it_does_not_name_and_detaches_identities_set_to_null() {
    let mut world = small_world();
    let uami = format!("{RG}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/train");
    world[1]["identity"]["userAssignedIdentities"] = json!({&uami: {"clientId": "x"}});
    let cloud = Cloud::new(world, Knobs::immediate());
    let patch = json!({"identity": {"userAssignedIdentities": {uami.to_ascii_lowercase(): null}},
        "properties": {"friendlyName": "Churn"}});
    let body = cloud.ask("PATCH", &path("2025-09-01"), Some(patch)).await.body;
    assert_eq!(body["identity"]["userAssignedIdentities"], json!({}));
    assert_eq!((&body["tags"]["team"], &body["properties"]["friendlyName"]), (&json!("churn"), &json!("Churn")));
    let moved = json!({"properties": {"storageAccount": "/subscriptions/x"}});
    assert_eq!(cloud.ask("PATCH", &path("2025-09-01"), Some(moved)).await.status, 400);
    let reserved = json!({"tags": {"AttachKeyVaultToWorkspace": "x"}});
    assert_eq!(cloud.ask("PATCH", &path("2025-09-01"), Some(reserved)).await.status, 400);
}

#[tokio::test]
async fn a_new_workspace_gets_its_service_made_grants_after_a_while() {
    let cloud = Cloud::new(small_world(), Knobs { workspace_write: WorkspaceWrite::Sync, ..Knobs::default() });
    let path = format!("{}?api-version=2025-09-01", workspace("second"));
    let body = json!({"location": "westeurope", "kind": "Hub", "properties": {"storageAccount": account()}});
    let made = cloud.ask("PUT", &path, Some(body)).await;
    let principal = made.body["identity"]["principalId"].as_str().unwrap().to_owned();
    let grants = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=atScope() and principalId eq '{principal}'",
        account()
    );
    assert_eq!(cloud.get(&grants).await.body["value"], json!([]));
    cloud.pass(20);
    let held = cloud.get(&grants).await.body["value"].as_array().unwrap().clone();
    assert_eq!(held.len(), 2);
    assert!(held.iter().all(|grant| grant["properties"]["createdBy"] == keyless_sim::SERVICE_OBJECT_ID));
}

#[tokio::test]
async fn a_project_gets_a_conditioned_grant_on_its_hubs_account_and_its_hub_lists_it() {
    let mut world = small_world();
    world[1]["kind"] = json!("Hub");
    let cloud = Cloud::new(world, Knobs::immediate());
    let id = workspace("project");
    cloud.drift(
        "workspaceAdded",
        &id,
        json!({"kind": "Project", "location": "westeurope",
            "identity": {"type": "SystemAssigned", "principalId": "33333333-cccc-4ccc-8ccc-000000000001"},
            "properties": {"hubResourceId": workspace("churn"), "workspaceId": "w-1"}}),
    );
    let hub = cloud.get(&path("2025-09-01")).await;
    assert_eq!(hub.body["properties"]["associatedWorkspaces"], json!([id]));
    let grants = cloud
        .get(&format!(
            "{}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=atScope()",
            account()
        ))
        .await;
    let conditions: Vec<&Value> =
        grants.body["value"].as_array().unwrap().iter().map(|grant| &grant["properties"]["condition"]).collect();
    assert!(conditions.iter().any(|condition| condition.as_str().is_some_and(|text| text.contains("'w-1-'"))));
}

/// Source: Azure/azure-sdk-for-python issue 38536.
#[tokio::test]
async fn a_hub_made_without_naming_the_mode_on_a_keyless_account_is_broken_from_birth() {
    let mut world = small_world();
    world[0]["properties"]["allowSharedKeyAccess"] = json!(false);
    let cloud = Cloud::new(world, Knobs { workspace_write: WorkspaceWrite::Sync, ..Knobs::default() });
    let kinds = |reply: Value| -> Vec<Value> {
        let stores = reply["value"].as_array().unwrap().clone();
        stores.iter().map(|store| store["properties"]["credentials"]["credentialsType"].clone()).collect()
    };
    for (name, mode, expected) in [("unnamed", None, "AccountKey"), ("named", Some("Identity"), "None")] {
        let mut body = json!({"location": "westeurope", "kind": "Hub", "identity": {"type": "SystemAssigned"},
            "properties": {"storageAccount": account()}});
        if let Some(mode) = mode {
            body["properties"]["systemDatastoresAuthMode"] = json!(mode);
        }
        let path = format!("{}?api-version=2025-09-01", workspace(name));
        let made = cloud.ask("PUT", &path, Some(body)).await;
        assert_eq!(made.status, 200);
        assert_eq!(made.body["properties"].get("systemDatastoresAuthMode").and_then(Value::as_str), mode);
        let stores = cloud.get(&format!("{}/datastores?api-version=2024-04-01", workspace(name))).await;
        let kinds = kinds(stores.body);
        assert!(kinds.len() == 4 && kinds.iter().all(|kind| kind == expected), "{name}: {kinds:?}");
    }
}

#[tokio::test]
async fn a_project_is_made_only_by_who_may_join_its_hub() {
    let mut world = small_world();
    world[1]["kind"] = json!("Hub");
    let maker = "5a11c0de-0000-4000-8000-0000000000aa";
    let role = "5b1c0de0-0000-4000-8000-00000000aaaa";
    world.push(json!({
        "id": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"), "name": role,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {"roleName": "maker", "type": "CustomRole", "assignableScopes": ["/"], "permissions": [{
            "actions": ["Microsoft.MachineLearningServices/workspaces/write"], "notActions": [],
            "dataActions": [], "notDataActions": [],
        }]},
    }));
    world.push(grant_entry(RG, "5b1c0de0-0000-4000-8000-00000000bbbb", maker, role));
    let mut cloud = Cloud::new(world, Knobs { workspace_write: WorkspaceWrite::Sync, ..Knobs::immediate() });
    cloud.act_as(maker);
    let path = format!("{}?api-version=2025-09-01", workspace("project"));
    let body =
        json!({"location": "westeurope", "kind": "Project", "properties": {"hubResourceId": workspace("churn")}});
    let refused = cloud.ask("PUT", &path, Some(body)).await;
    assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"));
    let alone = json!({"location": "westeurope", "kind": "Default", "properties": {"storageAccount": account()}});
    assert_eq!(cloud.ask("PUT", &path, Some(alone)).await.status, 200);
}

#[tokio::test]
async fn a_new_workspace_of_wrong_parts_is_refused() {
    let cloud = Cloud::immediate();
    let path = format!("{}?api-version=2025-09-01", workspace("fresh"));
    let own = json!({"hubResourceId": workspace("fresh")});
    let no_hub = json!({"hubResourceId": workspace("churn")});
    for (kind, place, properties, code) in [
        ("Default", "mars!", json!({"storageAccount": account()}), "LocationNotAvailableForResourceType"),
        ("Default", " ", json!({"storageAccount": account()}), "LocationRequired"),
        ("Default", "westeurope", json!({"storageAccount": account(), "keyVault": account()}), "ValidationError"),
        ("Project", "westeurope", own, "ValidationError"),
        ("Project", "westeurope", no_hub, "ValidationError"),
    ] {
        let body = json!({"location": place, "kind": kind, "properties": properties});
        let reply = cloud.ask("PUT", &path, Some(body.clone())).await;
        assert_eq!((reply.status, reply.code()), (400, code), "{body}");
    }
    let good = json!({"location": "West Europe", "kind": "Default", "properties": {"storageAccount": account()}});
    assert_eq!(cloud.ask("PUT", &path, Some(good)).await.status, 200);
}

#[tokio::test]
async fn a_workspace_is_deleted_once_and_then_204() {
    let cloud = Cloud::immediate();
    assert_eq!(cloud.ask("DELETE", &path("2025-09-01"), None).await.status, 200);
    assert_eq!(cloud.ask("DELETE", &path("2025-09-01"), None).await.status, 204);
    assert_eq!(cloud.get(&path("2025-09-01")).await.code(), "ResourceNotFound");
    assert_eq!(
        cloud.get(&format!("{}/computes?api-version=2024-04-01", workspace("churn"))).await.code(),
        "ParentResourceNotFound"
    );
}

#[tokio::test]
async fn a_put_over_a_workspace_drops_what_it_leaves_out_and_keeps_what_the_service_says() {
    let cloud = Cloud::immediate();
    let path = format!("{}?api-version=2025-09-01", workspace("churn"));
    let before = cloud.get(&path).await.body;
    let mut whole = before.clone();
    whole["properties"]["friendlyName"] = json!("Churn");
    assert_eq!(cloud.ask("PUT", &path, Some(whole)).await.status, 200);
    let named = cloud.get(&path).await.body;
    assert_eq!(
        (&named["properties"]["friendlyName"], &named["identity"]["principalId"]),
        (&json!("Churn"), &before["identity"]["principalId"])
    );
    assert_eq!(named["properties"]["systemDatastoresAuthMode"], "AccessKey");
    let bare = json!({"location": "westeurope", "kind": "Default", "properties": {"workspaceId": "mine"}});
    assert_eq!(cloud.ask("PUT", &path, Some(bare)).await.status, 200);
    let left = cloud.get(&path).await.body["properties"].clone();
    assert_eq!((left.get("friendlyName"), left.get("systemDatastoresAuthMode")), (None, None));
    for name in ["workspaceId", "storageAccount"] {
        assert_eq!(left[name], before["properties"][name]);
    }
}

#[tokio::test]
async fn datastores_are_replaced_whole_without_keeping_secrets() {
    let cloud = Cloud::immediate();
    let path = format!("{}/datastores/raw?api-version=2024-04-01", workspace("churn"));
    let body = |kind: &str| {
        json!({"properties": {"datastoreType": "AzureBlob", "accountName": "stmlchurnprod", "containerName": "raw",
            "credentials": {"credentialsType": kind, "secrets": {"key": "sesame"}}}})
    };
    let made = cloud.ask("PUT", &path, Some(body("AccountKey"))).await;
    assert_eq!((made.status, made.body.to_string().contains("sesame")), (201, false));
    assert_eq!(cloud.ask("PUT", &path, Some(body("None"))).await.status, 200);
    let read = cloud.get(&path).await;
    assert_eq!(read.body["properties"]["credentials"]["credentialsType"], "None");
    assert_eq!(read.body["properties"]["isDefault"], false);
    assert_eq!(cloud.ask("PUT", &path, Some(json!({"properties": {}}))).await.status, 400);
    assert_eq!(cloud.ask("DELETE", &path, None).await.status, 200);
    assert_eq!(cloud.get(&path).await.status, 404);
}

#[tokio::test]
async fn datastores_are_chosen_ordered_and_paged_as_the_query_says() {
    let cloud = Cloud::immediate();
    let list = format!("{}/datastores?api-version=2024-10-01-preview", workspace("churn"));
    let names = async |query: &str| {
        let mut found = Vec::new();
        let mut next = format!("{list}{query}");
        while !next.is_empty() {
            let page = cloud.get(&next).await.body;
            found.extend(
                page["value"].as_array().unwrap().iter().map(|store| store["name"].as_str().unwrap().to_owned()),
            );
            found.push("|".to_owned());
            next = page["nextLink"].as_str().unwrap_or_default().to_owned();
        }
        found.join(" ").replace("workspace", "")
    };
    let rising = "artifactstore blobstore filestore workingdirectory |";
    assert_eq!(names("").await, rising);
    assert_eq!(names("&orderByAsc=true").await, rising);
    assert_eq!(names("&count=30&orderByAsc=false").await, "workingdirectory filestore blobstore artifactstore |");
    assert_eq!(names("&count=3&orderByAsc=false").await, "workingdirectory filestore blobstore | artifactstore |");
    assert_eq!(names("&count=30&isDefault=true&orderByAsc=false").await, "blobstore |");
    assert_eq!(names("&isDefault=false&count=1").await, "artifactstore | filestore | workingdirectory |");
    assert_eq!(names("&names=workspacefilestore,none").await, "filestore |");
    assert_eq!(cloud.get(&format!("{list}&count=none")).await.status, 400);
}

#[tokio::test]
async fn computes_and_endpoints_are_listed_below_their_workspace() {
    let mut world = small_world();
    world.push(
        json!({"id": format!("{}/computes/cpu", workspace("churn")), "properties": {"computeType": "AmlCompute"}}),
    );
    world.push(
        json!({"id": format!("{}/onlineEndpoints/score", workspace("churn")), "properties": {"authMode": "Key"}}),
    );
    let mut cloud = Cloud::new(world, Knobs::immediate());
    for (kind, count) in [("computes", 1), ("onlineEndpoints", 1), ("datastores", 4)] {
        let reply = cloud.get(&format!("{}/{kind}?api-version=2024-04-01", workspace("churn"))).await;
        assert_eq!((reply.status, reply.body["value"].as_array().unwrap().len()), (200, count), "{kind}");
    }
    let resync = cloud.ask("POST", &format!("{}/resyncKeys?api-version=2025-09-01", workspace("churn")), None).await;
    assert_eq!(resync.status, 200);
    // Who may see something in the subscription, and not these, is told so: nobody takes it for an empty list.
    cloud.act_as(DANA);
    for kind in ["computes", "onlineEndpoints", "datastores"] {
        let refused = cloud.get(&format!("{}/{kind}?api-version=2024-04-01", workspace("churn"))).await;
        assert_eq!((refused.status, refused.code()), (403, "AuthorizationFailed"), "{kind}");
    }
}

#[tokio::test]
async fn workspaces_are_listed_by_subscription_group_and_kind() {
    let mut world = small_world();
    world.push(json!({"id": workspace("hub"), "kind": "hub", "properties": {"storageAccount": account()}}));
    let cloud = Cloud::new(world, Knobs::immediate());
    for (scope, query, count) in [(SUB, "", 2), (RG, "", 2), (SUB, "&kind=Hub", 1)] {
        let list =
            format!("{scope}/providers/Microsoft.MachineLearningServices/workspaces?api-version=2025-09-01{query}");
        assert_eq!(cloud.get(&list).await.body["value"].as_array().unwrap().len(), count, "{list}");
    }
}

#[tokio::test]
async fn versions_older_than_the_mode_hide_it_too() {
    let cloud = Cloud::immediate();
    for (version, shown) in [("2020-08-01", false), ("2022-10-01", false), ("2022-12-01-preview", true)] {
        let body = cloud.get(&path(version)).await.body;
        assert_eq!(body["properties"].get("systemDatastoresAuthMode").is_some(), shown, "{version}");
    }
}

#[tokio::test]
async fn a_patch_passes_over_what_it_cannot_change_and_refuses_what_is_fixed() {
    let cloud = Cloud::immediate();
    let before = cloud.get(&path("2025-09-01")).await.body;
    let patch = json!({"id": "/x", "location": "mars", "kind": "Hub",
        "properties": {"workspaceId": "other", "provisioningState": "Failed", "surprise": 1, "storageAccount": account()}});
    assert_eq!(cloud.ask("PATCH", &path("2025-09-01"), Some(patch)).await.status, 200);
    assert_eq!(cloud.get(&path("2025-09-01")).await.body, before);
    for body in [
        json!({"properties": {"storageAccount": "/subscriptions/x"}}),
        json!({"properties": {"systemDatastoresAuthMode": "banana"}}),
        json!({"properties": {"systemDatastoresAuthMode": 5}}),
        json!({"properties": []}),
        json!({"tags": "none"}),
        json!([]),
    ] {
        for method in ["PATCH", "PUT"] {
            let reply = cloud.ask(method, &path("2025-09-01"), Some(body.clone())).await;
            assert_eq!(reply.status, 400, "{method} {body}");
        }
    }
    assert_eq!(cloud.get(&path("2025-09-01")).await.body, before);
}
