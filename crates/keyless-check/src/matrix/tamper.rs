//! The wire that carries out a plan: it writes down every answer to a read, gives older ones where the plan says so, and
//! says when the process has to die.
//!
//! What leaves goes on to the wire of the simulation, so its judge sees it as it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response, StatusCode};
use keyless_arm::wire::{Wire, WireError};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::plan::{Disturbance, Moment, Older, Plan};
use crate::dst::record::what_of;

/// What a read was answered.
type Told = (StatusCode, Bytes);

/// One read of a run.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) address: String,
    /// The so-manieth of this address, from 0.
    pub(crate) nth: usize,
    /// The place of the answer in the history of the address.
    pub(crate) answer: usize,
    /// How many writes had left before.
    pub(crate) writes: usize,
}

/// All reads of a run, and the different answers to each address in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reads {
    pub(crate) all: Vec<Read>,
    pub(crate) answers: BTreeMap<String, Vec<Told>>,
}

impl Reads {
    /// The older answers that differ from what a read was told: the place of each, oldest first, each once.
    pub(crate) fn older(&self, read: &Read) -> Vec<usize> {
        let Some(answers) = self.answers.get(&read.address) else { return Vec::new() };
        let Some(told) = answers.get(read.answer) else { return Vec::new() };
        let mut older: Vec<usize> = Vec::new();
        for (place, answer) in answers.iter().enumerate().take(read.answer) {
            if answer != told && !older.iter().any(|other| answers.get(*other) == Some(answer)) {
                older.push(place);
            }
        }
        older
    }
}

struct Tampering {
    stale: Vec<(usize, String, usize, Older)>,
    crashes: Vec<(usize, usize, Moment)>,
    reads: Reads,
    seen: BTreeMap<String, usize>,
    writes: usize,
    /// Until when reads are answered as before a change, and how many answers each address had then.
    hidden: Option<(Instant, BTreeMap<String, usize>)>,
    /// The disturbances that came about, by their place in the plan, and when.
    struck: BTreeMap<usize, Instant>,
    /// What was shown older than it is: the addresses.
    aged: Vec<String>,
}

/// Shared by all processes of a run.
pub(crate) struct Tamper {
    inner: Mutex<Tampering>,
    dies: UnboundedSender<()>,
}

impl Tamper {
    /// Carries out `plan`, whose numbers are those of the reads in `reference`.
    pub(crate) fn new(plan: &Plan, reference: &Reads, dies: UnboundedSender<()>) -> Arc<Self> {
        let (mut stale, mut crashes) = (Vec::new(), Vec::new());
        for (place, disturbance) in plan.0.iter().enumerate() {
            match *disturbance {
                Disturbance::Crash { write, moment } => crashes.push((place, write, moment)),
                Disturbance::Stale { read, older } => {
                    if let Some(read) = reference.all.get(read.wrapping_sub(1)) {
                        stale.push((place, read.address.clone(), read.nth, older));
                    }
                }
                Disturbance::Missed { .. } => {}
            }
        }
        let inner = Tampering {
            stale,
            crashes,
            reads: Reads::default(),
            seen: BTreeMap::new(),
            writes: 0,
            hidden: None,
            struck: BTreeMap::new(),
            aged: Vec::new(),
        };
        Arc::new(Self { inner: Mutex::new(inner), dies })
    }

    fn inner(&self) -> MutexGuard<'_, Tampering> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on for `span` reads are answered as they were, unless a write of ours leaves.
    pub(crate) fn hide(&self, place: usize, span: Duration) {
        let mut inner = self.inner();
        let known = inner.reads.answers.iter().map(|(address, answers)| (address.clone(), answers.len())).collect();
        inner.hidden = Some((Instant::now() + span, known));
        inner.struck.insert(place, Instant::now());
    }

    /// Says that a disturbance of the files came about.
    pub(crate) fn struck_by(&self, place: usize) {
        self.inner().struck.insert(place, Instant::now());
    }

    /// The reads so far.
    pub(crate) fn reads(&self) -> Reads {
        self.inner().reads.clone()
    }

    /// What came about of the plan, and when.
    pub(crate) fn struck(&self) -> BTreeMap<usize, Instant> {
        self.inner().struck.clone()
    }

    /// The addresses that were shown older than they are.
    pub(crate) fn aged(&self) -> Vec<String> {
        self.inner().aged.clone()
    }

