//! Storage resource logs in Log Analytics workspaces: which requests they hold, and queries of them.
//! Sources: azure-rest-api-specs `operationalinsights` 2017-10-01 for the operation (GET and POST);
//! <https://learn.microsoft.com/azure/azure-monitor/logs/api/response-format> for the answer;
//! MicrosoftDocs/azure-docs `articles/storage/blobs/monitor-blob-storage.md` for what diagnostic settings send, by service and
//! category; MicrosoftDocs/azure-monitor-docs `articles/azure-monitor/reference/tables/storagebloblogs.md` for the columns.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::log_query::{Cell, Query, Row, Summary, Unresolved};
use crate::request::{Answer, Call, Reply};
use crate::service::Service;
use crate::traffic::{Segment, Use};
use crate::world::{ACCOUNT, DIAGNOSTICS};
use crate::{arm_id, json, time};

const TYPE: &str = "microsoft.operationalinsights/workspaces";

/// The table of each service.
fn table(service: Service) -> &'static str {
    match service {
        Service::Blob => "StorageBlobLogs",
        Service::File => "StorageFileLogs",
        Service::Queue => "StorageQueueLogs",
        Service::Table => "StorageTableLogs",
    }
}

/// The category of a call.
fn category(api: &str) -> &'static str {
    if api.starts_with("Delete") {
        "StorageDelete"
    } else if api.starts_with("Put") || api.starts_with("Insert") {
        "StorageWrite"
    } else {
        "StorageRead"
    }
}

/// One service of an account that sends its logs to a workspace.
struct Source<'a> {
    account: &'a str,
    service: Service,
    setting: &'a Value,
    since: Timestamp,
}

impl Source<'_> {
    fn sends(&self, one: &Use) -> bool {
        let logs = json::at(self.setting, &["properties", "logs"]).and_then(Value::as_array);
        one.service == self.service
            && logs.into_iter().flatten().any(|log| {
                let named = json::text(log, &["category"]).is_some_and(|own| own == category(one.api));
                let grouped = json::text(log, &["categoryGroup"]).is_some_and(|own| own == "allLogs" || own == "audit");
                (named || grouped) && log.get("enabled").and_then(Value::as_bool) == Some(true)
            })
    }
}

impl Azure {
    /// Notes since when settings send: logs hold nothing from before. The workspace has a table from the first setting on
    /// that sends to it, and keeps it.
    /// Source: MicrosoftDocs/azure-monitor-docs `articles/azure-monitor/platform/resource-logs.md`, "Resource-specific". That
    /// the table is there at once is a design decision.
    pub(crate) fn follow_diagnostics(&mut self, since: Timestamp) {
        let settings: Vec<String> = self.world.keys_of(DIAGNOSTICS).map(str::to_owned).collect();
        self.logged_since.retain(|setting, _| settings.contains(setting));
        for setting in settings {
            self.logged_since.entry(setting).or_insert(since);
        }
        let workspaces: BTreeSet<String> = self.world.keys_of(TYPE).map(str::to_owned).collect();
        for workspace in workspaces {
            let made: Vec<&str> = self.sources(&workspace).iter().map(|source| table(source.service)).collect();
            self.log_tables.entry(workspace).or_default().extend(made);
        }
    }

