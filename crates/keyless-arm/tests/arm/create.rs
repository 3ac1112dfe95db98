//! Making a workspace: what is sent, and when it counts as made.

use keyless_arm::api::{WriteArm, WriteKind, Written};
use keyless_arm::error::{ErrorClass, Landed, WriteError};
use keyless_core::desired::{Create, CreateKind, Isolation, Parts};
use keyless_core::id::{ArmId, StorageAccountId, WorkspaceId};
use serde_json::{Value, json};

use crate::fake::{Answers, Asked, account_id, client, reply, workspace_id};

const POLL: &str = "https://arm.example/poll?sig=opaque";

pub(crate) fn create(kind: CreateKind) -> Create {
    Create {
        location: "westeurope".to_owned(),
        kind,
        friendly_name: Some("Churn".to_owned()),
        storage_account: StorageAccountId::parse(&account_id()).unwrap(),
        public_network_access: true,
        isolation: Isolation::Disabled,
    }
}

pub(crate) fn parts() -> Parts {
    let vault = account_id().replace("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults");
    Parts { key_vault: ArmId::parse(&vault).unwrap(), application_insights: None, container_registry: None }
}

async fn made(kind: CreateKind, answers: Answers) -> (Result<Written, WriteError>, Vec<Asked>) {
    let (client, asks) = client(move |number, _| async move {
        let (status, headers, body) = answers[(number - 1).min(answers.len() - 1)];
        reply(status, headers, body)
    });
    let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
    let permit = client.reserve_write(workspace.subscription(), WriteKind::Workspace).await.unwrap();
    let written = client.create_workspace(permit, &workspace, &create(kind)).await;
    let asks = asks.lock().unwrap().clone();
    (written.map(|answer| answer.value), asks)
}

const DONE: &str = r#"{"id":"x","properties":{"provisioningState":"Succeeded"}}"#;

#[tokio::test(start_paused = true)]
async fn a_hub_is_put_with_its_mode_and_followed_to_its_end() {
    let hub = CreateKind::Hub(parts());
    let (written, asks) = made(hub, &[(202, &[("location", POLL)], ""), (202, &[], ""), (200, &[], DONE)]).await;
    assert_eq!(written.unwrap(), Written::Changed);
    assert_eq!(asks.iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(), ["PUT", "GET", "GET"]);
    assert_eq!(
        asks[0].body,
        json!({
            "location": "westeurope", "kind": "Hub", "sku": {"name": "Basic", "tier": "Basic"},
            "identity": {"type": "SystemAssigned"},
            "properties": {
                "friendlyName": "Churn", "storageAccount": account_id(), "keyVault": parts().key_vault.as_str(),
                "systemDatastoresAuthMode": "Identity", "managedNetwork": {"isolationMode": "Disabled"},
                "publicNetworkAccess": "Enabled",
            },
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_project_names_its_hub_and_nothing_of_what_the_hub_lends() {
    let hub = WorkspaceId::parse(&workspace_id().replace("mlw-churn", "hub-one")).unwrap();
    let (written, asks) = made(CreateKind::Project(hub.clone()), &[(200, &[], DONE)]).await;
    assert_eq!(written.unwrap(), Written::Changed);
    let properties: Vec<&String> = asks[0].body["properties"].as_object().unwrap().keys().collect();
    assert_eq!(properties, ["friendlyName", "hubResourceId", "systemDatastoresAuthMode"]);
    assert_eq!(asks[0].body["properties"]["hubResourceId"], Value::from(hub.as_str()));
}

#[tokio::test(start_paused = true)]
async fn a_making_that_fails_at_its_end_may_have_left_something_and_is_not_repeated() {
    const FAILED: &str = r#"{"status":"Failed","error":{"code":"InternalServerError","message":"no"}}"#;
    let parts = CreateKind::Default(parts());
    let (written, asks) = made(parts, &[(202, &[("location", POLL)], ""), (200, &[], FAILED)]).await;
    let error = written.unwrap_err();
    assert_eq!((error.error.class, error.landed), (ErrorClass::Transient, Landed::Unknown));
    assert_eq!(asks.iter().filter(|asked| asked.method == "PUT").count(), 1);
}
