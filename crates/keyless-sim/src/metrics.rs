//! `Transactions` of a storage account.
//! Source: azure-mgmt-monitor 7.0.0 `operations/_metrics_operations.py`; MicrosoftDocs/azure-docs
//! `articles/storage/blobs/monitor-blob-storage-reference.md`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::assignment::clauses;
use crate::azure::Azure;
use crate::options::MetricAnswer;
use crate::request::{Answer, Call, Reply, percent_decoded};
use crate::service::Service;
use crate::time;
use crate::traffic::{Segment, Use};
use crate::world::ACCOUNT;

/// Points that one answer may hold.
const MOST_POINTS: i64 = 100_000;

/// One dimension of a filter: split by it, or keep some of its values.
struct Dimension {
    name: String,
    split: bool,
    keep: Vec<String>,
}

impl Azure {
    pub(crate) fn metrics(&self, caller: &str, call: &Call, scope: &str, written: &str) -> Reply {
        self.authorize(caller, "Microsoft.Insights/metrics/read", scope)?;
        let (account, service) = match scope.strip_suffix("/default").and_then(|scope| scope.rsplit_once('/')) {
            Some((account, kind)) => match Service::of_resource(kind) {
                Some(service) => (account, Some(service)),
                None => (scope, None),
            },
            None => (scope, None),
        };
        if !self.world.is_a(ACCOUNT, account) {
            return Err(self.not_found(written));
        }
        let query = Query::read(call, self.now)?;
        let shown_until = time::before(self.now, self.speed.shorten(self.knobs.metric_lag));
        let segments = self.tries_on(account);
        let (series, error) = match &self.knobs.metric_answer {
            MetricAnswer::Traffic => (query.series(&segments, service, shown_until), "Success"),
            MetricAnswer::Empty => (Vec::new(), "Success"),
            MetricAnswer::Error(code) => (Vec::new(), code.as_str()),
        };
        let region =
            self.world.get(account).and_then(|account| account.get("location")?.as_str()).unwrap_or("westeurope");
        let namespace = call.query("metricnamespace").unwrap_or("Microsoft.Storage/storageAccounts");
        Ok(Answer::ok(json!({
            "cost": 59, "timespan": query.timespan, "interval": query.interval,
            "namespace": namespace, "resourceregion": region,
            "value": [{
                "id": format!("{written}/providers/Microsoft.Insights/metrics/Transactions"),
                "type": "Microsoft.Insights/metrics",
                "name": {"value": "Transactions", "localizedValue": "Transactions"},
                "displayDescription": "The number of requests made to a storage service or the specified API operation.",
                "unit": "Count", "errorCode": error, "timeseries": series,
            }],
        })))
    }
}

struct Query {
    timespan: String,
    interval: String,
    from: Timestamp,
    to: Timestamp,
    /// Nothing for `FULL`.
    grain: Option<SignedDuration>,
    dimensions: Vec<Dimension>,
    top: usize,
}

impl Query {
    fn read(call: &Call, now: Timestamp) -> Result<Self, Answer> {
        let bad = |message: String| Answer::bare_error(400, "BadRequest", message);
        let names = call.query("metricnames").unwrap_or("Transactions");
        if !names.eq_ignore_ascii_case("Transactions") {
            return Err(bad(format!(
                "Failed to find metric configuration for provider: Microsoft.Storage, metric: {names}"
            )));
        }
        let timespan = call.query("timespan").map(percent_decoded);
        let (from, to) = match &timespan {
            None => (time::before(now, std::time::Duration::from_secs(3600)), now),
            Some(span) => span
                .split_once('/')
                .and_then(|(from, to)| Some((time::parse(from)?, time::parse(to)?)))
                .ok_or_else(|| bad(format!("Invalid time interval input: {span}")))?,
        };
        if from >= to {
            return Err(bad("Start time cannot be later than or equal to end time.".to_owned()));
        }
        let interval = call.query("interval").unwrap_or("PT1M").to_ascii_uppercase();
        let minutes = match interval.as_str() {
            "FULL" => None,
            "PT1M" => Some(1),
            "PT5M" => Some(5),
            "PT15M" => Some(15),
            "PT30M" => Some(30),
            "PT1H" => Some(60),
            "PT6H" => Some(360),
            "PT12H" => Some(720),
            "P1D" => Some(1440),
            _ => return Err(bad(format!("Invalid time grain input: {interval}"))),
        };
        let grain = minutes.map(SignedDuration::from_mins);
        if grain.is_some_and(|grain| to.duration_since(from).as_secs() / grain.as_secs() > MOST_POINTS) {
            return Err(bad("The time span holds too many points for this time grain.".to_owned()));
        }
        let dimensions = dimensions(call.query("$filter").unwrap_or_default())?;
        let top = call.query("top").or_else(|| call.query("$top")).map(str::parse::<usize>);
        let top = match top {
            Some(Ok(top)) => top,
            Some(Err(_)) => return Err(bad("Invalid value for 'top'.".to_owned())),
            None => 10,
        };
        let timespan = timespan.unwrap_or_else(|| format!("{from}/{to}"));
        Ok(Self { timespan, interval, from, to, grain, dimensions, top })
    }

