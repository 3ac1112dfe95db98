//! Storage accounts.
//! Source: Azure/bicep-types-az `generated/storage/microsoft.storage/2023-05-01/types.md`, azure-mgmt-storage 25.3.0, and
//! "Common Error Codes for Storage Resource Provider" of the Azure REST documentation.

use serde_json::{Value, json};

use crate::azure::{Actor, Azure};
use crate::request::{Answer, Call, Reply};
use crate::world::ACCOUNT;
use crate::{arm_id, json, time};

const TYPE: &str = "Microsoft.Storage/storageAccounts";
const WRITE: &str = "Microsoft.Storage/storageAccounts/write";
const DELETE: &str = "Microsoft.Storage/storageAccounts/delete";

/// What the service says of an account by itself: a PUT leaves it as it is, whatever the document says.
/// Source: Azure/bicep-types-az `generated/storage/microsoft.storage/2023-05-01/types.md`, properties marked read-only.
const OWN: [&str; 9] = [
    "creationTime",
    "keyCreationTime",
    "primaryEndpoints",
    "primaryLocation",
    "privateEndpointConnections",
    "provisioningState",
    "secondaryEndpoints",
    "secondaryLocation",
    "statusOfPrimary",
];

/// What an update may change; whatever else is sent is passed over.
/// Source: azure-mgmt-storage 25.3.0, `StorageAccountPropertiesUpdateParameters`.
const SETTABLE: [&str; 23] = [
    "accessTier",
    "allowBlobPublicAccess",
    "allowCrossTenantReplication",
    "allowSharedKeyAccess",
    "allowSharedKeyAccessForServices",
    "allowedCopyScope",
    "azureFilesIdentityBasedAuthentication",
    "customDomain",
    "defaultToOAuthAuthentication",
    "dnsEndpointType",
    "enableExtendedGroups",
    "encryption",
    "immutableStorageWithVersioning",
    "isLocalUserEnabled",
    "isSftpEnabled",
    "keyPolicy",
    "largeFileSharesState",
    "minimumTlsVersion",
    "networkAcls",
    "publicNetworkAccess",
    "routingPreference",
    "sasPolicy",
    "supportsHttpsTrafficOnly",
];

impl Azure {
    pub(crate) fn get_account(&self, caller: &str, call: &Call, key: &str) -> Reply {
        self.authorize(caller, "Microsoft.Storage/storageAccounts/read", key)?;
        match self.world.typed(ACCOUNT, key) {
            Some(account) => Ok(Answer::ok(show_account(call, self.shown(call, account)))),
            None => Err(self.not_found(&call.path())),
        }
    }

    /// 200 and the whole account, at once; fields that are not sent stay. Source: azure-mgmt-storage 25.3.0.
    pub(crate) fn patch_account(&mut self, caller: &str, call: &Call, key: &str) -> Reply {
        self.authorize(caller, WRITE, key)?;
        if !self.world.is_a(ACCOUNT, key) {
            return Err(self.not_found(&call.path()));
        }
        self.unlocked(key, Change::Write)?;
        let patch = call.json()?;
        check_flags(&patch)?;
        let mut changed = self.world.get(key).cloned().unwrap_or_default();
        for name in ["sku", "tags", "identity", "kind"] {
            if let Some(value) = json::at(&patch, &[name]) {
                json::into_object(&mut changed).insert(name.to_owned(), value.clone());
            }
        }
        if let Some(properties) = patch.get("properties").and_then(Value::as_object) {
            let mut settable = properties.clone();
            settable.retain(|name, _| SETTABLE.contains(&name.as_str()));
            json::lay_over(json::object(&mut changed, "properties"), &settable);
        }
        let shown = self.policed(TYPE, key, changed, &patch)?;
        let Some(account) = self.world.get_mut(key) else { return Err(Answer::empty(404)) };
        // A policy may have set it.
        let flag_concerned = ["allowSharedKeyAccess", "allowSharedKeyAccessForServices"].iter().any(|name| {
            let flag = ["properties", name];
            json::at(&patch, &flag).is_some() || json::at(account, &flag) != json::at(&shown, &flag)
        });
        account.clone_from(&shown);
        self.record(&Actor { oid: caller, correlation: call.correlation() }, WRITE, &call.path(), 200);
        if flag_concerned {
            self.follow_shared_key(key);
        }
        // Network rules may have changed.
        self.reconsider_account(key);
        Ok(Answer::ok(show_account(call, self.shown(call, &shown))))
    }

