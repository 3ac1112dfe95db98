//! How many requests were sent, by operation and status: for metrics and benchmarks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// One line of the count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The operation, such as `get storage account`.
    pub operation: &'static str,
    /// The HTTP status; `None` where no answer came.
    pub status: Option<u16>,
    /// How many requests, repetitions included.
    pub requests: u64,
}

#[derive(Default)]
pub(crate) struct Counts(Mutex<BTreeMap<(&'static str, Option<u16>), u64>>);

impl Counts {
    pub(crate) fn add(&self, operation: &'static str, status: Option<u16>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((operation, status)).or_default() += 1;
    }

    pub(crate) fn list(&self) -> Vec<Count> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(&(operation, status), &requests)| Count { operation, status, requests }).collect()
    }
}
