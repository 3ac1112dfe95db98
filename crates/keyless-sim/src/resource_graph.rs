//! Resource Graph: queries over what existed a while ago.
//! Source: azure-mgmt-resourcegraph 8.0.1; MicrosoftDocs/azure-docs `articles/governance/resource-graph/overview.md` for
//! freshness and permissions, `concepts/work-with-data.md` for pages, `concepts/guidance-for-throttled-requests.md` for
//! the quota.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::azure::Azure;
use crate::graph_query::{self, QueryError, Table};
use crate::request::{Answer, Call, Reply};
use crate::time;

mod tables;

/// Queries that a user may send in a window, and how long a window is.
const QUOTA: u32 = 15;
const WINDOW: Duration = Duration::from_secs(5);
/// Rows of a page, at most and unless something else is said.
const MOST_ROWS: usize = 1000;

/// How much of the quota each user has spent in the window that began for them at an instant.
#[derive(Debug, Default)]
pub(crate) struct QueryQuota {
    spent: BTreeMap<String, (Timestamp, u32)>,
}

/// Which scopes a query covers.
struct Scopes {
    /// Those that the caller can see.
    subscriptions: BTreeSet<String>,
    /// Whether what is inherited from above the subscriptions is shown too.
    above: bool,
    below: bool,
}

/// Whether a path is that of queries.
pub(crate) fn is_query(segments: &[String]) -> bool {
    let names: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    matches!(
        names.iter().map(String::as_str).collect::<Vec<_>>().as_slice(),
        ["providers", "microsoft.resourcegraph", "resources"]
    )
}

impl Azure {
    /// Takes one query from the caller's quota; what is left is told in headers, whichever way it ends. The code and
    /// `Retry-After` have no public source; design decision.
    pub(crate) fn take_query(&mut self, caller: &str) -> Result<Vec<(&'static str, String)>, Answer> {
        let window = self.speed.shorten(WINDOW);
        let now = self.now;
        let entry = self.queries.spent.entry(caller.to_owned()).or_insert((now, 0));
        if time::between(entry.0, now) >= window {
            *entry = (now, 0);
        }
        let resets = window.saturating_sub(time::between(entry.0, now));
        let seconds = time::retry_after(resets);
        let headers = |left: u32| {
            vec![
                ("x-ms-user-quota-remaining", left.to_string()),
                ("x-ms-user-quota-resets-after", format!("00:00:{seconds:02}")),
                ("x-ms-ratelimit-remaining-tenant-resource-requests", left.to_string()),
            ]
        };
        if entry.1 < QUOTA {
            entry.1 += 1;
            return Ok(headers(QUOTA - entry.1));
        }
        let message = "Client application has been throttled and should not attempt to repeat the request until an amount of time has elapsed.";
        let refused = Answer::error(429, "RateLimiting", message).header("Retry-After", seconds.to_string());
        Err(headers(0).into_iter().fold(refused, |refused, (name, value)| refused.header(name, value)))
    }

