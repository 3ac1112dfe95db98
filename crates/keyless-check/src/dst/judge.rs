//! The rules, held against what was asked of the cloud and against the world as it is.
//!
//! When a write leaves: the files ask for it (S8), it changes one thing (S7), nobody else uses a key that goes off (S2),
//! and everybody declared has what a switch needs (S3). Afterwards: at most one write of an account is unsettled (S5, S6),
//! and nobody who had access has lost it to a write of ours (S1). What somebody else changed between the last
//! look and the effect cannot be excluded, and is counted apart as raced.

mod asked;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use jiff::{SignedDuration, Timestamp};
use keyless_core::desired::{AuthMode, Desired, DesiredSharedKey, DesiredWorkspace, PrincipalRef};
use keyless_core::id::{StorageAccountId, WorkspaceId};
use keyless_core::observed::PrincipalType;
use keyless_sim::Simulator;

use super::draw::Draw;
use super::foreign::{self, Foreign, KEY_USER_THERE, Kinds};
use super::record::{ACCOUNTS, Entry, Record, WORKSPACES, What, upto};
use super::truth::{Truth, age};
use asked::Given;

/// The oldest that a confirming read may be when its write leaves, and the way of both.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(65);

/// The oldest that the read of the target may be when a write leaves.
const TARGET_WITHIN: Duration = Duration::from_secs(5);

/// A write may wait this long for its token after the files were looked at last.
const ON_THE_WAY: Duration = Duration::from_secs(2);

/// After so long every list shows what was changed, whatever the clocks did meanwhile.
const SEEN_BY_ALL: Duration = Duration::from_secs(15 * 60);

/// `Date` headers are cut to whole seconds.
pub(super) const GRAIN: Duration = Duration::from_secs(1);

/// Somebody who signs with the key.
#[derive(Debug, Clone)]
pub(crate) struct KeyUse {
    pub(crate) account: String,
    pub(crate) until: Timestamp,
}

/// What the files ask of an account that is still to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing that is told apart here.
    Nothing,
    /// Workspaces are to change their mode.
    Modes,
    /// All of them are on identity, and the key is to go.
    KeyOff,
}

/// Holds the rules of a run.
pub(crate) struct Judge {
    pub(crate) record: Record,
    pub(crate) truth: Truth,
    pub(crate) foreign: Vec<Foreign>,
    pub(crate) key_uses: Vec<KeyUse>,
    /// What is broken.
    pub(crate) broken: Vec<String>,
    /// What happened how often.
    pub(crate) counts: BTreeMap<String, u64>,
    /// What the files ask, and since when.
    files: (Arc<Desired>, Duration),
    /// The process that was asked to stop, and when.
    stopping: Option<(u32, Duration)>,
    /// The process that runs, when it began, and whether the last one left nothing that may still land.
    begun: (u32, Duration, bool),
    /// When the key of each account was last used.
    key_used: BTreeMap<String, Timestamp>,
    /// The switches to identity, by the number of their request, that left when the key was off already: nobody has access to
    /// lose then, but for the moments in which a key works on.
    pub(super) late_switches: BTreeSet<usize>,
    /// Whose the grants were that were taken back, by their ids.
    pub(super) taken: BTreeMap<String, String>,
    pub(super) draw: Draw,
}

impl Judge {
    pub(crate) fn new(draw: &Draw, sim: &Simulator, files: Arc<Desired>) -> Self {
        let mut judge = Self {
            record: Record::default(),
            truth: Truth::of(sim),
            foreign: Vec::new(),
            key_uses: Vec::new(),
            broken: Vec::new(),
            counts: BTreeMap::new(),
            files: (files, Duration::ZERO),
            stopping: None,
            begun: (0, Duration::ZERO, false),
            key_used: BTreeMap::new(),
            late_switches: BTreeSet::new(),
            taken: BTreeMap::new(),
            draw: draw.clone(),
        };
        judge.look(sim);
        judge
    }

