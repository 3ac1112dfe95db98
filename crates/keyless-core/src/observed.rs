//! What one pass read from Azure about one storage account: each value with when it was read, or why it is not known.
//!
//! Unknown is not absent: a list that could not be read is [`Reading::Unknown`], never an empty list.
//! This module only holds values; `keyless-arm` fills them, [`crate::plan`] judges them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::gate::ReadSet;
use crate::id::{
    ArmId, AssignmentName, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId,
};

pub use crate::reading::{Cause, Reading};

/// Everything one pass knows about one storage account and what hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The account: the key of the pass.
    pub account_id: StorageAccountId,
    /// The server's clock at the end of the reads. All ages are measured against it.
    pub now: Timestamp,
    /// The account; `None` when Azure says it does not exist.
    pub account: Reading<Option<Account>>,
    /// Per subscription in scope: whether its workspaces were listed completely in this pass.
    pub listings: BTreeMap<SubscriptionId, Reading<()>>,
    /// The workspaces, hubs and projects on the account, declared or not, by id. A declared workspace that
    /// does not exist is here too, with `None`.
    pub workspaces: BTreeMap<WorkspaceId, ObservedWorkspace>,
    /// The datastores that name this account, of workspaces that stand on other accounts; workspaces without one are left
    /// out. Account names are unique in all of Azure, so the name tells.
    pub elsewhere: Reading<BTreeMap<WorkspaceId, Vec<Datastore>>>,
    /// Every role assignment that applies at the account: made there or inherited.
    pub assignments: Reading<Vec<RoleAssignment>>,
    /// Role assignments that were read one by one; `None`: there is none of this id.
    pub assignments_by_id: BTreeMap<ArmId, Reading<Option<RoleAssignment>>>,
    /// The definitions of all roles in `assignments` that could be read.
    pub roles: BTreeMap<RoleId, Reading<RoleDefinition>>,
    /// Deny assignments that apply at the account.
    pub denies: Reading<Vec<DenyAssignment>>,
    /// Locks that apply at the account, inherited ones included.
    pub locks: Reading<Vec<Lock>>,
    /// Who signed with what during the key-idle window.
    pub key_usage: Reading<KeyUsage>,
    /// Principals behind user-assigned identities named in the desired state; `None`: the identity does not exist.
    pub identities: BTreeMap<ManagedIdentityId, Reading<Option<PrincipalId>>>,
    /// What earlier passes of this process remember. Losing it costs waiting, never safety.
    pub history: History,
}

impl Observed {
    /// An observation in which nothing has been read yet.
    #[must_use]
    pub fn unread(account_id: StorageAccountId, now: Timestamp) -> Self {
        Self {
            account_id,
            now,
            account: Reading::NotRead,
            listings: BTreeMap::new(),
            workspaces: BTreeMap::new(),
            elsewhere: Reading::NotRead,
            assignments: Reading::NotRead,
            assignments_by_id: BTreeMap::new(),
            roles: BTreeMap::new(),
            denies: Reading::NotRead,
            locks: Reading::NotRead,
            key_usage: Reading::NotRead,
            identities: BTreeMap::new(),
            history: History::default(),
        }
    }

    /// Takes in what another read brought. A read of the listings also settles which workspaces stand on the account.
    pub fn absorb(&mut self, part: Self) {
        let Self {
            account_id: _,
            now,
            account,
            listings,
            workspaces,
            elsewhere,
            assignments,
            assignments_by_id,
            roles,
            denies,
            locks,
            key_usage,
            identities,
            history,
        } = part;
        // The later word counts even where it is earlier: by then more is known of the server's clock.
        if now > Timestamp::MIN {
            self.now = now;
        }
        self.account.absorb(account);
        if !listings.is_empty() {
            self.listings = listings;
            self.workspaces.retain(|id, _| workspaces.contains_key(id));
        }
        for (id, entry) in workspaces {
            let ObservedWorkspace { workspace, datastores, computes } = entry;
            let known = self.workspaces.entry(id).or_insert_with(ObservedWorkspace::unread);
            known.workspace.absorb(workspace);
            known.datastores.absorb(datastores);
            known.computes.absorb(computes);
        }
        self.elsewhere.absorb(elsewhere);
        self.assignments.absorb(assignments);
        for (id, assignment) in assignments_by_id {
            self.assignments_by_id.entry(id).or_insert(Reading::NotRead).absorb(assignment);
        }
        for (id, role) in roles {
            self.roles.entry(id).or_insert(Reading::NotRead).absorb(role);
        }
        self.denies.absorb(denies);
        self.locks.absorb(locks);
        self.key_usage.absorb(key_usage);
        for (id, identity) in identities {
            self.identities.entry(id).or_insert(Reading::NotRead).absorb(identity);
        }
        self.history = history;
    }

