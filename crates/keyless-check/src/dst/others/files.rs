//! Whoever writes the files: how they change while keyless works by them.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use keyless_core::catalog;
use keyless_core::desired::{
    AfterSuspend, AuthMode, DesiredAccount, DesiredSharedKey, DesiredWorkspace, Enforcement, GrantScope, Need,
    PrincipalRef, Suspend,
};
use keyless_core::id::{StorageAccountId, WorkspaceId};
use keyless_core::observed::PrincipalType;
use keyless_sim::{Drift, DriftChange};
use serde_json::{Value, json};

use super::{Others, signed};
use crate::dst::fleet::club_of;
use crate::dst::foreign::{DECLARED, Foreign};
use crate::dst::wire::Road;

impl Others {
    /// The documents of all workspaces on an account go, but for the last; or those that went come again. What, in words.
    pub(crate) fn documents(&mut self, road: &Road) -> String {
        if !self.gone.is_empty() {
            self.desired.workspaces.append(&mut self.gone);
            self.speaks_of_keys(road);
            return "documents come again".to_owned();
        }
        let on = |id: &WorkspaceId| road.judge().account_of(&id.as_str().to_ascii_lowercase());
        let all: Vec<(WorkspaceId, Option<String>)> =
            self.desired.workspaces.keys().map(|id| (id.clone(), on(id))).collect();
        let Some((_, account)) = self.documents.pick(&all).cloned() else { return "nothing".to_owned() };
        for (id, _) in all.iter().filter(|(_, of)| *of == account).take(all.len() - 1) {
            self.gone.extend(self.desired.workspaces.remove_entry(id));
        }
        self.speaks_of_keys(road);
        road.judge().count("flip: documents gone");
        format!("{} documents go", self.gone.len())
    }

    /// A document of those in force begins to observe; or all enforce again. What, in words.
    pub(crate) fn observes(&mut self, road: &Road) -> String {
        let observing = |one: &DesiredWorkspace| one.enforcement == Enforcement::Observe;
        if self.desired.workspaces.values().any(observing) && self.observers.chance(0.5) {
            self.all_enforce();
            return "all enforce".to_owned();
        }
        let ids: Vec<WorkspaceId> = self.desired.workspaces.keys().cloned().collect();
        let Some(one) = self.observers.pick(&ids).and_then(|id| self.desired.workspaces.get_mut(id)) else {
            return "nothing".to_owned();
        };
        one.enforcement = Enforcement::Observe;
        road.judge().count("flip: one observes");
        format!("{} observes", one.name)
    }

    pub(super) fn all_enforce(&mut self) {
        for one in self.desired.workspaces.values_mut().chain(self.gone.values_mut()) {
            one.enforcement = Enforcement::Enforce;
        }
    }

    /// The files ask for the mode that is not this one, for all of these.
    pub(super) fn turns(&mut self, ids: &[String], mode: AuthMode) {
        for (id, one) in &mut self.desired.workspaces {
            if ids.contains(&id.as_str().to_ascii_lowercase()) {
                one.auth_mode = other(mode);
            }
        }
    }

    /// The files change. What, in words that begin with the kind.
    pub(crate) fn flips(&mut self, road: &Road) -> String {
        let ids: Vec<WorkspaceId> = self.desired.workspaces.keys().cloned().collect();
        let kind = self.flip.between(0, 11);
        let Some(id) = self.flip.pick(&ids).cloned() else { return "nothing".to_owned() };
        let span = self.flip.seconds(30, 1200);
        let resumes = self.flip.chance(0.5);
        let now = road.sim.now();
        let suspend = Suspend {
            reason: "a pause".to_owned(),
            until: now.checked_add(signed(span)).unwrap_or(Timestamp::MAX),
            then: if resumes { AfterSuspend::Resume } else { AfterSuspend::Stay },
        };
        let mode = self.desired.workspaces.get(&id).map_or(AuthMode::Identity, |one| one.auth_mode);
        let said = match kind {
            0..=3 => {
                let all: Vec<String> = {
                    let judge = road.judge();
                    let account = judge.account_of(&id.as_str().to_ascii_lowercase());
                    account.iter().flat_map(|account| judge.truth.on(account)).map(|(id, _)| id.clone()).collect()
                };
                self.turns(&all, mode);
                format!("account to {}", other(mode))
            }
            4..=5 => {
                if let Some(one) = self.desired.workspaces.get_mut(&id) {
                    one.auth_mode = other(mode);
                }
                format!("workspace to {}", other(mode))
            }
            6..=7 => match self.needs.pop() {
                Some((of, need, works)) if resumes => {
                    if let Some(one) = self.desired.workspaces.get_mut(&of) {
                        one.needs.retain(|held| *held != need);
                    }
                    let gone = DriftChange::ResourceRemoved;
                    let _ =
                        road.sim.drift(Drift { change: gone, target: works, value: Value::Null, by: String::new() });
                    "principal removed".to_owned()
                }
                back => {
                    self.needs.extend(back);
                    self.adds_somebody(road, &id)
                }
            },
            8 => {
                if let Some(one) = self.desired.workspaces.get_mut(&id) {
                    one.suspend = one.suspend.is_none().then_some(suspend);
                }
                "one suspended or resumed".to_owned()
            }
            9..=10 => {
                let none = self.desired.workspaces.values().all(|one| one.suspend.is_none());
                for one in self.desired.workspaces.values_mut() {
                    one.suspend = none.then(|| suspend.clone());
                }
                "all suspended or resumed".to_owned()
            }
            _ => {
                self.desired.fleet.paused = !self.desired.fleet.paused;
                "paused or resumed".to_owned()
            }
        };
        self.swaps_somebody(road);
        self.says_something(road);
        self.speaks_of_keys(road);
        road.judge().count(&format!("flip: {said}"));
        said
    }

