//! What the files ask for, checked and resolved: profiles merged, scenarios expanded, defaults filled in.
//!
//! [`crate::manifest`] turns texts into a [`Desired`]; [`crate::plan`] compares one key's part of it with Azure.

mod create;
mod datastores;
mod drain;
mod half;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::catalog::{Scenario, find_scenarios};
use crate::id::{
    ArmId, LogAnalyticsId, ManagedIdentityId, PrincipalId, RoleId, StorageAccountId, SubscriptionId, WorkspaceId,
};
use crate::observed::{PrincipalType, Reading, StorageService};

pub use create::{Create, CreateKind, Isolation, Parts};
pub use datastores::{
    DatastoreKind, DatastorePlace, DesiredDatastore, DesiredDatastores, DesiredForm, ServiceDataAccess,
};
pub use drain::Drain;

/// One accepted revision of the desired state, as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// A short hash over the content of all files; equal content in any order of files gives an equal revision.
    pub revision: Revision,
    /// Fleet-wide defaults and limits.
    pub fleet: Fleet,
    /// The declared workspaces by id.
    pub workspaces: BTreeMap<WorkspaceId, DesiredWorkspace>,
    /// The declared accounts by id.
    pub accounts: BTreeMap<StorageAccountId, DesiredAccount>,
}

/// Names one content of the desired state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub String);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The `Fleet` object; all defaults if the files have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Whether the files have a `Fleet` document.
    pub is_declared: bool,
    /// Names this installation in every grant it makes.
    pub owner: String,
    /// Where workspaces on the same accounts are searched for.
    pub scope: Scope,
    /// The durations that gates use.
    pub waits: Waits,
    /// What applies to workspaces and accounts that do not say.
    pub enforcement: Enforcement,
    /// Whether own grants of principals that left every document are revoked.
    pub prune: bool,
    /// Whether switches of workspaces that do not say wait for what runs.
    pub drain: Drain,
    /// When changes that tighten or loosen may be made; empty means always.
    pub change_windows: Vec<ChangeWindow>,
    /// When a setting that is fought over is left alone.
    pub fight: FightGuard,
    /// The kill switch: nothing is written anywhere while it is set.
    pub paused: bool,
    /// SAS traffic that is known and accepted, by account and service.
    pub accept_sas: Vec<SasAcceptance>,
    /// Where the storage resource logs of accounts are that do not say: they name callers, and decide nothing.
    pub log_analytics: Option<LogAnalyticsId>,
    /// Whether tightening waits for the data plane of accounts that do not say, asked with the own identity.
    pub data_probe: bool,
}

/// After how many reversals within which time a setting is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FightGuard {
    /// At least 1. Default 3; design decision.
    pub reversals: u32,
    /// Default 24 h; design decision.
    pub within: Duration,
}

impl Default for FightGuard {
    fn default() -> Self {
        Self { reversals: 3, within: Duration::from_secs(24 * 60 * 60) }
    }
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            is_declared: false,
            owner: "keyless".to_owned(),
            scope: Scope::default(),
            waits: Waits::default(),
            enforcement: Enforcement::Observe,
            prune: false,
            drain: Drain::default(),
            change_windows: Vec::new(),
            fight: FightGuard::default(),
            paused: false,
            accept_sas: Vec::new(),
            log_analytics: None,
            data_probe: false,
        }
    }
}

/// Which subscriptions are searched for workspaces on the same accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The subscriptions; `None` means every one the controller's identity can see.
    pub subscriptions: Option<BTreeSet<SubscriptionId>>,
    /// Subscriptions, resource groups or resources that are left out of the search.
    pub exclude: BTreeSet<ArmId>,
}

impl Scope {
    /// Whether it leaves out whole subscriptions, whose workspaces are not even listed.
    #[must_use]
    pub fn leaves_out_subscriptions(&self) -> bool {
        let whole = |id: &ArmId| id.subscription().is_some_and(|subscription| id.covers(&subscription.arm()));
        self.subscriptions.is_some() || self.exclude.iter().any(whole)
    }
}

