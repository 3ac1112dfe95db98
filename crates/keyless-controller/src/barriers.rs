//! Reads what may bar writes: locks and denials of workspaces, policies, own rights, the count of role assignments,
//! tenants.
//!
//! Whatever these bar, Azure refuses anyway, so for most writes they may be as old as one interval and are shared by the
//! passes in it. For the one write that they could make irrevocable, the key going off, they are read anew. What a policy
//! definition says is kept for an hour; which policies are assigned, with which parameters, and what is exempted is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use keyless_arm::api::{Answer, Read, ReadArm};
use keyless_arm::error::ArmError;
use keyless_core::id::{ArmId, SubscriptionId, WorkspaceId};
use keyless_core::observed::{BarrierReads, Barriers, DenyAssignment, Endpoint, OwnRight, Reading};
use keyless_core::policy::{Policies, PolicyAssignment, PolicyDefinition, PolicyExemption, PolicySet, is_set};
use uuid::Uuid;

use crate::clock::ServerClock;
use crate::failed::failed;
use crate::kept::Kept;

/// How long a definition is kept. Large tenants have hundreds assigned, and they hardly ever change.
const DEFINITIONS_FOR: Duration = Duration::from_secs(60 * 60);

/// How long the tenant of a subscription is kept: only a transfer of the whole subscription changes it.
const TENANTS_FOR: Duration = Duration::from_secs(60 * 60);

/// What was read of barriers lately.
pub(crate) struct BarrierReader {
    /// For how long a value serves.
    fresh_for: Duration,
    assignments: Kept<ArmId, Vec<PolicyAssignment>>,
    exemptions: Kept<ArmId, Vec<PolicyExemption>>,
    definitions: Kept<ArmId, Arc<PolicyDefinition>>,
    sets: Kept<ArmId, Arc<PolicySet>>,
    rights: Kept<ArmId, Vec<OwnRight>>,
    denies: Kept<ArmId, Vec<DenyAssignment>>,
    counts: Kept<SubscriptionId, u32>,
    tenants: Kept<SubscriptionId, Uuid>,
}

impl BarrierReader {
    /// A reader whose values serve for `fresh_for`.
    pub(crate) fn new(fresh_for: Duration) -> Self {
        Self {
            fresh_for,
            assignments: Kept::for_as_long_as(fresh_for),
            exemptions: Kept::for_as_long_as(fresh_for),
            definitions: Kept::for_as_long_as(DEFINITIONS_FOR),
            sets: Kept::for_as_long_as(DEFINITIONS_FOR),
            rights: Kept::for_as_long_as(fresh_for),
            denies: Kept::for_as_long_as(fresh_for),
            counts: Kept::for_as_long_as(fresh_for),
            tenants: Kept::for_as_long_as(TENANTS_FOR),
        }
    }

    /// Reads what is asked for; with `anew`, whatever was read before. Own rights at a workspace tell whether the list of the
    /// endpoints of its subscription is whole, so none serves that was read before that list, which `listed` keeps.
    pub(crate) async fn read(
        &self,
        reads: &BarrierReads,
        anew: bool,
        listed: &Kept<SubscriptionId, Arc<Vec<Endpoint>>>,
        read: &dyn ReadArm,
        clock: &ServerClock,
    ) -> Barriers {
        let within = if anew { Duration::ZERO } else { self.fresh_for };
        let mut barriers = Barriers::default();
        for scope in &reads.locks {
            barriers.locks.insert(scope.clone(), reading(read.locks(scope).await, clock));
        }
        for scope in &reads.denies {
            let denies = async { reading(read.deny_assignments(scope).await, clock) };
            barriers.denies.insert(scope.clone(), self.denies.get(scope, within, denies).await);
        }
        if !reads.rights.is_empty() {
            barriers.own = read.own_identity().await;
        }
        for scope in &reads.rights {
            let list = match WorkspaceId::try_from(scope.clone()) {
                Ok(workspace) => listed.age(&workspace.subscription()).await,
                Err(_) => None,
            };
            let within = list.map_or(within, |age| age.min(within));
            let rights = self.rights.get(scope, within, async { reading(read.own_rights(scope).await, clock) });
            barriers.rights.insert(scope.clone(), rights.await);
        }
        for subscription in &reads.assignment_counts {
            let count = async { reading(read.role_assignment_count(*subscription).await, clock) };
            let count = self.counts.get(subscription, within, count);
            barriers.assignment_counts.insert(*subscription, count.await);
        }
        for subscription in &reads.tenants {
            let tenant = self.tenants.lately(subscription, async { tenant(read, *subscription, clock).await });
            barriers.tenants.insert(*subscription, tenant.await);
        }
        for scope in &reads.policies {
            barriers.policies.insert(scope.clone(), self.policies(scope, within, read, clock).await);
        }
        barriers
    }

