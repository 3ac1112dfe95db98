//! Counts how often somebody sets back what this process set, and holds what is fought over.
//!
//! A reversal is: a write of ours changed something, the setting was seen as it should be, and then it differs again while
//! the files say the same. What did not take at all is none, for growing pauses deal with it ([`crate::memory`]), and a
//! grant that turned out to be there all along takes its reversal back, for lists lag. The counts outlive the process
//! ([`crate::notes`]): what was set back while none ran is a reversal too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use keyless_core::desired::{DesiredAccount, DesiredWorkspace, KeyDesired, Location};
use keyless_core::id::{PrincipalId, StorageAccountId};
use keyless_core::pass::{Report, WriteResult};
use keyless_core::plan::{Drift, Fight, Finding, Plan};
use keyless_core::setting::Setting;
use uuid::Uuid;

use crate::clock::{earlier, later};

/// So many names of the other side are told.
const NAMES: usize = 3;

/// The counts of all accounts.
#[derive(Debug, Default)]
pub(crate) struct Fights {
    keys: Mutex<BTreeMap<StorageAccountId, BTreeMap<Setting, Bout>>>,
    identity: Mutex<Option<PrincipalId>>,
}

/// One setting that keyless has set, and who set it back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bout {
    /// What the documents of the account say, in short: a change of it lifts a hold. `None` until all of them are known.
    pub(crate) words: Option<Uuid>,
    /// Whether a write of ours stands and has not been set back yet.
    pub(crate) set: bool,
    /// Whether it was seen as it should be since.
    pub(crate) right: bool,
    pub(crate) reversals: Vec<Timestamp>,
    /// Who was named for it, the latest last.
    pub(crate) names: Vec<String>,
    pub(crate) held_until: Option<Timestamp>,
}

impl Bout {
    /// Whether the documents still say what they said when it began. While not all of them are known, they are not held
    /// to have changed.
    fn is_about(&mut self, words: Option<Uuid>) -> bool {
        words.is_none_or(|words| *self.words.get_or_insert(words) == words)
    }
}

/// Of what the documents of one account say, wherever in a file they stand; `None` while a workspace may stand on it or
/// not. Equal words give an equal id, in every process of one version of this program; the text itself is long, and nobody
/// else reads it.
fn words_of(desired: &KeyDesired) -> Option<Uuid> {
    let KeyDesired {
        revision: _,
        fleet,
        account_id: _,
        account,
        workspaces,
        unplaced,
        out_of_scope: _,
        out_of_sight: _,
        group_is_shared: _,
    } = desired;
    if !unplaced.is_empty() {
        return None;
    }
    let account = account.clone().map(|account| DesiredAccount { location: Location::default(), ..account });
    let placeless =
        |workspace: &DesiredWorkspace| DesiredWorkspace { location: Location::default(), ..workspace.clone() };
    let workspaces: Vec<DesiredWorkspace> = workspaces.values().map(placeless).collect();
    let text = format!("{account:?} {workspaces:?} {:?} {:?}", fleet.enforcement, fleet.fight);
    Some(Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()))
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
        let words = words_of(desired);
        // A workspace that is not known to be here is not known to be as it should be.
        let complete = complete && words.is_some();
        let mut began = false;
        bouts.retain(|_, bout| bout.is_about(words));
        for (setting, bout) in bouts.iter_mut() {
            let guard = desired.fleet.fight;
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
                    words: words_of(desired),
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
        let words = words_of(desired);
        let within = desired.fleet.fight.within;
        bouts.retain(|_, bout| {
            // No hold is longer, whatever notes of before say.
            bout.held_until = bout.held_until.map(|until| now.map_or(until, |now| until.min(later(now, within))));
            let over = matches!((bout.held_until, now), (Some(until), Some(now)) if until <= now);
            bout.is_about(words) && !over
        });
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

    /// The counts of all accounts, for the next process.
    pub(crate) fn noted(&self) -> BTreeMap<StorageAccountId, BTreeMap<Setting, Bout>> {
        self.keys().clone()
    }

    /// Takes in the counts of the last process. Those of this one go first; a hold that is over ends by itself.
    pub(crate) fn recall(&self, key: &StorageAccountId, bouts: BTreeMap<Setting, Bout>) {
        let mut keys = self.keys();
        let known = keys.entry(key.clone()).or_default();
        for (setting, bout) in bouts {
            known.entry(setting).or_insert(bout);
        }
    }

    /// Forgets accounts that no document asks about any more; `keys` are all that there are, by a complete look.
    pub(crate) fn keep_only(&self, keys: &BTreeSet<StorageAccountId>) {
        self.keys().retain(|key, _| keys.contains(key));
    }
}
