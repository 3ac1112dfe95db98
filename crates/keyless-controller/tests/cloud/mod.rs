//! A small cloud in memory, on tokio's paused clock: just enough of Azure for the controller to work on, and a judge
//! that looks at every write in the moment it takes effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use keyless_arm::api::{Answer, Grant, Read, ReadArm, Write, WriteArm, WriteKind, WritePermit, Written};
use keyless_arm::error::{ArmError, ErrorClass, Landed, WriteError};
use keyless_arm::stored::StoredDatastore;
use keyless_core::catalog;
use keyless_core::desired::*;
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::policy::{PolicyAssignment, PolicyDefinition, PolicyExemption, PolicySet};
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) const SUBSCRIPTION: &str = "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90";

pub(crate) fn account_id(name: &str) -> StorageAccountId {
    StorageAccountId::parse(&format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/{name}"
    ))
    .unwrap()
}

pub(crate) fn workspace_id(name: &str) -> WorkspaceId {
    WorkspaceId::parse(&format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/{name}"
    ))
    .unwrap()
}

/// The tenant of the caller, and of subscriptions of which nothing else is said.
pub(crate) const TENANT: uuid::Uuid = uuid::Uuid::from_u128(0xE001);

/// What is read in the subscription of an account.
const AT_THE_ACCOUNT: [&str; 6] = ["account", "role_assignments", "deny_assignments", "locks", "own_rights", "tenant"];

pub(crate) fn group(n: u8) -> PrincipalId {
    format!("00000000-0000-4000-8000-0000000000{n:02x}").parse().unwrap()
}

/// What happens to one write call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It never answers, and lands after this long, or never.
    Hang(Option<Duration>),
    /// The answer is lost; it lands after this long, or never.
    Lost(Option<Duration>),
    /// It takes this long and then succeeds.
    Slow(Duration),
    /// A person has to lift it.
    Refused,
    /// The right to have a workspace take keys is missing; everything else works.
    NoRightToKeys,
    /// Azure cannot tell the name of the grant from another's.
    Clash,
    /// Accepted, and nothing happens.
    DoesNotStick,
    /// A grant that is made and that lists do not show, until it is written again without this.
    Unlisted,
}

