//! Locks that callers put on scopes and take away again.
//! Source: MicrosoftDocs/azure-docs `articles/azure-resource-manager/management/lock-resources.md`; what is answered:
//! Azure/azure-cli, recording `test_resource_lock_commands`.

use serde_json::json;

use crate::azure::{Actor, Azure};
use crate::request::{Answer, Call, Reply};
use crate::world::LOCK;
use crate::{arm_id, json};

const WRITE: &str = "Microsoft.Authorization/locks/write";
const DELETE: &str = "Microsoft.Authorization/locks/delete";
const LEVELS: [&str; 2] = ["CanNotDelete", "ReadOnly"];

impl Azure {
    /// 201 for a new lock, 200 over one that is there. Locks do not lock one another: whoever may write locks can always
    /// take one away again.
    pub(crate) fn put_lock(&mut self, caller: &str, call: &Call, scope: &str, written: &str) -> Reply {
        self.authorize(caller, WRITE, scope)?;
        if !self.scope_exists(scope) {
            return Err(self.not_found(written));
        }
        let body = call.json()?;
        let level = json::text(&body, &["properties", "level"]).unwrap_or_default();
        // The code has no public source; design decision.
        let Some(level) = LEVELS.into_iter().find(|known| known.eq_ignore_ascii_case(level)) else {
            let message = format!("The lock level '{level}' is none of {}.", LEVELS.join(", "));
            return Err(Answer::error(400, "InvalidLockLevel", message));
        };
        let key = call.key();
        let mut properties = json!({"level": level});
        for name in ["notes", "owners"] {
            if let Some(value) = json::at(&body, &["properties", name]) {
                json::into_object(&mut properties).insert(name.to_owned(), value.clone());
            }
        }
        let id = self.written_id(&key).unwrap_or_else(|| call.path());
        let status = if self.world.is_a(LOCK, &key) { 200 } else { 201 };
        let lock = json!({
            "id": id, "name": arm_id::name(&id), "type": "Microsoft.Authorization/locks", "properties": properties,
        });
        self.world.insert(lock.clone());
        self.record(&Actor { oid: caller, correlation: call.correlation() }, WRITE, &call.path(), status);
        Ok(Answer::new(status, Some(self.shown(call, &lock))))
    }

    /// 200 without a body, 204 where there was no such lock.
    pub(crate) fn delete_lock(&mut self, caller: &str, call: &Call, scope: &str) -> Reply {
        self.authorize(caller, DELETE, scope)?;
        let key = call.key();
        if !self.world.is_a(LOCK, &key) {
            return Ok(Answer::empty(204));
        }
        self.world.remove(&key);
        self.record(&Actor { oid: caller, correlation: call.correlation() }, DELETE, &call.path(), 200);
        Ok(Answer::empty(200))
    }

    /// Whether there is anything a lock or tags could be put on. What lies below an account or a workspace and is not
    /// kept here, such as a container, counts with what it lies in.
    pub(crate) fn scope_exists(&self, scope: &str) -> bool {
        match arm_id::resource_group(scope) {
            _ if self.world.get(scope).is_some() => true,
            Some(group) if group == scope => self.world.group_exists(scope),
            Some(group) => arm_id::scopes_above(scope)
                .take_while(|above| above.len() > group.len())
                .any(|above| self.world.get(above).is_some()),
            None => arm_id::subscription(scope).is_some_and(|id| scope == format!("/subscriptions/{id}")),
        }
    }
}
