//! Gates on turning the account's key off.

use crate::desired::KeyDesired;
use crate::gate::{GateState, ReadSet};
use crate::observed::{Observed, ObservedAuthMode, Reading};

use super::{Judged, lacks, listed, told};

/// [`crate::gate::Gate::Listed`].
pub(in crate::plan) fn subscriptions_listed(observed: &Observed) -> Judged {
    let wanted = || lacks(ReadSet { listings: true, ..ReadSet::default() });
    if observed.listings.is_empty() {
        return wanted();
    }
    for (subscription, reading) in &observed.listings {
        match reading {
            Reading::Known { .. } => {}
            Reading::NotRead => return wanted(),
            Reading::Unknown { why, cause } => {
                let why = format!("the workspaces of subscription {subscription} could not all be told: {why}");
                let lift = cause.lift.as_deref().unwrap_or("a complete read");
                return told(GateState::unmet(
                    why,
                    format!("{lift}, or `scope: {{exclude: …}}` in the Fleet document"),
                ));
            }
        }
    }
    told(GateState::Open)
}

/// [`crate::gate::Gate::AllOnIdentity`].
pub(in crate::plan) fn all_on_identity(observed: &Observed, desired: &KeyDesired) -> Judged {
    let mut unmet = Vec::new();
    let mut wants = ReadSet::default();
    for (id, entry) in &observed.workspaces {
        let undeclared = if desired.workspaces.contains_key(id) { "" } else { " (undeclared)" };
        match &entry.workspace {
            Reading::NotRead => {
                wants.workspaces.insert(id.clone());
            }
            Reading::Unknown { why, .. } => unmet.push(format!("{}{undeclared} could not be read: {why}", id.name())),
            Reading::Known { value: None, .. } => {}
            Reading::Known { value: Some(own), .. } => {
                if own.auth_mode != ObservedAuthMode::Identity {
                    unmet.push(format!("{} {}{undeclared} is on {}", own.kind, id.name(), own.auth_mode));
                } else if let Some(state) = own.running() {
                    // One that a process before this one began may put it back on the key when it ends.
                    unmet.push(format!("another operation runs on {} {}{undeclared} (`{state}`)", own.kind, id.name()));
                }
            }
        }
    }
    for id in desired.unplaced.keys() {
        unmet.push(format!("{} may stand on this account: its own could not be found out", id.name()));
    }
    if !unmet.is_empty() {
        return told(GateState::unmet(
            listed(&unmet),
            "every workspace on the account on identity and at rest, by a direct read",
        ));
    }
    if wants.is_empty() { told(GateState::Open) } else { lacks(wants) }
}

/// [`crate::gate::Gate::NoStoredKeys`].
pub(in crate::plan) fn no_stored_keys(observed: &Observed, desired: &KeyDesired) -> Judged {
    let mut unmet = Vec::new();
    // Named last: these change with the mode of their workspace, the others need somebody.
    let mut of_system = Vec::new();
    // Whether a field of the files would take one of them away.
    let mut convertible = false;
    let mut wants = ReadSet::default();
    for (id, entry) in &observed.workspaces {
        if matches!(entry.workspace, Reading::Known { value: None, .. }) {
            continue;
        }
        match &entry.datastores {
            Reading::NotRead => {
                wants.datastores.insert(id.clone());
            }
            Reading::Unknown { why, .. } => unmet.push(format!("datastores of {} could not be read: {why}", id.name())),
            Reading::Known { value, .. } => {
                for datastore in value {
                    // A datastore that names no account may be on this one.
                    let here = datastore
                        .account_name
                        .as_deref()
                        .is_none_or(|name| name.eq_ignore_ascii_case(observed.account_id.name()));
                    if here && datastore.credentials.may_need_key() {
                        convertible |= desired.workspaces.contains_key(id)
                            && datastore.credentials.is_key()
                            && !datastore.is_system();
                        let list = if datastore.is_system() { &mut of_system } else { &mut unmet };
                        list.push(format!("{}/{} holds a key or SAS", id.name(), datastore.name));
                    }
                }
            }
        }
    }
    match &observed.elsewhere {
        Reading::NotRead => wants.elsewhere = true,
        Reading::Unknown { why, .. } => {
            unmet.push(format!("datastores of workspaces elsewhere could not be read: {why}"))
        }
        Reading::Known { value, .. } => {
            for (id, datastores) in value {
                for datastore in datastores.iter().filter(|datastore| datastore.credentials.may_need_key()) {
                    unmet.push(format!("{}/{}, on another account, holds a key or SAS", id.name(), datastore.name));
                }
            }
        }
    }
    unmet.append(&mut of_system);
    if !unmet.is_empty() {
        let mut lift =
            "those datastores readable, and without stored credentials; `scope: {exclude: …}` leaves out a workspace, if \
             it can have no key"
                .to_owned();
        if convertible {
            lift.push_str("; `datastores: {convert: all}` with `acceptOneWay` in the Workspace document converts them");
        }
        return told(GateState::unmet(listed(&unmet), lift));
    }
    if wants.is_empty() { told(GateState::Open) } else { lacks(wants) }
}
