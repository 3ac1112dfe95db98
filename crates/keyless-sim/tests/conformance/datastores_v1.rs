//! The older data plane of datastores.

use keyless_sim::{CLIENT_OBJECT_ID, Knobs};
use serde_json::{Value, json};

use crate::cloud::{Cloud, DANA, account, grant_entry, read, small_world, workspace};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

fn stores(rest: &str) -> String {
    format!("/datastore/v1.0{}/{rest}", workspace("churn"))
}

async fn register(cloud: &Cloud, body: Value) -> crate::cloud::Reply {
    cloud.ask("POST", &stores("datastores?createIfNotExists=false&skipValidation=false"), Some(body)).await
}

fn blob(name: &str) -> Value {
    json!({"name": name, "dataStoreType": "AzureBlob", "azureStorageSection": {"accountName": "stmlchurnprod",
        "containerName": "raw", "credentialType": "None", "areWorkspaceManagedIdentitiesAllowed": false,
        "ServiceDataAccessAuthIdentity": "None"}})
}

#[tokio::test]
async fn a_workspace_leads_to_its_services_without_a_token() {
    let cloud = Cloud::immediate();
    let shown = cloud.get(&format!("{}?api-version=2022-05-01", workspace("churn"))).await.body;
    let request = http::Request::get(shown["properties"]["discoveryUrl"].as_str().unwrap()).body(bytes::Bytes::new());
    let services = read(cloud.sim.call(request.unwrap()).await.unwrap());
    assert_eq!((services.status, &services.body["api"]), (200, &json!("https://arm.test")));
    assert_eq!(services.body["history"], services.body["api"]);
}

#[tokio::test]
async fn what_is_registered_in_the_older_form_is_there_in_the_newer_one() {
    let cloud = Cloud::immediate();
    let lake = json!({"name": "lake", "dataStoreType": "AzureDataLake", "azureDataLakeSection": {"storeName": "l",
        "isCertAuth": false, "resourceUri": "https://datalake.example/"}});
    let files = json!({"name": "files", "dataStoreType": "AzureDataLakeGen2", "azureStorageSection": {
        "accountName": "stmlchurnprod", "containerName": "fs", "credentialType": "None", "clientCredentials": {"resourceUri": "x"}}});
    let table = json!({"name": "table", "dataStoreType": "AzureSqlDatabase", "azureSqlDatabaseSection": {"serverName": "s",
        "databaseName": "d", "credentialType": "None"}});
    for (body, kind, field, value) in [
        (blob("Raw"), "AzureBlob", "containerName", "raw"),
        (lake, "AzureDataLakeGen1", "storeName", "l"),
        (files, "AzureDataLakeGen2", "filesystem", "fs"),
        (table, "AzureSqlDatabase", "serverName", "s"),
    ] {
        let made = register(&cloud, body.clone()).await;
        assert_eq!((made.status, &made.body["dataStoreType"]), (200, &body["dataStoreType"]), "{kind}");
        let name = made.body["name"].as_str().unwrap().to_owned();
        let path = format!("{}/datastores/{name}?api-version=2024-04-01", workspace("churn"));
        let properties = cloud.get(&path).await.body["properties"].clone();
        assert_eq!((&properties["datastoreType"], &properties[field]), (&json!(kind), &json!(value)));
        assert_eq!(properties["credentials"], json!({"credentialsType": "None"}));
        let again = cloud.get(&stores(&format!("datastores/{name}"))).await;
        assert_eq!((again.status, &again.body), (200, &made.body));
    }
    let twice = register(&cloud, blob("raw")).await;
    let message = twice.body["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        twice.status == 400 && message.starts_with("Another datastore with the same name already exists"),
        "{message}"
    );
    assert_eq!(register(&cloud, json!({"name": "x", "dataStoreType": "Hdfs"})).await.status, 400);
}

#[tokio::test]
async fn a_listing_holds_those_of_the_system_and_keys_for_who_may_list_them() {
    let mut world = small_world();
    world.push(grant_entry(&account(), "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234", DANA, READER));
    world.push(grant_entry(&workspace("churn"), "1f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234", DANA, READER));
    let mut cloud = Cloud::new(world, Knobs::immediate());
    let list = stores("datastores?count=100&includeSecret=true");
    let keys = |body: &Value| {
        let found = body["value"].as_array().unwrap().clone();
        found.iter().filter(|store| store["azureStorageSection"]["accountKey"] == "AAAA").count()
    };
    let all = cloud.get(&list).await;
    assert_eq!((all.status, all.body["value"].as_array().unwrap().len(), keys(&all.body)), (200, 4, 4));
    assert_eq!(keys(&cloud.get(&stores("datastores?count=100")).await.body), 0);
    cloud.act_as(DANA);
    assert_eq!(keys(&cloud.get(&list).await.body), 0);
    cloud.act_as(CLIENT_OBJECT_ID);
    assert_eq!(cloud.get(&stores("default")).await.body["name"], "workspaceblobstore");
    cloud.mode("churn", "identity").await;
    assert_eq!(keys(&cloud.get(&list).await.body), 0);
}

#[tokio::test]
async fn a_datastore_is_replaced_and_removed() {
    let cloud = Cloud::immediate();
    register(&cloud, blob("raw")).await;
    let mut other = blob("raw");
    other["azureStorageSection"]["containerName"] = json!("other");
    let put = cloud.ask("PUT", &stores("datastores/raw"), Some(other)).await;
    assert_eq!((put.status, &put.body["azureStorageSection"]["containerName"]), (200, &json!("other")));
    assert_eq!(cloud.ask("DELETE", &stores("datastores/raw"), None).await.status, 200);
    assert_eq!(cloud.ask("DELETE", &stores("datastores/raw"), None).await.status, 204);
    assert_eq!(cloud.get(&stores("datastores/raw")).await.status, 404);
    assert_eq!(cloud.get("/datastore/v1.0/subscriptions/x").await.status, 404);
    assert_eq!(cloud.get(&stores("elsewhere")).await.status, 404);
}

#[tokio::test]
async fn a_name_makes_a_datastore_and_nothing_else() {
    let cloud = Cloud::immediate();
    let before = cloud.sim.world_json();
    let authorization = "x/providers/Microsoft.Authorization";
    let deny = format!("{authorization}/denyAssignments/z");
    let lock = format!("{authorization}/locks/z");
    let long = "a".repeat(256);
    for name in ["", "a/b/c", " ", "..", "a b", "-a", "a?b", "%2e", &deny, &lock, &long] {
        let reply = register(&cloud, blob(name)).await;
        assert_eq!((reply.status, reply.code()), (400, "ValidationError"), "{name}");
    }
    assert_eq!(cloud.sim.world_json(), before);
    assert_eq!(register(&cloud, blob("a-b_1")).await.status, 200);
}
