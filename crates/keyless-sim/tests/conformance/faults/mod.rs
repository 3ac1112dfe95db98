//! What goes wrong on the way, one test for each kind.

mod answers;
mod lasting;
mod lists;
mod profile;
mod record;
mod tokens;

use std::time::Duration;

use keyless_sim::{
    ConnectionReset, Fault, FaultRule, Faults, Knobs, Meanwhile, Recorded, SimOptions, Simulator, World,
};
use serde_json::json;

use crate::cloud::{Cloud, account, small_world};

pub(crate) fn cloud(rule: FaultRule) -> Cloud {
    Cloud::new(small_world(), Knobs { faults: Faults::new([rule]), ..Knobs::immediate() })
}

/// Strikes the first request of `method` to an operation that ends so.
pub(crate) fn first(method: &str, operation: &str, fault: Fault) -> Cloud {
    cloud(FaultRule::new(method, operation, fault).calls([1]))
}

pub(crate) fn last(cloud: &Cloud) -> Recorded {
    cloud.sim.recorded(1).remove(0)
}

pub(crate) fn account_url() -> String {
    format!("{}?api-version=2023-05-01", account())
}

pub(crate) fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

pub(crate) fn patch(fault: Fault) -> FaultRule {
    FaultRule::new("PATCH", "/storageAccounts/{}", fault).times(1)
}

pub(crate) async fn flag_of(cloud: &Cloud) -> Option<bool> {
    let body = cloud.get(&format!("{}?api-version=2023-05-01", account())).await.body;
    body["properties"]["allowSharedKeyAccess"].as_bool()
}

pub(crate) fn write(cloud: &Cloud) -> http::Request<bytes::Bytes> {
    let body = json!({"properties": {"allowSharedKeyAccess": false}});
    cloud.request("PATCH", &format!("{}?api-version=2023-05-01", account()), Some(body))
}

#[tokio::test]
async fn a_connection_may_break_before_or_after_the_effect() {
    for (fault, effect) in [(Fault::ResetBefore, None), (Fault::ResetAfter, Some(false))] {
        let cloud = cloud(patch(fault));
        assert_eq!(cloud.sim.call(write(&cloud)).await.unwrap_err(), ConnectionReset);
        assert_eq!(flag_of(&cloud).await, effect);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_never_come_though_the_effect_did() {
    for (fault, effect) in [(Fault::HangBefore, None), (Fault::HangAfter, Some(false))] {
        let cloud = cloud(patch(fault));
        let waited = tokio::time::timeout(Duration::from_secs(60), cloud.sim.call(write(&cloud))).await;
        assert!(waited.is_err());
        assert_eq!(flag_of(&cloud).await, effect);
    }
}

#[tokio::test]
async fn a_write_may_land_late_and_beat_a_newer_one() {
    let late = Fault::Late { by: Duration::from_secs(240), then: Meanwhile::Reset };
    let cloud = cloud(patch(late));
    assert!(cloud.sim.call(write(&cloud)).await.is_err());
    assert_eq!(flag_of(&cloud).await, None);
    assert_eq!(cloud.flag(true).await.status, 200);
    cloud.pass(239);
    assert_eq!(flag_of(&cloud).await, Some(true));
    cloud.pass(1);
    assert_eq!(flag_of(&cloud).await, Some(false));
}

#[tokio::test]
async fn a_late_write_may_be_answered_504_at_once() {
    let late = Fault::Late { by: Duration::from_secs(60), then: Meanwhile::GatewayTimeout };
    let cloud = cloud(patch(late));
    let reply = cloud.flag(false).await;
    assert_eq!((reply.status, reply.code()), (504, "GatewayTimeout"));
    cloud.pass(60);
    assert_eq!(flag_of(&cloud).await, Some(false));
}

#[tokio::test]
async fn a_write_may_be_accepted_and_not_stick() {
    let cloud = cloud(patch(Fault::Ignored));
    let reply = cloud.flag(false).await;
    assert_eq!((reply.status, reply.body["properties"].get("allowSharedKeyAccess")), (200, None));
    assert_eq!(flag_of(&cloud).await, None);
}

#[tokio::test]
async fn refusals_carry_retry_after_only_where_told() {
    for (status, retry_after) in [(429, Some(7)), (503, None)] {
        let fault = Fault::Refuse { status, code: "Busy".to_owned(), retry_after };
        let cloud = cloud(FaultRule::new("*", "/storageAccounts/{}", fault).times(1));
        let reply = cloud.get(&format!("{}?api-version=2023-05-01", account())).await;
        assert_eq!((reply.status, reply.code()), (status, "Busy"));
        assert_eq!(reply.header("retry-after"), retry_after.map(|after| after.to_string()).unwrap_or_default());
    }
}

#[tokio::test]
async fn one_operation_may_fail_and_the_next_not() {
    let rule = FaultRule::new("PATCH", "/workspaces/{}", Fault::OperationFails).times(1);
    let cloud = cloud(rule);
    let failed = cloud.mode("churn", "Identity").await;
    assert_eq!(cloud.get(failed.header("location")).await.body["status"], "Failed");
    assert_eq!(cloud.mode("churn", "Identity").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_takes_tokios_time() {
    let cloud = cloud(patch(Fault::Slow { by: Duration::from_secs(30) }));
    let start = tokio::time::Instant::now();
    assert_eq!(cloud.flag(false).await.status, 200);
    assert_eq!(start.elapsed(), Duration::from_secs(30));
}

#[test]
fn a_speed_that_is_no_number_above_zero_is_an_error() {
    for speed in [0.0, -3.0, f64::NAN, f64::INFINITY] {
        let made = Simulator::new(World::default(), &SimOptions { speed, ..SimOptions::default() });
        assert!(made.is_err(), "{speed}");
    }
}
