//! The body that a workspace, hub or project is made with.
//!
//! Source: the templates of "Disable shared key access for your workspace's storage account" and its edition for hubs;
//! Azure/azure-rest-api-specs `stable/2025-09-01/workspaceRP.json`.

use keyless_core::desired::{Create, CreateKind, Isolation, Parts};
use serde_json::{Map, Value, json};

/// The whole document, on identity-based access.
pub(crate) fn body(create: &Create) -> Value {
    let Create { location, kind, friendly_name, storage_account, public_network_access, isolation } = create;
    let mut properties = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            properties.insert(name.to_owned(), value);
        }
    };
    set("systemDatastoresAuthMode", Some(json!("Identity")));
    set("friendlyName", friendly_name.as_ref().map(|name| json!(name)));
    let kind = match kind {
        CreateKind::Project(hub) => {
            // Everything else is its hub's.
            set("hubResourceId", Some(json!(hub.as_str())));
            "Project"
        }
        CreateKind::Default(parts) | CreateKind::Hub(parts) => {
            let Parts { key_vault, application_insights, container_registry } = parts;
            set("storageAccount", Some(json!(storage_account.as_str())));
            set("keyVault", Some(json!(key_vault.as_str())));
            set("applicationInsights", application_insights.as_ref().map(|id| json!(id.as_str())));
            set("containerRegistry", container_registry.as_ref().map(|id| json!(id.as_str())));
            let mode = match isolation {
                Isolation::Disabled => "Disabled",
                Isolation::AllowInternetOutbound => "AllowInternetOutbound",
                Isolation::AllowOnlyApprovedOutbound => "AllowOnlyApprovedOutbound",
            };
            set("managedNetwork", Some(json!({"isolationMode": mode})));
            set("publicNetworkAccess", Some(json!(if *public_network_access { "Enabled" } else { "Disabled" })));
            if matches!(create.kind, CreateKind::Hub(_)) { "Hub" } else { "Default" }
        }
    };
    json!({
        "location": location,
        "kind": kind,
        "sku": {"name": "Basic", "tier": "Basic"},
        "identity": {"type": "SystemAssigned"},
        "properties": properties,
    })
}
