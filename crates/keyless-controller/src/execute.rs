//! Carries out one pass: the effects of [`keyless_core::pass`] on a reader, a writer and the settled mark.
//!
//! Nothing is decided here. A write leaves only for [`Effect::Send`], and what could have gone stale between the
//! confirming reads and that moment (the files, a stop, the age of the target) is looked at once more.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use keyless_arm::api::{self, Answer, ReadArm, Write, WriteArm, WriteKind, WritePermit, Written};
use keyless_arm::error::{ErrorClass, Landed, WriteError};
use keyless_core::ablate::{self, Ablation};
use keyless_core::action::{Action, Grant};
use keyless_core::desired::Revision;
use keyless_core::gate::ReadSet;
use keyless_core::id::{SubscriptionId, WorkspaceId};
use keyless_core::observed::{Cause, Observed};
use keyless_core::pass::{Effect, Ended, Event, Job, Outcome, Refused, RefusedBy, Report, State, send_within, step};
use keyless_core::plan::{self, Plan};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::datastore::{self, Now};
use crate::failed::cause;
use crate::mark::StateDir;
use crate::observe::{Ask, Observer, Seen};

/// How long a call that is under way is waited for when the process is asked to stop.
pub const STOP_GRACE: Duration = Duration::from_secs(8);

/// What a pass may write with.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    /// The writer.
    pub write: &'a dyn WriteArm,
    /// Holds the settled mark.
    pub state_dir: &'a StateDir,
}

/// Who is told of a plan before anything is written for it.
#[async_trait]
pub trait Intends: Send + Sync {
    /// Whether the pass goes on; if not it ends, and another is to begin at once. `observed` is what the plan rests on.
    async fn goes_on(&self, plan: &Plan, observed: &Observed) -> bool;
}

/// What a pass runs in.
pub struct Surroundings<'a> {
    /// Reads.
    pub observer: &'a Observer,
    /// Writes; a pass without it writes nothing.
    pub hands: Option<Hands<'a>>,
    /// Subscriptions that are searched in any case.
    pub known: &'a BTreeSet<SubscriptionId>,
    /// The revision of the files that is in force now.
    pub revision: &'a (dyn Fn() -> Revision + Send + Sync),
    /// The workspaces that the newest look over the fleet shows on the account, and the one the pass began with did not.
    pub newcomers: &'a (dyn Fn() -> BTreeSet<WorkspaceId> + Send + Sync),
    /// Asked each time a step is about to be confirmed.
    pub intends: &'a dyn Intends,
    /// Until when nothing is sent, by this process's own clock, whatever answers say that the time is: a write of earlier
    /// may still land.
    pub rests_until: Option<Instant>,
    /// Asks the pass to stop.
    pub cancel: &'a CancellationToken,
}

/// How a pass came out.
#[must_use]
#[derive(Debug)]
pub enum Passed {
    /// The machine finished.
    Finished(Box<Report>),
    /// A write was held back, mostly for want of a place in the write quota: nothing was sent, and `plan` is what stands.
    Deferred {
        /// The plan before the write was held back.
        plan: Box<Plan>,
        /// Why.
        why: String,
        /// How long to wait, as far as that is known.
        retry_after: Option<Duration>,
    },
}

/// Runs one pass to its end, and returns beside its outcome everything that was read. `observed` says which workspaces
/// stand on the account.
pub async fn run_pass(job: Job, observed: Observed, around: &Surroundings<'_>) -> (Passed, Observed) {
    let mut pass =
        Pass { seen: observed.clone(), around, permit: None, reads_began: None, target_began: None, deferred: None };
    let mut state = State::new(job.clone(), observed);
    let mut event = Event::Begin;
    loop {
        let effect;
        (state, effect) = step(state, event);
        event = match effect {
            Effect::Read { reads, confirming } => pass.read(&job, *reads, confirming).await,
            Effect::Unmark => Event::Unmarked(pass.unmark()),
            Effect::Send(action) => pass.send(&job, &action).await,
            Effect::Finish(report) => {
                // What was sent was planned before that, and is in the ledger.
                if report.write.is_none() && report.ended != Ended::Stopped {
                    pass.note_due(&report.plan);
                }
                let passed = match pass.deferred {
                    Some((plan, why, retry_after)) => Passed::Deferred { plan, why, retry_after },
                    None => Passed::Finished(report),
                };
                return (passed, pass.seen);
            }
        };
    }
}

