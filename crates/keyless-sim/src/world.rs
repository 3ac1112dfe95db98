//! Everything that exists, in ARM's own JSON, with the indexes that keep lookups short.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::history::History;
use crate::{arm_id, json};

pub(crate) const WORKSPACE: &str = "microsoft.machinelearningservices/workspaces";
pub(crate) const DATASTORE: &str = "microsoft.machinelearningservices/workspaces/datastores";
pub(crate) const COMPUTE: &str = "microsoft.machinelearningservices/workspaces/computes";
pub(crate) const JOB: &str = "microsoft.machinelearningservices/workspaces/jobs";
pub(crate) const ENDPOINT: &str = "microsoft.machinelearningservices/workspaces/onlineendpoints";
pub(crate) const ACCOUNT: &str = "microsoft.storage/storageaccounts";
pub(crate) const ASSIGNMENT: &str = "microsoft.authorization/roleassignments";
pub(crate) const DEFINITION: &str = "microsoft.authorization/roledefinitions";
pub(crate) const DENY: &str = "microsoft.authorization/denyassignments";
pub(crate) const ELIGIBILITY: &str = "microsoft.authorization/roleeligibilityscheduleinstances";
pub(crate) const LOCK: &str = "microsoft.authorization/locks";
pub(crate) const DIAGNOSTICS: &str = "microsoft.insights/diagnosticsettings";
pub(crate) const POLICY: &str = "microsoft.authorization/policyassignments";
pub(crate) const POLICY_DEFINITION: &str = "microsoft.authorization/policydefinitions";
pub(crate) const POLICY_SET: &str = "microsoft.authorization/policysetdefinitions";
pub(crate) const EXEMPTION: &str = "microsoft.authorization/policyexemptions";
pub(crate) const IDENTITY: &str = "microsoft.managedidentity/userassignedidentities";
pub(crate) const GROUP: &str = "microsoft.resources/resourcegroups";
pub(crate) const SUBSCRIPTION: &str = "microsoft.resources/subscriptions";
/// To which other tenant a subscription belongs.
pub(crate) const TENANT: &str = "keyless.sim/tenants";
pub(crate) const WORKLOAD: &str = "keyless.sim/workloads";
pub(crate) const KEY_USER: &str = "keyless.sim/keyusers";
pub(crate) const JOB_RUN: &str = "keyless.sim/jobs";
const DIRECTORY: [&str; 3] = ["microsoft.graph/users", "microsoft.graph/groups", "microsoft.graph/serviceprincipals"];
const KNOWN: &[&str] = &[
    WORKSPACE,
    DATASTORE,
    COMPUTE,
    JOB,
    ENDPOINT,
    ACCOUNT,
    ASSIGNMENT,
    DEFINITION,
    DENY,
    ELIGIBILITY,
    LOCK,
    DIAGNOSTICS,
    POLICY,
    POLICY_DEFINITION,
    POLICY_SET,
    EXEMPTION,
    IDENTITY,
    GROUP,
    SUBSCRIPTION,
    WORKLOAD,
    KEY_USER,
    JOB_RUN,
    TENANT,
];

/// The resources of a simulated cloud, each kept as the JSON it was given as.
#[derive(Debug, Clone, Default)]
pub struct World {
    entries: BTreeMap<String, Value>,
    by_type: BTreeMap<String, BTreeSet<String>>,
    at_scope: BTreeMap<String, BTreeSet<String>>,
    member_of: BTreeMap<String, BTreeSet<String>>,
    assignment_names: BTreeMap<String, String>,
    pub(crate) history: History,
}

impl World {
    /// Takes in what a `--world` file holds: ARM resources, directory objects, and the simulator's own entries.
    /// The second value counts entries that mean nothing here; a later entry of the same id replaces an earlier one.
    pub fn from_resources(resources: impl IntoIterator<Item = Value>) -> (Self, usize) {
        let mut world = Self::default();
        let ignored = resources.into_iter().map(|value| world.insert(value)).filter(|taken| !taken).count();
        (world, ignored)
    }

    /// The same form again, ordered by id.
    pub fn to_json(&self) -> Value {
        Value::Array(self.entries().cloned().collect())
    }

