//! The data plane of blobs: who may list the containers of an account.
//! Sources: <https://learn.microsoft.com/rest/api/storageservices/list-containers2>;
//! <https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory>.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use keyless_sim::{Knobs, Spread};
use serde_json::json;

use crate::cloud::{BLOB_CONTRIBUTOR, BLOB_READER, Cloud, DANA, account, small_world};

const G1: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

struct Told {
    status: u16,
    code: String,
    challenge: String,
    body: String,
}

async fn ask(cloud: &Cloud, token: Option<&str>, version: Option<&str>, query: &str) -> Told {
    let mut request = Request::get(format!("https://stmlchurnprod.blob.core.windows.net/?{query}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if let Some(version) = version {
        request = request.header("x-ms-version", version);
    }
    let response = cloud.sim.call(request.body(Bytes::new()).unwrap()).await.unwrap();
    let header =
        |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    assert_eq!(header("content-type"), "application/xml");
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    Told {
        status: response.status().as_u16(),
        code: header("x-ms-error-code"),
        challenge: header("www-authenticate"),
        body,
    }
}

async fn list(cloud: &Cloud, token: Option<&str>) -> Told {
    ask(cloud, token, Some("2019-12-12"), "comp=list&maxresults=1").await
}

async fn as_dana(cloud: &Cloud) -> (u16, String) {
    let told = list(cloud, Some(cloud.sim.data_token(DANA).reveal())).await;
    (told.status, told.code)
}

const MISMATCH: &str = "AuthorizationPermissionMismatch";

#[tokio::test]
async fn containers_are_listed_to_whoever_has_the_right_and_the_error_of_others_is_xml() {
    for (role, expected) in [(None, 403), (Some(BLOB_READER), 200), (Some(BLOB_CONTRIBUTOR), 200)] {
        let cloud = Cloud::immediate();
        if let Some(role) = role {
            assert_eq!(cloud.grant(&account(), G1, DANA, role).await.status, 201);
        }
        let told = list(&cloud, Some(cloud.sim.data_token(DANA).reveal())).await;
        assert_eq!(told.status, expected, "{role:?}: {}", told.body);
        if expected == 200 {
            assert!(
                told.body.contains("<EnumerationResults ") && told.body.contains("<MaxResults>1<"),
                "{}",
                told.body
            );
        } else {
            assert_eq!(told.code, MISMATCH);
            assert!(
                told.body.contains("<Error><Code>AuthorizationPermissionMismatch</Code><Message>"),
                "{}",
                told.body
            );
        }
    }
    // It is a right of the control plane, which `Reader` has too, as every `*/read`.
    let cloud = Cloud::immediate();
    cloud.grant(&account(), G1, DANA, READER).await;
    assert_eq!(as_dana(&cloud).await.0, 200);
}

#[tokio::test]
async fn a_grant_takes_its_time_on_the_data_plane_and_so_does_its_end() {
    let ten = Spread::fixed(Duration::from_secs(600));
    let cloud = Cloud::new(small_world(), Knobs { role_propagation: ten, ..Knobs::immediate() });
    cloud.grant(&account(), G1, DANA, BLOB_READER).await;
    cloud.pass(590);
    assert_eq!(as_dana(&cloud).await, (403, MISMATCH.to_owned()));
    cloud.pass(20);
    assert_eq!(as_dana(&cloud).await.0, 200);
}

#[tokio::test]
async fn only_a_token_for_data_is_taken_and_the_challenge_names_where_to_get_one() {
    let cloud = Cloud::immediate();
    cloud.grant(&account(), G1, DANA, BLOB_READER).await;
    let (managed, data) = (cloud.sim.token(DANA).reveal().to_owned(), cloud.sim.data_token(DANA).reveal().to_owned());
    let cut = format!("{data}x");
    for (token, code) in [
        (None, "NoAuthenticationInformation"),
        (Some(managed.as_str()), "InvalidAuthenticationInfo"),
        (Some(cut.as_str()), "InvalidAuthenticationInfo"),
    ] {
        let told = list(&cloud, token).await;
        assert_eq!((told.status, told.code.as_str()), (401, code));
        assert!(told.challenge.starts_with("Bearer authorization_uri=https://login.microsoftonline.com/"));
        assert!(told.challenge.ends_with("/oauth2/authorize resource_id=https://storage.azure.com"));
    }
    for version in [None, Some("2017-07-29")] {
        let told = ask(&cloud, Some(&data), version, "comp=list").await;
        assert_eq!((told.status, told.code.as_str()), (403, "AuthenticationFailed"), "{version:?}");
    }
    assert_eq!(ask(&cloud, Some(&data), Some("2019-12-12"), "comp=properties").await.status, 501);
    // And the resource manager does not take it.
    let mut cloud = cloud;
    cloud.token = Some(data);
    let refused = cloud.get(&format!("{}?api-version=2023-05-01", account())).await;
    assert_eq!((refused.status, refused.code()), (401, "InvalidAuthenticationTokenAudience"));
}

#[tokio::test]
async fn network_rules_shut_out_whoever_is_in_no_workspace() {
    let cloud = Cloud::immediate();
    cloud.grant(&account(), G1, DANA, BLOB_READER).await;
    let rules = json!({"properties": {"networkAcls": {"bypass": "AzureServices", "defaultAction": "Deny"}}});
    cloud.ask("PATCH", &format!("{}?api-version=2023-05-01", account()), Some(rules)).await;
    assert_eq!(as_dana(&cloud).await, (403, "AuthorizationFailure".to_owned()));
}

#[tokio::test]
async fn it_is_no_key_traffic_and_an_account_that_is_not_there_does_not_answer() {
    let cloud = Cloud::immediate();
    cloud.flag(false).await;
    cloud.grant(&account(), G1, DANA, BLOB_READER).await;
    assert_eq!(as_dana(&cloud).await.0, 200, "the key is not what it takes");
    let listed = cloud.sim.requests().by_operation.into_iter().find(|entry| entry.operation == "/?comp=list").unwrap();
    assert_eq!((listed.count, listed.caller.as_str()), (1, DANA));
    let elsewhere = Request::get("https://nobody.blob.core.windows.net/?comp=list").body(Bytes::new()).unwrap();
    assert!(cloud.sim.call(elsewhere).await.is_err());
}

#[tokio::test]
async fn the_token_endpoint_gives_tokens_for_data() {
    let cloud = Cloud::immediate();
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fstorage.azure.com%2F.default",
        keyless_sim::CLIENT_ID,
        cloud.sim.client_secret().reveal()
    );
    let request = Request::post("https://login.test/7e2a47a0-3b8f-4f0e-9d61-5a4c3b2d1e00/oauth2/v2.0/token");
    let answer = cloud.send(request.body(Bytes::from(form)).unwrap()).await;
    let token = answer.body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(
        list(&cloud, Some(&token)).await.status,
        200,
        "this world grants its caller nothing: it owns everything"
    );
}