struct Pass<'a> {
    around: &'a Surroundings<'a>,
    /// What the reads brought so far: the ground of the plan that is told before a step is confirmed.
    seen: Observed,
    permit: Option<WritePermit>,
    /// When the confirming reads began, and the one of the target among them.
    reads_began: Option<Instant>,
    target_began: Option<Instant>,
    deferred: Option<(Box<Plan>, String, Option<Duration>)>,
}

impl Pass<'_> {
    async fn read(&mut self, job: &Job, reads: ReadSet, confirming: Option<Action>) -> Event {
        if let Some(action) = &confirming {
            let plan = plan::plan(&job.desired, &self.seen, &job.limits, job.look);
            self.note_due(&plan);
            let rests = self.around.rests_until.map(|until| until.saturating_duration_since(Instant::now()));
            if let Some(left) = rests.filter(|left| !left.is_zero()) {
                self.deferred = Some((Box::new(plan), "a write of earlier may still land".to_owned(), Some(left)));
                return Event::Stop;
            }
            if !self.around.intends.goes_on(&plan, &self.seen).await {
                self.deferred = Some((Box::new(plan), "it is fought over".to_owned(), Some(Duration::ZERO)));
                return Event::Stop;
            }
            match self.reserve(action).await {
                Ok(permit) => self.permit = permit,
                Err(Held::Stopping) => return Event::Stop,
                Err(Held::Quota(why, retry_after)) => {
                    self.deferred = Some((Box::new(plan), why, retry_after));
                    return Event::Stop;
                }
            }
        }
        let ask =
            Ask { desired: &job.desired, reads: &reads, confirming: confirming.as_ref(), known: self.around.known };
        let Seen { part, began, target_began } = tokio::select! {
            biased;
            () = self.around.cancel.cancelled() => return Event::Stop,
            seen = self.around.observer.observe(ask) => seen,
        };
        self.seen.absorb(part.clone());
        self.target_began = confirming.is_some().then_some(target_began);
        self.reads_began = confirming.is_some().then_some(began);
        Event::Read {
            part: Box::new(part),
            took: began.elapsed(),
            target_age: target_began.elapsed(),
            revision: (self.around.revision)(),
        }
    }

    /// Tells the accounts of the same subscription how many grants are due here, before any of them is sent.
    fn note_due(&self, plan: &Plan) {
        self.around.observer.memory().ledger().planned(&plan.account_id, plan.grants_due());
    }

    /// Takes a place in the write quota before the gates are read again, so that nothing waits between them and the write.
    async fn reserve(&self, action: &Action) -> Result<Option<WritePermit>, Held> {
        let Some(hands) = self.around.hands else { return Ok(None) };
        let Some(subscription) = action.target().subscription() else { return Ok(None) };
        let kind = match action {
            Action::GrantRole(_) => WriteKind::Grant,
            Action::RevokeRole { .. } => WriteKind::Revoke,
            Action::SetAuthMode { .. }
            | Action::ResyncWorkspaceKeys { .. }
            | Action::SetDatastoreCredential { .. }
            | Action::CreateDatastore { .. }
            | Action::CreateWorkspace { .. } => WriteKind::Workspace,
            Action::SetSharedKeyAccess { .. } => WriteKind::Account,
        };
        tokio::select! {
            biased;
            () = self.around.cancel.cancelled() => Err(Held::Stopping),
            permit = hands.write.reserve_write(subscription, kind) => {
                permit.map(Some).map_err(|error| Held::Quota(error.to_string(), error.retry_after))
            }
        }
    }

    /// Short enough to block: two `stat` before each write, a `unlink` and an `fsync` once in the life of a process.
    fn unmark(&self) -> Result<(), String> {
        let Some(hands) = self.around.hands else { return Err("there is no writer".to_owned()) };
        hands.state_dir.before_write().map_err(|error| error.to_string())
    }

    async fn send(&mut self, job: &Job, action: &Action) -> Event {
        let not_sent = |why: &str| Event::Sent(Outcome::NotSent { why: why.to_owned(), cause: Cause::default() });
        let (Some(hands), Some(permit)) = (self.around.hands, self.permit.take()) else {
            return not_sent("there is no writer");
        };
        if self.around.cancel.is_cancelled() {
            return not_sent("the process is stopping");
        }
        let changed = (self.around.revision)() != job.desired.revision;
        if changed && !ablate::is_gone(Ablation::Revision) {
            return not_sent("the files changed meanwhile");
        }
        // A look over the fleet goes on beside the pass, and may have begun after the pass listed the workspaces.
        if let Some(unknown) = (self.around.newcomers)().iter().find(|id| !self.seen.workspaces.contains_key(*id)) {
            return not_sent(&format!("{unknown} has appeared on the account meanwhile"));
        }
        // So do the passes of other accounts, which read datastores of workspaces that stand on this one.
        if let (Action::SetSharedKeyAccess { allowed: false, .. }, Some(began)) = (action, self.reads_began)
            && let Some(holding) = self.around.observer.memory().seen_holding(&job.desired.account_id, began)
        {
            return not_sent(&format!("a datastore of {} holds the key since a moment ago", holding.name()));
        }
        if self.target_began.is_none_or(|began| began.elapsed() > send_within(action)) {
            return not_sent("the confirming reads have grown old");
        }
        let owner = &job.desired.fleet.owner;
        let abandoned = async {
            self.around.cancel.cancelled().await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        let (memory, clock) = (self.around.observer.memory(), self.around.observer.clock());
        let granting = matches!(action, Action::GrantRole(_)).then(|| memory.ledger().sending(&job.desired.account_id));
        let event = tokio::select! {
            biased;
            written = carry_out(self.around.observer.reader(), hands.write, permit, owner, action) => Event::Sent(outcome(written)),
            () = abandoned => Event::Stop,
        };
        if let Some(granting) = granting {
            let not_made = matches!(
                event,
                Event::Sent(Outcome::Refused(_) | Outcome::NotSent { .. } | Outcome::Done { changed: false, .. })
            );
            memory.ledger().sent(granting, !not_made, clock.now());
        }
        event
    }
}