    /// Takes in who signs with keys at the start. The cloud is as old as the run, so metrics tell of them as late as of
    /// who begins with it.
    pub(crate) fn begins_with(&mut self, key_uses: Vec<KeyUse>, now: Timestamp) {
        for using in &key_uses {
            self.foreign.push(Foreign {
                at: now,
                since: Duration::ZERO,
                shown_by: None,
                account: Some(using.account.clone()),
                what: KEY_USER_THERE.to_owned(),
                hidden: self.draw.metrics_tell(),
            });
        }
        self.key_uses = key_uses;
    }

    /// Counts something that is told in the end.
    pub(crate) fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// Other files are in force.
    pub(crate) fn files(&mut self, files: Arc<Desired>, at: Duration) {
        self.files = (files, at);
    }

    /// A process was asked to stop.
    pub(crate) fn stops(&mut self, life: u32, at: Duration) {
        self.stopping = Some((life, at));
    }

    /// A process begins.
    pub(crate) fn begins(&mut self, life: u32, at: Duration, settled: bool) {
        self.begun = (life, at, settled);
    }

    /// Somebody else changed something.
    pub(crate) fn foreign(&mut self, sim: &Simulator, foreign: Foreign) {
        self.foreign.push(foreign);
        self.look(sim);
    }

    /// Whether the workspace is on the key because somebody else put it there, and no answer can have shown that.
    pub(crate) fn is_on_key_unseen(&self, workspace: &str) -> bool {
        let id = workspace.to_ascii_lowercase();
        let puts = |foreign: &&Foreign| {
            let mut words = foreign.what.split(' ');
            let kind = words.next().is_some_and(|kind| ["AuthMode", "WorkspaceAdded"].contains(&kind));
            kind && words.next().is_some_and(|target| target.eq_ignore_ascii_case(&id))
        };
        let is_on_key = self.truth.workspaces.get(&id).is_some_and(|one| !one.on_identity);
        let Some(put) = self.foreign.iter().rev().find(puts).filter(|_| is_on_key) else { return false };
        let shows = |read: &Entry| {
            let is_about = read.path == id || read.path.ends_with("/workspaces");
            is_about && read.what.is_none() && read.ended.is_some_and(|ended| ended >= put.since)
        };
        !self.record.entries.iter().rev().any(shows)
    }

    fn look(&mut self, sim: &Simulator) {
        self.truth = Truth::of(sim);
        let used = |account: &String| Some((account.clone(), sim.key_used(account)?));
        self.key_used = self.truth.keys.keys().filter_map(used).collect();
    }

    /// A request leaves its sender.
    pub(crate) fn leaves(&mut self, life: u32, since: Duration, sim: &Simulator, request: &Request<Bytes>) -> usize {
        let now = sim.now();
        let number = self.record.leaves(life, since, now, request);
        let Some(entry) = self.record.entries.get(number).cloned() else { return number };
        if let Some(what) = &entry.what {
            self.look(sim);
            if let What::Revoke { id } = what
                && let Some(gone) = self.truth.assignments.get(id)
            {
                self.taken.insert(id.clone(), gone.principal.clone());
            }
            let account = self.account_of(&entry.path).unwrap_or_default();
            if matches!(what, What::Mode { .. }) && self.is_repair(&entry, what, &account) {
                self.late_switches.insert(number);
            }
            self.count(&format!("step: {}", what.word()));
            for why in self.against(&entry, what) {
                self.broken.push(format!("{why}\n    {}", entry.line()));
            }
        } else if ["/listkeys", "/listsecrets", "/liststorageaccountkeys"].iter().any(|tail| entry.path.ends_with(tail))
        {
            self.broken.push(format!("S7: keys were asked for\n    {}", entry.line()));
        }
        number
    }

    /// A request took effect, as far as it has one.
    pub(crate) fn took_effect(&mut self, number: usize, sim: &Simulator) {
        let Some(entry) = self.record.entries.get(number) else { return };
        if entry.what.is_none() {
            return;
        }
        if let Some(last) = sim.recorded(1).first().filter(|last| last.method == entry.method.as_str()) {
            let lands = last.lands_at.as_deref().and_then(|at| at.parse().ok());
            self.record.struck(number, last.fault, lands);
        }
        self.look(sim);
    }