    /// Creates an account, or replaces what is settable: what the document leaves out is gone afterwards, which is a
    /// design decision, as no public source tells. A new account leaves `allowSharedKeyAccess` out unless it was sent.
    /// Source: MicrosoftDocs/azure-docs `articles/storage/common/shared-key-authorization-prevent.md`.
    pub(crate) fn put_account(&mut self, caller: &str, call: &Call, key: &str) -> Reply {
        self.authorize(caller, WRITE, key)?;
        let group = arm_id::resource_group(key).unwrap_or_default();
        if !self.world.group_exists(group) {
            return Err(self.not_found(&call.path()));
        }
        self.unlocked(key, Change::Write)?;
        let mut body = call.placed_json()?;
        check_flags(&body)?;
        body = self.policed(TYPE, key, body.clone(), &body)?;
        let name = arm_id::name(key).to_owned();
        if !(3..=24).contains(&name.len())
            || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        {
            let message = format!("{name} is not a valid storage account name.");
            return Err(Answer::error(400, "StorageAccountNameNotValid", message));
        }
        let id = self.written_id(key).unwrap_or_else(|| call.path());
        let created = time::stamp(self.now);
        let held = self.world.typed(ACCOUNT, key);
        let place =
            |value: &Value| json::text(value, &["location"]).map(|name| name.replace(' ', "").to_ascii_lowercase());
        if let (Some(old), Some(new)) = (held.and_then(place), place(&body))
            && old != new
        {
            let message = format!(
                "The resource '{name}' already exists in location '{old}'. A resource with the same name cannot be created \
                 in location '{new}'. Please select a new resource name."
            );
            return Err(Answer::error(409, "InvalidResourceLocation", message));
        }
        let own_of_old: Vec<(&str, Value)> =
            OWN.into_iter().filter_map(|name| Some((name, json::at(held?, &["properties", name])?.clone()))).collect();
        let own = json::into_object(&mut body);
        own.insert("id".to_owned(), json!(id));
        own.insert("name".to_owned(), json!(name));
        own.insert("type".to_owned(), json!("Microsoft.Storage/storageAccounts"));
        let properties = json::object(&mut body, "properties");
        properties.retain(|name, _| !OWN.contains(&name.as_str()));
        properties.extend(own_of_old.into_iter().map(|(name, value)| (name.to_owned(), value)));
        for (name, value) in [
            ("provisioningState", json!("Succeeded")),
            ("creationTime", json!(created)),
            ("keyCreationTime", json!({"key1": created, "key2": created})),
            ("statusOfPrimary", json!("available")),
            ("encryption", encryption(&created)),
            ("primaryEndpoints", endpoints(&name)),
        ] {
            properties.entry(name.to_owned()).or_insert(value);
        }
        self.world.insert(body.clone());
        self.record(&Actor { oid: caller, correlation: call.correlation() }, WRITE, &call.path(), 200);
        self.follow_shared_key(key);
        self.reconsider_account(key);
        Ok(Answer::ok(show_account(call, self.shown(call, &body))))
    }

    pub(crate) fn delete_account(&mut self, caller: &str, call: &Call, key: &str) -> Reply {
        self.authorize(caller, DELETE, key)?;
        self.unlocked(key, Change::Delete)?;
        if self.world.typed(ACCOUNT, key).is_none() {
            return Ok(Answer::empty(204));
        }
        self.world.remove(key);
        self.record(&Actor { oid: caller, correlation: call.correlation() }, DELETE, &call.path(), 200);
        self.reconsider_account(key);
        Ok(Answer::empty(200))
    }

