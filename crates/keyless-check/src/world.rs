//! A small world of values in which every step could be made, for one gate at a time to be shut in it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use keyless_core::action::{Action, Grant};
use keyless_core::catalog::{self, BLOB_READER};
use keyless_core::desired::{
    Acceptance, AuthMode, Because, DesiredAccount, DesiredDatastores, DesiredSharedKey, DesiredWorkspace, Drain,
    Enforcement, Fleet, GrantScope, KeyDesired, Location, Need, PrincipalRef, Revision, ServiceGrants,
};
use keyless_core::id::{PrincipalId, StorageAccountId, WorkspaceId};
use keyless_core::observed::{
    Account, Identity, KeyDetails, KeyTimes, KeyUsage, Network, Observed, ObservedAuthMode, ObservedWorkspace,
    OwnRight, Permission, PrincipalType, Reading, RoleAssignment, RoleDefinition, ServiceFlags, SharedKeyAccess,
    Traffic, Workspace, WorkspaceKind,
};
use keyless_core::plan::Limits;
use keyless_core::policy::Policies;
use uuid::Uuid;

const GROUP: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers";
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Files, what was read, and what the process remembers: all that a plan is made of.
pub(crate) struct World {
    pub(crate) desired: KeyDesired,
    pub(crate) observed: Observed,
    pub(crate) limits: Limits,
    pub(crate) workspace: WorkspaceId,
    pub(crate) person: PrincipalId,
}

impl World {
    /// A workspace in `mode`, which the files want in `wanted`, with one person whose grant works.
    ///
    /// # Errors
    /// If an id of its own is not one.
    pub(crate) fn new(mode: ObservedAuthMode, wanted: AuthMode) -> anyhow::Result<Self> {
        let now: Timestamp = "2026-11-23T09:00:00Z".parse()?;
        let account: StorageAccountId = format!("{GROUP}/Microsoft.Storage/storageAccounts/stml").parse()?;
        let workspace: WorkspaceId = format!("{GROUP}/Microsoft.MachineLearningServices/workspaces/mlw").parse()?;
        let person = PrincipalId(Uuid::from_u128(0xA001));
        let desired = files(&account, &workspace, wanted, person);
        let mut observed = Observed::unread(account.clone(), now);
        observed.account = Reading::known(Some(account_at(&account, now)?), now);
        observed.listings.insert(account.subscription(), Reading::known((), now));
        let entry = ObservedWorkspace {
            workspace: Reading::known(Some(workspace_at(&workspace, &account, mode, now)?), now),
            datastores: Reading::known(Vec::new(), now),
            computes: Reading::known(Vec::new(), now),
            jobs: Reading::known(Vec::new(), now),
            glimpse: Reading::known(Vec::new(), now),
        };
        observed.workspaces.insert(workspace.clone(), entry);
        observed.elsewhere = Reading::known(BTreeMap::new(), now);
        observed.endpoints = Reading::known(Vec::new(), now);
        let role = catalog::find_role(BLOB_READER).context("the catalog lacks the role")?;
        let definition = RoleDefinition {
            id: role.id,
            name: role.name.to_owned(),
            permissions: vec![catalog::permission_of(role)],
            updated_on: Some(now.checked_sub(900 * DAY)?),
            built_in: true,
        };
        observed.roles.insert(role.id, Reading::known(definition, now));
        observed.assignments = Reading::known(Vec::new(), now);
        observed.groups.insert(person, Reading::known(BTreeSet::new(), now));
        observed.eligibilities.insert(person, Reading::known(Vec::new(), now));
        observed.denies = Reading::known(Vec::new(), now);
        observed.locks = Reading::known(Vec::new(), now);
        let to = now.checked_sub(SignedDuration::from_mins(15))?;
        let from = to.checked_sub(7 * DAY)?;
        observed.key_usage = Reading::known(unused(from, to), now);
        let details = KeyDetails { from, to, complete: true, uses: Vec::new() };
        observed.key_details = Reading::known(details.clone(), now);
        observed.denials = Reading::known(details, now);
        let none = Policies {
            assignments: Vec::new(),
            exemptions: Reading::known(Vec::new(), now),
            sets: BTreeMap::new(),
            definitions: BTreeMap::new(),
        };
        let permission = Permission { actions: vec!["*".to_owned()], ..Permission::default() };
        let all = vec![OwnRight { permission, conditional: false }];
        for scope in [account.arm().clone(), account.group(), workspace.arm().clone()] {
            observed.barriers.locks.insert(scope.clone(), Reading::known(Vec::new(), now));
            observed.barriers.denies.insert(scope.clone(), Reading::known(Vec::new(), now));
            observed.barriers.policies.insert(scope.clone(), Reading::known(none.clone(), now));
            observed.barriers.rights.insert(scope, Reading::known(all.clone(), now));
        }
        observed.barriers.assignment_counts.insert(account.subscription(), Reading::known(10, now));
        let mut world = Self { desired, observed, limits: Limits::default(), workspace, person };
        world.grant(100 * DAY)?;
        Ok(world)
    }

    /// The moment of all reads.
    pub(crate) fn now(&self) -> Timestamp {
        self.observed.now
    }

    /// Gives the person what the files name, so long ago.
    pub(crate) fn grant(&mut self, age: SignedDuration) -> anyhow::Result<()> {
        let account = self.desired.account_id.arm().clone();
        let owner = &self.desired.fleet.owner;
        let grant = Grant::new(owner, account, self.person, PrincipalType::User, BLOB_READER);
        let at = self.now().checked_sub(age)?;
        let given = RoleAssignment {
            id: grant.id(),
            name: grant.name,
            scope: grant.scope,
            principal: grant.principal,
            principal_type: Some(PrincipalType::User),
            role: grant.role,
            condition: None,
            description: None,
            created_on: Some(at),
            updated_on: Some(at),
        };
        self.observed.assignments = Reading::known(vec![given], self.now());
        Ok(())
    }

