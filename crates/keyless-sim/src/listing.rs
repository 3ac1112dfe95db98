//! Plain reads and lists: pages, filters by permission, and how resources are spelled in answers.
//! Source: azure-mgmt-authorization 4.0.0 and azure-ai-ml 1.35.2, whose pagers take `value` and `nextLink` in this form.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::faults::strike::OddPage;
use crate::options::Casing;
use crate::request::{Answer, Call, Reply};
use crate::world::{ASSIGNMENT, GROUP, WORKSPACE};
use crate::{arm_id, json};

/// Date of the first api-version that knows the mode, a preview.
/// Source: Azure/bicep-types-az `generated/machinelearningservices/microsoft.machinelearningservices/2022-12-01-preview/types.md`.
const FIRST_WITH_MODE: &str = "2022-12-01";

impl Azure {
    /// A stored resource by its own id.
    pub(crate) fn get_plain(&self, caller: &str, call: &Call, kind: &str, action: &str) -> Reply {
        let key = call.key();
        self.authorize(caller, action, &key)?;
        match self.world.typed(kind, &key) {
            Some(value) => Ok(Answer::ok(self.shown(call, value))),
            None => Err(self.not_found(&call.path())),
        }
    }

    /// All resources of a type below the path's scope that the caller may read. A caller who may read neither the
    /// scope nor anything in it is refused.
    pub(crate) fn list(&self, caller: &str, call: &Call, kind: &str, action: &str) -> Reply {
        let path = call.key();
        let scope = match path.find("/providers/") {
            Some(cut) if !matches!(kind, crate::world::COMPUTE | crate::world::ENDPOINT) => {
                path.get(..cut).unwrap_or_default()
            }
            _ => path.rsplit_once('/').map_or("", |(scope, _)| scope),
        };
        if let Some(group) = arm_id::resource_group(&path)
            && !self.world.group_exists(group)
        {
            return Err(group_not_found(group));
        }
        let everything = self.may(caller, action, scope);
        if !everything && !self.may_see_subscription(caller, scope) {
            self.authorize(caller, action, scope)?;
        }
        let keys = self.world.keys_below(kind, scope).filter(|key| self.lists(everything, caller, action, key));
        let wanted = call.query("kind").filter(|_| kind == WORKSPACE).map(str::to_ascii_lowercase);
        let keys = keys.filter(|key| {
            let own = || self.world.get(key)?.get("kind")?.as_str().map(str::to_ascii_lowercase);
            wanted.as_ref().is_none_or(|wanted| own().as_ref() == Some(wanted))
        });
        self.page(call, keys.map(str::to_owned), |key| Some(self.shown(call, self.world.get(key)?)))
    }

    /// One page of entries, which come in order of their keys, and the link to the next.
    pub(crate) fn page(
        &self,
        call: &Call,
        keys: impl Iterator<Item = String>,
        show: impl Fn(&str) -> Option<Value>,
    ) -> Reply {
        self.page_of(call, None, keys, show)
    }

    /// The same, no longer than the caller wants it.
    pub(crate) fn page_of(
        &self,
        call: &Call,
        wanted: Option<usize>,
        keys: impl Iterator<Item = String>,
        show: impl Fn(&str) -> Option<Value>,
    ) -> Reply {
        let token = match call.query("$skiptoken") {
            Some(token) => Some(
                decode(token)
                    .ok_or_else(|| Answer::error(400, "InvalidSkipToken", "The provided skip token is invalid."))?,
            ),
            None => None,
        };
        if token.is_none() && self.knobs.empty_first_page {
            return Ok(Answer::ok(json!({"value": [], "nextLink": next_link(call, "")})));
        }
        let after = token.unwrap_or_default();
        if self.odd_page == Some(OddPage::Empty) {
            return Ok(Answer::ok(json!({"value": [], "nextLink": next_link(call, &after)})));
        }
        let mut keys = keys.filter(|key| after.is_empty() || *key > after);
        let own = call.segments.iter().rev().find(|segment| segment.contains('.'));
        let size = match own {
            _ if self.odd_page.is_some() => 1,
            Some(provider) if provider.eq_ignore_ascii_case("Microsoft.MachineLearningServices") => {
                self.knobs.workspace_page_size
            }
            _ => self.knobs.page_size,
        };
        let size = wanted.map_or(size, |wanted| wanted.min(size));
        let page: Vec<String> = keys.by_ref().take(size.max(1)).collect();
        let more = keys.next().is_some();
        let value: Vec<Value> = page.iter().filter_map(|key| show(key)).collect();
        let mut body = json!({"value": value});
        if let (true, Some(last)) = (more, page.last()) {
            let link = match self.odd_page {
                Some(OddPage::OddLink(way)) => odd_link(call, last, way),
                _ => next_link(call, last),
            };
            json::into_object(&mut body).insert("nextLink".to_owned(), json!(link));
        }
        Ok(Answer::ok(body))
    }

