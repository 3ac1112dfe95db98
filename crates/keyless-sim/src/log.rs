//! What was asked of ARM, counted by operation.

use std::collections::BTreeMap;

use serde::Serialize;

/// Counts of every ARM request; token, metadata and `/sim` requests are not among them.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    counts: BTreeMap<(String, String, u16, String), u64>,
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
    pub(crate) fn add(&mut self, method: &str, operation: &str, status: u16, caller: &str) {
        let key = (operation.to_owned(), method.to_owned(), status, caller.to_owned());
        *self.counts.entry(key).or_default() += 1;
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
