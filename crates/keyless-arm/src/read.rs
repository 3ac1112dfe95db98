//! [`ReadArm`] over the pipeline.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keyless_core::id::{
    ArmId, LogAnalyticsId, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId,
};
use keyless_core::observed::{
    Account, Change, ChangesOf, Compute, Datastore, DenyAssignment, Eligibility, Endpoint, KeyCallers, KeyDetails,
    KeyUsage, Lock, ObservedJob, OwnRight, RoleAssignment, RoleDefinition, StorageService, Workspace,
};
use keyless_core::policy::{PolicyAssignment, PolicyDefinition, PolicyExemption, PolicySet};
use uuid::Uuid;

use crate::api::{Answer, Read, ReadArm};
use crate::client::Client;
use crate::error::{ArmError, ErrorClass};
use crate::jobs::Pages;
use crate::operation::Operation;
use crate::own;
use crate::pipeline::Call;
use crate::quota::Provider;
use crate::storage;
use crate::stored::StoredDatastore;
use crate::view::metrics::Question;
use crate::view::node::{self, Node};
use crate::view::{access, eligibility, endpoint, metrics, policy, storage as storage_view, workspace};
use crate::write::is_datastore_name;

/// Five ways to authorise times some twenty response types is the most that can come; more means something is cut.
const METRIC_SERIES: usize = 500;

/// The same of one service, times the calls it knows.
/// Source: <https://learn.microsoft.com/rest/api/storageservices/storage-analytics-logged-operations-and-status-messages>.
const SERVICE_SERIES: usize = 5_000;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

#[async_trait]
impl ReadArm for Client {
    async fn subscriptions(&self) -> Read<Vec<SubscriptionId>> {
        let call = self.list(Operation::ListSubscriptions, Provider::Resources, &tenant()?, "/subscriptions", &[]);
        self.all(call, access::subscription).await
    }

