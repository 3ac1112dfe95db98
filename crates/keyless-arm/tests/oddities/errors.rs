//! Errors and throttling.

use std::time::Duration;

use keyless_arm::api::ReadArm;
use keyless_arm::error::{ErrorClass, Landed};
use serde_json::json;
use tokio::time::Instant;

use crate::fake::GUID;
use crate::with::{account, account_body, always, class_and_code, failure, grant, in_turn, set_key, set_mode};

#[tokio::test(start_paused = true)]
async fn every_envelope_gives_its_code() {
    for body in [
        json!({"error": {"code": "Odd", "message": "m", "details": null, "target": "t", "additionalInfo": []}}),
        json!({"error": {"code": "Odd", "message": "m", "innerError": {"code": "Inner"}}}),
        json!({"error": {"code": "Odd", "message": "m", "innererror": {"code": "Inner"}}}),
        json!({"code": "Odd", "message": "m"}),
        json!({"Code": "Odd", "Message": "m", "Target": null, "Details": [{"Code": "Inner"}], "Innererror": null}),
        json!({"Error": {"Code": "Odd", "Message": "m"}}),
        json!({"code": "Odd", "httpStatusCode": 400, "message": "m"}),
        json!({"status": "Failed", "error": {"code": "Odd", "message": "m"}}),
    ] {
        let error = failure(400, &[], &body).await;
        assert_eq!(class_and_code(&error), (ErrorClass::Refused, Some("Odd")), "{body}");
        assert_eq!(error.message, "m", "{body}");
    }
    let error = failure(400, &[], json!({"Message": "only this"})).await;
    assert_eq!((error.code, &*error.message), (None, "only this"));
}

