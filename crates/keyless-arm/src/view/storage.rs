//! Storage accounts.

use std::collections::BTreeSet;

use keyless_core::observed::{Account, KeyTimes, Network, PublicAccess, ServiceFlags, SharedKeyAccess, StorageService};

use super::node::{Node, Result};

/// One account.
pub(crate) fn account(node: &Node<'_>) -> Result<Account> {
    let properties = node.object("properties")?;
    let shared_key = match properties.opt_bool("allowSharedKeyAccess")? {
        Some(true) => SharedKeyAccess::Allowed,
        Some(false) => SharedKeyAccess::Disallowed,
        None if properties.has("allowSharedKeyAccess") => SharedKeyAccess::Null,
        None => SharedKeyAccess::Absent,
    };
    Ok(Account {
        id: node.parse("id")?,
        shared_key,
        services: service_flags(&properties)?,
        network: network(&properties)?,
        key_times: key_times(&properties),
        provisioning_state: properties.opt_text("provisioningState").ok().flatten().map(str::to_owned),
        blob_endpoint: blob_endpoint(&properties),
        location: node.opt_text("location")?.unwrap_or_default().to_owned(),
    })
}

/// Only one request that is asked for rests on it, so that a strange word spoils nothing else.
fn blob_endpoint(properties: &Node<'_>) -> Option<String> {
    let endpoints = properties.opt_object("primaryEndpoints").ok().flatten()?;
    endpoints.opt_text("blob").ok().flatten().map(str::to_owned)
}

/// What single services say; one that says nothing follows the account.
fn service_flags(properties: &Node<'_>) -> Result<ServiceFlags> {
    let mut flags = ServiceFlags::default();
    let Some(services) = properties.opt("allowSharedKeyAccessForServices") else { return Ok(flags) };
    for service in StorageService::ALL {
        let enabled = services.opt(service.as_str()).map(|own| own.opt_bool("enabled")).transpose()?.flatten();
        flags.0.extend(enabled.map(|enabled| (service, enabled)));
    }
    Ok(flags)
}

/// Its network rules.
fn network(properties: &Node<'_>) -> Result<Network> {
    let public = match properties.opt_text("publicNetworkAccess")? {
        None => PublicAccess::Enabled,
        Some(word) if word.eq_ignore_ascii_case("Enabled") => PublicAccess::Enabled,
        Some(word) if word.eq_ignore_ascii_case("Disabled") => PublicAccess::Disabled,
        Some(word) => PublicAccess::Other(word.to_owned()),
    };
    let mut private_endpoints = false;
    for connection in properties.items("privateEndpointConnections")? {
        private_endpoints |= is_connected(&connection)?;
    }
    let Some(rules) = properties.opt_object("networkAcls")? else {
        // Without rules trusted services are let in, which is the default of `bypass`.
        return Ok(Network { public, private_endpoints, trusted_services: true, ..Network::default() });
    };
    let bypass = rules.opt_text("bypass")?.unwrap_or("AzureServices");
    let mut instances = BTreeSet::new();
    for rule in rules.items("resourceAccessRules")? {
        instances.extend(rule.opt_text("resourceId")?.map(str::to_owned));
    }
    Ok(Network {
        public,
        // A word that is not known may let anybody in.
        default_deny: rules.opt_text("defaultAction")?.is_some_and(|action| action.eq_ignore_ascii_case("Deny")),
        lets_some_in: !rules.items("ipRules")?.is_empty() || !rules.items("virtualNetworkRules")?.is_empty(),
        trusted_services: bypass.split(',').any(|word| word.trim().eq_ignore_ascii_case("AzureServices")),
        instances,
        private_endpoints,
    })
}

/// Whether a private endpoint carries traffic: only an approved one does. One that does not tell its state may.
///
/// Source: <https://learn.microsoft.com/azure/private-link/private-endpoint-overview>.
fn is_connected(connection: &Node<'_>) -> Result<bool> {
    let Some(properties) = connection.opt_object("properties")? else { return Ok(true) };
    let Some(state) = properties.opt_object("privateLinkServiceConnectionState")? else { return Ok(true) };
    Ok(state.opt_text("status")?.is_none_or(|status| status.eq_ignore_ascii_case("Approved")))
}

