//! A failed call of Azure as a value that is not known: with what kind of failure it was, and what would lift it.

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

/// The failure in one text, for where there is no place of its own for what would lift it.
pub(crate) fn with_lift(error: &ArmError) -> String {
    let lift = error.lift.as_ref().map(|lift| format!("; what lifts it: {lift}")).unwrap_or_default();
    format!("{error}{lift}")
}