#[tokio::test(start_paused = true)]
async fn a_code_may_be_a_number_a_status_or_null() {
    for (code, expected) in [
        (json!(400_016), Some("400016")),
        (json!("429"), Some("429")),
        (json!("500 InternalServerError"), Some("500 InternalServerError")),
        (json!(null), None),
        (json!(""), None),
    ] {
        let error = failure(400, &[], json!({"error": {"code": code, "message": "m"}})).await;
        assert_eq!(
            class_and_code(&error),
            (ErrorClass::Refused, expected),
            "the status decides, not the number in the code"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_machine_learning_gives_one_of_its_codes() {
    let body = json!({"error": {
        "code": "UserError", "message": "The request is invalid.", "messageFormat": null, "details": [],
        "innerError": {"code": "BadArgument", "innerError": {"code": "ArgumentInvalid"}},
        "correlation": {"operation": "0123", "request": "4567"}, "environment": "westeurope", "location": "westeurope",
        "time": "2026-02-03T09:14:07.4420133+00:00", "componentName": "workspaces", "statusCode": 400
    }});
    let failed = set_mode(&always(400, &[], body).0).await.unwrap_err();
    let code = failed.error.code.as_deref().unwrap();
    assert!(["UserError", "BadArgument", "ArgumentInvalid"].contains(&code), "{code}");
    assert_eq!((failed.error.class, failed.landed), (ErrorClass::Refused, Landed::No));
}

#[tokio::test(start_paused = true)]
async fn a_page_of_html_and_an_empty_body_are_judged_by_their_status() {
    let html = "<!DOCTYPE HTML><html><body><h2>Service Unavailable</h2></body></html>";
    let error = failure(503, &[("content-type", "text/html; charset=us-ascii")], html).await;
    assert_eq!((error.class, &*error.message), (ErrorClass::Transient, "an HTML or XML page"));
    for (status, class) in [(400, ErrorClass::Refused), (404, ErrorClass::Unreadable), (503, ErrorClass::Transient)] {
        let error = failure(status, &[], "").await;
        assert_eq!(class_and_code(&error), (class, None), "an empty 404 is not Azure's word that nothing is there");
        assert!(error.message.contains(&status.to_string()));
    }
    let failed = set_key(&always(503, &[], html).0, false).await.unwrap_err();
    assert_eq!(failed.landed, Landed::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_no_parser_takes_keeps_its_text() {
    let json_type = [("content-type", "application/json; charset=utf-8")];
    let error = failure(400, &json_type, "Invalid export rule name").await;
    assert_eq!((error.class, &*error.message), (ErrorClass::Refused, "Invalid export rule name"));
    let error = failure(409, &json_type, r#"{"error":{"code":"Unauthorized","message":"repository \'x\'"}}"#).await;
    assert_eq!(class_and_code(&error), (ErrorClass::Transient, None));
    assert!(error.message.contains("repository"));
    let error = failure(200, &json_type, r#"{"id":"\'"}"#).await;
    assert_eq!(error.class, ErrorClass::Unreadable, "a success in that form is not read at all");
}

#[tokio::test(start_paused = true)]
async fn busy_in_the_clothes_of_a_throttle_passes_soon() {
    let body = json!({"error": {"code": "RetryableError", "message": "A retryable error occurred.",
                                "details": [{"code": "ReferencedResourceNotProvisioned", "message": "x"}]}});
    let start = Instant::now();
    let (client, asks) =
        in_turn(vec![(429, vec![], body.to_string()), (200, vec![], account_body(json!({})).to_string())]);
    client.account(&account()).await.unwrap();
    assert_eq!(asks.lock().unwrap().len(), 2);
    assert!(start.elapsed() < Duration::from_secs(1), "no quota is used up");
    // The hint in the text is not read: meaning goes by status and code.
    let body =
        json!({"Code": "429", "Message": "Cannot acquire exclusive lock. Please try again after '372' seconds."});
    let error = failure(429, &[], body).await;
    assert_eq!((error.class, error.retry_after), (ErrorClass::Throttled, None));
}

#[tokio::test(start_paused = true)]
async fn a_throttle_of_the_storage_provider_is_waited_out() {
    let body = json!({"error": {"code": "TooManyRequests", "message": "limit for Read_ObservationWindow_00:05:00"}});
    let start = Instant::now();
    let (client, _) = in_turn(vec![
        (429, vec![("retry-after", "36")], body.to_string()),
        (200, vec![], account_body(json!({})).to_string()),
    ]);
    client.account(&account()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(36));
}

#[tokio::test(start_paused = true)]
async fn who_refused_may_be_told_or_not() {
    for headers in [
        vec![("retry-after", "36"), ("x-ms-failure-cause", "gateway")],
        vec![("retry-after", "36"), ("x-ms-failure-cause", "service"), ("x-ms-throttle-levels", "a;b")],
        vec![("retry-after", "36")],
    ] {
        let error = failure(429, &headers, json!({"error": {"code": "TooManyRequests"}})).await;
        assert_eq!(
            (error.class, error.retry_after),
            (ErrorClass::Throttled, Some(Duration::from_secs(36))),
            "{headers:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_remains_is_read_in_both_generations_and_a_repeated_header_is_none() {
    for headers in [
        vec![
            ("x-ms-ratelimit-remaining-subscription-reads", "249"),
            ("x-ms-ratelimit-remaining-subscription-global-reads", "3749"),
        ],
        vec![("x-ms-ratelimit-remaining-subscription-reads", "11999")],
        vec![
            ("x-ms-original-request-ids", ""),
            ("x-ms-original-request-ids", ""),
            ("x-ms-ratelimit-remaining-subscription-reads", "many"),
        ],
    ] {
        let (client, _) = always(200, &headers, account_body(json!({})));
        let start = Instant::now();
        for _ in 0..100 {
            client.account(&account()).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "{headers:?} leaves room for a hundred reads");
    }
}

#[tokio::test(start_paused = true)]
async fn a_policys_refusal_is_told_with_the_policies_in_its_text() {
    let message = r#"Resource 'stmlprod' was disallowed by policy. Policy identifiers: '[{"policyAssignment":{"name":"no-keys"}}]'."#;
    let body = json!({"error": {"code": "RequestDisallowedByPolicy", "target": "stmlprod", "message": message}});
    let failed = set_key(&always(403, &[], body).0, true).await.unwrap_err();
    assert_eq!(class_and_code(&failed.error), (ErrorClass::Refused, Some("RequestDisallowedByPolicy")));
    assert_eq!((failed.landed, &*failed.error.message), (Landed::No, message));
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_a_refusal_whoever_is_named_and_whatever_it_is_about() {
    for (code, client) in [
        ("AuthorizationFailed", "ops@contoso.example"),
        ("AuthorizationFailed", GUID),
        ("LinkedAuthorizationFailed", GUID),
    ] {
        let message = format!("The client '{client}' with object id '{GUID}' does not have authorization");
        let failed =
            grant(&always(403, &[], json!({"error": {"code": code, "message": message}})).0).await.unwrap_err();
        assert_eq!(class_and_code(&failed.error), (ErrorClass::Refused, Some(code)));
        assert_eq!(failed.landed, Landed::No);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_gateway_lost_may_have_happened() {
    for (status, code) in [(502, "BadGatewayConnection"), (503, "ServerTimeout"), (504, "GatewayTimeout")] {
        let (client, asks) = always(status, &[], json!({"error": {"code": code, "message": "x"}}));
        for failed in [grant(&client).await.unwrap_err(), set_key(&client, false).await.unwrap_err()] {
            assert_eq!(class_and_code(&failed.error), (ErrorClass::Transient, Some(code)));
            assert_eq!(failed.landed, Landed::Unknown);
        }
        assert_eq!(asks.lock().unwrap().len(), 2, "and is not sent again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_error_hidden_in_a_500_stays_a_fault_of_the_server() {
    let body =
        json!({"error": {"code": "InternalServerError", "message": "Response status code 412 (PreconditionFailed)"}});
    let failed = set_mode(&always(500, &[], body).0).await.unwrap_err();
    assert_eq!((failed.error.class, failed.landed), (ErrorClass::Transient, Landed::Unknown));
}
