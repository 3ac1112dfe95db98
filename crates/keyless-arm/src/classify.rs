//! What an answer of Azure means: one function for every call and for the end of every operation, decided by status and
//! code, never by message text. Codes that say nothing by themselves give way to the codes inside them.
//!
//! Sources are the blocks of the table test below. Unknown codes fall back to their status.

use http::StatusCode;

use crate::envelope::Fault;
use crate::error::{ErrorClass, Landed, WRONG_TENANT};

/// What kind of request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// GET of one resource.
    Get,
    /// GET of a list.
    List,
    /// GET of the state of a long-running operation.
    Poll,
    /// PUT of a role assignment.
    Grant,
    /// DELETE of a role assignment.
    Revoke,
    /// PATCH.
    Patch,
    /// PUT of a whole resource that is there at once.
    Put,
    /// PUT of a whole resource that is not there.
    Create,
    /// POST of an action, which answers with nothing.
    Act,
}

impl Kind {
    pub(crate) fn is_write(self) -> bool {
        matches!(self, Self::Grant | Self::Revoke | Self::Patch | Self::Put | Self::Create | Self::Act)
    }
}

/// What to make of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It worked; long-running operations are judged by their body.
    Done,
    /// The one resource asked for does not exist.
    Absent,
    /// What was asked for was so already.
    AlreadySo,
    /// The token was refused: worth one new token.
    Unauthorized,
    /// It failed; for a write, whether it may still have had an effect.
    Failed(ErrorClass, Landed),
}

/// Judges one answer.
pub(crate) fn classify(kind: Kind, status: StatusCode, fault: &Fault) -> Verdict {
    use ErrorClass::{Bug, Propagating, Refused, Throttled, Transient, Unreadable};
    let outer = fault.code.as_deref().unwrap_or_default();
    let code = fault.telling().unwrap_or_default();
    let is = |known: &[&str]| is_one_of(known, code);
    let no = |class| Verdict::Failed(class, Landed::No);
    match status.as_u16() {
        204 if kind == Kind::Revoke => Verdict::AlreadySo,
        200 if kind == Kind::Grant => Verdict::AlreadySo,
        200..=299 => Verdict::Done,
        // Another token of the same identity is of the same tenant.
        401 if is(&[WRONG_TENANT]) => no(Refused),
        401 => Verdict::Unauthorized,
        404 if kind == Kind::Get && says_it_is_absent(outer, fault) => Verdict::Absent,
        404 if kind == Kind::Revoke && says_it_is_absent(outer, fault) => Verdict::AlreadySo,
        409 if kind == Kind::Grant && is(&["RoleAssignmentExists"]) => Verdict::AlreadySo,
        400 if is(&["PrincipalNotFound"]) => no(Propagating),
        400..=499 if is(TERMINAL) => no(Refused),
        400 | 404 if is(MALFORMED) => no(Bug),
        405 | 406 | 411 | 413..=415 => no(Bug),
        // A 404 without a code of ARM's comes from something between here and there.
        404 if outer.is_empty() && !kind.is_write() => no(Unreadable),
        409 | 412 => no(Transient),
        // "Busy" in the clothes of a throttle: the quota is not exhausted.
        429 if is(BUSY) => no(Transient),
        429 => no(Throttled),
        408 | 499 => Verdict::Failed(Transient, Landed::Unknown),
        400..=499 => no(Refused),
        // After 502, 503 or 504 a write may have happened (seen in recorded traffic).
        500..=599 => Verdict::Failed(Transient, Landed::Unknown),
        _ => Verdict::Failed(Unreadable, Landed::Unknown),
    }
}

