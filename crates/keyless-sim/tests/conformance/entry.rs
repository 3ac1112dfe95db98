//! Tokens and the documents by which clients find their way.

use bytes::Bytes;
use http::Request;
use keyless_sim::{CLIENT_ID, Knobs, MANAGED_CLIENT_ID};
use serde_json::{Value, json};

use crate::cloud::{Cloud, RG, Reply, account, read, small_world};

const ASSERTION: &str = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
const SCOPE: &str = "scope=https%3A%2F%2Fmanagement.azure.com%2F.default&grant_type=client_credentials";

async fn token(cloud: &Cloud, form: &str) -> Reply {
    let request = Request::post("https://arm.test/any-tenant/oauth2/v2.0/token").body(Bytes::from(form.to_owned()));
    read(cloud.sim.call(request.unwrap()).await.unwrap())
}

async fn identity(cloud: &Cloud, path: &str, header: (&str, &str)) -> Reply {
    let request = Request::get(format!("http://arm.test{path}")).header(header.0, header.1).body(Bytes::new());
    read(cloud.sim.call(request.unwrap()).await.unwrap())
}

async fn status_with(cloud: &mut Cloud, token: &str) -> u16 {
    cloud.token = Some(token.to_owned());
    cloud.get(&format!("{}?api-version=2023-05-01", account())).await.status
}

#[tokio::test]
async fn a_client_secret_buys_a_token_with_numbers_in_any_tenant() {
    let mut cloud = Cloud::immediate();
    let secret = cloud.sim.client_secret().reveal().to_owned();
    let reply = token(&cloud, &format!("client_id={CLIENT_ID}&client_secret={secret}&{SCOPE}")).await;
    assert_eq!(
        (reply.status, &reply.body["expires_in"], &reply.body["token_type"]),
        (200, &json!(3599), &json!("Bearer"))
    );
    let bearer = reply.body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(bearer.split('.').count(), 3);
    assert_eq!(status_with(&mut cloud, &bearer).await, 200);
    cloud.pass(3599);
    let late = cloud.get(&format!("{}?api-version=2023-05-01", account())).await;
    assert_eq!((late.status, late.code()), (401, "ExpiredAuthenticationToken"));
    assert!(late.header("www-authenticate").contains("invalid_token"));
}

