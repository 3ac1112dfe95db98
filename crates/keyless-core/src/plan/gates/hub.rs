//! The gate on making a project.

use std::collections::BTreeSet;

use crate::desired::{Create, CreateKind};
use crate::gate::{GateState, ReadSet};
use crate::id::WorkspaceId;
use crate::observed::{Observed, Reading, Workspace, WorkspaceKind};

use super::{Judged, lacks, told};

/// [`crate::gate::Gate::HubThere`].
pub(in crate::plan) fn hub_there(create: &Create, observed: &Observed) -> Judged {
    let CreateKind::Project(hub) = &create.kind else { return told(GateState::Open) };
    match observed.workspaces.get(hub).map(|entry| &entry.workspace) {
        Some(Reading::Known { value: Some(own), .. }) => {
            if let Some(elsewhere) = misplaced(own, hub, create) {
                return told(elsewhere);
            }
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

/// Why a project would not come to stand where its document says: it stands on the account of its hub, whatever the
/// request says.
fn misplaced(own: &Workspace, hub: &WorkspaceId, create: &Create) -> Option<GateState> {
    let (name, account) = (hub.name(), create.storage_account.name());
    let another = format!("another hub in `create`, one that stands on {account}");
    if own.kind != WorkspaceKind::Hub {
        let why = format!("{name} is a {}, and a project is made in a hub", own.kind);
        return Some(GateState::unmet(why, another));
    }
    match &own.storage_account {
        Some(stands) if *stands == create.storage_account => None,
        Some(stands) => {
            let why = format!("the hub {name} stands on {}, and `create` says {account}", stands.name());
            Some(GateState::unmet(why, format!("`storageAccount: {stands}` in `create`, or {another}")))
        }
        None => Some(GateState::unmet(format!("the hub {name} names no storage account"), another)),
    }
}
