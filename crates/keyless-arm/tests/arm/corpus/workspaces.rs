//! Workspaces, hubs and projects.

use std::collections::BTreeMap;

use keyless_arm::api::{ReadArm, WriteArm, WriteKind, Written};
use keyless_arm::error::{ErrorClass, Landed};
use keyless_core::desired::AuthMode;
use keyless_core::id::{ArmId, WorkspaceId};
use keyless_core::observed::{Identity, ObservedAuthMode, Workspace, WorkspaceKind};
use serde_json::Value;

use super::errors;
use super::walk::{AtLeast, PUBLIC, Recorded, Report, answered_by, folded, topic};

#[tokio::test(start_paused = true)]
async fn recorded_workspaces_mean_what_they_say() {
    let Some((exchanges, mut report)) = topic("workspaces") else { return };
    for one in exchanges.iter().flatten() {
        match (one.method.as_str(), one.status) {
            ("GET", 200) if one.items().is_some() => list(&mut report, one).await,
            ("GET" | "PUT", 200 | 201) => single(&mut report, one).await,
            ("PATCH", 200 | 202) => patch(&mut report, one).await,
            (_, 400..) => errors::check(&mut report, one).await,
            ("PUT", 202) => report.unused("the client never makes a workspace; the operation is in `lro`"),
            ("DELETE", _) => report.unused("the client never deletes a workspace"),
            _ => {}
        }
    }
    report.finish(AtLeast { files: 54, parsed: 30, assertions: 344 });
}

async fn list(report: &mut Report, one: &Recorded) {
    report.parsed();
    let mut body = one.body.clone();
    // The next page of an example is the example.
    body.as_object_mut().unwrap().remove("nextLink");
    let (client, asks) = answered_by(&one.with_body(body));
    let scope = ArmId::parse(&one.path()).unwrap();
    let subscription = scope.subscription().unwrap();
    let answer = client.workspaces(subscription).await.unwrap();
    let items = one.items().unwrap();
    report.same(one, "items", answer.value.len(), items.len());
    for (found, item) in answer.value.iter().zip(items) {
        workspace(report, one, found, item);
    }
    let asked = asks.lock().unwrap()[0].url.clone();
    report.same(one, "address", asked, format!("{PUBLIC}{}?api-version=2025-09-01", one.path()));
}

async fn single(report: &mut Report, one: &Recorded) {
    report.parsed();
    let (client, asks) = answered_by(one);
    let id = WorkspaceId::parse(&one.path()).unwrap();
    let answer = client.workspace(&id).await.unwrap();
    workspace(report, one, &answer.value.unwrap(), &one.body);
    let asked = asks.lock().unwrap()[0].url.clone();
    report.same(one, "address", asked, format!("{PUBLIC}{}?api-version=2025-09-01", one.path()));
    if let Some(date) = one.header("date") {
        report.same(one, "Date", answer.at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(), date.to_owned());
    }
    report.same(one, "request id", answer.request_id.as_deref(), one.header("x-ms-request-id"));
}

/// The recorded answers to a PATCH stand for the answer to the client's own.
async fn patch(report: &mut Report, one: &Recorded) {
    report.parsed();
    let (client, asks) = answered_by(one);
    let id = WorkspaceId::parse(&one.path()).unwrap();
    let permit = client.reserve_write(id.subscription(), WriteKind::Workspace).await.unwrap();
    let result = client.set_auth_mode(permit, &id, AuthMode::Identity).await;
    if one.status == 200 {
        report.same(one, "outcome", result.unwrap().value, Written::Changed);
    } else {
        // The examples of "accepted" leave out the address or give a word for one, which here leads to the same answer
        // for ever; an operation that cannot be followed has no known end.
        let class = if one.header("location").is_some() { ErrorClass::Transient } else { ErrorClass::Unreadable };
        let failed = result.unwrap_err();
        report.same(one, "outcome", (failed.landed, failed.error.class), (Landed::Unknown, class));
    }
    let asked = asks.lock().unwrap()[0].clone();
    report.same(one, "address", asked.url, format!("{PUBLIC}{}?api-version=2025-09-01", one.path()));
    report.same(one, "method", asked.method, "PATCH".to_owned());
    report.same(one, "body", asked.body, serde_json::json!({"properties": {"systemDatastoresAuthMode": "Identity"}}));
    if one.body.is_object() {
        let (client, _) = answered_by(&Recorded { status: 200, ..one.clone() });
        workspace(report, one, &client.workspace(&id).await.unwrap().value.unwrap(), &one.body);
    }
}

fn workspace(report: &mut Report, one: &Recorded, found: &Workspace, item: &Value) {
    let properties = &item["properties"];
    report.same(one, "id", Some(found.id.as_str()), item["id"].as_str());
    let kind = match folded(&item["kind"]).as_deref() {
        None | Some("default") => WorkspaceKind::Default,
        Some("hub") => WorkspaceKind::Hub,
        Some("project") => WorkspaceKind::Project,
        Some(_) => WorkspaceKind::Other(item["kind"].as_str().unwrap().to_owned()),
    };
    report.same(one, "kind", &found.kind, &kind);
    let account = folded(&properties["storageAccount"]).or_else(|| folded(&properties["storageAccounts"][0]));
    report.same(one, "account", found.storage_account.as_ref().map(|id| id.as_str().to_lowercase()), account);
    let hub = folded(&properties["hubResourceId"]);
    report.same(one, "hub", found.hub.as_ref().map(|id| id.as_str().to_lowercase()), hub);
    // No public recording shows the mode.
    let mode = match folded(&properties["systemDatastoresAuthMode"]).as_deref() {
        None => ObservedAuthMode::Unset,
        Some("identity") => ObservedAuthMode::Identity,
        Some("accesskey") => ObservedAuthMode::AccessKey,
        Some(_) => ObservedAuthMode::Other(properties["systemDatastoresAuthMode"].as_str().unwrap().to_owned()),
    };
    report.same(one, "mode", &found.auth_mode, &mode);
    let primary = folded(&properties["primaryUserAssignedIdentity"]);
    report.same(one, "primary", found.primary_identity.as_ref().map(|id| id.as_str().to_lowercase()), primary);
    report.same(one, "isolation", found.data_isolation, properties["enableDataIsolation"].as_bool());
    report.same(one, "state", found.provisioning_state.as_deref(), properties["provisioningState"].as_str());
    report.same(one, "location", &*found.location, item["location"].as_str().unwrap_or_default());
    identity(report, one, &found.identity, &item["identity"]);
}

/// The identities of a workspace or a compute.
pub(super) fn identity(report: &mut Report, one: &Recorded, found: &Identity, item: &Value) {
    report.same(one, "system", found.system.map(|id| id.to_string()), folded(&item["principalId"]));
    let expected: BTreeMap<String, Option<String>> = item["userAssignedIdentities"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(id, details)| (id.to_lowercase(), folded(&details["principalId"])))
        .collect();
    let found: BTreeMap<String, Option<String>> = found
        .user_assigned
        .iter()
        .map(|(id, principal)| (id.as_str().to_lowercase(), principal.map(|id| id.to_string())))
        .collect();
    report.same(one, "user assigned", found, expected);
}
