//! Datastores that people made: how they are written, and as whom somebody works who works through one.

use keyless_sim::{Fault, FaultRule, Faults, Knobs};
use serde_json::{Value, json};

use crate::cloud::{BLOB_READER, Cloud, DANA, account, grant_entry, small_world, workload, workspace};

const G1: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";

fn path(name: &str) -> String {
    format!("{}/datastores/{name}?api-version=2024-04-01&skipValidation=true", workspace("churn"))
}

fn blob(credentials: &str) -> Value {
    json!({"datastoreType": "AzureBlob", "accountName": "stmlchurnprod", "containerName": "raw",
        "credentials": {"credentialsType": credentials}})
}

fn stored(name: &str, properties: &Value) -> Value {
    json!({"id": format!("{}/datastores/{name}", workspace("churn")), "name": name, "properties": properties})
}

/// Dana at work through a datastore rather than through those of the system.
fn through(name: &str) -> Value {
    let mut entry = workload("churn", DANA);
    entry["properties"]["datastore"] = json!(name);
    entry
}

async fn put(cloud: &Cloud, name: &str, properties: &Value) -> crate::cloud::Reply {
    cloud.ask("PUT", &path(name), Some(json!({"properties": properties}))).await
}

#[tokio::test]
async fn a_replaced_datastore_is_what_was_sent_without_the_secret() {
    let cloud = Cloud::immediate();
    let mut sent = blob("AccountKey");
    sent["credentials"]["secrets"] = json!({"secretsType": "AccountKey", "key": "AAAA"});
    sent["somethingNew"] = json!([1]);
    assert_eq!(put(&cloud, "raw", &sent).await.status, 201);
    let again = put(&cloud, "raw", &blob("None")).await;
    assert_eq!((again.status, &again.body["properties"]["credentials"]), (200, &json!({"credentialsType": "None"})));
    let shown = cloud.get(&path("raw")).await.body;
    assert_eq!(shown["properties"].get("somethingNew"), None, "a PUT replaces the whole");
    assert_eq!(shown["properties"]["isDefault"], false);
}

#[tokio::test]
async fn a_default_whose_flag_is_left_out_is_refused() {
    let mut default = blob("AccountKey");
    default["isDefault"] = json!(true);
    let mut world = small_world();
    world.push(stored("raw", &default));
    let cloud = Cloud::new(world, Knobs::immediate());
    let refused = put(&cloud, "raw", &blob("None")).await;
    assert_eq!((refused.status, refused.code()), (400, "UserError"));
    assert_eq!(cloud.get(&path("raw")).await.body["properties"]["credentials"]["credentialsType"], "AccountKey");
    let mut echoed = blob("None");
    echoed["isDefault"] = json!(true);
    let taken = put(&cloud, "raw", &echoed).await;
    assert_eq!((taken.status, &taken.body["properties"]["isDefault"]), (200, &json!(true)));
}

#[tokio::test]
async fn each_type_needs_its_own_fields_and_others_are_unknown_here() {
    let cloud = Cloud::immediate();
    let of = |kind: &str, credentials: &str, fields: Value| {
        let mut properties = json!({"datastoreType": kind, "credentials": {"credentialsType": credentials}});
        properties.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        properties
    };
    for (status, kind, credentials, fields) in [
        (201, "AzureBlob", "None", json!({"accountName": "stmlchurnprod", "containerName": "c"})),
        (201, "AzureFile", "None", json!({"accountName": "stmlchurnprod", "fileShareName": "s"})),
        (201, "AzureDataLakeGen2", "None", json!({"accountName": "stmlchurnprod", "filesystem": "f"})),
        (201, "AzureDataLakeGen1", "ServicePrincipal", json!({"storeName": "lake"})),
        (400, "AzureFile", "None", json!({"accountName": "stmlchurnprod"})),
        (400, "AzureDataLakeGen2", "None", json!({"filesystem": "f"})),
        (400, "AzureDataLakeGen1", "None", json!({})),
        (400, "AzureDataLakeGen1", "AccountKey", json!({"storeName": "lake"})),
        (400, "AzureSqlDatabase", "None", json!({"serverName": "s", "databaseName": "d"})),
        (400, "AzureBlob", "Password", json!({})),
    ] {
        let reply = put(&cloud, &format!("store-{kind}-{credentials}"), &of(kind, credentials, fields)).await;
        assert_eq!(reply.status, status, "{kind} with {credentials}: {:?}", reply.body);
    }
}

