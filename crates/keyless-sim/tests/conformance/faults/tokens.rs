//! Token endpoints that fail, and tokens that are good no more.

use base64::Engine;
use bytes::Bytes;
use http::Request;
use keyless_sim::{CLIENT_ID, Fault, FaultRule, Faults, Knobs, TENANT_ID};
use serde_json::Value;

use super::{account_url, first, last, minutes};
use crate::cloud::{Cloud, Reply, read, small_world};

fn entra(cloud: &Cloud) -> Request<Bytes> {
    let form = format!(
        "client_id={CLIENT_ID}&client_secret={}&grant_type=client_credentials&scope=https%3A%2F%2Fx%2F.default",
        cloud.sim.client_secret().reveal()
    );
    Request::post(format!("/{TENANT_ID}/oauth2/v2.0/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from(form))
        .unwrap()
}

fn managed(cloud: &Cloud) -> Request<Bytes> {
    Request::get("/msi/token?api-version=2019-08-01&resource=https://x")
        .header("x-identity-header", cloud.sim.identity_header().reveal())
        .body(Bytes::new())
        .unwrap()
}

async fn ask(cloud: &Cloud) -> Reply {
    read(cloud.sim.call(entra(cloud)).await.unwrap())
}

#[tokio::test]
async fn a_token_endpoint_may_be_unavailable() {
    let cloud = first("POST", "token", Fault::ServerError { status: 503, html: false, takes_effect: false });
    let refused = ask(&cloud).await;
    assert_eq!((refused.status, &refused.body["error"]), (503, &Value::from("temporarily_unavailable")));
    assert_eq!(last(&cloud).operation, "/{}/oauth2/v2.0/token");
    assert_eq!(ask(&cloud).await.status, 200);
    assert_eq!(cloud.sim.requests().total, 0, "token requests are not among the counts");
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_may_never_answer() {
    let cloud = first("POST", "/oauth2/v2.0/token", Fault::HangBefore);
    assert!(tokio::time::timeout(minutes(5), cloud.sim.call(entra(&cloud))).await.is_err());
    assert_eq!(ask(&cloud).await.status, 200);
}

#[tokio::test]
async fn a_token_endpoint_may_answer_what_is_no_json() {
    let cloud = first("*", "token", Fault::NotJson);
    let reply = cloud.sim.call(entra(&cloud)).await.unwrap();
    assert_eq!(reply.status(), 200);
    assert!(serde_json::from_slice::<Value>(reply.body()).is_err());
}

#[tokio::test]
async fn token_rejected_is_401_with_an_aadsts_code_for_a_while() {
    for (code, status) in [(7_000_222, 401), (700_016, 400), (7_000_215, 401)] {
        let cloud = first("POST", "token", Fault::TokenRejected { code, lasts: minutes(2) });
        for _ in 0..2 {
            let refused = ask(&cloud).await;
            assert_eq!((refused.status, &refused.body["error_codes"][0]), (status, &Value::from(code)));
            assert!(refused.body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{code}: ")));
            assert_eq!(last(&cloud).fault, Some("tokenRejected"));
        }
        // Another client is not concerned.
        assert_eq!(cloud.sim.call(managed(&cloud)).await.unwrap().status(), 200);
        cloud.pass(120);
        assert_eq!(ask(&cloud).await.status, 200);
    }
}

#[tokio::test]
async fn the_identity_endpoint_refuses_in_its_own_words() {
    let cloud = first("GET", "token", Fault::TokenRejected { code: 7_000_215, lasts: minutes(2) });
    let refused = read(cloud.sim.call(managed(&cloud)).await.unwrap());
    assert_eq!((refused.status, &refused.body["error"]), (401, &Value::from("unknown_source")));
}

#[tokio::test]
async fn token_revoked_asks_for_claims_and_a_new_token_is_good() {
    let faults = Faults::new([FaultRule::new("GET", "", Fault::TokenRevoked).calls([1])]);
    let mut cloud = Cloud::new(small_world(), Knobs { faults, ..Knobs::immediate() });
    cloud.token = Some(cloud.sim.token(keyless_sim::CLIENT_OBJECT_ID).reveal().to_owned());
    for _ in 0..2 {
        let refused = cloud.get(&account_url()).await;
        assert_eq!((refused.status, refused.code()), (401, "AuthenticationFailed"));
        let challenge = refused.header("www-authenticate").to_owned();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        let claims = challenge.split("claims=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let claims = base64::engine::general_purpose::STANDARD.decode(claims).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["access_token"]["nbf"]["value"], "1800000000");
        assert_eq!(last(&cloud).fault, Some("tokenRevoked"));
    }
    cloud.token = None;
    assert_eq!(cloud.get(&account_url()).await.status, 200);
}

#[tokio::test]
async fn token_expired_before_its_time_and_a_new_token_is_good() {
    let faults = Faults::new([FaultRule::new("GET", "", Fault::TokenExpired).calls([1])]);
    let mut cloud = Cloud::new(small_world(), Knobs { faults, ..Knobs::immediate() });
    cloud.token = Some(cloud.sim.token(keyless_sim::CLIENT_OBJECT_ID).reveal().to_owned());
    for _ in 0..2 {
        let refused = cloud.get(&account_url()).await;
        assert_eq!((refused.status, refused.code()), (401, "ExpiredAuthenticationToken"));
        assert!(!refused.header("www-authenticate").contains("claims="));
    }
    cloud.token = None;
    assert_eq!(cloud.get(&account_url()).await.status, 200);
}
