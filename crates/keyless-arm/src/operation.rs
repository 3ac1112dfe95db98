//! Everything that is ever asked of Azure: one name for each request, with the interface it belongs to, the rights it
//! needs and the answers that mean success.
//!
//! A request cannot be built without one of these, and `REQUESTS.md` beside this crate is the list of them all, made and
//! checked by a test.
//! Sources: azure-rest-api-specs for the codes, <https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations>
//! for the rights.

use crate::versions::Interface;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $interface:ident, $success:expr, $actions:expr;)+) => {
        /// What a request is for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $($(#[$doc])* $name),+
        }

        impl Operation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name in errors, logs and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $word),+
                }
            }

            /// The interface whose version is spoken.
            #[must_use]
            pub const fn interface(self) -> Interface {
                match self {
                    $(Self::$name => Interface::$interface),+
                }
            }

            /// The statuses that mean success.
            #[must_use]
            pub const fn success(self) -> &'static [u16] {
                match self {
                    $(Self::$name => $success),+
                }
            }

            /// The rights that are needed, the usual one first.
            #[must_use]
            pub const fn actions(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => $actions),+
                }
            }
        }
    };
}

operations! {
    /// The subscriptions that can be seen.
    ListSubscriptions = "list subscriptions", Subscriptions, &[200], &["Microsoft.Resources/subscriptions/read"];
    /// The tenant of a subscription; asked where a workspace and its account are in two.
    GetSubscription = "get subscription", Subscriptions, &[200], &["Microsoft.Resources/subscriptions/read"];
    /// The workspaces of a subscription.
    ListWorkspaces = "list workspaces", Workspaces, &[200], &["Microsoft.MachineLearningServices/workspaces/read"];
    /// One workspace.
    GetWorkspace = "get workspace", Workspaces, &[200], &["Microsoft.MachineLearningServices/workspaces/read"];
    /// The datastores of a workspace, without their secrets.
    ListDatastores = "list datastores", WorkspaceParts, &[200],
        &["Microsoft.MachineLearningServices/workspaces/datastores/read"];
    /// One datastore, without its secret, to be written back.
    GetDatastore = "get datastore", WorkspaceParts, &[200],
        &["Microsoft.MachineLearningServices/workspaces/datastores/read"];
    /// The computes of a workspace.
    ListComputes = "list computes", WorkspaceParts, &[200],
        &["Microsoft.MachineLearningServices/workspaces/computes/read"];
    /// The jobs of a workspace, all that there ever were; asked where a switch waits for them.
    ListJobs = "list jobs", WorkspaceParts, &[200], &["Microsoft.MachineLearningServices/workspaces/jobs/read"];
    /// The online endpoints of a subscription, as resources of a type with a place of their own.
    ListOnlineEndpoints = "list online endpoints", Resources, &[200],
        &["Microsoft.MachineLearningServices/workspaces/onlineEndpoints/read",
          "Microsoft.Resources/subscriptions/resources/read"];
    /// One storage account.
    GetStorageAccount = "get storage account", Storage, &[200], &["Microsoft.Storage/storageAccounts/read"];
    /// The role assignments at a scope and above.
    ListRoleAssignments = "list role assignments", Authorization, &[200],
        &["Microsoft.Authorization/roleAssignments/read"];
    /// The role assignments that reach a principal, through groups too.
    ListAssignmentsOf = "list role assignments of a principal", Authorization, &[200],
        &["Microsoft.Authorization/roleAssignments/read"];
    /// The roles that a principal could activate: only `why` asks for them.
    ListEligibilities = "list role eligibilities", Eligibilities, &[200],
        &["Microsoft.Authorization/roleEligibilityScheduleInstances/read"];
    /// One role assignment, after it was written.
    GetRoleAssignment = "get role assignment", Authorization, &[200],
        &["Microsoft.Authorization/roleAssignments/read"];
    /// One role definition.
    GetRoleDefinition = "get role definition", Authorization, &[200],
        &["Microsoft.Authorization/roleDefinitions/read"];
    /// The deny assignments at a scope and above.
    ListDenyAssignments = "list deny assignments", Authorization, &[200],
        &["Microsoft.Authorization/denyAssignments/read"];
    /// The locks at a scope.
    ListLocks = "list locks", Locks, &[200], &["Microsoft.Authorization/locks/read"];
    /// The role assignments of a subscription, to be counted.
    CountRoleAssignments = "count role assignments", Authorization, &[200],
        &["Microsoft.Authorization/roleAssignments/read"];
    /// What the caller itself may do at a scope.
    ListOwnRights = "list own rights", Authorization, &[200], &["Microsoft.Authorization/permissions/read"];
    /// The policy assignments at a scope and above.
    ListPolicyAssignments = "list policy assignments", Policies, &[200],
        &["Microsoft.Authorization/policyAssignments/read"];
    /// One policy definition.
    GetPolicyDefinition = "get policy definition", Policies, &[200],
        &["Microsoft.Authorization/policyDefinitions/read"];
    /// One initiative.
    GetPolicySet = "get policy set", Policies, &[200], &["Microsoft.Authorization/policySetDefinitions/read"];
    /// The exemptions from policies at a scope and above.
    ListPolicyExemptions = "list policy exemptions", PolicyExemptions, &[200],
        &["Microsoft.Authorization/policyExemptions/read"];
    /// The metric that tells who signs with the key.
    GetKeyUsage = "get key usage", Metrics, &[200], &["Microsoft.Insights/metrics/read"];
    /// Who changed a resource. The right is optional; its spelling is that of the built-in roles' documentation.
    ListChanges = "list changes", ActivityLog, &[200], &["Microsoft.Insights/eventtypes/values/Read"];
    /// Who changed the role assignments of a subscription.
    ListAssignmentChanges = "list assignment changes", ActivityLog, &[200],
        &["Microsoft.Insights/eventtypes/values/Read"];
    /// The same metric of one service, split by call.
    GetServiceUsage = "get service usage", Metrics, &[200], &["Microsoft.Insights/metrics/read"];
    /// Who called, by the storage resource logs. The rights are optional; those of the tables are named by the
    /// documentation of access to Log Analytics (MicrosoftDocs/azure-monitor-docs `articles/azure-monitor/logs/manage-access.md`).
    QueryCallers = "query callers", LogQueries, &[200],
        &["Microsoft.OperationalInsights/workspaces/query/read",
          "Microsoft.OperationalInsights/workspaces/query/StorageBlobLogs/read",
          "Microsoft.OperationalInsights/workspaces/query/StorageFileLogs/read",
          "Microsoft.OperationalInsights/workspaces/query/StorageQueueLogs/read",
          "Microsoft.OperationalInsights/workspaces/query/StorageTableLogs/read"];
    /// Whether the data plane of an account lets the own identity in; asked where the files want that. The right is optional,
    /// and one that is granted at the account or above
    /// (<https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory>).
    ProbeData = "probe data plane", Blobs, &[200],
        &["Microsoft.Storage/storageAccounts/blobServices/containers/read"];
    /// A user-assigned managed identity.
    GetManagedIdentity = "get managed identity", ManagedIdentities, &[200],
        &["Microsoft.ManagedIdentity/userAssignedIdentities/read"];
    /// A role assignment is made.
    GrantRole = "grant role", Authorization, &[201, 200], &["Microsoft.Authorization/roleAssignments/write"];
    /// A role assignment is taken back.
    RevokeRole = "revoke role", Authorization, &[200, 204], &["Microsoft.Authorization/roleAssignments/delete"];
    /// `systemDatastoresAuthMode` of a workspace is set. Hubs have a right of their own.
    SetAuthMode = "set auth mode", Workspaces, &[200, 202],
        &["Microsoft.MachineLearningServices/workspaces/write", "Microsoft.MachineLearningServices/workspaces/hubs/write"];
    /// A datastore is written back as it was read, without its credential.
    SetDatastoreCredential = "set datastore credential", WorkspaceParts, &[200, 201],
        &["Microsoft.MachineLearningServices/workspaces/datastores/write"];
    /// A datastore without credentials is made.
    CreateDatastore = "create datastore", WorkspaceParts, &[201, 200],
        &["Microsoft.MachineLearningServices/workspaces/datastores/write"];
    /// A workspace, hub or project is made. Hubs have a right of their own, and projects one at their hub.
    CreateWorkspace = "create workspace", Workspaces, &[200, 201, 202],
        &["Microsoft.MachineLearningServices/workspaces/write", "Microsoft.MachineLearningServices/workspaces/hubs/write",
          "Microsoft.MachineLearningServices/workspaces/hubs/join/action"];
    /// A workspace takes the keys of its account anew. That this is the right it needs is told by no article, only by
    /// the name of the operation.
    ResyncWorkspaceKeys = "resync workspace keys", Workspaces, &[200, 202],
        &["Microsoft.MachineLearningServices/workspaces/resyncKeys/action"];
    /// `allowSharedKeyAccess` of an account is set.
    SetSharedKeyAccess = "set shared key access", Storage, &[200], &["Microsoft.Storage/storageAccounts/write"];
}
