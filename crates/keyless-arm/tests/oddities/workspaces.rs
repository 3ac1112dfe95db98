//! Workspaces, hubs and projects.

use keyless_arm::api::{ReadArm, Written};
use keyless_core::observed::{Identity, ObservedAuthMode, WorkspaceKind};
use serde_json::{Value, json};

use crate::fake::{GROUP, GUID, SUBSCRIPTION, account_id, workspace_id};
use crate::with::{account, always, in_turn, read_workspace, set_mode, workspace, workspace_body};

/// That nothing is read in a version that hides the mode is proved beside the other reads.
#[tokio::test(start_paused = true)]
async fn a_missing_mode_is_unset_and_an_unknown_one_is_kept() {
    let body = workspace_body(json!({"storageAccount": account_id()}));
    assert_eq!(read_workspace(body).await.auth_mode, ObservedAuthMode::Unset);
    let unknown = read_workspace(workspace_body(json!({"systemDatastoresAuthMode": "Brandnew"}))).await;
    assert_eq!(unknown.auth_mode, ObservedAuthMode::Other("Brandnew".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_list_mixes_workspaces_hubs_and_projects_on_one_account() {
    let id = |name: &str| format!("{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/{name}");
    let own = |name: &str, kind: &str, principal: &str, hub: Value| {
        json!({"id": id(name), "kind": kind, "identity": {"type": "SystemAssigned", "principalId": principal},
               "properties": {"storageAccount": account_id(), "hubResourceId": hub, "allowRoleAssignmentOnRG": false}})
    };
    let other = "0b8e7c1d-93f2-4a6b-8c5d-2e1f0a9b8c7d";
    let body = json!({"value": [own("mlw-one", "Default", GUID, Value::Null), own("hub-one", "Hub", GUID, Value::Null),
                                own("project-one", "Project", other, json!(id("HUB-one")))]});
    let found = always(200, &[], body).0.workspaces(SUBSCRIPTION.parse().unwrap()).await.unwrap().value;
    let kinds: Vec<&WorkspaceKind> = found.iter().map(|own| &own.kind).collect();
    assert_eq!(kinds, [&WorkspaceKind::Default, &WorkspaceKind::Hub, &WorkspaceKind::Project]);
    assert!(found.iter().all(|own| own.storage_account == Some(account())));
    assert_eq!(found[2].hub.as_ref(), Some(&found[1].id));
    assert_eq!(found[2].identity.system, Some(other.parse().unwrap()), "a project has an identity of its own");
}

#[tokio::test(start_paused = true)]
async fn a_hub_with_null_storage_account_stands_on_the_first_of_its_array() {
    let found = read_workspace(workspace_body(json!({
        "storageAccount": null, "keyVault": null, "containerRegistry": "", "storageAccounts": [account_id()], "keyVaults": ["/x"]
    })))
    .await;
    assert_eq!(found.storage_account, Some(account()));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_names_several_accounts_holds_the_key_of_each() {
    let second = account_id().replace("stmlprod", "stmltwo");
    let third = account_id().replace("stmlprod", "stmlthree");
    let found = read_workspace(workspace_body(json!({
        "storageAccount": null, "storageAccounts": [account_id(), second],
        "workspaceHubConfig": {"additionalWorkspaceStorageAccounts": [third]}
    })))
    .await;
    assert_eq!(found.storage_account, Some(account()));
    let more: Vec<&str> = found.more_accounts.iter().map(|id| id.as_str()).collect();
    assert_eq!(more, [&third, &second]);
}

#[tokio::test(start_paused = true)]
async fn a_sparse_workspace_is_an_ordinary_one_without_identity() {
    let found = read_workspace(json!({"id": workspace_id(), "properties": {"storageAccount": account_id()}})).await;
    assert_eq!((found.kind, found.identity), (WorkspaceKind::Default, Identity::default()));
}

#[tokio::test(start_paused = true)]
async fn an_account_named_in_lower_case_is_the_same_account() {
    let found = read_workspace(workspace_body(json!({"storageAccount": account_id().to_lowercase()}))).await;
    assert_eq!(found.storage_account, Some(account()));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_changes_its_case_is_the_same_provider() {
    let id = workspace_id().replace("Microsoft.MachineLearningServices", "Microsoft.machinelearningServices");
    let found = read_workspace(json!({"id": id, "properties": {}})).await;
    assert_eq!(found.id, workspace());
    assert_eq!(found.id.as_str(), id, "its own spelling is kept for people and addresses");
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_not_taken_for_what_is() {
    let body = workspace_body(json!({"systemDatastoresAuthMode": "AccessKey", "provisioningState": "Succeeded"}));
    let (client, asks) = always(200, &[], body);
    assert_eq!(set_mode(&client).await.unwrap(), Written::Changed);
    assert_eq!(asks.lock().unwrap().len(), 1, "a value that came back otherwise is not sent again by itself");
    assert_eq!(client.workspace(&workspace()).await.unwrap().value.unwrap().auth_mode, ObservedAuthMode::AccessKey);
}

#[tokio::test(start_paused = true)]
async fn a_field_in_capitals_is_neither_fatal_nor_lost() {
    let found = read_workspace(workspace_body(json!({
        "EnableSoftwareBillOfMaterials": false, "SystemDatastoresAuthMode": "Identity"
    })))
    .await;
    assert_eq!(found.auth_mode, ObservedAuthMode::Identity);
}

#[tokio::test(start_paused = true)]
async fn null_empty_and_absent_are_the_same_nothing() {
    for nothing in [json!(null), json!("")] {
        let found = read_workspace(workspace_body(json!({
            "storageAccount": nothing, "hubResourceId": nothing, "primaryUserAssignedIdentity": nothing,
            "systemDatastoresAuthMode": nothing, "provisioningState": nothing, "friendlyName": "", "applicationInsights": null
        })))
        .await;
        assert_eq!((found.storage_account, found.hub, found.primary_identity), (None, None, None), "{nothing}");
        assert_eq!((found.auth_mode, found.provisioning_state), (ObservedAuthMode::Unset, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_workspace_whose_group_is_gone_is_absent() {
    let body =
        json!({"error": {"code": "ResourceGroupNotFound", "message": "Resource group 'rg-ml' could not be found."}});
    let (client, _) = in_turn(vec![(404, vec![], body.to_string())]);
    assert_eq!(client.workspace(&workspace()).await.unwrap().value, None);
}
