//! Whether the data plane of the account has answered the controller's own identity.
//!
//! It says that the account takes tokens, and that a grant there has come to work; whose grant is judged by age and by
//! agreeing reads, which this neither replaces nor shortens.

use crate::gate::{GateState, ReadSet};
use crate::observed::{Cause, Observed, Reading};

use super::{Judged, lacks, told};

/// The other way out of every state of this gate.
const OTHERWISE: &str = "`evidence: {dataProbe: false}` on the StorageAccount document, or without it in the Fleet";

/// [`crate::gate::Gate::DataProbed`]. Looked at only where the files ask for it.
pub(in crate::plan) fn data_probed(observed: &Observed) -> Judged {
    let endpoint = match &observed.account {
        Reading::NotRead => return told(GateState::NotLooked),
        Reading::Unknown { why, cause } => return told(GateState::unknown("the storage account", why, cause)),
        Reading::Known { value, .. } => value.as_ref().and_then(|account| account.blob_endpoint.clone()),
    };
    let Some(endpoint) = endpoint else {
        let why = "Azure names no blob endpoint of the account that could be asked";
        return told(GateState::unmet(why, OTHERWISE));
    };
    match &observed.data_probe {
        Reading::NotRead => lacks(ReadSet { data_probe: Some(endpoint), ..ReadSet::default() }),
        Reading::Known { value: (), .. } => told(GateState::Open),
        Reading::Unknown { why, cause: Cause { lift, .. } } => {
            let by_answer = lift.as_deref().unwrap_or("an answer of the account to the identity of keyless");
            told(GateState::unmet(
                format!("the data plane did not let the identity of keyless in: {why}"),
                format!("{by_answer}; or {OTHERWISE}"),
            ))
        }
    }
}
