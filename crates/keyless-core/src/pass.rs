//! One pass over one storage account as a pure machine: `step(State, Event) -> (State, Effect)`.
//!
//! Expected flow: read until every gate that matters can be judged, plan, and if a step is open and may be taken:
//! forget what its gates rest on, read just that again, plan again, and only if the same step still comes first take
//! the settled mark away, send, and read the target back. At most one write leaves in a pass.
//!
//! Guarantees: a value read before the plan is never what a write rests on, because it is forgotten before the confirming
//! read; a failed confirming read leaves a gate that is not open. Assumptions: the shell answers each effect with its
//! event, sends a write no later than [`send_within`] after the confirming reads ended, and reads account and target last.

use std::time::Duration;

use crate::ablate::{self, Ablation};
use crate::action::{Action, Effort, Grant};
use crate::desired::{AuthMode, KeyDesired, Revision};
use crate::gate::ReadSet;
use crate::id::{ArmId, WorkspaceId};
use crate::lint::{self, Violation};
use crate::observed::{Cause, Datastore, DatastoreCredentials, Observed, ObservedAuthMode, Reading, RoleAssignment};
use crate::plan::{self, Limits, Look, Plan, Standing, Step};

/// How old the reads of the target and its account may be when a write is sent.
pub const SEND_WITHIN: Duration = Duration::from_secs(5);

/// How long all confirming reads together may take.
pub const CONFIRM_WITHIN: Duration = Duration::from_secs(60);

/// How old the reads of the target and its account may be when this is sent. Of a grant the target is the list of
/// assignments, which may have many pages; and it takes nothing from anybody, however old that list is.
#[must_use]
pub fn send_within(action: &Action) -> Duration {
    if matches!(action, Action::GrantRole(_)) { CONFIRM_WITHIN } else { SEND_WITHIN }
}

/// How often one pass goes back for reads that a gate lacks, before it gives up until the next.
const ROUNDS: u8 = 8;

/// What a pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Tell what would be done; nothing is written.
    Plan,
    /// Take the next open step.
    Converge,
}

/// What a pass starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The files' part for this account.
    pub desired: KeyDesired,
    /// What this process knows.
    pub limits: Limits,
    /// What the pass is for.
    pub intent: Intent,
    /// How much it reads.
    pub look: Look,
}

/// Where a pass stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    job: Job,
    observed: Observed,
    stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Begin,
    Observing { round: u8 },
    Confirming(Box<Step>),
    Unmarking(Box<Plan>, Box<Step>),
    Sending(Box<Plan>, Box<Step>),
    Verifying(Box<Plan>, Box<Step>, Option<String>, bool),
    Done,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The pass begins.
    Begin,
    /// The reads of [`Effect::Read`] came back: only what was asked for, failed reads as unknown.
    Read {
        /// The values.
        part: Box<Observed>,
        /// How long all reads took.
        took: Duration,
        /// How long ago, at most, the account and the target were read.
        target_age: Duration,
        /// The revision of the files that is in force now.
        revision: Revision,
    },
    /// The answer to [`Effect::Unmark`].
    Unmarked(Result<(), String>),
    /// The answer to [`Effect::Send`].
    Sent(Outcome),
    /// The process is asked to stop.
    Stop,
}

/// What the shell is to do.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read these and answer with [`Event::Read`]. With `confirming`, take a place in the write quota first and read the
    /// account and the action's target last.
    Read {
        /// What.
        reads: Box<ReadSet>,
        /// The action these reads confirm, if they do.
        confirming: Option<Action>,
    },
    /// Take the settled mark away, durably, before the first write.
    Unmark,
    /// Send this write at once.
    Send(Action),
    /// The pass is over.
    Finish(Box<Report>),
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Azure did it, or it was so already.
    Done {
        /// Whether something changed.
        changed: bool,
        /// Azure's request id.
        request_id: Option<String>,
    },
    /// Azure refused, so nothing changed.
    Refused(Refused),
    /// It left, and no answer says what became of it.
    Unknown {
        /// What happened.
        why: String,
        /// What kind of failure it was, and what would lift it.
        cause: Cause,
        /// Azure's request id, if there was an answer.
        request_id: Option<String>,
    },
    /// It never left.
    NotSent {
        /// Why.
        why: String,
        /// What kind of failure it was, and what would lift it.
        cause: Cause,
    },
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Who or what can lift it.
    pub by: RefusedBy,
    /// What kind of failure it was, and what would lift it.
    pub cause: Cause,
    /// Azure's error code.
    pub code: Option<String>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// Azure's words.
    pub message: String,
    /// Azure's request id.
    pub request_id: Option<String>,
    /// How long Azure asked to wait.
    pub retry_after: Option<Duration>,
}

