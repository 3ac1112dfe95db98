//! Whether a workspace that goes back to the key holds the account's present ones.

use crate::desired::{Acceptance, DesiredWorkspace};
use crate::gate::GateState;
use crate::id::WorkspaceId;
use crate::observed::{Again, KeyTimes, Observed, Reading, Workspace};

use super::{Judged, told};

/// Why a workspace on identity may hold keys that the account no longer takes, if it may.
///
/// Azure tells when keys were made and never when a workspace took them. Keys older than the workspace are the ones it
/// was born with. Others are taken anew by keyless, whose memory is all that tells that they were: where it is lost they
/// are taken once more, which harms nothing.
pub(in crate::plan) fn staleness(own: &Workspace, keys: KeyTimes, observed: &Observed) -> Option<String> {
    if observed.history.keys_taken.get(&own.id).is_some_and(|taken| taken.keys == Some(keys)) {
        return None;
    }
    match (keys.newest(), own.created_at) {
        (Some(made), Some(born)) if made < born => None,
        (Some(made), _) => Some(format!("a key was made at {made}, and whether the workspace has it is not told")),
        (None, _) => Some("when the keys were made is not told".to_owned()),
    }
}

/// Whether this process took the keys before the switch and owes the workspace to do so once more.
pub(in crate::plan) fn is_owed(id: &WorkspaceId, observed: &Observed) -> bool {
    observed.history.keys_taken.get(id).is_some_and(|taken| taken.again == Again::Due)
}

/// [`crate::gate::Gate::KeysTaken`].
pub(in crate::plan) fn keys_taken(workspace: &DesiredWorkspace, own: &Workspace, observed: &Observed) -> Judged {
    let keys = match &observed.account {
        Reading::Unknown { why, cause } => return told(GateState::unknown("the storage account", why, cause)),
        Reading::NotRead | Reading::Known { value: None, .. } => return told(GateState::NotLooked),
        Reading::Known { value: Some(account), .. } => account.key_times,
    };
    let Some(why) = staleness(own, keys, observed) else { return told(GateState::Open) };
    let ended = match &workspace.accept_stale_keys {
        Some(accepted) if accepted.holds(observed.latest()) => return told(GateState::Open),
        Some(Acceptance { owner, until, .. }) => format!("; what {owner} accepted ended at {until}"),
        None => String::new(),
    };
    let (name, group) = (own.id.name(), own.id.resource_group());
    let subscription = own.id.subscription();
    told(GateState::unmet(
        format!("{why}{ended}"),
        format!(
            "the step before this one; or by hand `az ml workspace sync-keys --name {name} --resource-group {group} \
             --subscription {subscription}`, and then `acceptStaleKeys` in the document"
        ),
    ))
}
