//! Resources of every type in one list.
//! Source: azure-mgmt-resource 26.0.0, `ResourcesOperations.list`, whose description gives the filters.

use serde_json::Value;

use crate::arm_id;
use crate::assignment::{clauses, equals};
use crate::azure::Azure;
use crate::json;
use crate::request::{Answer, Call, Reply};
use crate::world::{ACCOUNT, ENDPOINT, IDENTITY, WORKSPACE};

const TRACKED: [(&str, &str); 4] = [
    (WORKSPACE, "Microsoft.MachineLearningServices/workspaces/read"),
    (ENDPOINT, "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/read"),
    (IDENTITY, "Microsoft.ManagedIdentity/userAssignedIdentities/read"),
    (ACCOUNT, "Microsoft.Storage/storageAccounts/read"),
];

/// Types that have a place and tags and are therefore listed, each with the action that reads it.
pub(crate) fn tracked() -> Vec<(String, String)> {
    let own = TRACKED.map(|(kind, action)| (kind.to_owned(), action.to_owned()));
    let plain = crate::plain::TYPES.map(|kind| (kind.to_ascii_lowercase(), format!("{kind}/read")));
    own.into_iter().chain(plain).collect()
}

/// What an entry of the list shows: `properties` are left out.
const SHOWN: [&str; 10] = ["id", "name", "type", "location", "tags", "kind", "sku", "identity", "managedBy", "plan"];

/// One clause of a filter.
enum Wanted {
    Is(&'static str, String),
    IsNot(&'static str, String),
    Holds(String),
    Tag(String),
    TagValue(String),
}

impl Azure {
    /// What the caller may read of the tracked resources of a subscription or a group.
    pub(crate) fn list_resources(&self, caller: &str, call: &Call) -> Reply {
        let path = call.key();
        let scope = path.rsplit_once('/').map_or("", |(scope, _)| scope);
        if let Some(group) = arm_id::resource_group(scope)
            && !self.world.group_exists(group)
        {
            return Err(self.not_found(scope));
        }
        if !self.may_see_subscription(caller, scope) {
            self.authorize(caller, "Microsoft.Resources/subscriptions/resources/read", scope)?;
        }
        let wanted = clauses(call.query("$filter").unwrap_or_default())
            .iter()
            .map(|clause| read_clause(clause))
            .collect::<Result<Vec<Wanted>, Answer>>()?;
        let mut found: Vec<String> = Vec::new();
        for (kind, action) in &tracked() {
            let everything = self.may(caller, action, scope);
            let keys = self.world.keys_below(kind, scope).filter(|key| self.lists(everything, caller, action, key));
            let keys = keys.filter(|key| {
                self.world.get(key).is_some_and(|value| wanted.iter().all(|wanted| wanted.suits(key, kind, value)))
            });
            found.extend(keys.map(str::to_owned));
        }
        found.sort();
        // `$top` limits the whole answer.
        let top = match call.query("$top").map(str::parse::<usize>) {
            None => usize::MAX,
            Some(Ok(top)) => top,
            Some(Err(_)) => return Err(Answer::error(400, "InvalidTopParameter", "'$top' must be a number.")),
        };
        found.truncate(top);
        self.page(call, found.into_iter(), |key| {
            let mut shown = self.shown(call, self.world.get(key)?);
            json::into_object(&mut shown).retain(|name, _| SHOWN.contains(&name.as_str()));
            Some(shown)
        })
    }
}

fn read_clause(clause: &str) -> Result<Wanted, Answer> {
    for name in ["resourceType", "name", "location", "resourceGroup"] {
        if let Some(value) = equals(clause, name) {
            return Ok(Wanted::Is(name, value.to_ascii_lowercase()));
        }
        let mut words = clause.splitn(3, ' ');
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case(name))
            && words.next().is_some_and(|word| word.eq_ignore_ascii_case("ne"))
            && let Some(value) = words.next()
        {
            return Ok(Wanted::IsNot(name, value.trim().trim_matches('\'').to_ascii_lowercase()));
        }
    }
    if let Some(name) = equals(clause, "tagName") {
        return Ok(Wanted::Tag(name.to_owned()));
    }
    if let Some(value) = equals(clause, "tagValue") {
        return Ok(Wanted::TagValue(value.to_owned()));
    }
    let part = clause.strip_prefix("substringof(").and_then(|rest| rest.strip_suffix(')'));
    if let Some((text, field)) = part.and_then(|inner| inner.rsplit_once(','))
        && field.trim().eq_ignore_ascii_case("name")
    {
        return Ok(Wanted::Holds(text.trim().trim_matches('\'').to_ascii_lowercase()));
    }
    let message = format!("The filter '{clause}' is not supported.");
    Err(Answer::error(400, "InvalidFilterInQueryString", message))
}

impl Wanted {
    fn suits(&self, key: &str, kind: &str, value: &Value) -> bool {
        let own = |field: &str| match field {
            "resourceType" => kind.to_owned(),
            "name" => arm_id::name(key).to_owned(),
            "resourceGroup" => arm_id::resource_group(key).map(arm_id::name).unwrap_or_default().to_owned(),
            field => json::text(value, &[field]).unwrap_or_default().to_ascii_lowercase(),
        };
        let tags = || value.get("tags").and_then(Value::as_object).into_iter().flatten();
        match self {
            Self::Is(field, wanted) => own(field) == *wanted,
            Self::IsNot(field, unwanted) => own(field) != *unwanted,
            Self::Holds(part) => arm_id::name(key).contains(part.as_str()),
            Self::Tag(name) => tags().any(|(own, _)| own.eq_ignore_ascii_case(name)),
            Self::TagValue(wanted) => tags().any(|(_, own)| own.as_str() == Some(wanted)),
        }
    }
}
