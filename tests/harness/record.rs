//! What the simulator wrote down of every request, and what can be told from that alone: whether the client kept to
//! quotas and waits, and wrote only when it might.
//!
//! The arithmetic of buckets and waits is done here once more, with the published numbers, so that neither side of the
//! test is its own judge.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde_json::Value;

use super::sim::text_at;

/// How long after an answer a request may still arrive that left before the answer was read, in seconds. The shortest
/// `Retry-After` is twice this.
const ON_ITS_WAY: f64 = 0.5;

/// One request of the daemon to the resource manager, and its answer. Times are seconds of the simulator's clock.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub at: f64,
    pub answered: f64,
    pub method: String,
    /// In lower case, without the query.
    pub path: String,
    /// The account that a write bears on, if it is known.
    pub account: Option<String>,
    pub status: u16,
    pub outcome: String,
    pub fault: Option<String>,
    pub retry_after: Option<f64>,
    /// The name of the bucket that refused it.
    pub refused_by: Option<String>,
    /// The path at which the operation that it started is followed.
    pub poll: Option<String>,
    pub body: Value,
    /// The word of an operation's status.
    pub operation: String,
    pub is_json: bool,
}

/// All of them, in the order in which they arrived.
pub struct Record(pub Vec<Request>);

impl Record {
    /// Reads the file. `account_of` tells on which account a workspace stands, both in lower case.
    pub fn read(path: &Path, account_of: &BTreeMap<String, String>) -> Self {
        let file = std::fs::File::open(path).expect("there is a record");
        let lines = BufReader::new(file).lines().map(|line| line.expect("the record is text"));
        let mut requests: Vec<Request> = lines
            .filter_map(|line| {
                let entry: Value = serde_json::from_str(&line).expect("a line of the record is JSON");
                request(&entry, account_of)
            })
            .collect();
        requests.sort_by(|one, other| one.at.total_cmp(&other.at));
        Self(requests)
    }

    pub fn writes(&self) -> impl Iterator<Item = &Request> {
        self.0.iter().filter(|request| request.is_write())
    }

    /// How often each kind of fault struck, lasting ones by the request.
    pub fn faults(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for fault in self.0.iter().filter_map(|request| request.fault.as_deref()) {
            *counts.entry(fault).or_default() += 1;
        }
        counts
    }

    /// Nothing was sent to a bucket that had refused, before its time was over.
    #[track_caller]
    pub fn assert_every_retry_after_was_kept(&self) {
        for (n, refused) in self.0.iter().enumerate() {
            let Some(wait) = refused.retry_after.filter(|_| refused.status >= 400) else { continue };
            let until = refused.answered + wait;
            let early = self.0[n + 1..].iter().take_while(|later| later.at < until).find(|later| {
                let meant = match &refused.refused_by {
                    Some(bucket) => later.counts_in(bucket),
                    None => later.method == refused.method && later.path == refused.path,
                };
                meant && later.at > refused.answered + ON_ITS_WAY
            });
            assert!(early.is_none(), "before {until} came {early:#?}\nwhich was refused until then by {refused:#?}");
        }
    }

    /// An operation was asked after no sooner than its last answer said.
    #[track_caller]
    pub fn assert_polls_came_in_their_time(&self) {
        let polls: BTreeSet<&str> = self.0.iter().filter_map(|request| request.poll.as_deref()).collect();
        let mut promised: BTreeMap<&str, f64> = BTreeMap::new();
        for request in &self.0 {
            let poll = if polls.contains(request.path.as_str()) { Some(request.path.as_str()) } else { None };
            if let Some(until) = poll.and_then(|poll| promised.get(poll)) {
                assert!(request.at >= *until, "{until} was promised to {request:#?}");
            }
            let next = request.poll.as_deref().or(poll);
            if let (Some(next), Some(wait), "answered") = (next, request.retry_after, request.outcome.as_str()) {
                promised.insert(next, request.answered + wait);
            }
        }
    }

