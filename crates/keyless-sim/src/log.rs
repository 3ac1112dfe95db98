//! What was asked of ARM: counted by operation, and the latest of it in order.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// Counts of every ARM request; token, metadata and `/sim` requests are not among them.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    counts: BTreeMap<(String, String, u16, String), u64>,
    recent: VecDeque<Seen>,
    /// How many came before the first of `recent`.
    forgotten: u64,
}

/// Requests that are remembered one by one; the oldest go first.
const REMEMBERED: usize = 2_000;

/// One request, in the order of their answers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) operation: String,
    /// Decoded, as `name=value` joined by `&`.
    pub(crate) query: String,
    pub(crate) status: u16,
    pub(crate) caller: String,
}

/// What `GET /sim/requests` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestsReport {
    /// All requests.
    pub total: u64,
    /// PUT, PATCH and DELETE among them.
    pub writes: u64,
    /// Broken down.
    pub by_operation: Vec<OperationCount>,
}

/// How often one caller asked for one thing and got one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperationCount {
    /// HTTP method.
    pub method: String,
    /// Path template: names are `{}`, actions stay.
    pub operation: String,
    /// The status; 0 where the connection broke before the request arrived.
    pub status: u16,
    /// Object id of the caller; empty where the token told none.
    pub caller: String,
    /// How often.
    pub count: u64,
}

impl RequestLog {
    pub(crate) fn add(&mut self, seen: Seen) {
        let key = (seen.operation.clone(), seen.method.clone(), seen.status, seen.caller.clone());
        *self.counts.entry(key).or_default() += 1;
        self.recent.push_back(seen);
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
            self.forgotten += 1;
        }
    }

    /// The remembered requests from the one with this number on, and the number of the next.
    pub(crate) fn since(&self, from: u64) -> (Vec<&Seen>, u64) {
        let skip = usize::try_from(from.saturating_sub(self.forgotten)).unwrap_or(usize::MAX);
        let next = self.forgotten + self.recent.len() as u64;
        (self.recent.iter().skip(skip).collect(), next)
    }

    pub(crate) fn report(&self) -> RequestsReport {
        let by_operation: Vec<OperationCount> = self
            .counts
            .iter()
            .map(|((operation, method, status, caller), count)| OperationCount {
                method: method.clone(),
                operation: operation.clone(),
                status: *status,
                caller: caller.clone(),
                count: *count,
            })
            .collect();
        let is_write = |entry: &&OperationCount| matches!(entry.method.as_str(), "PUT" | "PATCH" | "DELETE");
        RequestsReport {
            total: by_operation.iter().map(|entry| entry.count).sum(),
            writes: by_operation.iter().filter(is_write).map(|entry| entry.count).sum(),
            by_operation,
        }
    }
}
