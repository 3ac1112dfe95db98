//! A small Azure of values for planner tests: its truth, what a complete read of it shows, and what a write does to it.
//!
//! The judgements here are written apart from the planner's on purpose: role names and plain loops, no shared code.

mod apply;
mod bars;
mod fences;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_core::action::Action;
use keyless_core::catalog;
use keyless_core::desired::*;
use keyless_core::id::*;
use keyless_core::lint::lint;
use keyless_core::observed::*;
use keyless_core::plan::{self, Limits, Look, Plan};
use uuid::Uuid;

pub(crate) use bars::{ACCOUNT_FLAG, Bar, Bars, MODE, bar};
pub(crate) use fences::{DENIALS, Fences};
pub(crate) use show::show;

pub(crate) const SUBSCRIPTION: &str = "3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90";
pub(crate) const DAY: i64 = 86_400;

pub(crate) fn start() -> Timestamp {
    "2026-11-23T09:00:00Z".parse().unwrap()
}

pub(crate) fn account_id() -> StorageAccountId {
    let id =
        format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stml");
    StorageAccountId::parse(&id).unwrap()
}

/// Another account of the subscription.
pub(crate) fn neighbour_id(name: &str) -> StorageAccountId {
    StorageAccountId::parse(&account_id().to_string().replace("stml", name)).unwrap()
}

pub(crate) fn workspace_id(name: &str) -> WorkspaceId {
    let provider = "Microsoft.MachineLearningServices/workspaces";
    WorkspaceId::parse(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/{provider}/{name}")).unwrap()
}

/// A workspace in another subscription than the account's.
pub(crate) fn far_workspace_id(name: &str) -> WorkspaceId {
    let far = workspace_id(name).to_string().replace(SUBSCRIPTION, "5a11c0de-0000-4000-8000-00000000000f");
    WorkspaceId::parse(&far).unwrap()
}

/// The tenant of the workspaces.
pub(crate) const TENANT: Uuid = Uuid::from_u128(0xE001);

pub(crate) fn person(n: u128) -> PrincipalId {
    PrincipalId(Uuid::from_u128(0xA000 + n))
}

/// The controller itself.
pub(crate) fn controller() -> PrincipalId {
    person(0xEE)
}

pub(crate) fn object(n: u128) -> PrincipalRef {
    PrincipalRef::Object { kind: PrincipalType::User, id: person(n), name: None }
}

pub(crate) fn need(principal: PrincipalRef, role: RoleId) -> Need {
    Need {
        principal,
        role,
        grant_scope: GrantScope::Account,
        condition: None,
        because: BTreeSet::from([Because::Level("test")]),
    }
}

/// The id that Azure gave every workspace.
pub(crate) const GUID: uuid::Uuid = uuid::Uuid::from_u128(0x5c0e_0000_1111_4222_8333_0000_0000_0001);

/// The condition under which the service grants to a project, as far as it is known.
pub(crate) fn own_containers() -> String {
    format!("@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringStartsWith '{GUID}-'")
}

/// One workspace of the truth.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    pub(crate) mode: ObservedAuthMode,
    pub(crate) kind: WorkspaceKind,
    pub(crate) data_isolation: Option<bool>,
    pub(crate) system: Option<PrincipalId>,
    /// The user-assigned identity that acts for it, and who that is.
    pub(crate) primary: Option<(ManagedIdentityId, PrincipalId)>,
    pub(crate) computes: Vec<Compute>,
    /// Jobs, and when each ends; without a time it never does.
    pub(crate) jobs: Vec<(ObservedJob, Option<Timestamp>)>,
    pub(crate) datastores: Vec<Datastore>,
    pub(crate) more_accounts: BTreeSet<StorageAccountId>,
    pub(crate) location: String,
    /// `provisioningState`.
    pub(crate) state: Option<String>,
    pub(crate) tenant: Option<Uuid>,
    pub(crate) created_at: Option<Timestamp>,
    /// The keys it holds.
    pub(crate) holds: KeyTimes,
}