    /// One series per combination of split values that has traffic in the span; without a split, one at most.
    fn series(&self, segments: &[Segment], service: Option<Service>, shown_until: Timestamp) -> Vec<Value> {
        let to = self.to.min(shown_until);
        let mut groups: BTreeMap<Vec<&str>, Vec<Part<'_>>> = BTreeMap::new();
        for segment in segments {
            for (place, one) in segment.uses.iter().enumerate() {
                let here = service.is_none_or(|service| service == one.service);
                let kept = self.dimensions.iter().all(|dimension| dimension.keeps(one));
                if here && kept && segment.tries(place, self.from, to) > 0 {
                    let split = self.dimensions.iter().filter(|dimension| dimension.split);
                    let values = split.map(|dimension| value_of(one, &dimension.name)).collect();
                    groups.entry(values).or_default().push(Part { segment, place });
                }
            }
        }
        let top = if self.dimensions.is_empty() { usize::MAX } else { self.top };
        let names: Vec<&String> =
            self.dimensions.iter().filter(|dimension| dimension.split).map(|dimension| &dimension.name).collect();
        groups
            .into_iter()
            .take(top)
            .map(|(values, parts)| {
                let metadata: Vec<Value> = names
                    .iter()
                    .zip(values)
                    .map(|(name, value)| json!({"name": {"value": name, "localizedValue": name}, "value": value}))
                    .collect();
                json!({"metadatavalues": metadata, "data": self.points(&parts, to)})
            })
            .collect()
    }

    /// One point per grain, counting only what lies in the asked span; a grain that is too young has no total yet.
    fn points(&self, parts: &[Part<'_>], shown_until: Timestamp) -> Vec<Value> {
        let mut points = Vec::new();
        let mut start = self.grain.map_or(self.from, |grain| floor(self.from, grain));
        while start < self.to {
            let end = self.grain.map_or(self.to, |grain| start.saturating_add(grain).unwrap_or(Timestamp::MAX));
            let (from, to) = (start.max(self.from), end.min(shown_until));
            let stamp = start.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            points.push(if from < to {
                let total: u64 = parts.iter().map(|part| part.segment.tries(part.place, from, to)).sum();
                json!({"timeStamp": stamp, "total": total as f64})
            } else {
                json!({"timeStamp": stamp})
            });
            if end <= start {
                break;
            }
            start = end;
        }
        points
    }
}

/// One use of a span of tries.
struct Part<'a> {
    segment: &'a Segment,
    place: usize,
}

fn floor(at: Timestamp, grain: SignedDuration) -> Timestamp {
    let seconds = grain.as_secs().max(1);
    Timestamp::from_second(at.as_second().div_euclid(seconds) * seconds).unwrap_or(at)
}

fn value_of(one: &Use, dimension: &str) -> &'static str {
    match dimension {
        "authentication" => one.look.authentication,
        "responsetype" => one.look.response,
        "geotype" => "Primary",
        _ => one.api_name(),
    }
}

impl Dimension {
    fn keeps(&self, one: &Use) -> bool {
        self.split && self.keep.is_empty()
            || self.keep.iter().any(|value| value.eq_ignore_ascii_case(value_of(one, &self.name)))
    }
}

/// Dimensions joined by `and`; `or` only between values of one dimension; `*` splits.
fn dimensions(filter: &str) -> Result<Vec<Dimension>, Answer> {
    let bad = || Answer::bare_error(400, "BadRequest", format!("Invalid filter string: {filter}"));
    let mut found: Vec<Dimension> = Vec::new();
    for clause in clauses(filter) {
        let clause = clause.trim_matches(|bracket| bracket == '(' || bracket == ')' || bracket == ' ').to_owned();
        let mut dimension: Option<Dimension> = None;
        let mut rest = clause.as_str();
        loop {
            let cut = rest.to_ascii_lowercase().find(" or ");
            let (part, tail) = match cut {
                Some(cut) => (rest.get(..cut).unwrap_or_default(), rest.get(cut + 4..)),
                None => (rest, None),
            };
            let mut words = part.trim().splitn(3, ' ');
            let (Some(name), Some(operator), Some(value)) = (words.next(), words.next(), words.next()) else {
                return Err(bad());
            };
            let name = name.to_ascii_lowercase();
            if !matches!(name.as_str(), "authentication" | "responsetype" | "geotype" | "apiname") {
                return Err(bad());
            }
            if !operator.eq_ignore_ascii_case("eq") {
                return Err(bad());
            }
            let value = value.trim().trim_matches('\'').to_owned();
            let dimension =
                dimension.get_or_insert_with(|| Dimension { name: name.clone(), split: false, keep: Vec::new() });
            if dimension.name != name {
                return Err(bad());
            }
            // Several values of one dimension come as one series each, like a split.
            dimension.split |= value == "*" || tail.is_some() || !dimension.keep.is_empty();
            if value != "*" {
                dimension.keep.push(value);
            }
            match tail {
                Some(tail) => rest = tail,
                None => break,
            }
        }
        found.extend(dimension);
    }
    for dimension in &mut found {
        // A single value still names its series.
        dimension.split = true;
    }
    Ok(found)
}
