//! What the simulator wrote down of the writes, and what can be told from that alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::dst::record::{ACCOUNTS, WORKSPACES, upto};

/// What had left a process that is dead by now may arrive this much after the start of the next, which takes longer to
/// begin than that.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_millis(8);

/// How long after SIGTERM a write may arrive: it had left, or was leaving, and the machine is busy.
const AFTER_TERM: SignedDuration = SignedDuration::from_millis(400);

/// Operations of Azure that hand out keys or secrets.
const SECRETS: [&str; 6] =
    ["/listkeys", "/listsecrets", "/liststorageaccountkeys", "/listaccountsas", "/listservicesas", "/regeneratekey"];

/// One process as whoever started it knows it.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    /// When it was started.
    pub(crate) from: Timestamp,
    /// Whether the mark was there then.
    pub(crate) settled: bool,
    /// When it was asked to stop, if it was.
    pub(crate) asked: Option<Timestamp>,
}

/// A write, or a look at the operation that one began.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    at: Timestamp,
    answered: Timestamp,
    method: String,
    /// In lower case, without the query.
    path: String,
    body: Value,
    status: u16,
    outcome: String,
    fault: Option<String>,
    is_json: bool,
    poll: Option<String>,
    /// The status of an operation, in lower case.
    word: String,
}

impl Entry {
    fn line(&self) -> String {
        let Self { at, answered, method, path, body, status, outcome, fault, .. } = self;
        format!(
            "{at:.3} to {answered:.3} {method} {path} {body} -> {status} {outcome} {}",
            fault.as_deref().unwrap_or("")
        )
    }

    fn tells(&self) -> bool {
        let said = self.outcome == "answered" && !matches!(self.status, 0 | 408 | 499 | 500..);
        said && (self.is_json || self.status >= 300 || matches!(self.status, 202 | 204))
    }
}

#[derive(Debug, Default)]
struct Kept {
    entries: Vec<Entry>,
    /// What must not be asked.
    secrets: Vec<String>,
    /// The beginning of a line.
    rest: Vec<u8>,
}

/// The record of a cloud.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Kept>>);

struct Sink(Record);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = std::mem::take(&mut kept.rest);
        rest.extend_from_slice(bytes);
        let mut lines = rest.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() {
                kept.rest = line.to_vec();
            } else {
                kept.line(line);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn line(&mut self, line: &[u8]) {
        let Ok(entry) = serde_json::from_slice::<Value>(line) else { return };
        let text = |pointer: &str| text_in(&entry, pointer).unwrap_or_default();
        let path = path_of(text("/url"));
        if SECRETS.iter().any(|tail| path.ends_with(tail)) {
            self.secrets.push(path);
            return;
        }
        let writes = matches!(text("/method"), "PUT" | "PATCH" | "DELETE");
        if text("/caller").is_empty() || !(writes || path.contains("/workspaceoperationsstatus/")) {
            return;
        }
        let header = |name: &str| text_in(&entry, &format!("/responseHeaders/{name}")).map(path_of);
        let time = |pointer: &str| text(pointer).parse().unwrap_or_default();
        self.entries.push(Entry {
            at: time("/at"),
            answered: time("/answeredAt"),
            method: text("/method").to_owned(),
            path,
            body: entry.get("requestBody").cloned().unwrap_or_default(),
            status: entry
                .get("status")
                .and_then(Value::as_u64)
                .and_then(|status| status.try_into().ok())
                .unwrap_or_default(),
            outcome: text("/outcome").to_owned(),
            fault: text_in(&entry, "/fault").map(str::to_owned),
            is_json: entry.get("responseBody").is_some_and(Value::is_object),
            poll: header("azure-asyncoperation").or_else(|| header("location")),
            word: text("/responseBody/status").to_ascii_lowercase(),
        });
    }
}

/// The text at a JSON Pointer.
pub(crate) fn text_in<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

fn path_of(url: &str) -> String {
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    format!("/{}", path.split('?').next().unwrap_or_default().to_ascii_lowercase())
}

/// What was broken, and how much could have been.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) broken: Vec<String>,
    pub(crate) writes: u64,
    /// Writes of which nobody knows what became of them.
    pub(crate) unknown: u64,
    /// Processes that had to wait before their first write, and came to one.
    pub(crate) waited: u64,
}

impl Record {
    /// Where the simulator writes to.
    pub(crate) fn sink(&self) -> impl Write + Send + 'static {
        Sink(self.clone())
    }

    /// Judges everything. `account_of` tells on which account a workspace stands, both in lower case; `late_write` as it
    /// passes here.
    pub(crate) fn judge(&self, lives: &[Life], account_of: &BTreeMap<String, String>, late_write: Duration) -> Judged {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let late_write = SignedDuration::try_from(late_write).unwrap_or_default();
        let mut judged = Judged::default();
        judged.broken.extend(kept.secrets.iter().map(|path| format!("S7: a secret was asked for: {path}")));
        let mut entries = kept.entries.clone();
        entries.sort_by_key(|entry| entry.at);
        let mut writes: Vec<(usize, &Entry)> = Vec::new();
        for entry in entries.iter().filter(|entry| entry.method != "GET") {
            let begun = lives.partition_point(|life| life.from + ON_ITS_WAY <= entry.at);
            writes.push((begun, entry));
            if entry.method == "PATCH" {
                let many = entry.body.as_object().map_or(0, serde_json::Map::len);
                let properties = entry.body.get("properties").and_then(Value::as_object);
                let properties = properties.map_or(0, serde_json::Map::len);
                if (many, properties) != (1, 1) {
                    judged.broken.push(format!("S7: more than one property\n    {}", entry.line()));
                }
            }
        }
        judged.writes = writes.len() as u64;
        judged.starts(lives, &writes, late_write);
        judged.one_at_a_time(&entries, &writes, account_of, late_write);
        judged
    }
}

