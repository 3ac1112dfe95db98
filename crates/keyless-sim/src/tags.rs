//! Tags by themselves, apart from the resource that bears them.
//! Source: azure-mgmt-resource 26.0.0, `TagsOperations`; what Cloud Custodian's c7n_azure 0.7.52 sends to tag an account.

use serde_json::{Map, Value, json};

use crate::account::Change;
use crate::azure::{Actor, Azure};
use crate::request::{Answer, Call, Reply};
use crate::world::{GROUP, SUBSCRIPTION};
use crate::{arm_id, json};

const READ: &str = "Microsoft.Resources/tags/read";
const WRITE: &str = "Microsoft.Resources/tags/write";
const DELETE: &str = "Microsoft.Resources/tags/delete";

impl Azure {
    pub(crate) fn get_tags(&self, caller: &str, call: &Call, scope: &str, written: &str) -> Reply {
        self.authorize(caller, READ, scope)?;
        self.tagged(scope, written).map(|tags| Answer::ok(document(written, &tags, call)))
    }

    /// PUT replaces all tags; PATCH replaces, merges or deletes as `operation` says. Done at once: an operation of its own
    /// is allowed by the definition, and clients take either.
    pub(crate) fn write_tags(&mut self, caller: &str, call: &Call, scope: &str, written: &str) -> Reply {
        self.authorize(caller, WRITE, scope)?;
        let held = self.tagged(scope, written)?;
        self.unlocked(scope, Change::Write)?;
        let body = call.json()?;
        let sent = json::at(&body, &["properties", "tags"]).and_then(Value::as_object).cloned().unwrap_or_default();
        if sent.values().any(|value| !value.is_string()) {
            return Err(Answer::error(400, "InvalidTagValue", "The value of a tag must be text."));
        }
        let put = call.method == http::Method::PUT;
        let operation = if put { "Replace" } else { json::text(&body, &["operation"]).unwrap_or_default() };
        let tags = match operation.to_ascii_lowercase().as_str() {
            "replace" => sent,
            "merge" => merged(held, sent),
            "delete" => without(held, &sent),
            _ => {
                let message = format!("The tag operation '{operation}' is none of Replace, Merge, Delete.");
                return Err(Answer::error(400, "InvalidTagOperation", message));
            }
        };
        self.set_tags(scope, tags.clone());
        self.record(&Actor { oid: caller, correlation: call.correlation() }, WRITE, &call.path(), 200);
        Ok(Answer::ok(document(written, &tags, call)))
    }

    /// Takes every tag away; 200 either way.
    pub(crate) fn delete_tags(&mut self, caller: &str, call: &Call, scope: &str, written: &str) -> Reply {
        self.authorize(caller, DELETE, scope)?;
        self.tagged(scope, written)?;
        self.unlocked(scope, Change::Write)?;
        self.set_tags(scope, Map::new());
        self.record(&Actor { oid: caller, correlation: call.correlation() }, DELETE, &call.path(), 200);
        Ok(Answer::empty(200))
    }

    /// The tags of what is there, or 404.
    fn tagged(&self, scope: &str, written: &str) -> Result<Map<String, Value>, Answer> {
        if !self.scope_exists(scope) {
            return Err(self.not_found(written));
        }
        let tags = self.world.get(scope).and_then(|value| value.get("tags")?.as_object().cloned());
        Ok(tags.unwrap_or_default())
    }

    /// A group or a subscription that follows from the ids of others.
    fn container_json(&self, scope: &str) -> Option<Value> {
        match arm_id::type_of(scope)?.as_str() {
            GROUP => Some(self.group_json(scope)),
            SUBSCRIPTION => Some(self.subscription_json(arm_id::subscription(scope)?)),
            _ => None,
        }
    }

    /// Groups and subscriptions that follow from the ids of others become entries of their own by being tagged.
    fn set_tags(&mut self, scope: &str, tags: Map<String, Value>) {
        if self.world.get(scope).is_none()
            && let Some(derived) = self.container_json(scope)
        {
            self.world.insert(derived);
        }
        if let Some(value) = self.world.get_mut(scope) {
            json::into_object(value).insert("tags".to_owned(), Value::Object(tags));
        }
    }
}

fn document(written: &str, tags: &Map<String, Value>, call: &Call) -> Value {
    let id =
        if written.is_empty() { call.path() } else { format!("{written}/providers/Microsoft.Resources/tags/default") };
    json!({"id": id, "name": "default", "type": "Microsoft.Resources/tags", "properties": {"tags": tags}})
}

/// Names of tags are compared without case; a new value replaces the old one under the old name.
/// Source: MicrosoftDocs/azure-docs `articles/azure-resource-manager/management/tag-resources.md`.
fn merged(mut held: Map<String, Value>, sent: Map<String, Value>) -> Map<String, Value> {
    for (name, value) in sent {
        let known = held.keys().find(|known| known.eq_ignore_ascii_case(&name)).cloned();
        held.insert(known.unwrap_or(name), value);
    }
    held
}

/// A tag is deleted where name and value are those that were sent. Source: azure-mgmt-resource 26.0.0.
fn without(mut held: Map<String, Value>, sent: &Map<String, Value>) -> Map<String, Value> {
    held.retain(|name, value| !sent.iter().any(|(gone, was)| gone.eq_ignore_ascii_case(name) && was == value));
    held
}