#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Grant(Grant),
    Revoke(ArmId),
    Mode(WorkspaceId, AuthMode),
    Key(StorageAccountId, bool),
    Datastore(WorkspaceId, Datastore),
    Resync(WorkspaceId),
    Create(WorkspaceId, StorageAccountId),
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) accounts: BTreeMap<StorageAccountId, bool>,
    pub(crate) workspaces: BTreeMap<WorkspaceId, Workspace>,
    /// When the keys of these accounts were made, where it was not long before everything else.
    pub(crate) made: BTreeMap<StorageAccountId, Timestamp>,
    /// Whether Azure does not tell when keys were made.
    pub(crate) untold: bool,
    /// The workspaces that have not taken the keys of their account since.
    pub(crate) stale: BTreeSet<WorkspaceId>,
    pub(crate) assignments: BTreeMap<StorageAccountId, Vec<RoleAssignment>>,
    /// Deny assignments, at every account.
    pub(crate) denies: Vec<DenyAssignment>,
    /// Who is in which group: the group first.
    pub(crate) members: BTreeSet<(PrincipalId, PrincipalId)>,
    /// Roles of people's own making.
    pub(crate) own_roles: BTreeMap<RoleId, RoleDefinition>,
    /// Somebody signs with the key of these accounts, until then.
    pub(crate) key_users: BTreeMap<StorageAccountId, Timestamp>,
    /// Refused requests: whose account, when, signed how, how many.
    pub(crate) refused: Vec<(StorageAccountId, Timestamp, Signed, u64)>,
    /// What the resource logs tell of an account, at any time.
    pub(crate) callers: BTreeMap<StorageAccountId, Vec<KeyCaller>>,
    /// What workspaces hold beside their own account.
    pub(crate) datastores: BTreeMap<WorkspaceId, Vec<Datastore>>,
    /// What runs in workspaces.
    pub(crate) jobs: BTreeMap<WorkspaceId, Vec<ObservedJob>>,
    /// Role assignments elsewhere in the subscription.
    pub(crate) other_assignments: u32,
    /// The tenants of subscriptions, where it is not [`TENANT`].
    pub(crate) tenants: BTreeMap<SubscriptionId, uuid::Uuid>,
    /// The account is in a subscription of this tenant, of which the caller is not.
    pub(crate) foreign: Option<uuid::Uuid>,
    /// Online endpoints; who may not read them is shown none.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Rights that the controller lacks.
    pub(crate) no_right: BTreeSet<&'static str>,
    /// Policies, at every scope.
    pub(crate) policies: Vec<PolicyAssignment>,
    pub(crate) definitions: BTreeMap<ArmId, PolicyDefinition>,
    /// Operations that fail.
    pub(crate) down: BTreeSet<&'static str>,
    /// Operations that take an hour.
    pub(crate) hung: BTreeSet<&'static str>,
    /// Operations that take this long.
    pub(crate) slow: BTreeMap<&'static str, Duration>,
    /// Operations that the caller has no right to.
    pub(crate) forbidden: BTreeSet<&'static str>,
    /// Workspaces whose direct read fails.
    pub(crate) lost: BTreeSet<WorkspaceId>,
    /// Accounts whose direct read takes half a minute and then fails.
    pub(crate) stuck: BTreeSet<StorageAccountId>,
    /// When each account was read.
    pub(crate) account_reads: BTreeMap<StorageAccountId, Vec<Timestamp>>,
    /// Azure has closed the subscription to reads, until then.
    pub(crate) closed_until: Option<Timestamp>,
    /// The activity log: when each change shows, and the change.
    pub(crate) log: Vec<(Timestamp, Change)>,
    /// Grants that are there although no list shows them: writing one is answered as being so already.
    pub(crate) already: BTreeSet<ArmId>,
    /// What lists do not show.
    pub(crate) unlisted: BTreeSet<WorkspaceId>,
    /// There, and answered with 404 to reads of their own.
    pub(crate) answered_404: BTreeSet<WorkspaceId>,
    /// Faults by the number of the write call, from 1.
    pub(crate) faults: BTreeMap<usize, Fault>,
    /// No place in the write quota, until then.
    pub(crate) quota_until: Option<Timestamp>,
    /// Runs before each read.
    pub(crate) on_read: Option<Box<dyn FnMut(&'static str) + Send>>,
    pub(crate) reads: BTreeMap<&'static str, u64>,
    /// The name of each grant that was asked for.
    pub(crate) grant_names: Vec<AssignmentName>,
    /// When each write call came in, and what it asked.
    pub(crate) calls: Vec<(Timestamp, String)>,
    pub(crate) hidden: BTreeSet<ArmId>,
    late: Vec<(Timestamp, Effect)>,
    /// So many reads of this kind panic.
    pub(crate) breaks: Option<(&'static str, usize)>,
    under_way: usize,
    pub(crate) most_under_way: usize,
}

pub(crate) struct Cloud {
    pub(crate) state: Mutex<State>,
    pub(crate) called: Notify,
    began: Instant,
    answers: AtomicUsize,
    /// Every answer of so many has a `Date` that is off; with 0 none has.
    pub(crate) one_off_in: AtomicUsize,
    /// By so many seconds.
    pub(crate) off_by: AtomicI64,
    /// The first answer's `Date` is off by so many seconds.
    pub(crate) first_off: AtomicI64,
    /// How many seconds the server's time has jumped.
    pub(crate) jumped: AtomicI64,
    pub(crate) waits: Waits,
}

fn key_traffic(count: u64, last: Option<Timestamp>) -> Traffic {
    let grains = last.map(|last| (hour(last), count)).into_iter().collect();
    Traffic { count, last, grains }
}

fn refused_traffic(
    refused: &[(StorageAccountId, Timestamp, Signed, u64)],
    account: &StorageAccountId,
    signed: Signed,
    from: Timestamp,
    to: Timestamp,
) -> Traffic {
    let mut traffic = Traffic::default();
    for (_, at, _, count) in
        refused.iter().filter(|(of, at, how, _)| of == account && *how == signed && (from..to).contains(at))
    {
        traffic.add(key_traffic(*count, Some(*at)));
    }
    traffic
}

pub(crate) fn waits() -> Waits {
    let usual = Waits::default();
    // The group that everybody here names has people alone.
    Waits { key_idle: Duration::from_secs(3600), group_propagation: usual.role_propagation, ..usual }
}

impl Cloud {
    pub(crate) fn new() -> Arc<Self> {
        let state = Mutex::new(State::default());
        let (answers, one_off_in, first_off) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicI64::new(0));
        let off_by = AtomicI64::new(12 * 60 * 60);
        let (called, began, jumped) = (Notify::new(), Instant::now(), AtomicI64::new(0));
        Arc::new(Self { state, called, began, answers, one_off_in, off_by, first_off, jumped, waits: waits() })
    }

    /// One account with workspaces in access-key mode.
    pub(crate) fn with(account: &str, workspaces: &[&str]) -> Arc<Self> {
        let cloud = Self::new();
        cloud.add(account, workspaces);
        cloud
    }

    pub(crate) fn add(&self, account: &str, workspaces: &[&str]) {
        let mut state = self.lock();
        state.accounts.insert(account_id(account), true);
        for name in workspaces {
            let own = workspace(name, Some(account), ObservedAuthMode::AccessKey);
            state.workspaces.insert(own.id.clone(), own);
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        let start: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
        let jumped = SignedDuration::from_secs(self.jumped.load(Ordering::Relaxed));
        start + SignedDuration::try_from(self.began.elapsed()).unwrap() + jumped
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.lock().calls.iter().map(|(_, call)| call.clone()).collect()
    }

    pub(crate) fn key_on(&self, name: &str) -> bool {
        self.settle();
        self.lock().accounts[&account_id(name)]
    }

    /// Lets late writes land whose time has come.
    fn settle(&self) {
        let now = self.now();
        let mut due: Vec<(Timestamp, Effect)> = Vec::new();
        self.lock().late.retain(|(at, effect)| {
            let keep = *at > now;
            if !keep {
                due.push((*at, effect.clone()));
            }
            keep
        });
        for (_, effect) in due {
            self.land(effect);
        }
    }

    /// An effect of ours takes place: nobody who had access may lose it.
    fn land(&self, effect: Effect) {
        let now = self.now();
        let mut state = self.lock();
        match effect {
            Effect::Grant(grant) => {
                let id = format!(
                    "{}/providers/Microsoft.Authorization/roleAssignments/{}",
                    grant.scope.as_str(),
                    grant.name
                );
                let assignment = RoleAssignment {
                    id: ArmId::parse(&id).unwrap(),
                    name: grant.name,
                    scope: grant.scope.clone(),
                    principal: grant.principal,
                    principal_type: Some(grant.principal_type),
                    role: grant.role,
                    condition: grant.condition,
                    description: Some(grant.description),
                    created_on: Some(now),
                    updated_on: Some(now),
                };
                let account = StorageAccountId::try_from(grant.scope).unwrap();
                let list = state.assignments.entry(account).or_default();
                if list.iter().all(|known| known.name != assignment.name) {
                    list.push(assignment);
                }
            }
            Effect::Revoke(id) => {
                for list in state.assignments.values_mut() {
                    list.retain(|known| known.id != id);
                }
            }
            Effect::Create(id, account) => {
                let name = id.name().to_owned();
                let made =
                    Workspace { storage_account: Some(account), ..workspace(&name, None, ObservedAuthMode::Identity) };
                assert!(state.workspaces.insert(id, made).is_none(), "{name} was there already");
            }
            Effect::Mode(id, mode) => {
                let account = state.workspaces[&id].storage_account.clone().unwrap();
                match mode {
                    AuthMode::Identity => {
                        let old = state.assignments.get(&account).into_iter().flatten().all(|assignment| {
                            let age = now.duration_since(assignment.created_on.unwrap());
                            age >= SignedDuration::try_from(self.waits.role_propagation).unwrap()
                        });
                        assert!(old, "{} switched before its grants could work", id.name());
                    }
                    AuthMode::AccessKey => {
                        assert!(state.accounts[&account], "{} sent to a dead key", id.name());
                        assert!(!state.stale.contains(&id), "{} sent to a key that it does not have", id.name());
                    }
                }
                state.workspaces.get_mut(&id).unwrap().auth_mode = match mode {
                    AuthMode::Identity => ObservedAuthMode::Identity,
                    AuthMode::AccessKey => ObservedAuthMode::AccessKey,
                };
            }
            Effect::Datastore(id, made) => {
                let stores = state.datastores.entry(id).or_default();
                stores.retain(|store| store.name != made.name);
                stores.push(made);
            }
            Effect::Resync(id) => {
                state.stale.remove(&id);
            }
            Effect::Key(account, on) => {
                if !on {
                    for own in state.workspaces.values().filter(|own| own.storage_account.as_ref() == Some(&account)) {
                        assert_eq!(own.auth_mode, ObservedAuthMode::Identity, "{} locked out", own.id.name());
                    }
                    assert!(state.key_users.get(&account).is_none_or(|until| *until < now), "a key user locked out");
                }
                state.accounts.insert(account, on);
            }
        }
    }

    async fn read<T>(&self, operation: &'static str, value: impl FnOnce(&State) -> T) -> Read<T> {
        {
            let mut state = self.lock();
            state.under_way += 1;
            state.most_under_way = state.most_under_way.max(state.under_way);
            *state.reads.entry(operation).or_default() += 1;
            if let Some((of, left @ 1..)) = &mut state.breaks
                && *of == operation
            {
                *left -= 1;
                drop(state);
                panic!("as the test wants it");
            }
            let hook = state.on_read.take();
            drop(state);
            if let Some(mut hook) = hook {
                hook(operation);
                let mut state = self.lock();
                if state.on_read.is_none() {
                    state.on_read = Some(hook);
                }
            }
        }
        let takes = {
            let state = self.lock();
            let slow = state.slow.get(operation).copied().unwrap_or(Duration::from_millis(20));
            if state.hung.contains(operation) { Duration::from_secs(60 * 60) } else { slow }
        };
        tokio::time::sleep(takes).await;
        self.settle();
        let mut state = self.lock();
        state.under_way -= 1;
        if state.down.contains(operation) {
            return Err(error(operation, ErrorClass::Transient));
        }
        if let Some(tenant) = state.foreign.filter(|_| AT_THE_ACCOUNT.contains(&operation)) {
            return Err(ArmError {
                status: Some(401),
                code: Some("InvalidAuthenticationTokenTenant".to_owned()),
                message: format!(
                    "The access token is from the wrong issuer 'https://sts.windows.net/{TENANT}/'. It must match the tenant \
                     'https://sts.windows.net/{tenant}/' associated with this subscription."
                ),
                ..error(operation, ErrorClass::Refused)
            });
        }
        if state.forbidden.contains(operation) {
            return Err(ArmError {
                status: Some(403),
                code: Some("AuthorizationFailed".to_owned()),
                lift: Some(format!("grant the controller `{operation}`")),
                ..error(operation, ErrorClass::Refused)
            });
        }
        Ok(self.answer(value(&state)))
    }

    fn answer<T>(&self, value: T) -> Answer<T> {
        let now = self.now();
        // As a `Date` header tells it.
        let number = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        let is_off = number.checked_rem(self.one_off_in.load(Ordering::Relaxed)) == Some(0);
        let off = match (number, is_off) {
            (1, _) => self.first_off.load(Ordering::Relaxed),
            (_, true) => self.off_by.load(Ordering::Relaxed),
            (_, false) => 0,
        };
        let at = Timestamp::from_second(now.as_second() + off).unwrap();
        Answer { value, at, request_id: Some("request".to_owned()) }
    }

    async fn write(&self, what: String, effect: Effect) -> Write {
        let fault = {
            let mut state = self.lock();
            let now = self.now();
            state.calls.push((now, what));
            let number = state.calls.len();
            state.faults.get(&number).copied()
        };
        self.called.notify_one();
        let late = |after: Option<Duration>| {
            if let Some(after) = after {
                let at = self.now() + SignedDuration::try_from(after).unwrap();
                self.lock().late.push((at, effect.clone()));
            }
        };
        let failed = |class, landed, code: &str| {
            let lift = (class == ErrorClass::Refused).then(|| "remove the lock at rg".to_owned());
            let error = ArmError { status: Some(409), code: Some(code.to_owned()), lift, ..error("write", class) };
            WriteError { error, landed }
        };
        match fault {
            Some(Fault::Hang(after)) => {
                late(after);
                std::future::pending().await
            }
            Some(Fault::Lost(after)) => {
                late(after);
                tokio::time::sleep(Duration::from_secs(3)).await;
                Err(failed(ErrorClass::Transient, Landed::Unknown, "Timeout"))
            }
            Some(Fault::Refused) => Err(failed(ErrorClass::Refused, Landed::No, "ScopeLocked")),
            Some(Fault::Clash) => {
                Err(failed(ErrorClass::Transient, Landed::No, "HashConflictOnDifferentRoleAssignmentIds"))
            }
            Some(Fault::DoesNotStick) => Ok(self.answer(Written::Changed)),
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                self.land(effect);
                Ok(self.answer(Written::Changed))
            }
            Some(Fault::NoRightToKeys) if matches!(effect, Effect::Resync(_)) => {
                Err(failed(ErrorClass::Refused, Landed::No, "AuthorizationFailed"))
            }
            None | Some(Fault::Unlisted | Fault::NoRightToKeys) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if let Effect::Grant(grant) = &effect
                    && self.lock().already.contains(&grant.scope.role_assignment(grant.name))
                {
                    return Ok(self.answer(Written::AlreadySo));
                }
                if let Effect::Grant(grant) = &effect {
                    let id = grant.scope.role_assignment(grant.name);
                    let hidden = &mut self.lock().hidden;
                    if fault.is_some() {
                        hidden.insert(id)
                    } else {
                        hidden.remove(&id)
                    };
                }
                self.land(effect);
                Ok(self.answer(Written::Changed))
            }
        }
    }
}