    /// When the process dies at the write that leaves now.
    fn writes(&self) -> Option<Moment> {
        let mut inner = self.inner();
        inner.writes += 1;
        inner.hidden = None;
        let number = inner.writes;
        let (place, _, moment) = *inner.crashes.iter().find(|(_, write, _)| *write == number)?;
        inner.struck.insert(place, Instant::now());
        Some(moment)
    }

    /// Writes down an answer, and says which older one is given in its place.
    fn reads_now(&self, address: String, told: Told) -> Option<Told> {
        let mut inner = self.inner();
        let nth = *inner.seen.entry(address.clone()).and_modify(|count| *count += 1).or_default();
        let answers = inner.reads.answers.entry(address.clone()).or_default();
        if answers.last() != Some(&told) {
            answers.push(told.clone());
        }
        let answer = answers.len() - 1;
        let writes = inner.writes;
        let read = Read { address: address.clone(), nth, answer, writes };
        inner.reads.all.push(read.clone());
        let chosen = inner.stale.iter().find(|(_, of, at, _)| *of == address && *at == nth).cloned();
        let given = match chosen {
            Some((place, _, _, older)) => {
                let found = inner.reads.older(&read);
                let found = match older {
                    Older::Previous => found.last().copied(),
                    Older::First => found.first().copied(),
                    Older::Number(number) => found.into_iter().find(|place| *place == number),
                }?;
                inner.struck.insert(place, Instant::now());
                found
            }
            None => {
                let (until, known) = inner.hidden.as_ref()?;
                if Instant::now() >= *until {
                    inner.hidden = None;
                    return None;
                }
                known.get(&address)?.checked_sub(1)?
            }
        };
        let given = inner.reads.answers.get(&address)?.get(given)?.clone();
        if given == told {
            return None;
        }
        inner.aged.push(address);
        Some(given)
    }
}

/// The wire of one process.
pub(crate) struct TamperedWire {
    pub(crate) tamper: Arc<Tamper>,
    pub(crate) wire: Arc<dyn Wire>,
}

#[async_trait]
impl Wire for TamperedWire {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WireError> {
        let path = request.uri().path().trim_end_matches('/').to_ascii_lowercase();
        if what_of(request.method(), &path, request.body()).is_some() {
            return self.write(request).await;
        }
        if path.ends_with("/token") {
            return self.wire.send(request).await;
        }
        let address = address_of(&path, &request);
        let mut answer = self.wire.send(request).await?;
        let told = (answer.status(), answer.body().clone());
        if let Some((status, body)) = self.tamper.reads_now(address, told) {
            answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            *answer.status_mut() = status;
            *answer.body_mut() = body;
        }
        Ok(answer)
    }
}

impl TamperedWire {
    async fn write(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WireError> {
        let moment = self.tamper.writes();
        if moment == Some(Moment::Before) {
            return self.dies().await;
        }
        let answer = self.wire.send(request).await;
        match moment {
            Some(Moment::Unanswered) => self.dies().await,
            Some(Moment::Answered) => {
                let dies = self.tamper.dies.clone();
                tokio::spawn(async move {
                    // The process takes in the answer, and its next request is under way.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let _ = dies.send(());
                });
                answer
            }
            _ => answer,
        }
    }

    async fn dies(&self) -> Result<Response<Bytes>, WireError> {
        // Whoever ends the run before has no use for it.
        let _ = self.tamper.dies.send(());
        std::future::pending().await
    }
}

/// What is asked, without the times in it, which differ from one time to the next.
fn address_of(path: &str, request: &Request<Bytes>) -> String {
    let query = without_times(request.uri().query().unwrap_or_default());
    let body = String::from_utf8_lossy(request.body());
    format!("{} {path}?{query} {body}", request.method()).trim_end().to_owned()
}

/// Leaves out what looks like an instant: from a year to the `Z`.
fn without_times(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("20") {
        let (before, from) = rest.split_at(at);
        kept.push_str(before);
        let is_date = from.get(4..5) == Some("-") && from.get(7..8) == Some("-") && from.get(10..11) == Some("T");
        let end = from.find('Z').filter(|_| is_date).map_or(2, |end| end + 1);
        kept.push_str(if is_date { "*" } else { "20" });
        rest = from.get(end..).unwrap_or_default();
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_left_out_of_an_address() {
        assert_eq!(
            without_times("api-version=2024-02-01&timespan=2026-09-21T14%3A13%3A20Z/2026-09-22T00:00:00Z&top=500"),
            "api-version=2024-02-01&timespan=*/*&top=500"
        );
    }
}