#[tokio::test]
async fn wrong_clients_secrets_and_scopes_are_refused_as_entra_does() {
    let cloud = Cloud::immediate();
    let basic = format!("client_id={CLIENT_ID}&client_secret=wrong");
    for (form, status, error, code) in [
        (format!("{basic}&{SCOPE}"), 401, "invalid_client", 7_000_215),
        (format!("client_id=nobody&client_secret=x&{SCOPE}"), 400, "unauthorized_client", 700_016),
        (format!("{basic}&grant_type=client_credentials&scope=x"), 400, "invalid_scope", 70011),
        (format!("{basic}&grant_type=password"), 400, "unsupported_grant_type", 70003),
        (
            format!("client_id={CLIENT_ID}&client_assertion=junk&client_assertion_type={ASSERTION}&{SCOPE}"),
            401,
            "invalid_client",
            700_027,
        ),
    ] {
        let reply = token(&cloud, &form).await;
        assert_eq!(
            (reply.status, &reply.body["error"], &reply.body["error_codes"][0]),
            (status, &json!(error), &json!(code))
        );
        assert!(reply.body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{code}: ")));
    }
}

#[tokio::test]
async fn federation_exchanges_an_assertion_for_a_token() {
    let mut cloud = Cloud::immediate();
    let form = format!("client_id={CLIENT_ID}&client_assertion=aaa.bbb.ccc&client_assertion_type={ASSERTION}&{SCOPE}");
    let reply = token(&cloud, &form).await;
    assert_eq!(reply.status, 200);
    let bearer = reply.body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(status_with(&mut cloud, &bearer).await, 200);
}

#[tokio::test]
async fn the_identity_endpoint_gives_numbers_as_text() {
    let mut cloud = Cloud::immediate();
    let header = cloud.sim.identity_header().reveal().to_owned();
    let path = "/?api-version=2019-08-01&resource=https://management.azure.com";
    let reply = identity(&cloud, path, ("X-IDENTITY-HEADER", &header)).await;
    assert_eq!((reply.status, &reply.body["client_id"]), (200, &json!(MANAGED_CLIENT_ID)));
    assert_eq!(reply.body["expires_on"], json!((cloud.sim.now().as_second() + 3599).to_string()));
    assert_eq!(
        (&reply.body["expires_in"], &reply.body["resource"]),
        (&json!("3599"), &json!("https://management.azure.com"))
    );
    let bearer = reply.body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(status_with(&mut cloud, &bearer).await, 200);
    assert_eq!(identity(&cloud, path, ("x-identity-header", "wrong")).await.status, 403);
    assert_eq!(identity(&cloud, "/?api-version=2019-08-01", ("x-identity-header", &header)).await.status, 400);
    let machine = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=r";
    assert_eq!(identity(&cloud, machine, ("Metadata", "true")).await.status, 200);
    assert_eq!(identity(&cloud, machine, ("x", "y")).await.status, 400);
}

#[tokio::test]
async fn a_user_assigned_identity_is_chosen_by_its_client_id() {
    let mut world = small_world();
    let id = format!("{RG}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/train");
    world.push(json!({"id": id, "properties": {"clientId": "cc", "principalId": "pp"}}));
    let mut cloud = Cloud::new(world, Knobs::immediate());
    let header = cloud.sim.identity_header().reveal().to_owned();
    let reply = identity(&cloud, "/?resource=r&client_id=cc", ("x-identity-header", &header)).await;
    let bearer = reply.body["access_token"].as_str().unwrap().to_owned();
    assert_eq!(cloud.get(&format!("{id}?api-version=2023-01-31")).await.body["properties"]["principalId"], "pp");
    assert_eq!(status_with(&mut cloud, &bearer).await, 403);
    assert_eq!(identity(&cloud, "/?resource=r&client_id=no", ("x-identity-header", &header)).await.status, 400);
}

#[tokio::test]
async fn missing_and_foreign_tokens_get_401() {
    let mut cloud = Cloud::immediate();
    let good = cloud.sim.token("someone").reveal().to_owned();
    for bad in ["", "x", "a.b.c", &format!("{}x", good)] {
        assert_eq!(status_with(&mut cloud, bad).await, 401, "{bad}");
    }
    let request = Request::get(format!("{}?api-version=2023-05-01", account())).body(Bytes::new()).unwrap();
    let reply = read(cloud.sim.call(request).await.unwrap());
    assert_eq!((reply.status, reply.code()), (401, "AuthenticationFailed"));
}

#[tokio::test]
async fn metadata_and_openid_documents_name_the_host_that_was_asked() {
    let cloud = Cloud::immediate();
    let get = |path: &str| Request::get(format!("https://localhost:4443{path}")).body(Bytes::new()).unwrap();
    let object = read(cloud.sim.call(get("/metadata/endpoints?api-version=2022-09-01")).await.unwrap()).body;
    assert_eq!(
        (&object["resourceManager"], &object["authentication"]["loginEndpoint"]),
        (&json!("https://localhost:4443"), &json!("https://localhost:4443"))
    );
    let list = read(cloud.sim.call(get("/metadata/endpoints?api-version=2019-05-01")).await.unwrap()).body;
    assert_eq!(list[0], object);
    for path in ["/adfs/.well-known/openid-configuration", "/t/v2.0/.well-known/openid-configuration"] {
        let document = read(cloud.sim.call(get(path)).await.unwrap()).body;
        assert!(document["token_endpoint"].as_str().unwrap().ends_with("/oauth2/v2.0/token"), "{path}");
    }
    let discovery = read(cloud.sim.call(get("/common/discovery/instance?api-version=1.1")).await.unwrap());
    assert_ne!(discovery.body["metadata"], Value::Null);
}