    /// A request was answered: whether a read of what somebody else has just changed may be believed.
    pub(crate) fn answered(&mut self, number: usize, sim: &Simulator) {
        let Some(entry) = self.record.entries.get(number) else { return };
        let of_late =
            self.foreign.iter().rev().take_while(|foreign| entry.since < foreign.since + CONFIRMED_WITHIN * 2);
        let shown = of_late.filter_map(|foreign| foreign.shown_by.as_ref()).any(|path| *path == entry.path);
        if shown && entry.what.is_none() {
            let fault = sim.recorded(1).first().and_then(|last| last.fault);
            self.record.struck(number, fault, None);
        }
    }

    /// The account that a path is about.
    pub(crate) fn account_of(&self, path: &str) -> Option<String> {
        upto(path, ACCOUNTS).or_else(|| {
            let workspace = upto(path, WORKSPACES)?;
            self.truth.workspaces.get(&workspace)?.account.clone()
        })
    }

    pub(crate) fn declared(&self, workspace: &str) -> Option<&DesiredWorkspace> {
        let id = WorkspaceId::parse(workspace).ok()?;
        self.files.0.workspaces.get(&id)
    }

    /// What a document of the account says of its key.
    pub(crate) fn said(&self, account: &str) -> Option<DesiredSharedKey> {
        let id = StorageAccountId::parse(account).ok()?;
        self.files.0.accounts.get(&id).map(|said| said.shared_key_access)
    }

    /// What is still to be written to an account, as the world is.
    pub(crate) fn due(&self, account: &str) -> Due {
        let mut declared = false;
        for (id, workspace) in self.truth.on(account) {
            let Some(asked) = self.declared(id) else { continue };
            declared = true;
            if (asked.auth_mode == AuthMode::Identity) != workspace.on_identity {
                return Due::Modes;
            }
        }
        let on_identity = self.truth.on(account).all(|(_, workspace)| workspace.on_identity);
        let off = declared && on_identity && self.said(account).is_none_or(|word| word == DesiredSharedKey::Disabled);
        if off && self.truth.keys.get(account) == Some(&true) { Due::KeyOff } else { Due::Nothing }
    }

    /// What somebody else did to the account, of these kinds, in the time in which it cannot have been seen: shortly before
    /// the write or after it, and not shown by a read whose answer the process had.
    pub(super) fn raced(&self, kinds: Kinds, account: &str, write: &Entry, to: Timestamp) -> Option<&Foreign> {
        self.foreign.iter().find(|foreign| {
            let listed = if foreign.is_listed() { self.draw.lists_tell() } else { Duration::ZERO };
            let unseen = before(write.left, CONFIRMED_WITHIN + foreign.hidden + listed);
            // Azure's clock may jump between the two.
            let just_now = foreign.since + CONFIRMED_WITHIN >= write.since;
            kinds.contains(&foreign.kind())
                && foreign.account.as_deref().is_none_or(|of| of == account)
                && (just_now || foreign.at >= unseen)
                && foreign.at <= to
                && !self.was_shown(foreign, write)
        })
    }

    /// Whether a read that left after somebody's change brought it before the write left.
    fn was_shown(&self, foreign: &Foreign, write: &Entry) -> bool {
        let Some(path) = &foreign.shown_by else { return false };
        // A pass reads the target last: what leaves after that is another's, which looks for keys that are stored elsewhere.
        let target = match &write.what {
            Some(What::Key { account: target, .. } | What::Mode { workspace: target, .. }) => target,
            _ => &write.path,
        };
        let last = self.record.known_to(write, foreign.since).find(|read| read.path == *target).map(|read| read.since);
        let own = |read: &&Entry| read.path == *path && last.is_none_or(|last| read.since <= last);
        let mut reads = self.record.known_to(write, foreign.since).filter(own).peekable();
        let whole = reads.peek().is_some();
        let mut first = false;
        whole
            && reads.all(|read| {
                first |= !read.goes_on;
                read.status == 200 && read.fault.is_none()
            })
            && first
    }

