//! A failed call of Azure as a value that is not known: with what kind of failure it was, and what would lift it.

use std::fmt;

use keyless_arm::error::ArmError;
use keyless_core::observed::{Cause, Reading};

/// The failure's kind and what would lift it.
pub(crate) fn cause(error: &ArmError) -> Cause {
    Cause { class: Some(error.class.as_str()), lift: error.lift.clone() }
}

/// The value that a failed read leaves behind.
pub(crate) fn failed<T>(error: &ArmError) -> Reading<T> {
    Reading::Unknown { why: error.to_string(), cause: cause(error) }
}

/// The same for one read of several: `what` says which.
pub(crate) fn failed_as<T>(what: &str, error: &ArmError) -> Reading<T> {
    Reading::Unknown { why: format!("{what}: {error}"), cause: cause(error) }
}

/// Why something could not be found out. `Display` tells what would lift it too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub why: String,
    /// What kind of failure it was, and what would lift it.
    pub cause: Cause,
}

impl Failure {
    /// Of one call; `what` says which, if that is not plain.
    pub(crate) fn of(what: Option<String>, error: &ArmError) -> Self {
        let what = what.map(|what| format!("{what}: ")).unwrap_or_default();
        Self { why: format!("{what}{error}"), cause: cause(error) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { why, cause: Cause { class: _, lift } } = self;
        let lift = lift.as_ref().map(|lift| format!("; what lifts it: {lift}")).unwrap_or_default();
        write!(f, "{why}{lift}")
    }
}
