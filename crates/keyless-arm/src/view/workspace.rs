//! Workspaces, hubs and projects, and what lies below them.

use std::collections::BTreeMap;

use keyless_core::id::{ManagedIdentityId, StorageAccountId};
use keyless_core::observed::{
    Compute, Datastore, DatastoreCredentials, DatastoreForm, Identity, ObservedAuthMode, Workspace, WorkspaceKind,
};
use uuid::Uuid;

use super::node::{Node, Result};
use crate::stored::StoredDatastore;

/// One workspace, hub or project.
pub(crate) fn workspace(node: &Node<'_>) -> Result<Workspace> {
    let properties = node.object("properties")?;
    let mut accounts = accounts(&properties)?.into_iter();
    Ok(Workspace {
        id: node.parse("id")?,
        kind: WorkspaceKind::from_wire(node.opt_text("kind")?),
        storage_account: accounts.next(),
        more_accounts: accounts.collect(),
        hub: properties.opt_parse("hubResourceId")?,
        auth_mode: ObservedAuthMode::from_wire(properties.opt_text("systemDatastoresAuthMode")?),
        identity: identity(node)?,
        primary_identity: properties.opt_parse("primaryUserAssignedIdentity")?,
        data_isolation: properties.opt_bool("enableDataIsolation")?,
        // One that is not understood makes no condition the service's own.
        guid: properties.opt_text("workspaceId")?.and_then(|guid| guid.parse().ok()),
        managed_network: managed_network(&properties)?,
        provisioning_state: properties.opt_text("provisioningState")?.map(str::to_owned),
        // Not understood is not told: keys then count as made after it.
        created_at: node.opt_object("systemData").ok().flatten().and_then(|data| data.opt_time("createdAt").ok()?),
        location: node.opt_text("location")?.unwrap_or_default().to_owned(),
        tenant: tenant(node, &properties),
    })
}

/// The tenant of a workspace, or of its identities, which are made in it; one that is not understood is not told.
fn tenant(node: &Node<'_>, properties: &Node<'_>) -> Option<Uuid> {
    let told = |node: &Node<'_>| node.opt_text("tenantId").ok().flatten()?.parse().ok();
    told(properties).or_else(|| told(&node.opt_object("identity").ok().flatten()?))
}

/// Every account that a workspace names, each once: `storageAccount`, `storageAccounts`, in which some versions name those
/// of a hub, and those that a hub hands on to its projects. The first is the one that it stands on.
fn accounts(properties: &Node<'_>) -> Result<Vec<StorageAccountId>> {
    let mut accounts: Vec<StorageAccountId> = properties.opt_parse("storageAccount")?.into_iter().collect();
    let mut named = properties.items("storageAccounts")?;
    if let Some(hub) = properties.opt_object("workspaceHubConfig")? {
        named.extend(hub.items("additionalWorkspaceStorageAccounts")?);
    }
    for item in named {
        match StorageAccountId::parse(item.as_text()?) {
            Ok(account) if accounts.contains(&account) => {}
            Ok(account) => accounts.push(account),
            Err(error) => return item.fail(error.to_string()),
        }
    }
    Ok(accounts)
}

/// The identities of a resource.
pub(super) fn identity(node: &Node<'_>) -> Result<Identity> {
    let Some(identity) = node.opt_object("identity")? else { return Ok(Identity::default()) };
    let mut user_assigned = BTreeMap::new();
    if let Some(map) = identity.opt_object("userAssignedIdentities")? {
        for (id, details) in map.members() {
            match ManagedIdentityId::parse(id) {
                Ok(id) => user_assigned.insert(id, details.opt_parse("principalId")?),
                Err(error) => return map.fail(error.to_string()),
            };
        }
    }
    Ok(Identity { system: identity.opt_parse("principalId")?, user_assigned })
}

/// Whether the service isolates the workspace; a mode that is not known may be one that does.
fn managed_network(properties: &Node<'_>) -> Result<bool> {
    let Some(network) = properties.opt_object("managedNetwork")? else { return Ok(false) };
    Ok(network.opt_text("isolationMode")?.is_some_and(|mode| !mode.eq_ignore_ascii_case("Disabled")))
}

