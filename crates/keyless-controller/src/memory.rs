//! What this process remembers of each account between passes: writes that may still land, refusals, and since when
//! the key has been seen on. Losing it costs waiting, never safety.
//!
//! Its waits count on this process's own clock, which no `Date` can set forward; what is told of them is the server's time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use keyless_core::action::Action;
use keyless_core::desired::AuthMode;
use keyless_core::id::{AssignmentName, StorageAccountId, WorkspaceId};
use keyless_core::observed::{
    Account, Again, BackOn, Datastore, History, KeyTimes, KeysTaken, Reading, WatchCause, WatchFrom,
};
use keyless_core::pass::{Ended, RefusedBy, Report, WriteResult};
use keyless_core::plan::{Finding, Limits, Refusal};
use tokio::time::Instant;

use crate::agreements::Agreements;
use crate::clock::{DATE_GRAIN, end_of, later};
use crate::growth::Growth;
use crate::ledger::Ledger;
use crate::notes::Noted;

/// What lifts a value that is not there although the write was accepted.
pub(crate) fn not_stuck_lift(action: &Action) -> &'static str {
    match action {
        // Source: <https://github.com/Azure/bicep-types-az/issues/2468>, reported of one version of the interface.
        Action::SetDatastoreCredential { .. } => {
            "the datastore made anew without credentials by a person, or another version in `apiVersions: {workspaceParts: …}`"
        }
        _ => {
            "an exemption from the Azure Policy of effect Modify that sets the value, or an end to whatever else sets it back"
        }
    }
}

/// How often a written assignment that no list shows is put down to lists that lag: half a minute in all.
const LAGS: u32 = 5;

/// The memory of all accounts.
#[derive(Debug)]
pub struct Memory {
    person: Growth,
    keys: Mutex<BTreeMap<StorageAccountId, KeyMemory>>,
    /// What accounts of one subscription share.
    ledger: Mutex<Ledger>,
    /// When datastores of a workspace were last written, for accounts that others' workspaces hold the key of.
    stored: Mutex<BTreeMap<WorkspaceId, Instant>>,
    /// The accounts whose key the datastores of a workspace hold, by the last list that was read for another account.
    holding: Mutex<BTreeMap<WorkspaceId, Holding>>,
    dark: Mutex<Dark>,
}

#[derive(Debug)]
struct Holding {
    read: Instant,
    /// Names of accounts, in lower case.
    accounts: BTreeSet<String>,
}

/// What only earlier processes could know.
#[derive(Debug, Default)]
struct Dark {
    /// Until when a write of one that left no word may have landed.
    until: Option<Timestamp>,
    /// Whether an account that none of them looked at, by the notes, begins with the first look. Not so for who only shows
    /// what would be done.
    begins: bool,
}

#[derive(Debug, Default)]
struct KeyMemory {
    unsettled: Option<Unsettled>,
    refused: BTreeMap<Action, Remembered>,
    key_on: Option<KeyOn>,
    watch: Option<WatchFrom>,
    /// Whether a switch to identity may have landed in the rest that is under way.
    may_switch: bool,
    /// Since when the key has been seen off, if it is.
    key_off_since: Option<Timestamp>,
    back_on: Option<BackOn>,
    /// Whether it was looked at once who is on identity already.
    looked_for_switches: bool,
    /// Until when something may have signed with the key.
    signed_until: Option<Timestamp>,
    /// What kept the key on when it was last looked at.
    on_key: Holders<bool>,
    /// As the last read told.
    key_times: KeyTimes,
    keys_taken: BTreeMap<WorkspaceId, KeysTaken>,
    /// How often what is young was shown, and who in which group.
    agreements: Agreements,
    /// First names of grants that Azure cannot tell from other assignments'.
    clashing: BTreeSet<AssignmentName>,
}

/// Of each kind of what keeps the account's key on, and lets somebody sign with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Holders<T> {
    /// Workspaces that are on it.
    pub(crate) workspaces: T,
    /// Datastores that store it.
    pub(crate) datastores: T,
    /// The files, which do not ask for it to be off: whoever reads them may begin to use it.
    pub(crate) files: T,
}

/// Since when every look has seen the key on.
#[derive(Debug, Clone, Copy)]
struct KeyOn {
    /// By the server's time.
    since: Timestamp,
    /// By this process's own.
    seen: Instant,
}

