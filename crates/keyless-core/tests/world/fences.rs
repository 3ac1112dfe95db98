//! Locks, denials, network rules, and what this process remembers, as what a write would run against: judged by plain
//! words, apart from the gates.

use std::collections::BTreeMap;

use jiff::Timestamp;
use keyless_core::action::Action;
use keyless_core::desired::AuthMode;
use keyless_core::id::*;
use keyless_core::observed::*;
use keyless_core::plan::Limits;
use keyless_core::setting::Setting;

use super::World;

/// What a deny assignment may be about, by its name.
pub(crate) const DENIALS: [(&str, &str); 6] = [
    ("no grants", "Microsoft.Authorization/roleAssignments/write"),
    ("no revokes", "Microsoft.Authorization/*/delete"),
    ("no storage", "Microsoft.Storage/*"),
    ("no workspaces", "Microsoft.MachineLearningServices/*"),
    ("no modes", "Microsoft.MachineLearningServices/workspaces/write"),
    ("no hubs", "Microsoft.MachineLearningServices/workspaces/hubs/write"),
];

/// What stands around an account and what this process remembers of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fences {
    /// Locks on single workspaces.
    pub(crate) locks: BTreeMap<WorkspaceId, LockLevel>,
    pub(crate) limits: Limits,
}

impl World {
    /// Adds to each workspace's locks those of its own and those that it inherits.
    pub(super) fn show_locks(&self, observed: &mut Observed) {
        for id in self.workspaces.keys() {
            let Some(Reading::Known { value, .. }) = observed.barriers.locks.get_mut(id.arm()) else { continue };
            value.extend(self.locks.iter().filter(|lock| is_within(id.as_str(), lock.scope.as_str())).cloned());
            if let Some(level) = self.fences.locks.get(id) {
                let lock = ArmId::parse(&format!("{id}/providers/Microsoft.Authorization/locks/one")).unwrap();
                value.push(Lock { id: lock, scope: id.arm().clone(), level: level.clone() });
            }
        }
    }

    /// Shows denials where they hold: at the account, and at each workspace.
    pub(super) fn show_denies(&self, observed: &mut Observed) {
        let at = |id: &str| {
            let there = self.denies.iter().filter(|deny| is_within(id, deny.scope.as_str()));
            Reading::known(there.cloned().collect(), self.now)
        };
        observed.denies = at(super::account_id().as_str());
        let own = self.workspaces.keys().map(|id| (id.arm().clone(), at(id.as_str())));
        observed.barriers.denies = own.collect();
        observed.barriers.own = Some(super::controller());
    }

    /// Everything that the write would run against now.
    pub(crate) fn against(&self, action: &Action) -> Vec<&'static str> {
        let account = super::account_id().to_string();
        let hub = |id: &WorkspaceId| {
            self.workspaces.get(id).is_some_and(|truth| truth.kind == WorkspaceKind::Hub).then_some("no hubs")
        };
        let (target, mut denied) = match action {
            Action::GrantRole(grant) => (grant.scope.to_string(), vec!["no grants"]),
            Action::RevokeRole { .. } => (account.clone(), vec!["no revokes"]),
            Action::SetSharedKeyAccess { .. } => (account.clone(), vec!["no storage"]),
            Action::SetAuthMode { workspace, .. } | Action::CreateWorkspace { workspace, .. } => {
                (workspace.to_string(), vec!["no workspaces", "no modes"])
            }
            Action::ResyncWorkspaceKeys { workspace }
            | Action::SetDatastoreCredential { workspace, .. }
            | Action::CreateDatastore { workspace, .. } => (workspace.to_string(), vec!["no workspaces"]),
        };
        if let Action::SetAuthMode { workspace, .. } = action {
            denied.extend(hub(workspace));
        }
        let mut found = Vec::new();
        let deletes = matches!(action, Action::RevokeRole { .. });
        let bars = |level: &LockLevel| deletes || *level != LockLevel::CanNotDelete;
        let own = self.fences.locks.iter().any(|(id, level)| id.to_string() == target && bars(level));
        let takes_keys = matches!(action, Action::ResyncWorkspaceKeys { .. });
        let above = self.locks.iter().any(|lock| {
            let covers = |id: &str| is_within(id, lock.scope.as_str());
            bars(&lock.level) && (covers(&target) || (takes_keys && covers(&account)))
        });
        if own || above {
            found.push("a lock");
        }
        let denies = |deny: &DenyAssignment| {
            let reaches = is_within(&target, deny.scope.as_str());
            let own = |one: &DeniedPrincipal| {
                [DeniedPrincipal::Everyone, DeniedPrincipal::One(super::controller())].contains(one)
            };
            let whole = deny.excluded.is_empty() && !deny.conditional && deny.principals.iter().any(own);
            reaches && whole && denied.contains(&deny.name.as_str())
        };
        if self.denies.iter().any(denies) {
            found.push("a denial");
        }
        if let Action::SetAuthMode { workspace, mode: AuthMode::Identity } = action
            && self.key.is_on()
            && !self.lets_in(workspace)
        {
            found.push("network rules");
        }
        found.extend(self.remembered(action));
        found
    }

    fn lets_in(&self, workspace: &WorkspaceId) -> bool {
        let rules = &self.network;
        let front = rules.public != PublicAccess::Disabled && (!rules.default_deny || rules.lets_some_in);
        let other = matches!(rules.public, PublicAccess::Other(_));
        let named = rules.instances.iter().any(|id| id.eq_ignore_ascii_case(workspace.as_str()));
        front || other || named || rules.trusted_services || rules.private_endpoints
    }

    /// What this process holds back by itself.
    fn remembered(&self, action: &Action) -> Vec<&'static str> {
        let Limits { boot_until, unsettled_until, clashing: _, refused, fights } = &self.fences.limits;
        let ahead = |until: Option<Timestamp>| until.is_some_and(|until| until > self.now);
        let setting = match action {
            Action::GrantRole(grant) => Some(Setting::Role(grant.principal, grant.role)),
            Action::RevokeRole { principal, role, .. } => Some(Setting::Role(*principal, *role)),
            Action::SetAuthMode { workspace, .. } => Some(Setting::AuthMode(workspace.clone())),
            Action::SetSharedKeyAccess { .. } => Some(Setting::SharedKey),
            Action::SetDatastoreCredential { workspace, name, .. }
            | Action::CreateDatastore { workspace, name, .. } => {
                Some(Setting::Datastore(workspace.clone(), name.clone()))
            }
            Action::ResyncWorkspaceKeys { .. } | Action::CreateWorkspace { .. } => None,
        };
        let fight = setting.and_then(|setting| fights.get(&setting)).map(|fight| fight.until);
        let all = [
            ("the boot wait", *boot_until),
            ("an unsettled write", *unsettled_until),
            ("a refusal", refused.get(action).map(|refusal| refusal.until)),
            ("a fight", fight),
        ];
        all.into_iter().filter(|(_, until)| ahead(*until)).map(|(what, _)| what).collect()
    }
}

fn is_within(id: &str, scope: &str) -> bool {
    let (id, scope) = (id.to_lowercase(), scope.to_lowercase());
    id == scope || id.starts_with(&format!("{scope}/"))
}
