//! One look over every account without a writer: what `keyless plan` prints, and how `apply` ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use keyless_arm::api::ReadArm;
use keyless_core::desired::Desired;
use keyless_core::id::StorageAccountId;
use keyless_core::observed::{Observed, Reading};
use keyless_core::pass::{Intent, Job};
use keyless_core::plan::{Limits, Look, Plan, Standing};
use tokio_util::sync::CancellationToken;

use crate::clock::ServerClock;
use crate::execute::{Intends, Passed, Surroundings, run_pass};
use crate::growth::Growth;
use crate::index::Index;
use crate::memory::Memory;
use crate::observe::Observer;
use crate::view::View;

/// The plans of all accounts.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetPlan {
    /// Which workspaces stand where, and what could not be found out.
    pub index: Index,
    /// Each account, by id.
    pub accounts: Vec<AccountPlan>,
}

/// The plan of one account and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountPlan {
    /// The plan, with all gates of all steps looked at.
    pub plan: Plan,
    /// Everything that was read for it.
    pub observed: Observed,
}

impl FleetPlan {
    /// Whether something is blocked, or a declared workspace is missing or cannot be placed.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        let Index { placed: _, listed: _, left_out: _, out_of_scope: _, holders: _, listings: _, unplaced, missing } =
            &self.index;
        !unplaced.is_empty()
            || !missing.is_empty()
            || self.accounts.iter().any(|account| account.plan.standing() == Standing::Blocked)
    }

    /// Why nothing at all could be read, if that is so: then these plans say nothing of Azure.
    #[must_use]
    pub fn blind(&self) -> Option<String> {
        let Index { placed: _, listed: _, left_out: _, out_of_scope: _, holders: _, listings, unplaced, missing } =
            &self.index;
        let read = !missing.is_empty()
            || listings.values().any(|listing| matches!(listing, Reading::Known { .. }))
            || self.accounts.iter().any(|account| matches!(account.observed.account, Reading::Known { .. }));
        if read {
            return None;
        }
        let unlisted = listings.values().find_map(|listing| Some(listing.failure()?.to_owned()));
        let unread = || self.accounts.iter().find_map(|account| Some(account.observed.account.failure()?.to_owned()));
        unlisted.or_else(unread).or_else(|| unplaced.values().next().map(|failure| failure.why.clone()))
    }

    /// Whether any step is left.
    #[must_use]
    pub fn has_steps(&self) -> bool {
        self.accounts.iter().any(|account| !account.plan.steps.is_empty())
    }

    /// Whether nothing is left to do anywhere.
    #[must_use]
    pub fn is_converged(&self) -> bool {
        !self.is_blocked() && !self.has_steps()
    }
}

/// Looks over the fleet and plans every account, `at_a_time` at once. Writes nothing, for it is handed no writer.
pub async fn plan_fleet(desired: Arc<Desired>, read: Arc<dyn ReadArm>, at_a_time: usize) -> FleetPlan {
    let clock = Arc::new(ServerClock::default());
    let memory = Arc::new(Memory::new(Growth::PERSON));
    let observer = Observer::new(read, clock, memory);
    look_over(desired, &Index::default(), &observer, at_a_time, |_| Limits::default(), &CancellationToken::new()).await
}

/// Nobody is told of plans that nothing is written for.
struct Unwatched;

#[async_trait]
impl Intends for Unwatched {
    async fn goes_on(&self, _: &Plan, _: &Observed) -> bool {
        true
    }
}

/// [`plan_fleet`] with the knowledge of a process that has been at work.
pub(crate) async fn look_over(
    desired: Arc<Desired>,
    before: &Index,
    observer: &Observer,
    at_a_time: usize,
    limits: impl Fn(&StorageAccountId) -> Limits,
    cancel: &CancellationToken,
) -> FleetPlan {
    let index = Arc::new(before.refreshed(&desired, observer.searcher()).await);
    let view = View::new(desired, Arc::clone(&index));
    let revision = || view.desired.revision.clone();
    let around = Surroundings {
        observer,
        hands: None,
        known: &view.known,
        revision: &revision,
        newcomers: &BTreeSet::new,
        intends: &Unwatched,
        rests_until: None,
        cancel,
    };
    let mut accounts: Vec<AccountPlan> = stream::iter(view.keys())
        .map(|key| {
            let job = Job {
                desired: view.desired_for(&key),
                limits: limits(&key),
                intent: Intent::Plan,
                look: Look::Everything,
            };
            let observed = view.observed_for(&key, observer.clock().last().unwrap_or(Timestamp::MIN));
            let around = &around;
            async move {
                let (passed, observed) = run_pass(job, observed, around).await;
                let plan = match passed {
                    Passed::Finished(report) => report.plan,
                    Passed::Deferred { plan, .. } => *plan,
                };
                AccountPlan { plan, observed }
            }
        })
        .buffered(at_a_time.max(1))
        .collect()
        .await;
    // Only now it is known what all the others have still to write.
    for AccountPlan { plan, observed } in &mut accounts {
        let due_elsewhere = observer.memory().ledger().elsewhere(&plan.account_id);
        if plan.grants_due() > 0 && due_elsewhere != observed.history.due_elsewhere {
            observed.history.due_elsewhere = due_elsewhere;
            let (desired, limits) = (view.desired_for(&plan.account_id), limits(&plan.account_id));
            *plan = keyless_core::plan::plan(&desired, observed, &limits, Look::Everything);
        }
    }
    FleetPlan { index: (*index).clone(), accounts }
}
