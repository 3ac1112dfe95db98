//! What a read of the abstract Azure brings, as the values that the planner is shown.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use keyless_core::action::{Action, Grant};
use keyless_core::catalog::{self, BLOB_READER};
use keyless_core::desired::{
    AuthMode, Because, DesiredAccount, DesiredDatastores, DesiredSharedKey, DesiredWorkspace, Drain, Enforcement,
    Fleet, GrantScope, KeyDesired, Location, Need, PrincipalRef, Revision, ServiceGrants,
};
use keyless_core::gate::ReadSet;
use keyless_core::id::{PrincipalId, StorageAccountId, WorkspaceId};
use keyless_core::observed::{
    Account, Identity, KeyDetails, KeyTimes, KeyUsage, Network, Observed, ObservedAuthMode, ObservedWorkspace,
    OwnRight, Permission, PrincipalType, Reading, RoleDefinition, ServiceFlags, SharedKeyAccess, Traffic, Workspace,
    WorkspaceKind,
};
use uuid::Uuid;

use super::azure::{Act, Azure, Flag, Mode, PLACES, Role, UNDECLARED};

/// What the files ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Want {
    /// Identity everywhere and the key off.
    Forward,
    /// The key on and access keys everywhere.
    Back,
    /// What `Forward` asks, with the kill switch set.
    Held,
}

/// How long the process has seen the key on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Seen {
    /// It has not.
    Never,
    /// For less than `keyEffect`.
    Lately,
    /// For longer.
    Long,
}

/// The names and times that the abstract world stands for.
pub(crate) struct Names {
    account: StorageAccountId,
    workspaces: Vec<WorkspaceId>,
    now: Timestamp,
    definition: RoleDefinition,
    owner: String,
}

const GROUP: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers";
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn person(n: u8) -> PrincipalId {
    PrincipalId(Uuid::from_u128(0xA000 + u128::from(n)))
}

