//! The storage metric `Transactions`, split by how requests were authorised and how they ended.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp};
use keyless_core::observed::{KeyDetails, KeyUsage, ServiceUse, Signed, StorageService, Traffic};

use super::node::{Node, Result, parse_time};

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) grain: Duration,
    pub(crate) top: usize,
}

/// Ways to authorise that certainly do not involve the account key.
const KEYLESS: &[&str] = &["oauth", "anonymous", "anonymouspreflight"];

/// Who used the account in the window.
pub(crate) fn key_usage(node: &Node<'_>, question: Question) -> Result<KeyUsage> {
    let mut usage = KeyUsage {
        from: question.from,
        to: question.to,
        complete: true,
        alive: false,
        account_key: Traffic::default(),
        account_key_failed: Traffic::default(),
        sas: Traffic::default(),
        sas_failed: Traffic::default(),
        oauth_refused: Traffic::default(),
    };
    let answer = answer(node, question)?;
    usage.complete = answer.complete;
    usage.alive = answer.alive;
    for Series { authentication, response_type: _, api: _, refused, traffic } in answer.series {
        match (authentication.as_deref(), refused) {
            (Some("accountkey"), false) => usage.account_key.add(traffic),
            (Some("accountkey"), true) => usage.account_key_failed.add(traffic),
            (Some("sas"), false) => usage.sas.add(traffic),
            (Some("sas"), true) => usage.sas_failed.add(traffic),
            (Some("oauth"), true) => usage.oauth_refused.add(traffic),
            (Some(word), _) if KEYLESS.contains(&word) => {}
            // Traffic of a kind that is not known may be signed with the key.
            _ => usage.complete &= traffic.count == 0,
        }
    }
    Ok(usage)
}

/// What one service was asked in the window.
pub(crate) fn service_usage(node: &Node<'_>, question: Question, service: StorageService) -> Result<KeyDetails> {
    let Answer { mut complete, alive: _, series } = answer(node, question)?;
    let mut uses: BTreeMap<(String, Signed, bool), Traffic> = BTreeMap::new();
    for Series { authentication, response_type, api, refused, traffic } in series {
        let signed = match authentication.as_deref() {
            Some("accountkey") => Signed::AccountKey,
            Some("sas") => Signed::Sas,
            Some("oauth") => Signed::OAuth,
            Some(word) if KEYLESS.contains(&word) => continue,
            _ => {
                complete &= traffic.count == 0;
                continue;
            }
        };
        // Without its dimensions a series says nothing of the call.
        complete &= response_type.is_some() && api.is_some();
        if traffic.count > 0 {
            uses.entry((api.unwrap_or_default(), signed, refused)).or_default().add(traffic);
        }
    }
    let service = Some(service);
    let uses = uses
        .into_iter()
        .map(|((api, signed, refused), traffic)| ServiceUse { service, api, signed, refused, traffic })
        .collect();
    Ok(KeyDetails { from: question.from, to: question.to, complete, uses })
}

/// What an answer holds, whatever it was split by.
struct Answer {
    complete: bool,
    alive: bool,
    series: Vec<Series>,
}

/// One series, its dimensions without regard to case where they are words of a list.
struct Series {
    authentication: Option<String>,
    response_type: Option<String>,
    api: Option<String>,
    refused: bool,
    traffic: Traffic,
}

fn answer(node: &Node<'_>, question: Question) -> Result<Answer> {
    let mut answer =
        Answer { complete: covers(node.opt_text("timespan")?, question), alive: false, series: Vec::new() };
    let grain = match node.opt_text("interval")? {
        None => question.grain,
        Some(text) => match duration(text) {
            Some(grain) => grain,
            None => return node.fail("`interval` is not a duration"),
        },
    };
    if !node.has("value") {
        return node.fail("`value` is missing");
    }
    let mut found = false;
    for metric in node.items("value")? {
        let name = metric.object("name")?;
        if !name.text("value")?.eq_ignore_ascii_case("Transactions") {
            continue;
        }
        found = true;
        let success = metric.opt_text("errorCode")?.is_some_and(|code| code.eq_ignore_ascii_case("Success"));
        answer.complete &= success && metric.opt("timeseries").is_some();
        let series = metric.items("timeseries")?;
        answer.complete &= series.len() < question.top;
        for one in &series {
            add_series(one, grain, question.to, &mut answer)?;
        }
    }
    answer.complete &= found;
    Ok(answer)
}

/// An ISO 8601 duration such as `PT1H` or `P1D`.
fn duration(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    Duration::try_from(span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?).ok()
}

/// Whether the answer is about the whole window. Azure cuts the ends to whole seconds.
fn covers(timespan: Option<&str>, question: Question) -> bool {
    let Some((from, to)) = timespan.and_then(|text| text.split_once('/')) else { return false };
    match (parse_time(from), parse_time(to)) {
        (Some(from), Some(to)) => from <= question.from && to.as_second() >= question.to.as_second(),
        _ => false,
    }
}

