//! Answers of Entra and of the metadata service, read by the credentials.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use keyless_arm::clock::Clock;
use keyless_arm::cloud::Cloud;
use keyless_arm::credential::{CredentialConfig, Surroundings, tokens};
use keyless_arm::secret::Secret;
use keyless_arm::token::TokenSource;
use keyless_arm::wire::WireFn;
use serde_json::Value;

use super::walk::{AtLeast, Recorded, Report, topic};
use crate::fake::counting_ids;

struct Hand(Mutex<Timestamp>);
impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn recorded_tokens_mean_what_they_say() {
    let Some((exchanges, mut report)) = topic("tokens") else { return };
    for one in exchanges.iter().flatten() {
        if !one.path().ends_with("/token") {
            report.unused("discovery and device login are not the client's ways");
            continue;
        }
        report.parsed();
        if one.status == 200 { token(&mut report, one).await } else { refusal(&mut report, one).await }
    }
    report.finish(AtLeast { files: 23, parsed: 25, assertions: 62 });
}

/// A source whose every fetch is answered by this recording: Entra's second version through a client secret, the form of
/// the first version and of metadata services, which write numbers as texts, through a managed identity.
fn source(one: &Recorded) -> (Arc<dyn TokenSource>, Arc<AtomicUsize>, Arc<Hand>) {
    let fetched = Arc::new(AtomicUsize::new(0));
    let (count, answer) = (Arc::clone(&fetched), one.clone());
    let wire = WireFn(move |_: Request<Bytes>| {
        count.fetch_add(1, Ordering::SeqCst);
        let answer = answer.response();
        async move { answer }
    });
    let config = if one.url.contains("/v2.0/") {
        CredentialConfig::ClientSecret {
            tenant: Some("tenant-1".to_owned()),
            client: Some("app-1".to_owned()),
            secret: Some(Secret::new("hunter2")),
        }
    } else {
        CredentialConfig::ManagedIdentity { identity: None }
    };
    let cloud =
        Cloud::custom("https://arm.example", "https://login.example", "https://arm.example/.default", None).unwrap();
    let clock = Arc::new(Hand(Mutex::new("2026-11-01T00:00:00Z".parse().unwrap())));
    let source = tokens(
        &config,
        &Surroundings::default(),
        &cloud,
        Arc::new(wire),
        Arc::clone(&clock) as _,
        counting_ids(),
        Duration::from_secs(20),
    )
    .unwrap()
    .management;
    (source, fetched, clock)
}

async fn token(report: &mut Report, one: &Recorded) {
    let (source, fetched, clock) = source(one);
    let secret = source.token().await.unwrap();
    report.same(one, "token", Some(secret.expose()), one.body["access_token"].as_str());
    // How long it lives shows in when it is renewed: ten minutes before its end.
    let life: u64 = match &one.body["expires_in"] {
        Value::String(text) => text.parse().unwrap(),
        number => number.as_u64().unwrap(),
    };
    let mut renewals = Vec::new();
    for seconds in [life - 602, 4] {
        let passed = Duration::from_secs(seconds);
        let now = clock.now().checked_add(passed).unwrap();
        *clock.0.lock().unwrap() = now;
        tokio::time::advance(passed).await;
        source.token().await.unwrap();
        renewals.push(fetched.load(Ordering::SeqCst));
    }
    report.same(one, "fetches before and after ten minutes to its end", renewals, vec![1, 2]);
}

async fn refusal(report: &mut Report, one: &Recorded) {
    let (source, fetched, _) = source(one);
    let error = source.token().await.unwrap_err();
    let code = one.body["error"].as_str();
    report.same(one, "the status is told", error.message.contains(&format!("status {}", one.status)), true);
    report.same(one, "the code is told", code.is_none_or(|code| error.message.contains(code)), true);
    report.same(one, "one line", error.message.contains(['\r', '\n']), false);
    // Only what may pass is asked for again.
    report.same(one, "fetches", fetched.load(Ordering::SeqCst), if one.status >= 500 { 3 } else { 1 });
}
