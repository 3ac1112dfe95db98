//! Changes that come at the worst moment: while a pass reads again what its write rests on, or just after.
//!
//! Which request is a confirming one no request says. A pass that means to write reads twice within a moment what one
//! that only looks reads once an interval, so the second read of the two is taken for it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::dice::Dice;
use super::draw::Draw;
use super::judge::{Due, Judge};
use super::record::{ACCOUNTS, Entry, WORKSPACES, upto};

/// Within so much of the read before it a read is one that is made again.
const AGAIN: Duration = Duration::from_secs(30);

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aimed {
    /// A workspace goes back to keys when the key is about to go off.
    Mode,
    /// A datastore stores a key that is about to go off.
    Store,
    /// Somebody loses a role when a workspace is about to go to identity.
    Grant,
    /// Somebody is denied what the account holds when a workspace is about to go to identity.
    Deny,
    /// A role by which somebody has what a workspace needs loses a part of it when that is about to go to identity.
    Role,
    /// The files ask for the opposite of what is about to be written.
    Files,
    /// Somebody turns the key on again just after it went off.
    Key,
    /// Early: a workspace on keys that no file declares comes to an account whose key shall go.
    Newcomer,
    /// Early: a datastore of a workspace elsewhere stores a key that shall go.
    StoreElsewhere,
}

/// A change that happened to be due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) what: Aimed,
    pub(crate) account: String,
    /// How much later than the request that it was aimed at.
    pub(crate) after: Duration,
}

/// Which reads a change is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Metrics,
    Assignments,
    Roles,
    Workspace,
    Account,
}

/// One that is still to come.
struct Aim {
    what: Aimed,
    at: At,
    /// How many such moments pass before.
    skips: u64,
    after: Duration,
}

/// All of a run.
#[derive(Default)]
pub(crate) struct Aims {
    aims: Vec<Aim>,
    /// When each path was read last, by which process.
    last: BTreeMap<String, (u32, Duration)>,
    pub(crate) hits: VecDeque<Hit>,
}

impl Aims {
    /// What the seed decides.
    pub(crate) fn new(draw: &Draw) -> Self {
        let mut aims = Vec::new();
        let kinds = [
            ("aim: mode", Aimed::Mode, [At::Metrics, At::Account]),
            ("aim: store", Aimed::Store, [At::Metrics, At::Metrics]),
            ("aim: grant", Aimed::Grant, [At::Assignments, At::Assignments]),
            ("aim: files", Aimed::Files, [At::Account, At::Workspace]),
            ("aim: key", Aimed::Key, [At::Account, At::Account]),
        ];
        for (name, what, at) in kinds {
            let mut dice = Dice::of(draw.seed, name);
            let aimed = dice.chance(draw.aimed);
            for _ in 0..2 {
                let at = dice.pick(&at).copied().unwrap_or(At::Account);
                let (skips, after) = (dice.between(0, 2), dice.millis(0, draw.wire.latency * 4));
                if aimed {
                    aims.push(Aim { what, at, skips, after });
                }
            }
        }
        if draw.denies {
            let mut dice = Dice::of(draw.seed, "aim: deny");
            let (skips, after) = (dice.between(0, 2), dice.millis(0, draw.wire.latency * 4));
            aims.push(Aim { what: Aimed::Deny, at: At::Assignments, skips, after });
        }
        if draw.roles {
            let mut dice = Dice::of(draw.seed, "aim: role");
            // Grants have such moments too, and come first.
            let (skips, after) = (dice.between(0, 12), dice.millis(0, draw.wire.latency * 4));
            aims.push(Aim { what: Aimed::Role, at: At::Roles, skips, after });
        }
        Self { aims, ..Self::default() }
    }

    /// Whether something is to happen at this request, which has just left. It is put in [`Self::hits`].
    pub(crate) fn meant(&mut self, judge: &Judge, entry: &Entry) -> bool {
        if self.aims.is_empty() || entry.what.is_some() || entry.goes_on {
            return false;
        }
        let Some(at) = at_of(&entry.path) else { return false };
        let Some(account) = judge.account_of(&entry.path) else { return false };
        let before = self.last.insert(entry.path.clone(), (entry.life, entry.since));
        let again =
            before.is_some_and(|(life, since)| life == entry.life && entry.since.saturating_sub(since) <= AGAIN);
        if !again {
            return false;
        }
        let due = judge.due(&account);
        let fits = |what: Aimed| match what {
            Aimed::Mode | Aimed::Store => due == Due::KeyOff,
            Aimed::Grant | Aimed::Deny | Aimed::Role => due == Due::Modes,
            Aimed::Files => due != Due::Nothing,
            Aimed::Key => due == Due::Nothing && judge.truth.keys.get(&account) == Some(&false),
            Aimed::Newcomer | Aimed::StoreElsewhere => false,
        };
        let Some(index) = self.aims.iter().position(|aim| aim.at == at && fits(aim.what)) else { return false };
        let Some(aim) = self.aims.get_mut(index) else { return false };
        if aim.skips > 0 {
            aim.skips -= 1;
            return false;
        }
        let Aim { what, after, .. } = self.aims.remove(index);
        self.hits.push_back(Hit { what, account, after });
        true
    }
}

fn at_of(path: &str) -> Option<At> {
    if upto(path, WORKSPACES).as_deref() == Some(path) {
        return Some(At::Workspace);
    }
    match path.strip_prefix(&*upto(path, ACCOUNTS)?)? {
        "" => Some(At::Account),
        "/providers/microsoft.insights/metrics" => Some(At::Metrics),
        "/providers/microsoft.authorization/roleassignments" => Some(At::Assignments),
        path if path.starts_with("/providers/microsoft.authorization/roledefinitions/") => Some(At::Roles),
        _ => None,
    }
}