    /// No bucket of Azure was ever empty, by the published sizes and refills.
    #[track_caller]
    pub fn assert_no_bucket_was_overdrawn(&self, speed: f64) {
        let mut levels: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for request in &self.0 {
            for (name, capacity, per_second) in request.buckets() {
                let (level, at) = levels.entry(name).or_insert((capacity, request.at));
                *level = (*level + (request.at - *at) * per_second * speed).min(capacity) - 1.0;
                *at = request.at;
                assert!(*level >= 0.0, "a bucket was empty: {request:#?}");
            }
        }
    }

    /// On each account one write at a time, and after one whose outcome nobody knows none for `late_write` seconds.
    #[track_caller]
    pub fn assert_unknown_outcomes_were_waited_for(&self, late_write: f64) -> usize {
        let mut last: BTreeMap<&str, (f64, bool, &Request)> = BTreeMap::new();
        let mut unknown = 0;
        for write in self.writes() {
            let Some(account) = write.account.as_deref() else { continue };
            if let Some((settled, known, before)) = last.get(account) {
                let wait = if *known { 0.0 } else { late_write };
                assert!(write.at >= settled + wait, "a write followed too soon: {before:#?}\n{write:#?}");
            }
            let (settled, known) = self.end_of(write);
            unknown += usize::from(!known);
            last.insert(account, (settled, known, write));
        }
        unknown
    }

    /// When the client had the last word about a write, and whether that word told what became of it.
    fn end_of(&self, write: &Request) -> (f64, bool) {
        if !write.tells() {
            return (write.answered, false);
        }
        let Some(poll) = write.poll.as_deref().filter(|_| write.status == 202) else { return (write.answered, true) };
        let polls = self.0.iter().filter(|request| request.path == poll && request.at >= write.at);
        let last = polls.max_by(|one, other| one.at.total_cmp(&other.at));
        last.map_or((write.answered, false), |last| {
            (last.answered, last.tells() && last.operation.eq_ignore_ascii_case("succeeded"))
        })
    }

    /// A PATCH carries the one property that it changes, and nothing asks for keys or secrets.
    #[track_caller]
    pub fn assert_requests_are_minimal(&self) {
        for request in &self.0 {
            let tail = request.path.rsplit('/').next().unwrap_or_default();
            assert!(!matches!(tail, "listkeys" | "listsecrets" | "regeneratekey"), "{request:#?}");
            if request.method == "PATCH" {
                let whole = request.body.as_object().expect("a PATCH has an object");
                let properties = request.body["properties"].as_object().expect("with properties");
                assert_eq!((whole.len(), properties.len()), (1, 1), "{request:#?}");
            }
        }
    }
}

impl Request {
    pub fn is_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD")
    }

    /// Whether the answer says what became of the request.
    fn tells(&self) -> bool {
        let said = self.outcome == "answered" && !matches!(self.status, 0 | 408 | 499 | 500..);
        // What has only begun has nothing to say yet, and what is gone has nothing left.
        said && (self.is_json || self.status >= 300 || matches!(self.status, 202 | 204))
    }

    fn subscription(&self) -> &str {
        let rest = self.path.strip_prefix("/subscriptions/").unwrap_or_default();
        rest.split('/').next().unwrap_or_default()
    }

    fn class(&self) -> &'static str {
        match self.method.as_str() {
            "GET" | "HEAD" => "reads",
            "DELETE" => "deletes",
            _ => "writes",
        }
    }

    fn provider(&self) -> &str {
        let rest = self.path.rsplit("/providers/").next().filter(|_| self.path.contains("/providers/"));
        rest.and_then(|rest| rest.split('/').next()).unwrap_or("microsoft.resources")
    }

    /// What the storage provider counts it as.
    fn storage(&self) -> Option<&'static str> {
        let (_, rest) = self.path.split_once("/providers/microsoft.storage/storageaccounts")?;
        match (self.class(), rest) {
            (_, rest) if rest.contains("/providers/") => None,
            ("reads", "") => Some("List_ObservationWindow_00:05:00"),
            ("reads", _) => Some("Read_ObservationWindow_00:05:00"),
            _ => Some("Write_ObservationWindow_01:00:00"),
        }
    }

    /// The buckets that count it: name, how many at once, how many a second.
    ///
    /// Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>, and
    /// MicrosoftDocs/azure-docs `includes/azure-storage-limits-azure-resource-manager.md`.
    fn buckets(&self) -> Vec<(String, f64, f64)> {
        let (capacity, per_second) = if self.class() == "reads" { (250.0, 25.0) } else { (200.0, 10.0) };
        let mut buckets = vec![(format!("{}/{}", self.subscription(), self.class()), capacity, per_second)];
        if let Some(window) = self.storage() {
            let (count, seconds) = match window.split('_').next() {
                Some("List") => (100.0, 300.0),
                Some("Read") => (800.0, 300.0),
                _ => (1200.0, 3600.0),
            };
            buckets.push((format!("{}/{window}", self.subscription()), count, count / seconds));
        }
        buckets
    }

    /// Whether a bucket of this name, as the simulator names them, counts the request.
    fn counts_in(&self, bucket: &str) -> bool {
        let parts: Vec<&str> = bucket.split('/').collect();
        match parts.as_slice() {
            ["principal", subscription, _, class] | ["global", subscription, class] => {
                *subscription == self.subscription() && *class == self.class()
            }
            ["storage", subscription, window] => {
                *subscription == self.subscription() && self.storage() == Some(*window)
            }
            ["storm", subscription, provider] => *subscription == self.subscription() && *provider == self.provider(),
            _ => panic!("a bucket of an unknown kind: {bucket}"),
        }
    }
}