/// What lifts a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusedBy {
    /// Time: a throttle, another operation, a principal that is not replicated yet.
    Time,
    /// A person: a lock, a policy, missing rights, a limit, a wrong setting.
    Person,
}

/// What a pass found and did.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The last plan of the pass.
    pub plan: Plan,
    /// The write it sent, if it sent one.
    pub write: Option<WriteRecord>,
    /// How it ended.
    pub ended: Ended,
}

/// One write and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteRecord {
    /// The change.
    pub action: Action,
    /// What it does to the people at work.
    pub effort: Effort,
    /// For which declared workspaces.
    pub workspaces: std::collections::BTreeSet<WorkspaceId>,
    /// What became of it.
    pub result: WriteResult,
}

/// What became of a write, after reading it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteResult {
    /// Done, and read back from the resource itself.
    Applied {
        /// Whether something changed.
        changed: bool,
        /// Azure's request id.
        request_id: Option<String>,
    },
    /// Azure accepted it, and it is not there, or something else is: likely a policy that modifies writes, or for a grant
    /// a condition.
    DidNotStick {
        /// Azure's request id.
        request_id: Option<String>,
    },
    /// Azure accepted it, and reading it back failed.
    NotReadBack {
        /// Azure's request id.
        request_id: Option<String>,
        /// What happened.
        why: String,
        /// What kind of failure it was, and what would lift it.
        cause: Cause,
    },
    /// Azure refused.
    Refused(Refused),
    /// Nobody knows; the account rests until it is settled.
    Unknown {
        /// What happened.
        why: String,
        /// What kind of failure it was, and what would lift it.
        cause: Cause,
        /// Azure's request id.
        request_id: Option<String>,
    },
    /// It never left.
    NotSent {
        /// Why.
        why: String,
        /// What kind of failure it was, and what would lift it.
        cause: Cause,
    },
}

/// How a pass ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With a plan and no open step, or with no word to write.
    Planned,
    /// With a write.
    Wrote,
    /// The confirming reads took the ground from under the step, or took too long.
    Raced {
        /// What happened.
        why: String,
    },
    /// The plan breaks a rule that every plan keeps, so nothing of it is carried out: a mistake in keyless.
    Rejected {
        /// What is wrong with it.
        violations: Vec<Violation>,
    },
    /// The settled mark could not be taken away.
    MarkStuck {
        /// Why.
        why: String,
    },
    /// The process is stopping.
    Stopped,
}

/// When the next pass over this account is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// At once: something changed.
    Now,
    /// After this long, unless something changes before.
    After(Duration),
    /// With the regular interval.
    Interval,
    /// With growing delays: something failed.
    Backoff,
}

impl Report {
    /// When the next pass is due.
    #[must_use]
    pub fn requeue(&self) -> Requeue {
        match self.write.as_ref().map(|write| &write.result) {
            Some(WriteResult::Applied { .. }) => return Requeue::Now,
            Some(WriteResult::Refused(Refused { retry_after: Some(wait), by: RefusedBy::Time, .. })) => {
                return Requeue::After(*wait);
            }
            Some(WriteResult::Refused(Refused { by: RefusedBy::Person, .. })) => return Requeue::Interval,
            Some(_) => return Requeue::Backoff,
            None => {}
        }
        match &self.ended {
            Ended::Raced { .. } | Ended::MarkStuck { .. } | Ended::Rejected { .. } => return Requeue::Backoff,
            Ended::Planned | Ended::Wrote | Ended::Stopped => {}
        }
        match (self.plan.standing(), self.plan.wakes_at()) {
            (Standing::Waiting, Some(at)) => {
                Requeue::After(at.duration_since(self.plan.at).try_into().unwrap_or(Duration::ZERO))
            }
            _ => Requeue::Interval,
        }
    }

    /// Whether a write of this pass may still land.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        matches!(self.write.as_ref().map(|write| &write.result), Some(WriteResult::Unknown { .. }))
    }
}

impl State {
    /// A pass that has not begun, over an observation in which nothing is read but what `observed` brings.
    #[must_use]
    pub fn new(job: Job, observed: Observed) -> Self {
        Self { job, observed, stage: Stage::Begin }
    }

    fn plan(&self) -> Plan {
        plan::plan(&self.job.desired, &self.observed, &self.job.limits, self.job.look)
    }

    fn finish(mut self, plan: Plan, write: Option<WriteRecord>, ended: Ended) -> (Self, Effect) {
        self.stage = Stage::Done;
        (self, Effect::Finish(Box::new(Report { plan, write, ended })))
    }

    fn read(mut self, reads: ReadSet, confirming: Option<Action>, stage: Stage) -> (Self, Effect) {
        self.stage = stage;
        (self, Effect::Read { reads: Box::new(reads), confirming })
    }
}

