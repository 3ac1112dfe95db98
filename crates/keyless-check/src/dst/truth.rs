//! The simulated world as it is, read without any code of keyless.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use keyless_core::catalog;
use keyless_core::desired::{Need, PrincipalRef};
use keyless_sim::Simulator;
use serde_json::Value;

/// The parts of the world that rules are about. Ids are in lower case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Truth {
    /// Whether each account accepts keys.
    pub(crate) keys: BTreeMap<String, bool>,
    pub(crate) workspaces: BTreeMap<String, Workspace>,
    pub(crate) assignments: BTreeMap<String, Assignment>,
    /// The datastores that store a credential and are not the system's.
    pub(crate) stored: BTreeMap<String, Stored>,
    /// The tenant's own roles, by their GUIDs.
    own_roles: BTreeMap<String, OwnRole>,
    /// The scope of each deny assignment, and whom it names.
    denies: BTreeMap<String, (String, BTreeSet<String>)>,
    /// The groups of each principal.
    pub(crate) groups: BTreeMap<String, BTreeSet<String>>,
    /// The principal of each user-assigned identity.
    identities: BTreeMap<String, String>,
    /// The principals of each compute.
    computes: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Workspace {
    pub(crate) on_identity: bool,
    /// Whether an operation on it has not come to its end.
    pub(crate) changing: bool,
    /// Its account, or its hub's.
    pub(crate) account: Option<String>,
    hub: Option<String>,
    pub(crate) principal: Option<String>,
    assigned: Vec<String>,
}

/// A datastore that stores a credential.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) workspace: String,
    /// By its name.
    pub(crate) account: String,
    /// Its properties.
    pub(crate) told: Value,
}

/// A role that is not built in.
#[derive(Debug, Clone)]
struct OwnRole {
    data_actions: BTreeSet<String>,
    since: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) scope: String,
    pub(crate) role: String,
    pub(crate) principal: String,
    conditional: bool,
    since: Timestamp,
    description: String,
}