fn error(operation: &'static str, class: ErrorClass) -> ArmError {
    ArmError {
        operation,
        resource: "r".to_owned(),
        class,
        status: None,
        code: None,
        message: "no".to_owned(),
        lift: None,
        request_id: None,
        retry_after: None,
    }
}

pub(crate) fn workspace(name: &str, account: Option<&str>, auth_mode: ObservedAuthMode) -> Workspace {
    Workspace {
        id: workspace_id(name),
        kind: WorkspaceKind::Default,
        storage_account: account.map(account_id),
        more_accounts: BTreeSet::new(),
        hub: None,
        auth_mode,
        identity: Identity::default(),
        primary_identity: None,
        data_isolation: None,
        guid: None,
        managed_network: false,
        provisioning_state: None,
        created_at: Some("2025-01-01T00:00:00Z".parse().unwrap()),
        location: "westeurope".to_owned(),
        tenant: None,
    }
}

#[async_trait]
impl ReadArm for Cloud {
    async fn subscriptions(&self) -> Read<Vec<SubscriptionId>> {
        self.read("subscriptions", |state| {
            let own = SUBSCRIPTION.parse().unwrap();
            let all: BTreeSet<_> = state.workspaces.keys().map(WorkspaceId::subscription).chain([own]).collect();
            all.into_iter().collect()
        })
        .await
    }
    async fn tenant(&self, subscription: SubscriptionId) -> Read<Option<uuid::Uuid>> {
        self.read("tenant", |state| state.tenants.get(&subscription).copied().or(Some(TENANT))).await
    }
    async fn workspaces(&self, subscription: SubscriptionId) -> Read<Vec<Workspace>> {
        self.read("workspaces", |state| {
            let listed = state.workspaces.values().filter(|own| !state.unlisted.contains(&own.id));
            listed.filter(|own| own.id.subscription() == subscription).cloned().collect()
        })
        .await
    }
    async fn workspace(&self, id: &WorkspaceId) -> Read<Option<Workspace>> {
        let own = |state: &State| state.workspaces.get(id).filter(|_| !state.answered_404.contains(id)).cloned();
        let answer = self.read("workspace", |state| own(state)).await?;
        if self.lock().lost.contains(id) { Err(error("workspace", ErrorClass::Refused)) } else { Ok(answer) }
    }
    async fn datastores(&self, id: &WorkspaceId) -> Read<Vec<Datastore>> {
        self.read("datastores", |state| state.datastores.get(id).cloned().unwrap_or_default()).await
    }
    async fn datastore(&self, id: &WorkspaceId, name: &str) -> Read<Option<StoredDatastore>> {
        self.read("datastore", |state| {
            let mut stores = state.datastores.get(id).into_iter().flatten();
            stores.find(|store| store.name == name).cloned().map(StoredDatastore::bare)
        })
        .await
    }
    async fn computes(&self, _: &WorkspaceId) -> Read<Vec<Compute>> {
        self.read("computes", |_| Vec::new()).await
    }
    async fn jobs(&self, id: &WorkspaceId) -> Read<Vec<ObservedJob>> {
        self.read("jobs", |state| state.jobs.get(id).cloned().unwrap_or_default()).await
    }
    async fn some_jobs(&self, id: &WorkspaceId) -> Read<Vec<ObservedJob>> {
        self.read("some_jobs", |state| state.jobs.get(id).into_iter().flatten().take(1).cloned().collect()).await
    }
    async fn online_endpoints(&self, _: SubscriptionId) -> Read<Vec<Endpoint>> {
        self.read("online_endpoints", |state| {
            let hidden = state.no_right.contains("Microsoft.MachineLearningServices/workspaces/onlineEndpoints/read");
            if hidden { Vec::new() } else { state.endpoints.clone() }
        })
        .await
    }
    async fn account(&self, id: &StorageAccountId) -> Read<Option<Account>> {
        let now = self.now();
        let stuck = {
            let mut state = self.lock();
            state.account_reads.entry(id.clone()).or_default().push(now);
            state.stuck.contains(id)
        };
        if stuck {
            tokio::time::sleep(Duration::from_secs(30)).await;
            return Err(error("account", ErrorClass::Transient));
        }
        self.read("account", |state| {
            state.accounts.get(id).map(|on| Account {
                id: id.clone(),
                network: Network::default(),
                shared_key: if *on { SharedKeyAccess::Allowed } else { SharedKeyAccess::Disallowed },
                services: ServiceFlags::default(),
                key_times: {
                    let made = state.made.get(id).copied();
                    let made = Some(made.unwrap_or_else(|| "2024-01-01T00:00:00Z".parse().unwrap()));
                    if state.untold { KeyTimes::default() } else { KeyTimes { key1: made, key2: made } }
                },
                provisioning_state: Some("Succeeded".to_owned()),
                blob_endpoint: Some(blob_endpoint(id)),
                location: "westeurope".to_owned(),
            })
        })
        .await
    }
    async fn role_assignments(&self, scope: &ArmId) -> Read<Vec<RoleAssignment>> {
        let account = StorageAccountId::try_from(scope.clone()).unwrap();
        self.read("role_assignments", |state| {
            let all = state.assignments.get(&account).into_iter().flatten();
            all.filter(|known| !state.hidden.contains(&known.id)).cloned().collect()
        })
        .await
    }
    async fn role_assignments_of(&self, scope: &ArmId, principal: PrincipalId) -> Read<Vec<RoleAssignment>> {
        let account = StorageAccountId::try_from(scope.clone()).unwrap();
        self.read("role_assignments_of", |state| {
            let in_group = |group: &PrincipalId| state.members.contains(&(*group, principal));
            let all = state.assignments.get(&account).into_iter().flatten();
            all.filter(|known| known.principal == principal || in_group(&known.principal)).cloned().collect()
        })
        .await
    }
    async fn eligibilities(&self, _: &ArmId, _: PrincipalId) -> Read<Vec<Eligibility>> {
        self.read("eligibilities", |_| Vec::new()).await
    }
    async fn role_assignment(&self, id: &ArmId) -> Read<Option<RoleAssignment>> {
        self.read("role_assignment", |state| {
            state.assignments.values().flatten().find(|known| known.id == *id).cloned() //
        })
        .await
    }
    async fn role_definition(&self, _: &ArmId, role: RoleId) -> Read<Option<RoleDefinition>> {
        self.read("role_definition", |state| {
            if let Some(own) = state.own_roles.get(&role) {
                return Some(own.clone());
            }
            let known = catalog::find_role(role)?;
            Some(RoleDefinition {
                id: role,
                name: known.name.to_owned(),
                permissions: vec![catalog::permission_of(known)],
                updated_on: None,
                built_in: true,
            })
        })
        .await
    }
    async fn deny_assignments(&self, scope: &ArmId) -> Read<Vec<DenyAssignment>> {
        if WorkspaceId::try_from(scope.clone()).is_ok() {
            *self.lock().reads.entry("deny_assignments of a workspace").or_default() += 1;
        }
        self.read("deny_assignments", |state| {
            state.denies.iter().filter(|deny| deny.scope.covers(scope)).cloned().collect()
        })
        .await
    }
    async fn locks(&self, _: &ArmId) -> Read<Vec<Lock>> {
        self.read("locks", |_| Vec::new()).await
    }
    async fn role_assignment_count(&self, _: SubscriptionId) -> Read<u32> {
        self.read("role_assignment_count", |state| {
            u32::try_from(state.assignments.values().map(Vec::len).sum::<usize>()).unwrap() + state.other_assignments
        })
        .await
    }
    async fn own_rights(&self, _: &ArmId) -> Read<Vec<OwnRight>> {
        self.read("own_rights", |state| {
            let not_actions = state.no_right.iter().map(|&action| action.to_owned()).collect();
            let permission = Permission { actions: vec!["*".to_owned()], not_actions, ..Permission::default() };
            vec![OwnRight { permission, conditional: false }]
        })
        .await
    }
    async fn policy_assignments(&self, _: &ArmId) -> Read<Vec<PolicyAssignment>> {
        self.read("policy_assignments", |state| state.policies.clone()).await
    }
    async fn policy_definition(&self, id: &ArmId) -> Read<Option<PolicyDefinition>> {
        self.read("policy_definition", |state| state.definitions.get(id).cloned()).await
    }
    async fn policy_set(&self, _: &ArmId) -> Read<Option<PolicySet>> {
        self.read("policy_set", |_| None).await
    }
    async fn policy_exemptions(&self, _: &ArmId) -> Read<Vec<PolicyExemption>> {
        self.read("policy_exemptions", |_| Vec::new()).await
    }
    async fn key_usage(&self, account: &StorageAccountId, from: Timestamp, to: Timestamp) -> Read<KeyUsage> {
        self.read("key_usage", |state| {
            let last = state.key_users.get(account).copied().map(|until| until.min(to)).filter(|last| *last > from);
            let count = last.map_or(0, |last| last.duration_since(from).as_secs().unsigned_abs());
            let refused = |signed| refused_traffic(&state.refused, account, signed, from, to);
            KeyUsage {
                from,
                to,
                complete: true,
                alive: true,
                account_key: key_traffic(count, last),
                account_key_failed: refused(Signed::AccountKey),
                sas: Traffic::default(),
                sas_failed: refused(Signed::Sas),
                oauth_refused: refused(Signed::OAuth),
            }
        })
        .await
    }
    async fn changes(&self, of: &ChangesOf, from: Timestamp, to: Timestamp) -> Read<Vec<Change>> {
        let now = self.now();
        self.read("changes", |state| {
            let shown =
                state.log.iter().filter(|(shown, change)| *shown <= now && change.at >= from && change.at <= to);
            let ours = shown.filter(|(_, change)| match of {
                ChangesOf::Resource(id) => change.resource == id.folded(),
                ChangesOf::Assignments(_) => change.operation.starts_with("Microsoft.Authorization/"),
            });
            ours.map(|(_, change)| change.clone()).collect()
        })
        .await
    }
    async fn own_identity(&self) -> Option<PrincipalId> {
        Some(group(0xee))
    }
    async fn service_usage(
        &self,
        account: &StorageAccountId,
        service: StorageService,
        from: Timestamp,
        to: Timestamp,
    ) -> Read<KeyDetails> {
        self.read("service_usage", |state| {
            let mut uses = Vec::new();
            let mut told = |api: &str, signed, refused, traffic: Traffic| {
                if service == StorageService::File && traffic.count > 0 {
                    let service = Some(service);
                    uses.push(ServiceUse { service, api: api.to_owned(), signed, refused, traffic });
                }
            };
            let last = state.key_users.get(account).copied().map(|until| until.min(to)).filter(|last| *last > from);
            told("GetFile", Signed::AccountKey, false, key_traffic(u64::from(last.is_some()), last));
            for signed in [Signed::AccountKey, Signed::Sas, Signed::OAuth] {
                told("Unknown", signed, true, refused_traffic(&state.refused, account, signed, from, to));
            }
            KeyDetails { from, to, complete: true, uses }
        })
        .await
    }
    async fn key_callers(
        &self,
        _: &LogAnalyticsId,
        account: &StorageAccountId,
        from: Timestamp,
        to: Timestamp,
    ) -> Read<KeyCallers> {
        self.read("key_callers", |state| {
            let callers = state.callers.get(account).cloned().unwrap_or_default();
            KeyCallers { from, to, cut: false, callers }
        })
        .await
    }
    async fn data_probe(&self, account: &StorageAccountId, endpoint: &str) -> Read<()> {
        assert_eq!(endpoint, blob_endpoint(account));
        self.read("data_probe", |_| ()).await
    }
    async fn managed_identity(&self, _: &ManagedIdentityId) -> Read<Option<PrincipalId>> {
        self.read("managed_identity", |_| None).await
    }
    fn reading_closed_for(&self, _: SubscriptionId) -> Duration {
        let left = self.lock().closed_until.map(|until| until.duration_since(self.now()));
        left.and_then(|left| left.try_into().ok()).unwrap_or_default()
    }
}

