//! The simulated cloud with a clock: what servers and tests share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::Value;

use crate::arm::Outcome;
use crate::azure::Azure;
use crate::clock::Clock;
use crate::control::advance_by;
use crate::drift::Drift;
use crate::log::RequestsReport;
use crate::options::{SimOptions, Speed};
use crate::record::{End, Pending, Recorded, Recorder, Recording};
use crate::request::{Answer, answer_of};
use crate::time;
use crate::token::Secret;
use crate::workload::OracleReport;
use crate::world::World;

/// Why no simulator could be made or driven.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// `speed` is no finite number above zero.
    #[error("`speed` must be a finite number above 0, not `{0}`")]
    Speed(f64),
    /// Only a simulated clock can be moved.
    #[error("time is moved only with a simulated clock")]
    ClockIsNotOurs,
    /// An out-of-band change that makes no sense here.
    #[error("{0}")]
    Drift(String),
}

/// A request that was not answered because the connection broke; whether it took effect is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection was reset")]
pub struct ConnectionReset;

/// The simulated cloud, shared by everybody who talks to it.
pub struct Simulator {
    azure: Mutex<Azure>,
    clock: Clock,
    recorder: Arc<Recorder>,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Simulator").finish_non_exhaustive()
    }
}

impl Simulator {
    /// Brings a world to life.
    pub fn new(world: World, options: &SimOptions) -> Result<Self, SimError> {
        let speed = Speed::new(options.speed).ok_or(SimError::Speed(options.speed))?;
        let clock = Clock::new(options.clock);
        let azure = Azure::new(world, options.knobs.clone(), speed, options.seed, clock.now());
        Ok(Self { azure: Mutex::new(azure), clock, recorder: Arc::default() })
    }

    /// One request, in process. Hangs where the request hangs; slow answers take tokio's time.
    /// The origin of URLs in the answer is that of the request's URI, or its `Host`.
    pub async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ConnectionReset> {
        let origin = origin_of(&request);
        self.answer(&origin, request).await
    }

    pub(crate) async fn answer(
        &self,
        origin: &str,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, ConnectionReset> {
        if request.uri().path() == "/sim/advance" && request.method() == http::Method::POST {
            return Ok(self.dated(self.advance_on_request(request.body())));
        }
        if request.method() == http::Method::GET
            && request.uri().path() == "/sim/requests"
            && let Some(recent) = recent_wanted(request.uri().query().unwrap_or_default())
        {
            return Ok(self.dated(answer_of(recent.map(|count| self.requests_with_recent(count)))));
        }
        let (outcome, note) = self.azure().handle(self.clock.now(), origin, &request);
        let pending = note.map(|note| Pending::new(&self.recorder, origin, request, note));
        let end = |how: End, response: Option<&Response<Bytes>>| {
            if let Some(pending) = pending {
                pending.ends(self.now(), how, response);
            }
        };
        match outcome {
            Outcome::Answered(response) => {
                end(End::Answered, Some(&response));
                Ok(response)
            }
            Outcome::Slow(by, response) => {
                tokio::time::sleep(by).await;
                end(End::Answered, Some(&response));
                Ok(response)
            }
            Outcome::Reset => {
                end(End::Reset, None);
                Err(ConnectionReset)
            }
            Outcome::Hang => {
                end(End::Hung, None);
                std::future::pending().await
            }
        }
    }

    /// An answer that no request to Azure is behind. No server in front adds a `Date`, for its absence may be a fault.
    pub(crate) fn dated(&self, answer: Answer) -> Response<Bytes> {
        answer.header("Date", time::http_date(self.now())).into_response()
    }

    fn requests_with_recent(&self, count: usize) -> Answer {
        let mut report = serde_json::to_value(self.requests()).unwrap_or_default();
        let recent = serde_json::to_value(self.recorded(count)).unwrap_or_default();
        crate::json::into_object(&mut report).insert("recent".to_owned(), recent);
        Answer::ok(report)
    }

    /// The latest requests, at most so many, in order of completion. Older ones than the last thousand (or the last 64
    /// MiB of bodies) are forgotten. Tokens and secrets are blanked.
    pub fn recorded(&self, count: usize) -> Vec<Recorded> {
        self.recorder.recent(count)
    }

    /// How many requests each kind of fault has struck, lasting ones by the request.
    pub fn struck(&self) -> BTreeMap<&'static str, u64> {
        self.recorder.struck()
    }

