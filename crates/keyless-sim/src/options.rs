//! What can be turned on the simulated cloud: its delays, its quirks and where it listens.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::ClockMode;
use crate::faults::Faults;

/// Everything that is chosen when a simulator is started.
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// `HOST:PORT` to listen on; port 0 picks one, and URLs repeat the host as it is written here.
    pub listen: String,
    /// Serve ARM and the authority over HTTPS, with a certificate of a CA of the simulator's own.
    pub tls: bool,
    /// Where the CA's certificate is written; without it a file in the system's temporary directory.
    pub ca_file: Option<PathBuf>,
    /// Delays are divided and refills multiplied by this; finite and above zero.
    pub speed: f64,
    /// Which clock the cloud follows.
    pub clock: ClockMode,
    /// Source of every random draw.
    pub seed: u64,
    /// Behaviour that differs between clouds, regions and days.
    pub knobs: Knobs,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            tls: false,
            ca_file: None,
            speed: 1.0,
            clock: ClockMode::Wall,
            seed: 0,
            knobs: Knobs::default(),
        }
    }
}

/// A delay that is drawn anew for each thing it applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Shortest.
    pub min: Duration,
    /// Longest.
    pub max: Duration,
}

impl Spread {
    /// Always the same delay.
    pub const fn fixed(delay: Duration) -> Self {
        Self { min: delay, max: delay }
    }

    /// The delay at `fraction` of the way from shortest to longest.
    pub(crate) fn at(self, fraction: f64) -> Duration {
        self.min + self.max.saturating_sub(self.min).mul_f64(fraction.clamp(0.0, 1.0))
    }
}

/// How a value is spelled in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Casing {
    /// As it was written.
    #[default]
    AsWritten,
    /// As in the documentation: `identity`, and `resourcegroups` in ids.
    Lower,
    /// As in the schema: `Identity`.
    Schema,
}

/// How a workspace takes a PATCH, PUT or DELETE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WorkspaceWrite {
    /// 200 with the workspace, done.
    Sync,
    /// 202, done after [`Knobs::operation`].
    #[default]
    Async,
    /// 202, and the operation ends `Failed` inside a 200.
    Fails,
}

/// Which poll URLs a 202 carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PollHeaders {
    /// `Azure-AsyncOperation` and `Location`, as recorded.
    #[default]
    Both,
    /// `Location` alone, as the specification has it.
    Location,
}

/// How ARM counts requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThrottleModel {
    /// Token buckets that are refilled by the second.
    #[default]
    Buckets,
    /// Counts by the hour, as in Azure operated by 21Vianet.
    Hourly,
}

/// What the metrics endpoint answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MetricAnswer {
    /// The traffic.
    #[default]
    Traffic,
    /// No series at all, whatever happened.
    Empty,
    /// An `errorCode` other than `Success`.
    Error(String),
}

/// Behaviour that differs between clouds, regions and days. Delays are real ones; `speed` divides them.
/// Where a field names no source, there is none in public and its default is a design decision.
#[derive(Debug, Clone)]
pub struct Knobs {
    /// From the making (or removal) of an assignment until it counts.
    /// Source: MicrosoftDocs/azure-docs `articles/role-based-access-control/troubleshooting.md`.
    pub role_propagation: Spread,
    /// The same for a managed identity through a group, and at management group scope. Source: the same.
    pub slow_propagation: Spread,
    /// From a change of `allowSharedKeyAccess` until keys are treated so. No public source; design decision.
    pub key_effect: Duration,
    /// From the making of a new key until a workspace on keys is handed it by itself: "around an hour".
    /// Source: MicrosoftDocs/azure-ai-docs `articles/machine-learning/how-to-manage-workspace-cli.md`.
    pub key_sync: Duration,
    /// How old traffic must be before metrics show it. No public source; design decision.
    pub metric_lag: Duration,
    /// How old a request must be before a Log Analytics workspace shows it: 20 seconds to 3 minutes on average.
    /// Source: <https://learn.microsoft.com/azure/azure-monitor/logs/data-ingestion-time>.
    pub log_lag: Duration,
    /// How old a write must be before the activity log shows it. No public source; design decision.
    pub activity_lag: Duration,
    /// Whether events hold the bodies of requests (`properties.requestbody`), as they may.
    /// Source: <https://learn.microsoft.com/azure/azure-monitor/platform/activity-log-schema>.
    pub activity_bodies: bool,
    /// How long a workspace operation runs. No public source; design decision.
    pub operation: Duration,
    /// `Retry-After` of a workspace operation, 10 to 600 seconds.
    /// Source: Azure/azure-rest-api-specs `specification/machinelearningservices/.../stable/2025-09-01/workspaceRP.json`.
    pub operation_retry_after: Duration,
    /// From the creation of a workspace until the service has made its grants.
    pub service_grant_delay: Duration,
    /// How workspaces take writes.
    pub workspace_write: WorkspaceWrite,
    /// Which poll URLs a 202 carries.
    pub poll_headers: PollHeaders,
    /// Whether a finished `Location` poll answers with a status document instead of the workspace.
    /// Source: <https://github.com/hashicorp/terraform-provider-azurerm/issues/22150>.
    pub location_poll_returns_status_document: bool,
    /// Api-versions whose answers leave `systemDatastoresAuthMode` out, beside all that are older than the property.
    /// Source: <https://github.com/Azure/bicep-types-az/issues/2391> and the `types.md` of each version in that repository.
    pub versions_hiding_auth_mode: BTreeSet<String>,
    /// Spelling of the mode in answers. Source: <https://github.com/Azure/terraform-provider-azapi/issues/807>.
    pub auth_mode_casing: Casing,
    /// Spelling of ids in answers. Source: Azure/azure-rest-api-specs
    /// `.../Microsoft.MachineLearningServices/stable/2024-04-01/examples/Workspace/get.json`.
    pub id_casing: Casing,
    /// Entries on a page of a list, those of the machine-learning provider apart. No size is published.
    pub page_size: usize,
    /// Entries on a page of the machine-learning provider's lists. No size is published.
    pub workspace_page_size: usize,
    /// Whether lists begin with an empty page that carries a `nextLink`. No public source; design
    /// decision.
    pub empty_first_page: bool,
    /// Whether `RoleAssignmentExists` names the existing assignment; both forms were seen in public reports.
    pub existing_assignment_named: bool,
    /// Assignments a subscription may hold.
    /// Source: MicrosoftDocs/azure-docs `articles/role-based-access-control/troubleshoot-limits.md`.
    pub assignment_limit: usize,
    /// What metrics answer.
    pub metric_answer: MetricAnswer,
    /// How old a change must be before Resource Graph shows it. No public source; design decision.
    pub arg_lag: Duration,
    /// Whether Resource Graph shows `systemDatastoresAuthMode`; no public source says whether it does.
    pub arg_exposes_auth_mode: bool,
    /// Whether requests are throttled at all.
    pub throttling: bool,
    /// How ARM counts them.
    /// Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling> and its
    /// edition for Azure operated by 21Vianet.
    pub throttle_model: ThrottleModel,
    /// How long a token is good for.
    pub token_lifetime: Duration,
    /// What goes wrong, and when.
    pub faults: Faults,
}

