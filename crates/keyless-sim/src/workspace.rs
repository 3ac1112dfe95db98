//! Workspaces, hubs and projects.
//! Source: Azure/azure-rest-api-specs `specification/machinelearningservices/.../stable/2025-09-01/workspaceRP.json`.

use serde_json::{Map, Value, json};

use crate::account::Change;
use crate::azure::{Actor, Azure, Kind, Timer};
use crate::operation::Write;
use crate::options::WorkspaceWrite;
use crate::request::{Answer, Call, Reply};
use crate::world::WORKSPACE;
use crate::{arm_id, json, time};

pub(crate) const TYPE: &str = "Microsoft.MachineLearningServices/workspaces";
const WRITE: &str = "Microsoft.MachineLearningServices/workspaces/write";
const HUB_WRITE: &str = "Microsoft.MachineLearningServices/workspaces/hubs/write";
/// Needed at the hub by whoever makes a project in it. Source: the built-in role Azure AI Developer, whose description
/// speaks of projects in hubs, and the operations of Microsoft.MachineLearningServices; that it is asked for at the hub is
/// a design decision.
const HUB_JOIN: &str = "Microsoft.MachineLearningServices/workspaces/hubs/join/action";

/// What an update may change; whatever else is sent is passed over.
/// Source: the same file, `WorkspacePropertiesUpdateParameters`; the last one is in preview versions only.
const SETTABLE: [&str; 16] = [
    "applicationInsights",
    "containerRegistry",
    "description",
    "enableDataIsolation",
    "encryption",
    "featureStoreSettings",
    "friendlyName",
    "imageBuildCompute",
    "managedNetwork",
    "primaryUserAssignedIdentity",
    "publicNetworkAccess",
    "serverlessComputeSettings",
    "serviceManagedResourcesSettings",
    "systemDatastoresAuthMode",
    "v1LegacyMode",
    "allowRoleAssignmentOnRG",
];

/// The modes, in the schema's spelling; any case is taken.
const MODES: [&str; 3] = ["AccessKey", "Identity", "UserDelegationSAS"];

/// What the service says of a workspace by itself: a PUT leaves it as it is, whatever the document says.
/// Source: the same file, properties marked read-only; that the list of a hub's projects is one is a design decision.
const OWN: [&str; 11] = [
    "associatedWorkspaces",
    "discoveryUrl",
    "mlFlowTrackingUri",
    "notebookInfo",
    "privateEndpointConnections",
    "privateLinkCount",
    "provisioningState",
    "serviceProvisionedResourceGroup",
    "storageHnsEnabled",
    "tenantId",
    "workspaceId",
];

/// Properties that are true or false. Source: the same file.
const FLAGS: [&str; 7] = [
    "allowRecoverSoftDeletedWorkspace",
    "allowRoleAssignmentOnRG",
    "enableDataIsolation",
    "hbiWorkspace",
    "provisionNetworkNow",
    "softDeleteEnabled",
    "v1LegacyMode",
];

/// What stays as it was at creation.
const FIXED: [&str; 3] = ["storageAccount", "keyVault", "hubResourceId"];

impl Azure {
    pub(crate) fn get_workspace(&self, caller: &str, call: &Call, key: &str) -> Reply {
        self.authorize(caller, "Microsoft.MachineLearningServices/workspaces/read", key)?;
        match self.world.typed(WORKSPACE, key) {
            Some(workspace) => Ok(Answer::ok(self.shown(call, workspace))),
            None => Err(self.not_found(&call.path())),
        }
    }

    /// The workspace that a path below it names, or 404.
    pub(crate) fn existing_workspace(&self, key: &str, name: &str) -> Result<&Value, Answer> {
        self.world.typed(WORKSPACE, key).ok_or_else(|| {
            let missing = self.not_found(key);
            if json::text(missing.body.as_ref().unwrap_or(&Value::Null), &["error", "code"])
                == Some("ResourceGroupNotFound")
            {
                return missing;
            }
            let message = format!(
                "Failed to perform resource identity operation. The parent resource 'workspaces/{name}' was not found."
            );
            Answer::error(404, "ParentResourceNotFound", message)
        })
    }

