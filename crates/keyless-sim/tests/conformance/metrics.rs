//! The metric that shows key use, and the activity log.

use std::time::Duration;

use keyless_sim::{Knobs, MetricAnswer};
use serde_json::{Value, json};

use crate::cloud::{BLOB_CONTRIBUTOR, Cloud, DANA, SUB, account, small_world};

const G1: &str = "0f6c7b8a-2d1e-5c3f-9a4b-6d7e8f901234";
const SPLIT: &str = "&$filter=Authentication eq '*' and ResponseType eq '*'&top=100";

async fn ask(cloud: &Cloud, from: i64, to: i64, rest: &str) -> Value {
    let stamp = |second: i64| jiff::Timestamp::from_second(second).unwrap();
    let path = format!(
        "{}/providers/Microsoft.Insights/metrics?api-version=2024-02-01&metricnames=Transactions&aggregation=Total&timespan={}/{}{rest}",
        account(),
        stamp(from),
        stamp(to)
    );
    let reply = cloud.get(&path).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body["value"][0].clone()
}

fn totals(metric: &Value) -> Vec<(String, f64)> {
    let series = metric["timeseries"].as_array().unwrap();
    series
        .iter()
        .map(|series| {
            let names = series["metadatavalues"].as_array().unwrap();
            let label = names.iter().map(|value| value["value"].as_str().unwrap()).collect::<Vec<_>>().join("/");
            let points = series["data"].as_array().unwrap().iter();
            (label, points.filter_map(|point| point["total"].as_f64()).sum())
        })
        .collect()
}

#[tokio::test]
async fn traffic_is_split_by_authentication_and_response() {
    let cloud = Cloud::immediate();
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    let start = cloud.sim.now().as_second();
    cloud.pass(3600);
    cloud.mode("churn", "Identity").await;
    cloud.drift("keyUserStarted", &account(), json!({"triesPerHour": 60}));
    cloud.pass(1800);
    cloud.flag(false).await;
    cloud.pass(1800);
    let metric = ask(&cloud, start, start + 7200, SPLIT).await;
    assert_eq!(metric["errorCode"], "Success");
    assert_eq!(
        totals(&metric),
        [
            ("AccountKey/AuthorizationError".to_owned(), 30.0),
            ("AccountKey/Success".to_owned(), 360.0 + 30.0),
            ("OAuth/Success".to_owned(), 360.0),
        ]
    );
    assert_eq!(totals(&ask(&cloud, start, start + 7200, "").await), [(String::new(), 780.0)]);
    let keys = ask(&cloud, start, start + 7200, "&$filter=authentication eq 'accountkey'").await;
    assert_eq!(totals(&keys), [("AccountKey".to_owned(), 420.0)]);
    let either = "&$filter=Authentication eq 'AccountKey' or Authentication eq 'SAS'";
    assert_eq!(totals(&ask(&cloud, start, start + 7200, either).await).len(), 1);
    assert_eq!(totals(&ask(&cloud, start, start + 7200, "&$filter=Authentication eq '*'&top=1").await).len(), 1);
}

#[tokio::test]
async fn only_what_lies_in_the_asked_span_is_counted_whatever_the_grain() {
    let cloud = Cloud::immediate();
    let now = cloud.sim.now().as_second();
    for (rest, points) in [("&interval=PT1M", 2), ("&interval=PT1H", 1), ("&interval=FULL", 1), ("", 2)] {
        let metric = ask(&cloud, now - 95, now - 30, rest).await;
        let total: f64 = totals(&metric)[0].1;
        assert!((6.0..=7.0).contains(&total), "65 seconds at one try in ten: {total}");
        assert_eq!(metric["timeseries"][0]["data"].as_array().unwrap().len(), points, "{rest}");
    }
}

#[tokio::test]
async fn an_account_without_traffic_has_no_series() {
    let mut world = small_world();
    world.retain(|entry| entry["id"] == account());
    let cloud = Cloud::new(world, Knobs::immediate());
    let now = cloud.sim.now().as_second();
    assert_eq!(ask(&cloud, now - 3600, now, "").await["timeseries"], json!([]));
}

