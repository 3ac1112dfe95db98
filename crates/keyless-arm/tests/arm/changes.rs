//! Who changed something, as the activity log tells it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyless_arm::api::{ReadArm, WriteArm, WriteKind};
use keyless_arm::error::ErrorClass;
use keyless_arm::secret::Secret;
use keyless_arm::token::{TokenError, TokenSource};
use keyless_core::id::{ArmId, StorageAccountId};
use keyless_core::observed::ChangesOf;
use serde_json::{Value, json};

use crate::fake::{SUBSCRIPTION, account_id, client, client_with, reply};

const OWN: &str = "0b1ec7a0-1f2e-4d3c-9b8a-7f6e5d4c3b02";
const OID: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";

fn of() -> ChangesOf {
    ChangesOf::Resource(ArmId::parse(&account_id()).unwrap())
}

fn event(second: u32, oid: &str, client_request_id: &str) -> Value {
    json!({
        "caller": oid, "claims": {OID: oid}, "eventName": {"value": "EndRequest"}, "status": {"value": "Succeeded"},
        "httpRequest": {"clientRequestId": client_request_id}, "resourceId": account_id(),
        "operationName": {"value": "Microsoft.Storage/storageAccounts/write"},
        "eventTimestamp": format!("2026-11-01T00:00:{second:02}Z"),
    })
}

fn span() -> (jiff::Timestamp, jiff::Timestamp) {
    ("2026-11-01T00:00:00Z".parse().unwrap(), "2026-11-01T01:00:00Z".parse().unwrap())
}

/// Hands out one token, a JWT that names its owner.
struct Named;

#[async_trait::async_trait]
impl TokenSource for Named {
    async fn token(&self) -> Result<Secret, TokenError> {
        Ok(Secret::new(format!("h.{}.s", URL_SAFE_NO_PAD.encode(json!({"oid": OWN}).to_string()))))
    }
    async fn renew(&self, _: &Secret) {}
}

#[tokio::test(start_paused = true)]
async fn own_writes_are_known_by_their_request_ids_and_by_the_tokens_owner() {
    let other = "5e7a1b2c-0000-4000-8000-00000000abcd";
    let answer = move |_: usize, asked: crate::fake::Asked| async move {
        if asked.method == "PATCH" {
            return reply(200, &[], json!({"id": account_id(), "location": "westeurope", "properties": {}}));
        }
        // The first id is the write's: reads are not remembered.
        let own = "00000000-0000-0000-0000-000000000001";
        reply(
            200,
            &[],
            json!({"value": [event(9, other, "x"), event(3, other, &own.to_uppercase()), event(5, OWN, "y")]}),
        )
    };
    let write = async |client: &keyless_arm::client::Client| {
        let permit = client.reserve_write(SUBSCRIPTION.parse().unwrap(), WriteKind::Account).await.unwrap();
        let account = StorageAccountId::parse(&account_id()).unwrap();
        client.set_shared_key_access(permit, &account, false).await.unwrap();
        let (from, to) = span();
        let changes = client.changes(&of(), from, to).await.unwrap().value;
        changes.iter().map(|change| change.own).collect::<Vec<_>>()
    };
    let (nameless, _) = client(answer);
    assert_eq!(write(&nameless).await, [true, false, false], "oldest first, and without a name the id alone tells");
    assert_eq!(nameless.own_identity().await, None);
    let (named, _) = client_with(answer, |options| options.tokens = std::sync::Arc::new(Named));
    assert_eq!(write(&named).await, [true, true, false]);
    assert_eq!(named.own_identity().await, Some(OWN.parse().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_read_and_what_is_no_write_is_passed_over() {
    let (client, asks) = client(|number, asked| async move {
        let mut begun = event(1, OWN, "x");
        begun["eventName"]["value"] = json!("BeginRequest");
        let items = if number == 1 { json!([]) } else { json!([begun, event(2, OWN, "x")]) };
        let next = (number == 1).then(|| format!("{}&%24skiptoken=2", asked.url));
        reply(200, &[], json!({"value": items, "nextLink": next}))
    });
    let (from, to) = span();
    assert_eq!(client.changes(&of(), from, to).await.unwrap().value.len(), 1);
    assert_eq!(asks.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_body_of_the_beginning_tells_what_the_end_came_to() {
    let (client, _) = client(|_, _| async {
        let (mut begun, mut ended) = (event(1, OWN, "x"), event(2, OWN, "x"));
        begun["eventName"]["value"] = json!("BeginRequest");
        begun["properties"] = json!({"requestbody": r#"{"properties":{"allowSharedKeyAccess":true}}"#});
        for event in [&mut begun, &mut ended] {
            event["correlationId"] = json!("c-1");
        }
        reply(200, &[], json!({"value": [ended, event(3, OWN, "y"), begun]}))
    });
    let (from, to) = span();
    let found = client.changes(&of(), from, to).await.unwrap().value;
    let asked: Vec<_> = found.iter().map(|change| change.body.as_ref().and_then(|body| body.shared_key)).collect();
    assert_eq!(asked, [Some(true), None]);
}

#[tokio::test(start_paused = true)]
async fn no_more_is_asked_for_than_the_log_keeps() {
    let (client, asks) = client(|_, _| async { reply(200, &[], json!({"value": []})) });
    let to = "2026-11-01T00:00:00Z".parse().unwrap();
    client.changes(&of(), "2020-01-01T00:00:00Z".parse().unwrap(), to).await.unwrap();
    let url = asks.lock().unwrap()[0].url.clone();
    assert!(url.contains("2026-08-04T00") && !url.contains("2020-"), "{url}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_a_refusal_that_names_it() {
    let (client, asks) = client(|_, _| async { crate::fake::error(403, "AuthorizationFailed") });
    let (from, to) = span();
    let error = client.changes(&of(), from, to).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    assert!(error.waits_for_person());
    assert!(error.lift.unwrap().contains("Microsoft.Insights/eventtypes/values/Read"));
    assert_eq!(asks.lock().unwrap().len(), 1);
}