impl Default for Knobs {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        Self {
            role_propagation: Spread { min: Duration::from_secs(30), max: minutes(10) },
            slow_propagation: Spread { min: minutes(60), max: minutes(24 * 60) },
            key_effect: Duration::from_secs(30),
            key_sync: minutes(60),
            metric_lag: minutes(3),
            log_lag: minutes(3),
            activity_lag: minutes(2),
            activity_bodies: false,
            operation: Duration::from_secs(15),
            operation_retry_after: Duration::from_secs(10),
            service_grant_delay: Duration::from_secs(20),
            workspace_write: WorkspaceWrite::default(),
            poll_headers: PollHeaders::default(),
            location_poll_returns_status_document: false,
            versions_hiding_auth_mode: ["2023-04-01", "2023-10-01", "2024-04-01", "2024-10-01", "2025-04-01"]
                .map(str::to_owned)
                .into(),
            auth_mode_casing: Casing::default(),
            id_casing: Casing::default(),
            page_size: 1000,
            workspace_page_size: 100,
            empty_first_page: false,
            existing_assignment_named: true,
            assignment_limit: 4000,
            metric_answer: MetricAnswer::default(),
            arg_lag: minutes(1),
            arg_exposes_auth_mode: false,
            throttling: true,
            throttle_model: ThrottleModel::default(),
            token_lifetime: Duration::from_secs(3599),
            faults: Faults::default(),
        }
    }
}

impl Knobs {
    /// Every delay zero and every write synchronous: for tests about something else.
    pub fn immediate() -> Self {
        Self {
            role_propagation: Spread::fixed(Duration::ZERO),
            slow_propagation: Spread::fixed(Duration::ZERO),
            key_effect: Duration::ZERO,
            metric_lag: Duration::ZERO,
            log_lag: Duration::ZERO,
            activity_lag: Duration::ZERO,
            arg_lag: Duration::ZERO,
            operation: Duration::ZERO,
            service_grant_delay: Duration::ZERO,
            workspace_write: WorkspaceWrite::Sync,
            ..Self::default()
        }
    }
}

/// `--speed`: how many times faster than life delays pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speed(f64);

impl Speed {
    pub(crate) fn new(speed: f64) -> Option<Self> {
        (speed.is_finite() && speed > 0.0).then_some(Self(speed))
    }

    /// The delay as it passes here.
    pub(crate) fn shorten(self, delay: Duration) -> Duration {
        Duration::try_from_secs_f64(delay.as_secs_f64() / self.0).unwrap_or(Duration::MAX)
    }

    /// The real-life delay that passes here in `delay`.
    pub(crate) fn lengthen(self, delay: Duration) -> Duration {
        Duration::try_from_secs_f64(delay.as_secs_f64() * self.0).unwrap_or(Duration::MAX)
    }

    pub(crate) fn factor(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_a_finite_number_above_zero() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Speed::new(wrong), None, "{wrong}");
        }
        let speed = Speed::new(600.0).unwrap();
        assert_eq!(speed.shorten(Duration::from_secs(3600)), Duration::from_secs(6));
        assert_eq!(speed.lengthen(Duration::from_secs(6)), Duration::from_secs(3600));
    }
}