#[async_trait]
impl WriteArm for Cloud {
    async fn reserve_write(&self, subscription: SubscriptionId, _: WriteKind) -> Result<WritePermit, ArmError> {
        let until = self.lock().quota_until;
        match until.filter(|until| *until > self.now()) {
            Some(until) => {
                let left = until.duration_since(self.now()).try_into().unwrap();
                Err(ArmError { retry_after: Some(left), ..error("reserve", ErrorClass::Throttled) })
            }
            None => Ok(WritePermit::unmetered(subscription)),
        }
    }
    async fn grant_role(&self, _: WritePermit, grant: &Grant) -> Write {
        self.lock().grant_names.push(grant.name);
        let what = format!("grant {} {}", catalog::role_name(grant.role), grant.scope.name());
        self.write(what, Effect::Grant(grant.clone())).await
    }
    async fn revoke_role(&self, _: WritePermit, assignment: &ArmId) -> Write {
        self.write("revoke".to_owned(), Effect::Revoke(assignment.clone())).await
    }
    async fn set_auth_mode(&self, _: WritePermit, workspace: &WorkspaceId, mode: AuthMode) -> Write {
        self.write(format!("{} {mode}", workspace.name()), Effect::Mode(workspace.clone(), mode)).await
    }
    async fn set_datastore_credential(&self, _: WritePermit, id: &WorkspaceId, stored: &StoredDatastore) -> Write {
        let Datastore { name, account_name, credentials: _, form } = stored.datastore.clone();
        let what = format!("convert {}/{name}", id.name());
        let made = Datastore { name, account_name, credentials: DatastoreCredentials::None, form };
        self.write(what, Effect::Datastore(id.clone(), made)).await
    }
    async fn create_datastore(&self, _: WritePermit, id: &WorkspaceId, name: &str, place: &DatastorePlace) -> Write {
        let form = DatastoreForm {
            kind: place.kind.as_wire().to_owned(),
            space: Some(place.space.clone()),
            ..DatastoreForm::default()
        };
        let made = Datastore {
            name: name.to_owned(),
            account_name: place.account.clone(),
            credentials: DatastoreCredentials::None,
            form,
        };
        self.write(format!("create {}/{name}", id.name()), Effect::Datastore(id.clone(), made)).await
    }
    async fn create_workspace(&self, _: WritePermit, workspace: &WorkspaceId, create: &Create) -> Write {
        let effect = Effect::Create(workspace.clone(), create.storage_account.clone());
        self.write(format!("create {}", workspace.name()), effect).await
    }
    async fn resync_keys(&self, _: WritePermit, workspace: &WorkspaceId) -> Write {
        self.write(format!("{} takes keys", workspace.name()), Effect::Resync(workspace.clone())).await
    }
    async fn set_shared_key_access(&self, _: WritePermit, account: &StorageAccountId, allowed: bool) -> Write {
        let state = if allowed { "on" } else { "off" };
        self.write(format!("key {state} {}", account.name()), Effect::Key(account.clone(), allowed)).await
    }
}

