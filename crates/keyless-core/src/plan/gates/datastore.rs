//! Gates on taking a datastore's stored credential away.
//!
//! A stored credential outranks every identity, so it hides a missing role until it is gone.
//! Source: MicrosoftDocs/azure-ai-docs `how-to-identity-based-service-authentication.md`.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::desired::{Acceptance, DesiredWorkspace, KeyDesired};
use crate::gate::{GateState, ReadSet};
use crate::id::{StorageAccountId, WorkspaceId};
use crate::observed::{Datastore, Observed, ObservedAuthMode, Reading};

use super::{Judged, lacks, needs_aged, needs_covered, told};
use crate::plan::needs::{NeedView, Resolved};

/// [`crate::gate::Gate::OnIdentity`].
pub(in crate::plan) fn on_identity(id: &WorkspaceId, observed: &Observed) -> Judged {
    match observed.workspaces.get(id).map(|entry| &entry.workspace) {
        None | Some(Reading::NotRead) => told(GateState::NotLooked),
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

/// [`crate::gate::Gate::AccessJudged`]. On the account of the pass the gates of the switch judge.
pub(in crate::plan) fn access_judged(
    datastore: &Datastore,
    accepted: Option<&Acceptance>,
    views: &[NeedView<'_>],
    observed: &Observed,
    desired: &KeyDesired,
) -> Judged {
    if datastore.is_on(observed.account_id.name()) || accepted.is_some_and(|accepted| accepted.holds(observed.latest()))
    {
        return told(GateState::Open);
    }
    let place = datastore.account_name.as_deref().unwrap_or("a store that is no storage account");
    let vouch = format!(
        "a person makes sure that all who read through it have data roles on {place}, and names it in `datastores` with \
         `acceptAccess: {{reason, owner, until}}`"
    );
    let Some(id) = account_of(datastore) else {
        return told(GateState::unmet(format!("it stands on {place}, and where that is Azure does not tell"), vouch));
    };
    let Some(there) = observed.access_at.get(&id) else {
        return lacks(ReadSet { access_at: BTreeSet::from([id]), ..ReadSet::default() });
    };
    // The same judgement as at home, over what was read there.
    let mut seen = Observed {
        assignments: there.assignments.clone(),
        roles: there.roles.clone(),
        denies: there.denies.clone(),
        history: observed.history.clone(),
        ..Observed::unread(id.clone(), observed.now)
    };
    for view in views {
        let Resolved::Known(holders) = &view.holders else { continue };
        for (principal, _) in holders {
            let why = "what it has through groups is not looked at on another account";
            seen.groups.insert(*principal, Reading::unknown(why));
            seen.eligibilities.insert(*principal, Reading::unknown(why));
        }
    }
    let read_again = || lacks(ReadSet { access_at: BTreeSet::from([id.clone()]), ..ReadSet::default() });
    for (state, _) in [needs_covered(views, &seen, desired), needs_aged(views, &seen, desired)] {
        match state {
            GateState::Open => {}
            GateState::NotLooked => return read_again(),
            GateState::Waiting { until, why } => {
                return told(GateState::Waiting { until, why: format!("{why} at {place}") });
            }
            GateState::Unmet { why, lift: _ } => {
                let lift = format!("those roles at {place}, where keyless grants nothing; or {vouch}");
                return told(GateState::unmet(format!("at {place}: {why}"), lift));
            }
        }
    }
    told(GateState::Open)
}

/// The account that a datastore stands on, if the datastore tells enough to name it.
fn account_of(datastore: &Datastore) -> Option<StorageAccountId> {
    let (name, form) = (datastore.account_name.as_deref()?, &datastore.form);
    let (subscription, group) = (form.subscription.as_deref()?, form.resource_group.as_deref()?);
    let provider = "Microsoft.Storage/storageAccounts";
    StorageAccountId::parse(&format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/{provider}/{name}"
    ))
    .ok()
}

/// The other accounts whose access decides over a datastore.
pub(in crate::plan) fn accounts_of(name: &str, datastores: &[Datastore], own: &str) -> BTreeSet<StorageAccountId> {
    let named = datastores.iter().filter(|store| store.name == name && !store.is_on(own));
    named.filter_map(account_of).collect()
}
