//! The activity log: who changed what.
//! Source: MicrosoftDocs/azure-docs `articles/azure-monitor/essentials/activity-log-schema.md`, for the filter
//! <https://learn.microsoft.com/azure/azure-monitor/essentials/rest-activity-log>, and for the order of events, the claims
//! and `properties.statusCode` Azure/azure-cli, recording `test_role_assignment_audits`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::assignment::{clauses, equals};
use crate::azure::{Actor, Azure};
use crate::request::{Answer, Call, Reply};
use crate::{arm_id, json, time};

/// Events that are kept; the oldest go first.
const KEPT: usize = 10_000;

/// How far back the log can be asked about. Source: Azure/azure-cli, recording `test_activity_log_list_scenario`.
const REACHES_BACK: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The addresses that requests come from; one of those set apart for documentation.
const ADDRESS: &str = "203.0.113.7";

/// What the filter may name beside the span of time, and only one of them. Source: the page on the filter.
const NAMES: [&str; 4] = ["resourceGroupName", "resourceUri", "resourceProvider", "correlationId"];

/// What is answered too, though the documentation does not say so.
/// Source: cloud-custodian/cloud-custodian, recording `FunctionalActionsTagsTest.test_autotag_user_and_date`.
const TAKEN_TOO: [&str; 2] = ["eventChannels", "resourceType"];

/// The events, and the request that is being carried out.
#[derive(Debug, Default)]
pub(crate) struct ActivityLog {
    /// Each with its number, which no other ever has.
    events: VecDeque<(u64, Value)>,
    next: u64,
    request: Option<Request>,
}

/// What an event tells of the request.
#[derive(Debug, Clone, Default)]
struct Request {
    method: String,
    client_request_id: Option<String>,
    body: Option<String>,
}

impl ActivityLog {
    fn push(&mut self, event: Value) {
        self.events.push_back((self.next, event));
        self.next += 1;
        while self.events.len() > KEPT {
            self.events.pop_front();
        }
    }

    /// A request begins to be carried out; where the log stands.
    pub(crate) fn begin(&mut self, call: &Call) -> u64 {
        let body = std::str::from_utf8(&call.body).ok().filter(|body| !body.is_empty()).map(str::to_owned);
        let client_request_id = call.header("x-ms-client-request-id").map(str::to_owned);
        self.request = Some(Request { method: call.method.to_string(), client_request_id, body });
        self.next
    }

    /// The latest event, for an operation that goes on from there.
    pub(crate) fn latest(&self) -> Option<Value> {
        self.events.back().map(|(_, event)| event.clone())
    }
}

impl Azure {
    /// A request was carried out. What was refused is an event too, unless nobody may be told by it: reads, requests
    /// without a valid sender, and what was throttled. Which refusals Azure logs is not published; design decision.
    pub(crate) fn end_request(&mut self, caller: &str, call: &Call, before: u64, reply: &Reply) {
        if let Err(refused) = reply
            && self.activity.next == before
            && refused.status.is_client_error()
            && refused.status != 401
            && refused.status != 429
            && let Some(action) = action_of(call)
        {
            let actor = Actor { oid: caller, correlation: call.correlation() };
            self.record(&actor, &action, &call.path(), refused.status.as_u16());
        }
        self.activity.request = None;
    }

    /// Books a write: its beginning and its end, under one correlation id.
    pub(crate) fn record(&mut self, actor: &Actor<'_>, action: &str, resource: &str, status: u16) {
        let request = self.activity.request.clone();
        self.record_of(actor, action, resource, status, request);
    }

    /// The same for a change that nobody sent a request for.
    pub(crate) fn record_drift(&mut self, by: &str, action: &str, resource: &str, body: Option<&Value>) {
        let method = if action.ends_with("/delete") { "DELETE" } else { "PUT" };
        let (client_request_id, body) = (Some(self.guid()), body.map(Value::to_string));
        let request = Request { method: method.to_owned(), client_request_id, body };
        self.record_of(&Actor { oid: by, correlation: String::new() }, action, resource, 200, Some(request));
    }