fn add_series(series: &Node<'_>, grain: Duration, to: Timestamp, answer: &mut Answer) -> Result<()> {
    let (mut authentication, mut response_type, mut api) = (None, None, None);
    for dimension in series.items("metadatavalues")? {
        let value = dimension.opt_text("value")?;
        let folded = || value.map(str::to_ascii_lowercase);
        match dimension.object("name")?.text("value")?.to_ascii_lowercase().as_str() {
            "authentication" => authentication = folded(),
            "responsetype" => response_type = folded(),
            "apiname" => api = value.map(str::to_owned),
            _ => {}
        }
    }
    // A series without points has not been counted.
    answer.complete &= series.opt("data").is_some();
    let traffic = traffic(series, grain, to, &mut answer.alive)?;
    // Only what was clearly refused for lack of rights did not get at the data.
    let refused =
        response_type.as_ref().is_some_and(|word| word.contains("authorization") || word.contains("authentication"));
    answer.series.push(Series { authentication, response_type, api, refused, traffic });
    Ok(())
}

fn traffic(series: &Node<'_>, grain: Duration, to: Timestamp, alive: &mut bool) -> Result<Traffic> {
    let mut sum = 0.0;
    let mut traffic = Traffic::default();
    for point in series.items("data")? {
        let Some(total) = point.opt_number("total")? else { continue };
        if total < 0.0 {
            return point.fail("`total` is negative");
        }
        *alive = true;
        if total > 0.0 {
            let Some(start) = point.opt_time("timeStamp")? else { return point.fail("`timeStamp` is missing") };
            let end = start.checked_add(grain).unwrap_or(Timestamp::MAX).min(to);
            traffic.last = traffic.last.max(Some(end));
            let count = traffic.grains.entry(start).or_default();
            *count = count.saturating_add(whole(total));
            sum += total;
        }
    }
    traffic.count = whole(sum);
    Ok(traffic)
}

