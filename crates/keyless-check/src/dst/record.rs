//! What was asked of the cloud and what came of it, as the wire saw it; nothing here is told by the controller.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use jiff::Timestamp;
use serde_json::Value;

/// How a request ended for its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It is under way.
    Open,
    /// With a whole answer.
    Answered,
    /// Its sender was told that there is no answer.
    Lost,
    /// Its sender went away, or gave it up.
    Abandoned,
}

/// What a write is about. Ids are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The mode of a workspace: whether to identity.
    Mode { workspace: String, identity: bool },
    /// The key of an account: whether it is accepted.
    Key { account: String, allowed: bool },
    /// A role assignment is made.
    Grant { id: String },
    /// A role assignment is taken away.
    Revoke { id: String },
    /// A datastore is written.
    Datastore { workspace: String },
    /// A workspace takes the keys of its account.
    Resync { workspace: String },
    /// Anything else, which is wrong.
    Other,
}

impl What {
    /// The step in a word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Mode { identity: true, .. } => "to identity",
            Self::Mode { identity: false, .. } => "to accesskey",
            Self::Key { allowed: true, .. } => "key on",
            Self::Key { allowed: false, .. } => "key off",
            Self::Grant { .. } => "grant",
            Self::Revoke { .. } => "revoke",
            Self::Datastore { .. } => "datastore",
            Self::Resync { .. } => "keys taken",
            Self::Other => "other",
        }
    }
}

/// One request. Instants are of the simulator's clock.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Which process sent it, from 1.
    pub(crate) life: u32,
    /// Virtual time since the run began.
    pub(crate) since: Duration,
    pub(crate) left: Timestamp,
    pub(crate) arrived: Option<Timestamp>,
    /// Virtual time since the run began.
    pub(crate) ended: Option<Duration>,
    pub(crate) method: Method,
    /// In lower case, without the query.
    pub(crate) path: String,
    pub(crate) body: Bytes,
    /// Of a write.
    pub(crate) what: Option<What>,
    pub(crate) status: u16,
    /// Bytes of the answer's body.
    pub(crate) received: usize,
    pub(crate) end: End,
    pub(crate) is_json: bool,
    /// The path at which the operation that it started is followed, in lower case.
    pub(crate) poll: Option<String>,
    /// The status of an operation, in lower case.
    pub(crate) word: String,
    /// Whether it asks for a page behind the first.
    pub(crate) goes_on: bool,
    /// What struck a write, or a read of what somebody else has just changed.
    pub(crate) fault: Option<&'static str>,
    /// When a write that is late arrives or takes effect.
    pub(crate) lands: Option<Timestamp>,
}

impl Entry {
    /// Whether the answer says what became of the request.
    pub(crate) fn tells(&self) -> bool {
        let said = self.end == End::Answered && !matches!(self.status, 0 | 408 | 499 | 500..);
        // What has only begun has nothing to say yet, and what is gone has nothing left.
        // To have taken keys has no body.
        let bare = matches!(self.what, Some(What::Resync { .. }));
        said && (self.is_json || bare || self.status >= 300 || matches!(self.status, 202 | 204))
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let Self { life, since, left, method, path, status, end, fault, .. } = self;
        let what = self.what.as_ref().map(|what| format!(" [{}]", what.word())).unwrap_or_default();
        let body = if self.what.is_some() && *method != Method::PUT {
            format!(" {}", String::from_utf8_lossy(&self.body))
        } else {
            String::new()
        };
        let fault = fault.map(|fault| format!(" ({fault})")).unwrap_or_default();
        let word = if self.word.is_empty() { String::new() } else { format!(" {}", self.word) };
        format!(
            "{:>9.3} {left:.3} life {life} {method} {path}{what}{body} -> {status} {end:?}{word}{fault}",
            since.as_secs_f64()
        )
    }
}

/// Everything that was asked, in the order in which it left.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) entries: Vec<Entry>,
    hash: DefaultHasher,
    /// The hash after each event, so that two runs can be told apart at the first difference.
    pub(crate) marks: Vec<u64>,
    /// What happened besides, with its time.
    pub(crate) notes: Vec<(Duration, String)>,
}