    fn record_of(&mut self, actor: &Actor<'_>, action: &str, resource: &str, status: u16, request: Option<Request>) {
        let operation = self.guid();
        let correlation = if actor.correlation.is_empty() { self.guid() } else { actor.correlation.clone() };
        let key = arm_id::key(resource);
        let (outcome, level) = match status {
            202 => ("Accepted", "Informational"),
            400.. => ("Failed", "Error"),
            _ => ("Succeeded", "Informational"),
        };
        let word = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let word = word.unwrap_or_default().replace(' ', "");
        let (caller, claims) = self.claims_of(actor.oid);
        for (event, name, outcome, level) in [
            ("BeginRequest", "Begin request", "Started", "Informational"),
            ("EndRequest", "End request", outcome, level),
        ] {
            let id = self.guid();
            let ends = event == "EndRequest";
            let mut properties = Map::from_iter([("entity".to_owned(), json!(resource))]);
            if ends {
                properties.insert("statusCode".to_owned(), json!(word));
            }
            // Which of the two events has the body is not published; design decision.
            let body = request.as_ref().and_then(|request| request.body.clone());
            if let (true, false, Some(body)) = (self.knobs.activity_bodies, ends, body) {
                properties.insert("requestbody".to_owned(), json!(body));
            }
            let mut entry = json!({
                "authorization": {"action": action, "scope": resource},
                "channels": "Operation", "claims": claims,
                "category": {"value": "Administrative", "localizedValue": "Administrative"},
                "correlationId": correlation, "description": "", "eventDataId": id,
                "eventName": {"value": event, "localizedValue": name},
                "eventTimestamp": time::stamp(self.now), "submissionTimestamp": time::stamp(self.shown_from()),
                "id": format!("{resource}/events/{id}/ticks/{}", self.now.as_millisecond()), "level": level,
                "operationId": operation,
                "operationName": {"value": action, "localizedValue": action},
                "properties": properties,
                "resourceGroupName": arm_id::resource_group(&key).map(arm_id::name).unwrap_or_default(),
                "resourceId": resource,
                "resourceProviderName": {"value": action.split('/').next(), "localizedValue": action.split('/').next()},
                "resourceType": {"value": arm_id::type_of(&key), "localizedValue": arm_id::type_of(&key)},
                "status": {"value": outcome, "localizedValue": outcome},
                "subStatus": {"value": if ends { &word } else { "" }, "localizedValue": if ends { &word } else { "" }},
                "subscriptionId": arm_id::subscription(&key), "tenantId": crate::token::TENANT_ID,
            });
            let fields = json::into_object(&mut entry);
            if let Some(caller) = &caller {
                fields.insert("caller".to_owned(), json!(caller));
            }
            if let Some(Request { method, client_request_id, .. }) = &request {
                let told = json!({
                    "clientRequestId": client_request_id, "clientIpAddress": ADDRESS, "method": method,
                });
                fields.insert("httpRequest".to_owned(), told);
            }
            self.activity.push(entry);
        }
    }

    /// A write that a policy of effect `Modify` turned into none: the write, and what the policy did.
    /// Source: the sample of category Policy on the page on the schema.
    pub(crate) fn record_modified(&mut self, caller: &str, call: &Call) {
        let Some(action) = action_of(call) else { return };
        let actor = Actor { oid: caller, correlation: call.correlation() };
        self.activity.begin(call);
        self.record(&actor, &action, &call.path(), 200);
        self.activity.request = None;
        let Some(mut event) = self.activity.latest() else { return };
        let policies = json!([{"policyDefinitionEffect": "Modify", "policyAssignmentName": "set-by-policy"}]);
        let word = |value: &str| json!({"value": value, "localizedValue": value});
        let id = self.guid();
        let fields = json::into_object(&mut event);
        fields.insert("eventDataId".to_owned(), json!(id));
        fields.insert("category".to_owned(), word("Policy"));
        fields.insert("operationName".to_owned(), word("Microsoft.Authorization/policies/modify/action"));
        fields.insert("resourceProviderName".to_owned(), word("Microsoft.Authorization"));
        let told = json!({"isComplianceCheck": "False", "policies": policies.to_string(), "entity": call.path()});
        fields.insert("properties".to_owned(), told);
        self.activity.push(event);
    }