/// Why a workspace is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfSight {
    /// Its document stands, and it does not exist: a deleted workspace can be recovered, on the account that it was on.
    /// Source: <https://learn.microsoft.com/azure/machine-learning/concept-soft-delete>.
    Missing,
    /// [`Scope::exclude`] leaves it out.
    Excluded,
}

/// The durations that gates use. Defaults: design decisions, sources on each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// How old a direct grant must be. Default 15 min; documented: up to 10 min.
    /// Source: <https://learn.microsoft.com/azure/role-based-access-control/troubleshooting>.
    pub role_propagation: Duration,
    /// How old a grant at management-group scope, or to a managed identity through a group, must be. Default 24 h.
    pub group_propagation: Duration,
    /// How many reads in a row have to show a young grant, 1 to 10. Default 2; design decision.
    pub agreeing_reads: u32,
    /// How long nobody may have signed with the key. Default 7 d.
    pub key_idle: Duration,
    /// How long the key must have been back on before a workspace uses it, or before who waited for it is taken to have had
    /// it. Default 2 min; no public number.
    pub key_effect: Duration,
    /// How far metrics may lag. Default 15 min.
    pub metrics_lag: Duration,
    /// How long a write whose outcome is unknown may still land. Default 5 min; no public number.
    pub late_write: Duration,
    /// How long an account is watched after its key went off. Default 24 h.
    pub watch: Duration,
}

/// The longest `keyIdle`. Azure keeps metrics for 93 days, and the newest of them are not complete.
///
/// Source: MicrosoftDocs/azure-docs `articles/azure-monitor/essentials/data-platform-metrics.md`.
pub const LONGEST_KEY_IDLE: Duration = Duration::from_secs(92 * 24 * 60 * 60);

impl Default for Waits {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        Self {
            role_propagation: Duration::from_secs(15 * MINUTE),
            group_propagation: Duration::from_secs(24 * HOUR),
            agreeing_reads: 2,
            key_idle: Duration::from_secs(7 * 24 * HOUR),
            key_effect: Duration::from_secs(2 * MINUTE),
            metrics_lag: Duration::from_secs(15 * MINUTE),
            late_write: Duration::from_secs(5 * MINUTE),
            watch: Duration::from_secs(24 * HOUR),
        }
    }
}

/// Whether drift is acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Enforcement {
    /// Plan and alert, never write.
    Observe,
    /// Converge.
    Enforce,
}

/// A pause of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspend {
    /// Why, for people.
    pub reason: String,
    /// When it ends.
    pub until: Timestamp,
    /// What happens then.
    pub then: AfterSuspend,
}

impl Suspend {
    /// Whether the document is suspended at `now`.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        now < self.until || self.then == AfterSuspend::Stay
    }
}

/// What happens when a suspension ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AfterSuspend {
    /// It stays suspended until the file changes.
    Stay,
    /// It is acted on again.
    Resume,
}

/// When changes that tighten or loosen may be made, in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeWindow {
    /// On which days it opens; Monday is 1, Sunday is 7; empty means every day.
    pub days: BTreeSet<u8>,
    /// When it opens, in minutes after midnight, 0 to 1439.
    pub from: u16,
    /// When it closes, in minutes after midnight, 1 to 1440; always later than `from`.
    pub to: u16,
}

/// The mode the files ask for. Azure's third value is reported, never set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthMode {
    /// Identity-based access.
    Identity,
    /// Account keys: revert, or stay.
    AccessKey,
}

impl fmt::Display for AuthMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::AccessKey => "accesskey",
        })
    }
}

