//! The state of the simulated cloud and the way time moves it: no sockets, no clock of its own, no hidden randomness.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use rand::RngCore;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::activity::ActivityLog;
use crate::deployment::Deployment;
use crate::faults::strike::OddPage;
use crate::faults::trouble::Troubles;
use crate::log::RequestLog;
use crate::operation::Operation;
use crate::options::{Knobs, Speed};
use crate::request::Sent;
use crate::resource_graph::QueryQuota;
use crate::service::{self, Service};
use crate::throttle::Buckets;
use crate::token::{CLIENT_OBJECT_ID, Identities, MANAGED_OBJECT_ID};
use crate::traffic::Segment;
use crate::workload::{Client, Oracle};
use crate::world::{ACCOUNT, ASSIGNMENT, DATASTORE, WORKSPACE, World};
use crate::{access, arm_id, json, roles, time};

/// The simulated cloud. Everything it does follows from its state, the request and the instant it is given.
pub(crate) struct Azure {
    pub(crate) world: World,
    pub(crate) knobs: Knobs,
    pub(crate) speed: Speed,
    pub(crate) seed: u64,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) started: Timestamp,
    pub(crate) now: Timestamp,
    timers: BTreeMap<(Timestamp, u64), Timer>,
    sequence: u64,
    /// Own identities that the loaded world grants nothing, and that may therefore do everything.
    pub(crate) owners: BTreeSet<String>,
    /// Accounts whose keys are refused right now; it follows the property after a while.
    pub(crate) keys_refused: BTreeSet<String>,
    /// Services that refuse keys right now although their account does not.
    pub(crate) services_refused: BTreeMap<String, BTreeSet<Service>>,
    /// Workspaces whose copy of the key is an old one, and when they are handed the new one if they are on keys.
    pub(crate) stale_keys: BTreeMap<String, Timestamp>,
    /// Assignments that are gone and still count for a while.
    pub(crate) fading: BTreeMap<String, Fading>,
    /// Custom roles by their GUIDs, as they were before a change that has not come through yet.
    pub(crate) recast: BTreeMap<String, Recast>,
    /// Assignments loaded with a date in the future of this clock: taken as old.
    pub(crate) settled: BTreeSet<String>,
    pub(crate) clients: BTreeMap<String, Client>,
    pub(crate) clients_on: BTreeMap<String, BTreeSet<String>>,
    pub(crate) clients_through: BTreeMap<String, BTreeSet<String>>,
    pub(crate) traffic: BTreeMap<String, Vec<Segment>>,
    /// Since when diagnostic settings send.
    pub(crate) logged_since: BTreeMap<String, Timestamp>,
    /// The tables of each workspace for logs.
    pub(crate) log_tables: BTreeMap<String, BTreeSet<&'static str>>,
    pub(crate) oracle: Oracle,
    pub(crate) buckets: Buckets,
    pub(crate) operations: BTreeMap<String, Operation>,
    pub(crate) deployments: BTreeMap<String, Deployment>,
    pub(crate) log: RequestLog,
    pub(crate) troubles: Troubles,
    /// How pages of the list that is being made come out.
    pub(crate) odd_page: Option<OddPage>,
    /// How far the clock has jumped ahead of the one that is followed.
    pub(crate) jumped: Duration,
    pub(crate) activity: ActivityLog,
    pub(crate) identities: Identities,
    pub(crate) queries: QueryQuota,
    /// Subscription and namespace of the providers that subscriptions have been unregistered from.
    pub(crate) unregistered: BTreeSet<(String, String)>,
}

/// An assignment after its removal.
pub(crate) struct Fading {
    pub(crate) assignment: Value,
    pub(crate) until: Timestamp,
}

/// A custom role before its change.
pub(crate) struct Recast {
    pub(crate) before: Value,
    pub(crate) until: Timestamp,
}