/// Carries a pass one event further.
///
/// Total: an event that does not belong to the stage ends the pass without a write.
pub fn step(mut state: State, event: Event) -> (State, Effect) {
    let stage = std::mem::replace(&mut state.stage, Stage::Done);
    match (stage, event) {
        (Stage::Begin, Event::Begin) => {
            let reads = plan::base_reads(&state.job.desired);
            state.read(reads, None, Stage::Observing { round: 0 })
        }
        (Stage::Observing { round }, Event::Read { part, .. }) => {
            state.observed.absorb(*part);
            planned(state, round)
        }
        (Stage::Confirming(step), Event::Read { part, took, target_age, revision }) => {
            if !ablate::is_gone(Ablation::Confirm) {
                state.observed.absorb(*part);
            }
            confirmed(state, *step, took, target_age, &revision)
        }
        (Stage::Unmarking(plan, step), Event::Unmarked(Ok(()))) => {
            let action = step.action.clone();
            state.stage = Stage::Sending(plan, step);
            (state, Effect::Send(action))
        }
        (Stage::Unmarking(plan, _), Event::Unmarked(Err(why))) => state.finish(*plan, None, Ended::MarkStuck { why }),
        (Stage::Sending(plan, step), Event::Sent(outcome)) => sent(state, plan, step, outcome),
        (Stage::Verifying(plan, step, request_id, changed), Event::Read { part, .. }) => {
            state.observed.forget(&plan::target_reads(&step.action));
            state.observed.absorb(*part);
            let result = verified(&step.action, &state.observed, request_id, changed);
            state.finish(*plan, Some(record(*step, result)), Ended::Wrote)
        }
        // The shell stops waiting for the answer: the write may still land.
        (Stage::Sending(plan, step), Event::Stop) => {
            let why = "stopped while the call was under way".to_owned();
            let result = WriteResult::Unknown { why, cause: Cause::default(), request_id: None };
            state.finish(*plan, Some(record(*step, result)), Ended::Stopped)
        }
        (Stage::Verifying(plan, step, request_id, _), Event::Stop) => {
            let why = "stopped before it was read back".to_owned();
            let result = WriteResult::NotReadBack { request_id, why, cause: Cause::default() };
            state.finish(*plan, Some(record(*step, result)), Ended::Stopped)
        }
        (_, _) => {
            let plan = state.plan();
            state.finish(plan, None, Ended::Stopped)
        }
    }
}

fn planned(state: State, round: u8) -> (State, Effect) {
    let plan = state.plan();
    if state.job.intent == Intent::Converge
        && let Some(next) = plan.next()
    {
        let next = next.clone();
        let reads = plan::confirm_reads(&next, &state.job.desired, &state.observed);
        let mut state = state;
        if !ablate::is_gone(Ablation::Confirm) {
            state.observed.forget(&reads);
        }
        let action = next.action.clone();
        return state.read(reads, Some(action), Stage::Confirming(Box::new(next)));
    }
    if !plan.wants.is_empty() && round < ROUNDS {
        let wants = plan.wants;
        return state.read(wants, None, Stage::Observing { round: round + 1 });
    }
    state.finish(plan, None, Ended::Planned)
}

fn confirmed(
    mut state: State,
    step: Step,
    took: Duration,
    target_age: Duration,
    revision: &Revision,
) -> (State, Effect) {
    let plan = state.plan();
    let why = if *revision != state.job.desired.revision && !ablate::is_gone(Ablation::Revision) {
        Some("the files changed meanwhile".to_owned())
    } else if took > CONFIRM_WITHIN || target_age > send_within(&step.action) {
        Some(format!(
            "the confirming reads took {} ms, the last of them {} ms",
            took.as_millis(),
            target_age.as_millis()
        ))
    } else if plan.next().map(|next| &next.action) != Some(&step.action) && !ablate::is_gone(Ablation::SameStep) {
        Some(format!("{} was the next step, and no longer is", step.action))
    } else {
        None
    };
    if let Some(why) = why {
        return state.finish(plan, None, Ended::Raced { why });
    }
    let violations = lint::lint(&state.job.desired, &state.observed, &state.job.limits, &plan);
    if !violations.is_empty() && !ablate::is_gone(Ablation::Lint) {
        return state.finish(plan, None, Ended::Rejected { violations });
    }
    state.stage = Stage::Unmarking(Box::new(plan), Box::new(step));
    (state, Effect::Unmark)
}

fn sent(state: State, plan: Box<Plan>, step: Box<Step>, outcome: Outcome) -> (State, Effect) {
    let result = match outcome {
        Outcome::Done { changed, request_id } => {
            let reads = plan::target_reads(&step.action);
            return state.read(reads, None, Stage::Verifying(plan, step, request_id, changed));
        }
        Outcome::Refused(refused) => WriteResult::Refused(refused),
        Outcome::Unknown { why, cause, request_id } => WriteResult::Unknown { why, cause, request_id },
        Outcome::NotSent { why, cause } => WriteResult::NotSent { why, cause },
    };
    state.finish(*plan, Some(record(*step, result)), Ended::Wrote)
}