    /// Everything in it, ordered by id.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Value> {
        self.entries.values()
    }

    /// Adds or replaces an entry; false if it is of no kind that is known here.
    pub(crate) fn insert(&mut self, value: Value) -> bool {
        let Some((key, kind)) = identify(&value) else { return false };
        self.history.note(&key, self.entries.get(&key));
        self.take_out(&key);
        match kind.as_str() {
            ASSIGNMENT | DENY | ELIGIBILITY | LOCK | POLICY | EXEMPTION => {
                let scope = arm_id::extension_scope(&key).to_owned();
                self.at_scope.entry(scope).or_default().insert(key.clone());
                if kind == ASSIGNMENT {
                    self.assignment_names.insert(arm_id::name(&key).to_owned(), key.clone());
                }
            }
            "microsoft.graph/groups" => {
                for member in members(&value) {
                    self.member_of.entry(member).or_default().insert(key.clone());
                }
            }
            _ => {}
        }
        self.by_type.entry(kind).or_default().insert(key.clone());
        self.entries.insert(key, value);
        true
    }

    /// Takes an entry out, and says what it was.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Value> {
        self.history.note(key, self.entries.get(key));
        self.take_out(key)
    }

    fn take_out(&mut self, key: &str) -> Option<Value> {
        let value = self.entries.remove(key)?;
        for keys in self.by_type.values_mut() {
            keys.remove(key);
        }
        if let Some(keys) = self.at_scope.get_mut(arm_id::extension_scope(key)) {
            keys.remove(key);
        }
        if self.assignment_names.get(arm_id::name(key)).is_some_and(|named| named == key) {
            self.assignment_names.remove(arm_id::name(key));
        }
        for member in members(&value) {
            if let Some(groups) = self.member_of.get_mut(&member) {
                groups.remove(key);
            }
        }
        Some(value)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// For changes that leave id, type and membership alone.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let value = self.entries.get_mut(key)?;
        self.history.note(key, Some(value));
        Some(value)
    }

    /// The entry if it is of this type.
    pub(crate) fn typed(&self, kind: &str, key: &str) -> Option<&Value> {
        self.is_a(kind, key).then(|| self.entries.get(key)).flatten()
    }

    pub(crate) fn is_a(&self, kind: &str, key: &str) -> bool {
        self.by_type.get(kind).is_some_and(|keys| keys.contains(key))
    }

    /// Keys of a type below a scope, in order.
    pub(crate) fn keys_below<'a>(&'a self, kind: &str, scope: &'a str) -> impl Iterator<Item = &'a str> {
        self.by_type
            .get(kind)
            .into_iter()
            .flat_map(move |keys| keys.range(format!("{scope}/")..))
            .map(String::as_str)
            .take_while(move |key| arm_id::is_within(key, scope))
    }

    /// All keys of a type.
    pub(crate) fn keys_of(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.by_type.get(kind).into_iter().flatten().map(String::as_str)
    }

    /// Assignments, locks, denials and policies at the scope and above it, those of management groups included: one tenant
    /// root is above every subscription here.
    pub(crate) fn extensions_covering<'a>(
        &'a self,
        kind: &'a str,
        scope: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        const GROUPS: &str = "/providers/microsoft.management/managementgroups";
        let above = arm_id::scopes_above(scope).filter_map(|scope| self.at_scope.get(scope));
        let groups = self
            .at_scope
            .range(GROUPS.to_owned()..)
            .take_while(|(scope, _)| scope.starts_with(GROUPS))
            .filter(move |(group, _)| !arm_id::is_within(scope, group))
            .map(|(_, keys)| keys);
        above.chain(groups).flatten().filter(move |key| self.is_a(kind, key)).filter_map(|key| self.pair(key))
    }

    /// Assignments, locks, denials and policies strictly below the scope.
    pub(crate) fn extensions_below<'a>(
        &'a self,
        kind: &'a str,
        scope: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.at_scope
            .range(format!("{scope}/")..)
            .take_while(move |(below, _)| arm_id::is_within(below, scope))
            .flat_map(|(_, keys)| keys)
            .filter(move |key| self.is_a(kind, key))
            .filter_map(|key| self.pair(key))
    }

    fn pair<'a>(&'a self, key: &'a str) -> Option<(&'a str, &'a Value)> {
        self.entries.get(key).map(|value| (key, value))
    }

    /// The principal and every group it is in, directly or through groups.
    pub(crate) fn with_groups(&self, principal: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::from([principal.to_ascii_lowercase()]);
        let mut open: Vec<String> = found.iter().cloned().collect();
        while let Some(next) = open.pop() {
            for group in self.member_of.get(&next).into_iter().flatten() {
                if found.insert(group.clone()) {
                    open.push(group.clone());
                }
            }
        }
        found
    }

    /// Everybody in a group, directly or through groups, and no group itself; a principal that is none stands for itself.
    pub(crate) fn people_of(&self, principal: &str) -> BTreeSet<String> {
        let (mut people, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut open = vec![principal.to_ascii_lowercase()];
        while let Some(next) = open.pop() {
            if !seen.insert(next.clone()) {
                continue;
            }
            match self.typed("microsoft.graph/groups", &next) {
                Some(group) => open.extend(members(group)),
                None => {
                    people.insert(next);
                }
            }
        }
        people
    }

    /// The directory's type of a principal as `principalType` names it, if the directory knows it.
    pub(crate) fn principal_type(&self, principal: &str) -> Option<&'static str> {
        let principal = principal.to_ascii_lowercase();
        DIRECTORY
            .into_iter()
            .zip(["User", "Group", "ServicePrincipal"])
            .find(|(kind, _)| self.is_a(kind, &principal))
            .map(|(_, name)| name)
    }

    /// The account that a workspace's system datastores are on: its own, or its hub's.
    pub(crate) fn account_of(&self, workspace: &str) -> Option<String> {
        let mut workspace = self.typed(WORKSPACE, workspace)?;
        for _ in 0..4 {
            if let Some(account) = json::text(workspace, &["properties", "storageAccount"]).filter(|id| !id.is_empty())
            {
                return Some(arm_id::key(account));
            }
            let hub = json::text(workspace, &["properties", "hubResourceId"])?;
            workspace = self.typed(WORKSPACE, &arm_id::key(hub))?;
        }
        None
    }

    /// The assignment of this name, wherever it is: names are unique in a tenant.
    pub(crate) fn assignment_named(&self, name: &str) -> Option<&str> {
        self.assignment_names.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// Whether anything lies in the group.
    pub(crate) fn group_exists(&self, group: &str) -> bool {
        self.entries.contains_key(group) || self.anything_below(group)
    }

    /// Whether anything lies in the subscription.
    pub(crate) fn subscription_exists(&self, subscription: &str) -> bool {
        let scope = format!("/subscriptions/{subscription}");
        self.entries.contains_key(&scope) || self.anything_below(&scope)
    }

    /// Whether anything of a provider lies below the scope.
    pub(crate) fn holds_namespace(&self, scope: &str, namespace: &str) -> bool {
        let prefix = format!("{namespace}/");
        let kinds = self.by_type.range(prefix.clone()..).take_while(|(kind, _)| kind.starts_with(&prefix));
        let mut kinds = kinds.map(|(kind, _)| kind);
        kinds.any(|kind| self.keys_below(kind, scope).next().is_some())
    }

    fn anything_below(&self, scope: &str) -> bool {
        self.entries.range(format!("{scope}/")..).next().is_some_and(|(key, _)| arm_id::is_within(key, scope))
    }

    /// Every subscription that an id names.
    pub(crate) fn subscriptions(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut from = "/subscriptions/".to_owned();
        while let Some((key, _)) = self.entries.range(from..).next() {
            let Some(subscription) = arm_id::subscription(key) else { break };
            from = format!("/subscriptions/{subscription}0");
            found.insert(subscription.to_owned());
        }
        found
    }

    /// Every resource group of a subscription, as key and as written.
    pub(crate) fn groups(&self, subscription: &str) -> BTreeMap<String, String> {
        let scope = format!("/subscriptions/{subscription}/resourcegroups");
        let mut found = BTreeMap::new();
        let mut from = format!("{scope}/");
        while let Some((key, value)) = self.entries.range(from..).next() {
            let Some(group) = arm_id::resource_group(key).filter(|_| arm_id::is_within(key, &scope)) else { break };
            let written = value.get("id").and_then(Value::as_str).and_then(|id| id.split('/').nth(4));
            from = format!("{group}0");
            found.insert(group.to_owned(), written.unwrap_or_else(|| arm_id::name(group)).to_owned());
        }
        found
    }
}