/// What happens by itself at some instant.
pub(crate) enum Timer {
    KeyEffect { account: String, refused: bool, services: BTreeSet<Service> },
    Reconsider { scope: String },
    KeyUserStops { client: String },
    OperationDone { id: String },
    Deployment { key: String },
    ServiceGrants { workspace: String },
    LateWrite { sent: Box<Sent> },
    LockGone { lock: String },
    KeysHandedOn { workspace: String },
    JobBegins { job: String },
    JobEnds { job: String },
    Instance { compute: String, state: &'static str },
}

/// Who changed something out of band or by request, for the activity log.
pub(crate) struct Actor<'a> {
    pub(crate) oid: &'a str,
    pub(crate) correlation: String,
}

impl Azure {
    pub(crate) fn new(world: World, knobs: Knobs, speed: Speed, seed: u64, now: Timestamp) -> Self {
        let keys_refused = world
            .keys_of(ACCOUNT)
            .filter(|key| world.get(key).is_some_and(|account| !allows_keys(account)))
            .map(str::to_owned)
            .collect();
        let services_refused = world
            .keys_of(ACCOUNT)
            .filter_map(|key| Some((key.to_owned(), service::refused_by(world.get(key)?))))
            .filter(|(_, services)| !services.is_empty())
            .collect();
        let granted: BTreeSet<String> = world
            .keys_of(ASSIGNMENT)
            .filter_map(|key| json::text(world.get(key)?, &["properties", "principalId"]))
            .map(str::to_ascii_lowercase)
            .collect();
        let own = [CLIENT_OBJECT_ID, MANAGED_OBJECT_ID].map(str::to_owned);
        let buckets = Buckets::new(speed, knobs.throttle_model);
        let mut azure = Self {
            owners: own.into_iter().filter(|own| !granted.contains(own)).collect(),
            identities: Identities::new(seed),
            world,
            knobs,
            speed,
            seed,
            rng: ChaCha8Rng::seed_from_u64(seed),
            started: now,
            now,
            timers: BTreeMap::new(),
            sequence: 0,
            keys_refused,
            services_refused,
            stale_keys: BTreeMap::new(),
            fading: BTreeMap::new(),
            recast: BTreeMap::new(),
            settled: BTreeSet::new(),
            clients: BTreeMap::new(),
            clients_on: BTreeMap::new(),
            clients_through: BTreeMap::new(),
            traffic: BTreeMap::new(),
            logged_since: BTreeMap::new(),
            log_tables: BTreeMap::new(),
            oracle: Oracle::default(),
            buckets,
            operations: BTreeMap::new(),
            deployments: BTreeMap::new(),
            log: RequestLog::default(),
            troubles: Troubles::default(),
            odd_page: None,
            jumped: Duration::ZERO,
            activity: ActivityLog::default(),
            unregistered: BTreeSet::new(),
            queries: QueryQuota::default(),
        };
        azure.world.history.keep_at_least(speed.shorten(azure.knobs.arg_lag));
        azure.world.history.advance(now);
        azure.settle_loaded_grants();
        azure.follow_diagnostics(Timestamp::MIN);
        azure.start_clients();
        azure.start_jobs();
        azure.begin_faults();
        azure
    }

    fn settle_loaded_grants(&mut self) {
        let keys: Vec<String> = self.world.keys_of(ASSIGNMENT).map(str::to_owned).collect();
        for key in keys {
            let Some(assignment) = self.world.get(&key) else { continue };
            let created = json::text(assignment, &["properties", "createdOn"]).and_then(time::parse);
            if created.is_some_and(|created| created > self.now) {
                self.settled.insert(key);
            } else if created.is_some() {
                self.await_grant(&key);
            }
        }
    }

    /// Starts what goes wrong; spans count from here.
    pub(crate) fn begin_faults(&mut self) {
        self.knobs.faults.begin(self.seed, self.now, self.speed);
        self.world.history.keep_at_least(self.speed.shorten(self.knobs.faults.furthest_back()));
    }