    /// Forgets what `reads` names, so that nothing rests on it until it is read again.
    pub fn forget(&mut self, reads: &ReadSet) {
        let ReadSet {
            account,
            listings,
            workspaces,
            datastores,
            elsewhere,
            computes,
            assignments,
            assignments_by_id,
            denies,
            locks,
            key_usage,
            identities,
        } = reads;
        if *account {
            self.account = Reading::NotRead;
        }
        if *listings {
            self.listings.clear();
        }
        for (id, entry) in &mut self.workspaces {
            if workspaces.contains(id) {
                entry.workspace = Reading::NotRead;
            }
            if datastores.contains(id) {
                entry.datastores = Reading::NotRead;
            }
            if computes.contains(id) {
                entry.computes = Reading::NotRead;
            }
        }
        if *elsewhere {
            self.elsewhere = Reading::NotRead;
        }
        if *assignments {
            self.assignments = Reading::NotRead;
            self.roles.clear();
        }
        for id in assignments_by_id {
            self.assignments_by_id.remove(id);
        }
        if *denies {
            self.denies = Reading::NotRead;
        }
        if *locks {
            self.locks = Reading::NotRead;
        }
        if *key_usage {
            self.key_usage = Reading::NotRead;
        }
        for id in identities {
            self.identities.remove(id);
        }
    }
}

/// Facts that only time shows and Azure does not store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Since when every read of this process has seen shared key access allowed.
    pub key_on_since: Option<Timestamp>,
}

/// A storage account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The id in the account's own spelling.
    pub id: StorageAccountId,
    /// The flag as Azure reports it.
    pub shared_key: SharedKeyAccess,
    /// The region, for throttling buckets and messages.
    pub location: String,
}

/// `allowSharedKeyAccess`, with the three spellings of "allowed" kept apart for reports.
///
/// Source: <https://learn.microsoft.com/azure/storage/common/shared-key-authorization-prevent>: absent or null means allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SharedKeyAccess {
    /// The property is missing: allowed, never set.
    Absent,
    /// The property is null: allowed.
    Null,
    /// `true`.
    Allowed,
    /// `false`.
    Disallowed,
}

impl SharedKeyAccess {
    /// Whether a request signed with the key is accepted.
    #[must_use]
    pub fn is_on(self) -> bool {
        self != Self::Disallowed
    }
}

/// A workspace, hub or project that stands on the account, or is declared to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedWorkspace {
    /// The workspace by a read of its own; `None` when Azure says it does not exist.
    pub workspace: Reading<Option<Workspace>>,
    /// Its datastores.
    pub datastores: Reading<Vec<Datastore>>,
    /// Its computes.
    pub computes: Reading<Vec<Compute>>,
}

impl ObservedWorkspace {
    /// A workspace of which only the existence is known so far.
    #[must_use]
    pub fn unread() -> Self {
        Self { workspace: Reading::NotRead, datastores: Reading::NotRead, computes: Reading::NotRead }
    }
}

/// One workspace as Azure returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// The id in Azure's spelling.
    pub id: WorkspaceId,
    /// What it is.
    pub kind: WorkspaceKind,
    /// The account named by `properties.storageAccount`; a project without one stands on its hub's account.
    pub storage_account: Option<StorageAccountId>,
    /// Further accounts that it names and holds the keys of; some hubs have them.
    pub more_accounts: BTreeSet<StorageAccountId>,
    /// `properties.hubResourceId`, on projects.
    pub hub: Option<WorkspaceId>,
    /// `properties.systemDatastoresAuthMode`.
    pub auth_mode: ObservedAuthMode,
    /// The `identity` block.
    pub identity: Identity,
    /// `properties.primaryUserAssignedIdentity`: acts as the workspace's identity where present.
    pub primary_identity: Option<ManagedIdentityId>,
    /// `properties.enableDataIsolation`; absent reads as `None`.
    pub data_isolation: Option<bool>,
    /// `properties.provisioningState`; absent means done.
    pub provisioning_state: Option<String>,
    /// The region.
    pub location: String,
}