    async fn tenant(&self, subscription: SubscriptionId) -> Read<Option<Uuid>> {
        let scope = subscription.arm();
        let call = self.get(Operation::GetSubscription, Provider::Resources, &scope, scope.as_str());
        self.one(call, access::tenant).await
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

    async fn datastore(&self, id: &WorkspaceId, name: &str) -> Read<Option<StoredDatastore>> {
        let path = format!("{id}/datastores/{name}");
        let call = self.get(Operation::GetDatastore, Provider::MachineLearning, id.arm(), &path);
        if !is_datastore_name(name) {
            return Err(call.error(ErrorClass::Bug, "this is not the name of a datastore"));
        }
        self.one(call, workspace::stored_datastore).await
    }

    async fn computes(&self, id: &WorkspaceId) -> Read<Vec<Compute>> {
        let call = self.workspace_parts(Operation::ListComputes, id, "computes");
        self.all(call, workspace::compute).await
    }

    async fn jobs(&self, id: &WorkspaceId) -> Read<Vec<ObservedJob>> {
        self.unended_jobs(id, Pages::All).await
    }

    async fn some_jobs(&self, id: &WorkspaceId) -> Read<Vec<ObservedJob>> {
        self.unended_jobs(id, Pages::First).await
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

    async fn role_assignment_count(&self, subscription: SubscriptionId) -> Read<u32> {
        let scope = subscription.arm();
        let path = extension(&scope, "roleAssignments");
        // Without a filter the list has what lies above, at and below.
        let call = self.list(Operation::CountRoleAssignments, Provider::Authorization, &scope, &path, &[]);
        let Answer { value, at, request_id } = self.all(call, access::assignment_scope).await?;
        let inside = value.iter().filter(|made_at| scope.covers(made_at)).count();
        Ok(Answer { value: u32::try_from(inside).unwrap_or(u32::MAX), at, request_id })
    }

    async fn own_rights(&self, scope: &ArmId) -> Read<Vec<OwnRight>> {
        let path = extension(scope, "permissions");
        let call = self.list(Operation::ListOwnRights, Provider::Authorization, scope, &path, &[]);
        self.all(call, policy::own_right).await
    }

    async fn policy_assignments(&self, scope: &ArmId) -> Read<Vec<PolicyAssignment>> {
        let call = self.at_scope(Operation::ListPolicyAssignments, scope, "policyAssignments");
        self.all(call, policy::assignment).await
    }

    async fn policy_definition(&self, id: &ArmId) -> Read<Option<PolicyDefinition>> {
        let call = self.get(Operation::GetPolicyDefinition, Provider::Authorization, id, id.as_str());
        self.one(call, policy::definition).await
    }

    async fn policy_set(&self, id: &ArmId) -> Read<Option<PolicySet>> {
        let call = self.get(Operation::GetPolicySet, Provider::Authorization, id, id.as_str());
        self.one(call, policy::set).await
    }

    async fn policy_exemptions(&self, scope: &ArmId) -> Read<Vec<PolicyExemption>> {
        let call = self.at_scope(Operation::ListPolicyExemptions, scope, "policyExemptions");
        self.all(call, policy::exemption).await
    }

    async fn key_usage(&self, account: &StorageAccountId, from: Timestamp, to: Timestamp) -> Read<KeyUsage> {
        let by = "Authentication eq '*' and ResponseType eq '*'";
        let asked = Transactions { account, service: None, by, top: METRIC_SERIES };
        self.transactions(asked, from, to, metrics::key_usage).await
    }

    async fn service_usage(
        &self,
        account: &StorageAccountId,
        service: StorageService,
        from: Timestamp,
        to: Timestamp,
    ) -> Read<KeyDetails> {
        let by = "Authentication eq '*' and ResponseType eq '*' and ApiName eq '*'";
        let asked = Transactions { account, service: Some(service), by, top: SERVICE_SERIES };
        self.transactions(asked, from, to, |node, question| metrics::service_usage(node, question, service)).await
    }

    async fn changes(&self, of: &ChangesOf, from: Timestamp, to: Timestamp) -> Read<Vec<Change>> {
        self.logged_changes(of, from, to).await
    }

    async fn own_identity(&self) -> Option<PrincipalId> {
        self.pipeline.tokens.token().await.ok().and_then(|token| own::object_id(&token))
    }

    async fn data_probe(&self, account: &StorageAccountId, endpoint: &str) -> Read<()> {
        self.probe(account, endpoint).await
    }

    async fn key_callers(
        &self,
        logs: &LogAnalyticsId,
        account: &StorageAccountId,
        from: Timestamp,
        to: Timestamp,
    ) -> Read<KeyCallers> {
        self.logged_callers(logs, account, from, to).await
    }

    async fn managed_identity(&self, id: &ManagedIdentityId) -> Read<Option<PrincipalId>> {
        let call = self.get(Operation::GetManagedIdentity, Provider::ManagedIdentity, id.arm(), id.as_str());
        self.one(call, access::identity_principal).await
    }

    fn reading_closed_for(&self, subscription: SubscriptionId) -> Duration {
        self.pipeline.governor.reading_closed_for(subscription)
    }
}

/// What is asked of the metric `Transactions`.
struct Transactions<'a> {
    account: &'a StorageAccountId,
    /// One service; the account as a whole without.
    service: Option<StorageService>,
    /// The dimensions it is split by.
    by: &'static str,
    top: usize,
}

impl Client {
    /// The metric over exactly `from..to`. One question for any window: only the portal's charts end at 30 days, and an
    /// answer about less than the window is not complete.
    /// Source: MicrosoftDocs/azure-docs `articles/azure-monitor/essentials/data-platform-metrics.md`.
    async fn transactions<T>(
        &self,
        asked: Transactions<'_>,
        from: Timestamp,
        to: Timestamp,
        view: impl Fn(&Node<'_>, Question) -> node::Result<T> + Send + Sync,
    ) -> Read<T> {
        let Transactions { account, service, by, top } = asked;
        let (resource, namespace, operation) = match service {
            None => (account.to_string(), "Microsoft.Storage/storageAccounts".to_owned(), Operation::GetKeyUsage),
            Some(service) => (
                format!("{account}/{service}Services/default"),
                format!("Microsoft.Storage/storageAccounts/{service}Services"),
                Operation::GetServiceUsage,
            ),
        };
        let path = format!("{resource}/providers/Microsoft.Insights/metrics");
        let window = Duration::try_from(to.duration_since(from)).unwrap_or_default();
        let (grain, interval) = if window >= HOUR { (HOUR, "PT1H") } else { (MINUTE, "PT1M") };
        let timespan = format!("{from}/{to}");
        let series = top.to_string();
        let query = [
            ("metricnames", "Transactions"),
            ("metricnamespace", &namespace),
            ("aggregation", "Total"),
            ("timespan", &timespan),
            ("interval", interval),
            ("$filter", by),
            ("top", &series),
        ];
        let call = self.list(operation, Provider::Insights, account.arm(), &path, &query);
        if window.is_zero() {
            return Err(call.error(ErrorClass::Bug, "the window is empty"));
        }
        let question = Question { from, to, grain, top };
        let Answer { value, at, request_id } = self.one(call.clone(), |node| view(node, question)).await?;
        match value {
            Some(value) => Ok(Answer { value, at, request_id }),
            None => Err(call.error(ErrorClass::Unreadable, "the metric does not exist")),
        }
    }

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
