//! Which gates a step of each kind carries.

use std::collections::BTreeSet;

use crate::action::Action;
use crate::desired::{AuthMode, KeyDesired};
use crate::gate::Gate;
use crate::id::WorkspaceId;
use crate::observed::Observed;
use crate::plan::Step;

use super::{Rule, Verdict};

/// The gates of every change.
const ALWAYS: [Gate; 9] = [
    Gate::Active,
    Gate::Booted,
    Gate::Settled,
    Gate::NotRefused,
    Gate::NoFight,
    Gate::Window,
    Gate::Unlocked,
    Gate::Permitted,
    Gate::PolicyAllows,
];

fn of(action: &Action, key_is_off: bool, here: bool) -> &'static [Gate] {
    match action {
        Action::GrantRole(_) => &[Gate::BelowCeiling],
        // Nobody has access to lose where the key is off already.
        Action::SetAuthMode { mode: AuthMode::Identity, .. } if key_is_off => &[Gate::ModeKnown],
        Action::SetAuthMode { mode: AuthMode::Identity, .. } => &[
            Gate::ModeKnown,
            Gate::NeedsCovered,
            Gate::NeedsAged,
            Gate::ServiceGrant,
            Gate::Compatible,
            Gate::Reachable,
            Gate::WayBack,
        ],
        Action::SetAuthMode { mode: AuthMode::AccessKey, .. } => {
            &[Gate::ModeKnown, Gate::KeyOn, Gate::KeyEffective, Gate::KeysTaken]
        }
        Action::CreateWorkspace { .. } => &[Gate::HubThere, Gate::NeedsCovered, Gate::NeedsAged],
        Action::ResyncWorkspaceKeys { .. } => &[Gate::ModeKnown, Gate::KeyOn],
        Action::SetSharedKeyAccess { allowed: true, .. } => &[],
        Action::SetSharedKeyAccess { allowed: false, .. } => {
            &[Gate::Agreed, Gate::AllOnIdentity, Gate::Listed, Gate::NoStoredKeys, Gate::KeyIdle, Gate::WayBack]
        }
        Action::SetDatastoreCredential { .. } if here => &[
            Gate::OneWayAccepted,
            Gate::ModeKnown,
            Gate::OnIdentity,
            Gate::AccessJudged,
            Gate::NeedsCovered,
            Gate::NeedsAged,
            Gate::ServiceGrant,
        ],
        Action::SetDatastoreCredential { .. } => {
            &[Gate::OneWayAccepted, Gate::ModeKnown, Gate::OnIdentity, Gate::AccessJudged]
        }
        Action::CreateDatastore { .. } => &[Gate::ModeKnown],
        Action::RevokeRole { .. } => &[Gate::WentBack, Gate::Listed, Gate::NeedsCovered, Gate::NeedsAged],
    }
}

pub(super) fn judge(desired: &KeyDesired, observed: &Observed, step: &Step, found: &mut Verdict) {
    let key_is_off =
        observed.account.value().and_then(Option::as_ref).is_some_and(|account| !account.shared_key.is_on());
    let here = match &step.action {
        Action::SetDatastoreCredential { workspace, name, .. } => is_here(workspace, name, desired, observed),
        _ => false,
    };
    let mut carried = BTreeSet::new();
    for check in &step.gates {
        let once = carried.insert(check.gate);
        found.demand(once, Rule::Carried, format!("gate {} is carried twice", check.gate));
    }
    let drained = super::drained::waits(&step.action, key_is_off, desired).then_some(&Gate::Drained);
    let probed = super::probed::waits(&step.action, key_is_off, desired).then_some(&Gate::DataProbed);
    for gate in ALWAYS.iter().chain(of(&step.action, key_is_off, here)).chain(drained).chain(probed) {
        found.demand(carried.contains(gate), Rule::Carried, format!("gate {gate} is not carried"));
    }
}

/// Whether a datastore stands on the account of the plan.
pub(super) fn is_here(workspace: &WorkspaceId, name: &str, desired: &KeyDesired, observed: &Observed) -> bool {
    let account = desired.account_id.name();
    let stores = observed.workspaces.get(workspace).and_then(|entry| entry.datastores.value());
    stores.into_iter().flatten().any(|store| {
        let named = store.account_name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(account));
        store.name.eq_ignore_ascii_case(name) && named
    })
}