/// `kind` of a workspace. Compared without case; absent means `Default`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkspaceKind {
    /// An Azure Machine Learning workspace.
    Default,
    /// A Foundry hub.
    Hub,
    /// A hub-based project.
    Project,
    /// A feature store.
    FeatureStore,
    /// Anything Azure adds later.
    Other(String),
}

impl WorkspaceKind {
    /// The kind of Azure's word; never fails.
    #[must_use]
    pub fn from_wire(kind: Option<&str>) -> Self {
        match kind.map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "default") => Self::Default,
            Some("hub") => Self::Hub,
            Some("project") => Self::Project,
            Some("featurestore") => Self::FeatureStore,
            Some(_) => Self::Other(kind.unwrap_or_default().to_owned()),
        }
    }
}

impl std::fmt::Display for WorkspaceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Default => "workspace",
            Self::Hub => "hub",
            Self::Project => "project",
            Self::FeatureStore => "feature store",
            Self::Other(kind) => kind,
        })
    }
}

/// `systemDatastoresAuthMode` as one answer gave it. Compared without case.
///
/// Source: Azure/azure-rest-api-specs `stable/2025-09-01/workspaceRP.json`; the enum is open (`modelAsString`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObservedAuthMode {
    /// `Identity`.
    Identity,
    /// `AccessKey`.
    AccessKey,
    /// Another value, such as `UserDelegationSAS`: reported, never overwritten silently.
    Other(String),
    /// Absent or null in an api-version that declares the property: never counts as identity.
    Unset,
}

impl ObservedAuthMode {
    /// The mode of Azure's word; never fails.
    #[must_use]
    pub fn from_wire(mode: Option<&str>) -> Self {
        match mode.map(str::to_ascii_lowercase).as_deref() {
            None | Some("") => Self::Unset,
            Some("identity") => Self::Identity,
            Some("accesskey") => Self::AccessKey,
            Some(_) => Self::Other(mode.unwrap_or_default().to_owned()),
        }
    }
}

impl std::fmt::Display for ObservedAuthMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::AccessKey => "accesskey",
            Self::Other(mode) => mode,
            Self::Unset => "unset",
        })
    }
}

/// The `identity` block of a workspace or compute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The system-assigned identity's object id.
    pub system: Option<PrincipalId>,
    /// The user-assigned identities and, where told, their object ids.
    pub user_assigned: BTreeMap<ManagedIdentityId, Option<PrincipalId>>,
}

/// A compute attached to a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compute {
    /// Its name in the workspace.
    pub name: String,
    /// `properties.computeType`, such as `AmlCompute` or `ComputeInstance`.
    pub compute_type: String,
    /// Its identities.
    pub identity: Identity,
}

/// A datastore of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datastore {
    /// Its name in the workspace.
    pub name: String,
    /// The account name it points to; `None` when the type has none (Data Lake Gen1, OneLake).
    pub account_name: Option<String>,
    /// `credentials.credentialsType`, such as `AccountKey`, `Sas`, `ServicePrincipal`, `None`.
    pub credentials: DatastoreCredentials,
}

/// What a datastore signs with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatastoreCredentials {
    /// No stored credential: identity-based.
    None,
    /// The account key: stops working with the key.
    AccountKey,
    /// A shared access signature: stops working with the key if the key made it.
    Sas,
    /// A service principal's secret or certificate.
    Principal(String),
    /// A value this version does not know: treated like a key.
    Other(String),
}

impl DatastoreCredentials {
    /// Whether the datastore may stop working when the key is turned off.
    #[must_use]
    pub fn may_need_key(&self) -> bool {
        matches!(self, Self::AccountKey | Self::Sas | Self::Other(_))
    }
}

impl Datastore {
    /// Whether the workspace manages this datastore itself and rewrites it with its mode.
    ///
    /// Source: observed in a public preflight module: the switch rewrites these four at once.
    #[must_use]
    pub fn is_system(&self) -> bool {
        matches!(
            self.name.as_str(),
            "workspaceblobstore" | "workspacefilestore" | "workspaceartifactstore" | "workspaceworkingdirectory"
        )
    }
}

