//! Carries out the reads of a pass: a set of what to read in, a partial [`Observed`] out.
//!
//! A failed read becomes [`Reading::Unknown`] with the error's text, never an absent value. Before a write, the account
//! and the action's target are read last, so that they are the freshest.

mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use keyless_arm::api::{Answer, Read, ReadArm};
use keyless_core::action::Action;
use keyless_core::desired::{AuthMode, KeyDesired};
use keyless_core::gate::ReadSet;
use keyless_core::id::{ArmId, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::observed::{
    AccessAt, Account, Barriers, Cause, Compute, Datastore, DenyAssignment, Eligibility, Endpoint, KeyCallers,
    KeyDetails, KeyUsage, Lock, Observed, ObservedAuthMode, ObservedJob, ObservedWorkspace, Reading, RoleAssignment,
    RoleDefinition, Workspace,
};
use tokio::time::Instant;

use crate::agreements::Moment;
use crate::barriers::BarrierReader;
use crate::clock::{ServerClock, earlier, later};
use crate::evidence::{Evidence, Pace, Window};
use crate::failed::failed;
use crate::kept::Kept;
use crate::membership;
use crate::memory::{Holders, Memory};
use crate::search::{Search, Searcher};
use crate::sweep::Sweep;

use order::{Order, gather};

/// How many reads of one pass are under way at a time.
const AT_A_TIME: usize = 4;

/// How long a built-in role definition may be reused: it changes only with the platform.
const BUILT_IN_FOR: Duration = Duration::from_secs(60 * 60);

/// How long what accounts share, and what may bar writes, is kept where nothing is written: a look over a fleet of thousands takes minutes.
const ONE_LOOK: Duration = Duration::from_secs(15 * 60);

/// For how many intervals a list of jobs serves a switch that waits: each is the whole history of a workspace.
const JOBS_FOR: u32 = 5;

/// How long it is believed that an assigned role has no definition. Such a role is unknown, so this only saves reads.
const MISSING_FOR: Duration = Duration::from_secs(60);

/// Reads for all passes of a process.
pub struct Observer {
    read: Arc<dyn ReadArm>,
    clock: Arc<ServerClock>,
    memory: Arc<Memory>,
    roles: Mutex<BTreeMap<RoleId, Arc<tokio::sync::Mutex<RoleSlot>>>>,
    evidence: Evidence,
    endpoints: Kept<SubscriptionId, Arc<Vec<Endpoint>>>,
    /// Of workspaces that have been switched.
    computes: Kept<WorkspaceId, Vec<Compute>>,
    /// Against those who work in switched workspaces, by account.
    denies: Kept<StorageAccountId, Vec<DenyAssignment>>,
    /// What was at work lately, for switches that wait.
    jobs: Kept<WorkspaceId, Vec<ObservedJob>>,
    /// As assignments at an account show them.
    groups: Kept<(StorageAccountId, PrincipalId), BTreeSet<PrincipalId>>,
    /// Held over a sweep of the fleet, so that accounts that need one at once share it.
    sweep: tokio::sync::Mutex<Sweep>,
    barriers: BarrierReader,
}

/// One role definition that many accounts share.
#[derive(Default)]
struct RoleSlot {
    built_in: Option<(Instant, Timestamp, RoleDefinition)>,
    /// When Azure last said that there is none.
    missing: Option<Instant>,
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The files' part for the account.
    pub desired: &'a KeyDesired,
    /// What.
    pub reads: &'a ReadSet,
    /// The action that the reads confirm, if they do.
    pub confirming: Option<&'a Action>,
    /// Subscriptions that are searched in any case.
    pub known: &'a BTreeSet<SubscriptionId>,
}

/// What came back.
#[derive(Debug)]
pub struct Seen {
    /// The values that were asked for.
    pub part: Observed,
    /// When the first read began.
    pub began: Instant,
    /// When the first read of the account or the action's target began.
    pub target_began: Instant,
}

enum Piece {
    Account(Reading<Option<Account>>),
    Workspace(WorkspaceId, Reading<Option<Workspace>>),
    Datastores(WorkspaceId, Reading<Vec<Datastore>>),
    Computes(WorkspaceId, Reading<Vec<Compute>>),
    Jobs(WorkspaceId, Reading<Vec<ObservedJob>>),
    Glimpse(WorkspaceId, Reading<Vec<ObservedJob>>),
    Assignments(Reading<Vec<RoleAssignment>>, BTreeMap<RoleId, Reading<RoleDefinition>>),
    Assignment(ArmId, Reading<Option<RoleAssignment>>),
    AccessAt(StorageAccountId, AccessAt),
    Groups(PrincipalId, Reading<BTreeSet<PrincipalId>>),
    Eligibilities(PrincipalId, Reading<Vec<Eligibility>>),
    Denies(Reading<Vec<DenyAssignment>>),
    Locks(Reading<Vec<Lock>>),
    KeyUsage(Reading<KeyUsage>),
    KeyDetails(Reading<KeyDetails>),
    KeyCallers(Reading<KeyCallers>),
    DataProbe(Reading<()>),
    Denials(Reading<KeyDetails>),
    Identity(ManagedIdentityId, Reading<Option<PrincipalId>>),
    Endpoints(Reading<Vec<Endpoint>>),
    Search(Search),
    Elsewhere(Reading<BTreeMap<WorkspaceId, Vec<Datastore>>>),
    Barriers(Barriers),
}

impl Observer {
    /// An observer over one reader. `memory` keeps since when each key has been seen on; what may bar writes is read once
    /// in `interval`.
    #[must_use]
    pub fn new(read: Arc<dyn ReadArm>, clock: Arc<ServerClock>, memory: Arc<Memory>) -> Self {
        Self {
            read,
            clock,
            memory,
            roles: Mutex::default(),
            evidence: Evidence::default(),
            endpoints: Kept::for_as_long_as(ONE_LOOK),
            computes: Kept::for_as_long_as(ONE_LOOK),
            denies: Kept::for_as_long_as(ONE_LOOK),
            jobs: Kept::for_as_long_as(ONE_LOOK),
            groups: Kept::for_as_long_as(membership::KEPT_FOR),
            sweep: tokio::sync::Mutex::default(),
            barriers: BarrierReader::new(ONE_LOOK),
        }
    }

    /// The same, for passes that come once per `interval`: what one list of a subscription tells serves them all, and what
    /// is new is seen on the next. Nothing but warnings rests on such a list.
    #[must_use]
    pub fn looking_every(self, interval: Duration) -> Self {
        Self {
            endpoints: Kept::for_as_long_as(interval / 2),
            computes: Kept::for_as_long_as(interval / 2),
            denies: Kept::for_as_long_as(interval / 2),
            jobs: Kept::for_as_long_as(interval.saturating_mul(JOBS_FOR)),
            barriers: BarrierReader::new(interval),
            ..self
        }
    }

    /// The reader.
    pub(crate) fn reader(&self) -> &dyn ReadArm {
        &*self.read
    }

    /// The server's clock.
    pub(crate) fn clock(&self) -> &ServerClock {
        &self.clock
    }

    /// What searches the fleet.
    pub(crate) fn searcher(&self) -> Searcher<'_> {
        Searcher { read: &*self.read, clock: &self.clock, memory: &self.memory }
    }

    /// The memory.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Lets what waits for a person be tried again at once: one was here.
    pub(crate) fn forgive(&self) {
        self.memory.forgive();
        self.evidence.forgive();
    }

    /// Forgets accounts that no document asks about any more; `keys` are all that there are, by a complete look.
    pub(crate) fn keep_only(&self, keys: &BTreeSet<StorageAccountId>) {
        self.memory.keep_only(keys);
        self.evidence.keep_only(keys);
    }

    /// Reads what is asked for, some at a time.
    pub async fn observe(&self, ask: Ask<'_>) -> Seen {
        let began = Instant::now();
        let Order { first, last, .. } = self.ordered(ask);
        let mut pieces = gather(first).await;
        pieces.extend(self.near(ask).await);
        let target_began = Instant::now();
        pieces.extend(gather(last).await);
        Seen { part: self.assemble(ask, pieces), began, target_began }
    }

    pub(crate) fn reading<T>(&self, read: Read<T>) -> Reading<T> {
        match read {
            Ok(Answer { value, at, request_id: _ }) => {
                self.clock.saw(at);
                Reading::known(value, at)
            }
            Err(error) => failed(&error),
        }
    }

    async fn search(&self, ask: Ask<'_>) -> Search {
        let mut known = ask.known.clone();
        known.insert(ask.desired.account_id.subscription());
        self.searcher().search(&ask.desired.fleet.scope, &known).await
    }

    /// The datastores that name the account, of all workspaces in scope that stand elsewhere.
    async fn elsewhere(&self, ask: Ask<'_>) -> Reading<BTreeMap<WorkspaceId, Vec<Datastore>>> {
        let mut sweep = self.sweep.lock().await;
        let Search { listings, found, .. } = self.search(ask).await;
        if let Some(failed) = listings.values().find_map(Reading::failed) {
            return failed;
        }
        let key = &ask.desired.account_id;
        let elsewhere = found.into_iter().filter(|(_, place)| !place.holds(key)).map(|(id, _)| id).collect();
        sweep.naming(key.name(), elsewhere, &*self.read, &self.clock, &self.memory).await
    }

    /// The endpoints of the declared workspaces. One list of a subscription serves all passes of one interval.
    async fn endpoints(&self, ask: Ask<'_>) -> Reading<Vec<Endpoint>> {
        let workspaces = &ask.desired.workspaces;
        let subscriptions: BTreeSet<SubscriptionId> = workspaces.keys().map(WorkspaceId::subscription).collect();
        let (mut found, mut oldest) = (Vec::new(), Timestamp::MAX);
        for subscription in subscriptions {
            let read = async { self.reading(self.read.online_endpoints(subscription).await).map(Arc::new) };
            let (listed, at) = match self.endpoints.lately(&subscription, read).await {
                Reading::Known { value, at } => (value, at),
                Reading::Unknown { why, cause } => return Reading::Unknown { why, cause },
                Reading::NotRead => return Reading::NotRead,
            };
            oldest = oldest.min(at);
            found.extend(listed.iter().filter(|endpoint| workspaces.contains_key(&endpoint.workspace)).cloned());
        }
        Reading::known(found, oldest)
    }

    /// Deny assignments at the account: of the same interval where nothing but warnings rests on them. What was read anew
    /// takes the place of what was kept, so that no warning rests on less than a write did.
    async fn denies(&self, Ask { desired, reads, .. }: Ask<'_>) -> Piece {
        let key = &desired.account_id;
        let read = async { self.reading(self.read.deny_assignments(key.arm()).await) };
        Piece::Denies(if reads.denies {
            self.denies.get(key, Duration::ZERO, read).await
        } else {
            self.denies.lately(key, read).await
        })
    }

    /// The jobs of a workspace that are not over; read anew for a write, whatever was read before.
    async fn jobs(&self, ask: Ask<'_>, id: &WorkspaceId) -> Reading<Vec<ObservedJob>> {
        let read = async { self.reading(self.read.jobs(id).await) };
        match ask.confirming {
            Some(_) => self.jobs.get(id, Duration::ZERO, read).await,
            None => self.jobs.lately(id, read).await,
        }
    }

    /// The window of exactly `keyIdle`, ending where metrics are complete.
    fn idle_window(&self, desired: &KeyDesired) -> Option<Window> {
        let to = earlier(self.clock.last()?, desired.fleet.waits.metrics_lag);
        Some(Window { from: earlier(to, desired.key_idle()), to })
    }

    async fn key_usage(&self, desired: &KeyDesired) -> Piece {
        let Some(Window { from, to }) = self.idle_window(desired) else { return Piece::KeyUsage(timeless()) };
        Piece::KeyUsage(self.reading(self.read.key_usage(&desired.account_id, from, to).await))
    }

    async fn key_details(&self, Ask { desired, confirming, .. }: Ask<'_>) -> Piece {
        let Some(window) = self.idle_window(desired) else { return Piece::KeyDetails(timeless()) };
        let (account, idle) = (&desired.account_id, desired.key_idle());
        let keep = confirming.is_none().then(|| Pace::of(desired.fleet.waits.metrics_lag));
        Piece::KeyDetails(self.evidence.names(&*self.read, account, window, idle, keep).await)
    }

    /// Over the longer of the two windows in which somebody may have to be named. While the account is watched the logs are
    /// asked as often as who was refused, for what is told then is about the last minutes.
    async fn key_callers(&self, desired: &KeyDesired) -> Piece {
        let key = &desired.account_id;
        let Some(logs) = desired.log_analytics() else { return Piece::KeyCallers(Reading::NotRead) };
        let Some(now) = self.clock.last() else { return Piece::KeyCallers(timeless()) };
        let window = Window { from: earlier(now, desired.key_idle().max(desired.fleet.waits.watch)), to: now };
        let Pace { names, watch, .. } = Pace::of(desired.fleet.waits.metrics_lag);
        let watched_from = earlier(now, desired.fleet.waits.watch);
        let watched = self.memory.watch(key).is_some_and(|from| from.at > watched_from);
        let for_as_long = if watched { watch } else { names };
        Piece::KeyCallers(self.evidence.callers(&*self.read, logs, key, window, for_as_long).await)
    }

    async fn denials(&self, desired: &KeyDesired) -> Piece {
        let key = &desired.account_id;
        let Some(now) = self.clock.last() else { return Piece::Denials(timeless()) };
        let waits = &desired.fleet.waits;
        let mut pace = Pace::of(waits.metrics_lag);
        let from = match (self.memory.back_on(key), self.memory.watch(key)) {
            (Some(back_on), _) => {
                if later(back_on.seen, pace.settled) <= now {
                    pace.watch = waits.watch;
                }
                back_on.from(waits.watch)
            }
            (None, Some(watch)) => watch.at,
            (None, None) => return Piece::Denials(timeless()),
        };
        Piece::Denials(self.evidence.denials(&*self.read, key, from, now, pace).await)
    }

    async fn assignments(&self, desired: &KeyDesired) -> Piece {
        let assignments = self.reading(self.read.role_assignments(desired.account_id.arm()).await);
        let ids: BTreeSet<RoleId> =
            assignments.value().into_iter().flatten().map(|assignment| assignment.role).collect();
        let roles = stream::iter(ids)
            .map(|id| async move { (id, self.role(desired, id).await) })
            .buffered(AT_A_TIME)
            .collect()
            .await;
        Piece::Assignments(assignments, roles)
    }

    /// Assignments with their roles, and deny assignments, at an account that is not the pass's own.
    async fn access_at(&self, desired: &KeyDesired, id: &StorageAccountId) -> Piece {
        let assignments = self.reading(self.read.role_assignments(id.arm()).await);
        let ids: BTreeSet<RoleId> = assignments.value().into_iter().flatten().map(|known| known.role).collect();
        let mut roles = BTreeMap::new();
        for role in ids {
            roles.insert(role, self.role(desired, role).await);
        }
        let denies = self.reading(self.read.deny_assignments(id.arm()).await);
        Piece::AccessAt(id.clone(), AccessAt { assignments, roles, denies })
    }

    /// The groups of a principal: whatever is assigned to it and not made to it is made to a group it is in. A plan may
    /// rest on an answer of some minutes ago, a write may not; and while reads that agree are waited for, on none that is so
    /// old that the next one counts.
    async fn groups(&self, ask: Ask<'_>, principal: PrincipalId) -> Reading<BTreeSet<PrincipalId>> {
        let thing = (ask.desired.account_id.clone(), principal);
        let read = async {
            let assigned = self.reading(self.read.role_assignments_of(thing.0.arm(), principal).await);
            assigned.map(|assigned| membership::groups_in(&assigned, principal))
        };
        let waits = &ask.desired.fleet.waits;
        let mut awaited = false;
        self.memory.agree(&thing.0, |counts| awaited = counts.await_groups(principal, waits));
        let within = match ask.confirming {
            Some(_) => Duration::ZERO,
            None if awaited => membership::KEPT_FOR.min(waits.reads_apart()),
            None => membership::KEPT_FOR,
        };
        self.groups.get(&thing, within, read).await
    }

    pub(crate) async fn role(&self, desired: &KeyDesired, id: RoleId) -> Reading<RoleDefinition> {
        let slot = {
            let mut roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(roles.entry(id).or_default())
        };
        // Held over the read: accounts that ask for the same definition at once share one answer.
        let mut slot = slot.lock().await;
        if let Some((read, at, definition)) = &slot.built_in
            && read.elapsed() < BUILT_IN_FOR
        {
            return Reading::known(definition.clone(), *at);
        }
        let missing = "Azure says it does not exist, and it is assigned";
        if slot.missing.is_some_and(|asked| asked.elapsed() < MISSING_FOR) {
            return Reading::unknown(missing);
        }
        match self.reading(self.read.role_definition(desired.account_id.arm(), id).await) {
            Reading::Known { value: Some(definition), at } => {
                slot.built_in = definition.built_in.then(|| (Instant::now(), at, definition.clone()));
                Reading::known(definition, at)
            }
            // A definition with assignments cannot be deleted, so this is a contradiction rather than an empty role.
            Reading::Known { value: None, .. } => {
                slot.missing = Some(Instant::now());
                Reading::unknown(missing)
            }
            Reading::Unknown { why, cause } => Reading::Unknown { why, cause },
            Reading::NotRead => Reading::NotRead,
        }
    }

    /// What a list of assignments at an account shows is counted, for a pass over the account of `desired`.
    fn saw_assignments(&self, desired: &KeyDesired, place: &StorageAccountId, reading: &Reading<Vec<RoleAssignment>>) {
        let Reading::Known { value, at } = reading else { return };
        let (moment, waits) = (Moment::of(*at, &self.clock), &desired.fleet.waits);
        self.memory.agree(&desired.account_id, |counts| counts.saw_assignments(place, value, moment, waits));
    }

    fn assemble(&self, ask: Ask<'_>, pieces: Vec<Piece>) -> Observed {
        let key = &ask.desired.account_id;
        let mut part = Observed::unread(key.clone(), Timestamp::MIN);
        let mut shown_on_keys = BTreeSet::new();
        for piece in pieces {
            match piece {
                Piece::Account(reading) => {
                    part.account = reading;
                }
                Piece::Workspace(id, reading) => {
                    entry(&mut part, id).workspace = reading;
                }
                Piece::Datastores(id, reading) => {
                    entry(&mut part, id).datastores = reading;
                }
                Piece::Computes(id, reading) => {
                    entry(&mut part, id).computes = reading;
                }
                Piece::Jobs(id, reading) => {
                    entry(&mut part, id).jobs = reading;
                }
                Piece::Glimpse(id, reading) => {
                    entry(&mut part, id).glimpse = reading;
                }
                Piece::Assignments(reading, roles) => {
                    self.saw_assignments(ask.desired, key, &reading);
                    part.assignments = reading;
                    part.roles = roles;
                }
                Piece::Assignment(id, reading) => {
                    part.assignments_by_id.insert(id, reading);
                }
                Piece::AccessAt(id, access) => {
                    self.saw_assignments(ask.desired, &id, &access.assignments);
                    part.access_at.insert(id, access);
                }
                Piece::Groups(id, reading) => {
                    if let Reading::Known { value, at } = &reading {
                        let (moment, waits) = (Moment::of(*at, &self.clock), &ask.desired.fleet.waits);
                        self.memory.agree(key, |counts| counts.saw_groups(id, value, moment, waits));
                    }
                    part.groups.insert(id, reading);
                }
                Piece::Eligibilities(id, reading) => {
                    part.eligibilities.insert(id, reading);
                }
                Piece::Denies(reading) => {
                    part.denies = reading;
                }
                Piece::Locks(reading) => {
                    part.locks = reading;
                }
                Piece::KeyUsage(reading) => {
                    part.key_usage = reading;
                }
                Piece::KeyDetails(reading) => {
                    part.key_details = reading;
                }
                Piece::KeyCallers(reading) => {
                    part.key_callers = reading;
                }
                Piece::DataProbe(reading) => {
                    part.data_probe = reading;
                }
                Piece::Denials(reading) => {
                    part.denials = reading;
                }
                Piece::Identity(id, reading) => {
                    part.identities.insert(id, reading);
                }
                Piece::Barriers(mut read) => {
                    for (subscription, count) in &mut read.assignment_counts {
                        if let Reading::Known { value, at } = count {
                            *value = value.saturating_add(self.memory.ledger().made_since(*subscription, *at));
                        }
                    }
                    part.barriers = read;
                }
                Piece::Endpoints(reading) => {
                    part.endpoints = reading;
                }
                Piece::Elsewhere(reading) => {
                    part.elsewhere = reading;
                }
                Piece::Search(Search { listings, found, listed, on_keys, left_out: _ }) => {
                    part.listings = listings;
                    shown_on_keys = on_keys;
                    let here = found.into_iter().filter(|(_, place)| place.holds(key)).map(|(id, _)| id);
                    // A list may lag behind a declared workspace, so those stay and are judged by their own reads.
                    for id in here.chain(ask.desired.workspaces.keys().cloned()) {
                        if listed.contains(&id) {
                            part.listed.insert(id.clone());
                        }
                        entry(&mut part, id);
                    }
                }
            }
        }
        part.now = self.clock.last().unwrap_or(Timestamp::MIN);
        let by_most = self.clock.now().map_or(SignedDuration::ZERO, |now| now.duration_since(part.now));
        part.behind = Duration::try_from(by_most).unwrap_or_default();
        // Before a write the lists come after the direct reads: what they show may have happened since.
        for (_, own) in
            part.workspaces.iter_mut().filter(|(id, _)| ask.confirming.is_some() && shown_on_keys.contains(*id))
        {
            let mode = own.workspace.value().and_then(Option::as_ref).map(|own| &own.auth_mode);
            if mode == Some(&ObservedAuthMode::Identity) {
                let why = "a list that is newer shows it on accesskey".to_owned();
                own.workspace = Reading::Unknown { why, cause: Cause::default() };
            }
        }
        for (id, own) in &part.workspaces {
            let mode = own.workspace.value().and_then(Option::as_ref).map(|own| &own.auth_mode);
            if mode.is_some_and(ObservedAuthMode::is_key) {
                self.memory.saw_on_key(key, id);
            }
        }
        self.memory.saw_account(key, &part.account, self.clock.now());
        // Half as long again, for whoever waited for it to try once more: a minute by default. Design decision.
        let effect = ask.desired.fleet.waits.key_effect;
        let arrival = effect.saturating_add(effect / 2);
        self.memory.saw_holders(key, holders(ask.desired, &part), arrival, self.clock.now());
        if let Some(switched) = already_switched(ask.desired, &part) {
            self.memory.saw_workspaces(key, switched, self.clock.now());
        }
        part.history = self.memory.history(key);
        part
    }
}

