//! Tokens through azure_identity against a fake Entra and a fake metadata endpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use keyless_arm::cloud::Cloud;
use keyless_arm::credential::{CredentialConfig, Surroundings, tokens};
use keyless_arm::error::SetupError;
use keyless_arm::secret::Secret;
use keyless_arm::token::{TokenClass, TokenSource};
use keyless_arm::wire::{Wire, WireError, WireFn};
use serde_json::json;

use crate::fake::{FixedClock, counting_ids, reply};

type Seen = Arc<Mutex<Vec<(String, BTreeMap<String, String>, Option<String>)>>>;

/// Answers the n-th request with the n-th body; the last one again and again.
fn entra(answers: Vec<(u16, String)>) -> (Arc<dyn Wire>, Seen) {
    let seen = Seen::default();
    let record = Arc::clone(&seen);
    let wire = WireFn(move |request: Request<Bytes>| {
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(request.body()).into_owned().collect();
        let header = request.headers().get("x-identity-header").map(|value| value.to_str().unwrap().to_owned());
        let number = {
            let mut seen = record.lock().unwrap();
            seen.push((format!("{} {}", request.method(), request.uri()), form, header));
            seen.len()
        };
        let (status, body) = answers[number.min(answers.len()) - 1].clone();
        async move { reply(status, &[], body) }
    });
    (Arc::new(wire), seen)
}

fn token(text: &str) -> (u16, String) {
    (200, json!({"token_type": "Bearer", "expires_in": 3599, "access_token": text}).to_string())
}

fn cloud(authority: &str) -> Cloud {
    Cloud::custom("https://arm.example", authority, "https://arm.example/.default", None).unwrap()
}

fn source(
    config: &CredentialConfig,
    variables: &[(&str, &str)],
    wire: Arc<dyn Wire>,
) -> Result<Arc<dyn TokenSource>, SetupError> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let surroundings = Surroundings { variables, azure_cli_profile: false };
    let cloud = cloud("https://login.example");
    let (clock, timeout) = (Arc::new(FixedClock), Duration::from_secs(20));
    Ok(tokens(config, &surroundings, &cloud, wire, clock, counting_ids(), timeout)?.management)
}

fn client_secret() -> CredentialConfig {
    CredentialConfig::ClientSecret {
        tenant: Some("tenant-1".to_owned()),
        client: Some("app-1".to_owned()),
        secret: Some(Secret::new("hunter2")),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_secret_is_exchanged_for_a_token() {
    let (wire, seen) = entra(vec![token("t1"), token("t2")]);
    let source = source(&client_secret(), &[], wire).unwrap();
    let first = source.token().await.unwrap();
    assert_eq!((first.expose(), source.token().await.unwrap().expose()), ("t1", "t1"));
    source.renew(&first).await;
    assert_eq!(source.token().await.unwrap().expose(), "t2", "a refused token is not served again");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].0, "POST https://login.example/tenant-1/oauth2/v2.0/token");
    assert_eq!(seen[0].1["client_secret"], "hunter2");
    assert_eq!(seen[0].1["scope"], "https://arm.example/.default");
}

