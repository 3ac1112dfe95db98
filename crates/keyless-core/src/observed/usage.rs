//! Who signed with what.

use std::time::Duration;

use jiff::Timestamp;

/// The storage metric `Transactions` over one window, split by how requests were authorised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUsage {
    /// Start of the window.
    pub from: Timestamp,
    /// End of the window.
    pub to: Timestamp,
    /// Whether the answer was complete: `errorCode` Success, `top` not reached, the whole window covered.
    pub complete: bool,
    /// Whether any series carried data: an answer without any series at all proves nothing.
    pub alive: bool,
    /// Requests signed with an account key that succeeded.
    pub account_key: Traffic,
    /// Requests signed with an account key that failed: they may be anybody's.
    pub account_key_failed: Traffic,
    /// Requests with a SAS that succeeded, made from the key or from a user delegation: the metric does not tell.
    pub sas: Traffic,
}

impl KeyUsage {
    /// How long the window is.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to.duration_since(self.from).try_into().unwrap_or_default()
    }
}

/// A count of requests in a window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many requests.
    pub count: u64,
    /// The end of the last grain in which there were any.
    pub last: Option<Timestamp>,
}
