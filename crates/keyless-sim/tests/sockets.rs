//! The simulator as other processes see it: over plain HTTP and over TLS, by hand-written requests.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails loudly, like a test")]

use std::sync::Arc;
use std::time::Duration;

use keyless_sim::{Fault, FaultRule, Faults, Knobs, ReadyLine, Server, SimOptions, Simulator, World, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

const ACCOUNT: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/stone";

async fn start(options: SimOptions) -> (Server, CancellationToken) {
    let (world, _) = World::from_resources([json!({"id": ACCOUNT, "location": "westeurope", "properties": {}})]);
    let simulator = Arc::new(Simulator::new(world, &options).unwrap());
    let stop = CancellationToken::new();
    (serve(simulator, &options, stop.clone()).await.unwrap(), stop)
}

fn address(url: &str) -> String {
    url.split("://").nth(1).unwrap().to_owned()
}

async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), head: &str, body: &str) -> (u16, String, Value) {
    let request = format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A peer that closes TLS without saying so is no error here: the length was told.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), serde_json::from_str(body).unwrap_or_default())
}

async fn plain(url: &str, head: &str, body: &str) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(address(url)).await.unwrap();
    exchange(&mut stream, &format!("{head}\r\nHost: {}", address(url)), body).await
}

async fn managed_token(ready: &ReadyLine) -> String {
    let head = format!(
        "GET /?api-version=2019-08-01&resource=https://management.azure.com HTTP/1.1\r\nX-IDENTITY-HEADER: {}",
        ready.identity_header.reveal()
    );
    let (status, _, body) = plain(&ready.identity_endpoint, &head, "").await;
    assert_eq!(status, 200);
    body["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn plain_http_answers_on_a_port_of_its_own_choice_and_stops_when_told() {
    let (server, stop) = start(SimOptions { listen: "localhost:0".to_owned(), ..SimOptions::default() }).await;
    let ready = server.ready().clone();
    assert!(ready.resource_manager.starts_with("http://localhost:"), "{ready:?}");
    assert_eq!((&ready.authority, &ready.identity_endpoint), (&ready.resource_manager, &ready.resource_manager));
    assert_eq!((ready.ca_file.as_str(), ready.pid), ("", std::process::id()));
    assert!(!format!("{ready:?}").contains(ready.client_secret.reveal()));
    let fields = serde_json::to_value(&ready).unwrap();
    assert_eq!(fields["clientSecret"], ready.client_secret.reveal());
    let names: Vec<_> = fields.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "authority",
            "caFile",
            "clientId",
            "clientSecret",
            "identityEndpoint",
            "identityHeader",
            "pid",
            "resourceManager",
            "tenantId"
        ]
    );

    let token = managed_token(&ready).await;
    let head = format!(
        "PATCH {ACCOUNT}?api-version=2023-05-01 HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json"
    );
    let (status, head, body) =
        plain(&ready.resource_manager, &head, r#"{"properties":{"allowSharedKeyAccess":false}}"#).await;
    assert_eq!((status, &body["properties"]["allowSharedKeyAccess"]), (200, &json!(false)));
    assert!(head.contains("x-ms-request-id: ") && head.contains("content-type: application/json"), "{head}");
    assert_eq!(head.matches("\r\ndate: ").count(), 1);
    let (status, _, body) = plain(&ready.resource_manager, "GET /metadata/endpoints HTTP/1.1", "").await;
    assert_eq!((status, &body["resourceManager"]), (200, &json!(ready.resource_manager)));

    // A body that is too long is refused in words, and counted.
    let mut stream = TcpStream::connect(address(&ready.resource_manager)).await.unwrap();
    let head = format!(
        "PATCH {ACCOUNT}?api-version=2023-05-01 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Transfer-Encoding: chunked\r\n\r\n1000001\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = vec![b'x'; 0x100_0001];
    let mut answer = vec![0; 4096];
    let (mut reader, mut writer) = stream.split();
    let (_, read) = tokio::join!(writer.write_all(&chunk), reader.read(&mut answer));
    let answer = String::from_utf8_lossy(&answer[..read.unwrap()]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("RequestEntityTooLarge"), "{answer}");
    let (_, _, counted) = plain(&ready.resource_manager, "GET /sim/requests HTTP/1.1", "").await;
    assert!(counted["byOperation"].as_array().unwrap().iter().any(|entry| entry["status"] == 413), "{counted}");

    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), server.stopped()).await.unwrap();
    assert!(TcpStream::connect(address(&ready.resource_manager)).await.is_err());
}