enum Held {
    Stopping,
    Quota(String, Option<Duration>),
}

async fn carry_out(
    read: &dyn ReadArm,
    write: &dyn WriteArm,
    permit: WritePermit,
    owner: &str,
    action: &Action,
) -> Write {
    match action {
        Action::GrantRole(grant) => {
            let Grant { scope, principal, principal_type, role, condition, name, is_renamed: _ } = grant.clone();
            let description = Grant::description(owner);
            let grant = api::Grant { scope, name, principal, principal_type, role, condition, description };
            write.grant_role(permit, &grant).await
        }
        Action::SetAuthMode { workspace, mode } => write.set_auth_mode(permit, workspace, *mode).await,
        Action::CreateWorkspace { workspace, create } => write.create_workspace(permit, workspace, create).await,
        Action::ResyncWorkspaceKeys { workspace } => write.resync_keys(permit, workspace).await,
        Action::SetSharedKeyAccess { account, allowed } => {
            write.set_shared_key_access(permit, account, *allowed).await //
        }
        Action::SetDatastoreCredential { workspace, name, from } => {
            match datastore::read_again(read, workspace, name, from).await? {
                Now::Stands(stored) => write.set_datastore_credential(permit, workspace, &stored).await,
                Now::AlreadySo(answer) => Ok(answer),
            }
        }
        Action::CreateDatastore { workspace, name, place } => {
            write.create_datastore(permit, workspace, name, place).await //
        }
        Action::RevokeRole { assignment, .. } => write.revoke_role(permit, assignment).await,
    }
}

