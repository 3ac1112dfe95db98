//! Does not ask again and again for what Azure refuses until a person acts: missing rights are not granted by asking, and
//! refused requests use up the quota of everybody in the subscription.
//!
//! A refused read is answered from memory, as the refusal it was, after growing pauses; every other read goes through.
//! A history of jobs that is too long to be read is spared in the same way: every try is a hundred requests. No value is
//! kept, so none is ever older than the call that asks for it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keyless_arm::api::{Read, ReadArm};
use keyless_arm::error::{ArmError, ErrorClass};
use keyless_arm::stored::StoredDatastore;
use keyless_core::id::{
    ArmId, LogAnalyticsId, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId,
};
use keyless_core::observed::{
    Account, Change, ChangesOf, Compute, Datastore, DenyAssignment, Eligibility, Endpoint, KeyCallers, KeyDetails,
    KeyUsage, Lock, ObservedJob, OwnRight, RoleAssignment, RoleDefinition, StorageService, Workspace,
};
use keyless_core::policy::{PolicyAssignment, PolicyDefinition, PolicyExemption, PolicySet};
use tokio::time::Instant;
use uuid::Uuid;

use crate::growth::Growth;

/// How the pauses between asking for the same refused thing grow. Design decision: a minute to an hour, so that rights
/// that were granted meanwhile are noticed within the hour.
const PAUSES: Growth = Growth { first: Duration::from_secs(60), last: Duration::from_secs(60 * 60) };

/// One thing that is read: what, and of what.
type Thing = (&'static str, String);

#[derive(Debug)]
struct Refused {
    tries: u32,
    since: Instant,
    until: Instant,
    error: ArmError,
}

/// A reader that spares Azure the reads it refuses.
pub(crate) struct Sparing {
    read: Arc<dyn ReadArm>,
    refusals: Refusals,
}

impl Sparing {
    pub(crate) fn new(read: Arc<dyn ReadArm>) -> Self {
        Self { read, refusals: Refusals::default() }
    }

    /// Lets everything be asked for again at once: a person was here.
    pub(crate) fn forgive(&self) {
        self.refusals.refused().clear();
    }
}

/// What was refused, and until when it is not asked for again.
#[derive(Default)]
struct Refusals {
    refused: Mutex<BTreeMap<Thing, Refused>>,
}

impl Refusals {
    fn refused(&self) -> MutexGuard<'_, BTreeMap<Thing, Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T>(
        &self,
        what: &'static str,
        of: impl ToString + Sync,
        read: impl Future<Output = Read<T>> + Send,
    ) -> Read<T> {
        self.ask_unless(what, of, ArmError::waits_for_person, read).await
    }

    /// Asks unless it lately failed in a way that is to be spared.
    async fn ask_unless<T>(
        &self,
        what: &'static str,
        of: impl ToString + Sync,
        spared: fn(&ArmError) -> bool,
        read: impl Future<Output = Read<T>> + Send,
    ) -> Read<T> {
        let thing = (what, of.to_string());
        if let Some(refused) = self.refused().get(&thing)
            && refused.until > Instant::now()
        {
            return Err(refused.error.clone());
        }
        let asked = Instant::now();
        let answer = read.await;
        let mut refused = self.refused();
        match &answer {
            Err(error) if spared(error) => {
                let before = refused.get(&thing);
                // Several passes may ask for the same thing at once: together they were refused once.
                if before.is_some_and(|before| before.since >= asked) {
                    return answer;
                }
                let tries = before.map_or(0, |before| before.tries).saturating_add(1);
                let since = Instant::now();
                let until = since + PAUSES.wait(tries);
                refused.insert(thing, Refused { tries, since, until, error: error.clone() });
            }
            Ok(_) | Err(_) => drop(refused.remove(&thing)),
        }
        answer
    }
}

#[async_trait]
impl ReadArm for Sparing {
    async fn subscriptions(&self) -> Read<Vec<SubscriptionId>> {
        self.refusals.ask("subscriptions", "", self.read.subscriptions()).await
    }

    async fn tenant(&self, subscription: SubscriptionId) -> Read<Option<Uuid>> {
        self.refusals.ask("tenant", subscription, self.read.tenant(subscription)).await
    }
    async fn workspaces(&self, subscription: SubscriptionId) -> Read<Vec<Workspace>> {
        self.refusals.ask("workspaces", subscription, self.read.workspaces(subscription)).await
    }

    async fn workspace(&self, id: &WorkspaceId) -> Read<Option<Workspace>> {
        self.refusals.ask("workspace", id.arm().folded(), self.read.workspace(id)).await
    }

