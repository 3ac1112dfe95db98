//! Datastores: stored ones, and the four of the system that every workspace has.
//! Source: Azure/bicep-types-az `generated/machinelearningservices/microsoft.machinelearningservices/2025-12-01/types.md`
//! and azure-ai-ml 1.35.2 `_restclient`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::account::Change;
use crate::azure::{Actor, Azure, Mode};
use crate::request::{Answer, Call, Reply};
use crate::world::DATASTORE;
use crate::{arm_id, json};

/// What follows the workspace's mode. Source: the comment of one team in a public preflight module.
pub(crate) const SYSTEM: [&str; 4] =
    ["workspaceblobstore", "workspacefilestore", "workspaceartifactstore", "workspaceworkingdirectory"];

pub(crate) const READ: &str = "Microsoft.MachineLearningServices/workspaces/datastores/read";
const WRITE: &str = "Microsoft.MachineLearningServices/workspaces/datastores/write";

impl Azure {
    /// By name: `isDefault` and `names` choose, `orderByAsc=false` turns the order round, `count` is the length of a page.
    /// Source: azure-ai-ml 1.35.2 `_restclient`, `DatastoresOperations.list`; that names are the order, and that it is the
    /// rising one unless the query says otherwise, is a design decision.
    pub(crate) fn list_datastores(&self, caller: &str, call: &Call, workspace: &str) -> Reply {
        self.authorize(caller, READ, workspace)?;
        self.existing_workspace(workspace, arm_id::name(workspace))?;
        let flag = |name: &str| call.query(name).and_then(|text| text.to_ascii_lowercase().parse::<bool>().ok());
        let names: Option<Vec<&str>> = call.query("names").map(|names| names.split(',').map(str::trim).collect());
        let default = flag("isDefault");
        let mut stores: Vec<Value> = self.datastores(workspace).into_values().collect();
        stores.retain(|store| {
            let own = json::at(store, &["properties", "isDefault"]).and_then(Value::as_bool).unwrap_or(false);
            let name = json::text(store, &["name"]).unwrap_or_default();
            default.is_none_or(|wanted| own == wanted)
                && names.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)))
        });
        if flag("orderByAsc") == Some(false) {
            stores.reverse();
        }
        let size = match call.query("count").map(str::parse::<usize>) {
            None => None,
            Some(Ok(count)) if count > 0 => Some(count),
            Some(_) => return Err(Answer::error(400, "ValidationError", "'count' must be a number above zero.")),
        };
        let places = (0..stores.len()).map(|place| format!("{place:08}"));
        let show = |place: &str| Some(self.shown(call, stores.get(place.parse::<usize>().ok()?)?));
        self.page_of(call, size, places, show)
    }

    pub(crate) fn get_datastore(&self, caller: &str, call: &Call, workspace: &str, name: &str) -> Reply {
        self.authorize(caller, READ, &format!("{workspace}/datastores/{name}"))?;
        self.existing_workspace(workspace, arm_id::name(workspace))?;
        match self.datastores(workspace).get(&format!("{workspace}/datastores/{name}")) {
            Some(store) => Ok(Answer::ok(self.shown(call, store))),
            None => Err(Answer::error(404, "UserError", format!("Could not find datastore with name: {name}"))),
        }
    }

    /// A PUT of Resource Manager, which has fewer types than the older data plane and judges what is sent.
    pub(crate) fn put_datastore(&mut self, caller: &str, call: &Call, workspace: &str, name: &str) -> Reply {
        let key = format!("{workspace}/datastores/{name}");
        self.authorize(caller, WRITE, &key)?;
        let body = call.json()?;
        if let Some(properties) = json::at(&body, &["properties"])
            && let Some(message) = misformed(properties)
        {
            return Err(Answer::error(400, "ValidationError", message));
        }
        let at = |value: &Value| json::at(value, &["properties", "isDefault"]).and_then(Value::as_bool) == Some(true);
        // An `isDefault` that is left out counts as false, and the default cannot be given up, only moved.
        // Source: <https://github.com/Azure/terraform-provider-azapi/issues/694>; the words are a design decision.
        if self.datastores(workspace).get(&key).is_some_and(at) && !at(&body) {
            let message =
                format!("Cannot unset the default datastore '{name}'. Set another datastore as default first.");
            return Err(Answer::error(400, "UserError", message));
        }
        self.replace_datastore(caller, call, workspace, name)
    }

    /// Replaces a datastore; secrets are write-only and not kept.
    pub(crate) fn replace_datastore(&mut self, caller: &str, call: &Call, workspace: &str, name: &str) -> Reply {
        let key = format!("{workspace}/datastores/{name}");
        self.authorize(caller, WRITE, &key)?;
        self.existing_workspace(workspace, arm_id::name(workspace))?;
        self.unlocked(&key, Change::Write)?;
        if !is_name(name) {
            return Err(Answer::error(400, "ValidationError", format!("'{name}' is not a valid datastore name.")));
        }
        let mut body = call.json()?;
        if json::text(&body, &["properties", "credentials", "credentialsType"]).is_none()
            || json::text(&body, &["properties", "datastoreType"]).is_none()
        {
            let message = "The fields 'datastoreType' and 'credentials' are required.";
            return Err(Answer::error(400, "ValidationError", message));
        }
        let existed = self.datastores(workspace).contains_key(&key);
        let default =
            self.datastores(workspace).get(&key).and_then(|old| json::at(old, &["properties", "isDefault"]).cloned());
        let own = json::into_object(&mut body);
        own.insert("id".to_owned(), json!(self.written_id(&key).unwrap_or_else(|| call.path())));
        own.insert("name".to_owned(), json!(call.segments.last()));
        own.insert("type".to_owned(), json!("Microsoft.MachineLearningServices/workspaces/datastores"));
        let properties = json::object(&mut body, "properties");
        properties.insert("isDefault".to_owned(), default.unwrap_or(Value::Bool(false)));
        if let Some(credentials) = properties.get_mut("credentials").and_then(Value::as_object_mut) {
            credentials.remove("secrets");
        }
        self.world.insert(body.clone());
        self.rehome_workspace(workspace);
        self.record(&Actor { oid: caller, correlation: call.correlation() }, WRITE, &call.path(), 200);
        let answer = Answer::ok(self.shown(call, &body));
        Ok(if existed { answer } else { Answer { status: http::StatusCode::CREATED, ..answer } })
    }

    pub(crate) fn delete_datastore(&mut self, caller: &str, call: &Call, workspace: &str, name: &str) -> Reply {
        let key = format!("{workspace}/datastores/{name}");
        let action = "Microsoft.MachineLearningServices/workspaces/datastores/delete";
        self.authorize(caller, action, &key)?;
        self.existing_workspace(workspace, arm_id::name(workspace))?;
        self.unlocked(&key, Change::Delete)?;
        let Some(id) = self.written_id(&key) else { return Ok(Answer::empty(204)) };
        self.world.remove(&key);
        self.rehome_workspace(workspace);
        self.record(&Actor { oid: caller, correlation: call.correlation() }, action, &id, 200);
        Ok(Answer::empty(200))
    }

    /// Secrets that open nothing; that they were asked for is counted and logged.
    pub(crate) fn list_datastore_secrets(&mut self, caller: &str, call: &Call, workspace: &str, name: &str) -> Reply {
        let key = format!("{workspace}/datastores/{name}");
        let action = "Microsoft.MachineLearningServices/workspaces/datastores/listSecrets/action";
        self.authorize(caller, action, &key)?;
        let Some(store) = self.datastores(workspace).remove(&key) else {
            return Err(Answer::error(404, "UserError", format!("Could not find datastore with name: {name}")));
        };
        self.unlocked(&key, Change::Write)?;
        self.record(&Actor { oid: caller, correlation: call.correlation() }, action, &call.path(), 200);
        let kind = json::text(&store, &["properties", "credentials", "credentialsType"]).unwrap_or("None");
        Ok(Answer::ok(json!({"secretsType": kind, "key": "AAAA"})))
    }

    /// The stored datastores, and those of the system that are not stored, as the mode makes them.
    pub(crate) fn datastores(&self, workspace: &str) -> BTreeMap<String, Value> {
        let mut stores: BTreeMap<String, Value> = SYSTEM
            .into_iter()
            .filter_map(|name| {
                Some((format!("{workspace}/datastores/{name}"), self.system_datastore(workspace, name)?))
            })
            .collect();
        for store in self.stored_datastores(workspace) {
            if let Some(id) = store.get("id").and_then(Value::as_str) {
                stores.insert(arm_id::key(id), store.clone());
            }
        }
        debug_assert!(stores.keys().all(|key| arm_id::type_of(key).as_deref() == Some(DATASTORE)));
        stores
    }

    fn system_datastore(&self, workspace: &str, name: &str) -> Option<Value> {
        let value = self.world.get(workspace)?;
        let account = self.world.account_of(workspace)?;
        let mode = Mode::of(value);
        let container = json::text(value, &["properties", "workspaceId"]).unwrap_or("0000");
        let file = matches!(name, "workspacefilestore" | "workspaceworkingdirectory");
        let mut properties = json!({
            "datastoreType": if file { "AzureFile" } else { "AzureBlob" },
            "accountName": arm_id::name(&account), "endpoint": "core.windows.net", "protocol": "https",
            "credentials": {"credentialsType": mode.system_credentials()},
            "isDefault": name == "workspaceblobstore",
            "serviceDataAccessAuthIdentity":
                if mode == Mode::Identity { "WorkspaceSystemAssignedIdentity" } else { "None" },
            "subscriptionId": arm_id::subscription(&account),
            "resourceGroup": arm_id::resource_group(&account).map(arm_id::name),
            "tags": {}, "properties": {},
        });
        let place = if file { "fileShareName" } else { "containerName" };
        json::into_object(&mut properties).insert(place.to_owned(), json!(format!("azureml-{name}-{container}")));
        Some(json!({
            "id": format!("{}/datastores/{name}", value.get("id")?.as_str()?), "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/datastores", "properties": properties,
        }))
    }
}

