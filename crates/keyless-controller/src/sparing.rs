//! Does not ask again and again for what Azure refuses until a person acts: missing rights are not granted by asking, and
//! refused requests use up the quota of everybody in the subscription.
//!
//! A refused read is answered from memory, as the refusal it was, after growing pauses; every other read goes through.
//! Nothing but refusals is kept, so a value is never older than the call that asks for it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keyless_arm::api::{Read, ReadArm};
use keyless_arm::error::ArmError;
use keyless_core::id::{ArmId, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::observed::{
    Account, Compute, Datastore, DenyAssignment, KeyUsage, Lock, RoleAssignment, RoleDefinition, Workspace,
};
use tokio::time::Instant;

use crate::memory::Growth;

/// How the pauses between asking for the same refused thing grow. Design decision: a minute to an hour, so that rights
/// that were granted meanwhile are noticed within the hour.
const PAUSES: Growth = Growth { first: Duration::from_secs(60), last: Duration::from_secs(60 * 60) };

/// One thing that is read: what, and of what.
type Thing = (&'static str, String);

#[derive(Debug)]
struct Refused {
    tries: u32,
    until: Instant,
    error: ArmError,
}

/// A reader that spares Azure the reads it refuses.
pub(crate) struct Sparing {
    read: Arc<dyn ReadArm>,
    refused: Mutex<BTreeMap<Thing, Refused>>,
}

impl Sparing {
    pub(crate) fn new(read: Arc<dyn ReadArm>) -> Self {
        Self { read, refused: Mutex::default() }
    }

    /// Lets everything be asked for again at once: a person was here.
    pub(crate) fn forgive(&self) {
        self.refused().clear();
    }

    fn refused(&self) -> MutexGuard<'_, BTreeMap<Thing, Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T>(
        &self,
        what: &'static str,
        of: impl ToString + Sync,
        read: impl Future<Output = Read<T>> + Send,
    ) -> Read<T> {
        let thing = (what, of.to_string());
        if let Some(refused) = self.refused().get(&thing)
            && refused.until > Instant::now()
        {
            return Err(refused.error.clone());
        }
        let answer = read.await;
        let mut refused = self.refused();
        match &answer {
            Err(error) if error.waits_for_person() => {
                let tries = refused.get(&thing).map_or(0, |before| before.tries).saturating_add(1);
                let until = Instant::now() + PAUSES.wait(tries);
                refused.insert(thing, Refused { tries, until, error: error.clone() });
            }
            Ok(_) | Err(_) => drop(refused.remove(&thing)),
        }
        answer
    }
}

#[async_trait]
impl ReadArm for Sparing {
    async fn subscriptions(&self) -> Read<Vec<SubscriptionId>> {
        self.ask("subscriptions", "", self.read.subscriptions()).await
    }

    async fn workspaces(&self, subscription: SubscriptionId) -> Read<Vec<Workspace>> {
        self.ask("workspaces", subscription, self.read.workspaces(subscription)).await
    }

    async fn workspace(&self, id: &WorkspaceId) -> Read<Option<Workspace>> {
        self.ask("workspace", id.arm().folded(), self.read.workspace(id)).await
    }

    async fn datastores(&self, id: &WorkspaceId) -> Read<Vec<Datastore>> {
        self.ask("datastores", id.arm().folded(), self.read.datastores(id)).await
    }

    async fn computes(&self, id: &WorkspaceId) -> Read<Vec<Compute>> {
        self.ask("computes", id.arm().folded(), self.read.computes(id)).await
    }

    async fn account(&self, id: &StorageAccountId) -> Read<Option<Account>> {
        self.ask("account", id.arm().folded(), self.read.account(id)).await
    }

    async fn role_assignments(&self, scope: &ArmId) -> Read<Vec<RoleAssignment>> {
        self.ask("role assignments", scope.folded(), self.read.role_assignments(scope)).await
    }

    async fn role_assignment(&self, id: &ArmId) -> Read<Option<RoleAssignment>> {
        self.ask("role assignment", id.folded(), self.read.role_assignment(id)).await
    }

    async fn role_definition(&self, scope: &ArmId, role: RoleId) -> Read<Option<RoleDefinition>> {
        let of = format!("{role} {}", scope.folded());
        self.ask("role definition", of, self.read.role_definition(scope, role)).await
    }

    async fn deny_assignments(&self, scope: &ArmId) -> Read<Vec<DenyAssignment>> {
        self.ask("deny assignments", scope.folded(), self.read.deny_assignments(scope)).await
    }

    async fn locks(&self, scope: &ArmId) -> Read<Vec<Lock>> {
        self.ask("locks", scope.folded(), self.read.locks(scope)).await
    }

    async fn key_usage(&self, account: &StorageAccountId, from: Timestamp, to: Timestamp) -> Read<KeyUsage> {
        self.ask("key usage", account.arm().folded(), self.read.key_usage(account, from, to)).await
    }

    async fn managed_identity(&self, id: &ManagedIdentityId) -> Read<Option<PrincipalId>> {
        self.ask("managed identity", id.arm().folded(), self.read.managed_identity(id)).await
    }

    fn reading_closed_for(&self, subscription: SubscriptionId) -> Duration {
        self.read.reading_closed_for(subscription)
    }
}
