//! The older data plane of datastores, which azureml-core speaks: the same datastores in another form, without
//! `api-version`.
//! Source: azureml-core 1.61.0.post4 `_restclient/operations/data_stores_operations.py` and `_restclient/models`.

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};

use crate::azure::{Actor, Azure};
use crate::request::{Answer, Call, Reply};
use crate::{arm_id, json};

const LIST_SECRETS: &str = "Microsoft.MachineLearningServices/workspaces/datastores/listSecrets/action";

/// What comes before the workspace's id in a path.
const PREFIX: [&str; 2] = ["datastore", "v1.0"];

/// Types and the places of what tells where the data is: here, in Resource Manager, and the pairs of fields.
/// Source of the second: Azure/bicep-types-az
/// `generated/machinelearningservices/microsoft.machinelearningservices/2025-12-01/types.md`. That databases, which it does
/// not have, keep their older names there is a design decision.
const FORMS: [Form; 5] = [
    Form {
        old: "AzureBlob",
        new: "AzureBlob",
        section: "azureStorageSection",
        fields: &[("accountName", "accountName"), ("containerName", "containerName")],
    },
    Form {
        old: "AzureFile",
        new: "AzureFile",
        section: "azureStorageSection",
        fields: &[("accountName", "accountName"), ("containerName", "fileShareName")],
    },
    Form {
        old: "AzureDataLakeGen2",
        new: "AzureDataLakeGen2",
        section: "azureStorageSection",
        fields: &[("accountName", "accountName"), ("containerName", "filesystem")],
    },
    Form {
        old: "AzureDataLake",
        new: "AzureDataLakeGen1",
        section: "azureDataLakeSection",
        fields: &[("storeName", "storeName"), ("resourceUri", "resourceUri")],
    },
    Form {
        old: "AzureSqlDatabase",
        new: "AzureSqlDatabase",
        section: "azureSqlDatabaseSection",
        fields: &[("serverName", "serverName"), ("databaseName", "databaseName")],
    },
];

/// Fields that are called the same on both sides.
const SHARED: [&str; 4] = ["endpoint", "protocol", "subscriptionId", "resourceGroup"];

struct Form {
    old: &'static str,
    new: &'static str,
    section: &'static str,
    fields: &'static [(&'static str, &'static str)],
}

/// The path of the same thing in Resource Manager, if this one is of the older data plane.
pub(crate) fn resource_path(segments: &[String]) -> Option<&[String]> {
    let (prefix, rest) = segments.split_at_checked(PREFIX.len())?;
    prefix.iter().zip(PREFIX).all(|(own, wanted)| own.eq_ignore_ascii_case(wanted)).then_some(rest)
}