/// A role assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAssignment {
    /// The full id, as ARM spells it.
    pub id: ArmId,
    /// The GUID name.
    pub name: AssignmentName,
    /// Where it was made; inherited ones have a scope above the account.
    pub scope: ArmId,
    /// Who has it.
    pub principal: PrincipalId,
    /// What kind of principal, where told.
    pub principal_type: Option<PrincipalType>,
    /// Which role.
    pub role: RoleId,
    /// The ABAC condition. A conditional grant does not satisfy a plain need.
    pub condition: Option<String>,
    /// The description; grants of `keyless` name their owner in it.
    pub description: Option<String>,
    /// When it was made.
    pub created_on: Option<Timestamp>,
    /// When it last changed.
    pub updated_on: Option<Timestamp>,
}

/// `principalType` of a role assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalType {
    /// A person.
    User,
    /// A security group.
    Group,
    /// A service principal or managed identity.
    ServicePrincipal,
    /// A group of another tenant.
    ForeignGroup,
    /// A device.
    Device,
}

impl PrincipalType {
    /// Azure's spelling.
    #[must_use]
    pub fn as_wire(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::ServicePrincipal => "ServicePrincipal",
            Self::ForeignGroup => "ForeignGroup",
            Self::Device => "Device",
        }
    }

    /// The type of Azure's word, without case.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        [Self::User, Self::Group, Self::ServicePrincipal, Self::ForeignGroup, Self::Device]
            .into_iter()
            .find(|kind| kind.as_wire().eq_ignore_ascii_case(text))
    }
}

/// A role definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDefinition {
    /// Its GUID.
    pub id: RoleId,
    /// `roleName`.
    pub name: String,
    /// The permission blocks; an action is allowed if any one block allows it.
    pub permissions: Vec<Permission>,
    /// When it last changed.
    pub updated_on: Option<Timestamp>,
    /// Whether it is one of Azure's own: those change so seldom that a reader may keep them for a while.
    pub built_in: bool,
}

/// One permission block. `not_*` subtracts within the block only; it is not a deny.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permission {
    /// Allowed control-plane actions.
    pub actions: Vec<String>,
    /// Subtracted control-plane actions.
    pub not_actions: Vec<String>,
    /// Allowed data-plane actions.
    pub data_actions: Vec<String>,
    /// Subtracted data-plane actions.
    pub not_data_actions: Vec<String>,
}

/// A deny assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenyAssignment {
    /// Its name, for people.
    pub name: String,
    /// Where it was made.
    pub scope: ArmId,
    /// The denied actions.
    pub permissions: Vec<Permission>,
    /// Whether it stops at its own scope.
    pub exact_scope_only: bool,
    /// Whom it denies.
    pub principals: Vec<DeniedPrincipal>,
    /// Whom it spares.
    pub excluded: BTreeSet<PrincipalId>,
    /// Whether a condition narrows it; a narrowed deny may still apply, so it counts.
    pub conditional: bool,
}

/// One principal of a deny assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeniedPrincipal {
    /// Everyone: the zero GUID, type `SystemDefined`.
    Everyone,
    /// A group: its members are not known here, so it may hold anybody.
    Group(PrincipalId),
    /// A user or service principal.
    One(PrincipalId),
}

/// A management lock. Source: <https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The lock's id.
    pub id: ArmId,
    /// Where it was put.
    pub scope: ArmId,
    /// What it forbids.
    pub level: LockLevel,
}

/// `level` of a lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockLevel {
    /// Deleting is barred; grants still work, revokes do not.
    CanNotDelete,
    /// Every write and delete is barred.
    ReadOnly,
    /// A value this version does not know: treated like `ReadOnly`.
    Other(String),
}

/// The storage metric `Transactions` over one window, split by how requests were authorised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUsage {
    /// Start of the window.
    pub from: Timestamp,
    /// End of the window.
    pub to: Timestamp,
    /// Whether the answer was complete: `errorCode` Success, `top` not reached, the whole window covered.
    pub complete: bool,
    /// Whether any series carried data: an answer without any series at all proves nothing.
    pub alive: bool,
    /// Requests signed with an account key that succeeded.
    pub account_key: Traffic,
    /// Requests signed with an account key that failed: they may be anybody's.
    pub account_key_failed: Traffic,
    /// Requests with a SAS that succeeded, made from the key or from a user delegation: the metric does not tell.
    pub sas: Traffic,
}

impl KeyUsage {
    /// How long the window is.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to.duration_since(self.from).try_into().unwrap_or_default()
    }
}

/// A count of requests in a window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many requests.
    pub count: u64,
    /// The end of the last grain in which there were any.
    pub last: Option<Timestamp>,
}