impl Record {
    /// A request leaves its sender. Its number.
    pub(crate) fn leaves(&mut self, life: u32, since: Duration, left: Timestamp, request: &Request<Bytes>) -> usize {
        let path = request.uri().path().trim_end_matches('/').to_ascii_lowercase();
        let method = request.method().clone();
        let what = what_of(&method, &path, request.body());
        self.hash(since, &(1_u8, method.as_str(), request.uri().to_string(), request.body()));
        self.entries.push(Entry {
            life,
            since,
            left,
            arrived: None,
            ended: None,
            method,
            path,
            body: request.body().clone(),
            what,
            status: 0,
            received: 0,
            end: End::Open,
            is_json: false,
            poll: None,
            word: String::new(),
            goes_on: request.uri().query().is_some_and(|query| query.to_ascii_lowercase().contains("skiptoken")),
            fault: None,
            lands: None,
        });
        self.entries.len() - 1
    }

    /// It arrives at the cloud.
    pub(crate) fn arrives(&mut self, number: usize, since: Duration, at: Timestamp) {
        self.hash(since, &(2_u8, number));
        if let Some(entry) = self.entries.get_mut(number) {
            entry.arrived = Some(at);
        }
    }

    /// What the simulator says of a write.
    pub(crate) fn struck(&mut self, number: usize, fault: Option<&'static str>, lands: Option<Timestamp>) {
        if let Some(entry) = self.entries.get_mut(number) {
            entry.fault = fault.or(entry.fault);
            entry.lands = lands.or(entry.lands);
        }
    }

    /// It ends for its sender.
    pub(crate) fn ends(&mut self, number: usize, since: Duration, end: End, answer: Option<&Response<Bytes>>) {
        let status = answer.map_or(0, |answer| answer.status().as_u16());
        self.hash(since, &(3_u8, number, status, answer.map(|answer| answer.body())));
        let Some(entry) = self.entries.get_mut(number) else { return };
        entry.ended = Some(since);
        entry.end = end;
        entry.status = status;
        let Some(answer) = answer else { return };
        entry.received = answer.body().len();
        let is_poll = entry.path.contains("/workspaceoperationsstatus/");
        if entry.what.is_some() || is_poll {
            let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
            entry.is_json = body.as_ref().is_some_and(Value::is_object);
            let word = body.as_ref().and_then(|body| body.get("status")).and_then(Value::as_str);
            entry.word = word.unwrap_or_default().to_ascii_lowercase();
            // The resource itself in place of a status document says that the operation is over.
            if is_poll && entry.word.is_empty() && status == 200 && entry.is_json {
                entry.word = "succeeded".to_owned();
            }
            // The end of an operation that has nothing to show.
            if is_poll && matches!(status, 200 | 204) && answer.body().is_empty() {
                entry.word = "succeeded".to_owned();
                entry.is_json = true;
            }
            let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
            entry.poll = header("azure-asyncoperation").or_else(|| header("location")).and_then(path_of);
        }
    }

    /// Something else happens that both runs of a seed must have in common.
    pub(crate) fn note(&mut self, since: Duration, what: String) {
        self.hash(since, &(4_u8, &what));
        self.notes.push((since, what));
    }

    fn hash(&mut self, since: Duration, what: &impl std::hash::Hash) {
        since.hash(&mut self.hash);
        what.hash(&mut self.hash);
        self.marks.push(self.hash.finish());
    }

    /// The hash of everything so far.
    pub(crate) fn digest(&self) -> u64 {
        self.hash.finish()
    }

    /// The reads that the process had answers of when it let a write leave, the latest first, from those on that left at
    /// `from` in virtual time.
    pub(crate) fn known_to<'a>(&'a self, write: &'a Entry, from: Duration) -> impl Iterator<Item = &'a Entry> {
        let upto = self.entries.partition_point(|entry| entry.since <= write.since);
        let before = self.entries.get(..upto).unwrap_or_default().iter().rev();
        before.take_while(move |read| read.since >= from).filter(move |read| {
            let told = read.end == End::Answered && read.ended.is_some_and(|ended| ended <= write.since);
            read.life == write.life && read.what.is_none() && told
        })
    }

