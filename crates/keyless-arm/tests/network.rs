//! The real transport over loopback sockets, in real time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use bytes::Bytes;
use http::Request;
use keyless_arm::error::SetupError;
use keyless_arm::reqwest_wire::ReqwestWire;
use keyless_arm::wire::{Wire, WireError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn request(method: &str, address: SocketAddr, path: &str, body: &'static str) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header("x-test", "kept")
        .body(Bytes::from_static(body.as_bytes()))
        .unwrap()
}

#[tokio::test]
async fn a_request_arrives_whole_and_so_does_the_answer() {
    let router = Router::new().route(
        "/echo",
        post(|headers: HeaderMap, body: String| async move {
            (StatusCode::CREATED, [("x-back", headers["x-test"].to_str().unwrap().to_owned())], body.to_uppercase())
        }),
    );
    let address = serve(router).await;
    let answer = ReqwestWire::new(None).unwrap().send(request("POST", address, "/echo", "hello")).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (201, b"HELLO".as_slice()));
    assert_eq!(answer.headers()["x-back"], "kept");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let elsewhere = [("location", "/target")];
    let router = Router::new()
        .route("/", get(move || async move { (StatusCode::FOUND, elsewhere) }))
        .route("/target", get(|| async { "followed" }));
    let address = serve(router).await;
    let answer = ReqwestWire::new(None).unwrap().send(request("GET", address, "/", "")).await.unwrap();
    assert_eq!(answer.status().as_u16(), 302);
}

#[tokio::test]
async fn a_refused_connection_was_not_sent_and_a_cut_one_is_unknown() {
    let free = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let wire = ReqwestWire::new(None).unwrap();
    let refused = wire.send(request("GET", free, "/", "")).await.unwrap_err();
    assert!(matches!(refused, WireError::NotSent(_)), "{refused:?}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.readable().await.unwrap();
            let mut bytes = [0; 1024];
            let _ = socket.try_read(&mut bytes);
        }
    });
    let cut = wire.send(request("PATCH", address, "/?sig=secret-in-query", "{}")).await.unwrap_err();
    assert!(matches!(&cut, WireError::Unknown(text) if !text.contains("secret-in-query")), "{cut:?}");
}

#[tokio::test]
async fn a_ca_file_that_is_none_is_told_clearly() {
    let missing = ReqwestWire::new(Some("/nonexistent/ca.pem".as_ref())).unwrap_err();
    assert!(matches!(&missing, SetupError::Wire(text) if text.contains("cannot be read")), "{missing}");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"no certificate").unwrap();
    let empty = ReqwestWire::new(Some(file.path())).unwrap_err();
    assert!(matches!(&empty, SetupError::Wire(text) if text.contains("holds no certificate")), "{empty}");
    let pem = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/client.pem");
    assert!(ReqwestWire::new(Some(pem.as_ref())).is_ok());
}

/// A TLS server with its own authority; returns the address and the authority's PEM.
async fn serve_tls() -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.into()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate ends the handshake.
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let mut bytes = [0; 4096];
                let _ = stream.read(&mut bytes).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, pem)
}

fn secure_request(address: SocketAddr) -> Request<Bytes> {
    let mut bearer = http::HeaderValue::from_static("Bearer eyJ-real-token");
    bearer.set_sensitive(true);
    let uri = format!("https://localhost:{}/", address.port());
    Request::builder().uri(uri).header("authorization", bearer).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn a_private_authority_is_trusted_through_its_file_and_not_otherwise() {
    let (address, pem) = serve_tls().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    let trusting = ReqwestWire::new(Some(file.path())).unwrap();
    assert_eq!(trusting.send(secure_request(address)).await.unwrap().body().as_ref(), b"ok");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(other.cert.pem().as_bytes()).unwrap();
    let distrusting = ReqwestWire::new(Some(file.path())).unwrap();
    let refused = distrusting.send(secure_request(address)).await.unwrap_err();
    assert!(matches!(&refused, WireError::NotSent(text) if text.contains("certificate")), "{refused:?}");
}

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

#[tokio::test]
async fn the_transports_own_trace_log_holds_no_token() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::TRACE)
        .with(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone()));
    // For the whole process: rustls and reqwest log through the `log` crate, which knows no other scope.
    subscriber.try_init().unwrap();
    let (address, pem) = serve_tls().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    ReqwestWire::new(Some(file.path())).unwrap().send(secure_request(address)).await.unwrap();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("rustls::"), "the transport did not log:\n{text}");
    assert!(!text.contains("eyJ-real-token"), "{text}");
}