/// A write that may still land.
#[derive(Debug, Clone, Copy)]
struct Unsettled {
    until: Instant,
    /// Whether the account was read since.
    seen: bool,
    /// Whether the key may come on by it.
    turns_on: bool,
}

#[derive(Debug)]
struct Remembered {
    tries: u32,
    by: RefusedBy,
    until: Instant,
    why: String,
    lift: Option<String>,
}

impl Memory {
    /// An empty memory in which refusals by persons grow as `person` says.
    #[must_use]
    pub fn new(person: Growth) -> Self {
        Self {
            person,
            keys: Mutex::default(),
            ledger: Mutex::default(),
            stored: Mutex::default(),
            holding: Mutex::default(),
            dark: Mutex::default(),
        }
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<StorageAccountId, KeyMemory>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dark(&self) -> MutexGuard<'_, Dark> {
        self.dark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What accounts of one subscription share; never held over a wait, nor when anything else of the memory is asked for.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a read of the account. `now` is the server's time by estimate.
    pub(crate) fn saw_account(
        &self,
        key: &StorageAccountId,
        reading: &Reading<Option<Account>>,
        now: Option<Timestamp>,
    ) {
        let mut keys = self.keys();
        let memory = keys.entry(key.clone()).or_default();
        if let Reading::Known { value, at } = reading {
            let on = value.as_ref().is_some_and(|account| account.shared_key.is_on());
            if memory.unsettled.as_mut().is_some_and(Unsettled::is_first_look) {
                // It may have turned the key off, and somebody else on again, between two looks.
                memory.key_on = None;
                if std::mem::take(&mut memory.may_switch) {
                    // Until now the workspace may have signed with the key, for when the switch landed is not known.
                    memory.watch = Some(WatchFrom { at: now.unwrap_or(*at).max(*at), because: WatchCause::Switch });
                }
            }
            // `at` is cut to a whole second or may be behind, and the key must not count as older than it is.
            let since = || now.unwrap_or(*at).max(*at).saturating_add(DATE_GRAIN).unwrap_or(Timestamp::MAX);
            memory.key_times = value.as_ref().map(|account| account.key_times).unwrap_or_default();
            memory.key_on = on.then(|| memory.key_on.unwrap_or_else(|| KeyOn { since: since(), seen: Instant::now() }));
            if let (true, Some(off_since)) = (on, memory.key_off_since) {
                let watched = memory.watch.map_or(off_since, |watch| watch.at);
                memory.back_on = Some(BackOn { watched, seen: now.unwrap_or(*at) });
            } else if !on {
                memory.back_on = None;
            }
            let off = !on && value.is_some();
            memory.key_off_since = off.then(|| memory.key_off_since.unwrap_or_else(|| now.unwrap_or(*at)));
            let of_key = |watch: WatchFrom| matches!(watch.because, WatchCause::KeyOff | WatchCause::FirstSeenOff);
            if on && memory.watch.is_some_and(of_key) {
                // Off and on again: the next time it goes off is another matter.
                memory.watch = None;
            } else if let Some(off) = memory.key_off_since
                && memory.watch.is_none_or(|watch| !of_key(watch) && watch.at < off)
            {
                // Whoever turned it off: a watch that a switch before it began is over sooner.
                memory.watch = Some(WatchFrom { at: now.unwrap_or(*at), because: WatchCause::FirstSeenOff });
            }
        }
    }

    /// Takes in whether workspaces that are to be on identity are on it already. Only what the first look at the account
    /// shows, of this process or one whose notes it has, begins a watch: they were switched before it, nobody knows when,
    /// and later switches are its own or others'.
    pub(crate) fn saw_workspaces(&self, key: &StorageAccountId, switched: bool, now: Option<Timestamp>) {
        let mut keys = self.keys();
        let memory = keys.entry(key.clone()).or_default();
        let first = !std::mem::replace(&mut memory.looked_for_switches, true);
        if let (true, true, None, Some(at)) = (first, switched, memory.watch, now) {
            memory.watch = Some(WatchFrom { at, because: WatchCause::FirstSeenSwitched });
        }
    }

    /// Takes in that a workspace is on the key, whoever switched it: what it took before that, it is to take once more. The
    /// answer to the switch may be lost, or the process that sent it gone.
    pub(crate) fn saw_on_key(&self, key: &StorageAccountId, workspace: &WorkspaceId) {
        let mut keys = self.keys();
        let taken = keys.get_mut(key).and_then(|memory| memory.keys_taken.get_mut(workspace));
        if let Some(taken) = taken.filter(|taken| taken.again == Again::NotYet) {
            taken.again = Again::Due;
        }
    }

    /// Takes in that a list shows a workspace on the key: one that it is not on at the next look may have signed with it. What
    /// nobody has looked at yet begins with that look in any case.
    pub(crate) fn saw_listed_on_key(&self, key: &StorageAccountId) {
        if let Some(memory) = self.keys().get_mut(key) {
            memory.on_key.workspaces = true;
        }
    }

    /// Takes in whether any holds the key, as far as all of a kind were read, after the read of the account. What held it at
    /// the last look and does so no more may have signed with it until this one. Whoever waited for the key as the files
    /// asked for it has had it once it has been on for `arrival`: until then the files hold it, whatever they ask for now,
    /// and so they do before it is on, while it may still come.
    pub(crate) fn saw_holders(
        &self,
        key: &StorageAccountId,
        any: Holders<Option<bool>>,
        arrival: Duration,
        now: Option<Timestamp>,
    ) {
        let begins = self.dark().begins;
        let mut keys = self.keys();
        let memory = keys.entry(key.clone()).or_default();
        // The first look of all: an earlier process may have turned it on for the files.
        let mut held = begins && memory.signed_until.is_none();
        memory.on_key.files |= held;
        let may_come = memory.unsettled.is_some_and(|unsettled| unsettled.turns_on && !unsettled.seen);
        let is_young = memory.key_on.is_some_and(|on| on.seen.elapsed() < arrival);
        let awaited = memory.on_key.files && (may_come || is_young);
        let on_key = &mut memory.on_key;
        for (any, before) in [
            (any.workspaces, &mut on_key.workspaces),
            (any.datastores, &mut on_key.datastores),
            (any.files, &mut on_key.files),
        ] {
            held |= *before && any == Some(false);
            *before = any.unwrap_or(*before);
        }
        memory.on_key.files |= awaited;
        if held {
            memory.signed_until = memory.signed_until.max(now);
        }
    }

    /// What all of that comes to.
    pub(crate) fn history(&self, key: &StorageAccountId) -> History {
        let dark = self.dark().until;
        let mut keys = self.keys();
        let memory = keys.entry(key.clone()).or_default();
        History {
            key_on_since: memory.key_on.map(|on| on.since),
            keys_taken: memory.keys_taken.clone(),
            member_since: memory.agreements.member_since(),
            agreements: memory.agreements.told(),
            watch: memory.watch,
            signed_until: memory.signed_until.max(dark),
            back_on: memory.back_on,
            due_elsewhere: self.ledger().elsewhere(key),
        }
    }

    /// What the last process left was taken in, as far as it left anything.
    pub(crate) fn begins(&self) {
        self.dark().begins = true;
    }

    /// Takes in what a read showed of what is young, of this account.
    pub(crate) fn agree(&self, key: &StorageAccountId, take_in: impl FnOnce(&mut Agreements)) {
        take_in(&mut self.keys().entry(key.clone()).or_default().agreements);
    }

    /// What of it the next process may use.
    pub(crate) fn noted(&self, now: Timestamp) -> BTreeMap<StorageAccountId, Noted> {
        let dark = self.dark().until;
        let noted = |(key, memory): (&StorageAccountId, &mut KeyMemory)| {
            memory.agreements.forget_unbridged(now);
            let noted = Noted {
                shown: memory.agreements.noted(),
                keys_taken: memory.keys_taken.clone(),
                bouts: BTreeMap::new(),
                watch: memory.watch,
                signed_until: memory.signed_until.max(dark),
                on_key: memory.on_key,
                looked_for_switches: memory.looked_for_switches,
            };
            (key.clone(), noted)
        };
        self.keys().iter_mut().map(noted).collect()
    }

    /// Takes in what the last process left of one account; what this one knows goes first.
    pub(crate) fn recall(&self, key: &StorageAccountId, noted: Noted, bridged: Duration) {
        let Noted { shown, keys_taken, bouts: _, watch, signed_until, on_key, looked_for_switches } = noted;
        let mut keys = self.keys();
        let memory = keys.entry(key.clone()).or_default();
        memory.agreements.recall(shown, bridged);
        for (workspace, taken) in keys_taken {
            memory.keys_taken.entry(workspace).or_insert(taken);
        }
        memory.watch = memory.watch.or(watch);
        memory.signed_until = memory.signed_until.max(signed_until);
        memory.on_key.workspaces |= on_key.workspaces;
        memory.on_key.datastores |= on_key.datastores;
        memory.on_key.files |= on_key.files;
        memory.looked_for_switches |= looked_for_switches;
    }

    /// Forgets accounts that no document asks about any more, unless a write of this process may still land there; `keys`
    /// are all that there are, by a complete look.
    pub(crate) fn keep_only(&self, keys: &BTreeSet<StorageAccountId>) {
        self.keys().retain(|key, memory| keys.contains(key) || memory.unsettled.is_some());
        self.ledger().keep_only(keys);
    }

    /// Since when the account is watched for people who lost access.
    pub(crate) fn watch(&self, key: &StorageAccountId) -> Option<WatchFrom> {
        self.keys().get(key)?.watch
    }

    /// Whether somebody turned the key on again.
    pub(crate) fn back_on(&self, key: &StorageAccountId) -> Option<BackOn> {
        self.keys().get(key)?.back_on
    }

    /// Until when nothing may be written to this account, by this process's own clock.
    pub(crate) fn rests_until(&self, key: &StorageAccountId) -> Option<Instant> {
        Some(self.keys().get(key)?.unsettled?.until)
    }

    /// What holds a pass over this account back, told in the server's time, which is `now`.
    #[must_use]
    pub fn limits(&self, key: &StorageAccountId, now: Option<Timestamp>, boot_until: Option<Timestamp>) -> Limits {
        let keys = self.keys();
        let Some(memory) = keys.get(key) else { return Limits { boot_until, ..Limits::default() } };
        let refused = memory
            .refused
            .iter()
            .filter_map(|(action, refusal)| {
                let Remembered { tries: _, by: _, until, why, lift } = refusal;
                Some((action.clone(), Refusal { until: told(*until, now)?, why: why.clone(), lift: lift.clone() }))
            })
            .collect();
        let clashing = memory.clashing.clone();
        let unsettled_until = memory.unsettled.and_then(|unsettled| told(unsettled.until, now));
        Limits { boot_until, unsettled_until, clashing, refused, ..Limits::default() }
    }

    /// Whether the last refusal of this action is one that time lifts.
    #[must_use]
    pub fn time_lifts(&self, key: &StorageAccountId, action: &Action) -> bool {
        let keys = self.keys();
        let refusal = keys.get(key).and_then(|memory| memory.refused.get(action));
        refusal.is_some_and(|refusal| refusal.by == RefusedBy::Time)
    }

    /// When this process last wrote, or may have written, a datastore of a workspace.
    pub(crate) fn stored(&self, workspace: &WorkspaceId) -> Option<Instant> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).get(workspace).copied()
    }

    /// Takes in the datastores of a workspace, which the pass of another account has just read.
    pub(crate) fn saw_datastores(&self, workspace: &WorkspaceId, datastores: &[Datastore]) {
        let keys = datastores.iter().filter(|datastore| datastore.credentials.may_need_key());
        let accounts: BTreeSet<String> =
            keys.filter_map(|datastore| Some(datastore.account_name.as_ref()?.to_ascii_lowercase())).collect();
        let mut holding = self.holding.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.is_empty() {
            holding.remove(workspace);
        } else {
            holding.insert(workspace.clone(), Holding { read: Instant::now(), accounts });
        }
    }

    /// A workspace whose datastores hold the key of the account, as the pass of another one has read since `began`.
    pub(crate) fn seen_holding(&self, key: &StorageAccountId, began: Instant) -> Option<WorkspaceId> {
        let name = key.name().to_ascii_lowercase();
        let holding = self.holding.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |(_, seen): &(&WorkspaceId, &Holding)| seen.read >= began && seen.accounts.contains(&name);
        holding.iter().find(holds).map(|(workspace, _)| workspace.clone())
    }

    /// Takes in what a pass that began at `began` found and did. `now` is the server's time at its end.
    pub fn record(&self, report: &Report, began: Instant, now: Timestamp, late_write: Duration) {
        let mut keys = self.keys();
        let memory = keys.entry(report.plan.account_id.clone()).or_default();
        let stopped = report.ended == Ended::Stopped;
        let incomplete = report.plan.findings.iter().any(|finding| matches!(finding, Finding::Incomplete { .. }));
        if !stopped && !incomplete {
            // A complete read after the wait: whatever was under way has landed or never will.
            memory.unsettled = memory.unsettled.filter(|unsettled| began < unsettled.until);
            memory.refused.retain(|action, _| report.plan.steps.iter().any(|step| step.action == *action));
        }
        let Some(write) = &report.write else { return };
        if let Action::SetDatastoreCredential { workspace, .. } | Action::CreateDatastore { workspace, .. } =
            &write.action
        {
            self.stored.lock().unwrap_or_else(PoisonError::into_inner).insert(workspace.clone(), Instant::now());
        }
        memory.lost_sight_of_key(&write.action, &write.result);
        memory.watch_from(&write.action, &write.result, now);
        let turns_on = matches!(write.action, Action::SetSharedKeyAccess { allowed: true, .. });
        if turns_on {
            memory.back_on = None;
            // The files may ask for it to be off again before anybody has seen it on.
            memory.on_key.files = true;
        }
        match &write.result {
            WriteResult::Applied { .. } | WriteResult::NotReadBack { .. }
                if matches!(write.action, Action::GrantRole(_) | Action::RevokeRole { .. }) =>
            {
                let changed = !matches!(write.result, WriteResult::Applied { changed: false, .. });
                memory.unseen(&write.action, changed, self.person);
            }
            WriteResult::Applied { .. } | WriteResult::NotReadBack { .. } => {
                memory.refused.remove(&write.action);
                memory.took_keys(&write.action);
            }
            WriteResult::NotSent { .. } => {}
            WriteResult::Unknown { .. } => memory.rest(late_write, turns_on),
            WriteResult::DidNotStick { .. } => {
                // What undid it may be slow as well as quick, and trying again at once would fight with it.
                memory.rest(late_write, turns_on);
                let said =
                    ("accepted, but the value is not there".to_owned(), Some(not_stuck_lift(&write.action).to_owned()));
                memory.refuse(&write.action, RefusedBy::Person, said, |tries| self.person.wait(tries));
            }
            WriteResult::Refused(refused) if memory.clashes(&write.action, refused.code.as_deref()) => {}
            WriteResult::Refused(refused) => {
                let growth = match refused.by {
                    RefusedBy::Person => self.person,
                    RefusedBy::Time => Growth::TIME,
                };
                let code = refused.code.as_deref().map(|code| format!("{code}: ")).unwrap_or_default();
                let said = (format!("{code}{}", refused.message), refused.cause.lift.clone());
                memory.refuse(&write.action, refused.by, said, |tries| {
                    refused.retry_after.unwrap_or_else(|| growth.wait(tries))
                });
            }
        }
    }

    /// Notes that a write of this account may still land, although no report says so, nor which.
    pub(crate) fn rest(&self, key: &StorageAccountId, late_write: Duration) {
        let mut keys = self.keys();
        let memory = keys.entry(key.clone()).or_default();
        memory.on_key.files = true;
        memory.rest(late_write, true);
    }

    /// A write of an earlier process may have turned a key off until now, and somebody else on again, between two looks; or
    /// it may have turned it on for the files, or switched a workspace.
    pub(crate) fn boot_is_over(&self, now: Timestamp) {
        let mut dark = self.dark();
        dark.until = dark.until.max(Some(now));
        drop(dark);
        for memory in self.keys().values_mut() {
            memory.key_on = None;
            memory.on_key.files = true;
        }
    }

    /// Lets refused actions be tried again at once: the files changed, so a person was here.
    pub fn forgive(&self) {
        for memory in self.keys().values_mut() {
            memory.refused.clear();
        }
    }

    /// Whether no write of this process may still land.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.keys().values().all(|memory| memory.unsettled.is_none())
    }
}