    /// Changes what is sent, now or by an operation. Source: the same file, `WorkspaceUpdateParameters`; for the reserved
    /// tags azure-ai-ml 1.35.2 `operations/_workspace_operations_base.py`.
    pub(crate) fn patch_workspace(&mut self, caller: &str, call: &Call, key: &str) -> Reply {
        self.authorize(caller, WRITE, key)?;
        let Some(workspace) = self.world.typed(WORKSPACE, key) else { return Err(self.not_found(&call.path())) };
        if Kind::of(workspace) == Kind::Hub {
            self.authorize(caller, HUB_WRITE, key)?;
        }
        self.unlocked(key, Change::Write)?;
        let patch = call.json()?;
        check_properties(&patch, Some(workspace))?;
        let tags = patch.get("tags").and_then(Value::as_object);
        if tags.is_some_and(|tags| tags.keys().any(|tag| tag.starts_with("Attach"))) {
            return Err(Answer::error(400, "BadRequest", "Reserved tags cannot be set by an update."));
        }
        let patch = self.policed_patch(key, patch)?;
        self.write_workspace(caller, call, key, Write::Patch(patch))
    }

    /// The patch as policies let it through: what they set is set with it.
    fn policed_patch(&self, key: &str, mut patch: Value) -> Result<Value, Answer> {
        let mut changed = self.world.get(key).cloned().unwrap_or_default();
        if let Some(properties) = patch.get("properties").and_then(Value::as_object) {
            json::lay_over(json::object(&mut changed, "properties"), properties);
        }
        let asked = changed.clone();
        let let_through = self.policed(TYPE, key, changed, &patch)?;
        for name in SETTABLE {
            let path = ["properties", name];
            if let Some(value) = json::at(&let_through, &path).filter(|value| json::at(&asked, &path) != Some(value)) {
                json::object(&mut patch, "properties").insert(name.to_owned(), value.clone());
            }
        }
        Ok(patch)
    }

    /// Creates, or replaces what is settable. Source: the same file.
    pub(crate) fn put_workspace(&mut self, caller: &str, call: &Call, key: &str) -> Reply {
        self.authorize(caller, WRITE, key)?;
        let group = arm_id::resource_group(key).unwrap_or_default();
        if !self.world.group_exists(group) {
            return Err(self.not_found(&call.path()));
        }
        self.unlocked(key, Change::Write)?;
        let body = as_provider_reads(call.placed_json()?);
        let name = arm_id::name(key);
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !(3..=33).contains(&name.len()) || !plain || name.starts_with(['-', '_']) {
            return Err(Answer::error(400, "ValidationError", format!("'{name}' is not a valid workspace name.")));
        }
        check_properties(&body, self.world.typed(WORKSPACE, key))?;
        if Kind::of(&body) == Kind::Hub {
            self.authorize(caller, HUB_WRITE, key)?;
        }
        let is_new = self.world.typed(WORKSPACE, key).is_none();
        if let Some(hub) = json::text(&body, &["properties", "hubResourceId"]).filter(|_| is_new) {
            self.authorize(caller, HUB_JOIN, &arm_id::key(hub))?;
        }
        if is_new {
            self.check_new(key, &body)?;
        }
        let body = self.policed(TYPE, key, body.clone(), &body)?;
        self.write_workspace(caller, call, key, Write::Put(body))
    }

