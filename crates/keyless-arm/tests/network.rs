//! The real transport over loopback sockets, in real time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::Write;
use std::net::SocketAddr;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use bytes::Bytes;
use http::Request;
use keyless_arm::error::SetupError;
use keyless_arm::reqwest_wire::ReqwestWire;
use keyless_arm::wire::{Wire, WireError};

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
