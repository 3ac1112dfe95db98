//! [`ReadArm`] over the pipeline.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keyless_core::id::{ArmId, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::observed::{
    Account, Compute, Datastore, DenyAssignment, KeyUsage, Lock, RoleAssignment, RoleDefinition, Workspace,
};

use crate::api::{Answer, Read, ReadArm};
use crate::client::{Client, shows_auth_mode};
use crate::error::{ArmError, ErrorClass};
use crate::pipeline::Call;
use crate::quota::Provider;
use crate::storage;
use crate::view::metrics::Question;
use crate::view::{access, metrics, storage as storage_view, workspace};

/// Five ways to authorise times some twenty response types is the most that can come; more means something is cut.
const METRIC_SERIES: usize = 500;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

#[async_trait]
impl ReadArm for Client {
    async fn subscriptions(&self) -> Read<Vec<SubscriptionId>> {
        let query = [("api-version", self.versions.subscriptions.as_str())];
        let call = self.list("list subscriptions", Provider::Resources, &tenant()?, "/subscriptions", &query);
        self.all(call, access::subscription).await
    }

    async fn workspaces(&self, subscription: SubscriptionId) -> Read<Vec<Workspace>> {
        let scope = subscription.arm();
        let path = format!("{scope}/providers/Microsoft.MachineLearningServices/workspaces");
        let query = [("api-version", self.versions.workspaces.as_str())];
        let call = self.list("list workspaces", Provider::MachineLearning, &scope, &path, &query);
        self.refuse_blind_version(&call)?;
        self.all(call, workspace::workspace).await
    }

    async fn workspace(&self, id: &WorkspaceId) -> Read<Option<Workspace>> {
        let version = &self.versions.workspaces;
        let call = self.get("get workspace", Provider::MachineLearning, id.arm(), id.as_str(), version);
        self.refuse_blind_version(&call)?;
        self.one(call, workspace::workspace).await
    }

    async fn datastores(&self, id: &WorkspaceId) -> Read<Vec<Datastore>> {
        let call = self.workspace_parts("list datastores", id, "datastores");
        self.all(call, workspace::datastore).await
    }

    async fn computes(&self, id: &WorkspaceId) -> Read<Vec<Compute>> {
        let call = self.workspace_parts("list computes", id, "computes");
        self.all(call, workspace::compute).await
    }

    async fn account(&self, id: &StorageAccountId) -> Read<Option<Account>> {
        let (call, reply) = storage::get(&self.pipeline, &self.versions.storage, id).await?;
        self.answer(&call, reply, storage_view::account)
    }

    async fn role_assignments(&self, scope: &ArmId) -> Read<Vec<RoleAssignment>> {
        let call = self.at_scope("list role assignments", scope, "roleAssignments");
        self.all(call, access::role_assignment).await
    }

    async fn role_assignment(&self, id: &ArmId) -> Read<Option<RoleAssignment>> {
        let version = &self.versions.authorization;
        let call = self.get("get role assignment", Provider::Authorization, id, id.as_str(), version);
        self.one(call, access::role_assignment).await
    }

    async fn role_definition(&self, scope: &ArmId, role: RoleId) -> Read<Option<RoleDefinition>> {
        let path = extension(scope, &format!("roleDefinitions/{role}"));
        let version = &self.versions.authorization;
        let call = self.get("get role definition", Provider::Authorization, scope, &path, version);
        self.one(call, access::role_definition).await
    }

    async fn deny_assignments(&self, scope: &ArmId) -> Read<Vec<DenyAssignment>> {
        let call = self.at_scope("list deny assignments", scope, "denyAssignments");
        self.all(call, access::deny_assignment).await
    }

