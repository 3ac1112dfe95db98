//! A record of every request: the latest of them at hand, and all of them as lines of JSON where somebody asks for that.
//!
//! What is kept are the bytes as they came; they are blanked and put into words only when somebody reads them.

mod blank;
mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Response};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::arm::Note;
use crate::throttle::BucketUse;
use crate::time;

pub use writer::Recording;

/// How many requests are kept at hand.
const RECENT: usize = 1000;
/// How many bytes of bodies are kept at hand.
const RECENT_BYTES: usize = 64 << 20;

/// How long a writer may take nothing: longer than any disk is busy, shorter than callers wait.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// One request and what became of it. Tokens and secrets are blanked.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// When it arrived, on the simulator's clock.
    pub at: String,
    /// When its answer left, or its connection broke.
    pub answered_at: String,
    /// HTTP method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Path template, as in the counts.
    pub operation: String,
    /// Object id of the caller; empty where that is not known.
    pub caller: String,
    /// Header names in lower case; a list where one is repeated.
    pub request_headers: Map<String, Value>,
    /// JSON where it parses, fields where it is a form, else text; null where there is none.
    pub request_body: Value,
    /// What the caller got; 0 where it got no answer.
    pub status: u16,
    /// As above.
    pub response_headers: Map<String, Value>,
    /// As above.
    pub response_body: Value,
    /// Whether an answer left: `answered`, `truncated`, `reset`, `hung`, or `abandoned` by a caller that went away.
    pub outcome: &'static str,
    /// The fault that struck it.
    pub fault: Option<&'static str>,
    /// When a write that is late takes effect.
    pub lands_at: Option<String>,
    /// Every bucket that counted it.
    pub buckets: Vec<BucketUse>,
    /// The bucket that refused it; there with every 429.
    pub bucket: Option<String>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    Reset,
    Hung,
    Abandoned,
}

/// A request as it came and what went back.
#[derive(Debug)]
pub(crate) struct Exchange {
    origin: String,
    request: http::Request<Bytes>,
    note: Note,
    answered_at: Timestamp,
    end: End,
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    truncated: bool,
}

impl Exchange {
    fn size(&self) -> usize {
        self.request.body().len() + self.body.len() + 1024
    }

    /// In words, blanked.
    pub(crate) fn recorded(&self) -> Recorded {
        let Self { origin, request, note, answered_at, end, status, headers, body, truncated } = self;
        let path = request.uri().path_and_query().map_or_else(|| request.uri().path(), |path| path.as_str());
        Recorded {
            at: time::stamp(note.at),
            answered_at: time::stamp(*answered_at),
            method: request.method().to_string(),
            url: blank::url(&format!("{origin}{path}")),
            operation: note.operation.clone(),
            caller: note.caller.clone(),
            request_headers: blank::headers(request.headers()),
            request_body: blank::body(request.headers(), request.body()),
            status: *status,
            response_headers: blank::headers(headers),
            response_body: blank::body(headers, body),
            outcome: match end {
                End::Answered if *truncated => "truncated",
                End::Answered => "answered",
                End::Reset => "reset",
                End::Hung => "hung",
                End::Abandoned => "abandoned",
            },
            fault: note.fault,
            lands_at: note.lands_at.map(time::stamp),
            buckets: note.buckets.clone(),
            bucket: note.bucket.clone(),
        }
    }
}

/// A request whose end is not known yet; recorded as abandoned if nobody tells it.
pub(crate) struct Pending<'a> {
    recorder: &'a Recorder,
    exchange: Option<Exchange>,
}

impl<'a> Pending<'a> {
    pub(crate) fn new(recorder: &'a Recorder, origin: &str, request: http::Request<Bytes>, note: Note) -> Self {
        let exchange = Exchange {
            origin: origin.to_owned(),
            request,
            answered_at: note.at,
            note,
            end: End::Abandoned,
            status: 0,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            truncated: false,
        };
        Self { recorder, exchange: Some(exchange) }
    }

    pub(crate) fn ends(mut self, at: Timestamp, end: End, response: Option<&Response<Bytes>>) {
        let Some(exchange) = &mut self.exchange else { return };
        exchange.answered_at = exchange.answered_at.max(at);
        exchange.end = end;
        if let Some(response) = response {
            exchange.status = response.status().as_u16();
            exchange.headers = response.headers().clone();
            exchange.body = response.body().clone();
            exchange.truncated = response.extensions().get::<crate::faults::strike::Cut>().is_some();
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            self.recorder.take(exchange);
        }
    }
}

/// Waits where the writer is behind, as a record with holes proves nothing, but not for a writer that is stuck.
fn hand_over(writer: &SyncSender<Arc<Exchange>>, exchange: &Arc<Exchange>) -> bool {
    let began = Instant::now();
    let mut left = Arc::clone(exchange);
    loop {
        left = match writer.try_send(left) {
            Ok(()) => return true,
            Err(TrySendError::Full(left)) if began.elapsed() < PATIENCE => left,
            Err(_) => return false,
        };
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Where records go.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    recent: Mutex<Recent>,
    sink: Mutex<Option<SyncSender<Arc<Exchange>>>>,
}

#[derive(Debug, Default)]
struct Recent {
    exchanges: VecDeque<Arc<Exchange>>,
    bytes: usize,
    /// How many requests each kind of fault struck, those that are forgotten among them.
    struck: BTreeMap<&'static str, u64>,
}

impl Recorder {
    fn take(&self, exchange: Exchange) {
        let exchange = Arc::new(exchange);
        // Both under one lock, so that the file has the order of the memory.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = &*sink
            && !hand_over(writer, &exchange)
        {
            tracing::error!("nobody takes the record of requests; it ends here, the simulator goes on");
            *sink = None;
        }
        drop(sink);
        if let Some(fault) = exchange.note.fault {
            *recent.struck.entry(fault).or_default() += 1;
        }
        recent.bytes += exchange.size();
        recent.exchanges.push_back(exchange);
        while recent.exchanges.len() > RECENT || recent.bytes > RECENT_BYTES {
            let Some(oldest) = recent.exchanges.pop_front() else { break };
            recent.bytes -= oldest.size();
        }
    }

    pub(crate) fn recent(&self, count: usize) -> Vec<Recorded> {
        let latest: Vec<Arc<Exchange>> = {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            let skipped = recent.exchanges.len().saturating_sub(count);
            recent.exchanges.iter().skip(skipped).cloned().collect()
        };
        latest.iter().map(|exchange| exchange.recorded()).collect()
    }

    pub(crate) fn struck(&self) -> BTreeMap<&'static str, u64> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).struck.clone()
    }

    fn set_sink(&self, sink: Option<SyncSender<Arc<Exchange>>>) {
        *self.sink.lock().unwrap_or_else(PoisonError::into_inner) = sink;
    }
}