    /// Writes every request from here on to `sink`, one line of JSON each, until the recording is dropped. A second
    /// recording takes the place of the first. A sink that is slow slows the simulator down; one that fails, or
    /// that takes nothing for some seconds, ends the recording and nothing else.
    pub fn record_to(&self, sink: impl std::io::Write + Send + 'static) -> std::io::Result<Recording> {
        self.recorder.record_to(Box::new(sink))
    }

    fn advance_on_request(&self, body: &[u8]) -> Answer {
        answer_of(advance_by(body).and_then(|by| {
            let now = self.advance(by).map_err(|error| Answer::error(409, "Conflict", error.to_string()))?;
            Ok(Answer::ok(serde_json::json!({"now": time::stamp(now)})))
        }))
    }

    /// Moves a simulated clock.
    pub fn advance(&self, by: Duration) -> Result<Timestamp, SimError> {
        let now = self.clock.advance(by).ok_or(SimError::ClockIsNotOurs)?;
        let mut azure = self.azure();
        azure.advance(now);
        Ok(azure.now)
    }

    /// What `GET /sim/oracle` answers.
    pub fn oracle(&self) -> OracleReport {
        let mut azure = self.azure();
        azure.advance(self.clock.now());
        azure.oracle_report()
    }

    /// When somebody last had an answer from the data plane of an account, by its id, to a request signed with its key,
    /// whatever metrics tell of it yet.
    pub fn key_used(&self, account: &str) -> Option<Timestamp> {
        let mut azure = self.azure();
        azure.advance(self.clock.now());
        azure.key_used(&crate::arm_id::key(account))
    }

    /// What `GET /sim/world` answers.
    pub fn world_json(&self) -> Value {
        let mut azure = self.azure();
        azure.advance(self.clock.now());
        azure.world_json()
    }

    /// Shows each entry of the world as it is now, in the order of their ids, without a copy of all of them.
    pub fn each_entry(&self, mut look: impl FnMut(&Value)) {
        let mut azure = self.azure();
        azure.advance(self.clock.now());
        azure.world.entries().for_each(&mut look);
    }

    /// What `GET /sim/requests` answers.
    pub fn requests(&self) -> RequestsReport {
        self.azure().log.report()
    }

    /// Makes an out-of-band change, as `POST /sim/drift` does.
    pub fn drift(&self, drift: Drift) -> Result<(), SimError> {
        let mut azure = self.azure();
        azure.advance(self.clock.now());
        azure.drift(drift).map_err(|refused| {
            let message = refused.body.as_ref().and_then(|body| crate::json::text(body, &["error", "message"]));
            SimError::Drift(message.unwrap_or_default().to_owned())
        })
    }

    /// The instant it is in the simulated cloud.
    pub fn now(&self) -> Timestamp {
        time::after(self.clock.now(), self.azure().jumped)
    }

    /// A bearer token of a principal, as any endpoint would give it out.
    pub fn token(&self, object_id: &str) -> Secret {
        let mut azure = self.azure();
        azure.advance(self.clock.now());
        azure.issue(object_id)
    }

    /// A token of a principal for the data of storage accounts.
    pub fn data_token(&self, object_id: &str) -> Secret {
        let mut azure = self.azure();
        azure.advance(self.clock.now());
        azure.issue_for_data(object_id)
    }

    /// The secret of the ready line's application.
    pub fn client_secret(&self) -> Secret {
        self.azure().identities.client_secret.clone()
    }

    /// What `x-identity-header` must say at the identity endpoint.
    pub fn identity_header(&self) -> Secret {
        self.azure().identities.identity_header.clone()
    }

    /// Changes what goes wrong from here on; what a fault left standing (a lock, a storm, lost rights) ends at once. A
    /// write that is on its way stays so.
    pub fn set_faults(&self, faults: crate::Faults) {
        let mut azure = self.azure();
        azure.advance(self.clock.now());
        azure.calm();
        azure.knobs.faults = faults;
        azure.begin_faults();
    }

    fn azure(&self) -> MutexGuard<'_, Azure> {
        self.azure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `recent` in a query, if it is there at all.
fn recent_wanted(query: &str) -> Option<Result<usize, Answer>> {
    let (_, value) = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "recent")?;
    Some(value.parse().map_err(|_| Answer::error(400, "BadRequest", "`recent` must be a number")))
}

fn origin_of(request: &Request<Bytes>) -> String {
    let scheme = request.uri().scheme_str().unwrap_or("https");
    let host = request.uri().authority().map(http::uri::Authority::as_str);
    let header = || request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    format!("{scheme}://{}", host.or_else(header).unwrap_or("management.azure.com"))
}
