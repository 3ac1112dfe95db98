//! Changes that others make: in the portal, by script, by deployment.
//!
//! Design decision: Azure has no such interface. A change here is made to the world at once, without the checks that a
//! request of the resource manager meets, and stands in the activity log, where it has a part in it, under the
//! operation that would have made it.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::request::Answer;
use crate::service::Service;
use crate::workload::Signs;
use crate::world::{ACCOUNT, ASSIGNMENT, DATASTORE, DEFINITION, KEY_USER, LOCK, WORKSPACE};
use crate::{arm_id, json, roles, time};

/// An out-of-band change.
#[derive(Debug, Clone, Deserialize)]
pub struct Drift {
    /// What changes.
    pub change: DriftChange,
    /// ARM id (or object id) of what it changes.
    pub target: String,
    /// The new value or resource, where there is one.
    #[serde(default)]
    pub value: Value,
    /// Object id of who does it, for the activity log.
    #[serde(default)]
    pub by: String,
}

/// Kinds of out-of-band change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DriftChange {
    /// Sets `allowSharedKeyAccess` of an account; null takes the property away.
    SharedKey,
    /// Makes a key of an account anew: `key1` or `key2`.
    KeyRegenerated,
    /// Sets `systemDatastoresAuthMode` of a workspace; null takes the property away.
    AuthMode,
    /// Removes a role assignment.
    GrantRemoved,
    /// Adds a role assignment: a whole resource, or `{principalId, roleDefinitionId, principalType?, condition?}` at
    /// the target scope.
    GrantAdded,
    /// Adds a workspace, which the service then gives its grants.
    WorkspaceAdded,
    /// Removes a workspace.
    WorkspaceRemoved,
    /// A user of the account key appears on an account: `{name?, triesPerHour?, stopsAfter?, service?, signs?, address?,
    /// userAgent?}`.
    KeyUserStarted,
    /// A user of the account key goes away: its own id, or an account and its name (all of them without one).
    KeyUserStopped,
    /// Adds or replaces a datastore.
    DatastoreAdded,
    /// Puts a lock on a scope: a level, or a whole resource.
    LockAdded,
    /// Takes a lock away: its own id, or the scope it is on.
    LockRemoved,
    /// Adds or replaces any entry of a world.
    ResourcePut,
    /// Removes any entry of a world.
    ResourceRemoved,
    /// Puts the principal in `value` into the group in `target`.
    MemberAdded,
    /// Takes the principal in `value` out of the group in `target`.
    MemberRemoved,
}