/// The truth about one account, and when things came to be.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    /// How much later it is by most answers.
    pub(crate) behind: Duration,
    pub(crate) key: SharedKeyAccess,
    pub(crate) key_on_since: Option<Timestamp>,
    pub(crate) key_times: KeyTimes,
    /// Whether Azure tells when keys were made.
    pub(crate) tells_key_times: bool,
    /// Whether workspaces on identity take keys too when they are told to.
    pub(crate) identity_takes_keys: bool,
    pub(crate) keys_taken: BTreeMap<WorkspaceId, KeysTaken>,
    pub(crate) workspaces: BTreeMap<WorkspaceId, Truth>,
    pub(crate) assignments: Vec<RoleAssignment>,
    pub(crate) roles: BTreeMap<RoleId, RoleDefinition>,
    pub(crate) denies: Vec<DenyAssignment>,
    /// The direct members of each group, groups among them.
    pub(crate) members: BTreeMap<PrincipalId, BTreeSet<PrincipalId>>,
    /// Since when this process has seen the memberships.
    pub(crate) members_seen: Timestamp,
    /// Since when this process has read the assignments, again and again.
    pub(crate) watched_since: Timestamp,
    /// When a list last missed an assignment that is there.
    pub(crate) missed: BTreeMap<ArmId, Timestamp>,
    pub(crate) locks: Vec<Lock>,
    /// When somebody outside the workspaces last signs with the key; may lie ahead.
    pub(crate) key_user_until: Option<Timestamp>,
    /// When a workspace in access-key mode last signed with the key.
    pub(crate) last_workspace_use: Option<Timestamp>,
    pub(crate) sas: u64,
    /// Requests with a SAS in the last hour by service, besides `sas`.
    pub(crate) sas_by_service: BTreeMap<StorageService, u64>,
    /// Since when the account is watched, and what was refused since.
    pub(crate) watch: Option<WatchFrom>,
    pub(crate) signed_until: Option<Timestamp>,
    /// Whether somebody turned the key on again.
    pub(crate) back_on: Option<BackOn>,
    pub(crate) denied: Vec<ServiceUse>,
    /// What the resource logs tell, where the files name them.
    pub(crate) callers: Vec<KeyCaller>,
    /// Whether Azure tells where the blobs are.
    pub(crate) blob_endpoint: bool,
    /// Since when the data plane lets keyless in; never if not told.
    pub(crate) data_plane_from: Option<Timestamp>,
    pub(crate) endpoints: Vec<Endpoint>,
    /// Datastores that name the account in a workspace that stands on another one.
    pub(crate) elsewhere: Vec<Datastore>,
    pub(crate) barriers: Bars,
    /// Grants that other accounts of the subscription have still to make.
    pub(crate) due_elsewhere: BTreeMap<StorageAccountId, u32>,
    pub(crate) network: Network,
    pub(crate) fences: Fences,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            now: start(),
            behind: Duration::ZERO,
            key: SharedKeyAccess::Absent,
            key_on_since: None,
            key_times: made(start() - SignedDuration::from_secs(900 * DAY)),
            tells_key_times: true,
            identity_takes_keys: true,
            keys_taken: BTreeMap::new(),
            workspaces: BTreeMap::new(),
            assignments: Vec::new(),
            roles: BTreeMap::new(),
            denies: Vec::new(),
            members: BTreeMap::new(),
            members_seen: start() - SignedDuration::from_secs(2 * DAY),
            watched_since: start() - SignedDuration::from_secs(2 * DAY),
            missed: BTreeMap::new(),
            locks: Vec::new(),
            key_user_until: None,
            last_workspace_use: None,
            sas: 0,
            sas_by_service: BTreeMap::new(),
            watch: None,
            signed_until: None,
            back_on: None,
            denied: Vec::new(),
            callers: Vec::new(),
            blob_endpoint: true,
            data_plane_from: Some(start()),
            endpoints: Vec::new(),
            elsewhere: Vec::new(),
            barriers: Bars::default(),
            due_elsewhere: BTreeMap::new(),
            network: Network::default(),
            fences: Fences::default(),
        };
        for role in catalog::ROLES {
            world.define(role.id, role.name, role.data_actions, &[], true);
        }
        world.define(
            owner_role(),
            "Storage Blob Data Owner",
            &["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"],
            &[],
            true,
        );
        world
    }

    pub(crate) fn define(&mut self, id: RoleId, name: &str, data: &[&str], not_data: &[&str], built_in: bool) {
        let strings = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        let block =
            Permission { data_actions: strings(data), not_data_actions: strings(not_data), ..Permission::default() };
        let updated_on = Some(start() - SignedDuration::from_secs(900 * DAY));
        self.roles
            .insert(id, RoleDefinition { id, name: name.to_owned(), permissions: vec![block], updated_on, built_in });
    }

    /// A workspace with the service's own old grant.
    pub(crate) fn workspace(&mut self, name: &str, mode: ObservedAuthMode) -> WorkspaceId {
        self.workspace_of(workspace_id(name), mode)
    }

    /// One by its id, which may be in a subscription of its own.
    pub(crate) fn workspace_of(&mut self, id: WorkspaceId, mode: ObservedAuthMode) -> WorkspaceId {
        let system = PrincipalId(Uuid::new_v5(&Uuid::NAMESPACE_OID, id.name().as_bytes()));
        let truth = Truth {
            mode,
            kind: WorkspaceKind::Default,
            data_isolation: None,
            system: Some(system),
            primary: None,
            computes: Vec::new(),
            jobs: Vec::new(),
            datastores: Vec::new(),
            more_accounts: BTreeSet::new(),
            location: "westeurope".to_owned(),
            state: Some("Succeeded".to_owned()),
            tenant: Some(TENANT),
            created_at: Some(start() - SignedDuration::from_secs(400 * DAY)),
            holds: self.key_times,
        };
        self.workspaces.insert(id.clone(), truth);
        self.assign(system, catalog::BLOB_CONTRIBUTOR, 400 * DAY).principal_type =
            Some(PrincipalType::ServicePrincipal);
        id
    }

    /// A grant at the account, made `age` seconds ago.
    pub(crate) fn assign(&mut self, principal: PrincipalId, role: RoleId, age: i64) -> &mut RoleAssignment {
        let scope = account_id().arm().clone();
        self.assign_at(scope, principal, role, age)
    }

    pub(crate) fn assign_at(
        &mut self,
        scope: ArmId,
        principal: PrincipalId,
        role: RoleId,
        age: i64,
    ) -> &mut RoleAssignment {
        let name = AssignmentName(Uuid::from_u128(0xF000 + self.assignments.len() as u128));
        let at = self.now - SignedDuration::from_secs(age);
        let prefix = if scope.as_str() == "/" { "" } else { scope.as_str() };
        let id = ArmId::parse(&format!("{prefix}/providers/Microsoft.Authorization/roleAssignments/{name}")).unwrap();
        self.assignments.push(RoleAssignment {
            id,
            name,
            scope,
            principal,
            principal_type: None,
            role,
            condition: None,
            description: None,
            created_on: Some(at),
            updated_on: Some(at),
        });
        self.assignments.last_mut().unwrap()
    }

    pub(crate) fn advance(&mut self, to: Timestamp) {
        assert!(to >= self.now, "time runs forwards");
        if self.key.is_on() && self.workspaces.values().any(|w| w.mode == ObservedAuthMode::AccessKey) {
            self.last_workspace_use = Some(to);
        }
        self.now = to;
    }

    /// Whether the data plane lets keyless in now.
    pub(crate) fn lets_keyless_in(&self) -> bool {
        self.data_plane_from.is_some_and(|from| from <= self.now)
    }

    pub(crate) fn last_key_use(&self) -> Option<Timestamp> {
        self.last_workspace_use.max(self.key_user_until.map(|until| until.min(self.now)))
    }

    /// What a complete read shows, with a key-usage window as long as `idle` that ends `lag` ago.
    pub(crate) fn observe(&self, desired: &KeyDesired) -> Observed {
        let now = self.now;
        let mut observed = Observed { behind: self.behind, ..Observed::unread(account_id(), now) };
        let account = Account {
            id: account_id(),
            shared_key: self.key,
            services: ServiceFlags::default(),
            key_times: self.told_key_times(),
            network: self.network.clone(),
            provisioning_state: Some("Succeeded".to_owned()),
            blob_endpoint: self.blob_endpoint.then(|| "https://stml.blob.core.windows.net/".to_owned()),
            location: "westeurope".to_owned(),
        };
        observed.account = Reading::known(Some(account), now);
        observed.listings = BTreeMap::from([(account_id().subscription(), Reading::known((), now))]);
        for (id, truth) in &self.workspaces {
            let workspace = Workspace {
                id: id.clone(),
                kind: truth.kind.clone(),
                storage_account: Some(account_id()),
                more_accounts: truth.more_accounts.clone(),
                hub: None,
                auth_mode: truth.mode.clone(),
                identity: Identity {
                    system: truth.system,
                    user_assigned: truth.primary.iter().map(|(id, who)| (id.clone(), Some(*who))).collect(),
                },
                primary_identity: truth.primary.as_ref().map(|(id, _)| id.clone()),
                data_isolation: truth.data_isolation,
                guid: Some(GUID),
                managed_network: false,
                provisioning_state: truth.state.clone(),
                created_at: truth.created_at,
                location: truth.location.clone(),
                tenant: truth.tenant,
            };
            let entry = ObservedWorkspace {
                workspace: Reading::known(Some(workspace), now),
                datastores: Reading::known(truth.datastores.clone(), now),
                computes: Reading::known(truth.computes.clone(), now),
                jobs: Reading::known(truth.jobs.iter().map(|job| self.shown(job)).collect(), now),
                glimpse: Reading::known(truth.jobs.iter().take(1).map(|job| self.shown(job)).collect(), now),
            };
            observed.workspaces.insert(id.clone(), entry);
        }
        // What is to be made is read too, and is not there.
        for (id, declared) in &desired.workspaces {
            if declared.create.is_some() && !self.workspaces.contains_key(id) {
                let missing = ObservedWorkspace { workspace: Reading::known(None, now), ..ObservedWorkspace::unread() };
                observed.workspaces.insert(id.clone(), missing);
            }
        }
        observed.elsewhere = Reading::known(BTreeMap::from([(workspace_id("far-away"), self.elsewhere.clone())]), now);
        observed.endpoints = Reading::known(self.endpoints.clone(), now);
        observed.assignments = Reading::known(self.assignments.clone(), now);
        observed.roles = self.roles.iter().map(|(id, role)| (*id, Reading::known(role.clone(), now))).collect();
        for principal in self.members.values().flatten().chain(needed(desired).iter()) {
            let assigned = |group: &PrincipalId| self.assignments.iter().any(|a| a.principal == *group);
            let shown: BTreeSet<PrincipalId> = self.groups_of(*principal).into_iter().filter(assigned).collect();
            for group in &shown {
                observed.history.member_since.insert((*principal, *group), self.members_seen);
                let member = Shown::Member { principal: *principal, group: *group };
                observed.history.agreements.insert(member, self.agreement(self.members_seen, &desired.fleet.waits));
            }
            observed.groups.insert(*principal, Reading::known(shown, now));
        }
        for assignment in &self.assignments {
            let Some(made) = assignment.created_on.max(assignment.updated_on) else { continue };
            let shown = Shown::Assignment { at: account_id(), id: assignment.id.clone(), made };
            let seen = self.shown_since(assignment);
            observed.history.agreements.insert(shown, self.agreement(seen, &desired.fleet.waits));
        }
        observed.locks = Reading::known(self.locks.clone(), now);
        let idle = desired.account.as_ref().and_then(|a| a.key_idle).unwrap_or(desired.fleet.waits.key_idle);
        let to = now - SignedDuration::try_from(desired.fleet.waits.metrics_lag).unwrap();
        let from = to - SignedDuration::try_from(idle).unwrap();
        let last = self.last_key_use().filter(|last| *last > from).map(|last| last.min(to));
        observed.key_usage = Reading::known(
            KeyUsage {
                from,
                to,
                complete: true,
                alive: true,
                account_key: key_traffic(last),
                account_key_failed: Traffic::default(),
                sas: self.sas_traffic(to, self.sas + self.sas_by_service.values().sum::<u64>()),
                sas_failed: Traffic::default(),
                oauth_refused: Traffic::default(),
            },
            now,
        );
        let one = |service, signed, traffic| ServiceUse {
            service: Some(service),
            api: "GetFile".to_owned(),
            signed,
            refused: false,
            traffic,
        };
        let mut uses = Vec::new();
        if last.is_some() {
            let traffic = key_traffic(last);
            uses.push(one(StorageService::File, Signed::AccountKey, traffic));
        }
        if self.sas > 0 {
            uses.push(one(StorageService::Blob, Signed::Sas, self.sas_traffic(to, self.sas)));
        }
        for (service, count) in &self.sas_by_service {
            uses.push(one(*service, Signed::Sas, self.sas_traffic(to, *count)));
        }
        observed.key_details = Reading::known(KeyDetails { from, to, complete: true, uses }, now);
        if desired.log_analytics().is_some() {
            let callers = self.callers.clone();
            observed.key_callers = Reading::known(KeyCallers { from, to: now, cut: false, callers }, now);
        }
        if desired.data_probe() {
            observed.data_probe = if self.lets_keyless_in() {
                Reading::known((), now)
            } else {
                Reading::unknown("AuthorizationPermissionMismatch: not authorized")
            };
        }
        let since = self.watch.map_or(now, |watch| watch.at);
        let uses = self.denied.clone();
        observed.denials = Reading::known(KeyDetails { from: since, to: now, complete: true, uses }, now);
        let held = u32::try_from(self.assignments.len()).unwrap();
        observed.barriers = self.barriers.observe(self.workspaces.keys().cloned(), held, now);
        self.show_locks(&mut observed);
        self.show_denies(&mut observed);
        observed.history.key_on_since = self.key_on_since;
        observed.history.keys_taken = self.keys_taken.clone();
        observed.history.watch = self.watch;
        observed.history.signed_until = self.signed_until;
        observed.history.back_on = self.back_on;
        observed.history.due_elsewhere = self.due_elsewhere.clone();
        observed
    }

    /// Since when every list has shown it to this process.
    fn shown_since(&self, assignment: &RoleAssignment) -> Timestamp {
        let missed = self.missed.get(&assignment.id).copied();
        [assignment.created_on, missed, Some(self.watched_since)].into_iter().flatten().max().unwrap()
    }

    /// What it is like to have read again and again since then.
    fn agreement(&self, seen: Timestamp, waits: &Waits) -> Agreement {
        let apart = i64::try_from(waits.role_propagation.as_secs()).unwrap() / i64::from(2 * waits.agreeing_reads);
        let more = self.now.duration_since(seen).as_secs().max(0) / apart;
        let last = seen + SignedDuration::from_secs(more * apart);
        Agreement { first: seen, last, reads: 1 + u32::try_from(more).unwrap() }
    }

    /// A job as a list shows it now.
    fn shown(&self, (job, ends): &(ObservedJob, Option<Timestamp>)) -> ObservedJob {
        let over = ends.is_some_and(|at| at <= self.now);
        ObservedJob { status: if over { "completed".to_owned() } else { job.status.clone() }, ..job.clone() }
    }

    /// When the next job ends.
    fn next_end(&self) -> Option<Timestamp> {
        let ends = self.workspaces.values().flat_map(|truth| &truth.jobs).filter_map(|(_, ends)| *ends);
        let ends = ends.chain(self.data_plane_from);
        ends.filter(|at| *at > self.now).min()
    }

    /// What runs in a workspace, in plain words.
    pub(crate) fn at_work(&self, workspace: &WorkspaceId) -> Vec<String> {
        let truth = &self.workspaces[workspace];
        let over = |status: &str| ["Completed", "Failed", "Canceled"].contains(&status);
        let jobs = truth.jobs.iter().filter(|(job, ends)| !over(&job.status) && ends.is_none_or(|at| at > self.now));
        let instances = truth
            .computes
            .iter()
            .filter(|compute| compute.compute_type == "ComputeInstance" && compute.state.as_deref() != Some("Stopped"));
        jobs.map(|(job, _)| job.name.clone()).chain(instances.map(|instance| instance.name.clone())).collect()
    }

    fn sas_traffic(&self, to: Timestamp, count: u64) -> Traffic {
        if count == 0 {
            return Traffic::default();
        }
        let start = hour(to - SignedDuration::from_secs(1));
        Traffic { count, last: Some(to), grains: BTreeMap::from([(start, count)]) }
    }

    fn told_key_times(&self) -> KeyTimes {
        if self.tells_key_times { self.key_times } else { KeyTimes::default() }
    }

    /// Somebody makes a key anew.
    pub(crate) fn rotate(&mut self) {
        self.key_times.key1 = Some(self.now);
    }

    /// The groups that a principal is in, through others too.
    pub(crate) fn groups_of(&self, principal: PrincipalId) -> BTreeSet<PrincipalId> {
        let mut found = BTreeSet::new();
        for _ in 0..=self.members.len() {
            for (group, members) in &self.members {
                if members.contains(&principal) || members.iter().any(|member| found.contains(member)) {
                    found.insert(*group);
                }
            }
        }
        found
    }

    /// The naive judgement of a role: by name of role only, unconditional, not denied, at least `age` old.
    pub(crate) fn has(&self, principal: PrincipalId, role: RoleId, age: Duration) -> bool {
        let age = SignedDuration::try_from(age).unwrap();
        self.holds(principal, role, |a| a.created_on.is_some_and(|at| self.now.duration_since(at) >= age))
    }

    /// The same, and lists have shown it without a gap for as long as they have to, or it is of old.
    pub(crate) fn has_for_sure(&self, principal: PrincipalId, role: RoleId, waits: &Waits) -> bool {
        let seconds = |wait: Duration| i64::try_from(wait.as_secs()).unwrap();
        let age = seconds(waits.role_propagation);
        let shown = if waits.agreeing_reads > 1 { age / 2 } else { 0 };
        self.holds(principal, role, |a| {
            let since = |at: Timestamp| self.now.duration_since(at).as_secs();
            let old = a.created_on.map_or(-1, since);
            old >= age && (old >= 8 * age || since(self.shown_since(a)) >= shown)
        })
    }

    fn holds(&self, principal: PrincipalId, role: RoleId, fits: impl Fn(&RoleAssignment) -> bool) -> bool {
        let enough = |held: RoleId| {
            held == role
                || (held == owner_role() && [catalog::BLOB_CONTRIBUTOR, catalog::BLOB_READER].contains(&role))
                || (held == catalog::BLOB_CONTRIBUTOR && role == catalog::BLOB_READER)
                || (held == catalog::FILE_CONTRIBUTOR && role == catalog::FILE_READER)
        };
        let groups = self.groups_of(principal);
        self.assignments.iter().any(|a| {
            (a.principal == principal || groups.contains(&a.principal))
                && enough(a.role)
                && a.condition.is_none()
                && a.scope.covers(account_id().arm())
                && fits(a)
        }) && self.denies.iter().all(|deny| deny.permissions.iter().all(|block| block.data_actions.is_empty()))
    }

    /// Whether a person's work through a workspace succeeds, roles working `propagation` after they were granted. Everybody
    /// also reads through every datastore but the new one: with the key that it stores, or as themselves where it stores none.
    pub(crate) fn works(
        &self,
        workspace: &WorkspaceId,
        needs: &[Need],
        propagation: Duration,
    ) -> BTreeMap<PrincipalId, bool> {
        let Truth { mode, holds, datastores, .. } = self.workspaces[workspace].clone();
        let through = |store: &Datastore, id, role| match store.credentials {
            DatastoreCredentials::AccountKey | DatastoreCredentials::Sas => self.key.is_on(),
            _ => self.has(id, role, propagation),
        };
        let mut works = BTreeMap::new();
        for need in needs {
            let PrincipalRef::Object { id, .. } = need.principal else { continue };
            let ok = match mode {
                ObservedAuthMode::AccessKey | ObservedAuthMode::Unset => self.key.is_on() && holds == self.key_times,
                ObservedAuthMode::Identity => self.has(id, need.role, propagation),
                ObservedAuthMode::Other(_) => false,
            };
            let mut old = datastores.iter().filter(|store| store.name != "made");
            let ok = ok && old.all(|store| through(store, id, need.role));
            *works.entry(id).or_insert(true) &= ok;
        }
        works
    }
}

