//! Who gets through the network rules of an account.
//! Source: Azure/bicep-types-az `generated/storage/microsoft.storage/2023-05-01/types.md`, `NetworkRuleSet`;
//! MicrosoftDocs/azure-docs `articles/storage/common/storage-network-security.md` for trusted services, which go before
//! `publicNetworkAccess` as one team observed, and are let in where `bypass` is not given
//! (hashicorp/terraform-provider-azurerm `website/docs/r/storage_account_network_rules.html.markdown`);
//! <https://learn.microsoft.com/azure/private-link/private-endpoint-overview>: only a private endpoint that was approved
//! carries traffic.
//!
//! People and jobs sit where addresses and subnets are let in, and behind any private endpoint there is: which of them
//! does not, is not simulated, and that is a design decision.

use serde_json::Value;

use crate::{access, json};

/// Whether requests through a workspace, or from outside of any, get through.
pub(crate) fn lets_in(account: &Value, workspace: Option<&str>) -> bool {
    let word = |path: &[&str]| json::text(account, path).unwrap_or_default().to_ascii_lowercase();
    let any = |path: &[&str]| json::at(account, path).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let named =
        any(&["properties", "networkAcls", "ipRules"]) || any(&["properties", "networkAcls", "virtualNetworkRules"]);
    let publicly = word(&["properties", "publicNetworkAccess"]) != "disabled"
        && (word(&["properties", "networkAcls", "defaultAction"]) != "deny" || named);
    let connections = json::at(account, &["properties", "privateEndpointConnections"]).and_then(Value::as_array);
    // A connection that tells no status is one of a world that leaves details out: design decision.
    let status = |connection: &Value| {
        json::text(connection, &["properties", "privateLinkServiceConnectionState", "status"]).map(str::to_owned)
    };
    let approved = |connection| status(connection).is_none_or(|status| status.eq_ignore_ascii_case("Approved"));
    if publicly || connections.into_iter().flatten().any(approved) {
        return true;
    }
    let Some(workspace) = workspace else { return false };
    let bypass = json::text(account, &["properties", "networkAcls", "bypass"]).is_none()
        || word(&["properties", "networkAcls", "bypass"]).split(',').any(|one| one.trim() == "azureservices");
    let rules = json::at(account, &["properties", "networkAcls", "resourceAccessRules"]).and_then(Value::as_array);
    let mut instances = rules.into_iter().flatten().filter_map(|rule| json::text(rule, &["resourceId"]));
    bypass || instances.any(|rule| access::matches(rule, workspace))
}
