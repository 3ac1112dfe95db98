//! Callers of workspaces whose callers the world does not declare: whoever holds data roles on the account at the start,
//! and the workspace's own identity. Without them a world of plain resources would have no traffic, and nobody in it
//! could lose anything.
//!
//! Design decision: nothing tells who really works in a workspace, so everybody is taken to use what they hold.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use crate::access::Grants;
use crate::azure::Azure;
use crate::token::{CLIENT_OBJECT_ID, MANAGED_OBJECT_ID};
use crate::workload::{TRIES_PER_HOUR, What};
use crate::world::{ASSIGNMENT, WORKSPACE};
use crate::{arm_id, json};

const READ_BLOBS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";

/// What somebody with a data role may be after: each is tried by those who hold it at the start.
const ACTIONS: [&str; 6] = [
    READ_BLOBS,
    "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
    "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/read",
    "Microsoft.Storage/storageAccounts/fileServices/fileshares/files/write",
    "Microsoft.Storage/storageAccounts/tableServices/tables/entities/read",
    "Microsoft.Storage/storageAccounts/queueServices/queues/messages/read",
];

impl Azure {
    /// Brings to life the callers of every workspace that has none declared. Each is after what it holds now, and has
    /// been since `history`; the workspace's own identity works there even if it holds nothing.
    pub(crate) fn start_undeclared_clients(&mut self, history: Timestamp) {
        let workspaces: Vec<String> = self.world.keys_of(WORKSPACE).map(str::to_owned).collect();
        let own: BTreeSet<String> = workspaces.iter().map(|key| self.own_identity(key)).collect();
        // Looked at once: most grants of a real estate give no data, and each is seen from every account below it.
        let giving: BTreeSet<String> =
            self.world.keys_of(ASSIGNMENT).filter(|key| self.gives_data(key)).map(str::to_owned).collect();
        for workspace in &workspaces {
            if self.clients_through.contains_key(workspace) {
                continue;
            }
            let Some(account) = self.world.account_of(workspace) else { continue };
            let service = self.own_identity(workspace);
            let held = self.data_held(&service, &account, Grants::All);
            let mut callers = vec![(service, held, true)];
            for person in self.holders(&account, &giving).into_iter().filter(|person| !own.contains(person)) {
                let held = self.data_held(&person, &account, Grants::Unconditional);
                if !held.is_empty() {
                    callers.push((person, held, false));
                }
            }
            for (principal, actions, own) in callers {
                self.start_caller(workspace, &account, principal, actions, own, history);
            }
        }
    }

    /// Brings to life the own identity of a workspace that has just come; the service is about to make its grants.
    pub(crate) fn start_newcomer(&mut self, workspace: &str) {
        if self.clients_through.get(workspace).is_some_and(|keys| !keys.is_empty()) {
            return;
        }
        let Some(account) = self.world.account_of(workspace) else { return };
        let principal = self.own_identity(workspace);
        let identified = principal != workspace;
        let actions = if identified { vec![READ_BLOBS.to_owned()] } else { Vec::new() };
        self.start_caller(workspace, &account, principal, actions, true, self.now);
    }

    fn start_caller(
        &mut self,
        workspace: &str,
        account: &str,
        principal: String,
        actions: Vec<String>,
        own: bool,
        history: Timestamp,
    ) {
        // Not an entry of the world: it follows from the others.
        let key = format!("{workspace}/providers/keyless.sim/callers/{principal}");
        let what =
            What::Workload { workspace: workspace.to_owned(), principal, actions, own, datastore: None, mounted: None };
        self.bring_to_life(&key, what, account.to_owned(), TRIES_PER_HOUR, history);
    }

    /// Object id of the identity as which a workspace works; the workspace's own id where none is told.
    fn own_identity(&self, workspace: &str) -> String {
        let value = self.world.get(workspace).unwrap_or(&Value::Null);
        let assigned = || {
            let primary = json::text(value, &["properties", "primaryUserAssignedIdentity"]).map(arm_id::key)?;
            let identities = json::at(value, &["identity", "userAssignedIdentities"])?.as_object()?;
            identities
                .iter()
                .find(|(id, _)| arm_id::key(id) == primary)
                .and_then(|(_, identity)| json::text(identity, &["principalId"]))
        };
        let principal = assigned().or_else(|| json::text(value, &["identity", "principalId"]));
        principal.map_or_else(|| workspace.to_owned(), str::to_ascii_lowercase)
    }

    /// Everybody to whom one of these assignments applies on the account, the simulator's own identities apart.
    fn holders(&self, account: &str, giving: &BTreeSet<String>) -> BTreeSet<String> {
        self.world
            .extensions_covering(ASSIGNMENT, account)
            .filter(|(key, _)| giving.contains(*key))
            .filter_map(|(_, assignment)| json::text(assignment, &["properties", "principalId"]))
            .flat_map(|principal| self.world.people_of(principal))
            .filter(|person| ![CLIENT_OBJECT_ID, MANAGED_OBJECT_ID].contains(&person.as_str()))
            .collect()
    }

    /// Whether the assignment gives anything that is tried here.
    fn gives_data(&self, assignment: &str) -> bool {
        let value = self.world.get(assignment);
        value.is_some_and(|value| ACTIONS.iter().any(|action| self.gives_data_action(value, action)))
    }

    fn data_held(&self, principal: &str, account: &str, grants: Grants) -> Vec<String> {
        let held = ACTIONS.iter().filter(|action| self.data_allowed(principal, action, account, grants));
        held.map(|action| (*action).to_owned()).collect()
    }
}
