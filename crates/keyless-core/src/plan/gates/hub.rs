//! The gate on making a project.

use std::collections::BTreeSet;

use crate::desired::{Create, CreateKind};
use crate::gate::{GateState, ReadSet};
use crate::observed::{Observed, Reading};

use super::{Judged, lacks, told};

/// [`crate::gate::Gate::HubThere`].
pub(in crate::plan) fn hub_there(create: &Create, observed: &Observed) -> Judged {
    let CreateKind::Project(hub) = &create.kind else { return told(GateState::Open) };
    match observed.workspaces.get(hub).map(|entry| &entry.workspace) {
        Some(Reading::Known { value: Some(own), .. }) => {
            let done = own.provisioning_state.as_deref().is_none_or(|state| state.eq_ignore_ascii_case("Succeeded"));
            if done {
                return told(GateState::Open);
            }
            told(GateState::unmet(format!("the hub {} is not ready", hub.name()), "the end of what runs on it"))
        }
        Some(Reading::Known { value: None, .. }) => {
            told(GateState::unmet(format!("there is no hub {}", hub.name()), "that hub, or another one in `create`"))
        }
        Some(Reading::Unknown { why, cause }) => told(GateState::unknown(&format!("hub {}", hub.name()), why, cause)),
        Some(Reading::NotRead) | None => {
            lacks(ReadSet { workspaces: BTreeSet::from([hub.clone()]), ..ReadSet::default() })
        }
    }
}