/// One compute. Its type and its identity decide whether it goes on working: neither may be guessed. What is not understood
/// of one is not known of the whole list, so the error names the one to look at.
pub(crate) fn compute(node: &Node<'_>) -> Result<Compute> {
    understood(node).map_err(|error| match node.opt_text("name") {
        Ok(Some(name)) => error.of(format_args!("compute `{name}`")),
        Ok(None) | Err(_) => error,
    })
}

fn understood(node: &Node<'_>) -> Result<Compute> {
    let properties = node.object("properties")?;
    let compute_type = properties.text("computeType")?.to_owned();
    // Of an instance: what it does now. Where it is missing it counts as at work.
    let details = properties.opt_object("properties")?;
    let state =
        details.map(|details| details.opt_text("state").map(|state| state.map(str::to_owned))).transpose()?.flatten();
    let identity = identity(node)?;
    if let Some(block) = node.opt_object("identity")? {
        let kind = block.opt_text("type")?.unwrap_or_default().to_ascii_lowercase();
        if kind.contains("systemassigned") && identity.system.is_none() {
            return block.fail("it is system-assigned and `principalId` is missing");
        }
        if kind.contains("userassigned") && identity.user_assigned.is_empty() {
            return block.fail("it is user-assigned and `userAssignedIdentities` is missing");
        }
    }
    Ok(Compute { name: node.text("name")?.to_owned(), compute_type, identity, state })
}

/// Datastore types that stand on a storage account which must therefore be named.
const ON_AN_ACCOUNT: &[&str] = &["azureblob", "azurefile", "azuredatalakegen2"];

/// One datastore.
pub(crate) fn datastore(node: &Node<'_>) -> Result<Datastore> {
    let properties = node.object("properties")?;
    // One that does not say what it is may keep its account in a place that is not known here.
    let kind = properties.text("datastoreType")?.to_ascii_lowercase();
    let account_name = properties.opt_text("accountName")?.map(str::to_owned);
    if account_name.is_none() && ON_AN_ACCOUNT.contains(&kind.as_str()) {
        return properties.fail("`accountName` is missing");
    }
    let word = match properties.opt_object("credentials")? {
        Some(credentials) => credentials.opt_text("credentialsType")?,
        None => None,
    };
    let credentials = match word.map(str::to_ascii_lowercase).as_deref() {
        Some("none") => DatastoreCredentials::None,
        Some("accountkey") => DatastoreCredentials::AccountKey,
        Some("sas") => DatastoreCredentials::Sas,
        Some("serviceprincipal" | "certificate") => {
            DatastoreCredentials::Principal(word.unwrap_or_default().to_owned())
        }
        _ => DatastoreCredentials::Other(word.unwrap_or("not told").to_owned()),
    };
    let text = |name: &str| Ok(properties.opt_text(name)?.map(str::to_owned));
    let mut space = None;
    for name in ["containerName", "filesystem", "fileShareName", "storeName"] {
        space = space.or(text(name)?);
    }
    let form = DatastoreForm {
        kind: properties.text("datastoreType")?.to_owned(),
        space,
        subscription: text("subscriptionId")?,
        resource_group: text("resourceGroup")?,
        service_access: text("serviceDataAccessAuthIdentity")?,
    };
    Ok(Datastore { name: node.text("name")?.to_owned(), account_name, credentials, form })
}

