//! Role assignments.

use serde_json::{Value, json};

use crate::fleet::dice::Dice;
use crate::fleet::place::Estate;
use crate::fleet::roles::Role;

pub(super) struct Grant<'a> {
    pub(super) scope: &'a str,
    pub(super) subscription: &'a str,
    pub(super) role: Role,
    pub(super) principal_id: &'a str,
    pub(super) principal_type: &'a str,
    pub(super) condition: Option<String>,
    pub(super) age_days: usize,
}

impl Grant<'_> {
    pub(super) fn render(&self, estate: &Estate, dice: &mut Dice) -> Value {
        let name = dice.guid();
        let created = estate.days_ago(self.age_days, dice);
        json!({
            "id": format!("{}/providers/Microsoft.Authorization/roleAssignments/{name}", self.scope),
            "name": name,
            "type": "Microsoft.Authorization/roleAssignments",
            "properties": {
                "roleDefinitionId": format!(
                    "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{}",
                    self.subscription, self.role.guid()
                ),
                "principalId": self.principal_id,
                "principalType": self.principal_type,
                "scope": dice.recase(self.scope, 10),
                "condition": self.condition,
                "conditionVersion": self.condition.as_ref().map(|_| "2.0"),
                "description": null,
                "delegatedManagedIdentityResourceId": null,
                "createdOn": created,
                "updatedOn": created,
                "createdBy": "",
                "updatedBy": "",
            },
        })
    }
}

/// Source of the form: <https://learn.microsoft.com/azure/storage/blobs/storage-auth-abac-examples>; that a project's
/// identity is limited to containers that begin with the project's GUID: "What is an Azure Machine Learning hub
/// workspace?", learn.microsoft.com.
pub(super) fn own_containers(guid: &str) -> String {
    let blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
    let outside: Vec<String> = ["read", "write", "delete", "add/action", "move/action"]
        .iter()
        .map(|action| format!("!(ActionMatches{{'{blobs}/{action}'}})"))
        .collect();
    format!(
        "(({}) OR (@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringStartsWith '{guid}'))",
        outside.join(" AND ")
    )
}