#[tokio::test]
async fn series_of_what_stopped_before_the_span_are_absent_while_others_live() {
    let cloud = Cloud::immediate();
    cloud.grant(&account(), G1, DANA, BLOB_CONTRIBUTOR).await;
    cloud.mode("churn", "Identity").await;
    cloud.pass(3600);
    let now = cloud.sim.now().as_second();
    assert_eq!(totals(&ask(&cloud, now - 3000, now, SPLIT).await), [("OAuth/Success".to_owned(), 300.0)]);
}

#[tokio::test]
async fn what_is_younger_than_the_lag_is_not_shown_yet() {
    let cloud = Cloud::new(small_world(), Knobs { metric_lag: Duration::from_secs(180), ..Knobs::immediate() });
    let now = cloud.sim.now().as_second();
    assert_eq!(ask(&cloud, now - 180, now, "").await["timeseries"], json!([]));
    let metric = ask(&cloud, now - 360, now, "&interval=PT1M").await;
    assert_eq!(totals(&metric)[0].1, 18.0);
    let last = metric["timeseries"][0]["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last.get("total"), None);
}

#[tokio::test]
async fn an_answer_may_be_empty_or_an_error_code() {
    for (answer, code) in
        [(MetricAnswer::Empty, "Success"), (MetricAnswer::Error("InternalError".into()), "InternalError")]
    {
        let cloud = Cloud::new(small_world(), Knobs { metric_answer: answer, ..Knobs::immediate() });
        let now = cloud.sim.now().as_second();
        let metric = ask(&cloud, now - 3600, now, "").await;
        assert_eq!((&metric["timeseries"], &metric["errorCode"]), (&json!([]), &json!(code)));
    }
}

#[tokio::test]
async fn bad_questions_are_refused_without_the_outer_error_object() {
    let cloud = Cloud::immediate();
    let base = format!("{}/providers/Microsoft.Insights/metrics?api-version=2024-02-01", account());
    for rest in ["&metricnames=Egress", "&timespan=now", "&interval=PT2M", "&$filter=Colour eq 'red'", "&top=many"] {
        let reply = cloud.get(&format!("{base}{rest}")).await;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!("BadRequest")), "{rest}");
    }
}

#[tokio::test]
async fn a_timespan_is_read_encoded_twice_and_with_blanks() {
    let cloud = Cloud::immediate();
    let asked = async |span: &str| {
        let path = format!("{}/providers/Microsoft.Insights/metrics", account());
        cloud.get(&format!("{path}?api-version=2018-01-01&interval=PT1H&timespan={span}")).await.body["value"].clone()
    };
    let plain = asked("2027-01-15T07:00:00Z/2027-01-15T08:00:00Z").await;
    assert!(plain[0]["timeseries"][0]["data"][0]["total"].as_f64().unwrap() > 0.0, "{plain}");
    for span in [
        "2027-01-15T07%253A00%253A00Z/2027-01-15T08%253A00%253A00Z",
        "2027-01-15 07:00:00.0/2027-01-15 08:00:00",
        "2027-01-15+07%3A00%3A00/2027-01-15+08%3A00%3A00",
    ] {
        assert_eq!(asked(span).await, plain, "{span}");
    }
}

#[tokio::test]
async fn writes_show_in_the_activity_log_after_its_lag_and_reads_never() {
    let cloud = Cloud::new(small_world(), Knobs { activity_lag: Duration::from_secs(120), ..Knobs::immediate() });
    cloud.get(&format!("{}?api-version=2023-05-01", account())).await;
    cloud.flag(true).await;
    cloud.drift("sharedKey", &account(), json!(false));
    let log =
        format!("{SUB}/providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter=");
    let span = "eventTimestamp ge '2027-01-01T00:00:00Z' and eventTimestamp le '2030-01-01T00:00:00Z'";
    assert_eq!(cloud.get(&format!("{log}{span}")).await.body["value"], json!([]));
    cloud.pass(120);
    let all = cloud.get(&format!("{log}{span} and resourceUri eq '{}'", account())).await;
    let events = all.body["value"].as_array().unwrap();
    assert_eq!(events.len(), 4, "two writes, a beginning and an end each");
    assert!(events.iter().all(|event| event["operationName"]["value"] == "Microsoft.Storage/storageAccounts/write"));
    assert_eq!(cloud.get(&format!("{log}resourceGroupName eq 'x'")).await.status, 400);
    let other = cloud.get(&format!("{log}{span} and resourceProvider eq 'Microsoft.Compute'&$select=caller")).await;
    assert_eq!(other.body["value"], json!([]));
}
