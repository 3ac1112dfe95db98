//! Tokens: answers of Entra and of the metadata service, and the resource manager's demand for a new one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use keyless_arm::api::ReadArm;
use keyless_arm::clock::Clock;
use keyless_arm::cloud::Cloud;
use keyless_arm::credential::{CredentialConfig, Surroundings, tokens};
use keyless_arm::error::ErrorClass;
use keyless_arm::secret::Secret;
use keyless_arm::token::TokenSource;
use keyless_arm::wire::WireFn;
use serde_json::{Value, json};

use crate::fake::{counting_ids, reply};
use crate::with::{account, account_body, class_and_code, in_turn, set_key};

struct Hand(Mutex<Timestamp>);
impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A source of tokens whose every fetch gets this answer, the count of fetches, and its clock.
struct Source {
    tokens: Arc<dyn TokenSource>,
    fetched: Arc<AtomicUsize>,
    clock: Arc<Hand>,
}

impl Source {
    fn new(config: &CredentialConfig, status: u16, body: &str) -> Self {
        let fetched = Arc::new(AtomicUsize::new(0));
        let (count, body) = (Arc::clone(&fetched), body.to_owned());
        let wire = WireFn(move |_: Request<Bytes>| {
            count.fetch_add(1, Ordering::SeqCst);
            let answer = reply(status, &[], &body);
            async move { answer }
        });
        let cloud = Cloud::custom("https://arm.example", "https://login.example", "https://arm.example/.default", None)
            .unwrap();
        let clock = Arc::new(Hand(Mutex::new("2026-11-01T00:00:00Z".parse().unwrap())));
        let tokens = tokens(
            config,
            &Surroundings::default(),
            &cloud,
            Arc::new(wire),
            Arc::clone(&clock) as _,
            counting_ids(),
            Duration::from_secs(20),
        )
        .unwrap()
        .management;
        Self { tokens, fetched, clock }
    }

    /// How many fetches there were once `seconds` more have passed and a token was asked for.
    async fn fetches_after(&self, seconds: u64) -> usize {
        let passed = Duration::from_secs(seconds);
        let now = self.clock.now().checked_add(passed).unwrap();
        *self.clock.0.lock().unwrap() = now;
        tokio::time::advance(passed).await;
        self.tokens.token().await.unwrap();
        self.fetched.load(Ordering::SeqCst)
    }
}

fn managed() -> CredentialConfig {
    CredentialConfig::ManagedIdentity { identity: None }
}

fn secret() -> CredentialConfig {
    CredentialConfig::ClientSecret {
        tenant: Some("tenant-1".to_owned()),
        client: Some("app-1".to_owned()),
        secret: Some(Secret::new("hunter2")),
    }
}

fn metadata_token(life: &str, more: Value) -> String {
    let mut body = json!({
        "access_token": "t", "expires_in": life, "expires_on": "1793491199", "not_before": "1793487599",
        "resource": "https://arm.example", "token_type": "Bearer"
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_life_is_read_from_text_and_from_number() {
    let text = Source::new(&managed(), 200, &metadata_token("3599", json!({})));
    let number = json!({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": "t"});
    let number = Source::new(&secret(), 200, &number.to_string());
    for source in [text, number] {
        assert_eq!(source.fetches_after(0).await, 1);
        assert_eq!(source.fetches_after(2990).await, 1);
        assert_eq!(source.fetches_after(10).await, 2, "ten minutes before its end");
    }
}

#[tokio::test(start_paused = true)]
async fn the_extended_life_is_not_believed() {
    for more in [
        json!({"ext_expires_in": "0"}),
        json!({"ext_expires_in": "262800"}),
        json!({"ext_expires_in": "3599"}),
        json!({}),
    ] {
        let source = Source::new(&managed(), 200, &metadata_token("3599", more.clone()));
        assert_eq!((source.fetches_after(0).await, source.fetches_after(3000).await), (1, 2), "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_managed_identitys_token_may_last_a_day() {
    let source = Source::new(&managed(), 200, &metadata_token("86400", json!({})));
    assert_eq!((source.fetches_after(0).await, source.fetches_after(85_000).await), (1, 1));
    assert_eq!(source.fetches_after(900).await, 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_entra_is_told_on_one_line_and_not_repeated() {
    let body = json!({
        "error": "invalid_client", "suberror": "bad_token", "error_codes": [7_000_215], "timestamp": "2026-02-03 09:12:44Z",
        "error_description": "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1f0c\r\nTimestamp: 2026-02-03 09:12:44Z",
    });
    let source = Source::new(&secret(), 401, &body.to_string());
    let error = source.tokens.token().await.unwrap_err();
    assert!(
        error.message.contains("invalid_client: AADSTS7000215") && !error.message.contains(['\r', '\n']),
        "{error}"
    );
    assert_eq!(source.fetched.load(Ordering::SeqCst), 1);
}

/// Only the login by device code is told to wait so; here it is one more refusal of Entra, and never a token.
#[tokio::test(start_paused = true)]
async fn an_authorization_that_is_pending_gives_no_token() {
    let body = json!({
        "error": "authorization_pending", "error_codes": [70_016], "timestamp": "2021-01-20 17:49:04Z",
        "error_description": "AADSTS70016: The authorization is pending.\r\nTrace ID: 1f0c",
    });
    let source = Source::new(&secret(), 400, &body.to_string());
    let error = source.tokens.token().await.unwrap_err();
    assert!(error.message.contains("authorization_pending: AADSTS70016"), "{error}");
}

/// The challenge names claims that the next token must satisfy: to have been issued after a moment. azure_identity cannot be
/// handed claims, but each token is asked for by a new credential, so the next one is issued after it.
#[tokio::test(start_paused = true)]
async fn a_demand_for_claims_is_met_with_a_token_that_is_new_and_never_with_the_old_one() {
    let challenge = "Bearer authorization_uri=\"https://login.example/\", error=\"invalid_token\", \
                     error_description=\"User session has been revoked\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnt9fQ==\"";
    let refused = json!({"error": {"code": "AuthenticationFailed", "message": "Authentication failed."}}).to_string();
    let demand = || (401, vec![("www-authenticate", challenge)], refused.clone());
    let done = || (200, vec![], account_body(json!({})).to_string());
    let (client, asks) = in_turn(vec![demand(), done()]);
    client.account(&account()).await.unwrap();
    let tokens: Vec<String> = asks.lock().unwrap().iter().map(|asked| asked.token.clone()).collect();
    assert_eq!(tokens, ["Bearer token-1", "Bearer token-2"]);
    let (client, asks) = in_turn(vec![demand(), done()]);
    set_key(&client, false).await.unwrap();
    assert_eq!(asks.lock().unwrap()[1].token, "Bearer token-2", "a write too, for a 401 comes before any effect");
    let (client, asks) = in_turn(vec![demand()]);
    let error = client.account(&account()).await.unwrap_err();
    assert_eq!(class_and_code(&error), (ErrorClass::Authentication, Some("AuthenticationFailed")));
    assert_eq!(asks.lock().unwrap().len(), 2, "and not for ever");
}

#[tokio::test(start_paused = true)]
async fn plain_text_from_between_here_and_the_metadata_service_is_a_passing_fault() {
    let source = Source::new(&managed(), 500, "pod list is empty\n");
    let error = source.tokens.token().await.unwrap_err();
    assert!(error.message.contains("status 500") && error.message.contains("pod list is empty"), "{error}");
    assert!(!error.message.contains('\n'));
    assert_eq!(source.fetched.load(Ordering::SeqCst), 3);
}