    /// The end of an operation that was accepted before: another event of the same request.
    /// Source: Azure/azure-libraries-for-net, recording `SecurityBreachOrRiskActivityLogAlertsTest`.
    pub(crate) fn record_end(&mut self, accepted: &Value, succeeded: bool) {
        let mut entry = accepted.clone();
        let id = self.guid();
        let (outcome, word, level) =
            if succeeded { ("Succeeded", "OK", "Informational") } else { ("Failed", "InternalServerError", "Error") };
        let changed = json!({
            "eventDataId": id, "eventTimestamp": time::stamp(self.now),
            "submissionTimestamp": time::stamp(self.shown_from()), "level": level,
            "status": {"value": outcome, "localizedValue": outcome},
            "subStatus": {"value": word, "localizedValue": word},
        });
        let fields = json::into_object(&mut entry);
        if let Value::Object(changed) = changed {
            fields.extend(changed);
        }
        json::object(&mut entry, "properties").insert("statusCode".to_owned(), json!(word));
        self.activity.push(entry);
    }

    /// When an event of now can be read.
    fn shown_from(&self) -> Timestamp {
        time::after(self.now, self.speed.shorten(self.knobs.activity_lag))
    }

    /// `caller` and `claims` of whoever has this object id: a person goes by the login, everybody else by the object id.
    fn claims_of(&self, oid: &str) -> (Option<String>, Value) {
        let mut claims = json!({
            "aud": "https://management.core.windows.net/",
            "iss": format!("https://sts.windows.net/{}/", crate::token::TENANT_ID),
            "http://schemas.microsoft.com/identity/claims/tenantid": crate::token::TENANT_ID,
            "ipaddr": ADDRESS, "iat": self.now.as_second().to_string(), "ver": "1.0",
        });
        if oid.is_empty() {
            return (None, claims);
        }
        let fields = json::into_object(&mut claims);
        fields.insert("http://schemas.microsoft.com/identity/claims/objectidentifier".to_owned(), json!(oid));
        let Some(login) = self.login_of(oid) else { return (Some(oid.to_owned()), claims) };
        let told = match &login {
            Login::Person { name, login } => json!({
                // The client that people use here. Source: Azure/azure-cli, the recording above.
                "appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "appidacr": "0", "name": name,
                "http://schemas.microsoft.com/identity/claims/scope": "user_impersonation",
                "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name": login,
                "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": login,
            }),
            Login::Application { client } => json!({"appid": client, "appidacr": "1"}),
            // That the claim is there is reported; no public source lists it.
            Login::ManagedIdentity { client, id } => json!({"appid": client, "appidacr": "2", "xms_mirid": id}),
        };
        if let Value::Object(told) = told {
            fields.extend(told);
        }
        let caller = if let Login::Person { login, .. } = login { login } else { oid.to_owned() };
        (Some(caller), claims)
    }

