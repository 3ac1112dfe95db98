//! How the process and each account stand right now: for health, metrics, the status page and live progress.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use keyless_core::id::{StorageAccountId, WorkspaceId};
use keyless_core::plan::{Plan, Standing};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::failed::Failure;

/// Shared by the loop, which writes it, and everybody who looks.
#[derive(Debug)]
pub struct Status {
    inner: Mutex<Snapshot>,
    changed: watch::Sender<u64>,
}

impl Default for Status {
    fn default() -> Self {
        Self { inner: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

/// One look at everything.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The revision in force; ready once there is one.
    pub revision: Option<String>,
    /// The problems of the newest files, where they were rejected.
    pub rejected: Vec<String>,
    /// Whether the last look over the fleet covered every subscription in scope; `None` before the first.
    pub fleet_complete: Option<bool>,
    /// Declared workspaces that do not exist.
    pub missing: BTreeSet<WorkspaceId>,
    /// Declared workspaces whose account could not be found out, and why.
    pub unplaced: BTreeMap<WorkspaceId, Failure>,
    /// Until when nothing is written after the start.
    pub boot_until: Option<Timestamp>,
    /// Each account.
    pub accounts: BTreeMap<StorageAccountId, AccountStatus>,
    /// What happened since the start.
    pub counters: Counters,
    /// How many passes are under way.
    pub in_flight: usize,
    /// Whether the process is stopping.
    pub stopping: bool,
}

/// How one account stands.
#[derive(Debug, Clone, Default)]
pub struct AccountStatus {
    /// The workspaces on it, declared or not.
    pub workspaces: BTreeSet<WorkspaceId>,
    /// The last plan.
    pub plan: Option<Arc<Plan>>,
    /// How many differences are known: see `drift`.
    pub differences: usize,
    /// The server's time of the last pass that read everything it needed.
    pub last_good_pass: Option<Timestamp>,
    /// When that pass began, on this process's own clock: what freshness is measured from, for what it read may have
    /// changed since.
    pub last_good_at: Option<Instant>,
    /// What went wrong in the last pass, if anything did.
    pub last_error: Option<String>,
    /// Who changed last what differs now, where it was asked: a line for each difference.
    pub changed: Vec<String>,
    /// How many passes were made.
    pub passes: u64,
    /// How many writes of this process changed something.
    pub writes: u64,
}

impl AccountStatus {
    /// How it stands; `None` before the first pass.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        self.plan.as_ref().map(|plan| plan.standing())
    }

    /// How many steps are left.
    #[must_use]
    pub fn steps_left(&self) -> usize {
        self.plan.as_ref().map_or(0, |plan| plan.steps.len())
    }

    /// How many differences there are: as many as the last plan names, and while it could not read all that tells them, no
    /// fewer than were known before.
    #[must_use]
    pub fn drift(&self) -> usize {
        self.differences
    }

    /// Takes in the plan of a finished pass.
    pub(crate) fn planned(&mut self, plan: &Plan) {
        let named = plan.differences();
        self.differences = if plan.tells_all() { named } else { named.max(self.differences) };
        self.plan = Some(Arc::new(plan.clone()));
    }

    /// How long ago it was last read completely.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.last_good_at.map(|at| at.elapsed())
    }
}

/// What happened since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Passes that came to an end.
    pub passes: u64,
    /// Passes in which something failed: a read, a write, the mark, the quota.
    pub failed_passes: u64,
    /// Writes that changed something, by kind of action.
    pub writes: BTreeMap<&'static str, u64>,
    /// Writes that failed or whose outcome is unknown, by kind of action.
    pub failed_writes: BTreeMap<&'static str, u64>,
    /// Looks over the fleet.
    pub searches: u64,
    /// Revisions that came into force.
    pub revisions: u64,
}

impl Status {
    /// The state now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.lock().clone()
    }

    /// Whether settings and a revision are loaded: what `/readyz` answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let inner = self.lock();
        inner.revision.is_some() && !inner.stopping
    }

    /// Wakes at every change; several changes may become one.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn snapshot_in_flight(&self) -> usize {
        self.lock().in_flight
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.lock());
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