    /// Lets everything happen that happens by itself until `now` on the clock that is followed. Time that runs
    /// backwards stands still.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        self.run_until(time::after(now, self.jumped));
    }

    /// Lets the clock jump forward, and everything happen that was due.
    pub(crate) fn jump(&mut self, by: Duration) {
        self.jumped = self.jumped.saturating_add(by);
        self.run_until(time::after(self.now, by));
    }

    fn run_until(&mut self, now: Timestamp) {
        while let Some(entry) = self.timers.first_entry() {
            let (at, _) = *entry.key();
            if at > now {
                break;
            }
            let timer = entry.remove();
            self.now = self.now.max(at);
            self.world.history.advance(self.now);
            self.fire(timer);
        }
        self.now = self.now.max(now);
        self.world.history.advance(self.now);
    }

    pub(crate) fn schedule(&mut self, at: Timestamp, timer: Timer) {
        self.sequence += 1;
        self.timers.insert((at.max(self.now), self.sequence), timer);
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::KeyEffect { account, refused, services } => {
                let changed = if refused {
                    self.keys_refused.insert(account.clone())
                } else {
                    self.keys_refused.remove(&account)
                };
                let before = if services.is_empty() {
                    self.services_refused.remove(&account)
                } else {
                    self.services_refused.insert(account.clone(), services.clone())
                };
                if changed || before.unwrap_or_default() != services {
                    self.reconsider_account(&account);
                }
            }
            Timer::Reconsider { scope } => {
                self.fading.retain(|_, gone| gone.until > self.now);
                self.recast.retain(|_, role| role.until > self.now);
                self.reconsider_scope(&scope);
            }
            Timer::KeyUserStops { client } => self.reconsider_client(&client),
            Timer::OperationDone { id } => self.finish_operation(&id),
            Timer::Deployment { key } => self.run_deployment(&key),
            Timer::ServiceGrants { workspace } => self.make_service_grants(&workspace),
            Timer::LateWrite { sent } => self.land(&sent),
            Timer::LockGone { lock } => self.end_lock(&lock),
            Timer::KeysHandedOn { workspace } => self.hand_keys_on(&workspace),
            Timer::JobBegins { job } => self.begin_job(&job),
            Timer::JobEnds { job } => self.end_job(&job),
            Timer::Instance { compute, state } => self.set_instance(&compute, state),
        }
    }

    /// Sets or clears `allowSharedKeyAccess`; keys are treated so after the key effect delay.
    /// Source: MicrosoftDocs/azure-docs `articles/storage/common/shared-key-authorization-prevent.md`; it tells no
    /// delay, so that there is one is a design decision.
    pub(crate) fn set_shared_key(&mut self, account: &str, allowed: Option<bool>) {
        let Some(value) = self.world.get_mut(account) else { return };
        let properties = json::object(value, "properties");
        match allowed {
            Some(allowed) => properties.insert("allowSharedKeyAccess".to_owned(), Value::Bool(allowed)),
            None => properties.remove("allowSharedKeyAccess"),
        };
        self.follow_shared_key(account);
    }

    /// Schedules the effect of what the property now says.
    pub(crate) fn follow_shared_key(&mut self, account: &str) {
        let refused = self.world.get(account).is_some_and(|account| !allows_keys(account));
        let services = self.world.get(account).map(service::refused_by).unwrap_or_default();
        let timer = Timer::KeyEffect { account: account.to_owned(), refused, services };
        let delay = self.speed.shorten(self.knobs.key_effect);
        if delay.is_zero() {
            self.fire(timer);
        } else {
            self.schedule(time::after(self.now, delay), timer);
        }
    }

    /// Sets the mode, and with it the credentials of the system datastores.
    /// Source: the comment of one team in a public preflight module: all four are rewritten at once.
    pub(crate) fn set_auth_mode(&mut self, workspace: &str, mode: Option<&str>) {
        let Some(value) = self.world.get_mut(workspace) else { return };
        let properties = json::object(value, "properties");
        match mode {
            Some(mode) => properties.insert("systemDatastoresAuthMode".to_owned(), json!(mode)),
            None => properties.remove("systemDatastoresAuthMode"),
        };
        self.follow_auth_mode(workspace);
    }

    /// Lets datastores and callers follow what the workspace now says.
    pub(crate) fn follow_auth_mode(&mut self, workspace: &str) {
        let credentials = self.world.get(workspace).map(|value| Mode::of(value).system_credentials());
        for name in crate::datastore::SYSTEM {
            let Some(store) = self.world.get_mut(&format!("{workspace}/datastores/{name}")) else { continue };
            let properties = json::object(store, "properties");
            properties.insert("credentials".to_owned(), json!({"credentialsType": credentials}));
        }
        self.await_keys(workspace);
        self.reconsider_workspace(workspace);
    }

    /// Adds an assignment that now begins to propagate.
    pub(crate) fn grant(&mut self, assignment: Value) {
        let Some(key) = assignment.get("id").and_then(Value::as_str).map(arm_id::key) else { return };
        self.fading.remove(&key);
        self.settled.remove(&key);
        if self.world.insert(assignment) {
            self.await_grant(&key);
        }
    }

    /// Schedules the instants at which an assignment begins to count.
    fn await_grant(&mut self, key: &str) {
        let Some(assignment) = self.world.get(key) else { return };
        let instants =
            BTreeSet::from([self.counts_from(key, assignment, false), self.counts_from(key, assignment, true)]);
        let scope = arm_id::extension_scope(key).to_owned();
        for at in instants {
            if at > self.now {
                self.schedule(at, Timer::Reconsider { scope: scope.clone() });
            } else {
                self.reconsider_scope(&scope);
            }
        }
    }

    /// Takes an assignment away; it goes on counting for a while, where it counted before.
    /// Source: MicrosoftDocs/azure-docs `articles/role-based-access-control/troubleshooting.md`.
    pub(crate) fn revoke(&mut self, key: &str) -> Option<Value> {
        if !self.world.is_a(ASSIGNMENT, key) {
            return None;
        }
        let counted = self.world.get(key).is_some_and(|value| self.counts_from(key, value, false) <= self.now);
        let assignment = self.world.remove(key)?;
        self.settled.remove(key);
        let scope = arm_id::extension_scope(key).to_owned();
        let until = time::after(self.now, self.propagation(key, access::Reach::Direct));
        if counted && until > self.now {
            self.fading.insert(key.to_owned(), Fading { assignment: assignment.clone(), until });
            self.schedule(until, Timer::Reconsider { scope });
        } else {
            self.reconsider_scope(&scope);
        }
        Some(assignment)
    }

    /// What the service grants to a new workspace's own identity: blob data on the account (restricted by a condition
    /// for projects) and administration of its resource group.
    /// Source: MicrosoftDocs/azure-ai-docs `articles/machine-learning/how-to-disable-local-auth-storage.md`,
    /// `how-to-assign-roles.md` and `concept-hub-workspace.md` in the same folder.
    fn make_service_grants(&mut self, workspace: &str) {
        let Some(value) = self.world.typed(WORKSPACE, workspace) else { return };
        let Some(principal) = json::text(value, &["identity", "principalId"]).map(str::to_owned) else { return };
        let project = Kind::of(value) == Kind::Project;
        let container = json::text(value, &["properties", "workspaceId"]).unwrap_or_default().to_owned();
        let account = self.world.account_of(workspace);
        let account = account.as_deref().and_then(|key| self.written_id(key));
        let group = arm_id::resource_group(workspace).map(str::to_owned);
        let condition = project.then(|| {
            format!(
                "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringStartsWith '{container}-'"
            )
        });
        let grants = [(account, roles::BLOB_DATA_CONTRIBUTOR, condition), (group, roles::AI_ADMINISTRATOR, None)];
        for (scope, role, condition) in grants {
            let Some(scope) = scope else { continue };
            let held = self.world.extensions_covering(ASSIGNMENT, &arm_id::key(&scope)).any(|(_, held)| {
                json::text(held, &["properties", "principalId"]).is_some_and(|id| id.eq_ignore_ascii_case(&principal))
                    && json::text(held, &["properties", "roleDefinitionId"])
                        .is_some_and(|id| arm_id::name(id).eq_ignore_ascii_case(role))
            });
            if !held {
                let assignment = self.assignment(&scope, &principal, role, condition.as_deref());
                self.grant(assignment);
            }
        }
    }

    /// A new assignment made by the service.
    fn assignment(&mut self, scope: &str, principal: &str, role: &str, condition: Option<&str>) -> Value {
        let name = self.guid();
        let subscription = arm_id::subscription(&arm_id::key(scope)).unwrap_or_default().to_owned();
        let now = time::stamp(self.now);
        json!({
            "id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"),
            "name": name,
            "type": "Microsoft.Authorization/roleAssignments",
            "properties": {
                "roleDefinitionId":
                    format!("/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"),
                "principalId": principal, "principalType": "ServicePrincipal", "scope": scope,
                "condition": condition, "conditionVersion": condition.map(|_| "2.0"), "description": null,
                "delegatedManagedIdentityResourceId": null,
                "createdOn": now, "updatedOn": now,
                "createdBy": crate::token::SERVICE_OBJECT_ID, "updatedBy": crate::token::SERVICE_OBJECT_ID,
            },
        })
    }

    /// The id as the resource itself spells it.
    pub(crate) fn written_id(&self, key: &str) -> Option<String> {
        self.world.get(key)?.get("id")?.as_str().map(str::to_owned)
    }

    /// A GUID from the seed.
    pub(crate) fn guid(&mut self) -> String {
        let mut bytes = [0_u8; 16];
        self.rng.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// The stored datastores of a workspace.
    pub(crate) fn stored_datastores(&self, workspace: &str) -> Vec<&Value> {
        self.world.keys_below(DATASTORE, workspace).filter_map(|key| self.world.get(key)).collect()
    }
}