    /// Events that are old enough to show, latest first; the filter must name the begin of a span of time.
    pub(crate) fn list_activity(&self, caller: &str, call: &Call, scope: &str) -> Reply {
        self.authorize(caller, "Microsoft.Insights/eventtypes/values/Read", scope)?;
        let bad = |message: String| Answer::bare_error(400, "BadRequest", message);
        let filter = call.query("$filter").unwrap_or_default();
        let (mut from, mut to, mut wanted, mut too) = (None, None, None, Vec::new());
        for clause in clauses(filter) {
            let bound = |operator: &str| {
                let (field, rest) = clause.split_once(' ')?;
                let value = rest.trim().strip_prefix(operator)?.trim().trim_matches('\'');
                field.eq_ignore_ascii_case("eventTimestamp").then(|| time::parse(value))?
            };
            let named = |name: &&str| equals(&clause, name).is_some();
            if let Some(at) = bound("ge") {
                from = Some(at);
            } else if let Some(at) = bound("le") {
                to = Some(at);
            } else if let Some(name) = NAMES.into_iter().find(named)
                && wanted.is_none()
            {
                wanted = Some((name, equals(&clause, name).unwrap_or_default().to_owned()));
            } else if let Some(name) = TAKEN_TOO.into_iter().find(named) {
                too.push((name, equals(&clause, name).unwrap_or_default().to_owned()));
            } else {
                return Err(bad(format!("Invalid filter clause: {clause}")));
            }
        }
        let Some(from) = from else {
            return Err(bad("The filter must hold 'eventTimestamp ge'.".to_owned()));
        };
        if from < time::before(self.now, REACHES_BACK) {
            return Err(bad("The start time cannot be more than 90 days in the past.".to_owned()));
        }
        let wanted: Vec<(&str, String)> = wanted.into_iter().chain(too).collect();
        let matching = |(_, event): &&(u64, Value)| {
            let at = |name| json::text(event, &[name]).and_then(time::parse);
            let in_span = at("eventTimestamp").is_some_and(|at| at >= from && to.is_none_or(|to| at <= to));
            let shown = at("submissionTimestamp").is_some_and(|at| at <= self.now);
            let subscription = json::text(event, &["subscriptionId"]);
            in_span
                && shown
                && subscription == arm_id::subscription(scope)
                && wanted.iter().all(|(name, value)| is_of(event, name, value))
        };
        // Numbers only grow, so a page begins where the one before ended, whatever came meanwhile.
        let found: BTreeMap<String, &Value> = self
            .activity
            .events
            .iter()
            .filter(matching)
            .map(|(number, event)| (format!("{:020}", u64::MAX - number), event))
            .collect();
        let select = call.query("$select").filter(|names| !names.is_empty());
        let select = select.map(|names| names.split(',').map(str::trim).collect::<Vec<_>>());
        self.page(call, found.keys().cloned(), |place| {
            let mut event = (*found.get(place)?).clone();
            if let (Some(names), Some(fields)) = (&select, event.as_object_mut()) {
                // The id comes unasked. Source: the recording of Cloud Custodian.
                fields.retain(|field, _| field == "id" || names.iter().any(|name| name.eq_ignore_ascii_case(field)));
            }
            Some(event)
        })
    }
}

/// How somebody signs in.
pub(crate) enum Login {
    /// By a user principal name.
    Person { name: String, login: String },
    /// By a client id.
    Application { client: String },
    /// By being a resource.
    ManagedIdentity { client: String, id: String },
}

/// Whether an event is what a clause of the filter names.
fn is_of(event: &Value, name: &str, value: &str) -> bool {
    let own = match name {
        "resourceUri" => {
            let own = json::text(event, &["resourceId"]).unwrap_or_default();
            return arm_id::is_within(&arm_id::key(own), &arm_id::key(value));
        }
        "resourceProvider" => json::text(event, &["resourceProviderName", "value"]),
        "resourceType" => json::text(event, &["resourceType", "value"]),
        "eventChannels" => json::text(event, &["channels"]),
        name => json::text(event, &[name]),
    };
    own.is_some_and(|own| own.eq_ignore_ascii_case(value))
}

/// The action that a request is; nothing for what only reads.
fn action_of(call: &Call) -> Option<String> {
    let template = arm_id::operation(&call.segments);
    let (_, rest) = template.rsplit_once("/providers/")?;
    let kind = rest.replace("/{}", "");
    if kind.starts_with("Microsoft.ResourceGraph") {
        return None;
    }
    match call.method {
        Method::PUT | Method::PATCH => Some(format!("{kind}/write")),
        Method::DELETE => Some(format!("{kind}/delete")),
        Method::POST => Some(format!("{kind}/action")),
        _ => None,
    }
}