    /// What a new workspace must be made of. Source: for the region Azure/azure-cli, recording `test_managedappdef`, and
    /// <https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-sku-not-available>; for parts of another
    /// type and hubs that are none there is none in public: a design decision, with the code of other wrong fields.
    fn check_new(&self, key: &str, body: &Value) -> Result<(), Answer> {
        let refused = |message: String| Err(Answer::error(400, "ValidationError", message));
        let region = json::text(body, &["location"]).unwrap_or_default();
        // The name for people is taken too, with whatever space is around and in it.
        if !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ') {
            let message = format!("The provided location '{region}' is not available for resource type '{TYPE}'.");
            return Err(Answer::error(400, "LocationNotAvailableForResourceType", message));
        }
        let parts = [
            ("storageAccount", "microsoft.storage/storageaccounts"),
            ("keyVault", "microsoft.keyvault/vaults"),
            ("applicationInsights", "microsoft.insights/components"),
            ("containerRegistry", "microsoft.containerregistry/registries"),
        ];
        for (name, kind) in parts {
            if let Some(id) = json::text(body, &["properties", name]).filter(|id| !id.is_empty())
                && !arm_id::key(id).contains(&format!("/providers/{kind}/"))
            {
                return refused(format!("'{id}' is not a valid resource id for '{name}'."));
            }
        }
        if let Some(hub) = json::text(body, &["properties", "hubResourceId"]) {
            let hub_key = arm_id::key(hub);
            let is_hub = self.world.typed(WORKSPACE, &hub_key).is_some_and(|found| Kind::of(found) == Kind::Hub);
            if hub_key == key || !is_hub {
                return refused(format!("'{hub}' is not a hub."));
            }
        }
        Ok(())
    }

    pub(crate) fn delete_workspace(&mut self, caller: &str, call: &Call, key: &str) -> Reply {
        self.authorize(caller, "Microsoft.MachineLearningServices/workspaces/delete", key)?;
        self.unlocked(key, Change::Delete)?;
        if !self.world.is_a(WORKSPACE, key) {
            return Ok(Answer::empty(204));
        }
        self.write_workspace(caller, call, key, Write::Delete)
    }

    pub(crate) fn write_workspace(&mut self, caller: &str, call: &Call, key: &str, write: Write) -> Reply {
        if self.operations.values().any(|operation| operation.holds(key)) {
            let message =
                format!("another operation on same entity is already running in workspace {}", arm_id::name(key));
            return Err(Answer::error(409, "Conflict", message));
        }
        let actor = Actor { oid: caller, correlation: call.correlation() };
        let action = match write {
            Write::Delete => "Microsoft.MachineLearningServices/workspaces/delete",
            Write::TakeKeys => crate::keys::RESYNC,
            Write::Patch(_) | Write::Put(_) => WRITE,
        };
        if self.knobs.workspace_write == WorkspaceWrite::Sync && !write.is_doomed() {
            self.record(&actor, action, &call.path(), 200);
            let ends_with_nothing = matches!(write, Write::TakeKeys);
            self.apply(key, &call.path(), write);
            if ends_with_nothing {
                return Ok(Answer::empty(200));
            }
            return Ok(match self.world.typed(WORKSPACE, key) {
                Some(workspace) => Answer::ok(self.shown(call, workspace)),
                None => Answer::empty(200),
            });
        }
        self.record(&actor, action, &call.path(), 202);
        Ok(self.start_operation(call, key, write))
    }

    /// Lets a write take effect.
    pub(crate) fn apply(&mut self, key: &str, path: &str, write: Write) {
        match write {
            Write::Patch(patch) => self.apply_patch(key, &patch),
            Write::Put(body) => self.apply_put(key, path, body),
            Write::TakeKeys => self.take_keys(key),
            Write::Delete => {
                let below: Vec<String> = [crate::world::DATASTORE, crate::world::COMPUTE, crate::world::ENDPOINT]
                    .into_iter()
                    .flat_map(|kind| self.world.keys_below(kind, key).map(str::to_owned).collect::<Vec<_>>())
                    .collect();
                for gone in below.iter().map(String::as_str).chain([key]) {
                    self.world.remove(gone);
                }
                self.stale_keys.remove(key);
                self.rehome_clients();
            }
        }
    }

    fn apply_patch(&mut self, key: &str, patch: &Value) {
        let Some(workspace) = self.world.get_mut(key) else { return };
        for name in ["tags", "sku"] {
            if let Some(value) = json::at(patch, &[name]) {
                json::into_object(workspace).insert(name.to_owned(), value.clone());
            }
        }
        if let Some(identity) = patch.get("identity").and_then(Value::as_object) {
            lay_identity(json::object(workspace, "identity"), identity);
        }
        if let Some(properties) = patch.get("properties").and_then(Value::as_object) {
            let mut settable = properties.clone();
            settable.retain(|name, _| SETTABLE.contains(&name.as_str()));
            json::lay_over(json::object(workspace, "properties"), &settable);
        }
        if json::at(patch, &["properties", "systemDatastoresAuthMode"]).is_some() {
            self.follow_auth_mode(key);
        }
    }

    fn apply_put(&mut self, key: &str, path: &str, mut body: Value) {
        let before = self.world.typed(WORKSPACE, key).cloned();
        let identity = json::text(&body, &["identity", "type"]).unwrap_or("SystemAssigned").to_owned();
        let principal =
            before.as_ref().and_then(|old| json::text(old, &["identity", "principalId"])).map(str::to_owned);
        let principal = principal.unwrap_or_else(|| self.guid());
        let fresh = self.guid();
        let kept = |path: &[&str]| before.as_ref().and_then(|old| json::at(old, path)).cloned();
        let workspace_id = kept(&["properties", "workspaceId"]).unwrap_or_else(|| json!(fresh));
        let created = kept(&["systemData", "createdAt"]).unwrap_or_else(|| json!(time::stamp(self.now)));
        let own = json::into_object(&mut body);
        let id = kept(&["id"]).unwrap_or_else(|| json!(path));
        own.insert("name".to_owned(), kept(&["name"]).unwrap_or_else(|| json!(arm_id::name(path))));
        own.insert("id".to_owned(), id);
        own.insert("type".to_owned(), json!("Microsoft.MachineLearningServices/workspaces"));
        own.insert("systemData".to_owned(), json!({"createdAt": created, "lastModifiedAt": time::stamp(self.now)}));
        let tenant = self.tenant_of(arm_id::subscription(&arm_id::key(path)).unwrap_or_default());
        if identity.to_ascii_lowercase().contains("systemassigned") {
            let identity = json::object(&mut body, "identity");
            identity.entry("type").or_insert(json!("SystemAssigned"));
            identity.insert("principalId".to_owned(), json!(principal));
            identity.insert("tenantId".to_owned(), json!(tenant));
        }
        let properties = json::object(&mut body, "properties");
        if let Some(old) = before.as_ref().and_then(|old| json::at(old, &["properties"])).and_then(Value::as_object) {
            properties.retain(|name, _| !OWN.contains(&name.as_str()));
            let own = old.iter().filter(|(name, _)| OWN.contains(&name.as_str()));
            properties.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        }
        properties.insert("workspaceId".to_owned(), workspace_id);
        properties.insert("provisioningState".to_owned(), json!("Succeeded"));
        for name in FIXED {
            if let Some(value) = kept(&["properties", name]) {
                properties.insert(name.to_owned(), value);
            }
        }
        self.inherit(&mut body);
        self.world.insert(body);
        self.rehome_clients();
        self.follow_auth_mode(key);
        if before.is_none() {
            self.welcome(key);
        }
    }

    /// A project stands on what its hub stands on, and shows it. Source: MicrosoftDocs/azure-ai-docs
    /// `articles/machine-learning/concept-hub-workspace.md`; Azure/azure-powershell, recording `Get-AzMLWorkspace`.
    fn inherit(&self, workspace: &mut Value) {
        let hub = json::text(workspace, &["properties", "hubResourceId"]).map(arm_id::key);
        let Some(hub) = hub.and_then(|hub| self.world.typed(WORKSPACE, &hub)) else { return };
        let lent = ["storageAccount", "keyVault", "applicationInsights", "containerRegistry", "publicNetworkAccess"]
            .map(|name| (name, json::at(hub, &["properties", name]).cloned()));
        let properties = json::object(workspace, "properties");
        // Whatever was sent; source: a comment in azure-ai-ml 1.35.2 `operations/_workspace_operations.py`.
        properties.remove("publicNetworkAccess");
        for (name, value) in lent {
            if let Some(value) = value {
                properties.entry(name).or_insert(value);
            }
        }
    }

    /// What the service does once a workspace exists: its hub lists it, its identity gets its grants.
    pub(crate) fn welcome(&mut self, key: &str) {
        let Some(workspace) = self.world.typed(WORKSPACE, key) else { return };
        let id = workspace.get("id").cloned().unwrap_or_default();
        let hub = json::text(workspace, &["properties", "hubResourceId"]).map(arm_id::key);
        if let Some(hub) = hub.and_then(|hub| self.world.get_mut(&hub)) {
            let list = json::object(hub, "properties").entry("associatedWorkspaces").or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut()
                && !list.contains(&id)
            {
                list.push(id);
            }
        }
        let at = time::after(self.now, self.speed.shorten(self.knobs.service_grant_delay));
        self.schedule(at, Timer::ServiceGrants { workspace: key.to_owned() });
        self.start_newcomer(key);
    }

    pub(crate) fn list_workspace_keys(&mut self, caller: &str, call: &Call, key: &str, below: &[&str]) -> Reply {
        let storage = below == ["liststorageaccountkeys"];
        let verb = if storage { "listStorageAccountKeys" } else { "listKeys" };
        let action = format!("Microsoft.MachineLearningServices/workspaces/{verb}/action");
        self.authorize(caller, &action, key)?;
        self.existing_workspace(key, arm_id::name(key))?;
        self.unlocked(key, Change::Write)?;
        self.record(&Actor { oid: caller, correlation: call.correlation() }, &action, &call.path(), 200);
        Ok(Answer::ok(json!({"userStorageKey": "AAAA"})))
    }
}

