//! Datastores and computes: what lies below a workspace.

use keyless_arm::api::{ReadArm, WriteArm, WriteKind};
use keyless_arm::error::ErrorClass;
use keyless_core::id::WorkspaceId;
use keyless_core::observed::{Compute, Datastore, DatastoreCredentials};
use serde_json::{Value, json};

use super::errors;
use super::walk::{AtLeast, PUBLIC, Recorded, Report, answered_by, folded, topic};
use super::workspaces::identity;

#[tokio::test(start_paused = true)]
async fn recorded_datastores_mean_what_they_say() {
    let Some((exchanges, mut report)) = topic("datastores") else { return };
    for one in exchanges.iter().flatten() {
        if one.body.is_null() {
            report.unused("an example without a body");
            continue;
        }
        // The answer to a GET or PUT of one has the form of an item of the list.
        let (id, whole) = list_of(one, "datastores");
        report.parsed();
        let (client, asks) = answered_by(&whole);
        let result = client.datastores(&id).await;
        if whole.items().unwrap().iter().any(hides_its_account) {
            // Previews of 2020 and 2021 keep the account in `contents` or `azureStorageSection`: a datastore read without
            // it would seem to stand on no account, so it is refused.
            report.same(one, "only an example has it", one.real, false);
            report.same(one, "class", result.unwrap_err().class, ErrorClass::Unreadable);
            continue;
        }
        let found = result.unwrap().value;
        let items = whole.items().unwrap();
        report.same(one, "items", found.len(), items.len());
        for (found, item) in found.iter().zip(items) {
            datastore(&mut report, one, found, item);
        }
        for item in items {
            echoed(&mut report, one, &id, item).await;
        }
        let asked = asks.lock().unwrap()[0].url.clone();
        report.same(one, "address", asked, format!("{PUBLIC}{id}/datastores?api-version=2025-09-01"));
    }
    report.finish(AtLeast { files: 42, parsed: 43, assertions: 366 });
}

/// Writing a recorded datastore back loses nothing but its credential.
async fn echoed(report: &mut Report, one: &Recorded, id: &WorkspaceId, item: &Value) {
    let item_of = item.clone();
    let (client, asks) = crate::fake::client(move |_, _| {
        let item = item_of.clone();
        async move { crate::fake::reply(200, &[], item) }
    });
    let stored = client.datastore(id, "recorded").await.unwrap().value.unwrap();
    let permit = client.reserve_write(id.subscription(), WriteKind::Workspace).await.unwrap();
    client.set_datastore_credential(permit, id, &stored).await.unwrap();
    let mut expected = item["properties"].clone();
    expected["credentials"] = json!({"credentialsType": "None"});
    let sent = asks.lock().unwrap()[1].body["properties"].clone();
    report.same(one, "written back", sent, expected);
}

/// Whether a datastore says neither what it is nor, standing on storage, on which account.
fn hides_its_account(item: &Value) -> bool {
    let properties = item["properties"].as_object().unwrap();
    let kind = properties.iter().find(|(name, _)| name.eq_ignore_ascii_case("datastoreType"));
    match kind.and_then(|(_, kind)| kind.as_str()) {
        None => true,
        Some("AzureBlob" | "AzureFile" | "AzureDataLakeGen2") => !properties.contains_key("accountName"),
        Some(_) => false,
    }
}

fn datastore(report: &mut Report, one: &Recorded, found: &Datastore, item: &Value) {
    let properties = &item["properties"];
    report.same(one, "name", Some(&*found.name), item["name"].as_str());
    report.same(one, "account", found.account_name.as_deref(), properties["accountName"].as_str());
    let word = properties["credentials"]["credentialsType"].as_str();
    let expected = match word.map(str::to_lowercase).as_deref() {
        Some("none") => DatastoreCredentials::None,
        Some("accountkey") => DatastoreCredentials::AccountKey,
        Some("sas") => DatastoreCredentials::Sas,
        Some("serviceprincipal" | "certificate") => DatastoreCredentials::Principal(word.unwrap().to_owned()),
        _ => DatastoreCredentials::Other(word.unwrap_or("not told").to_owned()),
    };
    report.same(one, "credentials", &found.credentials, &expected);
    let named = |(name, _): &(&String, &Value)| name.eq_ignore_ascii_case("datastoreType");
    let kind = properties.as_object().unwrap().iter().find(named);
    report.same(one, "type", Some(&*found.form.kind), kind.and_then(|(_, kind)| kind.as_str()));
    let space = ["containerName", "filesystem", "fileShareName", "storeName"];
    let space = space.iter().find_map(|name| properties[*name].as_str());
    report.same(one, "space", found.form.space.as_deref(), space);
    let keyless = matches!(word, Some("None" | "ServicePrincipal" | "Certificate"));
    report.same(one, "may need the key", found.credentials.may_need_key(), !keyless);
}

#[tokio::test(start_paused = true)]
async fn recorded_computes_mean_what_they_say() {
    let Some((exchanges, mut report)) = topic("computes") else { return };
    for one in exchanges.iter().flatten() {
        match one.status {
            400.. => errors::check(&mut report, one).await,
            _ if one.method == "DELETE" => report.unused("the client never deletes a compute"),
            _ => {
                let (id, whole) = list_of(one, "computes");
                report.parsed();
                let (client, asks) = answered_by(&whole);
                let found = client.computes(&id).await.unwrap().value;
                let items = whole.items().unwrap();
                report.same(one, "items", found.len(), items.len());
                for (found, item) in found.iter().zip(items) {
                    compute(&mut report, one, found, item);
                }
                let asked = asks.lock().unwrap()[0].url.clone();
                report.same(one, "address", asked, format!("{PUBLIC}{id}/computes?api-version=2025-09-01"));
            }
        }
    }
    report.finish(AtLeast { files: 58, parsed: 61, assertions: 427 });
}

fn compute(report: &mut Report, one: &Recorded, found: &Compute, item: &Value) {
    report.same(one, "name", Some(&*found.name), item["name"].as_str());
    let kind = item["properties"]["computeType"].as_str().unwrap_or("Unknown");
    report.same(one, "type", &*found.compute_type, kind);
    identity(report, one, &found.identity, &item["identity"]);
    report.same(
        one,
        "has an identity",
        found.identity.system.is_some(),
        folded(&item["identity"]["principalId"]).is_some(),
    );
}

/// The workspace, and the answer as a list of what lies below it.
fn list_of(one: &Recorded, part: &str) -> (WorkspaceId, Recorded) {
    let path = one.path();
    let at = path.rfind(&format!("/{part}")).unwrap();
    let id = WorkspaceId::parse(&path[..at]).unwrap();
    let whole = if one.items().is_some() {
        // The next page is another recording.
        let mut body = one.body.clone();
        body.as_object_mut().unwrap().remove("nextLink");
        one.with_body(body)
    } else {
        one.with_body(json!({"value": [one.body]}))
    };
    (id, Recorded { status: 200, ..whole })
}
