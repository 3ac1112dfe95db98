//! Gates on taking a datastore's stored credential away.
//!
//! A stored credential outranks every identity, so it hides a missing role until it is gone.
//! Source: MicrosoftDocs/azure-ai-docs `how-to-identity-based-service-authentication.md`.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::desired::{Acceptance, DesiredWorkspace};
use crate::gate::{GateState, ReadSet};
use crate::id::WorkspaceId;
use crate::observed::{Datastore, Observed, ObservedAuthMode, Reading};

use super::{Judged, lacks, told};

/// [`crate::gate::Gate::OnIdentity`].
pub(in crate::plan) fn on_identity(id: &WorkspaceId, observed: &Observed) -> Judged {
    match observed.workspaces.get(id).map(|entry| &entry.workspace) {
        None | Some(Reading::NotRead) => {
            lacks(ReadSet { workspaces: BTreeSet::from([id.clone()]), ..ReadSet::default() })
        }
        Some(Reading::Unknown { why, cause }) => told(GateState::unknown("the workspace", why, cause)),
        Some(Reading::Known { value: None, .. }) => {
            told(GateState::unmet("the workspace does not exist", "the workspace, or its document removed"))
        }
        Some(Reading::Known { value: Some(own), .. }) if own.auth_mode == ObservedAuthMode::Identity => {
            told(GateState::Open)
        }
        Some(Reading::Known { value: Some(own), .. }) => {
            told(GateState::unmet(format!("the workspace is on {}", own.auth_mode), "the workspace on identity"))
        }
    }
}

/// [`crate::gate::Gate::OneWayAccepted`].
pub(in crate::plan) fn one_way_accepted(workspace: &DesiredWorkspace, now: Timestamp) -> Judged {
    let lift = "`acceptOneWay: {reason, owner, until}` in the Workspace document";
    match &workspace.accept_one_way {
        Some(accepted) if accepted.holds(now) => told(GateState::Open),
        Some(accepted) => told(GateState::unmet(
            format!("`acceptOneWay` of {} ended at {}", accepted.owner, accepted.until),
            "a later `until` in `acceptOneWay`",
        )),
        None => told(GateState::unmet(
            "it cannot be taken back: the stored secret is overwritten, and keyless never reads secrets",
            lift,
        )),
    }
}

/// [`crate::gate::Gate::AccessJudged`].
pub(in crate::plan) fn access_judged(
    datastore: &Datastore,
    accepted: Option<&Acceptance>,
    observed: &Observed,
) -> Judged {
    if datastore.is_on(observed.account_id.name()) || accepted.is_some_and(|accepted| accepted.holds(observed.now)) {
        return told(GateState::Open);
    }
    let place = datastore.account_name.as_deref().unwrap_or("a store that is no storage account");
    told(GateState::unmet(
        format!("it stands on {place}, where the access of those who read through it is not judged"),
        format!(
            "a person makes sure that they all have data roles on {place}, and names the datastore in `datastores` with \
             `acceptAccess: {{reason, owner, until}}`"
        ),
    ))
}