/// The document as the provider takes it: templates write an unset text as `""` or null, and flags as text.
/// Source of what is sent: azure-ai-ml 1.35.2 `_arm_deployments/arm_templates/workspace_base.json`; how the provider reads
/// it has no public source beyond that it takes it; design decision.
fn as_provider_reads(mut body: Value) -> Value {
    if let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
        for name in FLAGS {
            let flag =
                properties.get(name).and_then(Value::as_str).and_then(|text| text.to_lowercase().parse::<bool>().ok());
            if let Some(flag) = flag {
                properties.insert(name.to_owned(), Value::Bool(flag));
            }
        }
    }
    body
}

/// 400 for a mode that is none and for another value of what stays as it was at creation. That an unknown mode is
/// refused has no public source; design decision.
fn check_properties(sent: &Value, held: Option<&Value>) -> Result<(), Answer> {
    let mode = json::at(sent, &["properties", "systemDatastoresAuthMode"]);
    let known =
        |mode: &Value| mode.as_str().is_some_and(|mode| MODES.iter().any(|known| known.eq_ignore_ascii_case(mode)));
    if let Some(mode) = mode.filter(|mode| !known(mode)) {
        let message = format!("{mode} is no value of systemDatastoresAuthMode, which is one of {}.", MODES.join(", "));
        return Err(Answer::error(400, "ValidationError", message));
    }
    for name in FIXED {
        let id = |value: &Value| json::at(value, &["properties", name]).map(|id| id.as_str().map(arm_id::key));
        if let (Some(sent), Some(held)) = (id(sent), held.and_then(id))
            && sent != held
        {
            return Err(Answer::error(400, "BadRequest", format!("'{name}' of a workspace cannot be changed.")));
        }
    }
    Ok(())
}

/// A user-assigned identity set to null is detached.
/// Source: azure-ai-ml 1.35.2 `operations/_workspace_operations_base.py`.
fn lay_identity(held: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        if name != "userAssignedIdentities" {
            if !value.is_null() {
                held.insert(name.clone(), value.clone());
            }
            continue;
        }
        let list = held.entry(name.clone()).or_insert_with(|| json!({}));
        for (id, entry) in value.as_object().into_iter().flatten() {
            let list = json::into_object(list);
            let known = list.keys().find(|known| known.eq_ignore_ascii_case(id)).cloned();
            match (entry.is_null(), known) {
                (true, Some(known)) => {
                    list.remove(&known);
                }
                (false, None) => {
                    list.insert(id.clone(), entry.clone());
                }
                _ => {}
            }
        }
    }
}