/// Seven requests in the hour of the last one.
fn key_traffic(last: Option<Timestamp>) -> Traffic {
    let grains = last.map(|last| (hour(last - SignedDuration::from_secs(1)), 7)).into_iter().collect();
    Traffic { count: last.map_or(0, |_| 7), last, grains }
}

/// Both keys, made at once.
pub(crate) fn made(at: Timestamp) -> KeyTimes {
    KeyTimes { key1: Some(at), key2: Some(at) }
}

/// The people and service principals that the documents name by object id.
fn needed(desired: &KeyDesired) -> BTreeSet<PrincipalId> {
    let needs = desired.workspaces.values().flat_map(|workspace| &workspace.needs);
    needs
        .filter_map(|need| match need.principal {
            PrincipalRef::Object { kind: PrincipalType::User | PrincipalType::ServicePrincipal, id, .. } => Some(id),
            _ => None,
        })
        .collect()
}

pub(crate) fn owner_role() -> RoleId {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b".parse().unwrap()
}

/// A desired state in which everything may be acted on.
pub(crate) fn desired(workspaces: &[(&WorkspaceId, AuthMode, Vec<Need>)]) -> KeyDesired {
    let fleet = Fleet { enforcement: Enforcement::Enforce, ..Fleet::default() };
    let workspaces = workspaces
        .iter()
        .map(|(id, auth_mode, needs)| {
            let workspace = DesiredWorkspace {
                name: id.name().to_owned(),
                id: (*id).clone(),
                auth_mode: *auth_mode,
                enforcement: Enforcement::Enforce,
                suspend: None,
                needs: needs.clone(),
                service_grants: ServiceGrants::Wait,
                datastores: DesiredDatastores::Unmanaged,
                accept_one_way: None,
                accept_stale_keys: None,
                accept_incompatible: BTreeMap::new(),
                drain: Drain::Wait,
                create: None,
                location: Location::default(),
            };
            ((*id).clone(), workspace)
        })
        .collect();
    KeyDesired {
        revision: Revision("r1".to_owned()),
        fleet,
        account_id: account_id(),
        account: None,
        workspaces,
        unplaced: std::sync::Arc::default(),
        out_of_scope: Reading::known(BTreeSet::new(), Timestamp::MIN),
        out_of_sight: BTreeMap::new(),
        group_is_shared: false,
    }
}