    async fn datastores(&self, id: &WorkspaceId) -> Read<Vec<Datastore>> {
        self.refusals.ask("datastores", id.arm().folded(), self.read.datastores(id)).await
    }

    async fn datastore(&self, id: &WorkspaceId, name: &str) -> Read<Option<StoredDatastore>> {
        let of = format!("{}/{name}", id.arm().folded());
        self.refusals.ask("datastore", of, self.read.datastore(id, name)).await
    }

    async fn computes(&self, id: &WorkspaceId) -> Read<Vec<Compute>> {
        self.refusals.ask("computes", id.arm().folded(), self.read.computes(id)).await
    }

    async fn jobs(&self, id: &WorkspaceId) -> Read<Vec<ObservedJob>> {
        let costly = |error: &ArmError| error.waits_for_person() || error.class == ErrorClass::Unreadable;
        self.refusals.ask_unless("jobs", id.arm().folded(), costly, self.read.jobs(id)).await
    }

    async fn some_jobs(&self, id: &WorkspaceId) -> Read<Vec<ObservedJob>> {
        self.refusals.ask("some jobs", id.arm().folded(), self.read.some_jobs(id)).await
    }

    async fn online_endpoints(&self, subscription: SubscriptionId) -> Read<Vec<Endpoint>> {
        self.refusals.ask("online endpoints", subscription, self.read.online_endpoints(subscription)).await
    }

    async fn account(&self, id: &StorageAccountId) -> Read<Option<Account>> {
        self.refusals.ask("account", id.arm().folded(), self.read.account(id)).await
    }

    async fn role_assignments(&self, scope: &ArmId) -> Read<Vec<RoleAssignment>> {
        self.refusals.ask("role assignments", scope.folded(), self.read.role_assignments(scope)).await
    }

    async fn role_assignments_of(&self, scope: &ArmId, principal: PrincipalId) -> Read<Vec<RoleAssignment>> {
        let of = format!("{principal} {}", scope.folded());
        self.refusals.ask("role assignments of", of, self.read.role_assignments_of(scope, principal)).await
    }

    async fn eligibilities(&self, scope: &ArmId, principal: PrincipalId) -> Read<Vec<Eligibility>> {
        let of = format!("{principal} {}", scope.folded());
        self.refusals.ask("eligibilities", of, self.read.eligibilities(scope, principal)).await
    }

    async fn role_assignment(&self, id: &ArmId) -> Read<Option<RoleAssignment>> {
        self.refusals.ask("role assignment", id.folded(), self.read.role_assignment(id)).await
    }

    async fn role_definition(&self, scope: &ArmId, role: RoleId) -> Read<Option<RoleDefinition>> {
        let of = format!("{role} {}", scope.folded());
        self.refusals.ask("role definition", of, self.read.role_definition(scope, role)).await
    }

    async fn deny_assignments(&self, scope: &ArmId) -> Read<Vec<DenyAssignment>> {
        self.refusals.ask("deny assignments", scope.folded(), self.read.deny_assignments(scope)).await
    }

    async fn locks(&self, scope: &ArmId) -> Read<Vec<Lock>> {
        self.refusals.ask("locks", scope.folded(), self.read.locks(scope)).await
    }

    async fn role_assignment_count(&self, subscription: SubscriptionId) -> Read<u32> {
        self.refusals.ask("role assignment count", subscription, self.read.role_assignment_count(subscription)).await
    }

    async fn own_rights(&self, scope: &ArmId) -> Read<Vec<OwnRight>> {
        self.refusals.ask("own rights", scope.folded(), self.read.own_rights(scope)).await
    }

    async fn policy_assignments(&self, scope: &ArmId) -> Read<Vec<PolicyAssignment>> {
        self.refusals.ask("policy assignments", scope.folded(), self.read.policy_assignments(scope)).await
    }

    async fn policy_definition(&self, id: &ArmId) -> Read<Option<PolicyDefinition>> {
        self.refusals.ask("policy definition", id.folded(), self.read.policy_definition(id)).await
    }

    async fn policy_set(&self, id: &ArmId) -> Read<Option<PolicySet>> {
        self.refusals.ask("policy set", id.folded(), self.read.policy_set(id)).await
    }

    async fn policy_exemptions(&self, scope: &ArmId) -> Read<Vec<PolicyExemption>> {
        self.refusals.ask("policy exemptions", scope.folded(), self.read.policy_exemptions(scope)).await
    }

    async fn key_usage(&self, account: &StorageAccountId, from: Timestamp, to: Timestamp) -> Read<KeyUsage> {
        self.refusals.ask("key usage", account.arm().folded(), self.read.key_usage(account, from, to)).await
    }

