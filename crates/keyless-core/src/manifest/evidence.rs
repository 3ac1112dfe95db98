//! The field `evidence` of a Fleet or a StorageAccount: where, besides metrics, it is looked up who uses a key.

use crate::id::LogAnalyticsId;

use super::wire::{At, object};

object! {
    /// What tells who uses a key, besides metrics.
    Evidence {
        /// The storage resource logs, which name callers and decide nothing.
        required log_analytics("logAnalytics"): LogAnalytics,
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
