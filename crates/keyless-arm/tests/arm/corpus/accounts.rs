//! Storage accounts.

use keyless_arm::api::{ReadArm, WriteArm, WriteKind, Written};
use keyless_core::id::StorageAccountId;
use keyless_core::observed::SharedKeyAccess;
use serde_json::{Value, json};

use super::errors;
use super::walk::{AtLeast, PUBLIC, Recorded, Report, answered_by, topic};

#[tokio::test(start_paused = true)]
async fn recorded_storage_accounts_mean_what_they_say() {
    let Some((exchanges, mut report)) = topic("storage-accounts") else { return };
    let mut flags = [0_usize; 4];
    for one in exchanges.iter().flatten() {
        match (one.method.as_str(), one.status) {
            ("GET", 200) if one.items().is_some() => {
                report.parsed();
                // The client never lists accounts; each item stands for the answer to a GET.
                for item in one.items().unwrap() {
                    read(&mut report, &one.with_body(item.clone()), &mut flags).await;
                }
            }
            ("GET" | "PUT", 200) => {
                report.parsed();
                read(&mut report, one, &mut flags).await;
            }
            ("PATCH", 200) => {
                report.parsed();
                read(&mut report, one, &mut flags).await;
                for allowed in [false, true] {
                    patch(&mut report, one, allowed).await;
                }
            }
            (_, 400..) => errors::check(&mut report, one).await,
            ("PUT", 202) => report.unused("the client never makes an account; the operation is in `lro`"),
            ("DELETE", _) => report.unused("the client never deletes an account"),
            _ => {}
        }
    }
    let [absent, null, allowed, disallowed] = flags;
    assert_eq!(null, 0, "no recorded answer says null; now one does, which ODDITIES should tell");
    assert!(absent > 400 && allowed >= 30 && disallowed >= 4, "{flags:?}");
    report.finish(AtLeast { files: 127, parsed: 112, assertions: 2750 });
}

async fn read(report: &mut Report, one: &Recorded, flags: &mut [usize; 4]) {
    // Ids in old examples end in a slash or name the account in capitals; the client asks by the id it was given.
    let Ok(id) = one.body["id"].as_str().unwrap_or_default().parse::<StorageAccountId>() else {
        report.same(one, "the id of an account", one.body["id"].as_str(), None);
        return;
    };
    let (client, asks) = answered_by(one);
    let found = client.account(&id).await.unwrap().value.unwrap();
    report.same(one, "id", found.id.as_str(), id.as_str());
    report.same(one, "location", Some(&*found.location), one.body["location"].as_str());
    let properties = &one.body["properties"];
    let (expected, place) = match properties.get("allowSharedKeyAccess") {
        None => (SharedKeyAccess::Absent, 0),
        Some(Value::Null) => (SharedKeyAccess::Null, 1),
        Some(Value::Bool(true)) => (SharedKeyAccess::Allowed, 2),
        Some(Value::Bool(false)) => (SharedKeyAccess::Disallowed, 3),
        Some(other) => panic!("{}: {other}", one.file),
    };
    flags[place] += 1;
    report.same(one, "flag", found.shared_key, expected);
    report.same(one, "key on", found.shared_key.is_on(), properties["allowSharedKeyAccess"].as_bool() != Some(false));
    let asked = asks.lock().unwrap()[0].url.clone();
    report.same(one, "address", asked, format!("{PUBLIC}{id}?api-version=2025-08-01"));
}

/// The recorded answers to a PATCH stand for the answer to the client's own, in both directions.
async fn patch(report: &mut Report, one: &Recorded, allowed: bool) {
    let id = StorageAccountId::parse(&one.path()).unwrap();
    let (client, asks) = answered_by(one);
    let permit = client.reserve_write(id.subscription(), WriteKind::Account).await.unwrap();
    let written = client.set_shared_key_access(permit, &id, allowed).await.unwrap();
    report.same(one, "outcome", written.value, Written::Changed);
    let asks = asks.lock().unwrap();
    report.same(one, "requests", asks.len(), 1);
    report.same(one, "method", &*asks[0].method, "PATCH");
    report.same(one, "address", &*asks[0].url, &format!("{PUBLIC}{}?api-version=2025-08-01", one.path()));
    report.same(one, "body", &asks[0].body, &json!({"properties": {"allowSharedKeyAccess": allowed}}));
}
