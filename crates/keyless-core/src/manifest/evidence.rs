//! The field `evidence` of a Fleet or a StorageAccount: where, besides metrics, it is looked up who uses a key, and
//! whether the data plane is asked.

use crate::id::LogAnalyticsId;

use super::wire::{At, object};

object! {
    /// What is known by, besides what is read always.
    Evidence {
        /// The storage resource logs, which name callers and decide nothing.
        optional log_analytics("logAnalytics"): LogAnalytics,
        /// Whether switches wait until the data plane of the account has let the identity of keyless in.
        optional data_probe("dataProbe"): bool,
    }
    elsewhere {
        "probe" => "it is called `dataProbe` here: true or false",
    }
}

object! {
    /// Storage resource logs in a Log Analytics workspace.
    LogAnalytics {
        /// The ARM id of the workspace to which the diagnostic settings of the accounts' services send.
        required workspace("workspace"): LogAnalyticsId,
    }
    elsewhere {
        "workspaceId" => "it is called `workspace` here, and takes the ARM id",
        "customerId" => "`workspace` takes the ARM id; `az monitor log-analytics workspace list` prints it",
    }
}

/// The workspace, where one is named.
pub(super) fn workspace(given: Option<&At<Evidence>>) -> Option<LogAnalyticsId> {
    Some(given?.value.log_analytics.as_ref()?.value.workspace.as_ref()?.value.clone())
}

/// Whether the data plane is asked, where that is said.
pub(super) fn data_probe(given: Option<&At<Evidence>>) -> Option<bool> {
    Some(given?.value.data_probe.as_ref()?.value)
}
