//! What the daemon knows of itself: fed by the loop, read by `/readyz`, `/metrics` and the status page.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keyless_core::gate::GateState;
use keyless_core::id::StorageAccountId;
use keyless_core::pass::{Ended, Report, WriteResult};
use keyless_core::plan::{Finding, Plan, Standing};

/// The state of the whole process.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<State>);

/// A copy of the state at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// The revision in force.
    pub(crate) revision: Option<String>,
    /// Why the newest files are not in force.
    pub(crate) rejected: Vec<String>,
    /// Each account after its last pass.
    pub(crate) accounts: BTreeMap<StorageAccountId, Row>,
    /// Passes by how they ended.
    pub(crate) passes: BTreeMap<&'static str, u64>,
    /// Writes by kind of action and what became of them.
    pub(crate) writes: BTreeMap<(&'static str, &'static str), u64>,
}

/// One account after its last pass.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// How it stands.
    pub(crate) standing: Standing,
    /// How many steps are left.
    pub(crate) steps: usize,
    /// The first step, or nothing.
    pub(crate) next: String,
    /// What it waits for, or what stands in its way.
    pub(crate) waits_for: String,
    /// When a pass last read everything it needed.
    last_good: Option<Instant>,
    first_seen: Instant,
}

impl Row {
    /// How long ago a pass last read everything it needed; since the first pass if none ever did.
    pub(crate) fn age(&self) -> Duration {
        self.last_good.unwrap_or(self.first_seen).elapsed()
    }
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy to read from.
    pub(crate) fn snapshot(&self) -> State {
        self.state().clone()
    }

    /// Whether a revision was loaded.
    pub(crate) fn is_ready(&self) -> bool {
        self.state().revision.is_some()
    }

    /// A revision came into force.
    pub(crate) fn accepted(&self, revision: &str) {
        let mut state = self.state();
        state.revision = Some(revision.to_owned());
        state.rejected.clear();
    }

    /// The newest files were not taken.
    pub(crate) fn rejected(&self, problems: Vec<String>) {
        self.state().rejected = problems;
    }

    /// These accounts are worked on; what others left behind is dropped.
    pub(crate) fn in_force(&self, accounts: &BTreeSet<StorageAccountId>) {
        self.state().accounts.retain(|id, _| accounts.contains(id));
    }

    /// A pass ended.
    pub(crate) fn pass(&self, report: &Report) {
        let Report { plan, write, ended } = report;
        let mut state = self.state();
        *state.passes.entry(ended_word(ended)).or_default() += 1;
        if let Some(write) = write {
            *state.writes.entry((write.action.kind(), result_word(&write.result))).or_default() += 1;
        }
        let now = Instant::now();
        let row = state.accounts.entry(plan.account_id.clone()).or_insert_with(|| Row {
            standing: Standing::Blocked,
            steps: 0,
            next: String::new(),
            waits_for: String::new(),
            last_good: None,
            first_seen: now,
        });
        row.standing = plan.standing();
        row.steps = plan.steps.len();
        row.next = plan.next().or(plan.steps.first()).map(|step| step.action.to_string()).unwrap_or_default();
        row.waits_for = waits_for(plan);
        if is_good(report) {
            row.last_good = Some(now);
        }
    }
}

impl State {
    /// How many accounts stand how; every word is there, also with none.
    pub(crate) fn by_standing(&self) -> BTreeMap<Standing, u64> {
        let words = [Standing::Converged, Standing::Ready, Standing::Waiting, Standing::Blocked];
        let mut counts: BTreeMap<Standing, u64> = words.into_iter().map(|standing| (standing, 0)).collect();
        for row in self.accounts.values() {
            *counts.entry(row.standing).or_default() += 1;
        }
        counts
    }

    /// The age of the last good pass of the account where it is longest ago.
    pub(crate) fn worst_age(&self) -> Option<Duration> {
        self.accounts.values().map(Row::age).max()
    }
}

/// Whether everything the pass needed could be read.
fn is_good(report: &Report) -> bool {
    let read = !report.plan.findings.iter().any(|finding| matches!(finding, Finding::Incomplete { .. }));
    read && matches!(report.ended, Ended::Planned | Ended::Wrote)
}

fn waits_for(plan: &Plan) -> String {
    let shut = plan.steps.iter().flat_map(|step| &step.gates).find_map(|check| match &check.state {
        GateState::Waiting { until, why } => Some(format!("{} until {until}: {why}", check.gate)),
        GateState::Unmet { why, .. } => Some(format!("{}: {why}", check.gate)),
        GateState::Open | GateState::NotLooked => None,
    });
    shut.or_else(|| plan.findings.iter().next().map(ToString::to_string)).unwrap_or_default()
}

fn ended_word(ended: &Ended) -> &'static str {
    match ended {
        Ended::Planned => "planned",
        Ended::Wrote => "wrote",
        Ended::Raced { .. } => "raced",
        Ended::MarkStuck { .. } => "mark_stuck",
        Ended::Stopped => "stopped",
    }
}

fn result_word(result: &WriteResult) -> &'static str {
    match result {
        WriteResult::Applied { .. } => "applied",
        WriteResult::DidNotStick { .. } => "did_not_stick",
        WriteResult::NotReadBack { .. } => "not_read_back",
        WriteResult::Refused(_) => "refused",
        WriteResult::Unknown { .. } => "unknown",
        WriteResult::NotSent { .. } => "not_sent",
    }
}