impl KeyMemory {
    /// Whoever sent the key off has not seen it on all the while, even if others turned it on before anybody looked.
    fn lost_sight_of_key(&mut self, action: &Action, result: &WriteResult) {
        let may_have_landed = !matches!(result, WriteResult::Refused(_) | WriteResult::NotSent { .. });
        if may_have_landed && matches!(action, Action::SetSharedKeyAccess { allowed: false, .. }) {
            self.key_on = None;
        }
    }

    /// A change that may take somebody's access begins a watch, or begins it anew.
    fn watch_from(&mut self, action: &Action, result: &WriteResult, now: Timestamp) {
        let because = match action {
            Action::SetSharedKeyAccess { allowed: false, .. } => WatchCause::KeyOff,
            Action::SetAuthMode { mode: AuthMode::Identity, .. } => WatchCause::Switch,
            _ => return,
        };
        match result {
            WriteResult::Applied { changed: true, .. } | WriteResult::NotReadBack { .. } => {
                self.watch = Some(WatchFrom { at: now, because });
            }
            WriteResult::Unknown { .. } | WriteResult::DidNotStick { .. } => {
                self.may_switch |= because == WatchCause::Switch;
            }
            WriteResult::Applied { changed: false, .. } | WriteResult::Refused(_) | WriteResult::NotSent { .. } => {}
        }
    }