    /// The account, to be changed.
    pub(crate) fn account(&mut self) -> Option<&mut Account> {
        match &mut self.observed.account {
            Reading::Known { value, .. } => value.as_mut(),
            Reading::NotRead | Reading::Unknown { .. } => None,
        }
    }

    /// The workspace, to be changed.
    pub(crate) fn own(&mut self) -> Option<&mut Workspace> {
        match &mut self.observed.workspaces.get_mut(&self.workspace)?.workspace {
            Reading::Known { value, .. } => value.as_mut(),
            Reading::NotRead | Reading::Unknown { .. } => None,
        }
    }

    /// What was read of the workspace beside itself, to be changed.
    pub(crate) fn entry(&mut self) -> Option<&mut ObservedWorkspace> {
        self.observed.workspaces.get_mut(&self.workspace)
    }

    /// Its document, to be changed.
    pub(crate) fn document(&mut self) -> Option<&mut DesiredWorkspace> {
        self.desired.workspaces.get_mut(&self.workspace)
    }

    /// Has the files say of the key what they say.
    pub(crate) fn declare(&mut self, shared_key_access: DesiredSharedKey) {
        self.desired.account = Some(DesiredAccount::new(self.desired.account_id.clone(), shared_key_access));
    }

    /// The switch of the key.
    pub(crate) fn key(&self, allowed: bool) -> Action {
        Action::SetSharedKeyAccess { account: self.desired.account_id.clone(), allowed }
    }

    /// The switch of the workspace.
    pub(crate) fn mode(&self, mode: AuthMode) -> Action {
        Action::SetAuthMode { workspace: self.workspace.clone(), mode }
    }

    /// Something that a named person accepts for as long as anybody may live.
    pub(crate) fn accepted(&self) -> anyhow::Result<Acceptance> {
        let until = self.now().checked_add(4000 * DAY)?;
        Ok(Acceptance { reason: "agreed".to_owned(), owner: "ada".to_owned(), until })
    }
}

fn files(account: &StorageAccountId, workspace: &WorkspaceId, auth_mode: AuthMode, person: PrincipalId) -> KeyDesired {
    let need = Need {
        principal: PrincipalRef::Object { kind: PrincipalType::User, id: person, name: None },
        role: BLOB_READER,
        grant_scope: GrantScope::Account,
        condition: None,
        because: BTreeSet::from([Because::Level("readOnly")]),
    };
    let document = DesiredWorkspace {
        name: workspace.name().to_owned(),
        id: workspace.clone(),
        auth_mode,
        enforcement: Enforcement::Enforce,
        suspend: None,
        needs: vec![need],
        service_grants: ServiceGrants::Accept,
        datastores: DesiredDatastores::Unmanaged,
        accept_one_way: None,
        accept_stale_keys: None,
        accept_incompatible: BTreeMap::new(),
        create: None,
        drain: Drain::Wait,
        location: Location::default(),
    };
    KeyDesired {
        out_of_scope: Reading::known(BTreeSet::new(), Timestamp::MIN),
        out_of_sight: BTreeMap::new(),
        group_is_shared: false,
        revision: Revision("r1".to_owned()),
        fleet: Fleet { enforcement: Enforcement::Enforce, ..Fleet::default() },
        account_id: account.clone(),
        account: None,
        workspaces: BTreeMap::from([(workspace.clone(), document)]),
        unplaced: std::sync::Arc::default(),
    }
}

fn account_at(id: &StorageAccountId, now: Timestamp) -> anyhow::Result<Account> {
    let made = Some(now.checked_sub(900 * DAY)?);
    Ok(Account {
        id: id.clone(),
        shared_key: SharedKeyAccess::Absent,
        services: ServiceFlags::default(),
        key_times: KeyTimes { key1: made, key2: made },
        network: Network::default(),
        provisioning_state: Some("Succeeded".to_owned()),
        blob_endpoint: Some("https://stml.blob.core.windows.net/".to_owned()),
        location: "westeurope".to_owned(),
    })
}

fn workspace_at(
    id: &WorkspaceId,
    account: &StorageAccountId,
    auth_mode: ObservedAuthMode,
    now: Timestamp,
) -> anyhow::Result<Workspace> {
    Ok(Workspace {
        id: id.clone(),
        kind: WorkspaceKind::Default,
        storage_account: Some(account.clone()),
        more_accounts: BTreeSet::new(),
        hub: None,
        auth_mode,
        identity: Identity { system: Some(PrincipalId(Uuid::from_u128(0xB001))), ..Identity::default() },
        primary_identity: None,
        data_isolation: None,
        guid: None,
        managed_network: false,
        provisioning_state: Some("Succeeded".to_owned()),
        created_at: Some(now.checked_sub(400 * DAY)?),
        location: "westeurope".to_owned(),
        tenant: None,
    })
}

fn unused(from: Timestamp, to: Timestamp) -> KeyUsage {
    KeyUsage {
        from,
        to,
        complete: true,
        alive: true,
        account_key: Traffic::default(),
        account_key_failed: Traffic::default(),
        sas: Traffic::default(),
        sas_failed: Traffic::default(),
        oauth_refused: Traffic::default(),
    }
}
