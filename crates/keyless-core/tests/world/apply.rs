//! What writes do.

use keyless_core::action::{Action, Grant};
use keyless_core::desired::*;
use keyless_core::observed::*;

use super::World;

impl World {
    /// What a write does, at once.
    pub(crate) fn apply(&mut self, action: &Action) {
        match action {
            Action::GrantRole(Grant { scope, principal, principal_type, role, name, condition, .. }) => {
                let made = self.assign_at(scope.clone(), *principal, *role, 0);
                made.condition.clone_from(condition);
                made.principal_type = Some(*principal_type);
                made.name = *name;
                made.id = scope.role_assignment(*name);
            }
            Action::SetAuthMode { workspace, mode } => {
                self.workspaces.get_mut(workspace).unwrap().mode = match mode {
                    AuthMode::Identity => ObservedAuthMode::Identity,
                    AuthMode::AccessKey => ObservedAuthMode::AccessKey,
                };
                match (mode, self.keys_taken.get_mut(workspace)) {
                    (AuthMode::Identity, _) => drop(self.keys_taken.remove(workspace)),
                    (AuthMode::AccessKey, Some(taken)) => taken.again = Again::Due,
                    (AuthMode::AccessKey, None) => {}
                }
            }
            Action::CreateWorkspace { workspace, create } => {
                assert!(!self.workspaces.contains_key(workspace), "{workspace} is there already");
                self.workspace(workspace.name(), ObservedAuthMode::Identity);
                let truth = self.workspaces.get_mut(workspace).unwrap();
                truth.kind = match create.kind {
                    CreateKind::Default(_) => WorkspaceKind::Default,
                    CreateKind::Hub(_) => WorkspaceKind::Hub,
                    CreateKind::Project(_) => WorkspaceKind::Project,
                };
            }
            Action::ResyncWorkspaceKeys { workspace } => {
                let keys = self.told_key_times();
                let truth = self.workspaces.get_mut(workspace).unwrap();
                let on_key = truth.mode == ObservedAuthMode::AccessKey;
                if on_key || self.identity_takes_keys {
                    truth.holds = self.key_times;
                }
                let again = if on_key { Again::Done } else { Again::NotYet };
                self.keys_taken.insert(workspace.clone(), KeysTaken { keys: Some(keys), again });
            }
            Action::SetSharedKeyAccess { allowed, .. } => {
                self.key = if *allowed { SharedKeyAccess::Allowed } else { SharedKeyAccess::Disallowed };
                self.key_on_since = allowed.then_some(self.now);
            }
            Action::SetDatastoreCredential { workspace, name, .. } => {
                let stores = &mut self.workspaces.get_mut(workspace).unwrap().datastores;
                stores.iter_mut().find(|store| store.name == *name).unwrap().credentials = DatastoreCredentials::None;
            }
            Action::CreateDatastore { workspace, name, place } => {
                let made = Datastore {
                    name: name.clone(),
                    account_name: place.account.clone(),
                    credentials: DatastoreCredentials::None,
                    form: DatastoreForm {
                        kind: place.kind.as_wire().to_owned(),
                        space: Some(place.space.clone()),
                        ..DatastoreForm::default()
                    },
                };
                self.workspaces.get_mut(workspace).unwrap().datastores.push(made);
            }
            Action::RevokeRole { assignment, .. } => self.assignments.retain(|a| a.id != *assignment),
        }
    }
}