    async fn policies(
        &self,
        scope: &ArmId,
        within: Duration,
        read: &dyn ReadArm,
        clock: &ServerClock,
    ) -> Reading<Policies> {
        let assigned = async { reading(read.policy_assignments(scope).await, clock) };
        let (assignments, at) = match self.assignments.get(scope, within, assigned).await {
            Reading::Known { value, at } => (value, at),
            Reading::Unknown { why, cause } => return Reading::Unknown { why, cause },
            Reading::NotRead => return Reading::NotRead,
        };
        let exemptions = if assignments.is_empty() {
            // There is nothing to be exempted from.
            Reading::known(Vec::new(), at)
        } else {
            let exempted = async { reading(read.policy_exemptions(scope).await, clock) };
            self.exemptions.get(scope, within, exempted).await
        };
        let (sets, single): (BTreeSet<ArmId>, BTreeSet<ArmId>) =
            assignments.iter().map(|assignment| assignment.definition.clone()).partition(is_set);
        let sets: BTreeMap<ArmId, Reading<Arc<PolicySet>>> =
            self.sets.get_all(sets, |id| async move { there(reading(read.policy_set(&id).await, clock)) }).await;
        let members = sets.values().filter_map(Reading::value).flat_map(|set| &set.members);
        let ids = members.map(|member| member.definition.clone()).chain(single).collect();
        let definitions = self
            .definitions
            .get_all(ids, |id| async move { there(reading(read.policy_definition(&id).await, clock)) })
            .await;
        Reading::known(Policies { assignments, exemptions, sets, definitions }, at)
    }
}

/// The tenant of a subscription. A refusal that names it tells it as well as an answer would.
async fn tenant(read: &dyn ReadArm, subscription: SubscriptionId, clock: &ServerClock) -> Reading<Uuid> {
    let answer = read.tenant(subscription).await;
    if let (Some(tenant), Some(at)) = (answer.as_ref().err().and_then(ArmError::tenant_named), clock.last()) {
        return Reading::known(tenant, at);
    }
    match reading(answer, clock) {
        Reading::Known { value: Some(tenant), at } => Reading::known(tenant, at),
        Reading::Known { value: None, .. } => Reading::unknown("Azure says that the subscription does not exist"),
        Reading::Unknown { why, cause } => Reading::Unknown { why, cause },
        Reading::NotRead => Reading::NotRead,
    }
}

fn reading<T>(read: Read<T>, clock: &ServerClock) -> Reading<T> {
    match read {
        Ok(Answer { value, at, request_id: _ }) => {
            clock.saw(at);
            Reading::known(value, at)
        }
        Err(error) => failed(&error),
    }
}

/// A definition that is assigned and that does not exist is a contradiction, and nothing to rest on.
fn there<T>(read: Reading<Option<T>>) -> Reading<Arc<T>> {
    match read {
        Reading::Known { value: Some(value), at } => Reading::known(Arc::new(value), at),
        Reading::Known { value: None, .. } => Reading::unknown("Azure says it does not exist, and it is assigned"),
        Reading::Unknown { why, cause } => Reading::Unknown { why, cause },
        Reading::NotRead => Reading::NotRead,
    }
}
