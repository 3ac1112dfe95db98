//! The kinds of fault: what happens to a request that is struck.

use std::time::Duration;

use crate::faults::target::Target;

/// What happens to a request that is struck. Spans are those of life; the simulator's speed divides them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before the request arrives.
    ResetBefore,
    /// The request takes effect, then the connection breaks.
    ResetAfter,
    /// The request never arrives and is never answered.
    HangBefore,
    /// The request takes effect and is never answered.
    HangAfter,
    /// The request is judged and takes effect `by` later; the caller gets `then` at once.
    Late {
        /// How much later.
        by: Duration,
        /// What the caller sees meanwhile.
        then: Meanwhile,
    },
    /// The answer comes `by` later; the effect does not.
    Slow {
        /// How much later.
        by: Duration,
    },
    /// Answered with this status and nothing done.
    Refuse {
        /// The status.
        status: u16,
        /// `error.code`.
        code: String,
        /// `Retry-After` in seconds, if any.
        retry_after: Option<u64>,
    },
    /// 500, 502, 503 or 504 in the words of ARM's gateway.
    /// Source: recordings of Azure/azure-cli, `test_mysql_flexible_server_iops_mgmt` (502 `BadGatewayConnection`) and
    /// `test_sql_mi_failover_mgmt` (503 `ServerTimeout`, 504 `GatewayTimeout`, both after a PUT); of
    /// Azure/azure-service-operator, `Test_DBForMySQL_FlexibleServer_20231230_CRUD` (503 as an HTML page).
    ServerError {
        /// The status.
        status: u16,
        /// Whether the body is an HTML page.
        html: bool,
        /// Whether the request takes effect all the same.
        takes_effect: bool,
    },
    /// Answered 404 although it is there.
    /// Source: MicrosoftDocs/azure-docs `articles/azure-resource-manager/management/async-operations.md` has polls at
    /// other replicas; that such a poll is answered 404 was recorded at the end of operations (Azure/azure-service-operator,
    /// `Test_App_Job_CRUD`).
    NotFound,
    /// 429 `RetryableError` without `Retry-After`: something is busy, nobody asked too often.
    /// Source: recording of Azure/azure-service-operator, `Test_Compute_v1api_CreationAndDeletion`.
    Busy,
    /// From here on every request to this provider in this subscription is answered 429, and refused again before the
    /// promised time. Source: <https://github.com/velero-io/velero-plugin-for-microsoft-azure/issues/80>.
    Storm {
        /// How long.
        lasts: Duration,
        /// `Retry-After`, rounded up to whole seconds.
        retry_after: Duration,
    },
    /// The request takes effect; the connection breaks in the middle of the answer's body.
    Truncated,
    /// The request takes effect; the answer is 200 with a body that is no JSON.
    /// Source: recording of Azure/azure-cli, `test_monitor_log_analytics_workspace_data_export`: a plain sentence that
    /// calls itself `application/json`.
    NotJson,
    /// A PATCH is answered as if done, and nothing done, as under a policy of effect `Modify`. A PUT of a datastore too: it
    /// keeps the credential that it had. Source of that: <https://github.com/Azure/bicep-types-az/issues/2468>.
    /// Source: the comment of one team in a public preflight module, seen with `publicNetworkAccess`.
    Ignored,
    /// The long-running operation that the request starts ends `Failed` inside a 200.
    /// Source: <https://github.com/hashicorp/terraform-provider-azurerm/issues/22150>.
    OperationFails,
    /// The long-running operation that the request starts runs for so long. No public source; design decision.
    OperationHangs {
        /// How long.
        lasts: Duration,
    },
    /// The list shows what was there some time ago. Source: MicrosoftDocs/azure-docs
    /// `articles/role-based-access-control/troubleshooting.md` (changes take time to show).
    StaleList {
        /// How long ago.
        by: Duration,
    },
    /// An empty page with a link to the page that was asked for. Source: recording of Azure/azure-cli,
    /// `test_batchai_manual_scale_scenario`.
    EmptyPage,
    /// A page of one entry, and its `nextLink` in one of the spellings that were recorded: names encoded, in another
    /// case or order, with a parameter without value, relative. Source: recordings of Azure/azure-cli,
    /// `hybrid_2018_03_01.test_resource_scenario`.
    OddNextLink,
    /// Ids in the answer are spelled in another case. Source: Azure/azure-rest-api-specs
    /// `.../Microsoft.MachineLearningServices/stable/2024-04-01/examples/Workspace/get.json`.
    MixedCasing,
    /// The answer has no `Date`. No public source; design decision.
    NoDate,
    /// The answer's `Date` is behind. No public source; design decision.
    DateBehind {
        /// How far.
        by: Duration,
    },
    /// The answer's `Date` is ahead. No public source; design decision.
    DateAhead {
        /// How far.
        by: Duration,
    },
    /// The cloud's clock jumps forward, and everything that was due happens. No public source; design decision.
    ClockJump {
        /// How far.
        by: Duration,
    },
    /// The directory does not know a principal yet, whatever `principalType` says: so many first writes for each
    /// principal are refused, and all while its identity is young.
    /// Source: <https://github.com/MicrosoftDocs/azure-docs/issues/103085>.
    PrincipalNotFound {
        /// How many first writes are refused.
        attempts: u32,
        /// Refused as long as the identity (or workspace) that the principal belongs to is younger.
        younger_than: Duration,
    },
    /// Somebody puts a lock there, which goes away by itself.
    /// Source: MicrosoftDocs/azure-docs `articles/azure-resource-manager/management/lock-resources.md`.
    ScopeLocked {
        /// How long it stands.
        lasts: Duration,
        /// Where.
        scope: Breadth,
        /// Whether it is `ReadOnly` or `CanNotDelete`.
        read_only: bool,
    },
    /// A policy of effect `Deny` forbids every write for a while.
    /// Source: <https://github.com/Azure/Azure-Landing-Zones/issues/2954>.
    PolicyDeny {
        /// How long.
        lasts: Duration,
        /// Where.
        scope: Breadth,
    },
    /// The caller's rights are gone for a while. Source: MicrosoftDocs/azure-docs
    /// `articles/role-based-access-control/troubleshooting.md`.
    AuthorizationFailed {
        /// How long.
        lasts: Duration,
        /// Where.
        scope: Breadth,
    },
    /// The token endpoint refuses the client with this AADSTS code for a while.
    /// Source: <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.
    TokenRejected {
        /// The number after `AADSTS`.
        code: u32,
        /// How long.
        lasts: Duration,
    },
    /// From here on the token that the request carries has expired. No public source; design decision.
    TokenExpired,
    /// From here on the token that the request carries is revoked: 401 that asks for claims.
    /// Source: recordings of Azure/azure-sdk-for-python, `test_cae.test_device_code`.
    TokenRevoked,
}

