//! Datastores are written back as they were read, but for their credentials, and made as files describe them.

use std::sync::Mutex;

use keyless_arm::api::{ReadArm, WriteArm, WriteKind, Written};
use keyless_arm::client::Client;
use keyless_arm::error::{ErrorClass, Landed, WriteError};
use keyless_arm::stored::StoredDatastore;
use keyless_core::desired::{DatastoreKind, DatastorePlace, ServiceDataAccess};
use keyless_core::id::WorkspaceId;
use keyless_core::observed::{Datastore, DatastoreCredentials, DatastoreForm};
use serde_json::{Value, json};

use crate::fake::{Asks, BASE, SUBSCRIPTION, client, error, reply, workspace_id};

fn workspace() -> WorkspaceId {
    WorkspaceId::parse(&workspace_id()).unwrap()
}

/// A datastore with more in it than this client knows of.
fn document() -> Value {
    json!({
        "id": format!("{}/datastores/raw", workspace_id()), "name": "raw", "type": "x", "systemData": {"createdAt": "y"},
        "properties": {
            "datastoreType": "AzureBlob", "accountName": "stmlprod", "containerName": "raw", "isDefault": true,
            "description": null, "tags": {"team": "fraud"}, "properties": {"a": ""}, "endpoint": "core.windows.net",
            "protocol": "https", "serviceDataAccessAuthIdentity": "None", "subscriptionId": SUBSCRIPTION,
            "resourceGroup": "rg-ml", "somethingNew": [{"deep": 1.5}],
            "credentials": {"credentialsType": "ServicePrincipal", "clientId": "c", "tenantId": "t", "secrets": null},
        },
    })
}

async fn convert(client: &Client) -> Result<Written, WriteError> {
    let stored = client.datastore(&workspace(), "raw").await.unwrap().value.unwrap();
    let permit = client.reserve_write(SUBSCRIPTION.parse().unwrap(), WriteKind::Workspace).await.unwrap();
    client.set_datastore_credential(permit, &workspace(), &stored).await.map(|answer| answer.value)
}

fn answering(put: u16) -> (Client, Asks) {
    client(move |_, asked| async move {
        if asked.method == "GET" { reply(200, &[], document()) } else { reply(put, &[], json!({"id": "x"})) }
    })
}

#[tokio::test(start_paused = true)]
async fn a_datastore_is_written_back_whole_but_for_its_credentials() {
    let (client, asks) = answering(200);
    assert_eq!(convert(&client).await.unwrap(), Written::Changed);
    let asks = asks.lock().unwrap();
    let url = format!("{BASE}{}/datastores/raw?api-version=2025-09-01", workspace_id());
    assert_eq!((asks[0].method.as_str(), &asks[0].url), ("GET", &url));
    assert_eq!((asks[1].method.as_str(), &asks[1].url), ("PUT", &format!("{url}&skipValidation=true")));
    let mut expected = json!({"properties": document()["properties"]});
    expected["properties"]["credentials"] = json!({"credentialsType": "None"});
    assert_eq!(asks[1].body, expected);
    assert_eq!(asks.len(), 2, "no secret is asked for");
}

#[tokio::test(start_paused = true)]
async fn what_became_of_it_is_told_and_it_is_never_sent_twice() {
    assert_eq!(convert(&answering(201).0).await.unwrap(), Written::Changed);
    for (status, class, landed) in [
        (500, ErrorClass::Transient, Landed::Unknown),
        (504, ErrorClass::Transient, Landed::Unknown),
        (400, ErrorClass::Refused, Landed::No),
        (409, ErrorClass::Transient, Landed::No),
    ] {
        let puts = std::sync::Arc::new(Mutex::new(0));
        let counted = puts.clone();
        let (client, _) = client(move |_, asked| {
            if asked.method == "PUT" {
                *counted.lock().unwrap() += 1;
            }
            async move { if asked.method == "GET" { reply(200, &[], document()) } else { error(status, "Odd") } }
        });
        let failed = convert(&client).await.unwrap_err();
        assert_eq!((failed.error.class, failed.landed), (class, landed), "{status}");
        assert_eq!(*puts.lock().unwrap(), 1, "{status}");
    }
    let (client, _) = client(|_, asked| async move {
        if asked.method == "GET" { reply(200, &[], document()) } else { reply(200, &[], "<html>") }
    });
    assert_eq!(convert(&client).await.unwrap_err().landed, Landed::Unknown);
}

#[tokio::test(start_paused = true)]
async fn each_type_is_made_with_the_fields_of_its_own() {
    for (kind, account, field) in [
        (DatastoreKind::Blob, Some("stmlprod"), "containerName"),
        (DatastoreKind::AdlsGen2, Some("stmlprod"), "filesystem"),
        (DatastoreKind::File, Some("stmlprod"), "fileShareName"),
        (DatastoreKind::AdlsGen1, None, "storeName"),
    ] {
        let (client, asks) = client(|_, _| async { reply(201, &[], json!({"id": "x"})) });
        let place = DatastorePlace {
            kind,
            account: account.map(str::to_owned),
            space: "curated".to_owned(),
            subscription: None,
            resource_group: None,
            service_access: Some(ServiceDataAccess::PrimaryIdentity),
        };
        let permit = client.reserve_write(SUBSCRIPTION.parse().unwrap(), WriteKind::Workspace).await.unwrap();
        client.create_datastore(permit, &workspace(), "curated", &place).await.unwrap();
        let asked = asks.lock().unwrap()[0].clone();
        let mut expected = json!({"properties": {
            "datastoreType": kind.as_wire(), "credentials": {"credentialsType": "None"},
            "serviceDataAccessAuthIdentity": "WorkspaceUserAssignedIdentity", field: "curated",
        }});
        if let Some(account) = account {
            expected["properties"]["accountName"] = json!(account);
        }
        assert_eq!(asked.body, expected);
        assert!(asked.url.ends_with("/datastores/curated?api-version=2025-09-01&skipValidation=true"), "{}", asked.url);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_would_lead_elsewhere_is_never_sent() {
    let (client, asks) = answering(200);
    for name in ["a/../../computes/x", "", "raw?x=y", "a%2Fb"] {
        let stored = StoredDatastore::bare(Datastore {
            name: name.to_owned(),
            account_name: None,
            credentials: DatastoreCredentials::AccountKey,
            form: DatastoreForm::default(),
        });
        let permit = client.reserve_write(SUBSCRIPTION.parse().unwrap(), WriteKind::Workspace).await.unwrap();
        let failed = client.set_datastore_credential(permit, &workspace(), &stored).await.unwrap_err();
        assert_eq!((failed.error.class, failed.landed), (ErrorClass::Bug, Landed::No), "{name}");
        assert_eq!(client.datastore(&workspace(), name).await.unwrap_err().class, ErrorClass::Bug, "{name}");
    }
    assert!(asks.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_for_writing_back_is_not_printed() {
    let stored = answering(200).0.datastore(&workspace(), "raw").await.unwrap().value.unwrap();
    let printed = format!("{stored:?}");
    assert!(printed.contains("raw") && !printed.contains("somethingNew"), "{printed}");
}
