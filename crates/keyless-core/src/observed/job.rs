//! A job of a workspace, and whether it or a compute instance still runs.

use std::fmt;

use super::Compute;

/// One job as the list of a workspace shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedJob {
    /// Its name in the workspace.
    pub name: String,
    /// `properties.jobType`, such as `Command` or `Pipeline`.
    pub job_type: String,
    /// `properties.status`, in Azure's spelling; empty where Azure does not tell it.
    pub status: String,
}

/// What a job comes to its end with.
///
/// Source: Azure/azure-rest-api-specs `stable/2024-04-01/mfe.json`, `JobStatus`; the enum is open. A `NotResponding` job may go
/// back to any status, and `Unknown` is whatever Azure cannot map, so neither is an end.
const ENDS: [&str; 3] = ["Completed", "Failed", "Canceled"];

impl ObservedJob {
    /// Whether it is over. A status that is not known here, or not told, is none of an end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        ENDS.iter().any(|end| self.status.eq_ignore_ascii_case(end))
    }
}

impl fmt::Display for ObservedJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, job_type, status } = self;
        let told = |word: &'static str, text: &str| if text.is_empty() { word.to_owned() } else { text.to_owned() };
        write!(f, "job {name} ({}, {})", told("type not told", job_type), told("status not told", status))
    }
}

/// The states in which a compute instance has no machine at work.
///
/// Source: Azure/azure-rest-api-specs `stable/2025-09-01/machineLearningServices.json`, `ComputeInstanceState`; the enum is
/// open. `SetupFailed`, `Unusable` and `Deleting` do not say that nothing runs any more.
const DOWN: [&str; 2] = ["Stopped", "CreateFailed"];

impl Compute {
    /// Whether it is a compute instance that may be at work. A state that is not known here, or not told, counts as one.
    #[must_use]
    pub fn is_instance_up(&self) -> bool {
        self.compute_type.eq_ignore_ascii_case("ComputeInstance")
            && !self.state.as_deref().is_some_and(|state| DOWN.iter().any(|down| state.eq_ignore_ascii_case(down)))
    }
}