fn outcome(written: Write) -> Outcome {
    let WriteError { error, landed } = match written {
        Ok(Answer { value, request_id, .. }) => {
            return Outcome::Done { changed: value == Written::Changed, request_id };
        }
        Err(error) => error,
    };
    let (why, cause) = (error.to_string(), cause(&error));
    if landed == Landed::Unknown {
        return Outcome::Unknown { why, cause, request_id: error.request_id };
    }
    if error.status.is_none() && error.class != ErrorClass::Bug {
        return Outcome::NotSent { why, cause };
    }
    let by = match error.class {
        ErrorClass::Throttled
        | ErrorClass::Transient
        | ErrorClass::Propagating
        | ErrorClass::Authentication
        | ErrorClass::Token(_) => RefusedBy::Time,
        ErrorClass::Refused | ErrorClass::Bug => RefusedBy::Person,
        // An answer nobody understands does not say that nothing happened.
        ErrorClass::Unreadable => return Outcome::Unknown { why, cause, request_id: error.request_id },
    };
    Outcome::Refused(Refused {
        by,
        cause,
        code: error.code,
        status: error.status,
        message: error.message,
        request_id: error.request_id,
        retry_after: error.retry_after,
    })
}

#[cfg(test)]
mod tests {
    use keyless_arm::error::ArmError;

    use super::*;

    fn failed(class: ErrorClass, landed: Landed, status: Option<u16>) -> Outcome {
        let error = ArmError {
            operation: "patch storage account",
            resource: "stmlprod".to_owned(),
            class,
            status,
            code: None,
            message: "no".to_owned(),
            lift: None,
            request_id: None,
            retry_after: None,
        };
        outcome(Err(WriteError { error, landed }))
    }

    #[test]
    fn what_may_have_landed_is_never_called_a_refusal() {
        for class in [
            ErrorClass::Throttled,
            ErrorClass::Transient,
            ErrorClass::Propagating,
            ErrorClass::Refused,
            ErrorClass::Authentication,
            ErrorClass::Unreadable,
            ErrorClass::Bug,
        ] {
            for status in [None, Some(500)] {
                assert!(matches!(failed(class, Landed::Unknown, status), Outcome::Unknown { .. }), "{class:?}");
            }
        }
        assert!(matches!(failed(ErrorClass::Unreadable, Landed::No, Some(200)), Outcome::Unknown { .. }));
    }

    #[test]
    fn whatever_became_of_a_write_the_kind_of_failure_is_told() {
        let token = ErrorClass::Token(keyless_arm::token::TokenClass::ExpiredSecret);
        for (class, landed, status, word) in [
            (ErrorClass::Transient, Landed::Unknown, None, "transient"),
            (ErrorClass::Unreadable, Landed::No, Some(200), "unreadable"),
            (ErrorClass::Throttled, Landed::No, None, "throttled"),
            (token, Landed::No, None, "token_expired_secret"),
            (ErrorClass::Refused, Landed::No, Some(403), "refused"),
        ] {
            let (Outcome::Unknown { cause, .. }
            | Outcome::NotSent { cause, .. }
            | Outcome::Refused(Refused { cause, .. })) = failed(class, landed, status)
            else {
                panic!("{class:?} is a success")
            };
            assert_eq!(cause.class, Some(word));
        }
    }

    #[test]
    fn a_refusal_names_who_can_lift_it() {
        for (class, by) in [
            (ErrorClass::Throttled, RefusedBy::Time),
            (ErrorClass::Transient, RefusedBy::Time),
            (ErrorClass::Propagating, RefusedBy::Time),
            (ErrorClass::Authentication, RefusedBy::Time),
            (ErrorClass::Refused, RefusedBy::Person),
            (ErrorClass::Bug, RefusedBy::Person),
        ] {
            let outcome = failed(class, Landed::No, Some(400));
            assert!(matches!(&outcome, Outcome::Refused(refused) if refused.by == by), "{class:?}: {outcome:?}");
        }
        assert!(matches!(failed(ErrorClass::Transient, Landed::No, None), Outcome::NotSent { .. }));
    }
}