/// Files that ask for `mode` on these workspaces, with one group that reads and writes blobs.
pub(crate) fn desired(revision: &str, mode: AuthMode, workspaces: &[&str]) -> Desired {
    let declared = workspaces.iter().map(|name| {
        let id = workspace_id(name);
        let need = Need {
            principal: PrincipalRef::Object { kind: PrincipalType::Group, id: group(1), name: None },
            role: catalog::BLOB_CONTRIBUTOR,
            grant_scope: GrantScope::Account,
            condition: None,
            because: BTreeSet::new(),
        };
        let declared = DesiredWorkspace {
            name: (*name).to_owned(),
            id: id.clone(),
            auth_mode: mode,
            enforcement: Enforcement::Enforce,
            suspend: None,
            needs: vec![need],
            service_grants: ServiceGrants::Accept,
            datastores: DesiredDatastores::Unmanaged,
            accept_one_way: None,
            accept_stale_keys: None,
            accept_incompatible: BTreeMap::new(),
            drain: Drain::Wait,
            create: None,
            location: Location::default(),
        };
        (id, declared)
    });
    Desired {
        revision: Revision(revision.to_owned()),
        fleet: Fleet { enforcement: Enforcement::Enforce, waits: waits(), ..Fleet::default() },
        workspaces: declared.collect(),
        accounts: BTreeMap::new(),
    }
}

/// The same with a word of its own on the account's key.
pub(crate) fn with_key(mut desired: Desired, account: &str, shared_key_access: DesiredSharedKey) -> Desired {
    let declared = DesiredAccount::new(account_id(account), shared_key_access);
    desired.accounts.insert(account_id(account), declared);
    desired
}

fn blob_endpoint(account: &StorageAccountId) -> String {
    format!("https://{}.blob.core.windows.net/", account.name())
}
