//! The tables that queries are asked of, as they were one lag ago.
//! Source: MicrosoftDocs/azure-docs `articles/governance/resource-graph/reference/supported-tables-resources.md`; the
//! columns: cloud-custodian/cloud-custodian, recording `test_resource_graph_and_arm_sources_storage_are_equivalent`.

use serde_json::{Value, json};

use super::Scopes;
use crate::azure::Azure;
use crate::graph_query::{Kind, QueryError, Table, unknown_table};
use crate::history::Past;
use crate::inventory::tracked;
use crate::roles::BUILT_IN;
use crate::world::{ASSIGNMENT, DEFINITION, GROUP, POLICY, SUBSCRIPTION, WORKSPACE};
use crate::{arm_id, json, time};

const COLUMNS: [(&str, Kind); 15] = [
    ("id", Kind::Text),
    ("name", Kind::Text),
    ("type", Kind::Text),
    ("tenantId", Kind::Text),
    ("kind", Kind::Text),
    ("location", Kind::Text),
    ("resourceGroup", Kind::Text),
    ("subscriptionId", Kind::Text),
    ("managedBy", Kind::Text),
    ("sku", Kind::Dynamic),
    ("plan", Kind::Dynamic),
    ("properties", Kind::Dynamic),
    ("tags", Kind::Dynamic),
    ("identity", Kind::Dynamic),
    ("zones", Kind::Dynamic),
];

impl Azure {
    /// A table by its lower-case name, with the rows in scope that the caller may read.
    pub(super) fn graph_table(&self, name: &str, caller: &str, scopes: &Scopes) -> Result<Table, QueryError> {
        let rows = match name {
            "resources" => self.rows_of(&tracked(), caller, scopes),
            "resourcecontainers" => self.containers(caller, scopes),
            "authorizationresources" => {
                let read = "Microsoft.Authorization/roleAssignments/read";
                let mut rows = self.rows_of(&[(ASSIGNMENT.to_owned(), read.to_owned())], caller, scopes);
                rows.extend(self.definitions());
                rows
            }
            "policyresources" => {
                let read = "Microsoft.Authorization/policyAssignments/read";
                self.rows_of(&[(POLICY.to_owned(), read.to_owned())], caller, scopes)
            }
            other => return Err(unknown_table(other)),
        };
        Ok(Table::new(&COLUMNS, rows))
    }

    /// The world as the index has it: as it was a while ago.
    fn indexed(&self) -> Past<'_> {
        self.world.past(time::before(self.now, self.speed.shorten(self.knobs.arg_lag)))
    }

    fn rows_of(&self, kinds: &[(String, String)], caller: &str, scopes: &Scopes) -> Vec<Value> {
        let past = self.indexed();
        let mut rows = Vec::new();
        for (kind, action) in kinds {
            let extends = matches!(kind.as_str(), ASSIGNMENT | POLICY);
            for (key, value) in past.of(kind) {
                let scope = if extends { arm_id::extension_scope(key) } else { key };
                if scopes.cover(scope, extends) && self.may(caller, action, scope) {
                    rows.push(self.row(key, kind, value));
                }
            }
        }
        rows.sort_by(|left, right| {
            left.get("id").and_then(Value::as_str).cmp(&right.get("id").and_then(Value::as_str))
        });
        rows
    }

    /// Subscriptions and groups, which follow from the ids of what is in them.
    fn containers(&self, caller: &str, scopes: &Scopes) -> Vec<Value> {
        let mut rows = Vec::new();
        for id in self.world.subscriptions().into_iter().filter(|id| scopes.names(id)) {
            let subscription = self.subscription_json(&id);
            let mut row = self.row(&format!("/subscriptions/{id}"), SUBSCRIPTION, &subscription);
            let name = json::text(&subscription, &["displayName"]).unwrap_or(&id);
            json::into_object(&mut row).insert("name".to_owned(), json!(name));
            rows.push(row);
            for group in self.world.groups(&id).into_keys() {
                if self.may(caller, "Microsoft.Resources/subscriptions/resourceGroups/read", &group) {
                    // Both lie one level deeper in this table's types than in ids.
                    let mut row = self.row(&group, GROUP, &self.group_json(&group));
                    json::into_object(&mut row)
                        .insert("type".to_owned(), json!("microsoft.resources/subscriptions/resourcegroups"));
                    rows.push(row);
                }
            }
        }
        rows
    }

    /// Role definitions, in the tenant's form of their ids, which official samples join with `roleDefinitionId`.
    /// Source: MicrosoftDocs/azure-docs `articles/role-based-access-control/troubleshoot-limits.md`.
    fn definitions(&self) -> Vec<Value> {
        let past = self.indexed();
        let custom = past.of(DEFINITION).into_iter().map(|(key, value)| (arm_id::name(key).to_owned(), value.clone()));
        let built_in = BUILT_IN.iter().map(|role| (role.id.to_owned(), role.to_json(None)));
        let row = |(guid, value): (String, Value)| {
            json!({
                "id": tenant_form(&guid), "name": guid, "type": DEFINITION, "tenantId": crate::token::TENANT_ID,
                "properties": value.get("properties"),
            })
        };
        built_in.chain(custom).map(row).collect()
    }

    /// Text is empty where nothing is; types and groups are in lower case.
    fn row(&self, key: &str, kind: &str, value: &Value) -> Value {
        let mut row = value.clone();
        let fields = json::into_object(&mut row);
        fields.insert("type".to_owned(), json!(kind));
        fields.entry("name").or_insert_with(|| json!(arm_id::name(key)));
        let tenant = self.tenant_of(arm_id::subscription(key).unwrap_or_default());
        fields.insert("tenantId".to_owned(), json!(tenant));
        fields.insert("subscriptionId".to_owned(), json!(arm_id::subscription(key).unwrap_or_default()));
        let group = arm_id::resource_group(key).map(arm_id::name).unwrap_or_default();
        fields.insert("resourceGroup".to_owned(), json!(group));
        let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) else { return row };
        // Whether the index shows the mode is not known; a knob.
        if kind == WORKSPACE && !self.knobs.arg_exposes_auth_mode {
            properties.remove("systemDatastoresAuthMode");
        }
        if let Some(role) = properties.get_mut("roleDefinitionId").filter(|_| kind == ASSIGNMENT) {
            *role = json!(tenant_form(arm_id::name(role.as_str().unwrap_or_default())));
        }
        row
    }
}

fn tenant_form(guid: &str) -> String {
    format!("/providers/Microsoft.Authorization/RoleDefinitions/{guid}")
}

impl Scopes {
    fn names(&self, subscription: &str) -> bool {
        self.subscriptions.contains(subscription)
    }

    /// Whether a row at this scope is asked for. What extends others is found by where it is attached.
    fn cover(&self, scope: &str, extends: bool) -> bool {
        match arm_id::subscription(scope) {
            None => extends && self.above,
            Some(subscription) => {
                self.names(subscription)
                    && (!extends || self.below || scope == format!("/subscriptions/{subscription}"))
            }
        }
    }
}