#[tokio::test(start_paused = true)]
async fn a_workload_token_file_is_read_for_every_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "first\n").unwrap();
    let (wire, seen) = entra(vec![token("t")]);
    let variables =
        [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_FEDERATED_TOKEN_FILE", path.to_str().unwrap())];
    let source = source(&CredentialConfig::Auto, &variables, wire).unwrap();
    let old = source.token().await.unwrap();
    std::fs::write(&path, "second\n").unwrap();
    source.renew(&old).await;
    source.token().await.unwrap();
    let seen = seen.lock().unwrap();
    let assertions: Vec<&str> = seen.iter().map(|(_, form, _)| form["client_assertion"].as_str()).collect();
    assert_eq!(assertions, ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_signs_its_own_assertion() {
    let (wire, seen) = entra(vec![token("t")]);
    let config = CredentialConfig::ClientCertificate {
        tenant: Some("t".to_owned()),
        client: Some("c".to_owned()),
        pem_file: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/client.pem").into()),
    };
    source(&config, &[], wire).unwrap().token().await.unwrap();
    assert_eq!(seen.lock().unwrap()[0].1["client_assertion"].split('.').count(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_identity_endpoint_is_asked_over_plain_http_with_its_header() {
    let body = json!({
        "access_token": "t", "expires_on": "1793491199", "expires_in": "86399", "resource": "r", "token_type": "Bearer"
    });
    let (wire, seen) = entra(vec![(200, body.to_string())]);
    let variables = [("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token"), ("IDENTITY_HEADER", "header-1")];
    let config = CredentialConfig::ManagedIdentity { identity: None };
    assert_eq!(source(&config, &variables, wire).unwrap().token().await.unwrap().expose(), "t");
    let seen = seen.lock().unwrap();
    assert_eq!(
        seen[0].0,
        "GET http://127.0.0.1:41741/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Farm.example"
    );
    assert_eq!(seen[0].2.as_deref(), Some("header-1"));
}

#[tokio::test(start_paused = true)]
async fn the_metadata_service_is_asked_where_nothing_else_is_set_and_sat_out_while_it_is_updated() {
    let body = json!({"access_token": "t", "expires_on": "1793491199", "resource": "r", "token_type": "Bearer"});
    let (wire, seen) = entra(vec![(404, String::new()), (410, String::new()), (200, body.to_string())]);
    let source = source(&CredentialConfig::Auto, &[("AZURE_CLIENT_ID", "app-1")], wire).unwrap();
    assert_eq!(source.token().await.unwrap().expose(), "t");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen[0].0.starts_with("GET http://169.254.169.254/metadata/identity/oauth2/token?"), "{}", seen[0].0);
    assert!(seen[0].0.ends_with("&client_id=app-1"), "{}", seen[0].0);
}

#[tokio::test(start_paused = true)]
async fn entras_refusal_is_told_with_its_code_and_without_the_secret() {
    let body = json!({"error": "invalid_client", "error_codes": [7000215],
        "error_description": "AADSTS7000215: Invalid client secret 'hunter2' provided.\r\nTrace ID: 1f0c"});
    let (wire, seen) = entra(vec![(401, body.to_string())]);
    let error = source(&client_secret(), &[], wire).unwrap().token().await.unwrap_err();
    assert_eq!(error.class, TokenClass::WrongSecret);
    assert!(error.message.contains("invalid_client: AADSTS7000215"), "{error}");
    assert!(!error.message.contains("hunter2"), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 1, "a wrong secret is not tried again");
}

#[tokio::test(start_paused = true)]
async fn a_passing_outage_of_entra_is_sat_out() {
    let (wire, seen) = entra(vec![(503, "<html>".to_owned()), (200, "<html>".to_owned()), token("t")]);
    assert_eq!(source(&client_secret(), &[], wire).unwrap().token().await.unwrap().expose(), "t");
    assert_eq!(seen.lock().unwrap().len(), 3);
    let broken = WireFn(|_| async { Err(WireError::NotSent("no route".to_owned())) });
    let error = source(&client_secret(), &[], Arc::new(broken)).unwrap().token().await.unwrap_err();
    assert_eq!(error.class, TokenClass::Unreachable);
    assert!(error.message.contains("no route"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn no_failure_tells_the_query_of_an_address() {
    let around = [("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token"), ("IDENTITY_HEADER", "x")];
    let config = CredentialConfig::ManagedIdentity { identity: None };
    for answer in [None, Some((400, "see https://x.example/?hunter2=a and so on")), Some((200, "{}"))] {
        let wire = WireFn(move |_| async move {
            let (status, body) =
                answer.ok_or_else(|| WireError::NotSent("at http://x.example/?b=hunter2".to_owned()))?;
            reply(status, &[], body.to_owned())
        });
        let error = source(&config, &around, Arc::new(wire)).unwrap().token().await.unwrap_err();
        assert!(error.message.contains("127.0.0.1:1/msi/token`"), "{error}");
        for told in ["api-version", "resource=", "hunter2"] {
            assert!(!error.message.contains(told), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_authority_without_https_is_refused_before_anything_is_sent() {
    let (wire, seen) = entra(vec![token("t")]);
    let (clock, timeout) = (Arc::new(FixedClock), Duration::from_secs(20));
    let surroundings = Surroundings::default();
    let cloud = cloud("http://127.0.0.1:80");
    let refused = tokens(&client_secret(), &surroundings, &cloud, wire, clock, counting_ids(), timeout);
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("HTTPS"), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_lives_as_long_as_was_told_however_wrong_this_machines_clock_is() {
    const HOUR: Duration = Duration::from_secs(3600);
    // The endpoint is three days ahead of the clock here, and tells only when the token ends.
    let ends = json!({"access_token": "t", "expires_on": "1793793600", "resource": "r", "token_type": "Bearer"});
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    let wire = WireFn(move |_: Request<Bytes>| {
        *count.lock().unwrap() += 1;
        let body = ends.clone();
        async move {
            let answer = http::Response::builder().status(200).header("date", "Wed, 04 Nov 2026 11:00:00 GMT");
            Ok(answer.body(Bytes::from(body.to_string())).unwrap())
        }
    });
    let source = source(&CredentialConfig::Auto, &[], Arc::new(wire)).unwrap();
    source.token().await.unwrap();
    tokio::time::advance(HOUR - Duration::from_secs(660)).await;
    source.token().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), 1, "an hour by the endpoint's own clock, and not three days");
    tokio::time::advance(Duration::from_secs(120)).await;
    source.token().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_failure_has_a_class_and_a_next_step() {
    let refusal = |number: u64, words: &str| {
        json!({"error": "invalid_client", "error_codes": [number],
            "error_description": format!("AADSTS{number}: {words} 'hunter2'\r\nTrace ID: 1f0c")})
        .to_string()
    };
    for (status, body, class) in [
        (401, refusal(7_000_215, "Invalid client secret"), TokenClass::WrongSecret),
        (401, refusal(7_000_222, "expired client secret"), TokenClass::ExpiredSecret),
        (400, refusal(700_016, "Application not found"), TokenClass::UnknownApplication),
        (400, refusal(90_002, "Tenant not found"), TokenClass::UnknownTenant),
        (401, refusal(700_024, "Client assertion is not within its valid time range"), TokenClass::AssertionOutOfTime),
        (401, refusal(700_213, "No matching federated identity record"), TokenClass::AssertionMismatch),
        (400, refusal(53_003, "Blocked by Conditional Access"), TokenClass::ConditionalAccess),
        (503, "<html>".to_owned(), TokenClass::Unavailable),
        (200, "<html>sign in to the guest network".to_owned(), TokenClass::Unreadable),
        (407, "<html>a proxy".to_owned(), TokenClass::Unreadable),
    ] {
        let (wire, _) = entra(vec![(status, body.clone())]);
        let error = source(&client_secret(), &[], wire).unwrap().token().await.unwrap_err();
        assert_eq!(error.class, class, "{body}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!error.class.hint().is_empty() && error.class.as_str().starts_with("token_"), "{class:?}");
    }
    let body = json!({"error": "invalid_request", "error_description": "Identity not found"}).to_string();
    let (wire, seen) = entra(vec![(400, body)]);
    let error = source(&CredentialConfig::Auto, &[], wire).unwrap().token().await.unwrap_err();
    assert_eq!(error.class, TokenClass::UnknownIdentity);
    assert_eq!(seen.lock().unwrap().len(), 1, "not tried again at once");
    // Nothing is there to be shown to Entra.
    let variables =
        [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_FEDERATED_TOKEN_FILE", "/absent/token")];
    let (wire, seen) = entra(vec![token("t")]);
    let error = source(&CredentialConfig::Auto, &variables, wire).unwrap().token().await.unwrap_err();
    assert_eq!(error.class, TokenClass::Local);
    assert!(error.message.contains("/absent/token"), "{error}");
    assert_eq!(seen.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_assertion_out_of_its_time_is_told_with_the_difference_of_the_clocks() {
    let body = json!({"error": "invalid_client", "error_codes": [700_024],
        "error_description": "AADSTS700024: Client assertion is not within its valid time range."});
    for (date, words) in [
        ("Sun, 01 Nov 2026 00:10:00 GMT", "600 s behind"),
        ("Sat, 31 Oct 2026 23:59:00 GMT", "60 s ahead"),
        ("Sun, 01 Nov 2026 00:00:01 GMT", "clock is right"),
    ] {
        let body = body.to_string();
        let wire = WireFn(move |_: Request<Bytes>| {
            let answer = http::Response::builder().status(401).header("date", date);
            let answer = answer.body(Bytes::from(body.clone())).unwrap();
            async move { Ok(answer) }
        });
        let config = CredentialConfig::ClientCertificate {
            tenant: Some("t".to_owned()),
            client: Some("c".to_owned()),
            pem_file: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/client.pem").into()),
        };
        let error = source(&config, &[], Arc::new(wire)).unwrap().token().await.unwrap_err();
        assert_eq!(error.class, TokenClass::AssertionOutOfTime);
        assert!(error.message.contains(words), "{error}");
    }
}