/// Roles whose holder can do all that another stands for, beside that role itself.
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage>.
pub(crate) const STRONGER: [(&str, &str); 4] = [
    ("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
    ("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
    ("ba92f5b4-2d11-453d-a403-e96b0029c9fe", "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
    ("69566ab7-960f-475b-8e7c-b3118f30c6bd", "b8eda974-7b85-4f76-af95-65846b26df6d"),
];

const SYSTEM_DATASTORES: [&str; 4] =
    ["workspaceblobstore", "workspacefilestore", "workspaceartifactstore", "workspaceworkingdirectory"];

fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path).and_then(Value::as_str)
}

fn lower(value: &Value, path: &[&str]) -> Option<String> {
    text(value, path).map(str::to_ascii_lowercase)
}

impl Assignment {
    /// Whether keyless made it.
    pub(crate) fn is_own(&self) -> bool {
        self.description.starts_with("granted by keyless")
    }
}

impl Truth {
    /// The world now.
    pub(crate) fn of(sim: &Simulator) -> Self {
        let mut truth = Self::default();
        sim.each_entry(|entry| truth.takes_in(entry));
        let accounts: BTreeMap<String, Option<String>> =
            truth.workspaces.iter().map(|(id, one)| (id.clone(), one.account.clone())).collect();
        for project in truth.workspaces.values_mut().filter(|one| one.account.is_none()) {
            project.account = project.hub.as_ref().and_then(|hub| accounts.get(hub)?.clone());
        }
        truth
    }

    fn takes_in(&mut self, entry: &Value) {
        let kind = lower(entry, &["type"]).unwrap_or_default();
        let id = || lower(entry, &["id"]).unwrap_or_default();
        match kind.as_str() {
            "microsoft.storage/storageaccounts" => {
                let allowed = at(entry, &["properties", "allowSharedKeyAccess"]).and_then(Value::as_bool);
                self.keys.insert(id(), allowed.unwrap_or(true));
            }
            "microsoft.machinelearningservices/workspaces" => {
                let mode = text(entry, &["properties", "systemDatastoresAuthMode"]);
                let workspace = Workspace {
                    on_identity: mode.is_some_and(|mode| !mode.eq_ignore_ascii_case("accesskey")),
                    changing: text(entry, &["properties", "provisioningState"]) == Some("Updating"),
                    account: lower(entry, &["properties", "storageAccount"]),
                    hub: lower(entry, &["properties", "hubResourceId"]),
                    principal: lower(entry, &["identity", "principalId"]),
                    assigned: assigned(entry),
                };
                self.workspaces.insert(id(), workspace);
            }
            "microsoft.authorization/roleassignments" => self.assignment(id(), entry),
            "microsoft.authorization/roledefinitions" => {
                let listed = entry.pointer("/properties/permissions/0/dataActions").and_then(Value::as_array);
                let data_actions = listed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
                let since = text(entry, &["properties", "updatedOn"]).and_then(|at| at.parse().ok());
                let own = OwnRole { data_actions, since: since.unwrap_or(Timestamp::MIN) };
                self.own_roles.insert(lower(entry, &["name"]).unwrap_or_default(), own);
            }
            "microsoft.authorization/denyassignments" => {
                let id = id();
                let (scope, _) =
                    id.split_once("/providers/microsoft.authorization/denyassignments/").unwrap_or_default();
                let all = at(entry, &["properties", "principals"]).and_then(Value::as_array).into_iter().flatten();
                let named = all.filter_map(|one| lower(one, &["id"])).collect();
                self.denies.insert(id.clone(), (scope.to_owned(), named));
            }
            "microsoft.machinelearningservices/workspaces/datastores" => {
                let id = id();
                let credentials = text(entry, &["properties", "credentials", "credentialsType"]).unwrap_or("None");
                let (workspace, name) = id.split_once("/datastores/").unwrap_or_default();
                if !credentials.eq_ignore_ascii_case("none") && !SYSTEM_DATASTORES.contains(&name) {
                    let account = lower(entry, &["properties", "accountName"]).unwrap_or_default();
                    let told = at(entry, &["properties"]).cloned().unwrap_or_default();
                    let stored = Stored { workspace: workspace.to_owned(), account, told };
                    self.stored.insert(id, stored);
                }
            }
            "microsoft.machinelearningservices/workspaces/computes" => {
                let mut found = assigned(entry);
                found.extend(lower(entry, &["identity", "principalId"]));
                self.computes.insert(id(), found);
            }
            "microsoft.managedidentity/userassignedidentities" => {
                let principal = lower(entry, &["properties", "principalId"]).unwrap_or_default();
                self.identities.insert(id(), principal);
            }
            "microsoft.graph/groups" => {
                let all = at(entry, &["members"]).and_then(Value::as_array).into_iter().flatten();
                for member in all.filter_map(Value::as_str) {
                    self.groups.entry(member.to_ascii_lowercase()).or_default().insert(id());
                }
            }
            _ => {}
        }
    }

    fn assignment(&mut self, id: String, entry: &Value) {
        let Some((scope, _)) = id.split_once("/providers/microsoft.authorization/roleassignments/") else { return };
        let since = ["createdOn", "updatedOn"]
            .iter()
            .filter_map(|name| text(entry, &["properties", name])?.parse::<Timestamp>().ok())
            .max();
        let role = text(entry, &["properties", "roleDefinitionId"]).unwrap_or_default();
        let made = Assignment {
            scope: scope.to_owned(),
            role: role.rsplit('/').next().unwrap_or_default().to_ascii_lowercase(),
            principal: lower(entry, &["properties", "principalId"]).unwrap_or_default(),
            conditional: text(entry, &["properties", "condition"]).is_some(),
            since: since.unwrap_or(Timestamp::MAX),
            description: text(entry, &["properties", "description"]).unwrap_or_default().to_owned(),
        };
        self.assignments.insert(id, made);
    }

    /// The workspaces on an account.
    pub(crate) fn on<'a>(&'a self, account: &'a str) -> impl Iterator<Item = (&'a String, &'a Workspace)> {
        self.workspaces.iter().filter(move |(_, workspace)| workspace.account.as_deref() == Some(account))
    }

    /// Whether the workspace's own identity has what the service gives it on its account.
    pub(crate) fn has_service_grant(&self, workspace: &str) -> bool {
        const BLOB_CONTRIBUTOR: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
        let one = self.workspaces.get(workspace);
        let own = one.and_then(|one| one.principal.as_deref().zip(one.account.as_deref()));
        own.is_some_and(|(principal, account)| {
            let (direct, by_group) = self.held_since(principal, BLOB_CONTRIBUTOR, account, true);
            direct.is_some() || by_group.is_some()
        })
    }

    /// Whether it is the identity of a workspace.
    pub(crate) fn is_own_identity(&self, principal: &str) -> bool {
        self.workspaces.values().any(|one| one.principal.as_deref() == Some(principal))
    }

    /// Whom a need of a workspace comes to.
    pub(crate) fn principals(&self, workspace: &str, need: &Need) -> Vec<String> {
        let own = self.workspaces.get(workspace);
        match &need.principal {
            PrincipalRef::Object { id, .. } => vec![id.to_string().to_ascii_lowercase()],
            PrincipalRef::ManagedIdentity(id) => {
                self.identities.get(&id.as_str().to_ascii_lowercase()).cloned().into_iter().collect()
            }
            PrincipalRef::Compute(name) => {
                let id = format!("{workspace}/computes/{}", name.to_ascii_lowercase());
                self.computes.get(&id).cloned().unwrap_or_default()
            }
            PrincipalRef::WorkspaceSystem => own.and_then(|own| own.principal.clone()).into_iter().collect(),
            PrincipalRef::WorkspaceUserAssigned => own.map(|own| own.assigned.clone()).unwrap_or_default(),
        }
    }

    /// Whether a principal is denied what an account holds, by itself or in a group. All that is denied here is all of it.
    pub(crate) fn is_denied(&self, principal: &str, account: &str) -> bool {
        let groups = self.groups.get(principal);
        let is_meant = |of: &String| of == principal || groups.is_some_and(|groups| groups.contains(of));
        self.denies.values().any(|(scope, named)| scope == account && named.iter().any(is_meant))
    }

    /// Since when a principal can do all that a role stands for on an account, by assignments to itself, and by those to
    /// groups that it is in too.
    pub(crate) fn held_since(
        &self,
        principal: &str,
        role: &str,
        account: &str,
        condition: bool,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        let reaches = |one: &Assignment| {
            let covers = account == one.scope || account.starts_with(&format!("{}/", one.scope));
            covers && (condition || !one.conditional)
        };
        let oldest = |meant: &dyn Fn(&str) -> bool| {
            let held = || self.assignments.values().filter(|one| meant(&one.principal) && reaches(one));
            let since = |action: &str| held().filter_map(|one| self.gives_since(one, role, action)).min();
            match data_actions(role) {
                Some(actions) => {
                    actions.iter().map(|action| since(action)).collect::<Option<Vec<_>>>()?.into_iter().max()
                }
                None => since(""),
            }
        };
        let groups = self.groups.get(principal);
        let direct = oldest(&|of| of == principal);
        (direct, oldest(&|of| of == principal || groups.is_some_and(|groups| groups.contains(of))))
    }

    /// Since when an assignment gives one of the data actions that a role stands for.
    fn gives_since(&self, one: &Assignment, role: &str, action: &str) -> Option<Timestamp> {
        if one.role == role || STRONGER.contains(&(&*one.role, role)) {
            return Some(one.since);
        }
        match self.own_roles.get(&one.role) {
            Some(own) => own.data_actions.contains(action).then(|| own.since.max(one.since)),
            None => data_actions(&one.role)?.contains(&action).then_some(one.since),
        }
    }
}

/// What a built-in role stands for.
fn data_actions(role: &str) -> Option<&'static [&'static str]> {
    catalog::ROLES.iter().find(|known| known.id.to_string() == role).map(|known| known.data_actions)
}

/// How long ago, at `now`; nothing for what is to come.
pub(crate) fn age(now: Timestamp, since: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// The principals of the user-assigned identities that a resource has.
fn assigned(entry: &Value) -> Vec<String> {
    let all = at(entry, &["identity", "userAssignedIdentities"]).and_then(Value::as_object).into_iter();
    all.flat_map(|all| all.values()).filter_map(|one| lower(one, &["principalId"])).collect()
}