    async fn locks(&self, scope: &ArmId) -> Read<Vec<Lock>> {
        let query = [("api-version", self.versions.locks.as_str())];
        let path = extension(scope, "locks");
        let call = self.list("list locks", Provider::Authorization, scope, &path, &query);
        let mut answer = self.all(call, access::lock).await?;
        // The list also has the locks of what lies below, which do not bear on the scope itself.
        answer.value.retain(|lock| lock.scope.covers(scope));
        Ok(answer)
    }

    async fn key_usage(&self, account: &StorageAccountId, from: Timestamp, to: Timestamp) -> Read<KeyUsage> {
        let path = format!("{account}/providers/Microsoft.Insights/metrics");
        let window = Duration::try_from(to.duration_since(from)).unwrap_or_default();
        let (grain, interval) = if window >= HOUR { (HOUR, "PT1H") } else { (MINUTE, "PT1M") };
        let timespan = format!("{from}/{to}");
        let top = METRIC_SERIES.to_string();
        let query = [
            ("api-version", self.versions.metrics.as_str()),
            ("metricnames", "Transactions"),
            ("metricnamespace", "Microsoft.Storage/storageAccounts"),
            ("aggregation", "Total"),
            ("timespan", &timespan),
            ("interval", interval),
            ("$filter", "Authentication eq '*' and ResponseType eq '*'"),
            ("top", &top),
        ];
        let call = self.list("get key usage", Provider::Insights, account.arm(), &path, &query);
        if window.is_zero() {
            return Err(call.error(ErrorClass::Bug, "the window is empty"));
        }
        let question = Question { from, to, grain, top: METRIC_SERIES };
        let Answer { value, at, request_id } =
            self.one(call.clone(), |node| metrics::key_usage(node, question)).await?;
        match value {
            Some(value) => Ok(Answer { value, at, request_id }),
            None => Err(call.error(ErrorClass::Unreadable, "the metric does not exist")),
        }
    }

    async fn managed_identity(&self, id: &ManagedIdentityId) -> Read<Option<PrincipalId>> {
        let version = &self.versions.managed_identities;
        let call = self.get("get managed identity", Provider::ManagedIdentity, id.arm(), id.as_str(), version);
        self.one(call, access::identity_principal).await
    }

    fn reading_closed_for(&self, subscription: SubscriptionId) -> Duration {
        self.pipeline.governor.reading_closed_for(subscription)
    }
}

impl Client {
    fn workspace_parts(&self, operation: &'static str, id: &WorkspaceId, part: &str) -> Call {
        let query = [("api-version", self.versions.workspace_parts.as_str())];
        self.list(operation, Provider::MachineLearning, id.arm(), &format!("{id}/{part}"), &query)
    }

    fn at_scope(&self, operation: &'static str, scope: &ArmId, kind: &str) -> Call {
        let query = [("api-version", self.versions.authorization.as_str()), ("$filter", "atScope()")];
        self.list(operation, Provider::Authorization, scope, &extension(scope, kind), &query)
    }

    /// In a version that hides the mode a missing one would read as unset; so nothing is read at all.
    fn refuse_blind_version(&self, call: &Call) -> Result<(), ArmError> {
        let version = &self.versions.workspaces;
        if shows_auth_mode(version) {
            return Ok(());
        }
        let message = format!("api-version {version} hides systemDatastoresAuthMode; use 2025-06-01 or later");
        Err(call.error(ErrorClass::Unreadable, message))
    }
}

/// The scope of what lies in no subscription.
fn tenant() -> Result<ArmId, ArmError> {
    ArmId::parse("/").map_err(|error| ArmError {
        operation: "list subscriptions",
        resource: "/".to_owned(),
        class: ErrorClass::Bug,
        status: None,
        code: None,
        message: error.to_string(),
        request_id: None,
        retry_after: None,
    })
}

/// The path of an extension resource of Microsoft.Authorization.
pub(crate) fn extension(scope: &ArmId, rest: &str) -> String {
    let scope = if scope.as_str() == "/" { "" } else { scope.as_str() };
    format!("{scope}/providers/Microsoft.Authorization/{rest}")
}