/// Judges how an operation ended that Azure had accepted, whatever the status of the answer that told.
///
/// A refusal means the same there as anywhere; after everything else the write may have had a part of its effect.
pub(crate) fn classify_end(kind: Kind, fault: &Fault) -> (ErrorClass, Landed) {
    // Without a word on it the end counts as a conflict: known refusals are told apart, the rest may pass.
    let status = fault.status().unwrap_or(StatusCode::CONFLICT);
    match classify(kind, status, fault) {
        Verdict::Failed(ErrorClass::Refused, _) => (ErrorClass::Refused, Landed::No),
        Verdict::Failed(class, _) => (class, Landed::Unknown),
        Verdict::Unauthorized => (ErrorClass::Authentication, Landed::Unknown),
        Verdict::Done | Verdict::Absent | Verdict::AlreadySo => (ErrorClass::Transient, Landed::Unknown),
    }
}

/// Whether a 429 says that quota is used up, not just that something is busy.
pub(crate) fn exhausts_quota(status: StatusCode, code: Option<&str>) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS && !code.is_some_and(|code| is_one_of(BUSY, code))
}

/// Whether the answer says that this version of the interface is not known. [`MALFORMED`] codes can mean other mistakes
/// too, so one that is about more than versions must name the version.
pub(crate) fn knows_no_version(status: StatusCode, fault: &Fault, version: &str) -> bool {
    let code = fault.telling().unwrap_or_default();
    match status.as_u16() {
        400 if is_one_of(&["InvalidApiVersionParameter", "NoRegisteredProviderFound"], code) => true,
        400 | 404 => is_one_of(&["InvalidResourceType"], code) && fault.message.contains(version),
        _ => false,
    }
}

fn is_one_of(known: &[&str], code: &str) -> bool {
    known.iter().any(|name| name.eq_ignore_ascii_case(code))
}

/// Whether a 404 speaks of the resource itself. A subscription that "is not found" is usually one that the caller may not
/// see: unknown, not absent. Inside a wrapper only the words for what was asked for count, since something else that the
/// resource needs may be what is missing.
fn says_it_is_absent(outer: &str, fault: &Fault) -> bool {
    let folded = outer.to_ascii_lowercase();
    let named = (folded.ends_with("notfound") || folded.ends_with("doesnotexist"))
        && !folded.starts_with("subscription")
        && !folded.starts_with("tenant")
        && !folded.starts_with("operation");
    let wrapped = is_one_of(&["UserError"], outer)
        && fault.nested.iter().any(|code| is_one_of(&["WorkspaceNotFound", "ResourceNotFound"], code));
    named || wrapped
}

const MALFORMED: &[&str] = &[
    "MissingApiVersionParameter",
    "InvalidApiVersionParameter",
    "NoRegisteredProviderFound",
    "InvalidResourceType",
    "InvalidResourceNamespace",
    "InvalidRequestContent",
    "InvalidRequestFormat",
    "InvalidRoleAssignmentId",
    "InvalidHttpVerb",
    "MissingOrIncorrectVersionHeader",
    "MissingOrInvalidRequiredQueryParameter",
    "InvalidFilter",
    "InvalidQuery",
];

/// What stays refused until a person acts, whatever the status says.
const TERMINAL: &[&str] = &[
    "ScopeLocked",
    "RequestDisallowedByPolicy",
    "AuthorizationFailed",
    "LinkedAuthorizationFailed",
    "DenyAssignmentAuthorizationFailed",
    "MissingSubscriptionRegistration",
    "ReadOnlyDisabledSubscription",
    "SubscriptionDisabled",
    "OperationNotAllowed",
    "PropertyChangeNotAllowed",
    "RoleAssignmentExists",
    "RoleAssignmentUpdateNotPermitted",
    "RoleAssignmentLimitExceeded",
    "QuotaExceeded",
];

