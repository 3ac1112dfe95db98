//! The one request to a data plane: where it goes, with what, and what its answers mean.

use std::time::Duration;

use keyless_arm::api::{Read, ReadArm};
use keyless_arm::client::Client;
use keyless_arm::cloud::Cloud;
use keyless_arm::error::{ArmError, ErrorClass};
use keyless_core::id::StorageAccountId;

use crate::fake::{account_id, client, client_with, reply, silence};

pub(crate) const ENDPOINT: &str = "https://stmlprod.blob.core.example/";
pub(crate) const LIST: &str =
    "<?xml version='1.0'?><EnumerationResults><Containers /><NextMarker /></EnumerationResults>";

async fn ask_at(client: &Client, endpoint: &str) -> Read<()> {
    client.data_probe(&StorageAccountId::parse(&account_id()).unwrap(), endpoint).await
}

fn error_body(code: &str, message: &str) -> String {
    format!("<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}\nRequestId:r\nTime:t</Message></Error>")
}

async fn refused(status: u16, body: String) -> ArmError {
    let (client, asks) = client(move |_, _| {
        let body = body.clone();
        async move { reply(status, &[], body) }
    });
    let error = ask_at(&client, ENDPOINT).await.unwrap_err();
    assert_eq!(asks.lock().unwrap().len(), 1, "asked once, whatever is answered");
    assert_eq!(error.status, Some(status));
    error
}

#[tokio::test(start_paused = true)]
async fn containers_are_listed_at_the_account_itself_with_a_token_for_data() {
    let (client, asks) = client(|_, _| async { reply(200, &[], LIST) });
    let answer = ask_at(&client, ENDPOINT).await.unwrap();
    assert_eq!(answer.at, "2026-11-01T12:00:00Z".parse().unwrap());
    let asked = asks.lock().unwrap().remove(0);
    assert_eq!(
        (asked.method.as_str(), asked.url.as_str()),
        ("GET", "https://stmlprod.blob.core.example/?comp=list&maxresults=1")
    );
    assert_eq!((asked.token.as_str(), asked.version.as_str()), ("Bearer data-token-1", "2019-12-12"));
    assert_eq!(asked.host, "stmlprod.blob.core.example");
    let counts: Vec<_> = client.counts().iter().map(|count| (count.operation, count.requests)).collect();
    assert_eq!(counts, [("probe data plane", 1)]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_not_the_accounts_own_gets_no_token_and_no_request() {
    let (client, asks) = client(|_, _| async { reply(200, &[], LIST) });
    for foreign in [
        "http://stmlprod.blob.core.example/",
        "https://other.blob.core.example/",
        "https://stmlprod.blob.core.example.evil.example/",
        "https://stmlprod.blob.core.windows.net/",
        "https://arm.example/",
        "http://127.0.0.1:1/",
    ] {
        let error = ask_at(&client, foreign).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Unreadable, "{foreign}: {error}");
        assert!(error.message.contains("no token is sent there"), "{error}");
    }
    assert!(asks.lock().unwrap().is_empty());

    let (silent, asks) = client_with(
        |_, _| async { reply(200, &[], LIST) },
        |options| {
            let cloud = Cloud::custom("https://arm.example", "https://login.example", "s", None);
            options.cloud = cloud.unwrap();
        },
    );
    let error = ask_at(&silent, ENDPOINT).await.unwrap_err();
    assert!(error.lift.unwrap().contains("`storageSuffix`"));
    assert!(asks.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_lifts_it() {
    let error = refused(403, error_body("AuthorizationPermissionMismatch", "not authorized")).await;
    assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Refused, Some("AuthorizationPermissionMismatch")));
    assert_eq!(error.message, "not authorized");
    assert!(error.waits_for_person());
    let lift = error.lift.unwrap();
    for word in ["Microsoft.Storage/storageAccounts/blobServices/containers/read", "Storage Blob Data Reader", "young"]
    {
        assert!(lift.contains(word), "{lift}");
    }
    let error = refused(403, error_body("AuthorizationFailure", "not authorized")).await;
    assert!(error.lift.unwrap().contains("network rules of stmlprod"));
}

#[tokio::test(start_paused = true)]
async fn nothing_but_a_list_of_containers_counts_as_an_answer() {
    for (status, body, class) in [
        (200, "<html>sign in</html>".to_owned(), ErrorClass::Unreadable),
        (200, String::new(), ErrorClass::Unreadable),
        (204, LIST.to_owned(), ErrorClass::Unreadable),
        (302, LIST.to_owned(), ErrorClass::Unreadable),
        (307, String::new(), ErrorClass::Unreadable),
        (404, error_body("ResourceNotFound", "no"), ErrorClass::Unreadable),
        (429, String::new(), ErrorClass::Throttled),
        (500, error_body("InternalError", "no"), ErrorClass::Transient),
        (503, error_body("ServerBusy", "no"), ErrorClass::Transient),
    ] {
        assert_eq!(refused(status, body).await.class, class, "{status}");
    }
    let (client, asks) = client(|_, _| silence());
    let error = ask_at(&client, ENDPOINT).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.lift.unwrap().contains("stmlprod.blob.core.example"));
    assert_eq!(asks.lock().unwrap().len(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_is_not_used_again() {
    let (client, asks) = client(|number, _| async move {
        if number == 1 {
            reply(401, &[("x-ms-error-code", "InvalidAuthenticationInfo")], "")
        } else {
            reply(200, &[], LIST)
        }
    });
    let error = ask_at(&client, ENDPOINT).await.unwrap_err();
    assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Authentication, Some("InvalidAuthenticationInfo")));
    ask_at(&client, ENDPOINT).await.unwrap();
    let tokens: Vec<String> = asks.lock().unwrap().iter().map(|asked| asked.token.clone()).collect();
    assert_eq!(tokens, ["Bearer data-token-1", "Bearer data-token-2"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_echoes_the_token_does_not_get_it_into_the_error() {
    let error = refused(403, error_body("Odd-data-token-1", "you sent data-token-1")).await;
    assert!(!format!("{error:?}").contains("data-token-1"), "{error:?}");
}