/// What the sender of a late-landing write gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meanwhile {
    /// A broken connection.
    Reset,
    /// Nothing, ever.
    Hang,
    /// 504 `GatewayTimeout`.
    GatewayTimeout,
}

/// How far a lasting fault reaches around the resource of the request that was struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Breadth {
    /// The resource, and what is below it.
    #[default]
    Resource,
    /// Its resource group.
    Group,
    /// Its subscription.
    Subscription,
}

impl Fault {
    /// Its name in a file of faults, and in records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ResetBefore => "resetBefore",
            Self::ResetAfter => "resetAfter",
            Self::HangBefore => "hangBefore",
            Self::HangAfter => "hangAfter",
            Self::Late { .. } => "late",
            Self::Slow { .. } => "slow",
            Self::Refuse { .. } => "refuse",
            Self::ServerError { html: true, .. } => "htmlPage",
            Self::ServerError { status: 502, .. } => "badGateway",
            Self::ServerError { status: 503, .. } => "serviceUnavailable",
            Self::ServerError { status: 504, .. } => "gatewayTimeout",
            Self::ServerError { .. } => "internalServerError",
            Self::NotFound => "notFound",
            Self::Busy => "busy",
            Self::Storm { .. } => "storm",
            Self::Truncated => "truncated",
            Self::NotJson => "notJson",
            Self::Ignored => "ignored",
            Self::OperationFails => "operationFails",
            Self::OperationHangs { .. } => "operationHangs",
            Self::StaleList { .. } => "staleList",
            Self::EmptyPage => "emptyPage",
            Self::OddNextLink => "oddNextLink",
            Self::MixedCasing => "mixedCasing",
            Self::NoDate => "noDate",
            Self::DateBehind { .. } => "dateBehind",
            Self::DateAhead { .. } => "dateAhead",
            Self::ClockJump { .. } => "clockJump",
            Self::PrincipalNotFound { .. } => "principalNotFound",
            Self::ScopeLocked { .. } => "scopeLocked",
            Self::PolicyDeny { .. } => "policyDeny",
            Self::AuthorizationFailed { .. } => "authorizationFailed",
            Self::TokenRejected { .. } => "tokenRejected",
            Self::TokenExpired => "tokenExpired",
            Self::TokenRevoked => "tokenRevoked",
        }
    }

    /// Whether the fault means anything on such a request.
    pub(crate) fn suits(&self, target: &Target<'_>) -> bool {
        match self {
            Self::ResetBefore
            | Self::ResetAfter
            | Self::HangBefore
            | Self::HangAfter
            | Self::Slow { .. }
            | Self::Refuse { .. }
            | Self::ServerError { .. }
            | Self::Truncated
            | Self::NotJson
            | Self::NoDate
            | Self::DateBehind { .. }
            | Self::DateAhead { .. }
            | Self::ClockJump { .. } => true,
            Self::Late { .. } | Self::ScopeLocked { .. } => target.is_write(),
            Self::Ignored => {
                target.method == "PATCH" || (target.method == "PUT" && target.template.ends_with("/datastores/{}"))
            }
            // Policies of effect `Deny` judge what is made or changed, neither deletions nor actions.
            // Source: MicrosoftDocs/azure-docs `articles/governance/policy/concepts/effects.md`.
            Self::PolicyDeny { .. } => matches!(target.method, "PUT" | "PATCH"),
            // The list of subscriptions is never refused; it is empty for who may see none.
            Self::AuthorizationFailed { .. } => target.template.starts_with("/subscriptions/"),
            Self::NotFound
            | Self::Busy
            | Self::Storm { .. }
            | Self::MixedCasing
            | Self::TokenExpired
            | Self::TokenRevoked => !target.is_token(),
            Self::OperationFails | Self::OperationHangs { .. } => {
                target.is_write() && target.template.ends_with("/Microsoft.MachineLearningServices/workspaces/{}")
            }
            Self::StaleList { .. } => {
                target.is_list()
                    && ["/workspaces", "/storageAccounts", "/roleAssignments"]
                        .iter()
                        .any(|kind| target.template.ends_with(kind))
            }
            Self::EmptyPage | Self::OddNextLink => target.is_list(),
            Self::PrincipalNotFound { .. } => {
                target.method == "PUT" && target.template.ends_with("/roleAssignments/{}")
            }
            Self::TokenRejected { .. } => target.is_token(),
        }
    }
}
