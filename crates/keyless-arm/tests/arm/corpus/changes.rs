//! Recorded events of the activity log, as changes.

use keyless_arm::api::ReadArm;
use keyless_core::id::ArmId;
use keyless_core::observed::{CallerKind, ChangesOf};
use serde_json::Value;

use super::walk::{AtLeast, answered_by, topic};
use crate::fake::account_id;

fn word<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name]["value"].as_str().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn recorded_events_are_read_as_the_changes_they_tell_of() {
    let Some((exchanges, mut report)) = topic("activity-log") else { return };
    let (from, to) = ("2026-11-01T00:00:00Z".parse().unwrap(), "2026-11-02T00:00:00Z".parse().unwrap());
    for one in exchanges.iter().flatten() {
        if !one.ok() {
            report.unused("a refusal, which tells of no change");
            continue;
        }
        report.parsed();
        let mut body = one.body.clone();
        // The next page is another recording.
        body.as_object_mut().unwrap().remove("nextLink");
        let one = &one.with_body(body);
        let (client, _) = answered_by(one);
        let of = ChangesOf::Resource(ArmId::parse(&account_id()).unwrap());
        // Some were recorded or documented with a `$select` that leaves out what a change is known by.
        let complete = |event: &&Value| event["resourceId"].is_string();
        let told: Vec<&Value> = one
            .items()
            .unwrap()
            .iter()
            .filter(|event| word(event, "eventName") == "EndRequest" && word(event, "status") == "Succeeded")
            .filter(|event| {
                let operation = word(event, "operationName");
                operation.ends_with("/write") || operation.ends_with("/delete")
            })
            .collect();
        let read = client.changes(&of, from, to).await;
        if !told.iter().all(complete) {
            report.same(one, "an event without its resource", read.is_err(), true);
            continue;
        }
        let mut read = read.unwrap().value;
        report.same(one, "how many", read.len(), told.len());
        for event in told {
            let id = event["correlationId"].as_str();
            let at = read.iter().position(|change| change.correlation_id.as_deref() == id).unwrap();
            let change = read.remove(at);
            let caller = event["caller"].as_str().unwrap_or_default();
            let is_user = caller.contains('@');
            report.same(one, "a person", change.by.kind == CallerKind::User, is_user);
            report.same(one, "the name", change.by.to_string().contains(caller), true);
            report.same(one, "own", change.own, false);
        }
    }
    report.finish(AtLeast { files: 8, parsed: 11, assertions: 32 });
}
