//! Answers of other interfaces than the one that was asked: refused, and never misread as an empty list or an absent thing.

use keyless_arm::api::ReadArm;
use keyless_arm::error::{ArmError, ErrorClass};
use keyless_core::id::{ArmId, StorageAccountId, WorkspaceId};

use super::errors;
use super::walk::{AtLeast, Recorded, Report, answered_by, topic};
use crate::fake::{SUBSCRIPTION, account_id, workspace_id};

#[tokio::test(start_paused = true)]
async fn recorded_queries_of_resource_graph_are_refused() {
    let Some((exchanges, mut report)) = topic("resource-graph") else { return };
    for one in exchanges.iter().flatten() {
        if one.ok() { refused(&mut report, one).await } else { errors::check(&mut report, one).await }
    }
    report.finish(AtLeast { files: 32, parsed: 33, assertions: 231 });
}

#[tokio::test(start_paused = true)]
async fn recorded_events_of_the_activity_log_are_refused() {
    let Some((exchanges, mut report)) = topic("activity-log") else { return };
    for one in exchanges.iter().flatten() {
        if one.ok() { refused(&mut report, one).await } else { errors::check(&mut report, one).await }
    }
    report.finish(AtLeast { files: 8, parsed: 12, assertions: 98 });
}

pub(super) async fn refused(report: &mut Report, one: &Recorded) {
    report.parsed();
    let mut body = one.body.clone();
    if let Some(object) = body.as_object_mut() {
        // The next page is another recording.
        object.remove("nextLink");
    }
    let one = &one.with_body(body);
    let (client, _) = answered_by(one);
    let scope = ArmId::parse(&account_id()).unwrap();
    let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
    let account = StorageAccountId::parse(&account_id()).unwrap();
    // An empty list is an empty list, whoever sent it.
    let expected = match one.items() {
        Some(items) if items.is_empty() => Ok(0),
        _ => Err(ErrorClass::Unreadable),
    };
    let length = |result: Result<usize, ArmError>| result.map_err(|error| error.class);
    let subscription = SUBSCRIPTION.parse().unwrap();
    let lists = [
        client.role_assignments(&scope).await.map(|answer| answer.value.len()),
        client.deny_assignments(&scope).await.map(|answer| answer.value.len()),
        client.locks(&scope).await.map(|answer| answer.value.len()),
        client.workspaces(subscription).await.map(|answer| answer.value.len()),
        client.datastores(&workspace).await.map(|answer| answer.value.len()),
    ];
    for list in lists {
        report.same(one, "as a list", length(list), expected);
    }
    let single = client.workspace(&workspace).await.map_err(|error| error.class);
    report.same(one, "as a workspace", single.map(|answer| answer.value), Err(ErrorClass::Unreadable));
    let single = client.account(&account).await.map_err(|error| error.class);
    report.same(one, "as an account", single.map(|answer| answer.value), Err(ErrorClass::Unreadable));
}
