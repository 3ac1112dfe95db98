//! Who last wrote what differs, for a plan that nobody watched come: asked of the activity log when people want to know.
//!
//! One request for each account, workspace or datastore that differs, and one for the role assignments of a subscription:
//! a first plan of a large fleet differs everywhere, so nothing asks for this unless it is told to. Nothing is decided by
//! it, and what it may honestly claim is `keyless_core::attribution`'s business.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use keyless_arm::api::{Answer, Read, ReadArm};
use keyless_core::action::Action;
use keyless_core::attribution::{LastWrite, Removals, Window, last_write, resource};
use keyless_core::id::{PrincipalId, RoleId, StorageAccountId};
use keyless_core::observed::{Change, ChangesOf};
use keyless_core::plan::{Drift, Plan};

use crate::clock::{earlier, later};
use crate::failed::Failure;
use crate::fleet::FleetPlan;
use crate::sparing::Sparing;
use crate::who::APART;

/// How far back a resource's log is asked: it keeps 90 days, and a day is left for clocks that differ.
/// Source: <https://learn.microsoft.com/azure/azure-monitor/essentials/activity-log>, retention.
const RESOURCE_WITHIN: Duration = Duration::from_secs(89 * 24 * 60 * 60);

/// How far back the log of role assignments is asked: that of a whole subscription is long. Design decision.
const ASSIGNMENTS_WITHIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many requests are under way at a time.
const AT_A_TIME: usize = 4;

/// What the log tells of each difference.
pub type LastWrites = BTreeMap<(StorageAccountId, Drift), Wrote>;

/// What the log tells of one difference. `Display` says it in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrote {
    /// The last write that may have brought it about.
    Last(LastWrite),
    /// The log has none since then.
    Nobody {
        /// Since when it was asked.
        since: Timestamp,
    },
    /// The log could not be read.
    Unreadable(Failure),
}

impl fmt::Display for Wrote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last(last) => last.fmt(f),
            Self::Nobody { since } => write!(f, "the activity log names nobody since {since}"),
            Self::Unreadable(failure) => write!(f, "who wrote it is not known: {failure}"),
        }
    }
}

/// Asks the log about everything that differs in these plans. Each thing is asked once; a refusal speaks for all of its
/// subscription.
pub async fn last_writes(fleet: &FleetPlan, read: Arc<dyn ReadArm>) -> LastWrites {
    let read = Sparing::new(read);
    let plans: Vec<&Plan> = fleet.accounts.iter().map(|account| &account.plan).collect();
    let mut asks: BTreeMap<ChangesOf, Window> = BTreeMap::new();
    for plan in &plans {
        for drift in &plan.drift {
            let (of, window) = question(plan, drift);
            let known = asks.entry(of).or_insert(window);
            known.from = known.from.min(window.from);
            known.to = known.to.max(window.to);
        }
    }
    let answers: BTreeMap<ChangesOf, Read<Vec<Change>>> = stream::iter(asks)
        .map(|(of, Window { from, to })| {
            let read = &read;
            async move {
                let told = read.changes(&of, from, to).await;
                (of, told)
            }
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let differences = plans.iter().flat_map(|plan| plan.drift.iter().map(move |drift| (*plan, drift)));
    differences
        .filter_map(|(plan, drift)| {
            let (of, window) = question(plan, drift);
            let wrote = match answers.get(&of)? {
                Ok(Answer { value, .. }) => judge(plan, drift, value, window),
                Err(error) => Wrote::Unreadable(Failure::of(None, error)),
            };
            Some(((plan.account_id.clone(), drift.clone()), wrote))
        })
        .collect()
}

fn question(plan: &Plan, drift: &Drift) -> (ChangesOf, Window) {
    let (of, within) = match resource(drift, &plan.account_id) {
        Some(id) => (ChangesOf::Resource(id), RESOURCE_WITHIN),
        None => (ChangesOf::Assignments(plan.account_id.subscription()), ASSIGNMENTS_WITHIN),
    };
    (of, Window { from: earlier(plan.at, within), to: later(plan.at, APART) })
}

fn judge(plan: &Plan, drift: &Drift, changes: &[Change], window: Window) -> Wrote {
    let grants = match drift {
        Drift::RoleMissing { principal, role, .. } => planned(plan, *principal, *role),
        _ => BTreeSet::new(),
    };
    let removals = Removals { at: plan.account_id.clone(), grants };
    let id = resource(drift, &plan.account_id);
    last_write(drift, id.as_ref(), &removals, changes, window).map_or(Wrote::Nobody { since: window.from }, Wrote::Last)
}

/// The grants that the plan makes to somebody. Their names are those that they had if keyless made them before.
fn planned(plan: &Plan, principal: PrincipalId, role: RoleId) -> BTreeSet<String> {
    let ids = plan.steps.iter().filter_map(|step| match &step.action {
        Action::GrantRole(grant) if (grant.principal, grant.role) == (principal, role) => {
            Some(grant.scope.role_assignment(grant.name).folded().to_owned())
        }
        _ => None,
    });
    ids.collect()
}
