//! A fake Azure: a function from request to answer, and a record of what was asked.

use std::future::Future;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use keyless_arm::client::{Client, ClientOptions};
use keyless_arm::clock::{Clock, Ids};
use keyless_arm::cloud::Cloud;
use keyless_arm::error::SetupError;
use keyless_arm::pipeline::Timeouts;
use keyless_arm::probe::StorageTokens;
use keyless_arm::quota::Limits;
use keyless_arm::secret::Secret;
use keyless_arm::token::{TokenError, TokenSource};
use keyless_arm::versions::ApiVersions;
use keyless_arm::wire::{Wire, WireError};
use serde_json::Value;
use uuid::Uuid;

pub(crate) const SUBSCRIPTION: &str = "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90";
pub(crate) const GROUP: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg-ml";
pub(crate) const GUID: &str = "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f";
pub(crate) const BASE: &str = "https://arm.example";

pub(crate) fn account_id() -> String {
    format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/stmlprod")
}

pub(crate) fn workspace_id() -> String {
    format!("{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/mlw-churn")
}

/// Statuses with their headers and bodies, in the order in which they are given.
pub(crate) type Answers = &'static [(u16, &'static [(&'static str, &'static str)], &'static str)];

pub(crate) struct FixedClock;
impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        "2026-11-01T00:00:00Z".parse().unwrap()
    }
}

pub(crate) fn counting_ids() -> Ids {
    let next = Mutex::new(0u128);
    Arc::new(move || {
        let mut next = next.lock().unwrap();
        *next += 1;
        Uuid::from_u128(*next)
    })
}

/// Hands out `token-1`, `token-2`, … as they are refused.
#[derive(Default)]
pub(crate) struct CountedTokens(Mutex<u32>);

#[async_trait::async_trait]
impl TokenSource for CountedTokens {
    async fn token(&self) -> Result<Secret, TokenError> {
        Ok(Secret::new(format!("token-{}", *self.0.lock().unwrap() + 1)))
    }
    async fn renew(&self, _: &Secret) {
        *self.0.lock().unwrap() += 1;
    }
}

/// The same for the data plane: `data-token-1`, `data-token-2`, …
#[derive(Default)]
struct DataTokens(Mutex<u32>);

#[async_trait::async_trait]
impl TokenSource for DataTokens {
    async fn token(&self) -> Result<Secret, TokenError> {
        Ok(Secret::new(format!("data-token-{}", *self.0.lock().unwrap() + 1)))
    }
    async fn renew(&self, _: &Secret) {
        *self.0.lock().unwrap() += 1;
    }
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) body: Value,
    pub(crate) client_request_id: String,
    /// `x-ms-version`, which the data plane alone gets.
    pub(crate) version: String,
    pub(crate) host: String,
    /// `content-length`, where it is set by hand.
    pub(crate) length: String,
}

pub(crate) type Asks = Arc<Mutex<Vec<Asked>>>;

struct FakeWire<F> {
    answer: F,
    asks: Asks,
}

#[async_trait::async_trait]
impl<F, A> Wire for FakeWire<F>
where
    F: Fn(usize, Asked) -> A + Send + Sync,
    A: Future<Output = Result<Response<Bytes>, WireError>> + Send,
{
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WireError> {
        let header = |name: &str| {
            request.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let asked = Asked {
            method: request.method().to_string(),
            url: request.uri().to_string(),
            token: header("authorization"),
            body: serde_json::from_slice(request.body()).unwrap_or_default(),
            client_request_id: header("x-ms-client-request-id"),
            version: header("x-ms-version"),
            host: header("host"),
            length: header("content-length"),
        };
        let number = {
            let mut asks = self.asks.lock().unwrap();
            asks.push(asked.clone());
            asks.len()
        };
        (self.answer)(number, asked).await
    }
}

/// A client whose requests are answered by `answer`, which gets the number of the request, from 1.
pub(crate) fn client<F, A>(answer: F) -> (Client, Asks)
where
    F: Fn(usize, Asked) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Response<Bytes>, WireError>> + Send + 'static,
{
    client_with(answer, |_| {})
}

pub(crate) fn client_with<F, A>(answer: F, change: impl FnOnce(&mut ClientOptions)) -> (Client, Asks)
where
    F: Fn(usize, Asked) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Response<Bytes>, WireError>> + Send + 'static,
{
    let asks = Asks::default();
    let mut options = options(FakeWire { answer, asks: Arc::clone(&asks) });
    change(&mut options);
    (Client::new(options).unwrap().probing(StorageTokens::new(Arc::new(DataTokens::default()))), asks)
}

/// A client that nobody answers, if it can be built.
pub(crate) fn try_client(change: impl FnOnce(&mut ClientOptions)) -> Result<Client, SetupError> {
    let mut options = options(FakeWire { answer: |_, _| silence(), asks: Asks::default() });
    change(&mut options);
    Client::new(options)
}

fn options(wire: impl Wire + 'static) -> ClientOptions {
    ClientOptions {
        cloud: Cloud::custom(BASE, "https://login.example", "https://arm.example/.default", None)
            .and_then(|cloud| cloud.with_storage("core.example", None))
            .unwrap(),
        wire: Arc::new(wire),
        tokens: Arc::new(CountedTokens::default()),
        limits: Limits::default(),
        clock: Arc::new(FixedClock),
        ids: counting_ids(),
        timeouts: Timeouts::default(),
        api_versions: ApiVersions::default(),
    }
}

/// An answer with headers.
pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: impl ToString) -> Result<Response<Bytes>, WireError> {
    let mut response = Response::builder().status(status).header("x-ms-request-id", "req-1");
    if headers.iter().all(|(name, _)| *name != "date") {
        response = response.header("date", "Sun, 01 Nov 2026 12:00:00 GMT");
    }
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Ok(response.body(Bytes::from(body.to_string())).unwrap())
}

pub(crate) fn error(status: u16, code: &str) -> Result<Response<Bytes>, WireError> {
    reply(status, &[], serde_json::json!({"error": {"code": code, "message": "because"}}))
}

/// Never answers.
pub(crate) async fn silence() -> Result<Response<Bytes>, WireError> {
    std::future::pending().await
}
