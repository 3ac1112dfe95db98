//! The numbers of `/metrics`, in the OpenMetrics text format.
//!
//! Everything is computed when it is asked for, from the [`Board`] and the client's own counts, so that no number can
//! drift from what the process knows.

use std::fmt;
use std::sync::Arc;

use keyless_arm::counts::Count;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::board::Board;

/// The type that the server serves; see `Content negotiation` of the OpenMetrics specification.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many requests were sent so far.
pub(crate) type Counts = Arc<dyn Fn() -> Vec<Count> + Send + Sync>;

/// All numbers.
pub(crate) struct Metrics(Registry);

impl Metrics {
    /// Numbers over a board and a client.
    pub(crate) fn new(board: Arc<Board>, counts: Counts) -> Self {
        let mut registry = Registry::with_prefix("keyless");
        registry.register_collector(Box::new(Numbers { board, counts }));
        Self(registry)
    }

    /// The text of one scrape.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

struct Numbers {
    board: Arc<Board>,
    counts: Counts,
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Numbers").finish_non_exhaustive()
    }
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let state = self.board.snapshot();

        let mut passes = encoder.encode_descriptor("passes", "Passes by how they ended", None, MetricType::Counter)?;
        for (ended, count) in &state.passes {
            let labels = [("ended", *ended)];
            ConstCounter::new(*count).encode(passes.encode_family(&labels)?)?;
        }

        let help = "Writes to Azure by kind of action and what became of them";
        let mut writes = encoder.encode_descriptor("writes", help, None, MetricType::Counter)?;
        for ((action, result), count) in &state.writes {
            let labels = [("action", *action), ("result", *result)];
            ConstCounter::new(*count).encode(writes.encode_family(&labels)?)?;
        }

        let help = "Writes that Azure refused, or whose effect could not be confirmed";
        let failures: u64 =
            state.writes.iter().filter(|((_, result), _)| *result != "applied").map(|(_, count)| count).sum();
        let family = encoder.encode_descriptor("write_failures", help, None, MetricType::Counter)?;
        ConstCounter::new(failures).encode(family)?;

        let help = "Storage accounts by how they stand after their last pass";
        let mut accounts = encoder.encode_descriptor("accounts", help, None, MetricType::Gauge)?;
        for (standing, count) in state.by_standing() {
            let labels = [("standing", standing.as_str())];
            ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)).encode(accounts.encode_family(&labels)?)?;
        }

        if let Some(age) = state.worst_age() {
            let help = "Age of the last pass that read all it needed, of the account where that is longest ago";
            let name = "last_good_pass_age";
            let family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
            ConstGauge::new(age.as_secs_f64()).encode(family)?;
        }

        let help = "1 while the newest files of the desired state are rejected and older ones are in force";
        let rejected = encoder.encode_descriptor("config_rejected", help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::from(!state.rejected.is_empty())).encode(rejected)?;

        let help = "Requests to Azure by operation and HTTP status; `none` where no answer came";
        let mut requests = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for Count { operation, status, requests: count } in (self.counts)() {
            let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            let labels = [("operation", operation), ("status", status.as_str())];
            ConstCounter::new(count).encode(requests.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