    /// Keys that open nothing; that they were asked for is counted and logged. Source of the form: azure-mgmt-storage
    /// 25.3.0. It works while keys are refused: no public source; design decision.
    pub(crate) fn list_account_keys(&mut self, caller: &str, call: &Call) -> Reply {
        let path = call.path();
        let path = path.rsplit_once('/').map_or("", |(account, _)| account).to_owned();
        let key = arm_id::key(&path);
        self.authorize(caller, "Microsoft.Storage/storageAccounts/listKeys/action", &key)?;
        if !self.world.is_a(ACCOUNT, &key) {
            return Err(self.not_found(&path));
        }
        self.unlocked(&key, Change::Write)?;
        let actor = Actor { oid: caller, correlation: call.correlation() };
        self.record(&actor, "Microsoft.Storage/storageAccounts/listKeys/action", &path, 200);
        let keys = ["key1", "key2"].map(|name| {
            let made = self.key_made(&key, name);
            json!({"keyName": name, "value": "AAAA", "permissions": "FULL", "creationTime": made})
        });
        Ok(Answer::ok(json!({"keys": keys})))
    }

    /// 409 `ScopeLocked` where a lock at or above the scope forbids the change.
    /// Source: MicrosoftDocs/azure-docs `articles/azure-resource-manager/management/lock-resources.md`.
    pub(crate) fn unlocked(&self, key: &str, change: Change) -> Result<(), Answer> {
        let locks = self.world.extensions_covering(crate::world::LOCK, key);
        let hit = locks.into_iter().find(|(_, lock)| {
            let level = json::text(lock, &["properties", "level"]).unwrap_or_default();
            level.eq_ignore_ascii_case("ReadOnly")
                || (change == Change::Delete && level.eq_ignore_ascii_case("CanNotDelete"))
        });
        let Some((lock, _)) = hit else { return Ok(()) };
        let locked = arm_id::extension_scope(lock);
        let verb = if change == Change::Delete { "delete" } else { "write" };
        let scope = self.written_id(key).unwrap_or_else(|| key.to_owned());
        let message = format!(
            "The scope '{scope}' cannot perform {verb} operation because following scope(s) are locked: '{locked}'. \
             Please remove the lock and try again."
        );
        Err(Answer::error(409, "ScopeLocked", message))
    }
}

/// What a lock is asked about. A POST such as `listKeys` counts as a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Write,
    Delete,
}

/// What encrypts an account that asks for nothing else; clients such as azure-cli 2.91.0 break down without it.
/// Source: Azure/azure-cli, recording `test_storage_account_with_shared_key_access`.
pub(crate) fn encryption(since: &str) -> Value {
    let service = json!({"keyType": "Account", "enabled": true, "lastEnabledTime": since});
    json!({"keySource": "Microsoft.Storage", "services": {"blob": service, "file": service}})
}

/// Where the data of an account is. Source: the same recording.
pub(crate) fn endpoints(name: &str) -> Value {
    let address = |service: &str| format!("https://{name}.{service}.core.windows.net/");
    json!({
        "blob": address("blob"), "dfs": address("dfs"), "file": address("file"), "queue": address("queue"),
        "table": address("table"),
    })
}

fn check_flags(body: &Value) -> Result<(), Answer> {
    match json::at(body, &["properties", "allowSharedKeyAccess"]) {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(_) => Err(Answer::error(
            400,
            "InvalidRequestPropertyValue",
            "The value of parameter 'properties.allowSharedKeyAccess' is invalid.",
        )),
    }
}

/// The switch per service exists from 2025-08-01 on.
/// Source: Azure/bicep-types-az `generated/storage/microsoft.storage/2025-08-01/types.md`.
fn show_account(call: &Call, mut account: Value) -> Value {
    if call.api_version().get(..10).is_some_and(|version| version < "2025-08-01")
        && let Some(properties) = account.get_mut("properties").and_then(Value::as_object_mut)
    {
        properties.remove("allowSharedKeyAccessForServices");
    }
    account
}

impl Call {
    /// The correlation id the caller sent, or its client request id.
    pub(crate) fn correlation(&self) -> String {
        let sent = self.header("x-ms-correlation-request-id").or_else(|| self.header("x-ms-client-request-id"));
        sent.unwrap_or_default().to_owned()
    }
}