impl Azure {
    /// Makes an out-of-band change.
    pub(crate) fn drift(&mut self, drift: Drift) -> Result<(), Answer> {
        let Drift { change, target, value, by } = drift;
        let key = arm_id::key(&target);
        let body = match change {
            DriftChange::SharedKey => Some(json!({"properties": {"allowSharedKeyAccess": value}})),
            DriftChange::AuthMode => Some(json!({"properties": {"systemDatastoresAuthMode": value}})),
            _ => None,
        };
        let action = match change {
            DriftChange::SharedKey => {
                self.expect(ACCOUNT, &key)?;
                let allowed = match value {
                    Value::Null => None,
                    Value::Bool(allowed) => Some(allowed),
                    _ => return Err(bad("`value` must be true, false or null")),
                };
                self.set_shared_key(&key, allowed);
                "Microsoft.Storage/storageAccounts/write"
            }
            DriftChange::KeyRegenerated => {
                self.expect(ACCOUNT, &key)?;
                let Some(name @ ("key1" | "key2")) = value.as_str() else {
                    return Err(bad("`value` must be `key1` or `key2`"));
                };
                self.regenerate_key(&key, name);
                "Microsoft.Storage/storageAccounts/regenerateKey/action"
            }
            DriftChange::AuthMode => {
                self.expect(WORKSPACE, &key)?;
                if !(value.is_null() || value.is_string()) {
                    return Err(bad("`value` must be text or null"));
                }
                self.set_auth_mode(&key, value.as_str());
                "Microsoft.MachineLearningServices/workspaces/write"
            }
            DriftChange::GrantRemoved => {
                self.expect(ASSIGNMENT, &key)?;
                self.revoke(&key);
                "Microsoft.Authorization/roleAssignments/delete"
            }
            DriftChange::GrantAdded => {
                let assignment = self.drifted_grant(&target, value, &by)?;
                self.grant(assignment);
                "Microsoft.Authorization/roleAssignments/write"
            }
            DriftChange::WorkspaceAdded => {
                let new = !self.world.is_a(WORKSPACE, &key);
                self.put_as(WORKSPACE, &target, value)?;
                self.rehome_clients();
                if new {
                    self.welcome(&key);
                }
                "Microsoft.MachineLearningServices/workspaces/write"
            }
            DriftChange::WorkspaceRemoved => {
                self.expect(WORKSPACE, &key)?;
                self.apply(&key, &target, crate::operation::Write::Delete);
                "Microsoft.MachineLearningServices/workspaces/delete"
            }
            DriftChange::KeyUserStarted => {
                self.expect(ACCOUNT, &key)?;
                self.start_key_user(&target, &value)?;
                return Ok(());
            }
            DriftChange::KeyUserStopped => return self.stop_key_users(&key, &value),
            DriftChange::DatastoreAdded => {
                self.put_as(DATASTORE, &target, value)?;
                let workspace = key.split("/datastores/").next().unwrap_or(&key);
                self.rehome_workspace(workspace);
                "Microsoft.MachineLearningServices/workspaces/datastores/write"
            }
            DriftChange::LockAdded => {
                self.drifted_lock(&target, value)?;
                "Microsoft.Authorization/locks/write"
            }
            DriftChange::LockRemoved => {
                let on_scope: Vec<String> = self
                    .world
                    .keys_of(LOCK)
                    .filter(|lock| **lock == *key || arm_id::extension_scope(lock) == key)
                    .map(str::to_owned)
                    .collect();
                if on_scope.is_empty() {
                    return Err(missing(&target));
                }
                for lock in on_scope {
                    self.world.remove(&lock);
                }
                "Microsoft.Authorization/locks/delete"
            }
            DriftChange::ResourcePut | DriftChange::ResourceRemoved => {
                self.replace_entry(change, &target, value)?;
                "Microsoft.Resources/tags/write"
            }
            DriftChange::MemberAdded | DriftChange::MemberRemoved => {
                return self.change_member(change == DriftChange::MemberAdded, &key, &value);
            }
        };
        self.record_drift(&by, action, &target, body.as_ref());
        Ok(())
    }

    fn expect(&self, kind: &str, key: &str) -> Result<(), Answer> {
        if self.world.is_a(kind, key) { Ok(()) } else { Err(missing(key)) }
    }

    /// Puts `value` at `target`, which must be an id of this type.
    fn put_as(&mut self, kind: &str, target: &str, mut value: Value) -> Result<(), Answer> {
        let declared = arm_id::type_of(&arm_id::key(target));
        if declared.as_deref() != Some(kind) || !value.is_object() {
            return Err(bad(&format!("`target` must be an id of type {kind}, and `value` the resource")));
        }
        let own = json::into_object(&mut value);
        own.insert("id".to_owned(), json!(target));
        own.entry("name").or_insert_with(|| json!(arm_id::name(target)));
        own.entry("type").or_insert_with(|| json!(kind));
        if self.world.insert(value) { Ok(()) } else { Err(bad("`value` is no resource")) }
    }

