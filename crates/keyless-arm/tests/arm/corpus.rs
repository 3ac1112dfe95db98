//! Recorded traffic of Azure, where it is at hand: whatever Azure once answered is understood or refused, never fatal.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use keyless_arm::api::{ReadArm, WriteArm, WriteKind};
use keyless_arm::cloud::Cloud;
use keyless_arm::error::{ArmError, ErrorClass, Landed};
use keyless_core::desired::AuthMode;
use keyless_core::id::{ArmId, StorageAccountId, WorkspaceId};
use serde_json::Value;

use crate::fake::{GUID, SUBSCRIPTION, account_id, client, client_with, reply, workspace_id};

struct Recorded {
    file: String,
    /// A service's real answer, not an example of its documentation.
    real: bool,
    method: String,
    path: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: Value,
}

/// Recorded traffic kept beside the project, where present: one topic of it, or nothing and a word about what is skipped.
fn topic(name: &str) -> Vec<Recorded> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus"));
    let shared = std::env::var_os("KEYLESS_CORPUS").map_or(folder, PathBuf::from).join(name);
    let Ok(files) = std::fs::read_dir(&shared) else {
        // Past the harness, which would swallow it in a test that passes.
        let loud = format!(
            "SKIPPED: no folder {}, so no recorded {name} were put to the client; KEYLESS_CORPUS names another place\n",
            shared.display()
        );
        std::io::stderr().write_all(loud.as_bytes()).unwrap();
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        // Recorders and documentation put placeholders in the place of subscriptions.
        let mut text = std::fs::read_to_string(&path).unwrap();
        for placeholder in ["<AZURE_SUBSCRIPTION_ID>", "{subscription-id}", "AZURE_SUBSCRIPTION_ID"] {
            text = text.replace(placeholder, SUBSCRIPTION);
        }
        text = text.replace("/00000000-0000-0000-0000-000000000/", &format!("/{SUBSCRIPTION}/"));
        let interactions: Vec<Value> = serde_json::from_str(&text).unwrap();
        for one in interactions {
            let Some(status) = one["response"]["status"].as_u64() else { continue };
            let url = one["request"]["url"].as_str().unwrap_or_default();
            let path_of = url.splitn(4, '/').nth(3).unwrap_or_default();
            let mut body = one["response"]["body"].clone();
            if let Some(object) = body.as_object_mut() {
                // The next page is another recording.
                object.remove("nextLink");
            }
            found.push(Recorded {
                real: one["source"]["kind"] == "recorded",
                file: path.file_name().unwrap().to_string_lossy().into_owned(),
                method: one["request"]["method"].as_str().unwrap_or_default().to_owned(),
                path: path_of.split('?').next().unwrap_or_default().to_ascii_lowercase(),
                status: u16::try_from(status).unwrap(),
                headers: headers(&one["response"]["headers"]),
                body,
            });
        }
    }
    assert!(!found.is_empty(), "{} is empty", shared.display());
    found
}

/// The headers that lead through an operation; they were recorded as one value or a list.
fn headers(recorded: &Value) -> Vec<(String, String)> {
    let Some(object) = recorded.as_object() else { return Vec::new() };
    object
        .iter()
        .filter_map(|(name, value)| {
            let value = value.as_str().or_else(|| value.get(0)?.as_str())?;
            Some((name.to_ascii_lowercase(), value.to_owned()))
        })
        .filter(|(name, _)| matches!(name.as_str(), "location" | "azure-asyncoperation" | "retry-after"))
        .collect()
}

