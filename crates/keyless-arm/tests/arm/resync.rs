//! The one POST: a workspace takes the keys of its account anew, and says nothing but that it did.

use keyless_arm::api::{WriteArm, WriteKind, Written};
use keyless_arm::error::{ErrorClass, Landed, WriteError};
use keyless_core::id::WorkspaceId;
use serde_json::Value;

use crate::fake::{Answers, Asked, SUBSCRIPTION, client, reply, workspace_id};

const POLL: &str = "https://arm.example/poll?sig=opaque";

/// What comes of it when Azure answers with these, one after the other.
async fn resync(answers: Answers) -> (Result<Written, WriteError>, Vec<Asked>) {
    let (client, asks) = client(move |number, _| async move {
        let (status, headers, body) = answers[(number - 1).min(answers.len() - 1)];
        reply(status, headers, body)
    });
    let permit = client.reserve_write(SUBSCRIPTION.parse().unwrap(), WriteKind::Workspace).await.unwrap();
    let written = client.resync_keys(permit, &WorkspaceId::parse(&workspace_id()).unwrap()).await;
    let asks = asks.lock().unwrap().clone();
    (written.map(|answer| answer.value), asks)
}

#[tokio::test(start_paused = true)]
async fn it_is_a_post_without_a_body_below_the_workspace() {
    let (written, asks) = resync(&[(200, &[], "")]).await;
    assert_eq!(written.unwrap(), Written::Changed);
    let [asked] = asks.as_slice() else { panic!("{asks:?}") };
    assert_eq!((asked.method.as_str(), &asked.body), ("POST", &Value::Null));
    assert_eq!(asked.length, "0", "a request that could carry something says that it does not");
    let url = url::Url::parse(&asked.url).unwrap();
    assert_eq!(url.path(), format!("{}/resyncKeys", workspace_id()));
}

#[tokio::test(start_paused = true)]
async fn it_is_over_when_the_operation_is() {
    let (written, asks) = resync(&[
        (202, &[("location", POLL), ("retry-after", "10")], ""),
        (202, &[("location", POLL)], ""),
        (200, &[], ""),
    ])
    .await;
    assert_eq!(written.unwrap(), Written::Changed);
    assert_eq!(asks.iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(), ["POST", "GET", "GET"]);
    assert_eq!(asks[1].length, "");
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_fails_is_no_success_and_a_missing_right_is_a_persons() {
    let (written, _) = resync(&[
        (202, &[("location", POLL)], ""),
        (200, &[], r#"{"status":"Failed","error":{"code":"InternalServerError","message":"InternalServerError"}}"#),
    ])
    .await;
    let error = written.unwrap_err();
    assert_eq!(error.landed, Landed::Unknown, "{error:?}");

    let (written, asks) = resync(&[(403, &[], r#"{"error":{"code":"AuthorizationFailed","message":"no"}}"#)]).await;
    let WriteError { error, landed } = written.unwrap_err();
    assert_eq!((error.class, landed, asks.len()), (ErrorClass::Refused, Landed::No, 1));
    assert!(error.lift.as_deref().unwrap().contains("workspaces/resyncKeys/action"), "{error:?}");
}