    fn drifted_grant(&mut self, target: &str, value: Value, by: &str) -> Result<Value, Answer> {
        let own_id = arm_id::type_of(&arm_id::key(target)).as_deref() == Some(ASSIGNMENT);
        let scope = if own_id {
            let cut = arm_id::extension_scope(&arm_id::key(target)).len();
            target.get(..cut).unwrap_or(target).to_owned()
        } else {
            target.trim_end_matches('/').to_owned()
        };
        if !scope.is_empty() && !scope.starts_with('/') {
            return Err(bad("`target` must be a scope or the id of an assignment"));
        }
        let mut properties = json::at(&value, &["properties"]).cloned().unwrap_or(value);
        let now = time::stamp(self.now);
        let principal = json::text(&properties, &["principalId"]).map(str::to_owned);
        let (Some(principal), Some(_)) = (principal, json::text(&properties, &["roleDefinitionId"])) else {
            return Err(bad("`value` needs principalId and roleDefinitionId, both text"));
        };
        let principal_type = self.world.principal_type(&principal).unwrap_or("ServicePrincipal");
        let fields = json::into_object(&mut properties);
        for (name, value) in [
            ("scope", json!(scope)),
            ("principalType", json!(principal_type)),
            ("createdOn", json!(now)),
            ("updatedOn", json!(now)),
            ("createdBy", json!(by)),
            ("updatedBy", json!(by)),
        ] {
            fields.entry(name).or_insert(value);
        }
        if let Some(guid) = fields.get("roleDefinitionId").and_then(Value::as_str).filter(|id| !id.contains('/')) {
            let role = roles::built_in(guid).map_or(guid, |role| role.id);
            let id = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
            fields.insert("roleDefinitionId".to_owned(), json!(id));
        }
        let name = if own_id { arm_id::name(target).to_owned() } else { self.guid() };
        Ok(json!({
            "id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"), "name": name,
            "type": "Microsoft.Authorization/roleAssignments", "properties": properties,
        }))
    }

    fn start_key_user(&mut self, account: &str, value: &Value) -> Result<(), Answer> {
        let id = |number: &usize| format!("{account}/providers/Keyless.Sim/keyUsers/drift-{number}");
        // Those that were stopped have left gaps, and a user is not to take the place of another.
        let free = (0..).find(|number| self.world.get(&arm_id::key(&id(number))).is_none());
        let number = free.unwrap_or_default();
        let id = id(&number);
        let field = |name: &str| json::at(value, &[name]).cloned();
        if !value.is_null() && !value.is_object() {
            return Err(bad("`value` must be an object such as {\"name\":\"backup\",\"stopsAfter\":\"1h\"}"));
        }
        if field("name").is_some_and(|name| !name.is_string()) {
            return Err(bad("`name` must be text"));
        }
        if field("triesPerHour").is_some_and(|tries| !tries.as_f64().is_some_and(|tries| tries > 0.0)) {
            return Err(bad("`triesPerHour` must be a number above 0"));
        }
        let is_span = |span: &Value| span.as_str().is_some_and(|span| humantime::parse_duration(span).is_ok());
        if field("stopsAfter").is_some_and(|span| !is_span(&span)) {
            return Err(bad("`stopsAfter` must be a duration such as `1h`"));
        }
        let word =
            |name: &str| field(name).map(|word| word.as_str().map(str::to_owned).unwrap_or_else(|| "?".to_owned()));
        if word("service").is_some_and(|word| Service::named(&word).is_none()) {
            return Err(bad("`service` must be blob, file, queue or table"));
        }
        if word("signs").is_some_and(|word| Signs::named(&word).is_none()) {
            return Err(bad("`signs` must be key, keySas, delegationSas or wrongKey"));
        }
        let mut properties = json!({
            "account": account, "name": field("name").unwrap_or_else(|| json!(format!("key user {number}"))),
            "triesPerHour": field("triesPerHour").unwrap_or_else(|| json!(60)),
        });
        for name in ["address", "userAgent"] {
            if field(name).is_some_and(|value| !value.is_string()) {
                return Err(bad(&format!("`{name}` must be text")));
            }
        }
        for name in ["stopsAfter", "service", "signs", "address", "userAgent"] {
            let value = field(name).map(|value| (name.to_owned(), value));
            json::into_object(&mut properties).extend(value);
        }
        self.world.insert(json!({"id": id, "type": "Keyless.Sim/keyUsers", "properties": properties}));
        self.start_client(&arm_id::key(&id), self.now);
        Ok(())
    }

    fn stop_key_users(&mut self, target: &str, value: &Value) -> Result<(), Answer> {
        let name = value.as_str().or_else(|| json::text(value, &["name"]));
        let meant: Vec<String> = self
            .world
            .keys_of(KEY_USER)
            .filter(|key| {
                let Some(entry) = self.world.get(key) else { return false };
                let account = json::text(entry, &["properties", "account"]).map(arm_id::key);
                let own = json::text(entry, &["properties", "name"]);
                *key == target || (account.as_deref() == Some(target) && (name.is_none() || own == name))
            })
            .map(str::to_owned)
            .collect();
        if meant.is_empty() {
            return Err(missing(target));
        }
        for key in meant {
            self.stop_client(&key);
            self.world.remove(&key);
        }
        Ok(())
    }

    fn drifted_lock(&mut self, target: &str, value: Value) -> Result<(), Answer> {
        if arm_id::type_of(&arm_id::key(target)).as_deref() == Some(LOCK) {
            return self.put_as(LOCK, target, value);
        }
        let level = value.as_str().or_else(|| json::text(&value, &["properties", "level"])).unwrap_or("ReadOnly");
        if !matches!(level, "ReadOnly" | "CanNotDelete") {
            return Err(bad("`value` must be `ReadOnly` or `CanNotDelete`"));
        }
        if !target.starts_with('/') {
            return Err(bad("`target` must be a scope"));
        }
        let id = format!("{target}/providers/Microsoft.Authorization/locks/{level}");
        let lock = json!({
            "id": id, "name": level, "type": "Microsoft.Authorization/locks",
            "properties": {"level": level, "notes": "set out of band"},
        });
        if self.world.insert(lock) { Ok(()) } else { Err(bad("`target` must be a scope")) }
    }

    fn replace_entry(&mut self, change: DriftChange, target: &str, mut value: Value) -> Result<(), Answer> {
        let key = &arm_id::key(target);
        let removes = change == DriftChange::ResourceRemoved;
        if removes && self.world.get(key).is_none() {
            return Err(missing(key));
        }
        if !removes {
            let own = value.as_object_mut().map(|own| own.entry("id").or_insert_with(|| json!(target)).clone());
            if own.as_ref().and_then(Value::as_str).map(arm_id::key).as_ref() != Some(key) {
                return Err(bad("`value` must be a resource with the id in `target`"));
            }
            // On a world of its own first: what is no entry must not push out the one that is there.
            if crate::World::from_resources([value.clone()]).1 > 0 {
                return Err(bad("`value` is no entry of a world"));
            }
        }
        self.stop_client(key);
        let kind = arm_id::type_of(key);
        if kind.as_deref() == Some(DEFINITION) {
            self.recast_role(key);
            if !removes {
                let now = time::stamp(self.now);
                json::object(&mut value, "properties").entry("updatedOn").or_insert_with(|| json!(now));
            }
        }
        match (removes, kind.as_deref()) {
            (true, Some(ASSIGNMENT)) => {
                self.revoke(key);
            }
            (true, _) => {
                self.end_job(key);
                self.world.remove(key);
            }
            (false, Some(ASSIGNMENT)) => self.grant(value),
            (false, _) => {
                self.world.insert(value);
            }
        }
        self.start_client_if_any(key);
        self.follow_diagnostics(self.now);
        let accounts: Vec<String> = self.world.keys_of(ACCOUNT).map(str::to_owned).collect();
        if self.world.is_a(ACCOUNT, key) {
            self.follow_shared_key(key);
        }
        self.rehome_clients();
        for account in accounts {
            self.reconsider_account(&account);
        }
        Ok(())
    }

    fn start_client_if_any(&mut self, key: &str) {
        if self.world.is_a(KEY_USER, key) || self.world.is_a(crate::world::WORKLOAD, key) {
            self.start_client(key, self.now);
        }
        if self.world.is_a(crate::world::JOB_RUN, key) {
            self.start_job(key);
        }
        self.follow_instance(key);
    }

    fn change_member(&mut self, add: bool, group: &str, member: &Value) -> Result<(), Answer> {
        let Some(member) = member.as_str() else { return Err(bad("`value` must be an object id")) };
        let Some(mut entry) = self.world.get(group).cloned() else { return Err(missing(group)) };
        let members = json::into_object(&mut entry).entry("members").or_insert_with(|| json!([]));
        let Some(list) = members.as_array_mut() else { return Err(bad("the group has no list of members")) };
        list.retain(|held| !held.as_str().is_some_and(|held| held.eq_ignore_ascii_case(member)));
        if add {
            list.push(json!(member));
        }
        self.world.insert(entry);
        self.reconsider_scope("");
        Ok(())
    }
}

fn bad(message: &str) -> Answer {
    Answer::error(400, "BadRequest", message)
}

fn missing(target: &str) -> Answer {
    Answer::error(404, "ResourceNotFound", format!("nothing of this kind at '{target}'"))
}