    /// The rules that a write breaks by leaving now.
    fn against(&mut self, entry: &Entry, what: &What) -> Vec<String> {
        let now = entry.left;
        let mut broken = Vec::new();
        if let Some((life, at)) = self.stopping
            && life == entry.life
            && entry.since.saturating_sub(at) > ON_THE_WAY
        {
            broken.push("S8: a write left a process that was asked to stop".to_owned());
        }
        let (life, began, settled) = self.begun;
        if life == entry.life && !settled && entry.since.saturating_sub(began) < self.draw.waits.late_write {
            broken.push("S6: a write before those of the last process must have landed".to_owned());
        }
        let Some(account) = self.account_of(&entry.path) else {
            broken.push("S7: a write to something that is on no account".to_owned());
            return broken;
        };
        broken.extend(self.is_small(entry, what));
        broken.extend(self.is_fresh(entry, what, &account));
        if self.knows_the_files(entry, what) {
            broken.extend(self.is_asked(entry, what, &account));
        }
        let facts = match what {
            What::Key { allowed: false, .. } => self.off(&account, now),
            What::Mode { workspace, identity: true } => self.to_identity(workspace, &account, now),
            What::Grant { id } => {
                let had = self.is_had(&Given::of(id, &entry.body), &account, entry);
                had.map(|why| (foreign::NOTHING, why)).into_iter().collect()
            }
            What::Mode { identity: false, .. } if self.truth.keys.get(&account) != Some(&true) => {
                vec![(foreign::WORKS, "S3: a workspace goes back to a key that is off".to_owned())]
            }
            _ => Vec::new(),
        };
        for (kinds, why) in facts {
            match self.raced(kinds, &account, entry, now) {
                Some(foreign) => {
                    let what = format!("raced: {}", foreign.kind());
                    self.count(&what);
                }
                None => broken.push(why),
            }
        }
        broken
    }

    /// Whether the files of now were in force when the process had its last look at what it writes to.
    fn knows_the_files(&self, entry: &Entry, what: &What) -> bool {
        let since = self.files.1;
        let looked = || match what {
            What::Mode { workspace: target, .. } | What::Key { account: target, .. } => {
                self.record.known_to(entry, since).any(|read| read.path == *target)
            }
            _ => false,
        };
        entry.since.saturating_sub(since) > ON_THE_WAY || looked()
    }

    /// S4: the target was read a moment before, and before a key goes off every workspace that may use it.
    fn is_fresh(&self, entry: &Entry, what: &What, account: &str) -> Vec<String> {
        let now = entry.left;
        // Virtual time, for the cloud's may jump in between.
        let reads = |path: &str, within: Duration| {
            let known = self.record.known_to(entry, entry.since.saturating_sub(within));
            known.filter(move |read| read.path == path).collect::<Vec<_>>()
        };
        let read_within = |path: &str, within: Duration| reads(path, within).iter().any(|read| read.status == 200);
        let target = match what {
            What::Mode { workspace, .. } => workspace,
            What::Key { account, .. } => account,
            _ => return Vec::new(),
        };
        let mut stale = Vec::new();
        if !read_within(target, TARGET_WITHIN + ON_THE_WAY) {
            stale.push("S4: the target was not read just before".to_owned());
        }
        if let What::Key { allowed: false, .. } = what {
            // The metric is what a pass reads again first of all.
            let mut mine = self.record.entries.iter().rev().filter(|read| read.life == entry.life);
            let metric = format!("{account}/providers/microsoft.insights/metrics");
            let again = mine.find(|read| read.path == metric).map(|read| entry.since.saturating_sub(read.since));
            let within = again.unwrap_or(CONFIRMED_WITHIN).min(CONFIRMED_WITHIN);
            for (list, decides) in [("locks", true), ("permissions", true), ("policyassignments", false)] {
                let path = format!("{account}/providers/microsoft.authorization/{list}");
                // Where policies cannot be read, that is told and stops nothing.
                let again = if decides {
                    read_within(&path, CONFIRMED_WITHIN)
                } else {
                    !reads(&path, CONFIRMED_WITHIN).is_empty()
                };
                if !again {
                    stale.push(format!("S4: `{path}` was not read again before the key goes off"));
                }
            }
            for (id, _) in self.truth.on(account) {
                let raced = self.raced(foreign::KNOWN, account, entry, now).is_some();
                for path in [id.clone(), format!("{id}/datastores")] {
                    if !read_within(&path, within) && !raced {
                        stale.push(format!("S4: `{path}` was not read again before the key goes off"));
                    }
                }
            }
        }
        stale
    }