    /// Notes that a grant needs its second name, if that is what the refusal says and it has not got it already.
    ///
    /// The code has no public source beyond the report of the conflict, Azure/azure-cli pull request 24324.
    fn clashes(&mut self, action: &Action, code: Option<&str>) -> bool {
        let Action::GrantRole(grant) = action else { return false };
        let conflict = code.is_some_and(|code| code.to_ascii_lowercase().starts_with("hashconflict"));
        conflict && !grant.is_renamed && self.clashing.insert(grant.name)
    }

    fn rest(&mut self, late_write: Duration, turns_on: bool) {
        let until = end_of(Instant::now(), late_write);
        let until = self.unsettled.map_or(until, |before| before.until.max(until));
        let turns_on = turns_on || self.unsettled.is_some_and(|before| before.turns_on);
        self.unsettled = Some(Unsettled { until, seen: false, turns_on });
    }

    /// Notes that an assignment was written, which plans see in a list. Once the list shows it, the step is gone and this
    /// with it. Until then it is not written again and again: lists lag, and an assignment with a condition may stand in
    /// the place of the one that is asked for, which only a person can lift.
    fn unseen(&mut self, action: &Action, changed: bool, person: Growth) {
        let tries = self.refused.get(action).map_or(0, |refusal| refusal.tries);
        let (by, growth) = if tries < LAGS { (RefusedBy::Time, Growth::TIME) } else { (RefusedBy::Person, person) };
        let why = if changed {
            "accepted, but the list of assignments does not show it yet"
        } else {
            "accepted as being so already, but no assignment that counts is listed: one with a condition may stand there"
        };
        self.refuse(action, by, (why.to_owned(), None), |tries| growth.wait(tries));
    }

