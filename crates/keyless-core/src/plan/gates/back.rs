//! Gates of the way back: what must be over before grants are taken back.

use crate::desired::{AuthMode, KeyDesired};
use crate::gate::GateState;
use crate::observed::{Observed, ObservedAuthMode, Reading};

use super::keys::is_owed;
use super::{Judged, listed, told};

/// [`crate::gate::Gate::WentBack`]. Who leaves the files together with the mode works through the grant until the
/// workspace is back on the key.
pub(in crate::plan) fn went_back(observed: &Observed, desired: &KeyDesired) -> Judged {
    let mut under_way = Vec::new();
    for (id, workspace) in &desired.workspaces {
        if workspace.auth_mode != AuthMode::AccessKey {
            continue;
        }
        match observed.workspaces.get(id).map(|entry| &entry.workspace) {
            None | Some(Reading::NotRead) => return told(GateState::NotLooked),
            Some(Reading::Unknown { why, cause }) => return told(GateState::unknown("the workspace", why, cause)),
            // One that does not exist has nobody who works through it.
            Some(Reading::Known { value: None, .. }) => {}
            Some(Reading::Known { value: Some(own), .. }) => match own.auth_mode {
                ObservedAuthMode::AccessKey | ObservedAuthMode::Unset if is_owed(id, observed) => {
                    under_way.push(format!("{} is to take its keys once more", id.name()));
                }
                ObservedAuthMode::AccessKey | ObservedAuthMode::Unset => {
                    under_way.extend(own.running().map(|state| {
                        format!("another operation runs on {} (`{state}`)", id.name()) //
                    }));
                }
                ObservedAuthMode::Identity | ObservedAuthMode::Other(_) => {
                    under_way.push(format!("{} is on {}", id.name(), own.auth_mode));
                }
            },
        }
    }
    if !under_way.is_empty() {
        let why = format!("the way back is not over: {}", listed(&under_way));
        return told(GateState::unmet(why, "the steps before this one"));
    }
    told(GateState::Open)
}
