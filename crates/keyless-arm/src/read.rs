//! [`ReadArm`] over the pipeline.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keyless_core::id::{ArmId, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::observed::{
    Account, Change, ChangesOf, Compute, Datastore, DenyAssignment, Eligibility, Endpoint, KeyUsage, Lock,
    RoleAssignment, RoleDefinition, Workspace,
};

use crate::api::{Answer, Read, ReadArm};
use crate::client::Client;
use crate::error::{ArmError, ErrorClass};
use crate::operation::Operation;
use crate::own;
use crate::pipeline::Call;
use crate::quota::Provider;
use crate::storage;
use crate::view::metrics::Question;
use crate::view::{access, eligibility, endpoint, metrics, storage as storage_view, workspace};

/// Five ways to authorise times some twenty response types is the most that can come; more means something is cut.
const METRIC_SERIES: usize = 500;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

#[async_trait]
impl ReadArm for Client {
    async fn subscriptions(&self) -> Read<Vec<SubscriptionId>> {
        let call = self.list(Operation::ListSubscriptions, Provider::Resources, &tenant()?, "/subscriptions", &[]);
        self.all(call, access::subscription).await
    }

    async fn workspaces(&self, subscription: SubscriptionId) -> Read<Vec<Workspace>> {
        let scope = subscription.arm();
        let path = format!("{scope}/providers/Microsoft.MachineLearningServices/workspaces");
        let call = self.list(Operation::ListWorkspaces, Provider::MachineLearning, &scope, &path, &[]);
        self.all(call, workspace::workspace).await
    }

    async fn workspace(&self, id: &WorkspaceId) -> Read<Option<Workspace>> {
        let call = self.get(Operation::GetWorkspace, Provider::MachineLearning, id.arm(), id.as_str());
        self.one(call, workspace::workspace).await
    }

    async fn datastores(&self, id: &WorkspaceId) -> Read<Vec<Datastore>> {
        let call = self.workspace_parts(Operation::ListDatastores, id, "datastores");
        self.all(call, workspace::datastore).await
    }

    async fn computes(&self, id: &WorkspaceId) -> Read<Vec<Compute>> {
        let call = self.workspace_parts(Operation::ListComputes, id, "computes");
        self.all(call, workspace::compute).await
    }

    async fn online_endpoints(&self, subscription: SubscriptionId) -> Read<Vec<Endpoint>> {
        let scope = subscription.arm();
        let query = [("$filter", "resourceType eq 'Microsoft.MachineLearningServices/workspaces/onlineEndpoints'")];
        let path = format!("{scope}/resources");
        let call = self.list(Operation::ListOnlineEndpoints, Provider::Resources, &scope, &path, &query);
        self.all(call, endpoint::endpoint).await
    }

    async fn account(&self, id: &StorageAccountId) -> Read<Option<Account>> {
        let (call, reply) = storage::get(&self.pipeline, id).await?;
        self.answer(&call, reply, storage_view::account)
    }

    async fn role_assignments(&self, scope: &ArmId) -> Read<Vec<RoleAssignment>> {
        let call = self.at_scope(Operation::ListRoleAssignments, scope, "roleAssignments");
        self.all(call, access::role_assignment).await
    }

    async fn role_assignments_of(&self, scope: &ArmId, principal: PrincipalId) -> Read<Vec<RoleAssignment>> {
        let filter = format!("atScope() and assignedTo('{principal}')");
        let path = extension(scope, "roleAssignments");
        let (operation, provider) = (Operation::ListAssignmentsOf, Provider::Authorization);
        self.all(self.list(operation, provider, scope, &path, &[("$filter", &filter)]), access::role_assignment).await
    }

    async fn eligibilities(&self, scope: &ArmId, principal: PrincipalId) -> Read<Vec<Eligibility>> {
        let filter = format!("assignedTo('{principal}')");
        let path = extension(scope, "roleEligibilityScheduleInstances");
        let (operation, provider) = (Operation::ListEligibilities, Provider::Authorization);
        let call = self.list(operation, provider, scope, &path, &[("$filter", &filter)]);
        let mut answer = self.all(call, eligibility::eligibility).await?;
        // What lies below would not count at the scope.
        answer.value.retain(|eligibility| eligibility.scope.covers(scope));
        Ok(answer)
    }

    async fn role_assignment(&self, id: &ArmId) -> Read<Option<RoleAssignment>> {
        let call = self.get(Operation::GetRoleAssignment, Provider::Authorization, id, id.as_str());
        self.one(call, access::role_assignment).await
    }

    async fn role_definition(&self, scope: &ArmId, role: RoleId) -> Read<Option<RoleDefinition>> {
        let path = extension(scope, &format!("roleDefinitions/{role}"));
        let call = self.get(Operation::GetRoleDefinition, Provider::Authorization, scope, &path);
        self.one(call, access::role_definition).await
    }

    async fn deny_assignments(&self, scope: &ArmId) -> Read<Vec<DenyAssignment>> {
        let call = self.at_scope(Operation::ListDenyAssignments, scope, "denyAssignments");
        self.all(call, access::deny_assignment).await
    }

    async fn locks(&self, scope: &ArmId) -> Read<Vec<Lock>> {
        let call = self.list(Operation::ListLocks, Provider::Authorization, scope, &extension(scope, "locks"), &[]);
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
            ("metricnames", "Transactions"),
            ("metricnamespace", "Microsoft.Storage/storageAccounts"),
            ("aggregation", "Total"),
            ("timespan", &timespan),
            ("interval", interval),
            ("$filter", "Authentication eq '*' and ResponseType eq '*'"),
            ("top", &top),
        ];
        let call = self.list(Operation::GetKeyUsage, Provider::Insights, account.arm(), &path, &query);
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

    async fn changes(&self, of: &ChangesOf, from: Timestamp, to: Timestamp) -> Read<Vec<Change>> {
        self.logged_changes(of, from, to).await
    }

    async fn own_identity(&self) -> Option<PrincipalId> {
        self.pipeline.tokens.token().await.ok().and_then(|token| own::object_id(&token))
    }

    async fn managed_identity(&self, id: &ManagedIdentityId) -> Read<Option<PrincipalId>> {
        let call = self.get(Operation::GetManagedIdentity, Provider::ManagedIdentity, id.arm(), id.as_str());
        self.one(call, access::identity_principal).await
    }

    fn reading_closed_for(&self, subscription: SubscriptionId) -> Duration {
        self.pipeline.governor.reading_closed_for(subscription)
    }
}

impl Client {
    fn workspace_parts(&self, operation: Operation, id: &WorkspaceId, part: &str) -> Call {
        self.list(operation, Provider::MachineLearning, id.arm(), &format!("{id}/{part}"), &[])
    }

    fn at_scope(&self, operation: Operation, scope: &ArmId, kind: &str) -> Call {
        self.list(operation, Provider::Authorization, scope, &extension(scope, kind), &[("$filter", "atScope()")])
    }
}

/// The scope of what lies in no subscription.
fn tenant() -> Result<ArmId, ArmError> {
    ArmId::parse("/").map_err(|error| ArmError {
        operation: Operation::ListSubscriptions.name(),
        resource: "/".to_owned(),
        class: ErrorClass::Bug,
        status: None,
        code: None,
        message: error.to_string(),
        lift: None,
        request_id: None,
        retry_after: None,
    })
}

/// The path of an extension resource of Microsoft.Authorization.
pub(crate) fn extension(scope: &ArmId, rest: &str) -> String {
    let scope = if scope.as_str() == "/" { "" } else { scope.as_str() };
    format!("{scope}/providers/Microsoft.Authorization/{rest}")
}
