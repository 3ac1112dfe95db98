//! What a workspace is made together with: key vaults, registries and where it logs to. Kept, shown and removed, and
//! nothing more is simulated of them.
//! Source: azure-ai-ml 1.35.2 `_arm_deployments/arm_templates/workspace_base.json`, which makes them.

use serde_json::json;

use crate::account::Change;
use crate::azure::{Actor, Azure};
use crate::request::{Answer, Call, Reply};
use crate::{arm_id, json};

/// Their types, in Azure's spelling.
pub(crate) const TYPES: [&str; 4] = [
    "Microsoft.ContainerRegistry/registries",
    "Microsoft.Insights/components",
    "Microsoft.KeyVault/vaults",
    "Microsoft.OperationalInsights/workspaces",
];

/// The type in Azure's spelling, if it is one of these.
pub(crate) fn known(namespace: &str, kind: &str) -> Option<&'static str> {
    TYPES.into_iter().find(|known| {
        known
            .split_once('/')
            .is_some_and(|(own, name)| own.eq_ignore_ascii_case(namespace) && name.eq_ignore_ascii_case(kind))
    })
}

impl Azure {
    /// One resource of these types: GET, PUT or DELETE.
    pub(crate) fn plain(&mut self, caller: &str, call: &Call, kind: &'static str) -> Reply {
        match call.method.as_str() {
            "GET" => self.get_plain(caller, call, &kind.to_ascii_lowercase(), &format!("{kind}/read")),
            "PUT" => self.put_plain(caller, call, kind),
            "DELETE" => self.delete_plain(caller, call, kind),
            _ => Err(crate::route::not_allowed(call)),
        }
    }

    /// 201 for a new one, 200 for one that is replaced.
    fn put_plain(&mut self, caller: &str, call: &Call, kind: &'static str) -> Reply {
        let (path, key) = (call.path(), call.key());
        let action = format!("{kind}/write");
        self.authorize(caller, &action, &key)?;
        if !self.world.group_exists(arm_id::resource_group(&key).unwrap_or_default()) {
            return Err(self.not_found(&path));
        }
        self.unlocked(&key, Change::Write)?;
        let mut body = call.placed_json()?;
        let held = self.world.get(&key).and_then(|held| held.get("id").cloned());
        let status = if held.is_some() { 200 } else { 201 };
        let own = json::into_object(&mut body);
        own.insert("id".to_owned(), held.unwrap_or_else(|| json!(path)));
        own.insert("name".to_owned(), json!(arm_id::name(&path)));
        own.insert("type".to_owned(), json!(kind));
        json::object(&mut body, "properties").insert("provisioningState".to_owned(), json!("Succeeded"));
        self.world.insert(body.clone());
        self.record(&Actor { oid: caller, correlation: call.correlation() }, &action, &path, status);
        Ok(Answer::new(status, Some(self.shown(call, &body))))
    }

    fn delete_plain(&mut self, caller: &str, call: &Call, kind: &'static str) -> Reply {
        let key = call.key();
        let action = format!("{kind}/delete");
        self.authorize(caller, &action, &key)?;
        self.unlocked(&key, Change::Delete)?;
        if self.world.remove(&key).is_none() {
            return Ok(Answer::empty(204));
        }
        self.record(&Actor { oid: caller, correlation: call.correlation() }, &action, &call.path(), 200);
        Ok(Answer::empty(200))
    }
}