/// Types of datastore and the fields that each must have. A blob datastore must have none of its own.
/// Source: Azure/bicep-types-az `generated/machinelearningservices/microsoft.machinelearningservices/2025-12-01/types.md`.
const TYPES: [(&str, &[&str]); 5] = [
    ("AzureBlob", &[]),
    ("AzureFile", &["accountName", "fileShareName"]),
    ("AzureDataLakeGen2", &["accountName", "filesystem"]),
    ("AzureDataLakeGen1", &["storeName"]),
    ("OneLake", &["artifact", "oneLakeWorkspaceName"]),
];

/// Source: as for [`TYPES`].
const CREDENTIALS: [&str; 5] = ["AccountKey", "Sas", "ServicePrincipal", "Certificate", "None"];

/// Why the properties are refused; what has no type or credentials is refused elsewhere. The words are a design decision.
fn misformed(properties: &Value) -> Option<String> {
    let kind = json::text(properties, &["datastoreType"])?;
    let credentials = json::text(properties, &["credentials", "credentialsType"])?;
    let Some((kind, fields)) = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind)) else {
        return Some(format!("'{kind}' is no type of datastore."));
    };
    if !CREDENTIALS.iter().any(|name| name.eq_ignore_ascii_case(credentials)) {
        return Some(format!("'{credentials}' is no type of credentials."));
    }
    if let Some(field) = fields.iter().find(|field| json::at(properties, &[**field]).is_none_or(Value::is_null)) {
        return Some(format!("The field '{field}' is required for a datastore of type '{kind}'."));
    }
    // A store of the first generation is no storage account and has no key.
    let keyed = matches!(credentials.to_ascii_lowercase().as_str(), "accountkey" | "sas");
    (*kind == "AzureDataLakeGen1" && keyed)
        .then(|| format!("A datastore of type '{kind}' cannot have credentials of type '{credentials}'."))
}

/// Source: hashicorp/terraform-provider-azurerm, `DataStoreName`. The code of the refusal has no public source; design
/// decision.
fn is_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    name.len() <= 255 && name.chars().all(plain) && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}