    /// The right to the log is the subscription's, so one refusal speaks for all of its resources.
    async fn changes(&self, of: &ChangesOf, from: Timestamp, to: Timestamp) -> Read<Vec<Change>> {
        let subscription = match of {
            ChangesOf::Resource(id) => id.subscription().unwrap_or_default(),
            ChangesOf::Assignments(subscription) => *subscription,
        };
        self.refusals.ask("changes", subscription, self.read.changes(of, from, to)).await
    }

    async fn own_identity(&self) -> Option<PrincipalId> {
        self.read.own_identity().await
    }

    async fn service_usage(
        &self,
        account: &StorageAccountId,
        service: StorageService,
        from: Timestamp,
        to: Timestamp,
    ) -> Read<KeyDetails> {
        let of = format!("{service} {}", account.arm().folded());
        self.refusals.ask("service usage", of, self.read.service_usage(account, service, from, to)).await
    }

    /// The right is the workspace's, so one refusal speaks for all accounts.
    async fn key_callers(
        &self,
        logs: &LogAnalyticsId,
        account: &StorageAccountId,
        from: Timestamp,
        to: Timestamp,
    ) -> Read<KeyCallers> {
        self.refusals.ask("callers", logs.arm().folded(), self.read.key_callers(logs, account, from, to)).await
    }

    async fn data_probe(&self, account: &StorageAccountId, endpoint: &str) -> Read<()> {
        self.refusals.ask("data plane", account.arm().folded(), self.read.data_probe(account, endpoint)).await
    }

    async fn managed_identity(&self, id: &ManagedIdentityId) -> Read<Option<PrincipalId>> {
        self.refusals.ask("managed identity", id.arm().folded(), self.read.managed_identity(id)).await
    }

    fn reading_closed_for(&self, subscription: SubscriptionId) -> Duration {
        self.read.reading_closed_for(subscription)
    }
}

#[cfg(test)]
mod tests {
    use keyless_arm::api::Answer;

    use super::*;

    async fn forbidden() -> Read<()> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(ArmError {
            operation: "list workspaces",
            resource: "s".to_owned(),
            class: ErrorClass::Refused,
            status: Some(403),
            code: Some("AuthorizationFailed".to_owned()),
            message: "no".to_owned(),
            lift: None,
            request_id: None,
            retry_after: None,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn what_many_passes_are_refused_at_once_counts_as_one_refusal() {
        let refusals = Refusals::default();
        let together = (0..8).map(|_| refusals.ask("workspaces", "s", forbidden()));
        assert!(futures::future::join_all(together).await.iter().all(Result::is_err));
        tokio::time::advance(PAUSES.first).await;
        let granted = async { Ok(Answer { value: (), at: Timestamp::UNIX_EPOCH, request_id: None }) };
        assert!(refusals.ask("workspaces", "s", granted).await.is_ok(), "a minute after the right was granted");
    }

    #[tokio::test(start_paused = true)]
    async fn a_history_that_is_too_long_is_asked_for_with_growing_pauses_and_a_lost_page_at_once() {
        let refusals = Refusals::default();
        let costly = |error: &ArmError| error.class == ErrorClass::Unreadable;
        let fails = |class| async move {
            let error = forbidden().await.unwrap_err();
            Err::<Answer<()>, _>(ArmError { class, status: None, ..error })
        };
        let unasked = async { unreachable!("it is asked for before its time") };
        assert!(refusals.ask_unless("jobs", "a", costly, fails(ErrorClass::Unreadable)).await.is_err());
        let spared: Read<()> = refusals.ask_unless("jobs", "a", costly, unasked).await;
        assert_eq!(spared.unwrap_err().class, ErrorClass::Unreadable);
        tokio::time::advance(PAUSES.first).await;
        assert!(refusals.ask_unless("jobs", "a", costly, fails(ErrorClass::Transient)).await.is_err());
        let found = async { Ok(Answer { value: (), at: Timestamp::UNIX_EPOCH, request_id: None }) };
        assert!(refusals.ask_unless("jobs", "a", costly, found).await.is_ok(), "a page that was lost is no history");
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_one_after_the_other_are_asked_for_with_growing_pauses() {
        let refusals = Refusals::default();
        for pause in [60, 120, 240] {
            assert!(refusals.ask("locks", "s", forbidden()).await.is_err());
            tokio::time::advance(Duration::from_secs(pause - 1)).await;
            let unasked = async { unreachable!("it is asked for before its time") };
            assert!(refusals.ask("locks", "s", unasked).await.map(|Answer { value: (), .. }| ()).is_err());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
}