impl Names {
    /// The names of a world with as many workspaces as there are places.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let account = format!("{GROUP}/Microsoft.Storage/storageAccounts/stml").parse()?;
        let workspace = |n| format!("{GROUP}/Microsoft.MachineLearningServices/workspaces/mlw{n}").parse();
        let role = catalog::find_role(BLOB_READER).context("the catalog lacks the role")?;
        let now: Timestamp = "2026-11-23T09:00:00Z".parse()?;
        Ok(Self {
            account,
            workspaces: (0..PLACES).map(workspace).collect::<Result<_, _>>()?,
            now,
            definition: RoleDefinition {
                id: role.id,
                name: role.name.to_owned(),
                permissions: vec![catalog::permission_of(role)],
                updated_on: Some(now.saturating_sub(900 * DAY)?),
                built_in: true,
            },
            owner: "keyless".to_owned(),
        })
    }

    /// The server's time, which stands still: ages are a matter of what is young.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// The account.
    pub(crate) fn account(&self) -> &StorageAccountId {
        &self.account
    }

    /// What the files ask, for `declared` workspaces through which `persons` work.
    pub(crate) fn desired(&self, want: Want, declared: usize, persons: u8) -> KeyDesired {
        let needs: Vec<Need> = (0..persons)
            .map(|n| Need {
                principal: PrincipalRef::Object { kind: PrincipalType::User, id: person(n), name: None },
                role: BLOB_READER,
                grant_scope: GrantScope::Account,
                condition: None,
                because: BTreeSet::from([Because::Level("readOnly")]),
            })
            .collect();
        let auth_mode = match want {
            Want::Forward | Want::Held => AuthMode::Identity,
            Want::Back => AuthMode::AccessKey,
        };
        let workspace = |id: &WorkspaceId| DesiredWorkspace {
            name: id.name().to_owned(),
            id: id.clone(),
            auth_mode,
            enforcement: Enforcement::Enforce,
            suspend: None,
            needs: needs.clone(),
            service_grants: ServiceGrants::Accept,
            datastores: DesiredDatastores::Unmanaged,
            accept_one_way: None,
            accept_stale_keys: None,
            accept_incompatible: BTreeMap::new(),
            create: None,
            drain: Drain::Wait,
            location: Location::default(),
        };
        let account = (want == Want::Back).then(|| DesiredAccount {
            enforcement: Some(Enforcement::Enforce),
            ..DesiredAccount::new(self.account.clone(), DesiredSharedKey::Enabled)
        });
        KeyDesired {
            revision: Revision(format!("{want:?}")),
            fleet: Fleet {
                owner: self.owner.clone(),
                enforcement: Enforcement::Enforce,
                paused: want == Want::Held,
                ..Fleet::default()
            },
            account_id: self.account.clone(),
            account,
            workspaces: self.workspaces.iter().take(declared).map(|id| (id.clone(), workspace(id))).collect(),
            unplaced: std::sync::Arc::default(),
            out_of_scope: Reading::known(BTreeSet::new(), Timestamp::MIN),
            out_of_sight: BTreeMap::new(),
            group_is_shared: false,
        }
    }

    /// The change that an action stands for; `None` for what the model has no word for.
    pub(crate) fn act(&self, action: &Action) -> Option<Act> {
        let place = |id: &WorkspaceId| {
            let at = self.workspaces.iter().position(|own| own == id)?;
            u8::try_from(at).ok()
        };
        match action {
            Action::GrantRole(grant) => (0..u8::MAX).find(|n| person(*n) == grant.principal).map(Act::Grant),
            Action::SetAuthMode { workspace, mode } => {
                let mode = if *mode == AuthMode::Identity { Mode::Id } else { Mode::Key };
                place(workspace).map(|at| Act::SetMode(at, mode))
            }
            Action::SetSharedKeyAccess { allowed, .. } => Some(Act::SetKey(*allowed)),
            _ => None,
        }
    }

    /// The workspace that an action changes.
    pub(crate) fn target(action: &Action) -> Option<&WorkspaceId> {
        match action {
            Action::SetAuthMode { workspace, .. } => Some(workspace),
            _ => None,
        }
    }

    fn ago(&self, age: SignedDuration) -> Timestamp {
        self.now.saturating_sub(age).unwrap_or(self.now)
    }

    /// What the reads of `reads` bring: the account and `target` as in `late`, everything else as in `early`.
    pub(crate) fn read(
        &self,
        reads: &ReadSet,
        early: &Azure,
        late: &Azure,
        target: Option<&WorkspaceId>,
        seen: Seen,
    ) -> Observed {
        let now = self.now;
        let mut part = Observed::unread(self.account.clone(), now);
        if reads.account {
            let shared_key = match late.flag {
                Flag::Off => SharedKeyAccess::Disallowed,
                Flag::Fresh | Flag::On => SharedKeyAccess::Allowed,
            };
            let made = Some(self.ago(900 * DAY));
            let account = Account {
                id: self.account.clone(),
                shared_key,
                services: ServiceFlags::default(),
                key_times: KeyTimes { key1: made, key2: made },
                network: Network::default(),
                provisioning_state: Some("Succeeded".to_owned()),
                blob_endpoint: Some("https://stml.blob.core.windows.net/".to_owned()),
                location: "westeurope".to_owned(),
            };
            part.account = Reading::known(Some(account), now);
        }
        if reads.listings {
            part.listings.insert(self.account.subscription(), Reading::known((), now));
        }
        for (place, id) in self.workspaces.iter().enumerate() {
            let source = if target == Some(id) { late } else { early };
            let mode = source.modes.get(place).copied().flatten();
            // A listing tells which workspaces stand on the account, and nothing else of them.
            if (place < UNDECLARED || mode.is_some()) && reads.listings {
                part.workspaces.entry(id.clone()).or_insert_with(ObservedWorkspace::unread);
            }
            if reads.workspaces.contains(id) {
                let own = mode.map(|mode| self.workspace(id, mode));
                part.workspaces.entry(id.clone()).or_insert_with(ObservedWorkspace::unread).workspace =
                    Reading::known(own, now);
            }
            if reads.datastores.contains(id) {
                let entry = part.workspaces.entry(id.clone()).or_insert_with(ObservedWorkspace::unread);
                let own = if place == 0 { early.around.datastores(&self.account) } else { Vec::new() };
                entry.datastores = Reading::known(own, now);
            }
            if reads.computes.contains(id) || reads.computes_lately.contains(id) {
                let entry = part.workspaces.entry(id.clone()).or_insert_with(ObservedWorkspace::unread);
                entry.computes = Reading::known(Vec::new(), now);
            }
            if reads.jobs.contains(id) {
                let entry = part.workspaces.entry(id.clone()).or_insert_with(ObservedWorkspace::unread);
                entry.jobs = Reading::known(if place == 0 { early.around.jobs() } else { Vec::new() }, now);
            }
            if reads.glimpses.contains(id) {
                let entry = part.workspaces.entry(id.clone()).or_insert_with(ObservedWorkspace::unread);
                entry.glimpse = Reading::known(if place == 0 { early.around.jobs() } else { Vec::new() }, now);
            }
        }
        if reads.elsewhere {
            part.elsewhere = Reading::known(BTreeMap::new(), now);
        }
        let grants: Vec<_> = (0_u8..).zip(early.roles).filter_map(|(n, role)| self.grant(n, role)).collect();
        for id in &reads.assignments_by_id {
            let found = grants.iter().find(|grant| grant.id == *id).cloned();
            part.assignments_by_id.insert(id.clone(), Reading::known(found, now));
        }
        if reads.assignments {
            part.assignments = Reading::known(grants, now);
            part.roles.insert(BLOB_READER, Reading::known(self.definition.clone(), now));
        }
        for id in &reads.groups {
            part.groups.insert(*id, Reading::known(BTreeSet::new(), now));
        }
        for id in &reads.eligibilities {
            part.eligibilities.insert(*id, Reading::known(Vec::new(), now));
        }
        if reads.denies || reads.denies_lately {
            part.denies = Reading::known(Vec::new(), now);
        }
        if reads.locks {
            part.locks = Reading::known(early.around.locks(&self.account), now);
        }
        if reads.key_usage {
            part.key_usage = Reading::known(self.usage(early.quiet), now);
        }
        if reads.key_details {
            let (from, to) = self.window();
            part.key_details = Reading::known(KeyDetails { from, to, complete: true, uses: Vec::new() }, now);
        }
        if reads.data_probe.is_some() {
            part.data_probe = Reading::known((), now);
        }
        if reads.denials {
            let (from, to) = self.window();
            part.denials = Reading::known(KeyDetails { from, to, complete: true, uses: Vec::new() }, now);
        }
        if reads.endpoints {
            part.endpoints = Reading::known(Vec::new(), now);
        }
        let barriers = &reads.barriers;
        for scope in &barriers.locks {
            part.barriers.locks.insert(scope.clone(), Reading::known(Vec::new(), now));
        }
        for scope in &barriers.denies {
            part.barriers.denies.insert(scope.clone(), Reading::known(Vec::new(), now));
        }
        let policies = early.around.policies(now);
        for scope in &barriers.policies {
            part.barriers.policies.insert(scope.clone(), Reading::known(policies.clone(), now));
        }
        for scope in &barriers.rights {
            let permission = Permission { actions: vec!["*".to_owned()], ..Permission::default() };
            let all = vec![OwnRight { permission, conditional: false }];
            part.barriers.rights.insert(scope.clone(), Reading::known(all, now));
        }
        for subscription in &barriers.assignment_counts {
            part.barriers.assignment_counts.insert(*subscription, Reading::known(10, now));
        }
        part.history.key_on_since = match seen {
            Seen::Never => None,
            Seen::Lately => Some(now),
            Seen::Long => Some(self.ago(DAY)),
        };
        part
    }

    fn workspace(&self, id: &WorkspaceId, mode: Mode) -> Workspace {
        Workspace {
            id: id.clone(),
            kind: WorkspaceKind::Default,
            storage_account: Some(self.account.clone()),
            more_accounts: BTreeSet::new(),
            hub: None,
            auth_mode: match mode {
                Mode::Key => ObservedAuthMode::AccessKey,
                Mode::Id => ObservedAuthMode::Identity,
            },
            identity: Identity::default(),
            primary_identity: None,
            data_isolation: None,
            guid: None,
            managed_network: false,
            provisioning_state: Some("Succeeded".to_owned()),
            created_at: Some(self.ago(400 * DAY)),
            location: "westeurope".to_owned(),
            tenant: None,
        }
    }

    fn grant(&self, n: u8, role: Role) -> Option<keyless_core::observed::RoleAssignment> {
        let age = match role {
            Role::Absent => return None,
            Role::Fresh => SignedDuration::from_mins(1),
            Role::Works => 100 * DAY,
        };
        let grant = Grant::new(&self.owner, self.account.arm().clone(), person(n), PrincipalType::User, BLOB_READER);
        Some(keyless_core::observed::RoleAssignment {
            id: grant.id(),
            name: grant.name,
            scope: grant.scope,
            principal: grant.principal,
            principal_type: Some(PrincipalType::User),
            role: grant.role,
            condition: None,
            description: None,
            created_on: Some(self.ago(age)),
            updated_on: Some(self.ago(age)),
        })
    }

    /// The default `keyIdle` of seven days, and what a metric lags behind.
    fn window(&self) -> (Timestamp, Timestamp) {
        let to = self.ago(SignedDuration::from_mins(15));
        (to.saturating_sub(7 * DAY).unwrap_or(to), to)
    }

    fn usage(&self, quiet: bool) -> KeyUsage {
        let (from, to) = self.window();
        let used = Traffic { count: 5, last: Some(to), grains: BTreeMap::from([(to, 5)]) };
        KeyUsage {
            from,
            to,
            complete: true,
            alive: true,
            account_key: if quiet { Traffic::default() } else { used },
            account_key_failed: Traffic::default(),
            sas: Traffic::default(),
            sas_failed: Traffic::default(),
            oauth_refused: Traffic::default(),
        }
    }
}