/// A declared workspace, hub or project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredWorkspace {
    /// `metadata.name`.
    pub name: String,
    /// Its id.
    pub id: WorkspaceId,
    /// The mode asked for.
    pub auth_mode: AuthMode,
    /// Whether drift is acted on.
    pub enforcement: Enforcement,
    /// A pause, if one is written down.
    pub suspend: Option<Suspend>,
    /// Who needs what, profiles merged in, each need once.
    pub needs: Vec<Need>,
    /// What to do about the grant that the service makes to the workspace's own identity.
    pub service_grants: ServiceGrants,
    /// What is asked of the datastores that people made.
    pub datastores: DesiredDatastores,
    /// That a datastore's stored secret is lost for good is accepted until then.
    pub accept_one_way: Option<Acceptance>,
    /// That the workspace may hold old keys when it goes back to them is accepted until then.
    pub accept_stale_keys: Option<Acceptance>,
    /// What is known not to work and is accepted, by the ids of [`crate::incompatibility::ALL`].
    pub accept_incompatible: BTreeMap<&'static str, Acceptance>,
    /// Whether its switch to identity waits for what runs in it.
    pub drain: Drain,
    /// How it is made if it does not exist; without this it never is.
    pub create: Option<Create>,
    /// Where the document stands.
    pub location: Location,
}

impl DesiredWorkspace {
    /// Whether the grants that the service makes matter: those of a workspace on keys, and accepted ones, do not.
    #[must_use]
    pub fn cares_for_service_grants(&self) -> bool {
        self.auth_mode == AuthMode::Identity && self.service_grants != ServiceGrants::Accept
    }
}

/// What to do when the grant that the service makes to the workspace's identity is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ServiceGrants {
    /// Hold the switch shut until it appears.
    #[default]
    Wait,
    /// Make it.
    Grant,
    /// Go on without it.
    Accept,
}

/// One principal's need of one role's data actions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// Who.
    pub principal: PrincipalRef,
    /// The catalog role whose data actions are needed.
    pub role: RoleId,
    /// At which scope a missing grant is made.
    pub grant_scope: GrantScope,
    /// The ABAC condition that a missing grant gets, and that does not make a grant insufficient.
    pub condition: Option<String>,
    /// Which levels and scenarios of the file ask for it, such as `level readWrite`, `scenario training`.
    pub because: BTreeSet<Because>,
}

impl Need {
    /// The rows of the articles that ask for it.
    pub fn rows(&self) -> impl Iterator<Item = &'static Scenario> {
        let names = self.because.iter().filter_map(|because| match because {
            Because::Scenario(name) => Some(*name),
            Because::Level(_) | Because::ServiceGrants => None,
        });
        names.flat_map(find_scenarios)
    }
}

/// What in a document asks for a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Because {
    /// A level of the catalog.
    Level(&'static str),
    /// A scenario of the catalog.
    Scenario(&'static str),
    /// `serviceGrants: grant`.
    ServiceGrants,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(name) => write!(f, "level {name}"),
            Self::Scenario(name) => write!(f, "scenario {name}"),
            Self::ServiceGrants => f.write_str("serviceGrants: grant"),
        }
    }
}

/// Where a missing grant is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum GrantScope {
    /// At the storage account.
    #[default]
    Account,
    /// At its resource group, for subscriptions near the ceiling of 4,000 assignments.
    ResourceGroup,
}

/// A principal as the files name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalRef {
    /// A person, group or service principal by object id.
    Object {
        /// What kind of principal.
        kind: PrincipalType,
        /// Its object id.
        id: PrincipalId,
        /// A name for people, if the file gives one.
        name: Option<String>,
    },
    /// A user-assigned managed identity, resolved on every pass.
    ManagedIdentity(ManagedIdentityId),
    /// The identities of a compute of this workspace, resolved on every pass.
    Compute(String),
    /// The workspace's own system-assigned identity, resolved on every pass.
    WorkspaceSystem,
    /// The user-assigned identities of the workspace, resolved on every pass.
    WorkspaceUserAssigned,
}