/// Absent and null mean that keys are allowed.
/// Source: MicrosoftDocs/azure-docs `articles/storage/common/shared-key-authorization-prevent.md`.
pub(crate) fn allows_keys(account: &Value) -> bool {
    json::at(account, &["properties", "allowSharedKeyAccess"]).and_then(Value::as_bool).unwrap_or(true)
}

/// How a workspace reaches its system datastores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    AccessKey,
    /// Entra only; a user delegation SAS is signed by Entra and so counts here too.
    Identity,
}

impl Mode {
    /// An absent mode is access key, the documented default.
    /// Source: MicrosoftDocs/azure-ai-docs `articles/machine-learning/how-to-disable-local-auth-storage.md`.
    pub(crate) fn of(workspace: &Value) -> Self {
        match json::text(workspace, &["properties", "systemDatastoresAuthMode"]) {
            Some(mode) if !mode.eq_ignore_ascii_case("accesskey") => Self::Identity,
            _ => Self::AccessKey,
        }
    }

    pub(crate) fn system_credentials(self) -> &'static str {
        match self {
            Self::AccessKey => "AccountKey",
            Self::Identity => "None",
        }
    }
}

/// What a workspace is. Source: azure-ai-ml 1.35.2 `constants/_common.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Default,
    Hub,
    Project,
}

impl Kind {
    pub(crate) fn of(workspace: &Value) -> Self {
        match workspace.get("kind").and_then(Value::as_str).unwrap_or_default() {
            kind if kind.eq_ignore_ascii_case("hub") => Self::Hub,
            kind if kind.eq_ignore_ascii_case("project") => Self::Project,
            _ => Self::Default,
        }
    }
}