    /// Whether a write of this process left.
    pub(crate) fn wrote(&self, life: u32) -> bool {
        self.writes().any(|(entry, _)| entry.life == life)
    }

    /// The writes.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (&Entry, &What)> {
        self.entries.iter().filter_map(|entry| Some((entry, entry.what.as_ref()?)))
    }

    /// When the client had the last word about a write, in virtual time (the server's clock may jump), and whether that
    /// word told what became of it.
    pub(crate) fn end_of(&self, write: &Entry, polls: &BTreeMap<&str, &Entry>) -> (Duration, bool) {
        let ended = write.ended.unwrap_or(write.since);
        if !write.tells() {
            return (ended, false);
        }
        let Some(poll) = write.poll.as_deref().filter(|_| write.status == 202) else { return (ended, true) };
        polls
            .get(poll)
            .map_or((ended, false), |last| (last.ended.unwrap_or(last.since), last.tells() && last.word == "succeeded"))
    }

    /// The last poll at each path.
    pub(crate) fn last_polls(&self) -> BTreeMap<&str, &Entry> {
        let polls = self.entries.iter().filter(|entry| entry.path.contains("/workspaceoperationsstatus/"));
        polls.map(|entry| (entry.path.as_str(), entry)).collect()
    }
}

fn path_of(url: &str) -> Option<String> {
    let path = url.split_once("://")?.1.split_once('/')?.1.split('?').next()?;
    Some(format!("/{}", path.to_ascii_lowercase()))
}

/// The part of a path up to the name after `kind`.
pub(crate) fn upto(path: &str, kind: &str) -> Option<String> {
    let at = path.find(kind)? + kind.len();
    let name = path.get(at..)?.split('/').next().filter(|name| !name.is_empty())?;
    path.get(..at + name.len()).map(str::to_owned)
}

/// A storage account in a path.
pub(crate) const ACCOUNTS: &str = "/providers/microsoft.storage/storageaccounts/";
/// A workspace in a path.
pub(crate) const WORKSPACES: &str = "/providers/microsoft.machinelearningservices/workspaces/";

/// What a request changes; `None` for one that only asks.
pub(crate) fn what_of(method: &Method, path: &str, body: &Bytes) -> Option<What> {
    let asks = ["/oauth2/v2.0/token", "/oauth2/token", "/providers/microsoft.resourcegraph/resources", "/query"];
    if matches!(*method, Method::GET | Method::HEAD)
        || (*method == Method::POST && asks.iter().any(|tail| path.ends_with(tail)))
    {
        return None;
    }
    let property = |name: &str| {
        let body: Value = serde_json::from_slice(body).ok()?;
        body.get("properties")?.get(name).cloned()
    };
    let workspace = || upto(path, WORKSPACES);
    let is_assignment = path.contains("/providers/microsoft.authorization/roleassignments/");
    Some(match method.as_str() {
        "PUT" if is_assignment => What::Grant { id: path.to_owned() },
        "DELETE" if is_assignment => What::Revoke { id: path.to_owned() },
        "PATCH" if workspace().as_deref() == Some(path) => {
            let mode = property("systemDatastoresAuthMode");
            match mode.as_ref().and_then(Value::as_str) {
                Some(mode) => {
                    What::Mode { workspace: path.to_owned(), identity: !mode.eq_ignore_ascii_case("accesskey") }
                }
                None => What::Other,
            }
        }
        "PATCH" if upto(path, ACCOUNTS).as_deref() == Some(path) => {
            match property("allowSharedKeyAccess").as_ref().and_then(Value::as_bool) {
                Some(allowed) => What::Key { account: path.to_owned(), allowed },
                None => What::Other,
            }
        }
        "PUT" if path.contains("/datastores/") => What::Datastore { workspace: workspace().unwrap_or_default() },
        "POST" if path.ends_with("/resynckeys") => What::Resync { workspace: workspace().unwrap_or_default() },
        _ => What::Other,
    })
}