fn text_of(body: &Value) -> String {
    match body {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn client_answering(status: u16, body: &Value) -> keyless_arm::client::Client {
    // What is no JSON is recorded as text.
    let text = Arc::new(text_of(body));
    client(move |_, _| {
        let text = Arc::clone(&text);
        async move { reply(status, &[], text) }
    })
    .0
}

#[derive(Default, Debug)]
struct Tally {
    understood: usize,
    items: usize,
    refused: Vec<String>,
}

impl Tally {
    fn add(&mut self, one: &Recorded, result: Result<usize, ArmError>) {
        match result {
            Ok(items) => {
                self.understood += 1;
                self.items += items;
            }
            Err(error) => {
                assert!(!one.real && error.class == ErrorClass::Unreadable, "{}: {error}", one.file);
                self.refused.push(format!("{}: {}", one.file, error.message));
            }
        }
    }
}

fn is_list(one: &Recorded) -> bool {
    one.body.get("value").is_some_and(Value::is_array)
}

fn as_list(one: &Recorded) -> Value {
    if is_list(one) { one.body.clone() } else { serde_json::json!({"value": [one.body]}) }
}

#[tokio::test(start_paused = true)]
async fn recorded_workspaces_are_read() {
    let recorded = topic("workspaces");
    let mut tally = Tally::default();
    for one in recorded.iter().filter(|one| one.method == "GET" && one.status == 200) {
        let client = client_answering(200, &one.body);
        let result = if is_list(one) {
            client.workspaces(SUBSCRIPTION.parse().unwrap()).await.map(|answer| answer.value.len())
        } else {
            let id = WorkspaceId::parse(&workspace_id()).unwrap();
            client.workspace(&id).await.map(|answer| usize::from(answer.value.is_some()))
        };
        tally.add(one, result);
    }
    eprintln!("workspaces: {tally:#?}");
    assert!(recorded.is_empty() || tally.items > 10, "{tally:#?}");
}

#[tokio::test(start_paused = true)]
async fn recorded_storage_accounts_are_read() {
    let recorded = topic("storage-accounts");
    let id = StorageAccountId::parse(&account_id()).unwrap();
    let mut tally = Tally::default();
    for one in recorded.iter().filter(|one| one.status == 200) {
        // A list's items are read one by one: the client never lists accounts.
        let bodies = if is_list(one) { one.body["value"].as_array().unwrap().clone() } else { vec![one.body.clone()] };
        for body in bodies {
            let is_account = body["type"]
                .as_str()
                .is_some_and(|kind| kind.eq_ignore_ascii_case("Microsoft.Storage/storageAccounts"));
            if is_account {
                let result = client_answering(200, &body).account(&id).await;
                tally.add(one, result.map(|answer| usize::from(answer.value.is_some())));
            }
        }
    }
    eprintln!("storage accounts: {tally:#?}");
    assert!(recorded.is_empty() || tally.items > 400, "{tally:#?}");
}

#[tokio::test(start_paused = true)]
async fn recorded_role_assignments_definitions_and_locks_are_read() {
    let scope = ArmId::parse(&account_id()).unwrap();
    let (mut assignments, mut definitions, mut locks) = (Tally::default(), Tally::default(), Tally::default());
    let recorded = topic("role-assignments");
    for one in recorded.iter().filter(|one| one.method == "GET" && one.status == 200 && is_list(one)) {
        if one.path.ends_with("/roleassignments") {
            let client = client_answering(200, &one.body);
            assignments.add(one, client.role_assignments(&scope).await.map(|answer| answer.value.len()));
        }
    }
    for one in topic("role-definitions").iter().filter(|one| one.status == 200 && is_list(one)) {
        for body in one.body["value"].as_array().unwrap() {
            let client = client_answering(200, body);
            let result = client.role_definition(&scope, GUID.parse().unwrap()).await;
            definitions.add(one, result.map(|answer| usize::from(answer.value.is_some())));
        }
    }
    for one in topic("locks").iter().filter(|one| one.status == 200 && is_list(one)) {
        let client = client_answering(200, &one.body);
        locks.add(one, client.locks(&ArmId::parse("/").unwrap()).await.map(|_| 1));
    }
    eprintln!("assignments: {assignments:#?} definitions: {definitions:#?} locks: {locks:#?}");
    assert!(
        recorded.is_empty() || (assignments.items > 100 && definitions.items > 10 && locks.items > 5),
        "{assignments:#?} {definitions:#?} {locks:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn recorded_datastores_computes_and_metrics_are_read() {
    let id = WorkspaceId::parse(&workspace_id()).unwrap();
    let account = StorageAccountId::parse(&account_id()).unwrap();
    let (mut datastores, mut computes, mut metrics) = (Tally::default(), Tally::default(), Tally::default());
    let recorded = topic("datastores");
    for one in recorded.iter().filter(|one| one.method == "GET" && one.status == 200) {
        let result = client_answering(200, &as_list(one)).datastores(&id).await;
        datastores.add(one, result.map(|answer| answer.value.len()));
    }
    for one in topic("computes").iter().filter(|one| one.method == "GET" && one.status == 200) {
        let result = client_answering(200, &as_list(one)).computes(&id).await;
        computes.add(one, result.map(|answer| answer.value.len()));
    }
    let (from, to) = ("2018-01-29T23:45:52Z".parse().unwrap(), "2018-02-05T23:45:52Z".parse().unwrap());
    for one in topic("metrics").iter().filter(|one| one.status == 200 && one.path.ends_with("/metrics")) {
        let result = client_answering(200, &one.body).key_usage(&account, from, to).await;
        metrics.add(one, result.map(|_| 1));
    }
    eprintln!("datastores: {datastores:#?} computes: {computes:#?} metrics: {metrics:#?}");
    assert!(
        recorded.is_empty() || (datastores.items > 0 && computes.items > 0 && metrics.items > 5),
        "{datastores:#?} {computes:#?} {metrics:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_recorded_refusal_is_classified_on_every_operation() {
    let scope = ArmId::parse(&account_id()).unwrap();
    let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
    let account = StorageAccountId::parse(&account_id()).unwrap();
    let mut count = 0;
    let mut recorded = topic("errors");
    recorded.extend(topic("tokens"));
    let any = !recorded.is_empty();
    for one in recorded.iter().filter(|one| one.status >= 400) {
        let client = client_answering(one.status, &one.body);
        let failed = client.role_assignments(&scope).await.unwrap_err();
        assert_eq!(failed.status, Some(one.status), "{}", one.file);
        for missing in [
            client.account(&account).await.map(|answer| answer.value.is_none()),
            client.workspace(&workspace).await.map(|answer| answer.value.is_none()),
        ] {
            match missing {
                Ok(absent) => assert!(absent && one.status == 404, "{}", one.file),
                Err(error) => assert_eq!(error.status, Some(one.status), "{}", one.file),
            }
        }
        count += 1;
    }
    eprintln!("refusals: {count}");
    assert!(!any || count > 150, "{count}");
}

#[tokio::test(start_paused = true)]
async fn no_recorded_body_of_another_kind_breaks_a_read() {
    let scope = ArmId::parse(&account_id()).unwrap();
    let account = StorageAccountId::parse(&account_id()).unwrap();
    let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
    let mut count = 0;
    for name in ["activity-log", "resource-graph", "paging", "tokens", "metrics"] {
        for one in topic(name).iter().filter(|one| one.status == 200) {
            let body = &one.body;
            let client = client_answering(200, body);
            // Foreign items must never read as an empty or shorter list.
            let items = body.get("value").and_then(Value::as_array).map(Vec::len);
            match client.role_assignments(&scope).await {
                Ok(answer) => assert_eq!(Some(answer.value.len()), items, "{}", one.file),
                Err(error) => assert_eq!(error.class, ErrorClass::Unreadable, "{}", one.file),
            }
            assert!(client.workspace(&workspace).await.is_err(), "{}", one.file);
            assert!(client.account(&account).await.is_err(), "{}", one.file);
            count += 1;
        }
    }
    eprintln!("foreign bodies: {count}");
}

#[tokio::test(start_paused = true)]
async fn recorded_operations_end_as_they_ended() {
    let mut exchanges: Vec<Vec<Recorded>> = Vec::new();
    for one in topic("lro") {
        match exchanges.last_mut() {
            Some(exchange) if exchange[0].file == one.file => exchange.push(one),
            _ => exchanges.push(vec![one]),
        }
    }
    let (mut succeeded, mut failed) = (0, Vec::new());
    for exchange in exchanges {
        let file = exchange[0].file.clone();
        let answers: Vec<_> =
            exchange.iter().map(|one| (one.status, one.headers.clone(), text_of(&one.body))).collect();
        let fault_recorded = exchange.iter().any(|one| {
            one.status >= 400 || text_of(&one.body).contains("\"Failed\"") || text_of(&one.body).contains("Canceled")
        });
        let (client, _) = client_with(
            move |number, _| {
                let (status, headers, body) = answers[number.min(answers.len()) - 1].clone();
                async move {
                    let headers: Vec<(&str, &str)> =
                        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    reply(status, &headers, body)
                }
            },
            |options| {
                let public = "https://management.azure.com";
                options.cloud = Cloud::custom(public, "https://login.example", "s", None).unwrap();
            },
        );
        let permit = client.reserve_write(SUBSCRIPTION.parse().unwrap(), WriteKind::Workspace).await.unwrap();
        let workspace = WorkspaceId::parse(&workspace_id()).unwrap();
        match client.set_auth_mode(permit, &workspace, AuthMode::Identity).await {
            Ok(_) => succeeded += 1,
            Err(error) => {
                assert!(fault_recorded || error.landed == Landed::Unknown, "{file}: {error}");
                failed.push(format!("{file}: {error} (fault recorded: {fault_recorded})"));
            }
        }
    }
    eprintln!("operations: {succeeded} succeeded, {} failed: {failed:#?}", failed.len());
    assert!(succeeded + failed.len() == 0 || succeeded > 60, "{succeeded}");
}
