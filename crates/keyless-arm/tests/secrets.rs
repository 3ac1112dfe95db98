//! Nothing secret is logged, at any level, by any crate on the way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use keyless_arm::api::{ReadArm, WriteArm, WriteKind};
use keyless_arm::client::{Client, ClientOptions};
use keyless_arm::clock::{SystemClock, random_ids};
use keyless_arm::cloud::Cloud;
use keyless_arm::credential::{CredentialConfig, Surroundings, tokens};
use keyless_arm::pipeline::Timeouts;
use keyless_arm::quota::Limits;
use keyless_arm::secret::Secret;
use keyless_arm::versions::ApiVersions;
use keyless_arm::wire::{Wire, WireError, WireFn};
use keyless_core::desired::AuthMode;
use keyless_core::id::{StorageAccountId, WorkspaceId};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

const GROUP: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg";
const SECRETS: [&str; 8] = [
    "eyJ0b2tlbi1vbmU",
    "eyJ0b2tlbi10d28",
    "hunter2-client-secret",
    "federated-assertion",
    "identity-header-value",
    "poll-signature-value",
    "poll-certificate-value",
    "account-key-value==",
];

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Entra, a metadata endpoint and the resource manager, with a wrong turn of each kind.
fn azure() -> Arc<dyn Wire> {
    let number = Mutex::new(0u32);
    Arc::new(WireFn(move |request: Request<Bytes>| {
        let url = request.uri().to_string();
        let number = {
            let mut number = number.lock().unwrap();
            *number += 1;
            *number
        };
        let answer = |status: u16, body: String| {
            // Recorded addresses carry a whole certificate.
            let certificate = "poll-certificate-value".repeat(150);
            let poll = format!("https://arm.example/poll?t=638905651858740536&c={certificate}&s=poll-signature-value");
            let response = Response::builder().status(status).header("x-ms-request-id", "req").header("location", poll);
            Ok::<_, WireError>(response.body(Bytes::from(body)).unwrap())
        };
        let result = if url.contains("/oauth2/") || url.contains("/msi/") {
            let echo = String::from_utf8_lossy(request.body()).into_owned();
            match number {
                1 => answer(503, format!("down; you sent {echo}")),
                _ => {
                    let token = if number < 4 { SECRETS[0] } else { SECRETS[1] };
                    answer(
                        200,
                        format!(
                            r#"{{"access_token":"{token}","expires_in":3599,"expires_on":"4102444800","resource":"r","token_type":"Bearer"}}"#
                        ),
                    )
                }
            }
        } else if number == 3 {
            answer(401, r#"{"error":{"code":"ExpiredAuthenticationToken","message":"old"}}"#.to_owned())
        } else if url.contains("/poll") {
            answer(200, r#"{"status":"Succeeded"}"#.to_owned())
        } else if request.method() == "PATCH" && url.contains("/workspaces/") {
            answer(202, String::new())
        } else {
            let id = url.trim_start_matches("https://arm.example").split('?').next().unwrap_or_default();
            answer(200, format!(r#"{{"id":"{id}","properties":{{"primaryKey":"account-key-value=="}}}}"#))
        };
        async move { result }
    }))
}

async fn run(config: CredentialConfig, surroundings: Surroundings) {
    let cloud =
        Cloud::custom("https://arm.example", "https://login.example", "https://arm.example/.default", None).unwrap();
    let wire = azure();
    let clock = Arc::new(SystemClock);
    let timeout = Duration::from_secs(20);
    let tokens =
        tokens(&config, &surroundings, &cloud, Arc::clone(&wire), Arc::clone(&clock) as _, random_ids(), timeout)
            .unwrap()
            .management;
    let client = Client::new(ClientOptions {
        cloud,
        wire,
        tokens,
        limits: Limits::default(),
        clock,
        ids: random_ids(),
        timeouts: Timeouts::default(),
        api_versions: ApiVersions::default(),
    })
    .unwrap();
    let account = format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/stmlprod");
    let account = StorageAccountId::parse(&account).unwrap();
    let workspace = format!("{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/mlw-churn");
    let workspace = WorkspaceId::parse(&workspace).unwrap();
    client.account(&account).await.unwrap();
    client.workspace(&workspace).await.unwrap();
    let permit = client.reserve_write(account.subscription(), WriteKind::Account).await.unwrap();
    client.set_shared_key_access(permit, &account, false).await.unwrap();
    let permit = client.reserve_write(account.subscription(), WriteKind::Workspace).await.unwrap();
    client.set_auth_mode(permit, &workspace, AuthMode::Identity).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_whole_sequence_at_trace_level_logs_no_token_secret_assertion_or_key() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::TRACE)
        .with(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone()));
    let _guard = tracing::subscriber::set_default(subscriber);
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, SECRETS[3]).unwrap();
    let (tenant, client) = (Some("tenant".to_owned()), Some("app".to_owned()));
    let secret = Some(Secret::new(SECRETS[2]));
    run(
        CredentialConfig::ClientSecret { tenant: tenant.clone(), client: client.clone(), secret },
        Surroundings::default(),
    )
    .await;
    let config = CredentialConfig::WorkloadIdentity { tenant, client, token_file: Some(token_file) };
    run(config, Surroundings::default()).await;
    let variables = BTreeMap::from([
        ("IDENTITY_ENDPOINT".to_owned(), "http://127.0.0.1:1/msi/token".to_owned()),
        ("IDENTITY_HEADER".to_owned(), SECRETS[4].to_owned()),
    ]);
    run(CredentialConfig::Auto, Surroundings { variables, azure_cli_profile: false }).await;

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // The proof is worth something only if the talkative ones did talk.
    for witness in [
        "azure_core::policies::transport",
        "added-by-transport",
        "request_body",
        "response_body",
        "credential_chosen",
        "ManagedIdentityCredential will use",
        "operation_polled",
        "token_fetch_repeated",
    ] {
        assert!(text.contains(witness), "`{witness}` is missing from the log:\n{text}");
    }
    for secret in SECRETS {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "`{secret}` was logged");
    }
}