    /// A document names the group of a person in the person's place, or the person again.
    fn swaps_somebody(&mut self, road: &Road) {
        if !self.draw.swaps || !self.swapper.chance(0.7) {
            return;
        }
        let ids: Vec<WorkspaceId> = self.desired.workspaces.keys().cloned().collect();
        let Some(id) = self.swapper.pick(&ids).cloned() else { return };
        let Some(one) = self.desired.workspaces.get_mut(&id) else { return };
        let is_swappable = |principal: &PrincipalRef| {
            matches!(principal, PrincipalRef::Object { kind: PrincipalType::User | PrincipalType::Group, .. })
        };
        let all: BTreeSet<PrincipalRef> =
            one.needs.iter().map(|need| need.principal.clone()).filter(is_swappable).collect();
        let all: Vec<PrincipalRef> = all.into_iter().collect();
        let Some(PrincipalRef::Object { kind, id: old, name }) = self.swapper.pick(&all).cloned() else { return };
        let (kind, new) = match kind {
            PrincipalType::User => (PrincipalType::Group, club_of(old)),
            // The groups of the fleet itself stay.
            _ if self.clubs.contains(&old) => (PrincipalType::User, club_of(old)),
            _ => return,
        };
        self.clubs.extend((kind == PrincipalType::Group).then_some(new));
        for need in one.needs.iter_mut() {
            if matches!(&need.principal, PrincipalRef::Object { id, .. } if *id == old) {
                need.principal = PrincipalRef::Object { kind, id: new, name: name.clone() };
            }
        }
        one.needs.sort();
        one.needs.dedup();
        road.judge().count(if kind == PrincipalType::Group { "swapped: a group" } else { "swapped: a person" });
    }

    /// A document of an account begins to say something of its key, whatever the workspaces are to be on.
    fn says_something(&mut self, road: &Road) {
        if !self.draw.speaks || !self.speaker.chance(0.7) {
            return;
        }
        let accounts: Vec<String> = road.judge().truth.keys.keys().cloned().collect();
        let words = [DesiredSharedKey::Enabled, DesiredSharedKey::Disabled, DesiredSharedKey::Unmanaged];
        let (account, word) = (self.speaker.pick(&accounts), self.speaker.pick(&words).copied());
        let Some((id, word)) = account.and_then(|id| StorageAccountId::parse(id).ok()).zip(word) else { return };
        self.said.insert(id, word);
        road.judge().count(&format!("said of a key: {word:?}"));
    }

    /// Whoever sends a workspace back says that the key comes on, or forgets to.
    pub(super) fn speaks_of_keys(&mut self, road: &Road) {
        let said = self.said.iter().map(|(id, word)| (id.clone(), DesiredAccount::new(id.clone(), *word)));
        self.desired.accounts = said.collect();
        if !self.draw.says_enabled {
            return;
        }
        let back: Vec<&WorkspaceId> = self
            .desired
            .workspaces
            .iter()
            .filter(|(_, one)| one.auth_mode == AuthMode::AccessKey)
            .map(|(id, _)| id)
            .collect();
        for id in back {
            let account = road.judge().account_of(&id.as_str().to_ascii_lowercase());
            let Some(id) = account.and_then(|account| StorageAccountId::parse(&account).ok()) else { continue };
            let declared = DesiredAccount::new(id.clone(), DesiredSharedKey::Enabled);
            self.desired.accounts.insert(id, declared);
        }
    }

    fn adds_somebody(&mut self, road: &Road, id: &WorkspaceId) -> String {
        let people: Vec<PrincipalRef> = self
            .desired
            .workspaces
            .values()
            .flat_map(|one| &one.needs)
            .map(|need| need.principal.clone())
            .filter(|one| matches!(one, PrincipalRef::Object { kind: PrincipalType::User, .. }))
            .collect();
        let Some(person) = self.flip.pick(&people).cloned() else { return "nobody to add".to_owned() };
        let need = Need {
            principal: person.clone(),
            role: catalog::BLOB_CONTRIBUTOR,
            grant_scope: GrantScope::Account,
            condition: None,
            because: BTreeSet::new(),
        };
        let Some(one) = self.desired.workspaces.get_mut(id) else { return "nobody to add".to_owned() };
        if one.needs.iter().any(|held| held.principal == person) {
            return "nobody to add".to_owned();
        }
        one.needs.push(need.clone());
        one.needs.sort();
        self.made += 1;
        let works = format!("{}/providers/Keyless.Sim/workloads/added-{}", id.as_str(), self.made);
        let PrincipalRef::Object { id: principal, .. } = &person else { return "nobody to add".to_owned() };
        let value = json!({"id": works, "type": "Keyless.Sim/workloads", "properties": {
            "workspace": id.as_str(), "principalId": principal.to_string(), "triesPerHour": 360,
            "dataActions": ["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"],
        }});
        let put = DriftChange::ResourcePut;
        let _ = road.sim.drift(Drift { change: put, target: works.clone(), value, by: String::new() });
        let account = road.judge().account_of(&id.as_str().to_ascii_lowercase());
        // Who works before the files of the moment have come into force could not be looked after.
        let foreign = Foreign {
            at: road.sim.now(),
            since: road.since(),
            shown_by: None,
            account,
            what: format!("{DECLARED} somebody"),
            hidden: Duration::ZERO,
        };
        road.judge().foreign(&road.sim, foreign);
        self.needs.push((id.clone(), need, works));
        "principal added".to_owned()
    }
}

pub(super) fn other(mode: AuthMode) -> AuthMode {
    if mode == AuthMode::Identity { AuthMode::AccessKey } else { AuthMode::Identity }
}