fn record(step: Step, result: WriteResult) -> WriteRecord {
    WriteRecord { action: step.action, effort: step.effort, workspaces: step.workspaces, result }
}

fn assignment<'a>(observed: &'a Observed, id: &ArmId) -> Result<Option<&'a RoleAssignment>, (String, Cause)> {
    match observed.assignments_by_id.get(id) {
        Some(Reading::Known { value, .. }) => Ok(value.as_ref()),
        Some(Reading::Unknown { why, cause }) => Err((why.clone(), cause.clone())),
        Some(Reading::NotRead) | None => Err(not_read()),
    }
}

fn datastore<'a>(
    observed: &'a Observed,
    workspace: &WorkspaceId,
    name: &str,
) -> Result<Option<&'a Datastore>, (String, Cause)> {
    match observed.workspaces.get(workspace).map(|entry| &entry.datastores) {
        Some(Reading::Known { value, .. }) => Ok(value.iter().find(|found| found.name.eq_ignore_ascii_case(name))),
        Some(Reading::Unknown { why, cause }) => Err((why.clone(), cause.clone())),
        Some(Reading::NotRead) | None => Err(not_read()),
    }
}

fn verified(action: &Action, observed: &Observed, request_id: Option<String>, changed: bool) -> WriteResult {
    let seen = match action {
        Action::GrantRole(grant) => assignment(observed, &grant.id()).map(|found| match found {
            Some(found) => {
                let Grant { scope, principal, principal_type: _, role, condition, name: _, is_renamed: _ } = grant;
                found.principal == *principal
                    && found.role == *role
                    && found.scope == *scope
                    && found.condition.as_deref().map(str::trim) == condition.as_deref().map(str::trim)
            }
            // Where nothing was changed the same grant stands there under another name.
            None => !changed,
        }),
        Action::RevokeRole { assignment: id, .. } => assignment(observed, id).map(|found| found.is_none()),
        Action::SetAuthMode { workspace, mode } => {
            let wanted = match mode {
                AuthMode::Identity => ObservedAuthMode::Identity,
                AuthMode::AccessKey => ObservedAuthMode::AccessKey,
            };
            match observed.workspaces.get(workspace).map(|entry| &entry.workspace) {
                Some(Reading::Known { value, .. }) => Ok(value.as_ref().is_some_and(|own| own.auth_mode == wanted)),
                Some(Reading::Unknown { why, cause }) => Err((why.clone(), cause.clone())),
                Some(Reading::NotRead) | None => Err(not_read()),
            }
        }
        Action::SetDatastoreCredential { workspace, name, from: _ } => datastore(observed, workspace, name)
            .map(|found| found.is_some_and(|found| found.credentials == DatastoreCredentials::None)),
        Action::CreateDatastore { workspace, name, place } => datastore(observed, workspace, name).map(|found| {
            found.is_some_and(|found| {
                found.credentials == DatastoreCredentials::None
                    && found.form.kind.eq_ignore_ascii_case(place.kind.as_wire())
                    && place.account.as_deref().is_none_or(|account| found.is_on(account))
            })
        }),
        Action::CreateWorkspace { workspace, create } => {
            match observed.workspaces.get(workspace).map(|entry| &entry.workspace) {
                Some(Reading::Known { value, .. }) => Ok(value.as_ref().is_some_and(|own| {
                    let here = own.storage_account.as_ref().is_none_or(|account| *account == create.storage_account);
                    own.auth_mode == ObservedAuthMode::Identity && here
                })),
                Some(Reading::Unknown { why, cause }) => Err((why.clone(), cause.clone())),
                Some(Reading::NotRead) | None => Err(not_read()),
            }
        }
        Action::ResyncWorkspaceKeys { .. } => Ok(true),
        Action::SetSharedKeyAccess { account: _, allowed } => match &observed.account {
            Reading::Known { value, .. } => {
                Ok(value.as_ref().is_some_and(|account| account.shared_key.is_on() == *allowed))
            }
            Reading::Unknown { why, cause } => Err((why.clone(), cause.clone())),
            Reading::NotRead => Err(not_read()),
        },
    };
    match seen {
        Ok(true) => WriteResult::Applied { changed, request_id },
        Ok(false) => WriteResult::DidNotStick { request_id },
        Err((why, cause)) => WriteResult::NotReadBack { request_id, why, cause },
    }
}

fn not_read() -> (String, Cause) {
    ("not read".to_owned(), Cause::default())
}
