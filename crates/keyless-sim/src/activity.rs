//! The activity log: who changed what.
//! Source: MicrosoftDocs/azure-docs `articles/azure-monitor/essentials/activity-log-schema.md`, and for the filter
//! <https://learn.microsoft.com/azure/azure-monitor/essentials/rest-activity-log>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::assignment::{clauses, equals};
use crate::azure::{Actor, Azure};
use crate::request::{Answer, Call, Reply};
use crate::{arm_id, json, time};

/// Events that are kept; the oldest go first.
const KEPT: usize = 10_000;

impl Azure {
    /// Books a write: its beginning and its end, under one correlation id.
    pub(crate) fn record(&mut self, actor: &Actor<'_>, action: &str, resource: &str, status: u16) {
        let operation = self.guid();
        let correlation = if actor.correlation.is_empty() { self.guid() } else { actor.correlation.clone() };
        let key = arm_id::key(resource);
        let outcome = if status == 202 { "Accepted" } else { "Succeeded" };
        for (event, outcome) in [("BeginRequest", "Started"), ("EndRequest", outcome)] {
            let id = self.guid();
            let submitted = time::after(self.now, self.speed.shorten(self.knobs.activity_lag));
            let entry = json!({
                "authorization": {"action": action, "scope": resource}, "caller": actor.oid,
                "claims": {
                    "http://schemas.microsoft.com/identity/claims/objectidentifier": actor.oid,
                    "http://schemas.microsoft.com/identity/claims/tenantid": crate::token::TENANT_ID,
                    "aud": "https://management.core.windows.net/", "ver": "1.0",
                },
                "category": {"value": "Administrative", "localizedValue": "Administrative"},
                "correlationId": correlation, "description": "", "eventDataId": id,
                "eventName": {"value": event, "localizedValue": event},
                "eventTimestamp": time::stamp(self.now), "submissionTimestamp": time::stamp(submitted),
                "id": format!("{resource}/events/{id}/ticks/{}", self.now.as_millisecond()), "level": "Informational",
                "operationId": operation,
                "operationName": {"value": action, "localizedValue": action},
                "properties": {"statusCode": status.to_string(), "entity": resource},
                "resourceGroupName": arm_id::resource_group(&key).map(arm_id::name).unwrap_or_default(),
                "resourceId": resource,
                "resourceProviderName": {"value": action.split('/').next(), "localizedValue": action.split('/').next()},
                "resourceType": {"value": arm_id::type_of(&key), "localizedValue": arm_id::type_of(&key)},
                "status": {"value": outcome, "localizedValue": outcome},
                "subStatus": {"value": "", "localizedValue": ""},
                "subscriptionId": arm_id::subscription(&key), "tenantId": crate::token::TENANT_ID,
            });
            self.activity.push_back(entry);
        }
        while self.activity.len() > KEPT {
            self.activity.pop_front();
        }
    }

    /// Events that are old enough to show; the filter must name a span of time.
    pub(crate) fn list_activity(&self, caller: &str, call: &Call, scope: &str) -> Reply {
        self.authorize(caller, "Microsoft.Insights/eventtypes/values/Read", scope)?;
        let filter = call.query("$filter").unwrap_or_default();
        let (mut from, mut to, mut wanted) = (None, None, Vec::new());
        for clause in clauses(filter) {
            let bound = |operator: &str| {
                let (field, rest) = clause.split_once(' ')?;
                let value = rest.trim().strip_prefix(operator)?.trim().trim_matches('\'');
                field.eq_ignore_ascii_case("eventTimestamp").then(|| time::parse(value))?
            };
            if let Some(at) = bound("ge") {
                from = Some(at);
            } else if let Some(at) = bound("le") {
                to = Some(at);
            } else if let Some(name) = ["resourceGroupName", "resourceUri", "resourceProvider", "correlationId"]
                .into_iter()
                .find(|name| equals(&clause, name).is_some())
            {
                wanted.push((name, equals(&clause, name).unwrap_or_default().to_owned()));
            } else {
                return Err(Answer::bare_error(400, "BadRequest", format!("Invalid filter clause: {clause}")));
            }
        }
        let Some(from) = from else {
            return Err(Answer::bare_error(400, "BadRequest", "The filter must hold 'eventTimestamp ge'."));
        };
        let matching = |event: &&Value| {
            let at = |name| json::text(event, &[name]).and_then(time::parse);
            let in_span = at("eventTimestamp").is_some_and(|at| at >= from && to.is_none_or(|to| at <= to));
            let shown = at("submissionTimestamp").is_some_and(|at| at <= self.now);
            let subscription = json::text(event, &["subscriptionId"]);
            in_span
                && shown
                && subscription == arm_id::subscription(scope)
                && wanted.iter().all(|(name, value)| {
                    let own = match *name {
                        "resourceUri" => {
                            let own = json::text(event, &["resourceId"]).unwrap_or_default();
                            return arm_id::is_within(&arm_id::key(own), &arm_id::key(value));
                        }
                        "resourceProvider" => json::text(event, &["resourceProviderName", "value"]),
                        name => json::text(event, &[name]),
                    };
                    own.is_some_and(|own| own.eq_ignore_ascii_case(value))
                })
        };
        let found: BTreeMap<String, &Value> = self
            .activity
            .iter()
            .filter(matching)
            .enumerate()
            .map(|(place, event)| (format!("{place:08}"), event))
            .collect();
        let select = call.query("$select").map(|names| names.split(',').map(str::trim).collect::<Vec<_>>());
        self.page(call, found.keys().cloned(), |place| {
            let mut event = (*found.get(place)?).clone();
            if let (Some(names), Some(fields)) = (&select, event.as_object_mut()) {
                fields.retain(|field, _| names.iter().any(|name| name.eq_ignore_ascii_case(field)));
            }
            Some(event)
        })
    }
}