/// Whether a workspace that is to be on identity is on it; `None` where none of them was read.
fn already_switched(desired: &KeyDesired, part: &Observed) -> Option<bool> {
    let seen = desired.workspaces.values().filter(|own| own.auth_mode == AuthMode::Identity).filter_map(|own| {
        let entry = part.workspaces.get(&own.id)?;
        Some(entry.workspace.value()?.as_ref()?.auth_mode == ObservedAuthMode::Identity)
    });
    seen.reduce(|one, other| one || other)
}

/// What keeps the key on; `None` of a kind where one does not tell that was read, or that is declared.
fn holders(desired: &KeyDesired, part: &Observed) -> Holders<Option<bool>> {
    let any = |all: Vec<Option<bool>>| match all.as_slice() {
        [] => None,
        some if some.contains(&Some(true)) => Some(true),
        some if some.contains(&None) => None,
        _ => Some(false),
    };
    let on_key = |own: &ObservedWorkspace| {
        let workspace = own.workspace.value()?.as_ref();
        Some(workspace.is_some_and(|workspace| workspace.auth_mode.is_key()))
    };
    // A single one is read back after its switch.
    let left_out = desired.workspaces.keys().filter(|id| !part.workspaces.contains_key(*id)).map(|_| None);
    let workspaces = part.workspaces.values().map(on_key).chain(left_out);
    let stores = |all: &[Datastore]| {
        all.iter().any(|store| store.is_on(part.account_id.name()) && store.credentials.may_need_key())
    };
    let here = part.workspaces.values().map(|own| Some(stores(own.datastores.value()?)));
    let elsewhere = part.elsewhere.value().map(|all| all.values().any(|all| stores(all)));
    let is_on = |account: &Option<Account>| account.as_ref().is_some_and(|account| account.shared_key.is_on());
    Holders {
        workspaces: any(workspaces.collect()),
        datastores: any(here.chain([elsewhere]).collect()),
        files: part.account.value().map(|account| is_on(account) && !desired.asks_for_key_off()),
    }
}

/// A window cannot be cut before an answer has told the server's time.
fn timeless<T>() -> Reading<T> {
    Reading::unknown("the server's time is not known")
}

fn entry(part: &mut Observed, id: WorkspaceId) -> &mut ObservedWorkspace {
    part.workspaces.entry(id).or_insert_with(ObservedWorkspace::unread)
}