pub(crate) fn declare_account(desired: &mut KeyDesired, shared_key_access: DesiredSharedKey) {
    desired.account = Some(DesiredAccount::new(account_id(), shared_key_access));
}

/// Where the resource logs are.
pub(crate) fn logs() -> LogAnalyticsId {
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/logs"
    );
    LogAnalyticsId::parse(&id).unwrap()
}

/// A program that called before `now`, signed so.
pub(crate) fn caller(service: StorageService, signed: Signed, made_from: MadeFrom, last: Timestamp) -> KeyCaller {
    KeyCaller {
        service,
        signed,
        made_from,
        operation: "GetFile".to_owned(),
        refused: false,
        outcome: "Success".to_owned(),
        address: "10.1.0.4".to_owned(),
        agent: "nightly-mount/2".to_owned(),
        object: None,
        app: None,
        requests: 7,
        first: last - SignedDuration::from_secs(60),
        last,
    }
}

/// A job in this status.
pub(crate) fn job(name: &str, status: &str) -> ObservedJob {
    ObservedJob { name: name.to_owned(), job_type: "Command".to_owned(), status: status.to_owned() }
}

/// A compute instance in this state.
pub(crate) fn instance(name: &str, state: Option<&str>) -> Compute {
    Compute {
        name: name.to_owned(),
        compute_type: "ComputeInstance".to_owned(),
        identity: Identity::default(),
        state: state.map(str::to_owned),
    }
}