impl Azure {
    /// Everything below `/datastore/v1.0`.
    pub(crate) fn datastores_v1(&mut self, caller: &str, call: &Call, path: &[String]) -> Reply {
        let lower: Vec<String> = path.iter().skip(8).map(|segment| segment.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let workspace = format!("/{}", path.iter().take(8).map(String::as_str).collect::<Vec<_>>().join("/"));
        let key = arm_id::key(&workspace);
        if arm_id::type_of(&key).as_deref() != Some(crate::world::WORKSPACE) {
            return Err(not_found("workspace", &workspace));
        }
        match (&call.method, lower.as_slice()) {
            (&Method::GET, ["datastores"]) => {
                let secrets = call.query("includeSecret").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
                let stores = self.stores_v1(caller, call, &key, secrets)?;
                Ok(Answer::ok(json!({"value": stores, "continuationToken": null})))
            }
            (&Method::GET, ["default"]) => {
                let stores = self.stores_v1(caller, call, &key, true)?;
                let default = stores.into_iter().find(|store| store.get("isDefault") == Some(&Value::Bool(true)));
                default.map(Answer::ok).ok_or_else(|| not_found("default datastore of", &workspace))
            }
            (&Method::GET, ["datastores", name]) => self.store_v1(caller, call, &key, name),
            (&Method::POST, ["datastores"]) => {
                let sent = call.json()?;
                let name = json::text(&sent, &["name"]).unwrap_or_default().to_ascii_lowercase();
                if self.datastores(&key).contains_key(&format!("{key}/datastores/{name}")) {
                    // Source of the words: azureml-core 1.61.0.post4 `data/constants.py`, `CONFLICT_MESSAGE`.
                    let message = format!("Another datastore with the same name already exists: {name}");
                    return Err(Answer::error(400, "UserError", message));
                }
                self.write_v1(caller, call, &workspace, &name, &sent)
            }
            (&Method::PUT, ["datastores", name]) => {
                let sent = call.json()?;
                self.write_v1(caller, call, &workspace, name, &sent)
            }
            (&Method::DELETE, ["datastores", name]) => self.delete_datastore(caller, call, &key, name),
            _ => Err(not_found("operation", &call.path())),
        }
    }

    /// Every datastore that has an older form. Keys, which open nothing here either, are shown to whoever may list
    /// secrets, and that they were shown is logged.
    fn stores_v1(&mut self, caller: &str, call: &Call, workspace: &str, secrets: bool) -> Result<Vec<Value>, Answer> {
        self.authorize(caller, crate::datastore::READ, workspace)?;
        self.existing_workspace(workspace, arm_id::name(workspace))?;
        let mut stores: Vec<Value> = self.datastores(workspace).values().filter_map(as_old).collect();
        if secrets && self.authorize(caller, LIST_SECRETS, workspace).is_ok() {
            let keyed = |store: &&mut Value| {
                json::text(store, &["azureStorageSection", "credentialType"]) == Some("AccountKey")
            };
            let shown = stores.iter_mut().filter(keyed);
            let shown = shown
                .map(|store| json::object(store, "azureStorageSection").insert("accountKey".to_owned(), json!("AAAA")));
            if shown.count() > 0 {
                let actor = Actor { oid: caller, correlation: call.correlation() };
                self.record(&actor, LIST_SECRETS, workspace, 200);
            }
        }
        Ok(stores)
    }

    fn store_v1(&mut self, caller: &str, call: &Call, workspace: &str, name: &str) -> Reply {
        let stores = self.stores_v1(caller, call, workspace, true)?;
        let mut named = stores
            .into_iter()
            .filter(|store| json::text(store, &["name"]).is_some_and(|own| own.eq_ignore_ascii_case(name)));
        named.next().map(Answer::ok).ok_or_else(|| not_found("datastore with name", name))
    }

    /// The PUT of Resource Manager that says the same.
    fn write_v1(&mut self, caller: &str, call: &Call, workspace: &str, name: &str, sent: &Value) -> Reply {
        let Some(properties) = as_new(sent) else {
            return Err(Answer::error(400, "UserError", "The type of the datastore is not known."));
        };
        let path = format!("{workspace}/datastores/{name}");
        let put = Call {
            method: Method::PUT,
            segments: path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect(),
            body: Bytes::from(json!({"properties": properties}).to_string()),
            ..call.clone()
        };
        let key = arm_id::key(workspace);
        self.replace_datastore(caller, &put, &key, name)?;
        self.store_v1(caller, call, &key, name)
    }
}

fn not_found(what: &str, name: &str) -> Answer {
    Answer::error(404, "UserError", format!("Could not find {what}: {name}"))
}

/// The properties that Resource Manager shows; secrets are dropped.
fn as_new(sent: &Value) -> Option<Value> {
    let kind = json::text(sent, &["dataStoreType"])?;
    let form = FORMS.iter().find(|form| form.old == kind)?;
    let section = json::at(sent, &[form.section])?;
    let mut properties = Map::new();
    let pairs = form.fields.iter().copied().chain(SHARED.map(|name| (name, name)));
    for (old, new) in pairs {
        if let Some(value) = json::at(section, &[old]) {
            properties.insert(new.to_owned(), value.clone());
        }
    }
    let client = json::text(section, &["clientId"]).or_else(|| json::text(section, &["clientCredentials", "clientId"]));
    let credentials = match json::text(section, &["credentialType"]) {
        Some("AccountKey") => "AccountKey",
        Some("Sas") => "Sas",
        _ if client.is_some_and(|client| !client.is_empty()) => "ServicePrincipal",
        _ => "None",
    };
    properties.insert("datastoreType".to_owned(), json!(form.new));
    properties.insert("credentials".to_owned(), json!({"credentialsType": credentials}));
    properties.insert("tags".to_owned(), json::at(sent, &["tags"]).cloned().unwrap_or_else(|| json!({})));
    // The model spells it with a capital, what reads it does not.
    let identity = ["ServiceDataAccessAuthIdentity", "serviceDataAccessAuthIdentity"];
    if let Some(identity) = identity.iter().find_map(|name| json::at(section, &[name])) {
        properties.insert("serviceDataAccessAuthIdentity".to_owned(), identity.clone());
    }
    Some(Value::Object(properties))
}

/// The older form of a datastore, without secrets; none of a type that it does not have.
fn as_old(store: &Value) -> Option<Value> {
    let properties = json::at(store, &["properties"])?;
    let kind = json::text(properties, &["datastoreType"])?;
    let form = FORMS.iter().find(|form| form.new == kind)?;
    let mut section = Map::new();
    let pairs = form.fields.iter().copied().chain(SHARED.map(|name| (name, name)));
    for (old, new) in pairs {
        section.insert(old.to_owned(), json::at(properties, &[new]).cloned().unwrap_or_default());
    }
    let credentials = match json::text(properties, &["credentials", "credentialsType"]) {
        Some("ServicePrincipal") if form.section == "azureStorageSection" => "ClientCredentials",
        Some(known) => known,
        None => "None",
    };
    section.insert("credentialType".to_owned(), json!(credentials));
    let identity = json::text(properties, &["serviceDataAccessAuthIdentity"]).unwrap_or("None");
    section.insert("serviceDataAccessAuthIdentity".to_owned(), json!(identity));
    let mut old = json!({
        "name": store.get("name"), "dataStoreType": form.old, "hasBeenValidated": true,
        "isDefault": json::at(properties, &["isDefault"]).and_then(Value::as_bool).unwrap_or(false),
        "tags": json::at(properties, &["tags"]).cloned().unwrap_or_else(|| json!({})),
    });
    json::into_object(&mut old).insert(form.section.to_owned(), Value::Object(section));
    Some(old)
}
