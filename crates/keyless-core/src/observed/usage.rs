//! Who signed with what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::StorageService;

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
    /// Requests with a SAS that were refused.
    pub sas_failed: Traffic,
    /// Requests with a token of Entra that were refused: a role is missing or denied.
    pub oauth_refused: Traffic,
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
    /// How many in each grain that had any, by its start.
    pub grains: BTreeMap<Timestamp, u64>,
}

impl Traffic {
    /// The hours in which there were any requests, by their start.
    #[must_use]
    pub fn hours(&self) -> BTreeMap<Timestamp, u64> {
        let mut hours: BTreeMap<Timestamp, u64> = BTreeMap::new();
        for (start, count) in &self.grains {
            let hours = hours.entry(hour(*start)).or_default();
            *hours = hours.saturating_add(*count);
        }
        hours
    }

    /// Takes in the requests of another count.
    pub fn add(&mut self, other: Self) {
        let Self { count, last, grains } = other;
        self.count = self.count.saturating_add(count);
        self.last = self.last.max(last);
        for (start, count) in grains {
            let grain = self.grains.entry(start).or_default();
            *grain = grain.saturating_add(count);
        }
    }
}

/// The start of the hour that holds the instant.
#[must_use]
pub fn hour(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second().div_euclid(3600).saturating_mul(3600)).unwrap_or(at)
}

/// How a request was authorised, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signed {
    /// With an account key.
    AccountKey,
    /// With a SAS, made from the key or from a user delegation.
    Sas,
    /// With a token of Entra.
    OAuth,
}

impl Signed {
    /// Azure's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccountKey => "AccountKey",
            Self::Sas => "SAS",
            Self::OAuth => "OAuth",
        }
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccountKey => "the account key",
            Self::Sas => "a SAS",
            Self::OAuth => "a token of Entra",
        })
    }
}

/// The same metric, split by service and by what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDetails {
    /// Start of the window.
    pub from: Timestamp,
    /// End of the window.
    pub to: Timestamp,
    /// Whether the answers of all services were complete.
    pub complete: bool,
    /// One entry for each service, call, way to sign and outcome, sorted by these.
    pub uses: Vec<ServiceUse>,
}

/// Requests of one kind to one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUse {
    /// The service; nothing where only the account as a whole is known.
    pub service: Option<StorageService>,
    /// `ApiName`, such as `GetBlob`; `Unknown` where the request failed early, empty where it is not known.
    pub api: String,
    /// How it was signed.
    pub signed: Signed,
    /// Whether it was clearly refused for lack of rights.
    pub refused: bool,
    /// How much of it.
    pub traffic: Traffic,
}

impl KeyDetails {
    /// The requests that may have got at data, signed in this way.
    pub fn served(&self, signed: Signed) -> impl Iterator<Item = &ServiceUse> {
        self.uses.iter().filter(move |one| one.signed == signed && !one.refused && one.traffic.count > 0)
    }

    /// The services that such requests went to.
    #[must_use]
    pub fn services(&self, signed: Signed) -> BTreeSet<StorageService> {
        self.served(signed).filter_map(|one| one.service).collect()
    }
}
