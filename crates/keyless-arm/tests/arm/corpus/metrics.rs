//! The metric of who signed with what. Few recordings are of storage accounts, so the others are read a second time under
//! the metric's name: series, points, spans and grains have the same form.

use keyless_arm::api::ReadArm;
use keyless_arm::error::ErrorClass;
use keyless_core::id::StorageAccountId;
use serde_json::Value;

use super::errors;
use super::walk::{AtLeast, Recorded, Report, answered_by, topic};
use crate::fake::account_id;

#[tokio::test(start_paused = true)]
async fn recorded_metrics_mean_what_they_say() {
    let Some((exchanges, mut report)) = topic("metrics") else { return };
    for one in exchanges.iter().flatten() {
        let last = one.path().rsplit('/').next().unwrap_or_default().to_lowercase();
        match one.status {
            0 => report.unused("an example of an error without a status"),
            400.. => errors::check(&mut report, one).await,
            _ if last == "metrics" => {
                report.parsed();
                usage(&mut report, one).await;
                let mut body = one.body.clone();
                for metric in body["value"].as_array_mut().unwrap() {
                    metric["name"]["value"] = "Transactions".into();
                }
                usage(&mut report, &one.with_body(body)).await;
            }
            // Names of metrics are not asked for; they must not read as an answer about one.
            _ => {
                report.parsed();
                let account = StorageAccountId::parse(&account_id()).unwrap();
                let (from, to) = ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-01-02T00:00:00Z".parse().unwrap());
                let result = answered_by(one).0.key_usage(&account, from, to).await;
                let proves_nothing = match result {
                    Ok(answer) => !answer.value.complete && !answer.value.alive,
                    Err(error) => error.class == ErrorClass::Unreadable,
                };
                report.same(one, "proves nothing", proves_nothing, true);
            }
        }
    }
    report.finish(AtLeast { files: 13, parsed: 20, assertions: 184 });
}

async fn usage(report: &mut Report, one: &Recorded) {
    let account = StorageAccountId::parse(&account_id()).unwrap();
    let (from, to) = one.body["timespan"].as_str().unwrap().split_once('/').unwrap();
    let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
    let found = answered_by(one).0.key_usage(&account, from, to).await.unwrap().value;
    let named = |metric: &&Value| metric["name"]["value"].as_str().unwrap().eq_ignore_ascii_case("Transactions");
    let metrics: Vec<&Value> = one.body["value"].as_array().unwrap().iter().filter(named).collect();
    let series: Vec<&Value> =
        metrics.iter().flat_map(|metric| metric["timeseries"].as_array().into_iter().flatten()).collect();
    let total = |one: &Value| -> f64 {
        one["data"].as_array().into_iter().flatten().filter_map(|point| point["total"].as_f64()).sum()
    };
    let signed_with = |one: &Value| {
        one["metadatavalues"].as_array().into_iter().flatten().find_map(|dimension| {
            let name = dimension["name"]["value"].as_str()?;
            name.eq_ignore_ascii_case("authentication")
                .then(|| dimension["value"].as_str().unwrap_or("").to_lowercase())
        })
    };
    let of = |word: &str| -> f64 {
        series.iter().filter(|one| signed_with(one).as_deref() == Some(word)).map(|one| total(one)).sum()
    };
    report.same(one, "key", found.account_key.count + found.account_key_failed.count, of("accountkey").ceil() as u64);
    report.same(one, "sas", found.sas.count, of("sas").ceil() as u64);
    let points = |one: &Value| {
        one["data"].as_array().is_some_and(|points| points.iter().any(|point| point["total"].is_number()))
    };
    report.same(one, "alive", found.alive, series.iter().any(|one| points(one)));
    let told = metrics.iter().all(|metric| metric["errorCode"] == "Success" && metric["timeseries"].is_array())
        && series.iter().all(|one| one["data"].is_array());
    let unknown = series.iter().any(|one| {
        let keyless = ["accountkey", "sas", "oauth", "anonymous", "anonymouspreflight"];
        total(one) > 0.0 && !signed_with(one).is_some_and(|word| keyless.contains(&&*word))
    });
    report.same(one, "complete", found.complete, !metrics.is_empty() && told && !unknown);
    report.same(one, "window", (found.from, found.to), (from, to));
}