impl fmt::Display for PrincipalRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { kind, id, name } => {
                let kind = match kind {
                    PrincipalType::User => "user",
                    PrincipalType::Group => "group",
                    PrincipalType::ServicePrincipal => "service principal",
                    PrincipalType::ForeignGroup => "foreign group",
                    PrincipalType::Device => "device",
                };
                match name {
                    Some(name) => write!(f, "{kind} {name} ({id})"),
                    None => write!(f, "{kind} {id}"),
                }
            }
            Self::ManagedIdentity(id) => write!(f, "managed identity {}", id.name()),
            Self::Compute(name) => write!(f, "compute {name}"),
            Self::WorkspaceSystem => f.write_str("the workspace's own identity"),
            Self::WorkspaceUserAssigned => f.write_str("the workspace's user-assigned identities"),
        }
    }
}

/// A declared storage account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredAccount {
    /// `metadata.name`.
    pub name: String,
    /// Its id.
    pub id: StorageAccountId,
    /// What is asked of the flag.
    pub shared_key_access: DesiredSharedKey,
    /// Overrides the fleet's enforcement for account-wide steps.
    pub enforcement: Option<Enforcement>,
    /// A pause, if one is written down.
    pub suspend: Option<Suspend>,
    /// Overrides the fleet's `keyIdle`.
    pub key_idle: Option<Duration>,
    /// SAS traffic is known and accepted until then.
    pub accept_sas: Option<Acceptance>,
    /// Missing evidence of key use is accepted until then.
    pub accept_unknown_key_use: Option<Acceptance>,
    /// Steps whose undo is barred are accepted until then.
    pub accept_one_way: Option<Acceptance>,
    /// Where this account's storage resource logs are; outranks the fleet's.
    pub log_analytics: Option<LogAnalyticsId>,
    /// Overrides whether tightening waits for this account's data plane.
    pub data_probe: Option<bool>,
    /// Where the document stands.
    pub location: Location,
}

impl DesiredAccount {
    /// A document under the account's own name that asks this of its key, and says nothing else.
    #[must_use]
    pub fn new(id: StorageAccountId, shared_key_access: DesiredSharedKey) -> Self {
        Self {
            name: id.name().to_owned(),
            id,
            shared_key_access,
            enforcement: None,
            suspend: None,
            key_idle: None,
            accept_sas: None,
            accept_unknown_key_use: None,
            accept_one_way: None,
            log_analytics: None,
            data_probe: None,
            location: Location::default(),
        }
    }
}

/// What the files ask of `allowSharedKeyAccess`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DesiredSharedKey {
    /// Off.
    Disabled,
    /// On.
    Enabled,
    /// Hands off.
    Unmanaged,
}

/// A risk that a named person accepted until a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// Until when it holds.
    pub until: Timestamp,
}

impl Acceptance {
    /// Whether it still holds at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

impl fmt::Display for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "accepted by {} until {}: {}", self.owner, self.until, self.reason)
    }
}

/// SAS traffic to some accounts, accepted until a date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SasAcceptance {
    /// Accounts, or resource groups or subscriptions of accounts.
    pub accounts: BTreeSet<ArmId>,
    /// The services it is about; empty means all.
    pub services: BTreeSet<StorageService>,
    /// Who accepted it, why and until when.
    pub acceptance: Acceptance,
}

/// A place in the files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Location {
    /// The file's path as given.
    pub path: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path, self.line, self.column)
    }
}

