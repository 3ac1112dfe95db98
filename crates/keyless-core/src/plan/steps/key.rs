//! The account's key, on and off.

use std::collections::BTreeSet;

use crate::action::{Action, Effort};
use crate::desired::{AuthMode, DesiredSharedKey};
use crate::gate::{Gate, GateState, ReadSet};
use crate::plan::gates;
use crate::plan::{Drift, Finding};

use super::Planner;

/// What the files ask of the account's key.
pub(super) enum KeyTarget {
    On,
    Off,
    /// As it is now.
    Keep,
    /// As it is now, because the documents do not agree; turning it off is shown as blocked.
    Disputed(String),
}

impl Planner<'_> {
    pub(super) fn key_target(&mut self) -> KeyTarget {
        if self.desired.asks_for_key_off() {
            return KeyTarget::Off;
        }
        match self.desired.account.as_ref().map(|account| (account, account.shared_key_access)) {
            None | Some((_, DesiredSharedKey::Unmanaged)) => KeyTarget::Keep,
            Some((_, DesiredSharedKey::Enabled)) => KeyTarget::On,
            Some((account, DesiredSharedKey::Disabled)) => {
                let back = self.desired.workspaces.values().filter(|own| own.auth_mode == AuthMode::AccessKey);
                let names: Vec<&str> = back.map(|own| own.name.as_str()).collect();
                let what = format!(
                    "{} asks for the key to be disabled, but {} asks for accesskey: the key keeps its present state",
                    account.name,
                    names.join(", ")
                );
                self.findings.insert(Finding::Contradiction { what: what.clone() });
                KeyTarget::Disputed(what)
            }
        }
    }

    pub(super) fn key_on(&mut self, target: &KeyTarget) {
        let Some(account) = self.observed.account.value().and_then(Option::as_ref) else { return };
        if !matches!(target, KeyTarget::On) || account.shared_key.is_on() {
            return;
        }
        self.drift.insert(Drift::SharedKey { desired_on: true, observed: account.shared_key });
        let action = Action::SetSharedKeyAccess { account: self.desired.account_id.clone(), allowed: true };
        let active = gates::account_active(self.desired, self.observed.now);
        // For a workspace that is on keys already, it gives back what is lost now.
        let on_keys = |id| {
            let own = self.observed.workspaces.get(id).and_then(|entry| entry.workspace.value()?.as_ref());
            own.is_some_and(|own| own.auth_mode.is_key())
        };
        let effort = if self.desired.workspaces.keys().any(on_keys) { Effort::Repair } else { Effort::Loosen };
        let mut checks = self.checks(&action, effort, active);
        self.barriers(&mut checks, &action);
        self.push(action, effort, BTreeSet::new(), checks);
    }

    pub(super) fn key_off(&mut self, target: &KeyTarget) {
        let agreed = match target {
            KeyTarget::Off => GateState::Open,
            KeyTarget::Disputed(what) => GateState::unmet(what.clone(), "documents that agree"),
            KeyTarget::On | KeyTarget::Keep => return,
        };
        let Some(account) = self.observed.account.value().and_then(Option::as_ref) else { return };
        if !account.shared_key.is_on() {
            return;
        }
        self.drift.insert(Drift::SharedKey { desired_on: false, observed: account.shared_key });
        let action = Action::SetSharedKeyAccess { account: self.desired.account_id.clone(), allowed: false };
        let active = gates::account_active(self.desired, self.observed.now);
        let mut checks = self.checks(&action, Effort::Tighten, active);
        checks.look(Gate::Agreed, (agreed, ReadSet::default()));
        checks.look(Gate::AllOnIdentity, gates::all_on_identity(self.observed, self.desired));
        checks.look(Gate::Unlocked, gates::unlocked(&action, self.observed));
        checks.look(Gate::Listed, gates::subscriptions_listed(self.observed));
        checks.look(Gate::NoStoredKeys, gates::no_stored_keys(self.observed, self.desired));
        checks.look(Gate::KeyIdle, gates::key_idle(self.observed, self.desired));
        // Last, as a key may have to idle for weeks and these cost reads on every pass.
        self.rights_and_policies(&mut checks, &action);
        self.way_back(&mut checks, &action);
        self.probed(&mut checks);
        self.push(action, Effort::Tighten, BTreeSet::new(), checks);
        self.key_evidence();
    }
}
