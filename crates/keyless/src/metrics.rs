//! The numbers of `/metrics`, in the OpenMetrics text format.
//!
//! Everything is computed when it is asked for, from the loop's status and the client's own counts, so that no number
//! can drift from what the process knows.

use std::fmt;
use std::time::Duration;

use keyless_arm::counts::Count;
use keyless_controller::status::{AccountStatus, Snapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::server::Looks;

/// The type that the server serves; see `Content negotiation` of the OpenMetrics specification.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The standings of an account, and the word for one that was never looked at.
const STANDINGS: [&str; 5] = ["converged", "ready", "waiting", "blocked", "unknown"];

/// All numbers.
pub(crate) struct Metrics(Registry);

impl Metrics {
    /// Numbers over what the process knows.
    pub(crate) fn new(looks: Looks) -> Self {
        let mut registry = Registry::with_prefix("keyless");
        registry.register_collector(Box::new(Numbers(looks)));
        Self(registry)
    }

    /// The text of one scrape.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// The word for how an account stands.
pub(crate) fn standing(account: &AccountStatus) -> &'static str {
    account.standing().map_or("unknown", |standing| standing.as_str())
}

/// How long ago the account that was not read for the longest was last read completely.
fn worst_age(snapshot: &Snapshot) -> Option<Duration> {
    snapshot.accounts.values().filter_map(AccountStatus::age).max()
}

struct Numbers(Looks);

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Numbers").finish_non_exhaustive()
    }
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Looks { snapshot, counts } = &self.0;
        let snapshot = snapshot();
        let counters = &snapshot.counters;

        counter(&mut encoder, "passes", "Passes that came to an end", counters.passes)?;
        counter(
            &mut encoder,
            "failed_passes",
            "Passes in which a read, a write or the mark failed, but none that was overtaken by what it read again",
            counters.failed_passes,
        )?;
        counter(&mut encoder, "searches", "Looks over the whole fleet for workspaces", counters.searches)?;
        counter(&mut encoder, "revisions", "Revisions of the desired state that came into force", counters.revisions)?;

        for (name, help, by_kind) in [
            ("writes", "Writes to Azure that changed something, by kind of action", &counters.writes),
            ("failed_writes", "Writes to Azure that failed or whose outcome is unknown", &counters.failed_writes),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (&action, &count) in by_kind {
                ConstCounter::new(count).encode(family.encode_family(&[("action", action)])?)?;
            }
        }

        let help = "Storage accounts by how they stand after their last pass";
        let mut accounts = encoder.encode_descriptor("accounts", help, None, MetricType::Gauge)?;
        for word in STANDINGS {
            let count = snapshot.accounts.values().filter(|account| standing(account) == word).count();
            whole(count).encode(accounts.encode_family(&[("standing", word)])?)?;
        }

        let help =
            "Differences between the files and Azure, and what is amiss and no step mends; no fewer while reads fail";
        let drift = snapshot.accounts.values().map(AccountStatus::drift).sum();
        gauge(&mut encoder, "drift", help, drift)?;
        let help = "Accounts that no pass has read completely yet";
        let unread = snapshot.accounts.values().filter(|account| account.age().is_none()).count();
        gauge(&mut encoder, "accounts_never_read", help, unread)?;
        let help = "1 while the newest files of the desired state are rejected and older ones are in force";
        gauge(&mut encoder, "config_rejected", help, usize::from(!snapshot.rejected.is_empty()))?;

        if let Some(age) = worst_age(&snapshot) {
            let help = "Age of the last pass that read all it needed, of the account where that is longest ago";
            let name = "last_good_pass_age";
            let family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
            ConstGauge::new(age.as_secs_f64()).encode(family)?;
        }

        let help = "Requests to Azure by operation and HTTP status; `none` where no answer came";
        let mut requests = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for Count { operation, status, requests: count } in counts() {
            let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            let labels = [("operation", operation), ("status", status.as_str())];
            ConstCounter::new(count).encode(requests.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, count: u64) -> fmt::Result {
    let family: MetricEncoder<'_> = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(count).encode(family)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, count: usize) -> fmt::Result {
    let family: MetricEncoder<'_> = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    whole(count).encode(family)
}

fn whole(count: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
}
