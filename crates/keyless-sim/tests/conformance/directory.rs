//! The directory, as both graphs show it.

use keyless_sim::{CLIENT_ID, CLIENT_OBJECT_ID};
use serde_json::json;

use crate::cloud::{Cloud, DANA, GROUP, JOB};

#[tokio::test]
async fn ids_are_resolved_to_names_and_kinds_and_unknown_ones_passed_over() {
    let cloud = Cloud::immediate();
    let identity = "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f";
    let ids = json!([DANA, GROUP, JOB, CLIENT_OBJECT_ID, identity, "00000000-0000-4000-8000-00000000dead"]);
    let found = cloud.ask("POST", "/v1.0/directoryObjects/getByIds", Some(json!({"ids": ids}))).await.body;
    let shown: Vec<(&str, &str)> = found["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["@odata.type"].as_str().unwrap(), one["displayName"].as_str().unwrap()))
        .collect();
    let application = "#microsoft.graph.servicePrincipal";
    assert_eq!(
        shown,
        [
            ("#microsoft.graph.user", "Dana"),
            ("#microsoft.graph.group", "scientists"),
            (application, "train"),
            (application, "keyless-sim client"),
            (application, "churn"),
        ]
    );
    let people = json!({"ids": ids, "types": ["user"]});
    let people = cloud.ask("POST", "/v1.0/directoryObjects/getByIds", Some(people)).await;
    assert_eq!(people.body["value"].as_array().unwrap().len(), 1);
    let old = json!({"objectIds": [DANA, JOB], "includeDirectoryObjectReferences": true});
    let old = cloud.ask("POST", "/some-tenant/getObjectsByObjectIds?api-version=1.6", Some(old)).await.body;
    assert_eq!((&old["value"][0]["objectType"], &old["value"][0]["objectId"]), (&json!("User"), &json!(DANA)));
    assert_eq!(old["value"][1]["objectType"], "ServicePrincipal");
}

#[tokio::test]
async fn applications_and_people_are_found_by_the_filters_that_clients_send() {
    let cloud = Cloud::immediate();
    for (path, id) in [
        (
            format!("/v1.0/servicePrincipals?$filter=servicePrincipalNames/any(c:c eq '{CLIENT_ID}')"),
            Some(CLIENT_OBJECT_ID),
        ),
        (format!("/v1.0/servicePrincipals?$filter=appId eq '{CLIENT_ID}'"), Some(CLIENT_OBJECT_ID)),
        ("/v1.0/servicePrincipals?$filter=displayName eq 'train'".to_owned(), Some(JOB)),
        ("/v1.0/users?$filter=userPrincipalName eq 'dana@example.com'".to_owned(), Some(DANA)),
        ("/v1.0/groups?$filter=startswith(displayName,'scien')".to_owned(), Some(GROUP)),
        ("/v1.0/users?$filter=displayName eq 'nobody'".to_owned(), None),
    ] {
        let reply = cloud.get(&path).await;
        let found: Vec<&str> =
            reply.body["value"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(found, id.into_iter().collect::<Vec<_>>(), "{path}");
    }
    assert_eq!(cloud.get(&format!("/v1.0/users/{DANA}")).await.body["displayName"], "Dana");
    assert_eq!(cloud.get(&format!("/v1.0/users/{JOB}")).await.code(), "Request_ResourceNotFound");
    assert_eq!(cloud.get("/v1.0/users?$filter=endsWith(mail,'x')").await.code(), "Request_UnsupportedQuery");
}

#[tokio::test]
async fn the_directory_wants_a_token_and_is_no_part_of_the_resource_manager() {
    let mut cloud = Cloud::immediate();
    let before = cloud.sim.requests().total;
    assert_eq!(cloud.get(&format!("/v1.0/users/{DANA}")).await.status, 200, "no api-version is asked");
    assert_eq!(cloud.sim.requests().total, before, "it is not counted among the requests of the resource manager");
    cloud.token = Some("a.b.c".to_owned());
    let refused = cloud.get(&format!("/v1.0/users/{DANA}")).await;
    assert_eq!((refused.status, refused.code()), (401, "InvalidAuthenticationToken"));
}