fn members(value: &Value) -> impl Iterator<Item = String> {
    value
        .get("members")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|member| member.as_str().or_else(|| json::text(member, &["id"])))
        .map(str::to_ascii_lowercase)
}

fn identify(value: &Value) -> Option<(String, String)> {
    let id = value.get("id")?.as_str()?;
    let declared = value.get("type").and_then(Value::as_str).map(str::to_ascii_lowercase);
    if let Some(kind) = declared.as_ref().filter(|kind| DIRECTORY.contains(&kind.as_str())) {
        let plain = !id.is_empty() && !id.contains('/');
        return plain.then(|| (id.to_ascii_lowercase(), kind.clone()));
    }
    if !id.starts_with('/') || !value.is_object() {
        return None;
    }
    let key = arm_id::key(id);
    let kind = arm_id::type_of(&key)?;
    let known =
        KNOWN.contains(&kind.as_str()) || crate::plain::TYPES.iter().any(|plain| plain.eq_ignore_ascii_case(&kind));
    known.then_some((key, kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SCOPE: &str = "/subscriptions/s1/resourceGroups/Rg1/providers";

    fn world() -> World {
        let (world, ignored) = World::from_resources([
            json!({"id": format!("{SCOPE}/Microsoft.Storage/storageAccounts/a"), "type": "Microsoft.Storage/storageAccounts"}),
            json!({"id": format!("{SCOPE}/Microsoft.MachineLearningServices/workspaces/hub"), "kind": "Hub",
                "properties": {"storageAccount": format!("{SCOPE}/Microsoft.Storage/storageAccounts/A")}}),
            json!({"id": format!("{SCOPE}/Microsoft.MachineLearningServices/workspaces/project"), "kind": "Project",
                "properties": {"hubResourceId": format!("{SCOPE}/Microsoft.MachineLearningServices/workspaces/HUB")}}),
            json!({"type": "Microsoft.Graph/groups", "id": "G1", "members": ["U1"]}),
            json!({"type": "Microsoft.Graph/groups", "id": "G2", "members": [{"id": "g1"}]}),
            json!({"type": "Microsoft.Graph/users", "id": "U1"}),
            json!({"id": "/subscriptions/s1/providers/Microsoft.Network/virtualNetworks/v"}),
            json!({"value": 3}),
        ]);
        assert_eq!(ignored, 2);
        world
    }

    #[test]
    fn a_project_without_an_account_belongs_to_its_hubs() {
        let project = arm_id::key(&format!("{SCOPE}/Microsoft.MachineLearningServices/workspaces/project"));
        assert_eq!(
            world().account_of(&project),
            Some(arm_id::key(&format!("{SCOPE}/Microsoft.Storage/storageAccounts/a")))
        );
    }

    #[test]
    fn groups_are_followed_through_groups() {
        let all: Vec<_> = world().with_groups("u1").into_iter().collect();
        assert_eq!(all, ["g1", "g2", "u1"]);
        assert_eq!(world().principal_type("U1"), Some("User"));
    }

    #[test]
    fn subscriptions_and_groups_follow_from_the_ids() {
        assert_eq!(world().subscriptions().into_iter().collect::<Vec<_>>(), ["s1"]);
        assert_eq!(world().groups("s1").into_values().collect::<Vec<_>>(), ["Rg1"]);
        assert!(world().group_exists("/subscriptions/s1/resourcegroups/rg1"));
        assert!(!world().group_exists("/subscriptions/s1/resourcegroups/rg"));
    }

    #[test]
    fn what_goes_out_comes_in_again_as_the_same_world() {
        let json = world().to_json();
        let (again, ignored) = World::from_resources(json.as_array().unwrap().clone());
        assert_eq!((again.to_json(), ignored), (json, 0));
    }
}