#[tokio::test]
async fn a_stored_key_hides_a_missing_role_until_it_is_gone() {
    let mut world = small_world();
    world.pop();
    world.extend([stored("raw", &blob("AccountKey")), through("raw")]);
    let cloud = Cloud::new(world, Knobs::immediate());
    cloud.mode("churn", "Identity").await;
    cloud.pass(100);
    assert_eq!(cloud.sim.oracle().denied.entitled, 0, "the workspace's mode is not the datastore's");
    put(&cloud, "raw", &blob("None")).await;
    cloud.pass(100);
    let oracle = cloud.sim.oracle();
    assert_eq!((oracle.denied.entitled, oracle.events.len()), (10, 1));
    assert!(oracle.events[0].cause.starts_with("AuthorizationPermissionMismatch"), "{:?}", oracle.events);
    cloud.grant(&account(), G1, DANA, BLOB_READER).await;
    cloud.pass(100);
    assert_eq!(cloud.sim.oracle().denied.entitled, 10);
}

#[tokio::test]
async fn with_a_role_the_stored_key_goes_unnoticed_and_then_the_key_does_too() {
    let mut world = small_world();
    world.pop();
    world.extend([stored("raw", &blob("AccountKey")), through("raw")]);
    world.push(grant_entry(&account(), G1, DANA, BLOB_READER));
    let cloud = Cloud::new(world, Knobs::immediate());
    cloud.mode("churn", "Identity").await;
    cloud.pass(100);
    put(&cloud, "raw", &blob("None")).await;
    cloud.pass(100);
    cloud.flag(false).await;
    cloud.pass(100);
    assert_eq!(cloud.sim.oracle().denied.entitled, 0);
}

#[tokio::test]
async fn a_key_turned_off_denies_whoever_works_through_a_stored_key_or_sas() {
    for credentials in ["AccountKey", "Sas"] {
        let mut world = small_world();
        world.pop();
        world.extend([stored("raw", &blob(credentials)), through("RAW")]);
        world.push(grant_entry(&account(), G1, DANA, BLOB_READER));
        let cloud = Cloud::new(world, Knobs::immediate());
        cloud.mode("churn", "Identity").await;
        cloud.pass(100);
        cloud.flag(false).await;
        cloud.pass(100);
        let oracle = cloud.sim.oracle();
        assert_eq!(oracle.denied.entitled, 10, "{credentials}");
        assert_eq!(oracle.events[0].cause, "KeyBasedAuthenticationNotPermitted");
    }
}

#[tokio::test]
async fn without_a_credential_the_identity_counts_in_a_workspace_on_keys_too() {
    let mut world = small_world();
    world.pop();
    world.extend([stored("raw", &blob("None")), through("raw")]);
    let cloud = Cloud::new(world, Knobs::immediate());
    cloud.pass(100);
    assert_eq!(cloud.sim.oracle().never_worked, 10);
}

#[tokio::test]
async fn data_lie_on_the_account_that_the_datastore_names() {
    let other = account().replace("stmlchurnprod", "stother");
    let mut world = small_world();
    world.pop();
    let mut far = blob("AccountKey");
    far["accountName"] = json!("stother");
    world.push(json!({"id": other, "name": "stother", "type": "Microsoft.Storage/storageAccounts",
        "location": "westeurope", "properties": {"allowSharedKeyAccess": true}}));
    world.extend([stored("far", &far), through("far")]);
    let cloud = Cloud::new(world, Knobs::immediate());
    cloud.pass(100);
    cloud.flag(false).await;
    cloud.pass(100);
    assert_eq!(cloud.sim.oracle().denied.entitled, 0, "it is not the workspace's own account");
    let key_off = json!({"properties": {"allowSharedKeyAccess": false}});
    cloud.ask("PATCH", &format!("{other}?api-version=2023-05-01"), Some(key_off)).await;
    cloud.pass(100);
    assert_eq!(cloud.sim.oracle().denied.entitled, 10);
}

#[tokio::test]
async fn ignored_keeps_the_credential_of_a_datastore_that_is_written() {
    let mut world = small_world();
    world.push(stored("raw", &blob("ServicePrincipal")));
    let rule = FaultRule::new("PUT", "/datastores/{}", Fault::Ignored);
    let cloud = Cloud::new(world, Knobs { faults: Faults::new([rule]), ..Knobs::immediate() });
    assert_eq!(put(&cloud, "raw", &blob("None")).await.status, 200);
    let shown = cloud.get(&path("raw")).await.body;
    assert_eq!(shown["properties"]["credentials"]["credentialsType"], "ServicePrincipal");
}