    /// The resource as an answer spells it.
    pub(crate) fn shown(&self, call: &Call, value: &Value) -> Value {
        let mut shown = value.clone();
        let kind = shown.get("id").and_then(Value::as_str).map(arm_id::key).and_then(|key| arm_id::type_of(&key));
        match kind.as_deref() {
            Some(WORKSPACE) => {
                self.show_mode(call, &mut shown);
                // Of the subscription, whatever a loaded world says: a workspace is always of the same.
                let key = shown.get("id").and_then(Value::as_str).map(arm_id::key);
                let tenant = key.as_deref().and_then(arm_id::subscription).map(|id| self.tenant_of(id));
                // Always to this host: a loaded world may name the real service, to which no client is to be led.
                let properties = json::object(&mut shown, "properties");
                properties.insert("discoveryUrl".to_owned(), json!(format!("{}/discovery", call.origin)));
                properties.extend(tenant.map(|tenant| ("tenantId".to_owned(), json!(tenant))));
            }
            Some(ASSIGNMENT) => crate::assignment::hide_newer(call, &mut shown),
            _ => {}
        }
        if self.knobs.id_casing == Casing::Lower
            && let Some(id) = shown.get_mut("id")
            && let Some(text) = id.as_str()
        {
            *id = Value::String(text.replace("/resourceGroups/", "/resourcegroups/"));
        }
        shown
    }

    /// Old versions never show the mode; the spelling in others is a knob.
    /// Source: <https://github.com/Azure/bicep-types-az/issues/2391>.
    fn show_mode(&self, call: &Call, workspace: &mut Value) {
        let Some(properties) = workspace.get_mut("properties").and_then(Value::as_object_mut) else { return };
        let version = call.api_version();
        let older = version.get(..10).is_some_and(|date| date < FIRST_WITH_MODE);
        if older || self.knobs.versions_hiding_auth_mode.contains(version) {
            properties.remove("systemDatastoresAuthMode");
            return;
        }
        let Some(mode) = properties.get_mut("systemDatastoresAuthMode") else { return };
        let Some(text) = mode.as_str() else { return };
        let spelled = match self.knobs.auth_mode_casing {
            Casing::AsWritten => return,
            Casing::Lower => text.to_ascii_lowercase(),
            Casing::Schema => match text.to_ascii_lowercase().as_str() {
                "identity" => "Identity".to_owned(),
                "accesskey" => "AccessKey".to_owned(),
                "userdelegationsas" => "UserDelegationSAS".to_owned(),
                _ => return,
            },
        };
        *mode = Value::String(spelled);
    }

    /// 404 in ARM's words: the group first, then the resource.
    pub(crate) fn not_found(&self, path: &str) -> Answer {
        let key = arm_id::key(path);
        if let Some(group) = arm_id::resource_group(&key)
            && !self.world.group_exists(group)
        {
            return group_not_found(group);
        }
        let resource = path.rsplit("/providers/").next().unwrap_or(path);
        let group = arm_id::resource_group(&key).map(arm_id::name).unwrap_or_default();
        let message = format!("The Resource '{resource}' under resource group '{group}' was not found.");
        Answer::error(404, "ResourceNotFound", message)
    }

    pub(crate) fn list_subscriptions(&self, caller: &str, call: &Call) -> Reply {
        let visible = self.world.subscriptions().into_iter();
        let visible = visible.filter(|id| self.may_see_subscription(caller, &format!("/subscriptions/{id}")));
        self.page(call, visible, |id| Some(self.subscription_json(id)))
    }

    pub(crate) fn get_subscription(&self, caller: &str, call: &Call, subscription: &str) -> Reply {
        if !self.may_see_subscription(caller, &call.key()) {
            self.authorize(caller, "Microsoft.Resources/subscriptions/read", &call.key())?;
        }
        Ok(Answer::ok(self.subscription_json(subscription)))
    }

