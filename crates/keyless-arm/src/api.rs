//! What the rest of keyless may ask of Azure Resource Manager: reading and writing as two traits,
//! so that `plan` is handed no writer.
//!
//! All values are keyless-core's; nothing of ARM's JSON, URLs or status codes crosses this edge.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use keyless_core::desired::{AuthMode, Create, DatastorePlace};
use keyless_core::id::{
    ArmId, AssignmentName, LogAnalyticsId, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId,
    WorkspaceId,
};
use keyless_core::observed::{
    Account, Change, ChangesOf, Compute, Datastore, DenyAssignment, Eligibility, Endpoint, KeyCallers, KeyDetails,
    KeyUsage, Lock, ObservedJob, OwnRight, PrincipalType, RoleAssignment, RoleDefinition, StorageService, Workspace,
};
use keyless_core::policy::{PolicyAssignment, PolicyDefinition, PolicyExemption, PolicySet};
use uuid::Uuid;

use crate::error::{ArmError, WriteError};
use crate::governor::Place;
use crate::stored::StoredDatastore;

/// A value and what the answer said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The value.
    pub value: T,
    /// The server's clock (`Date` header); of the first page where there are several.
    pub at: Timestamp,
    /// `x-ms-request-id` of the last response, for support cases.
    pub request_id: Option<String>,
}

/// The answer to a read.
pub type Read<T> = Result<Answer<T>, ArmError>;

/// Everything keyless reads. A list is complete (all pages) or an error; a 404 on a single resource is `None`.
#[async_trait]
pub trait ReadArm: Send + Sync {
    /// The subscriptions the controller's identity can see.
    async fn subscriptions(&self) -> Read<Vec<SubscriptionId>>;
    /// The tenant that a subscription trusts. To whoever is of another one Azure names it in its refusal
    /// ([`ArmError::tenant_named`]).
    async fn tenant(&self, subscription: SubscriptionId) -> Read<Option<Uuid>>;
    /// All workspaces, hubs and projects of a subscription. Never the last word before a write.
    async fn workspaces(&self, subscription: SubscriptionId) -> Read<Vec<Workspace>>;
    /// One workspace by a direct read.
    async fn workspace(&self, id: &WorkspaceId) -> Read<Option<Workspace>>;
    /// The datastores of a workspace.
    async fn datastores(&self, id: &WorkspaceId) -> Read<Vec<Datastore>>;
    /// One datastore with everything that Azure says of it.
    async fn datastore(&self, id: &WorkspaceId, name: &str) -> Read<Option<StoredDatastore>>;
    /// The computes of a workspace.
    async fn computes(&self, id: &WorkspaceId) -> Read<Vec<Compute>>;
    /// The jobs of a workspace that have not come to an end; the whole history is read for them.
    async fn jobs(&self, id: &WorkspaceId) -> Read<Vec<ObservedJob>>;

    /// Some of them: those of the first page of the history.
    async fn some_jobs(&self, id: &WorkspaceId) -> Read<Vec<ObservedJob>>;
    /// The online endpoints of a subscription that the controller's identity may see; Azure leaves out the others.
    async fn online_endpoints(&self, subscription: SubscriptionId) -> Read<Vec<Endpoint>>;
    /// One storage account.
    async fn account(&self, id: &StorageAccountId) -> Read<Option<Account>>;
    /// The role assignments that apply at `scope`: made there or inherited (`$filter=atScope()`).
    async fn role_assignments(&self, scope: &ArmId) -> Read<Vec<RoleAssignment>>;
    /// The role assignments that reach a user or service principal at `scope`, through groups too
    /// (`$filter=atScope() and assignedTo('…')`). Azure takes no group here.
    async fn role_assignments_of(&self, scope: &ArmId, principal: PrincipalId) -> Read<Vec<RoleAssignment>>;
    /// What a principal could activate at `scope` and has not, through groups too.
    async fn eligibilities(&self, scope: &ArmId, principal: PrincipalId) -> Read<Vec<Eligibility>>;
    /// One role assignment by a direct read, which does not lag as lists do.
    async fn role_assignment(&self, id: &ArmId) -> Read<Option<RoleAssignment>>;
    /// One role definition, as seen from `scope`.
    async fn role_definition(&self, scope: &ArmId, role: RoleId) -> Read<Option<RoleDefinition>>;
    /// The deny assignments that apply at `scope`.
    async fn deny_assignments(&self, scope: &ArmId) -> Read<Vec<DenyAssignment>>;
    /// The locks that apply at `scope`, inherited ones included.
    async fn locks(&self, scope: &ArmId) -> Read<Vec<Lock>>;
    /// How many role assignments lie in a subscription, at it and below.
    async fn role_assignment_count(&self, subscription: SubscriptionId) -> Read<u32>;
    /// What the controller's own identity may do at `scope`.
    async fn own_rights(&self, scope: &ArmId) -> Read<Vec<OwnRight>>;
    /// The policy assignments that apply at `scope`: made there or inherited.
    async fn policy_assignments(&self, scope: &ArmId) -> Read<Vec<PolicyAssignment>>;
    /// One policy definition.
    async fn policy_definition(&self, id: &ArmId) -> Read<Option<PolicyDefinition>>;
    /// One initiative.
    async fn policy_set(&self, id: &ArmId) -> Read<Option<PolicySet>>;
    /// The exemptions from policies that apply at `scope`: made there or inherited.
    async fn policy_exemptions(&self, scope: &ArmId) -> Read<Vec<PolicyExemption>>;
    /// The metric `Transactions` by `Authentication` and `ResponseType` over exactly `from..to`.
    async fn key_usage(&self, account: &StorageAccountId, from: Timestamp, to: Timestamp) -> Read<KeyUsage>;
    /// The writes that came to an end within `from..=to`, as far as the activity log shows them yet, oldest first. It lags
    /// by minutes, and keeps 90 days.
    async fn changes(&self, of: &ChangesOf, from: Timestamp, to: Timestamp) -> Read<Vec<Change>>;
    /// The object id of the identity that this client has, where its token tells.
    async fn own_identity(&self) -> Option<PrincipalId>;
    /// The same of one service, by `ApiName` too.
    async fn service_usage(
        &self,
        account: &StorageAccountId,
        service: StorageService,
        from: Timestamp,
        to: Timestamp,
    ) -> Read<KeyDetails>;
    /// Who called an account in `from..to`, by the storage resource logs in a Log Analytics workspace: whoever signed with a
    /// key or a SAS, and whoever was refused. An answer that is not whole is an error.
    async fn key_callers(
        &self,
        logs: &LogAnalyticsId,
        account: &StorageAccountId,
        from: Timestamp,
        to: Timestamp,
    ) -> Read<KeyCallers>;
    /// That the data plane of an account lets the own identity in: an error wherever it did not. `endpoint` is where Azure
    /// says that its blobs are.
    async fn data_probe(&self, account: &StorageAccountId, endpoint: &str) -> Read<()>;
    /// The object id of a user-assigned managed identity.
    async fn managed_identity(&self, id: &ManagedIdentityId) -> Read<Option<PrincipalId>>;
    /// How long Azure has asked to read nothing in this subscription; zero if it has not.
    fn reading_closed_for(&self, subscription: SubscriptionId) -> Duration;
}