    /// Notes what a write means for the keys that its workspace holds. The account was last read right before it.
    fn took_keys(&mut self, action: &Action) {
        match action {
            Action::ResyncWorkspaceKeys { workspace } => {
                let before = self.keys_taken.get(workspace).map(|taken| taken.again);
                let again = if before == Some(Again::Due) { Again::Done } else { Again::NotYet };
                self.keys_taken.insert(workspace.clone(), KeysTaken { keys: Some(self.key_times), again });
            }
            Action::SetAuthMode { workspace, mode: AuthMode::AccessKey } => {
                if let Some(taken) = self.keys_taken.get_mut(workspace) {
                    taken.again = Again::Due;
                }
            }
            Action::SetAuthMode { workspace, mode: AuthMode::Identity } => {
                self.keys_taken.remove(workspace);
            }
            Action::GrantRole(_)
            | Action::RevokeRole { .. }
            | Action::SetSharedKeyAccess { .. }
            | Action::SetDatastoreCredential { .. }
            | Action::CreateDatastore { .. }
            | Action::CreateWorkspace { .. } => {}
        }
    }

    fn refuse(
        &mut self,
        action: &Action,
        by: RefusedBy,
        (why, lift): (String, Option<String>),
        wait: impl FnOnce(u32) -> Duration,
    ) {
        let tries = self.refused.get(action).map_or(0, |refusal| refusal.tries).saturating_add(1);
        self.refused
            .insert(action.clone(), Remembered { tries, by, until: end_of(Instant::now(), wait(tries)), why, lift });
    }
}

impl Unsettled {
    /// Whether this is the first look at the account since it can land no more.
    fn is_first_look(&mut self) -> bool {
        self.until <= Instant::now() && !std::mem::replace(&mut self.seen, true)
    }
}

/// The end of a wait that is not over, in the server's time, which is `now`; the end of time while that is not known.
fn told(until: Instant, now: Option<Timestamp>) -> Option<Timestamp> {
    let left = until.saturating_duration_since(Instant::now());
    let end = |now| later(now, left).saturating_add(DATE_GRAIN).unwrap_or(Timestamp::MAX);
    (!left.is_zero()).then(|| now.map_or(Timestamp::MAX, end))
}

#[cfg(test)]
mod tests;