    pub(crate) fn subscription_json(&self, subscription: &str) -> Value {
        let own = self.world.get(&format!("/subscriptions/{subscription}"));
        let name = own.and_then(|value| json::text(value, &["displayName"])).unwrap_or(subscription);
        let tags = own.and_then(|value| json::at(value, &["tags"]).cloned()).unwrap_or_else(|| json!({}));
        let managed_by =
            if self.is_delegated(subscription) { json!([{"tenantId": crate::token::TENANT_ID}]) } else { json!([]) };
        json!({
            "id": format!("/subscriptions/{subscription}"), "subscriptionId": subscription,
            "tenantId": self.tenant_of(subscription), "managedByTenants": managed_by, "displayName": name, "state": "Enabled",
            "subscriptionPolicies": {"locationPlacementId": "Public_2014-09-01", "quotaId": "EnterpriseAgreement_2014-09-01",
                "spendingLimit": "Off"},
            "authorizationSource": "RoleBased", "tags": tags,
        })
    }

    pub(crate) fn list_groups(&self, caller: &str, call: &Call) -> Reply {
        let key = call.key();
        let scope = key.rsplit_once('/').map_or("", |(scope, _)| scope);
        let action = "Microsoft.Resources/subscriptions/resourceGroups/read";
        if !self.may_see_subscription(caller, scope) {
            self.authorize(caller, action, scope)?;
        }
        let groups = self.world.groups(arm_id::subscription(&key).unwrap_or_default());
        let visible: Vec<String> = groups.into_keys().filter(|group| self.may(caller, action, group)).collect();
        self.page(call, visible.into_iter(), |group| Some(self.group_json(group)))
    }

    pub(crate) fn get_group(&self, caller: &str, call: &Call) -> Reply {
        let key = call.key();
        self.authorize(caller, "Microsoft.Resources/subscriptions/resourceGroups/read", &key)?;
        let head = call.method == http::Method::HEAD;
        match (self.world.group_exists(&key), head) {
            (true, true) => Ok(Answer::empty(204)),
            (false, true) => Err(Answer::empty(404)),
            (true, false) => Ok(Answer::ok(self.group_json(&key))),
            (false, false) => Err(group_not_found(&key)),
        }
    }

    pub(crate) fn group_json(&self, group: &str) -> Value {
        if let Some(own) = self.world.typed(GROUP, group) {
            return own.clone();
        }
        let subscription = arm_id::subscription(group).unwrap_or_default();
        let name = self.world.groups(subscription).remove(group).unwrap_or_else(|| arm_id::name(group).to_owned());
        let first = self.world.keys_below(crate::world::ACCOUNT, group).next();
        let location = first.and_then(|key| self.world.get(key)?.get("location")?.as_str()).unwrap_or("westeurope");
        json!({
            "id": format!("/subscriptions/{subscription}/resourceGroups/{name}"), "name": name,
            "type": "Microsoft.Resources/resourceGroups", "location": location, "tags": {},
            "properties": {"provisioningState": "Succeeded"},
        })
    }
}

fn group_not_found(group: &str) -> Answer {
    let name = arm_id::name(group);
    Answer::error(404, "ResourceGroupNotFound", format!("Resource group '{name}' could not be found."))
}

/// Absolute, opaque, and carrying every parameter of the request.
fn next_link(call: &Call, last: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in call.query.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("$skiptoken")) {
        query.append_pair(name, value);
    }
    query.append_pair("$skiptoken", &URL_SAFE_NO_PAD.encode(format!("after {last}")));
    let path: String = call
        .segments
        .iter()
        .map(|segment| {
            format!("/{}", segment.replace('%', "%25").replace(' ', "%20").replace('?', "%3F").replace('#', "%23"))
        })
        .collect();
    format!("{}{path}?{}", call.origin, query.finish())
}

/// The link in a spelling that was recorded: parameters with encoded names, in another case, in another order beside one
/// without value, or all of it relative.
/// Source: recordings of Azure/azure-cli, `hybrid_2018_03_01.test_resource_scenario`.
fn odd_link(call: &Call, last: &str, way: u64) -> String {
    let link = next_link(call, last);
    let Some((path, query)) = link.split_once('?') else { return link };
    let plain = query.replace("%24skiptoken", "$skiptoken");
    match way % 4 {
        0 => format!("{path}?{}", plain.replace("$skiptoken", "%24skiptoken").replace("api-version", "api%2Dversion")),
        1 => format!("{path}?{}", plain.replace("$skiptoken", "$skipToken")),
        2 => {
            let mut parts: Vec<&str> = plain.split('&').collect();
            parts.reverse();
            format!("{path}?{}&%24expand=", parts.join("&"))
        }
        _ => link.strip_prefix(&call.origin).unwrap_or(&link).to_owned(),
    }
}

fn decode(token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    String::from_utf8(bytes).ok()?.strip_prefix("after ").map(str::to_owned)
}