    /// GET or POST of `query`.
    pub(crate) fn query_logs(&self, caller: &str, call: &Call) -> Reply {
        let key = call.key();
        let workspace = key.strip_suffix("/query").unwrap_or(&key);
        self.authorize(caller, "Microsoft.OperationalInsights/workspaces/query/read", workspace)?;
        if !self.world.is_a(TYPE, workspace) {
            return Err(self.not_found(workspace));
        }
        let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let asked = |name: &str| match call.method {
            Method::POST => json::text(&body, &[name]).map(str::to_owned),
            _ => call.query(name).map(str::to_owned),
        };
        let query = Query::parse(&asked("query").unwrap_or_default()).map_err(|what| bad(&what))?;
        let span = match asked("timespan") {
            None => (Timestamp::MIN, Timestamp::MAX),
            Some(text) => text
                .split_once('/')
                .and_then(|(from, to)| Some((time::parse(from)?, time::parse(to)?)))
                .ok_or_else(|| bad(&format!("the timespan `{text}`")))?,
        };
        for named in &query.tables {
            if !Service::ALL.iter().any(|service| table(*service) == named) {
                return Err(bad(&format!("the table `{named}`")));
            }
            // That one table out of reach refuses the whole query is a design decision: the documentation of access by
            // table tells of no answer.
            let right = format!("Microsoft.OperationalInsights/workspaces/query/{named}/read");
            if self.authorize(caller, &right, workspace).is_err() {
                let message = "The provided credentials have insufficient access to perform the requested operation";
                return Err(Answer::error(403, "InsufficientAccessError", message));
            }
        }
        let tables = self.log_tables.get(workspace);
        query
            .resolve(|name| tables.is_some_and(|tables| tables.contains(name)))
            .map_err(|missing| unresolved(&missing))?;
        let Summary { columns, rows } = query.run(self.logged(workspace, &query, span)).map_err(|what| bad(&what))?;
        let kind = |place: usize| match rows.first().and_then(|row| row.get(place)) {
            Some(Cell::Count(_)) => "long",
            Some(Cell::Time(_)) => "datetime",
            Some(Cell::Text(_)) | None => "string",
        };
        let columns: Vec<Value> =
            columns.iter().enumerate().map(|(place, name)| json!({"name": name, "type": kind(place)})).collect();
        let rows: Vec<Vec<Value>> = rows.into_iter().map(|row| row.into_iter().map(shown).collect()).collect();
        let mut answer = json!({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}]});
        // A world may say that the workspace never answers completely.
        let answers = self.world.get(workspace).and_then(|own| json::text(own, &["properties", "simulatedAnswer"]));
        if answers == Some("partial") {
            json::into_object(&mut answer).insert(
                "error".to_owned(),
                json!({"code": "PartialError", "message": "There were some errors when processing your query."}),
            );
        }
        Ok(Answer::ok(answer))
    }

    /// The rows of the tables, of what is older than the lag.
    fn logged(&self, workspace: &str, query: &Query, (from, to): (Timestamp, Timestamp)) -> Vec<Row> {
        let to = to.min(time::before(self.now, self.speed.shorten(self.knobs.log_lag)));
        let mut rows = Vec::new();
        for source in self.sources(workspace) {
            if !query.tables.iter().any(|named| named == table(source.service)) {
                continue;
            }
            for segment in self.tries_on(source.account) {
                for (place, one) in segment.uses.iter().enumerate().filter(|(_, one)| source.sends(one)) {
                    let from = from.max(source.since);
                    let (Some((first, last)), requests) =
                        (segment.span(place, from, to), segment.tries(place, from, to))
                    else {
                        continue;
                    };
                    rows.push(Row { cells: cells(&source, &segment, one), requests, first, last });
                }
            }
        }
        rows
    }

    fn sources(&self, workspace: &str) -> Vec<Source<'_>> {
        let one = |key: &'_ str| -> Option<Source<'_>> {
            let setting = self.world.get(key)?;
            let sends = json::text(setting, &["properties", "workspaceId"]).map(arm_id::key)?;
            let (key, since) = self.logged_since.get_key_value(key)?;
            let scope = key.split("/providers/microsoft.insights/").next()?;
            let (account, kind) = scope.strip_suffix("/default")?.rsplit_once('/')?;
            let service = Service::of_resource(kind)?;
            let known = sends == workspace && self.world.is_a(ACCOUNT, account);
            known.then_some(Source { account, service, setting, since: *since })
        };
        self.world.keys_of(DIAGNOSTICS).filter_map(one).collect()
    }
}

fn cells(source: &Source<'_>, segment: &Segment, one: &Use) -> BTreeMap<String, String> {
    let by = &segment.by;
    let (code, text) = match (one.look.response, one.look.authentication) {
        ("Success", _) => ("200", "Success"),
        ("AuthorizationError", "OAuth") => ("403", "AuthorizationPermissionMismatch"),
        ("AuthorizationError", _) => ("403", "KeyBasedAuthenticationNotPermitted"),
        (other, _) => ("403", other),
    };
    let hash = by.hash(one.look);
    [
        ("Type", table(one.service)),
        ("AccountName", arm_id::name(source.account)),
        ("AuthenticationType", one.look.authentication),
        ("AuthenticationHash", &hash),
        // The log names the call, refused or not; the metric does not.
        ("OperationName", one.api),
        ("StatusCode", code),
        ("StatusText", text),
        ("CallerIpAddress", &by.address),
        ("UserAgentHeader", &by.agent),
        ("RequesterObjectId", by.object(one.look)),
        ("RequesterAppId", ""),
        ("_ResourceId", source.account),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn shown(cell: Cell) -> Value {
    match cell {
        Cell::Text(text) => json!(text),
        Cell::Count(count) => json!(count),
        Cell::Time(at) => json!(at.to_string()),
    }
}

/// Source: <https://learn.microsoft.com/azure/azure-monitor/logs/api/errors>.
fn bad(what: &str) -> Answer {
    let message = format!("The request had some invalid properties: {what} is not understood here");
    Answer::error(400, "BadArgumentError", message)
}

/// Source: Azure/azure-sdk-for-python `sdk/monitor/azure-monitor-query/TROUBLESHOOTING.md`, "Troubleshooting invalid Kusto
/// query".
fn unresolved(Unresolved { code, message }: &Unresolved) -> Answer {
    let semantic = json!({"code": "SemanticError", "message": "A semantic error occurred.",
        "innererror": {"code": code, "message": message}});
    let error = json!({"code": "BadArgumentError", "message": "The request had some invalid properties",
        "innererror": semantic});
    Answer::new(400, Some(json!({"error": error})))
}