    /// S2.
    fn off(&self, account: &str, now: Timestamp) -> Vec<(Kinds, String)> {
        let mut broken = Vec::new();
        for (id, workspace) in self.truth.on(account) {
            if !workspace.on_identity {
                broken.push((foreign::ON_KEYS, format!("S2: the key goes off while `{id}` uses it")));
            }
            if workspace.changing {
                broken.push((foreign::ON_KEYS, format!("S2: the key goes off while an operation may switch `{id}`")));
            }
        }
        let name = account.rsplit('/').next().unwrap_or_default();
        for (datastore, _) in self.truth.stored.iter().filter(|(_, stored)| stored.account == name) {
            broken.push((foreign::STORED, format!("S2: the key goes off while `{datastore}` stores it")));
        }
        let idle = self.key_used.get(account).map(|last| age(now, *last));
        if let Some(idle) = idle.filter(|idle| *idle + GRAIN < self.draw.waits.key_idle) {
            broken.push((foreign::IDLE, format!("S2: the key goes off {idle:?} after somebody used it")));
        }
        broken
    }

    /// S3.
    fn to_identity(&self, workspace: &str, account: &str, now: Timestamp) -> Vec<(Kinds, String)> {
        // Nobody has access to lose, or it is on identity already.
        let on_keys = self.truth.workspaces.get(workspace).is_some_and(|one| !one.on_identity);
        if self.draw.breaker || !on_keys || self.truth.keys.get(account) == Some(&false) {
            return Vec::new();
        }
        let Some(declared) = self.declared(workspace) else { return Vec::new() };
        let waits = &self.draw.waits;
        let mut broken = Vec::new();
        for need in &declared.needs {
            let role = need.role.to_string().to_ascii_lowercase();
            for principal in self.truth.principals(workspace, need) {
                let (direct, by_group) = self.truth.held_since(&principal, &role, account, need.condition.is_some());
                let old = |since: Option<Timestamp>, wait: Duration| {
                    since.is_some_and(|since| age(now, since) + GRAIN >= wait)
                };
                // Of persons in groups the shorter wait is enough; which principals are persons is not asked. Of a group it
                // is not known who is in it.
                let is_group = matches!(need.principal, PrincipalRef::Object { kind: PrincipalType::Group, .. });
                let wait = if is_group { waits.group_propagation } else { waits.role_propagation };
                if self.truth.is_denied(&principal, account) {
                    let why = format!("S3: `{principal}` is denied what the account holds");
                    broken.push((foreign::HAVE_ROLES, why));
                }
                if !old(direct, wait) && !old(by_group, wait) {
                    let why = format!("S3: `{principal}` has {role} since {direct:?}, by groups {by_group:?}");
                    broken.push((foreign::HAVE_ROLES, why));
                }
            }
        }
        broken
    }

    /// S5, over the whole record.
    pub(crate) fn unsettled(&mut self) {
        let late = self.draw.waits.late_write;
        let polls = self.record.last_polls();
        let mut last: BTreeMap<String, (Duration, bool, &Entry)> = BTreeMap::new();
        let (mut broken, mut unknown) = (Vec::new(), 0);
        for (entry, _) in self.record.writes() {
            let Some(account) = self.account_of(&entry.path) else { continue };
            if let Some((settled, known, before)) = last.get(&account) {
                let wait = if *known { Duration::ZERO } else { late };
                if entry.since < *settled + wait {
                    let (one, other) = (before.line(), entry.line());
                    broken.push(format!("S5: a write followed too soon\n    {one}\n    {other}"));
                }
            }
            let (settled, known) = self.record.end_of(entry, &polls);
            unknown += u64::from(!known);
            last.insert(account, (settled, known, entry));
        }
        self.broken.extend(broken);
        *self.counts.entry("writes of unknown outcome".to_owned()).or_default() += unknown;
    }
}

fn before(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_sub(by).ok()).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
