//! Counts how often somebody sets back what this process set, and holds what is fought over.
//!
//! A reversal is: a write of ours changed something, the setting was seen as it should be, and then it differs again while
//! the files say the same. What did not take at all is none, for growing pauses deal with it ([`crate::memory`]), and a
//! grant that turned out to be there all along takes its reversal back, for lists lag. A restart forgets the counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use keyless_core::desired::{DesiredAccount, DesiredWorkspace, Enforcement, FightGuard, KeyDesired, Location};
use keyless_core::id::{PrincipalId, StorageAccountId, WorkspaceId};
use keyless_core::pass::{Report, WriteResult};
use keyless_core::plan::{Drift, Fight, Finding, Plan};
use keyless_core::setting::Setting;

use crate::clock::{earlier, later};

/// So many names of the other side are told.
const NAMES: usize = 3;

/// The counts of all accounts.
#[derive(Debug, Default)]
pub(crate) struct Fights {
    keys: Mutex<BTreeMap<StorageAccountId, BTreeMap<Setting, Bout>>>,
    identity: Mutex<Option<PrincipalId>>,
}

/// What the documents of one account say, wherever in a file they stand: a change of it lifts a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Words {
    account: Option<DesiredAccount>,
    workspaces: BTreeMap<WorkspaceId, DesiredWorkspace>,
    enforcement: Enforcement,
    fight: FightGuard,
}

/// One setting that this process has set.
#[derive(Debug)]
struct Bout {
    words: Words,
    /// Whether a write of ours stands and has not been set back yet.
    set: bool,
    /// Whether it was seen as it should be since.
    right: bool,
    reversals: Vec<Timestamp>,
    /// Who was named for it, the latest last.
    names: Vec<String>,
    held_until: Option<Timestamp>,
}

impl Words {
    fn of(desired: &KeyDesired) -> Self {
        let KeyDesired { revision: _, fleet, account_id: _, account, workspaces, unplaced: _ } = desired;
        let account = account.clone().map(|account| DesiredAccount { location: Location::default(), ..account });
        let placeless = |(id, workspace): (&WorkspaceId, &DesiredWorkspace)| {
            (id.clone(), DesiredWorkspace { location: Location::default(), ..workspace.clone() })
        };
        Self {
            account,
            workspaces: workspaces.iter().map(placeless).collect(),
            enforcement: fleet.enforcement,
            fight: fleet.fight,
        }
    }
}

impl Fights {
    fn keys(&self) -> MutexGuard<'_, BTreeMap<StorageAccountId, BTreeMap<Setting, Bout>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a plan before anything is written for it. Returns whether something is held from now on that was not.
    pub(crate) fn saw(&self, plan: &Plan, desired: &KeyDesired) -> bool {
        let mut keys = self.keys();
        let Some(bouts) = keys.get_mut(&plan.account_id) else { return false };
        let complete = !plan.findings.iter().any(|finding| matches!(finding, Finding::Incomplete { .. }));
        let drifting: BTreeSet<Setting> = plan.drift.iter().filter_map(Drift::setting).collect();
        let words = Words::of(desired);
        let mut began = false;
        bouts.retain(|_, bout| bout.words == words);
        for (setting, bout) in bouts.iter_mut() {
            let guard = bout.words.fight;
            let watched = bout.set || bout.held_until.is_some();
            if !drifting.contains(setting) {
                bout.right |= complete;
            } else if watched && bout.right {
                bout.set = false;
                bout.right = false;
                bout.reversals.push(plan.at);
                let oldest = earlier(plan.at, guard.within);
                bout.reversals.retain(|at| *at > oldest);
                if usize::try_from(guard.reversals).is_ok_and(|most| bout.reversals.len() >= most) {
                    began |= bout.held_until.is_none();
                    bout.held_until = Some(later(plan.at, guard.within));
                }
            }
        }
        began
    }

    /// Takes in what a pass wrote.
    pub(crate) fn wrote(&self, report: &Report, desired: &KeyDesired) {
        let Some(write) = &report.write else { return };
        let Some(setting) = write.action.setting() else { return };
        let mut keys = self.keys();
        let bouts = keys.entry(report.plan.account_id.clone()).or_default();
        match &write.result {
            WriteResult::Applied { changed: true, .. } | WriteResult::NotReadBack { .. } => {
                // The read after the write is of the resource itself; who has which role is seen in a list.
                let read_back = matches!(write.result, WriteResult::Applied { .. });
                let right = read_back && !matches!(setting, Setting::Role(..));
                let fresh = || Bout {
                    words: Words::of(desired),
                    set: true,
                    right,
                    reversals: Vec::new(),
                    names: Vec::new(),
                    held_until: None,
                };
                let bout = bouts.entry(setting).or_insert_with(fresh);
                (bout.set, bout.right) = (true, right);
            }
            WriteResult::Applied { changed: false, .. } => {
                // It was there all along.
                if let Some(bout) = bouts.get_mut(&setting) {
                    bout.reversals.pop();
                    bout.set = true;
                }
            }
            WriteResult::DidNotStick { .. }
            | WriteResult::Refused(_)
            | WriteResult::Unknown { .. }
            | WriteResult::NotSent { .. } => {}
        }
    }

    /// Somebody was named for a difference.
    pub(crate) fn named(&self, key: &StorageAccountId, setting: &Setting, by: &str) {
        let mut keys = self.keys();
        let Some(bout) = keys.get_mut(key).and_then(|bouts| bouts.get_mut(setting)) else { return };
        bout.names.retain(|name| name != by);
        bout.names.push(by.to_owned());
        let surplus = bout.names.len().saturating_sub(NAMES);
        bout.names.drain(..surplus);
    }

    /// This side, as Azure knows it.
    pub(crate) fn identified(&self, identity: Option<PrincipalId>) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// What is held of an account. What the documents say another word about since is held no more.
    pub(crate) fn of(&self, desired: &KeyDesired, now: Option<Timestamp>) -> BTreeMap<Setting, Fight> {
        let identity = *self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = self.keys();
        let Some(bouts) = keys.get_mut(&desired.account_id) else { return BTreeMap::new() };
        let words = Words::of(desired);
        let over = |bout: &Bout| matches!((bout.held_until, now), (Some(until), Some(now)) if until <= now);
        bouts.retain(|_, bout| bout.words == words && !over(bout));
        let identity = identity.map(|id| format!(", identity {id}")).unwrap_or_default();
        let ours = format!("keyless, owner {}{identity}", desired.fleet.owner);
        let fight = |(setting, bout): (&Setting, &Bout)| {
            let until = bout.held_until?;
            let fight = Fight {
                reversals: u32::try_from(bout.reversals.len()).unwrap_or(u32::MAX),
                since: bout.reversals.first().copied().unwrap_or(until),
                until,
                ours: ours.clone(),
                theirs: (!bout.names.is_empty()).then(|| bout.names.join(", ")),
            };
            Some((setting.clone(), fight))
        };
        bouts.iter().filter_map(fight).collect()
    }

    /// Forgets accounts that no document asks about any more.
    pub(crate) fn keep_only(&self, keys: &BTreeSet<StorageAccountId>) {
        self.keys().retain(|key, _| keys.contains(key));
    }
}