    /// One page of the answer to a query.
    pub(crate) fn query_resources(&self, caller: &str, call: &Call) -> Reply {
        let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let bad = |message: &str| Err(refusal("InvalidRequest", message, None));
        let Some(query) = body.get("query").and_then(Value::as_str) else { return bad("'query' must be text.") };
        if body.get("facets").and_then(Value::as_array).is_some_and(|facets| !facets.is_empty()) {
            return bad("Facets are not supported by this simulator.");
        }
        let options = body.get("options").cloned().unwrap_or_default();
        let number = |name: &str| match options.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().and_then(|value| usize::try_from(value).ok()) {
                Some(value) => Ok(Some(value)),
                None => {
                    Err(refusal("InvalidRequest", &format!("'{name}' must be a number that is not below zero."), None))
                }
            },
        };
        let top = number("$top")?.unwrap_or(MOST_ROWS);
        if !(1..=MOST_ROWS).contains(&top) {
            return bad("'$top' must be a number from 1 to 1000.");
        }
        let objects = match options.get("resultFormat").and_then(Value::as_str) {
            // Tables were the form until 2020-04-01-preview. Source: azure-mgmt-resourcegraph 8.0.1 and its predecessors.
            None => call.api_version() >= "2021",
            Some(format) if format.eq_ignore_ascii_case("objectArray") => true,
            Some(format) if format.eq_ignore_ascii_case("table") => false,
            Some(_) => return bad("'resultFormat' must be table or objectArray."),
        };
        let scopes = self.scopes(caller, &body, &options)?;
        let found = graph_query::run(query, &|name| self.graph_table(name, caller, &scopes));
        let table = found.map_err(|error| query_refusal(&error))?;
        let position = match options.get("$skipToken").and_then(Value::as_str).filter(|token| !token.is_empty()) {
            Some(token) => match position_of(token, query) {
                Some(position) => position,
                None => return bad("The skip token is invalid."),
            },
            None => number("$skip")?.unwrap_or(0),
        };
        Ok(Answer::ok(page(&table, query, objects, position, top)))
    }

    /// What the body asks to look at, narrowed to what the caller can see; 403 where that leaves nothing that was asked.
    fn scopes(&self, caller: &str, body: &Value, options: &Value) -> Result<Scopes, Answer> {
        let list = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
                Ok(Some(items.iter().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect::<BTreeSet<_>>()))
            }
            Some(_) => Err(refusal("InvalidRequest", &format!("'{name}' must be a list of text."), None)),
        };
        let (subscriptions, groups) =
            (list("subscriptions")?.filter(|list| !list.is_empty()), list("managementGroups")?);
        if subscriptions.is_some() && groups.is_some_and(|groups| !groups.is_empty()) {
            let message = "Only one of 'subscriptions' and 'managementGroups' may be given.";
            return Err(refusal("InvalidRequest", message, None));
        }
        let (above, below) = match options.get("authorizationScopeFilter").and_then(Value::as_str) {
            None | Some("AtScopeAndBelow") => (false, true),
            Some("AtScopeAndAbove") => (true, false),
            Some("AtScopeExact") => (false, false),
            Some("AtScopeAboveAndBelow") => (true, true),
            Some(_) => return Err(refusal("InvalidRequest", "'authorizationScopeFilter' is unknown.", None)),
        };
        // A list that is readable in part is answered in part, without a word.
        let seen = |id: &String| self.may_see_subscription(caller, &format!("/subscriptions/{id}"));
        let visible = |asked: BTreeSet<String>| asked.into_iter().filter(seen).collect::<BTreeSet<String>>();
        let Some(asked) = subscriptions else {
            return Ok(Scopes { subscriptions: visible(self.world.subscriptions()), above, below });
        };
        let left = visible(asked);
        if left.is_empty() {
            let message = "The caller does not have read access to any of the subscriptions.";
            return Err(Answer::error(403, "AuthorizationFailed", message));
        }
        Ok(Scopes { subscriptions: left, above, below })
    }
}

/// Rows from a position on. Only answers with an id go on to a next page; others are cut off there, and say so.
fn page(table: &Table, query: &str, objects: bool, position: usize, top: usize) -> Value {
    let total = table.rows().len();
    let names = table.columns();
    let rows: Vec<Vec<Value>> = table.rows().skip(position).take(top).collect();
    let more = position.saturating_add(rows.len()) < total;
    let pages = names.iter().any(|column| column.name == "id");
    let count = rows.len();
    let data = if objects {
        let object = |row: Vec<Value>| names.iter().map(|column| column.name.clone()).zip(row).collect::<Value>();
        rows.into_iter().map(object).collect()
    } else {
        let columns: Vec<Value> =
            names.iter().map(|column| json!({"name": column.name, "type": column.kind.name()})).collect();
        json!({"columns": columns, "rows": rows})
    };
    let mut answer = json!({
        "totalRecords": total, "count": count, "resultTruncated": (more && !pages).to_string(), "facets": [], "data": data,
    });
    if more && pages {
        let token = URL_SAFE_NO_PAD.encode(format!("{} {}", position + count, mark(query)));
        crate::json::into_object(&mut answer).insert("$skipToken".to_owned(), json!(token));
    }
    answer
}

/// A token is good for the query it came with.
fn mark(query: &str) -> String {
    Sha256::digest(query.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn position_of(token: &str, query: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let (position, of) = text.split_once(' ')?;
    if of == mark(query) { position.parse().ok() } else { None }
}

/// The envelope is in the models; the codes in it have no public source.
fn refusal(code: &str, message: &str, place: Option<&(usize, usize, String)>) -> Answer {
    let mut detail = json!({"code": code, "message": message});
    if let Some((line, column, token)) = place {
        let fields = crate::json::into_object(&mut detail);
        fields.insert("line".to_owned(), json!(line));
        fields.insert("characterPositionInLine".to_owned(), json!(column));
        fields.insert("token".to_owned(), json!(token));
    }
    let invalid = json!({"code": "InvalidQuery", "message": "Query is invalid. Please refer to the documentation for the supported language."});
    let error = json!({"code": "BadRequest", "message": message, "details": [invalid, detail]});
    Answer::new(400, Some(json!({"error": error})))
}

fn query_refusal(error: &QueryError) -> Answer {
    refusal(error.code, &error.message, error.place.as_ref())
}
