//! One account with two workspaces of its own, people at work in them, and the documents that take it off keys or back:
//! many of them side by side make a fleet in which each meets something else.

use serde_json::{Value, json};

use keyless_core::action::assignment_name;
use keyless_core::id::{ArmId, PrincipalId, RoleId};

const SHARED: &str = "7c0e5f1a-2b3c-4d5e-8f90-a1b2c3d4e5f6";
const ML: &str = "Microsoft.MachineLearningServices/workspaces";
/// Storage Blob Data Contributor.
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage>.
pub const BLOB: &str = "ba92f5b4-2d11-453d-a403-e96b0029c9fe";
/// The owner of the simulator's own files.
const OWNER: &str = "keyless-sim";
const AUTHORIZATION: &str = "Microsoft.Authorization";

/// The names of the workspaces of every plot.
pub const NAMES: [&str; 2] = ["alpha", "bravo"];

/// Where the documents of a plot take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From keys to identity, nobody having a role yet.
    Forward,
    /// From identity to keys, with a leaver who still has a grant of this installation.
    Back,
}

/// The account, its workspaces and its people.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Of letters, digits and hyphens.
    pub name: &'static str,
    /// Its own, below 1,000.
    pub number: usize,
    pub way: Way,
    /// Whether it has a subscription of its own.
    pub apart: bool,
}

/// A resource that hangs on another.
pub fn extension(scope: &str, kind: &str, name: &str, properties: Value) -> Value {
    json!({"id": format!("{scope}/providers/{AUTHORIZATION}/{kind}/{name}"), "name": name,
        "type": format!("{AUTHORIZATION}/{kind}"), "properties": properties})
}

impl Plot {
    pub fn guid(&self, last: usize) -> String {
        format!("5c0e{:04}-0000-4000-8000-{last:012}", self.number)
    }

    pub fn subscription(&self) -> String {
        let id = if self.apart { self.guid(0) } else { SHARED.to_owned() };
        format!("/subscriptions/{id}")
    }

    /// The resource group of the account.
    pub fn group(&self) -> String {
        format!("{}/resourceGroups/rg-{}", self.subscription(), self.name)
    }

    /// The resource group of the workspaces, which is another.
    pub fn group_of_workspaces(&self) -> String {
        format!("{}-ml", self.group())
    }

    pub fn account(&self) -> String {
        format!("{}/providers/Microsoft.Storage/storageAccounts/stplot{:03}", self.group(), self.number)
    }

    pub fn workspace(&self, name: &str) -> String {
        format!("{}/providers/{ML}/{}-{name}", self.group_of_workspaces(), self.name)
    }

    /// The account with these properties beside those that every plot has.
    pub fn account_with(&self, more: &Value) -> Value {
        // Older than the workspaces, which were born with them.
        let made = "2025-01-01T00:00:00Z";
        let mut properties = json!({"keyCreationTime": {"key1": made, "key2": made}});
        if self.way == Way::Back {
            properties["allowSharedKeyAccess"] = json!(false);
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            properties[name] = value.clone();
        }
        json!({
            "id": self.account(), "type": "Microsoft.Storage/storageAccounts", "kind": "StorageV2",
            "location": "westeurope", "sku": {"name": "Standard_LRS", "tier": "Standard"}, "properties": properties,
        })
    }

    fn grant(&self, name: &str, principal: &str, kind: &str) -> Value {
        let properties = json!({
            "scope": self.account(), "principalId": principal, "principalType": kind,
            "roleDefinitionId": format!("/providers/{AUTHORIZATION}/roleDefinitions/{BLOB}"),
            "createdOn": "2026-01-01T00:00:00Z", "updatedOn": "2026-01-01T00:00:00Z",
        });
        extension(&self.account(), "roleAssignments", name, properties)
    }

    /// What the person who works in the first workspace needs.
    pub fn grant_to_the_first(&self) -> Value {
        self.grant(&self.guid(40), &self.guid(20), "User")
    }