/// Rounded up: a fraction of a request is a request.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
fn whole(requests: f64) -> u64 {
    requests.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn question() -> Question {
        Question {
            from: "2026-02-01T00:00:00.5Z".parse().unwrap(),
            to: "2026-02-01T02:30:00.7Z".parse().unwrap(),
            grain: Duration::from_secs(3600),
            top: 3,
        }
    }

    fn series(authentication: &str, response: &str, totals: Value) -> Value {
        let data: Vec<Value> = totals
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(hour, total)| json!({"timeStamp": format!("2026-02-01T0{hour}:00:00Z"), "total": total}))
            .collect();
        json!({"metadatavalues": [
            {"name": {"value": "authentication"}, "value": authentication},
            {"name": {"value": "ResponseType"}, "value": response}], "data": data})
    }

    fn read(series: Value) -> KeyUsage {
        check(json!({
            "timespan": "2026-02-01T00:00:00Z/2026-02-01T02:30:00Z", "interval": "PT1H",
            "value": [{"name": {"value": "Transactions"}, "errorCode": "Success", "timeseries": series}]
        }))
        .unwrap()
    }

    fn check(body: Value) -> Result<KeyUsage> {
        key_usage(&Node::root(&body), question())
    }

    #[test]
    fn key_traffic_is_counted_and_its_last_grain_clipped_to_the_window() {
        let usage = read(json!([series("AccountKey", "Success", json!([118.0, 0.0, 2]))]));
        assert_eq!((usage.complete, usage.alive, usage.account_key.count), (true, true, 120));
        assert_eq!(usage.account_key.last, Some(question().to));
        let usage = read(json!([series("accountkey", "Success", json!([1, null]))]));
        assert_eq!(usage.account_key.last, Some("2026-02-01T01:00:00Z".parse().unwrap()));
    }

    #[test]
    fn only_clear_refusals_count_as_failed() {
        let usage = read(json!([
            series("AccountKey", "AuthorizationError", json!([5])),
            series("AccountKey", "ClientOtherError", json!([3])),
        ]));
        assert_eq!((usage.account_key_failed.count, usage.account_key.count), (5, 3));
        let usage =
            read(json!([series("SAS", "Success", json!([7])), series("SAS", "AuthenticationError", json!([9]))]));
        assert_eq!((usage.sas.count, usage.sas_failed.count), (7, 9));
        let usage = read(json!([
            series("OAuth", "AuthorizationError", json!([2, 0, 3])),
            series("OAuth", "Success", json!([90])),
        ]));
        assert_eq!((usage.oauth_refused.count, usage.oauth_refused.hours().len()), (5, 2));
    }

    #[test]
    fn an_answer_is_complete_only_with_success_room_and_the_whole_window() {
        assert!(
            !read(json!([
                series("OAuth", "Success", json!([1])),
                series("OAuth", "ClientOtherError", json!([1])),
                series("Anonymous", "Success", json!([1])),
            ]))
            .complete,
            "as many series as `top` may be a cut list"
        );
        let metric = |code: Value| json!([{"name": {"value": "Transactions"}, "errorCode": code, "timeseries": []}]);
        let span = "2026-02-01T00:00:00Z/2026-02-01T02:30:00Z";
        let complete = |body: Value| check(body).unwrap().complete;
        assert!(complete(json!({"timespan": span, "value": metric(json!("Success"))})));
        assert!(!complete(json!({"timespan": span, "value": metric(json!("InternalError"))})));
        assert!(!complete(json!({"timespan": span, "value": metric(json!(null))})));
        assert!(!complete(json!({"timespan": span, "value": []})));
        assert!(!complete(json!({"value": metric(json!("Success"))})));
        let short = "2026-02-01T01:00:00Z/2026-02-01T02:30:00Z";
        assert!(!complete(json!({"timespan": short, "value": metric(json!("Success"))})));
    }

    #[test]
    fn a_service_is_told_by_call_signature_and_outcome() {
        let with_api = |authentication: &str, response: &str, api: &str, totals: Value| {
            let mut one = series(authentication, response, totals);
            one["metadatavalues"].as_array_mut().unwrap().push(json!({"name": {"value": "apiname"}, "value": api}));
            one
        };
        let read = |series: Value, top: usize| {
            let body = json!({
                "timespan": "2026-02-01T00:00:00Z/2026-02-01T02:30:00Z", "interval": "PT1H",
                "value": [{"name": {"value": "Transactions"}, "errorCode": "Success", "timeseries": series}]
            });
            service_usage(&Node::root(&body), Question { top, ..question() }, StorageService::File).unwrap()
        };
        let KeyDetails { complete, uses, .. } = read(
            json!([
                with_api("AccountKey", "Success", "GetFile", json!([3, 0, 4])),
                with_api("accountkey", "ClientOtherError", "GetFile", json!([1])),
                with_api("AccountKey", "AuthorizationError", "Unknown", json!([2])),
                with_api("OAuth", "Success", "ListFiles", json!([9])),
                with_api("Anonymous", "Success", "ListFiles", json!([9])),
                with_api("SAS", "Success", "PutRange", json!([0])),
            ]),
            100,
        );
        assert!(complete);
        let told: Vec<_> = uses
            .iter()
            .map(|one| (one.api.as_str(), one.signed, one.refused, one.traffic.count, one.traffic.hours().len()))
            .collect();
        assert_eq!(
            told,
            [
                ("GetFile", Signed::AccountKey, false, 8, 2),
                ("ListFiles", Signed::OAuth, false, 9, 1),
                ("Unknown", Signed::AccountKey, true, 2, 1),
            ]
        );
        assert!(uses.iter().all(|one| one.service == Some(StorageService::File)));
        assert!(
            !read(json!([with_api("SAS", "Success", "GetFile", json!([1]))]), 1).complete,
            "as many as `top` may be cut"
        );
        assert!(!read(json!([series("SAS", "Success", json!([1]))]), 100).complete, "no word of the call");
        assert!(!read(json!([with_api("Brandnew", "Success", "GetFile", json!([1]))]), 100).complete);
    }

    #[test]
    fn no_series_at_all_is_not_alive() {
        assert!(!read(json!([])).alive);
        assert!(!read(json!([series("OAuth", "Success", json!([null]))])).alive);
        assert!(read(json!([series("OAuth", "Success", json!([0.0]))])).alive);
    }

    #[test]
    fn traffic_of_an_unknown_kind_makes_the_answer_incomplete() {
        assert!(!read(json!([series("Brandnew", "Success", json!([1]))])).complete);
        assert!(read(json!([series("Brandnew", "Success", json!([0]))])).complete);
        assert!(
            !read(json!([{"metadatavalues": [], "data": [{"timeStamp": "2026-02-01T00:00:00Z", "total": 1}]}]))
                .complete
        );
    }

    #[test]
    fn a_series_without_its_points_makes_the_answer_incomplete() {
        let mut one = series("AccountKey", "Success", json!([1]));
        one["data"] = Value::Null;
        assert!(!read(json!([one])).complete);
        assert!(read(json!([series("AccountKey", "Success", json!([]))])).complete);
    }

    #[test]
    fn grains_are_read_in_days_too() {
        assert_eq!(duration("P1D"), Some(Duration::from_secs(86_400)));
        assert_eq!(duration("PT5M"), Some(Duration::from_secs(300)));
        assert_eq!(duration("FULL"), None);
        assert_eq!(duration("-PT5M"), None);
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(check(json!({})).is_err());
        assert!(check(json!({"value": 5})).is_err());
        assert!(check(json!({"interval": "soon", "value": []})).is_err());
        let bad = |point: Value| {
            check(json!({"value": [{"name": {"value": "Transactions"}, "timeseries": [{"data": [point]}]}]})).is_err()
        };
        assert!(bad(json!({"total": -1})));
        assert!(bad(json!({"total": 1})));
        assert!(bad(json!({"total": "many", "timeStamp": "2026-02-01T00:00:00Z"})));
    }
}