/// One datastore with everything that was said of it.
pub(crate) fn stored_datastore(node: &Node<'_>) -> Result<StoredDatastore> {
    let datastore = datastore(node)?;
    let Some(properties) = node.object("properties")?.raw().as_object() else {
        return node.fail("`properties` is not an object");
    };
    Ok(StoredDatastore { datastore, properties: properties.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const GROUP: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg";

    fn read(properties: Value) -> Result<Workspace> {
        let id = format!("{GROUP}/providers/microsoft.machinelearningservices/WORKSPACES/mlw-churn");
        let body = json!({"id": id, "kind": "HUB", "properties": properties, "extra": [1]});
        workspace(&Node::root(&body))
    }

    fn account(name: &str) -> String {
        format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/{name}")
    }

    #[test]
    fn the_tenant_is_the_workspaces_own_word_or_that_of_its_identities() {
        const ONE: &str = "6b1f0f52-3c9e-4a5c-9a0d-2f7f2f6f4e11";
        const OTHER: &str = "a602cbf4-21c3-4761-b54e-acf397842b82";
        let told = |properties: Value, identity: Value| {
            let id = format!("{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/churn");
            let body = json!({"id": id, "properties": properties, "identity": identity});
            workspace(&Node::root(&body)).unwrap().tenant.map(|tenant| tenant.to_string())
        };
        let identity = json!({"type": "SystemAssigned", "principalId": OTHER, "tenantId": OTHER});
        assert_eq!(told(json!({"tenantId": ONE}), identity.clone()).as_deref(), Some(ONE));
        assert_eq!(told(json!({}), identity).as_deref(), Some(OTHER));
        assert_eq!(told(json!({"tenantId": "contoso"}), Value::Null), None);
        assert_eq!(told(json!({}), json!({"type": "None"})), None);
    }

    #[test]
    fn the_mode_is_read_without_case_and_absence_is_unset() {
        let mode = |properties| read(properties).unwrap().auth_mode;
        assert_eq!(mode(json!({"systemDatastoresAuthMode": "identity"})), ObservedAuthMode::Identity);
        assert_eq!(mode(json!({"systemDatastoresAuthMode": "AccessKey"})), ObservedAuthMode::AccessKey);
        assert_eq!(
            mode(json!({"systemDatastoresAuthMode": "UserDelegationSAS"})),
            ObservedAuthMode::Other("UserDelegationSAS".to_owned())
        );
        assert_eq!(mode(json!({"systemDatastoresAuthMode": null})), ObservedAuthMode::Unset);
        assert_eq!(mode(json!({})), ObservedAuthMode::Unset);
        assert!(read(json!({"systemDatastoresAuthMode": 1})).is_err());
    }

    #[test]
    fn the_time_of_its_making_is_told_or_unknown() {
        let read = |data: Value| {
            let id = format!("{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/mlw-churn");
            workspace(&Node::root(&json!({"id": id, "properties": {}, "systemData": data}))).unwrap().created_at
        };
        let told = read(json!({"createdAt": "2024-06-03T08:12:44.1031225Z"}));
        assert_eq!(told.unwrap().to_string(), "2024-06-03T08:12:44.1031225Z");
        for odd in [json!(null), json!([]), json!({}), json!({"createdAt": "then"}), json!({"createdAt": 5})] {
            assert_eq!(read(odd.clone()), None, "{odd}");
        }
    }

    #[test]
    fn a_hub_may_name_its_account_in_an_array() {
        let found =
            read(json!({"storageAccount": null, "storageAccounts": [account("one1"), account("ONE1")]})).unwrap();
        assert_eq!(found.storage_account.unwrap().name(), "one1");
        assert_eq!(found.kind, WorkspaceKind::Hub);
        let found = read(json!({
            "storageAccounts": [account("one1"), account("two2")],
            "workspaceHubConfig": {"additionalWorkspaceStorageAccounts": [account("TWO2"), account("three3")]}
        }))
        .unwrap();
        assert_eq!(found.storage_account.unwrap().name(), "one1");
        let more: Vec<&str> = found.more_accounts.iter().map(StorageAccountId::name).collect();
        assert_eq!(more, ["three3", "two2"], "it holds the key of each");
        assert!(read(json!({"workspaceHubConfig": {"additionalWorkspaceStorageAccounts": ["/x"]}})).is_err());
        assert!(read(json!({"storageAccounts": "x"})).is_err());
        assert_eq!(read(json!({"storageAccount": ""})).unwrap().storage_account, None);
        assert!(read(json!({"storageAccount": "/not/an/account"})).is_err());
    }

    #[test]
    fn identities_are_read_from_both_spellings() {
        let uami = format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/train");
        let principal = "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f";
        let body = json!({"name": "cpu", "properties": {"computeType": "AmlCompute"}, "identity": {
            "type": "SystemAssigned, UserAssigned", "principalId": principal,
            "userAssignedIdentities": {uami: null}
        }});
        let found = compute(&Node::root(&body)).unwrap();
        assert_eq!(found.identity.system, Some(principal.parse().unwrap()));
        assert_eq!(found.identity.user_assigned.values().collect::<Vec<_>>(), [&None]);
        let body = json!({"name": "cpu", "properties": {"computeType": "AmlCompute"},
            "identity": {"userAssignedIdentities": {"garbage": {}}}});
        assert!(compute(&Node::root(&body)).is_err());
    }

    #[test]
    fn what_is_odd_of_a_compute_is_told_with_its_name_and_the_field() {
        let why = |identity: Value| {
            let body = json!({"value": [
                {"name": "cpu", "properties": {"computeType": "AmlCompute"}},
                {"name": "gpu-2", "properties": {"computeType": "AmlCompute"}, "identity": identity},
            ]});
            let all = Node::root(&body).items("value").unwrap();
            all.iter().map(compute).collect::<Result<Vec<_>>>().unwrap_err().to_string()
        };
        assert_eq!(
            why(json!({"type": "SystemAssigned"})),
            "body.value[1].identity: it is system-assigned and `principalId` is missing (compute `gpu-2`)"
        );
        let odd = why(json!({"type": "SystemAssigned", "principalId": 5}));
        assert!(
            odd.starts_with("body.value[1].identity.principalId: ") && odd.ends_with(" (compute `gpu-2`)"),
            "{odd}"
        );
    }

    #[test]
    fn a_compute_whose_type_or_identity_is_not_told_is_an_error() {
        let read = |identity: Value, properties: Value| {
            let body = json!({"name": "dev", "properties": properties, "identity": identity});
            compute(&Node::root(&body)).is_ok()
        };
        let instance = json!({"computeType": "ComputeInstance"});
        assert!(read(Value::Null, instance.clone()));
        assert!(read(json!({"type": "None"}), instance.clone()));
        assert!(!read(json!({"type": "SystemAssigned"}), instance.clone()));
        assert!(!read(json!({"type": "UserAssigned", "userAssignedIdentities": null}), instance));
        assert!(!read(Value::Null, json!({})));
        assert!(!read(Value::Null, Value::Null));
    }

    #[test]
    fn an_instance_is_down_only_where_azure_says_so() {
        let up = |details: Value| {
            let body = json!({"name": "dev", "properties": {"computeType": "ComputeInstance", "properties": details}});
            compute(&Node::root(&body)).map(|found| found.is_instance_up()).ok()
        };
        assert_eq!(up(json!({"state": "Stopped"})), Some(false));
        assert_eq!(up(json!({"state": "stopped", "vmSize": "x"})), Some(false));
        assert_eq!(up(json!({"state": "Running"})), Some(true));
        assert_eq!(up(json!({"state": "Dreaming"})), Some(true));
        for untold in [json!({"state": null}), json!({}), Value::Null] {
            assert_eq!(up(untold), Some(true));
        }
        assert_eq!(up(json!({"state": ["Stopped"]})), None);
    }

    #[test]
    fn a_datastore_whose_credentials_are_not_told_counts_as_one_that_needs_the_key() {
        let read = |properties: Value| {
            let body = json!({"name": "raw", "properties": properties});
            datastore(&Node::root(&body))
        };
        let blob = |credentials: Value| {
            read(json!({"datastoreType": "AzureBlob", "accountName": "stml", "credentials": credentials})).unwrap()
        };
        assert!(!blob(json!({"credentialsType": "none"})).credentials.may_need_key());
        assert!(blob(json!({"credentialsType": "AccountKey"})).credentials.may_need_key());
        assert!(blob(json!({"credentialsType": "SAS"})).credentials.may_need_key());
        assert!(blob(json!({"credentialsType": "Brandnew"})).credentials.may_need_key());
        assert!(blob(json!(null)).credentials.may_need_key());
        assert!(!blob(json!({"credentialsType": "Certificate"})).credentials.may_need_key());
        assert!(read(json!({"datastoreType": "AzureFile"})).is_err());
        assert!(read(json!({"contents": {"contentsType": "AzureBlob", "accountName": "stml"}})).is_err());
        assert_eq!(read(json!({"datastoreType": "AzureDataLakeGen1", "storeName": "x"})).unwrap().account_name, None);
    }
}