    /// A grant to an identity that belongs to nothing here.
    pub fn grant_to_a_stranger(&self) -> Value {
        self.grant(&self.guid(91), &self.guid(90), "ServicePrincipal")
    }

    /// One of many grants in the same subscription that have nothing to do with the account.
    pub fn grant_elsewhere(&self, n: usize) -> Value {
        let group = format!("{}/resourceGroups/elsewhere", self.subscription());
        let properties = json!({
            "scope": group, "principalId": self.guid(10_000 + n), "principalType": "User", "createdOn": "2025-01-01T00:00:00Z",
            // Reader.
            "roleDefinitionId": format!("/providers/{AUTHORIZATION}/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"),
        });
        extension(&group, "roleAssignments", &self.guid(10_000 + n), properties)
    }

    pub fn stranger(&self) -> String {
        self.guid(90)
    }

    /// The grant of somebody who is in no document any more, made by this installation.
    fn grant_of_a_leaver(&self) -> Value {
        let leaver = self.guid(80);
        let principal = PrincipalId(leaver.parse().expect("a GUID"));
        let scope = ArmId::parse(&self.account()).expect("an id");
        let role: RoleId = BLOB.parse().expect("a GUID");
        self.grant(&assignment_name(OWNER, &scope, principal, role, None).to_string(), &leaver, "User")
    }

    /// Everything but what a test is about; the account comes from [`Plot::account_with`].
    pub fn resources(&self) -> Vec<Value> {
        let back = self.way == Way::Back;
        let mut resources = Vec::new();
        for (n, name) in NAMES.into_iter().enumerate() {
            let (workspace, own, person) = (self.workspace(name), self.guid(10 + n), self.guid(20 + n));
            let mode = if back { "Identity" } else { "AccessKey" };
            resources.push(json!({
                "id": workspace, "type": ML, "kind": "Default", "location": "westeurope",
                "systemData": {"createdAt": "2025-06-01T00:00:00Z"},
                "identity": {"type": "SystemAssigned", "principalId": own},
                "properties": {
                    "storageAccount": self.account(), "systemDatastoresAuthMode": mode, "provisioningState": "Succeeded",
                },
            }));
            resources.push(self.grant(&self.guid(30 + n), &own, "ServicePrincipal"));
            resources.push(json!({"type": "Microsoft.Graph/users", "id": person, "displayName": name}));
            if back {
                resources.push(self.grant(&self.guid(40 + n), &person, "User"));
            }
            resources.push(json!({
                "id": format!("{workspace}/providers/Keyless.Sim/workloads/w"), "type": "Keyless.Sim/workloads",
                "properties": {
                    "workspace": workspace, "principalId": person, "triesPerHour": 3600, "dataActions":
                        ["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"],
                },
            }));
        }
        if back {
            resources.push(json!({"type": "Microsoft.Graph/users", "id": self.guid(80), "displayName": "leaver"}));
            resources.push(self.grant_of_a_leaver());
        }
        resources
    }

    /// The documents; `account` is added to the `spec` of one for the account.
    pub fn documents(&self, account: &str) -> String {
        let mode = if self.way == Way::Back { "accesskey" } else { "identity" };
        let mut text = String::new();
        for (n, name) in NAMES.into_iter().enumerate() {
            text.push_str(&format!(
                "apiVersion: keyless.dev/v1\nkind: Workspace\nmetadata: {{name: {}-{name}}}\nspec:\n  \
                 resourceId: {}\n  authMode: {mode}\n  enforcement: enforce\n  access:\n    - principal: {{user: \
                 {{objectId: {}}}}}\n      scenarios: [datastores]\n---\n",
                self.name,
                self.workspace(name),
                self.guid(20 + n)
            ));
        }
        let word = if self.way == Way::Back { "  sharedKeyAccess: enabled\n" } else { "" };
        if !word.is_empty() || !account.is_empty() {
            text.push_str(&format!(
                "apiVersion: keyless.dev/v1\nkind: StorageAccount\nmetadata: {{name: {}}}\nspec:\n  resourceId: {}\n\
                 {word}{account}",
                self.name,
                self.account()
            ));
        }
        text
    }
}