/// What cannot be understood is not told, which callers must take for "made just now".
fn key_times(properties: &Node<'_>) -> KeyTimes {
    let Ok(Some(times)) = properties.opt_object("keyCreationTime") else { return KeyTimes::default() };
    let time = |name| times.opt_time(name).ok().flatten();
    KeyTimes { key1: time("key1"), key2: time("key2") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stmlprod";

    #[test]
    fn absent_null_true_and_false_are_kept_apart() {
        let check = |properties: serde_json::Value, expected| {
            let body = json!({"id": ID, "location": "westeurope", "properties": properties});
            assert_eq!(account(&Node::root(&body)).unwrap().shared_key, expected);
        };
        check(json!({}), SharedKeyAccess::Absent);
        check(json!({"allowSharedKeyAccess": null}), SharedKeyAccess::Null);
        check(json!({"allowSharedKeyAccess": true}), SharedKeyAccess::Allowed);
        check(json!({"allowSharedKeyAccess": "False"}), SharedKeyAccess::Disallowed);
    }

    #[test]
    fn the_flags_of_single_services_are_read_and_say_nothing_of_the_account() {
        let flags = |services: serde_json::Value| {
            let body = json!({"id": ID, "properties": {"allowSharedKeyAccessForServices": services}});
            account(&Node::root(&body)).map(|account| (account.shared_key, account.services.to_string()))
        };
        let some = json!({"blob": {"enabled": false}, "file": {"enabled": true}, "queue": {}, "table": null});
        assert_eq!(flags(some).unwrap(), (SharedKeyAccess::Absent, "blob off, file on".to_owned()));
        assert_eq!(flags(json!(null)).unwrap().1, "");
        assert!(flags(json!({"blob": {"enabled": "perhaps"}})).is_err());
    }

    #[test]
    fn network_rules_are_read_and_what_is_not_known_lets_in() {
        let read = |properties: serde_json::Value| {
            let body = json!({"id": ID, "location": "westeurope", "properties": properties});
            account(&Node::root(&body)).unwrap().network
        };
        assert!(read(json!({})).is_open());
        assert!(read(json!({"publicNetworkAccess": "enabled", "networkAcls": {"defaultAction": "Allow"}})).is_open());
        let shut = read(json!({"publicNetworkAccess": "Disabled", "privateEndpointConnections": [], "networkAcls": {
            "bypass": "Logging, Metrics", "defaultAction": "deny", "ipRules": [], "virtualNetworkRules": [],
            "resourceAccessRules": [{"tenantId": "t", "resourceId": "/subscriptions/s/*"}]}}));
        assert!(shut.default_deny && !shut.lets_some_in && !shut.trusted_services && !shut.private_endpoints);
        assert_eq!((shut.public, shut.instances.len()), (PublicAccess::Disabled, 1));
        let perimeter =
            read(json!({"publicNetworkAccess": "SecuredByPerimeter", "networkAcls": {"bypass": "AzureServices",
            "ipRules": [{"value": "203.0.113.7"}]}}));
        assert!(perimeter.trusted_services && perimeter.lets_some_in && !perimeter.is_open());
    }

    #[test]
    fn a_private_endpoint_that_nobody_approved_is_no_way_in() {
        let read = |connections: serde_json::Value| {
            let body = json!({"id": ID, "properties": {"privateEndpointConnections": connections}});
            account(&Node::root(&body)).unwrap().network.private_endpoints
        };
        let state = |status| json!({"properties": {"privateLinkServiceConnectionState": {"status": status}}});
        assert!(!read(json!([])));
        assert!(!read(json!([state("Pending"), state("Rejected"), state("Disconnected")])));
        assert!(read(json!([state("Pending"), state("approved")])));
        assert!(read(json!([{"id": "/x"}])), "what does not tell may let in");
    }

    #[test]
    fn closed_enums_of_the_model_do_not_break_the_read() {
        let body = json!({
            "id": ID, "properties": {"provisioningState": "Brandnew", "accessTier": "Frozen", "creationTime": "??"},
            "sku": {"tier": 5}, "kind": "StorageV9"
        });
        let read = account(&Node::root(&body)).unwrap();
        assert_eq!((read.shared_key, read.provisioning_state.as_deref()), (SharedKeyAccess::Absent, Some("Brandnew")));
        let odd = json!({"id": ID, "properties": {"provisioningState": 5}});
        assert_eq!(account(&Node::root(&odd)).unwrap().provisioning_state, None, "it decides nothing");
    }

    #[test]
    fn a_flag_that_is_no_flag_is_an_error() {
        for body in [
            json!({"id": ID, "properties": {"allowSharedKeyAccess": "perhaps"}}),
            json!({"id": ID}),
            json!({"id": "/x", "properties": {}}),
            json!([]),
        ] {
            assert!(account(&Node::root(&body)).is_err(), "{body}");
        }
    }

    #[test]
    fn when_keys_were_made_is_told_or_unknown_and_never_spoils_the_read() {
        let read = |times: serde_json::Value| {
            let body = json!({"id": ID, "properties": {"keyCreationTime": times}});
            account(&Node::root(&body)).unwrap().key_times
        };
        let told = read(json!({"key1": "2024-06-03T08:10:02.6Z", "key2": "2026-01-01T00:00:00.0000000+00:00"}));
        assert_eq!(told.newest(), Some("2026-01-01T00:00:00Z".parse().unwrap()));
        for odd in [json!(null), json!([]), json!({}), json!({"key1": "2024-06-03T08:10:02Z", "key2": null})] {
            assert_eq!(read(odd.clone()).newest(), None, "{odd}");
        }
        assert_eq!(read(json!({"key1": "soon", "key2": 5})), KeyTimes::default());
    }
}