/// A grant to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Where: the account or its resource group.
    pub scope: ArmId,
    /// The deterministic name.
    pub name: AssignmentName,
    /// Who.
    pub principal: PrincipalId,
    /// Always sent: it spares Azure a directory look-up that fails for fresh identities.
    pub principal_type: PrincipalType,
    /// Which role.
    pub role: RoleId,
    /// The ABAC condition, sent as version 2.0.
    pub condition: Option<String>,
    /// Names the owner; written once, never compared.
    pub description: String,
}

/// What a write did, when Azure said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Azure changed something.
    Changed,
    /// It was so already (200 on a PUT, 204 on a DELETE, 409 `RoleAssignmentExists`).
    AlreadySo,
}

/// The answer to a write: settled either way, or an error that says whether it may still land.
pub type Write = Result<Answer<Written>, WriteError>;

/// What is written, as far as Azure counts it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind {
    /// A role assignment is made.
    Grant,
    /// A role assignment is taken back.
    Revoke,
    /// A workspace or a datastore of one is changed.
    Workspace,
    /// A storage account is changed.
    Account,
}

/// A place in the quotas of one write, kept before the gates are read afresh, so that nothing waits between confirm and
/// send. Dropped, it is given back.
pub struct WritePermit {
    /// The subscription the place was taken in.
    pub subscription: SubscriptionId,
    pub(crate) place: Option<Place>,
}

impl WritePermit {
    /// A permit of a writer that has no quota, such as a cloud in memory.
    #[must_use]
    pub fn unmetered(subscription: SubscriptionId) -> Self {
        Self { subscription, place: None }
    }
}

impl std::fmt::Debug for WritePermit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WritePermit").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}

/// Everything keyless writes. No call is repeated after a request that Azure may have acted on; a call returns only
/// when the outcome is settled (long-running operations polled to their end) or cannot be known.
#[async_trait]
pub trait WriteArm: Send + Sync {
    /// Waits for a place in the subscription's quotas of such a write.
    ///
    /// # Errors
    /// [`ArmError`] if Azure has told this client to wait longer than is worth waiting (`retry_after` is set).
    async fn reserve_write(&self, subscription: SubscriptionId, kind: WriteKind) -> Result<WritePermit, ArmError>;
    /// PUT of one role assignment.
    async fn grant_role(&self, permit: WritePermit, grant: &Grant) -> Write;
    /// DELETE of one role assignment.
    async fn revoke_role(&self, permit: WritePermit, assignment: &ArmId) -> Write;
    /// PATCH of `systemDatastoresAuthMode`, polled to its end.
    async fn set_auth_mode(&self, permit: WritePermit, workspace: &WorkspaceId, mode: AuthMode) -> Write;
    /// PUT of a datastore as it was read, without its credential. One way: the secret is overwritten.
    async fn set_datastore_credential(
        &self,
        permit: WritePermit,
        workspace: &WorkspaceId,
        stored: &StoredDatastore,
    ) -> Write;
    /// PUT of a new datastore without credentials.
    async fn create_datastore(
        &self,
        permit: WritePermit,
        workspace: &WorkspaceId,
        name: &str,
        place: &DatastorePlace,
    ) -> Write;
    /// PUT of a whole workspace, polled to its end. Only for one that a direct read has just said not to exist: it would
    /// replace what it finds, and Azure has no condition against that.
    async fn create_workspace(&self, permit: WritePermit, workspace: &WorkspaceId, create: &Create) -> Write;
    /// POST of `resyncKeys`, polled to its end: the workspace takes the keys of its account anew. No key passes through here.
    async fn resync_keys(&self, permit: WritePermit, workspace: &WorkspaceId) -> Write;
    /// PATCH of `allowSharedKeyAccess`.
    async fn set_shared_key_access(&self, permit: WritePermit, account: &StorageAccountId, allowed: bool) -> Write;
}