impl Judged {
    /// S6 and S8.
    fn starts(&mut self, lives: &[Life], writes: &[(usize, &Entry)], late_write: SignedDuration) {
        let mut seen = BTreeSet::new();
        for (number, write) in writes {
            let Some(life) = number.checked_sub(1).and_then(|index| lives.get(index)) else {
                self.broken.push(format!("a write before the first start\n    {}", write.line()));
                continue;
            };
            if seen.insert(*number) && !life.settled {
                self.waited += 1;
                let after = write.at.duration_since(life.from);
                if after < late_write {
                    self.broken
                        .push(format!("S6: the first write came {after:?} after the start\n    {}", write.line()));
                }
            }
            if let Some(asked) = life.asked
                && write.at > asked + AFTER_TERM
            {
                self.broken.push(format!("S8: a write after SIGTERM at {asked:.3}\n    {}", write.line()));
            }
        }
    }

    /// S5.
    fn one_at_a_time(
        &mut self,
        entries: &[Entry],
        writes: &[(usize, &Entry)],
        account_of: &BTreeMap<String, String>,
        late_write: SignedDuration,
    ) {
        let mut polls: BTreeMap<&str, &Entry> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.method == "GET") {
            polls.insert(&entry.path, entry);
        }
        let mut last: BTreeMap<String, (usize, &Entry)> = BTreeMap::new();
        for (number, write) in writes {
            let account =
                upto(&write.path, ACCOUNTS).or_else(|| account_of.get(&upto(&write.path, WORKSPACES)?).cloned());
            let Some(account) = account else { continue };
            let ended = |write: &Entry| {
                if !write.tells() {
                    return (write.answered, false);
                }
                let Some(poll) = write.poll.as_deref().filter(|_| write.status == 202) else {
                    return (write.answered, true);
                };
                let last = polls.get(poll);
                last.map_or((write.answered, false), |last| (last.answered, last.tells() && last.word == "succeeded"))
            };
            self.unknown += u64::from(!ended(write).1);
            // What another process did is what the wait after the start is for.
            if let Some((of, before)) = last.insert(account, (*number, write))
                && of == *number
            {
                let (settled, known) = ended(before);
                let wait = if known { SignedDuration::ZERO } else { late_write };
                if write.at < settled + wait {
                    let (one, other) = (before.line(), write.line());
                    self.broken.push(format!("S5: a write followed too soon\n    {one}\n    {other}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ACCOUNT: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a";
    const LATE_WRITE: Duration = Duration::from_secs(5);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// What is broken where these writes, answered a second later, came from one process that began at 0.
    fn broken(life: Life, writes: &[(i64, &str, u16, Value)]) -> String {
        let record = Record::default();
        let mut sink = record.sink();
        for (second, outcome, status, body) in writes {
            let line = json!({
                "at": at(*second).to_string(), "answeredAt": at(second + 1).to_string(), "method": "PATCH",
                "url": format!("http://127.0.0.1:1{ACCOUNT}?api-version=1"), "caller": "me", "requestBody": body,
                "status": status, "outcome": outcome, "responseHeaders": {}, "responseBody": {},
            });
            let line = format!("{line}\n");
            let (one, other) = line.as_bytes().split_at(20);
            sink.write_all(one).unwrap();
            sink.write_all(other).unwrap();
        }
        record.judge(&[life], &BTreeMap::new(), LATE_WRITE).broken.join("\n")
    }

    #[test]
    fn a_record_in_which_a_rule_is_broken_is_recognized() {
        let life = |settled| Life { from: at(0), settled, asked: None };
        let body = || json!({"properties": {"allowSharedKeyAccess": false}});
        let good = |second| (second, "answered", 200, body());
        assert_eq!(broken(life(false), &[good(5), good(6)]), "");
        assert_eq!(broken(life(true), &[good(1)]), "");
        assert!(broken(life(false), &[good(4)]).starts_with("S6: "));
        assert!(broken(life(false), &[good(-1)]).starts_with("a write before the first start"));
        let lost = |second| (second, "reset", 0, body());
        assert_eq!(broken(life(false), &[lost(5), good(11)]), "");
        assert!(broken(life(false), &[lost(5), good(10)]).starts_with("S5: "));
        assert!(broken(life(false), &[good(6), good(6)]).starts_with("S5: "));
        let asked = Life { asked: Some(at(7)), ..life(false) };
        assert!(broken(asked, &[good(6), good(8)]).starts_with("S8: "));
        let wide = json!({"properties": {"allowSharedKeyAccess": false, "minimumTlsVersion": "TLS1_2"}});
        assert!(broken(life(false), &[(5, "answered", 200, wide)]).starts_with("S7: "));
    }
}