const BUSY: &[&str] = &["RetryableError", "RetryableErrorDueToAnotherOperation", "AnotherOperationInProgress"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope;
    use ErrorClass::*;
    use Kind::*;
    use Verdict::{Absent, AlreadySo, Done, Failed, Unauthorized};

    const NO: fn(ErrorClass) -> Verdict = |class| Failed(class, Landed::No);
    const UNKNOWN: fn(ErrorClass) -> Verdict = |class| Failed(class, Landed::Unknown);

    fn coded(code: &str) -> Fault {
        Fault { code: (!code.is_empty()).then(|| code.to_owned()), ..Fault::default() }
    }

    fn check(source: &str, rows: &[(Kind, u16, &str, Verdict)]) {
        for (kind, status, code, expected) in rows {
            let found = classify(*kind, StatusCode::from_u16(*status).unwrap(), &coded(code));
            assert_eq!(found, *expected, "{source}: {kind:?} {status} {code:?}");
        }
    }

    /// Each block is one public source, each row one of its lines; where a line has no code of its own the row says what it
    /// is about.
    #[test]
    #[rustfmt::skip]
    fn every_documented_answer_has_its_meaning() {
        check("field reports on telling refusals apart: azure-sdk-for-python issue 39813", &[
            (Patch, 403, "KeyBasedAuthenticationNotPermitted", NO(Refused)),
            (Get, 403, "AuthorizationPermissionMismatch", NO(Refused)),
            (Get, 403, "AuthorizationFailure", NO(Refused)),
            (Get, 403, "", NO(Refused)), // "not authorized to perform this operation"
            (Patch, 403, "RequestDisallowedByPolicy", NO(Refused)),
            (Patch, 409, "ScopeLocked", NO(Refused)),
            (Grant, 409, "RoleAssignmentExists", AlreadySo),
            (Grant, 400, "RoleAssignmentUpdateNotPermitted", NO(Refused)),
            (Grant, 400, "PrincipalNotFound", NO(Propagating)),
            (Poll, 200, "", Done), // an operation whose body says Failed: `classify_end`
            (Get, 429, "", NO(Throttled)),
            (Patch, 429, "TooManyRequests", NO(Throttled)),
        ]);
        check("requests and responses of the resource manager", &[
            (Get, 400, "MissingApiVersionParameter", NO(Bug)),
            (Get, 400, "InvalidApiVersionParameter", NO(Bug)),
            (Get, 400, "NoRegisteredProviderFound", NO(Bug)),
            (Get, 404, "InvalidResourceType", NO(Bug)),
            (Get, 401, "AuthenticationFailed", Unauthorized),
            (Get, 401, "InvalidAuthenticationToken", Unauthorized),
            (Patch, 401, "ExpiredAuthenticationToken", Unauthorized),
            (Get, 401, "", Unauthorized),
            (Get, 404, "ResourceNotFound", Absent),
            (Get, 404, "ResourceGroupNotFound", Absent),
            (Get, 404, "SubscriptionNotFound", NO(Refused)),
            (Get, 404, "TenantNotFound", NO(Refused)),
            (Get, 404, "OperationNotFound", NO(Refused)),
            (List, 404, "ResourceNotFound", NO(Refused)),
            (Patch, 404, "ResourceNotFound", NO(Refused)),
            (Get, 404, "", NO(Unreadable)), // no envelope
            (Patch, 404, "", NO(Refused)),
        ]);
        check("long-running operations: azure-docs async-operations.md", &[
            (Patch, 200, "", Done),
            (Patch, 201, "", Done),
            (Patch, 202, "", Done),
            (Poll, 200, "", Done), // a status document; its word decides
            (Poll, 202, "", Done),
            (Poll, 204, "", Done),
            (Grant, 201, "", Done),
            (Grant, 200, "", AlreadySo),
            (Revoke, 200, "", Done),
            (Revoke, 204, "", AlreadySo),
            (Poll, 404, "OperationResultNotFound", NO(Refused)),
        ]);
        check("throttling: request-limits-and-throttling", &[
            (Get, 429, "TooManyRequests", NO(Throttled)),
            (Get, 429, "SubscriptionRequestsThrottled", NO(Throttled)),
            (Grant, 429, "", NO(Throttled)),
            (Get, 429, "RetryableErrorDueToAnotherOperation", NO(Transient)),
            (Patch, 429, "RetryableError", NO(Transient)),
        ]);
        // No interface used here has ETags, so a failed precondition is somebody else's business in between.
        check("a token of another tenant: azure-sdk-for-net issue 49391, LogicAppsUX issue 9068", &[
            (Get, 401, "InvalidAuthenticationTokenTenant", NO(Refused)),
            (Grant, 401, "invalidAuthenticationTokenTenant", NO(Refused)),
            (Get, 401, "InvalidAuthenticationToken", Unauthorized),
        ]);
        check("concurrency", &[(Patch, 412, "PreconditionFailed", NO(Transient))]);
        check("locks: lock-resources.md; one row for each operation that a lock blocks", &[
            (Patch, 409, "ScopeLocked", NO(Refused)), // account and workspace
            (Grant, 409, "ScopeLocked", NO(Refused)),
            (Revoke, 409, "ScopeLocked", NO(Refused)),
            (Get, 200, "", Done), // no lock blocks a GET
        ]);
        check("policy: enforcement of effect deny; effect modify answers 200 and is found by reading back", &[
            (Patch, 403, "RequestDisallowedByPolicy", NO(Refused)),
            (Grant, 403, "RequestDisallowedByPolicy", NO(Refused)),
            (Patch, 400, "RequestDisallowedByPolicy", NO(Refused)), // through a deployment
            (Patch, 200, "", Done),
        ]);
        check("role assignments: role-based-access-control/troubleshooting.md", &[
            (Grant, 409, "RoleAssignmentExists", AlreadySo),
            (Patch, 409, "RoleAssignmentExists", NO(Refused)),
            (Grant, 400, "PrincipalNotFound", NO(Propagating)),
            (Grant, 400, "RoleAssignmentUpdateNotPermitted", NO(Refused)),
            (Grant, 409, "HashConflictOnDifferentRoleAssignmentIds", NO(Transient)),
            (Grant, 400, "RoleAssignmentLimitExceeded", NO(Refused)),
            (Grant, 409, "RoleAssignmentLimitExceeded", NO(Refused)), // its status is not documented
            (Grant, 400, "UnmatchedPrincipalType", NO(Refused)),
            (Grant, 400, "InvalidRoleAssignmentId", NO(Bug)),
            (Grant, 400, "InvalidPrincipalId", NO(Refused)),
            (Grant, 400, "RoleDefinitionDoesNotExist", NO(Refused)),
            (Grant, 404, "RoleDefinitionDoesNotExist", NO(Refused)),
            (Get, 404, "RoleDefinitionDoesNotExist", Absent),
            (Grant, 403, "AuthorizationFailed", NO(Refused)), // a right or a condition
            (Grant, 403, "LinkedAuthorizationFailed", NO(Refused)),
            (Grant, 403, "DenyAssignmentAuthorizationFailed", NO(Refused)),
            (Revoke, 403, "DenyAssignmentAuthorizationFailed", NO(Refused)),
            (Grant, 403, "RequestDisallowedByPolicy", NO(Refused)),
            (Grant, 409, "ScopeLocked", NO(Refused)),
            (Revoke, 404, "RoleAssignmentNotFound", AlreadySo),
            (Get, 404, "RoleAssignmentNotFound", Absent),
            (Revoke, 404, "SubscriptionNotFound", NO(Refused)),
        ]);
        check("the storage provider: common error codes", &[
            (Patch, 400, "InvalidHttpVerb", NO(Bug)),
            (Patch, 400, "MissingOrIncorrectVersionHeader", NO(Bug)),
            (Patch, 400, "MissingOrInvalidRequiredQueryParameter", NO(Bug)),
            (Patch, 400, "StorageAccountNameNotValid", NO(Refused)),
            (Patch, 403, "AuthenticationFailed", NO(Refused)),
            (Patch, 403, "SubscriptionDisabled", NO(Refused)),
            (Patch, 403, "AuthorizationFailed", NO(Refused)),
            (Get, 404, "SubscriptionStateForbidden", NO(Refused)),
            (Patch, 409, "StorageAccountOperationInProgress", NO(Transient)),
            (Patch, 409, "StorageAccountBeingCreated", NO(Transient)),
            (Patch, 409, "StorageAccountIsNotProvisioned", NO(Transient)),
            (Patch, 429, "TooManyRequests", NO(Throttled)),
            (Get, 500, "InternalError", UNKNOWN(Transient)),
            (Patch, 500, "OperationTimedOut", UNKNOWN(Transient)),
            (Patch, 503, "ServerBusy", UNKNOWN(Transient)),
        ]);
        check("workspaces: azure-cli issue 17075, terraform-provider-azurerm issue 22150", &[
            (Patch, 409, "Conflict", NO(Transient)),
            (Patch, 409, "AnotherOperationInProgress", NO(Transient)),
            (Patch, 500, "InternalServerError", UNKNOWN(Transient)),
            (Patch, 400, "UserError", NO(Refused)),
        ]);
        check("datastores: azure-rest-api-specs `Datastore/createOrUpdate.json`", &[
            (Put, 200, "", Done),
            (Put, 201, "", Done),
            (Put, 400, "ValidationError", NO(Refused)),
            (Put, 404, "WorkspaceNotFound", NO(Refused)),
            (Put, 409, "ScopeLocked", NO(Refused)),
            (Put, 500, "ServiceError", UNKNOWN(Transient)),
        ]);
        check("requests that are wrong in themselves: RFC 9110, section 15.5", &[
            (Patch, 405, "", NO(Bug)),
            (Get, 406, "", NO(Bug)),
            (Act, 411, "", NO(Bug)),
            (Put, 413, "", NO(Bug)),
            (Get, 414, "", NO(Bug)),
            (Create, 415, "", NO(Bug)),
        ]);
        check("recorded traffic beside the business as usual", &[
            (Patch, 502, "BadGatewayConnection", UNKNOWN(Transient)),
            (Patch, 503, "ServerTimeout", UNKNOWN(Transient)),
            (Patch, 504, "GatewayTimeout", UNKNOWN(Transient)),
            (Get, 302, "", UNKNOWN(Unreadable)),
            (Patch, 302, "", UNKNOWN(Unreadable)),
            (Patch, 408, "", UNKNOWN(Transient)),
            (Patch, 499, "", UNKNOWN(Transient)),
            (Get, 410, "", NO(Refused)),
            (Get, 418, "", NO(Refused)),
            (Patch, 400, "400016", NO(Refused)),
            (Patch, 409, "MissingSubscriptionRegistration", NO(Refused)),
        ]);
    }

    #[test]
    fn the_body_decides_where_the_outer_code_says_nothing() {
        for (kind, status, body, expected) in [
            (
                Patch,
                400,
                r#"{"error":{"code":"InvalidTemplateDeployment","details":[{"code":"RequestDisallowedByPolicy"}]}}"#,
                NO(Refused),
            ),
            (Patch, 409, r#"{"error":{"code":"Conflict","details":[{"code":"ScopeLocked"}]}}"#, NO(Refused)),
            (Grant, 409, r#"{"error":{"code":"Conflict","innererror":{"code":"RoleAssignmentExists"}}}"#, AlreadySo),
            (
                Grant,
                400,
                r#"{"error":{"code":"UserError","innerError":{"code":"BadRequest","innerError":{"code":"PrincipalNotFound"}}}}"#,
                NO(Propagating),
            ),
            (
                Get,
                404,
                r#"{"error":{"code":"UserError","innerError":{"code":"NotFound","innerError":{"code":"WorkspaceNotFound"}}}}"#,
                Absent,
            ),
            // What is missing may be something that the workspace needs.
            (
                Get,
                404,
                r#"{"error":{"code":"UserError","innerError":{"code":"NotFound","innerError":{"code":"KeyVaultNotFound"}}}}"#,
                NO(Refused),
            ),
            // A code that says something is not outvoted by what is inside.
            (
                Patch,
                409,
                r#"{"error":{"code":"StorageAccountBeingCreated","details":[{"code":"ScopeLocked"}]}}"#,
                NO(Transient),
            ),
            (Patch, 429, r#"{"error":{"code":"429","details":[{"code":"RetryableError"}]}}"#, NO(Transient)),
        ] {
            let fault = envelope::read(body.as_bytes());
            assert_eq!(classify(kind, StatusCode::from_u16(status).unwrap(), &fault), expected, "{body}");
        }
    }

    #[test]
    fn the_end_of_an_operation_is_judged_by_its_body_alone() {
        for (error, class, landed) in [
            (r#"{"code":"InternalServerError","message":"InternalServerError"}"#, Transient, Landed::Unknown),
            (r#"{"code":"RequestDisallowedByPolicy"}"#, Refused, Landed::No),
            (r#"{"code":"ScopeLocked"}"#, Refused, Landed::No),
            (r#"{"code":"UserError","innerError":{"code":"AuthorizationFailed"}}"#, Refused, Landed::No),
            (r#"{"code":"Forbidden"}"#, Refused, Landed::No),
            (r#"{"code":403}"#, Refused, Landed::No),
            (r#"{"code":"429"}"#, Throttled, Landed::Unknown),
            (r#"{"code":"500 InternalServerError"}"#, Transient, Landed::Unknown),
            (r#"{"code":"Unauthorized"}"#, Authentication, Landed::Unknown),
            (r#"{"code":"StorageAccountOperationInProgress"}"#, Transient, Landed::Unknown),
            (r#"{"code":"SomethingNew"}"#, Transient, Landed::Unknown),
            ("{}", Transient, Landed::Unknown),
        ] {
            let fault = envelope::read(format!(r#"{{"status":"Failed","error":{error}}}"#).as_bytes());
            assert_eq!(classify_end(Patch, &fault), (class, landed), "{error}");
        }
    }

    #[test]
    fn only_a_word_on_the_version_counts_as_one() {
        let said = |status: u16, code: &str, message: &str| {
            let fault = Fault { message: message.to_owned(), ..coded(code) };
            knows_no_version(StatusCode::from_u16(status).unwrap(), &fault, "2025-09-01")
        };
        assert!(said(400, "NoRegisteredProviderFound", "for API version '2025-09-01'"));
        assert!(said(400, "InvalidApiVersionParameter", "The api-version '2025-09-01' is invalid"));
        assert!(said(404, "InvalidResourceType", "not found in the namespace 'x' for api version '2025-09-01'"));
        assert!(!said(404, "InvalidResourceType", "could not be found in the namespace"));
        assert!(!said(404, "ResourceNotFound", "2025-09-01"));
        assert!(!said(400, "MissingApiVersionParameter", "2025-09-01"));
        assert!(!said(403, "NoRegisteredProviderFound", "2025-09-01"));
        assert!(!said(500, "InternalServerError", "2025-09-01"));
    }

    #[test]
    fn no_status_panics_and_no_failed_write_with_a_5xx_counts_as_not_landed() {
        for status in 100..=999 {
            for kind in [Get, List, Poll, Grant, Revoke, Patch, Put] {
                for code in ["Weird", "ScopeLocked", "RoleAssignmentExists", "PrincipalNotFound"] {
                    let verdict = classify(kind, StatusCode::from_u16(status).unwrap(), &coded(code));
                    if status >= 500 {
                        assert!(matches!(verdict, Failed(_, Landed::Unknown)), "{kind:?} {status}");
                    }
                }
            }
        }
    }

    #[test]
    fn codes_are_compared_without_case() {
        assert_eq!(classify(Grant, StatusCode::CONFLICT, &coded("roleassignmentexists")), AlreadySo);
        assert!(!exhausts_quota(StatusCode::TOO_MANY_REQUESTS, Some("retryableerror")));
        assert!(exhausts_quota(StatusCode::TOO_MANY_REQUESTS, None));
        assert!(!exhausts_quota(StatusCode::SERVICE_UNAVAILABLE, None), "only a throttle speaks of quotas");
    }
}