/// The part of the desired state that one pass is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDesired {
    /// The revision it was cut from.
    pub revision: Revision,
    /// Fleet-wide settings.
    pub fleet: Fleet,
    /// The account.
    pub account_id: StorageAccountId,
    /// The account's own document, if there is one.
    pub account: Option<DesiredAccount>,
    /// The declared workspaces on the account.
    pub workspaces: BTreeMap<WorkspaceId, DesiredWorkspace>,
    /// Workspaces whose account could not be found out, each with its document if it has one: any of them may stand on this
    /// account.
    pub unplaced: Arc<BTreeMap<WorkspaceId, Option<DesiredWorkspace>>>,
    /// The subscriptions that the controller's identity sees and the files leave out: which workspaces are there is not known.
    pub out_of_scope: Reading<BTreeSet<SubscriptionId>>,
    /// Workspaces that are not looked at, and whose people may rest on grants here all the same.
    pub out_of_sight: BTreeMap<WorkspaceId, OutOfSight>,
    /// Whether workspaces, declared or not, stand on other accounts of the account's resource group: their people may rest on
    /// a grant at the group.
    pub group_is_shared: bool,
}

impl KeyDesired {
    /// How long nobody may have signed with this account's key: what the gate asks, and the window that is read for it.
    #[must_use]
    pub fn key_idle(&self) -> Duration {
        self.account.as_ref().and_then(|account| account.key_idle).unwrap_or(self.fleet.waits.key_idle)
    }

    /// Whether the files ask for the account's key to be off. A workspace that is to be on it keeps it on, whatever the
    /// account's own document says.
    #[must_use]
    pub fn asks_for_key_off(&self) -> bool {
        let all_on_identity = self.workspaces.values().all(|workspace| workspace.auth_mode == AuthMode::Identity);
        all_on_identity
            && match self.account.as_ref().map(|account| account.shared_key_access) {
                Some(word) => word == DesiredSharedKey::Disabled,
                None => !self.workspaces.is_empty(),
            }
    }
}

impl KeyDesired {
    /// Where the storage resource logs of this account are, if the files say.
    #[must_use]
    pub fn log_analytics(&self) -> Option<&LogAnalyticsId> {
        let own = self.account.as_ref().and_then(|account| account.log_analytics.as_ref());
        own.or(self.fleet.log_analytics.as_ref())
    }

    /// Whether tightening waits until the data plane of the account has let the own identity in.
    #[must_use]
    pub fn data_probe(&self) -> bool {
        self.account.as_ref().and_then(|account| account.data_probe).unwrap_or(self.fleet.data_probe)
    }

    /// What is accepted of this account's SAS traffic, ended or not: for which services (none named: for all), and by whom.
    pub fn accepted_sas(&self) -> impl Iterator<Item = (&BTreeSet<StorageService>, &Acceptance)> {
        static ALL: BTreeSet<StorageService> = BTreeSet::new();
        let own = self.account.as_ref().and_then(|account| account.accept_sas.as_ref()).map(|own| (&ALL, own));
        let covers = |entry: &&SasAcceptance| entry.accounts.iter().any(|scope| scope.covers(self.account_id.arm()));
        let fleet = self.fleet.accept_sas.iter().filter(covers).map(|entry| (&entry.services, &entry.acceptance));
        own.into_iter().chain(fleet)
    }
}

impl Desired {
    /// Cuts out the part for one account. Which workspaces stand on it only Azure knows, so the caller tells.
    #[must_use]
    pub fn for_key(
        &self,
        account_id: &StorageAccountId,
        on_account: impl Fn(&WorkspaceId) -> bool,
        unplaced: Arc<BTreeMap<WorkspaceId, Option<DesiredWorkspace>>>,
    ) -> KeyDesired {
        KeyDesired {
            revision: self.revision.clone(),
            fleet: self.fleet.clone(),
            account_id: account_id.clone(),
            account: self.accounts.get(account_id).cloned(),
            workspaces: self
                .workspaces
                .iter()
                .filter(|(id, _)| on_account(id))
                .map(|(id, workspace)| (id.clone(), workspace.clone()))
                .collect(),
            unplaced,
            out_of_scope: Reading::known(BTreeSet::new(), Timestamp::MIN),
            out_of_sight: BTreeMap::new(),
            group_is_shared: true,
        }
    }
}