/// One line, if it is a request of the daemon to the resource manager.
fn request(entry: &Value, account_of: &BTreeMap<String, String>) -> Option<Request> {
    let url = text_at(entry, "/url");
    let path = url.split_once("://")?.1.split_once('/').map_or("/", |(_, path)| path);
    let path = format!("/{}", path.split('?').next().unwrap_or_default()).to_lowercase();
    if text_at(entry, "/caller").is_empty() || !(path.starts_with("/subscriptions") || path.starts_with("/providers")) {
        return None;
    }
    let header = |name: &str| entry["responseHeaders"][name].as_str().map(str::to_owned);
    let poll = header("azure-asyncoperation").or_else(|| header("location")).and_then(|url| {
        let path = url.split_once("://")?.1.split_once('/')?.1.split('?').next()?.to_lowercase();
        Some(format!("/{path}"))
    });
    let text = |name: &str| entry[name].as_str().map(str::to_owned);
    Some(Request {
        at: seconds(text_at(entry, "/at")),
        answered: seconds(text_at(entry, "/answeredAt")),
        method: text_at(entry, "/method").to_owned(),
        account: account(&path, account_of),
        path,
        status: entry["status"].as_u64().and_then(|status| status.try_into().ok()).expect("a status"),
        outcome: text_at(entry, "/outcome").to_owned(),
        fault: text("fault"),
        retry_after: header("retry-after").and_then(|wait| wait.parse().ok()),
        refused_by: text("bucket"),
        poll,
        body: entry["requestBody"].clone(),
        operation: text_at(entry, "/responseBody/status").to_owned(),
        is_json: entry["responseBody"].is_object(),
    })
}

/// The account that a path lies on, or that its workspace stands on.
fn account(path: &str, account_of: &BTreeMap<String, String>) -> Option<String> {
    let upto = |kind: &str| {
        let at = path.find(kind)? + kind.len();
        let name = path[at..].split('/').next().filter(|name| !name.is_empty())?;
        Some(path[..at + name.len()].to_owned())
    };
    upto("/providers/microsoft.storage/storageaccounts/")
        .or_else(|| account_of.get(&upto("/providers/microsoft.machinelearningservices/workspaces/")?).cloned())
}

/// Seconds since the month began, which no test outlives.
fn seconds(time: &str) -> f64 {
    let number = |from: usize, to: usize| time[from..to].parse::<f64>().expect("a time is in digits");
    let fraction: f64 = time[17..].trim_end_matches('Z').parse().expect("a time ends in seconds");
    number(8, 10) * 86_400.0 + number(11, 13) * 3600.0 + number(14, 16) * 60.0 + fraction
}