/// A blob datastore on the account.
pub(crate) fn stored(name: &str, credentials: DatastoreCredentials) -> Datastore {
    let form = DatastoreForm { kind: "AzureBlob".to_owned(), space: Some(name.to_owned()), ..DatastoreForm::default() };
    Datastore { name: name.to_owned(), account_name: Some("stml".to_owned()), credentials, form }
}

pub(crate) fn accepted() -> Option<Acceptance> {
    let until = start() + SignedDuration::from_secs(4000 * DAY);
    Some(Acceptance { reason: "agreed".to_owned(), owner: "ada".to_owned(), until })
}

/// A blob datastore as a file describes it.
pub(crate) fn described(name: &str) -> DesiredDatastore {
    let place = DatastorePlace {
        kind: DatastoreKind::Blob,
        account: None,
        space: name.to_owned(),
        subscription: None,
        resource_group: None,
        service_access: None,
    };
    DesiredDatastore { name: name.to_owned(), form: DesiredForm::At(place), accept_access: None }
}

pub(crate) fn look(world: &World, desired: &KeyDesired) -> Plan {
    planned(desired, &world.observe(desired), &world.fences.limits, Look::Everything)
}

/// A plan, with which its second judge has to agree, whichever of its open steps came first.
#[track_caller]
pub(crate) fn planned(desired: &KeyDesired, observed: &Observed, limits: &Limits, look: Look) -> Plan {
    let plan = plan::plan(desired, observed, limits, look);
    assert_eq!(lint(desired, observed, limits, &plan), [], "{}", show(&plan));
    for step in plan.steps.iter().filter(|step| step.is_open()) {
        let alone = Plan { steps: vec![step.clone()], ..plan.clone() };
        assert_eq!(lint(desired, observed, limits, &alone), [], "{}", show(&plan));
    }
    plan
}

/// Takes open steps and waits until neither is left; returns the actions in order.
pub(crate) fn converge(world: &mut World, desired: &KeyDesired, mut each: impl FnMut(&World, &Action)) -> Vec<Action> {
    let mut taken = Vec::new();
    for _ in 0..500 {
        let plan = look(world, desired);
        if let Some(step) = plan.next() {
            each(world, &step.action);
            world.apply(&step.action);
            taken.push(step.action.clone());
        } else if let Some(at) = plan.wakes_at() {
            world.advance(at.max(world.now + SignedDuration::from_secs(1)));
        } else if let Some(at) = world.next_end() {
            world.advance(at);
        } else {
            return taken;
        }
    }
    panic!("no fixed point after 500 rounds: {:#?}", look(world, desired));
}