#[tokio::test]
async fn with_tls_the_ca_file_is_what_a_client_needs_to_trust_and_identity_stays_plain() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let options = SimOptions { tls: true, ca_file: Some(ca_file.clone()), ..SimOptions::default() };
    let (server, stop) = start(options).await;
    let ready = server.ready().clone();
    assert!(
        ready.resource_manager.starts_with("https://127.0.0.1:")
            && ready.identity_endpoint.starts_with("http://127.0.0.1:")
    );
    assert_eq!(ready.ca_file, ca_file.to_string_lossy());
    let token = managed_token(&ready).await;
    let (status, ..) = plain(&ready.identity_endpoint, &format!("GET {ACCOUNT} HTTP/1.1"), "").await;
    assert_eq!(status, 404);

    use rustls_pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_file(&ca_file).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    for name in ["localhost", "127.0.0.1", "::1"] {
        let stream = TcpStream::connect(address(&ready.resource_manager)).await.unwrap();
        let server_name = rustls_pki_types::ServerName::try_from(name).unwrap();
        let mut stream = connector.connect(server_name, stream).await.unwrap();
        let head = format!(
            "GET {ACCOUNT}?api-version=2023-05-01 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}"
        );
        let (status, _, body) = exchange(&mut stream, &head, "").await;
        assert_eq!((status, &body["location"]), (200, &json!("westeurope")), "{name}");
    }
    let stream = TcpStream::connect(address(&ready.resource_manager)).await.unwrap();
    let other = rustls_pki_types::ServerName::try_from("example.com").unwrap();
    assert!(connector.connect(other, stream).await.is_err());
    stop.cancel();
    server.stopped().await;
}

#[tokio::test]
async fn truncated_breaks_the_connection_in_the_middle_of_the_body() {
    let rule = |fault, call| FaultRule::new("GET", "/storageAccounts/{}", fault).calls([call]);
    let faults = Faults::new([rule(Fault::Truncated, 1), rule(Fault::NoDate, 2)]);
    let knobs = Knobs { faults, ..Knobs::default() };
    let (server, stop) = start(SimOptions { knobs, ..SimOptions::default() }).await;
    let ready = server.ready().clone();
    let token = managed_token(&ready).await;
    let host = address(&ready.resource_manager);
    let ask = async || {
        let mut stream = TcpStream::connect(&host).await.unwrap();
        let head = format!(
            "GET {ACCOUNT}?api-version=2023-05-01 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let mut answer = Vec::new();
    // The connection was to be kept open, so an end can only be a break.
    let ended = tokio::time::timeout(Duration::from_secs(20), ask().await.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection stays open");
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    let told = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let told: usize = told.parse().unwrap();
    assert!(head.starts_with("http/1.1 200 ok") && !body.is_empty() && body.len() < told, "{} of {told}", body.len());

    let (status, head, _) = plain(
        &ready.resource_manager,
        &format!("GET {ACCOUNT}?api-version=2023-05-01 HTTP/1.1\r\nAuthorization: Bearer {token}"),
        "",
    )
    .await;
    assert_eq!(status, 200);
    assert!(!head.contains("\r\ndate: "), "{head}");
    stop.cancel();
    server.stopped().await;
}

#[tokio::test]
async fn addresses_that_are_none_are_errors() {
    for listen in ["localhost", ":0", "127.0.0.1:99999"] {
        let options = SimOptions { listen: listen.to_owned(), ..SimOptions::default() };
        let simulator = Arc::new(Simulator::new(World::default(), &options).unwrap());
        assert!(serve(simulator, &options, CancellationToken::new()).await.is_err(), "{listen}");
    }
}
