//! What an answer of Azure means: one function for every call, decided by status and code, never by message text.
//!
//! Sources are the rows of the table test below. Unknown codes fall back to their status.

use http::StatusCode;

use crate::error::{ErrorClass, Landed};

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
    /// POST.
    Action,
}

impl Kind {
    pub(crate) fn is_write(self) -> bool {
        matches!(self, Self::Grant | Self::Revoke | Self::Patch | Self::Action)
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
pub(crate) fn classify(kind: Kind, status: StatusCode, code: Option<&str>) -> Verdict {
    use ErrorClass::{Bug, Propagating, Refused, Throttled, Transient, Unreadable};
    let code = code.unwrap_or_default();
    let is = |known: &[&str]| known.iter().any(|name| name.eq_ignore_ascii_case(code));
    let no = |class| Verdict::Failed(class, Landed::No);
    match status.as_u16() {
        204 if kind == Kind::Revoke => Verdict::AlreadySo,
        200 if kind == Kind::Grant => Verdict::AlreadySo,
        200..=299 => Verdict::Done,
        401 => Verdict::Unauthorized,
        404 if kind == Kind::Get && names_a_missing_resource(code) => Verdict::Absent,
        404 if kind == Kind::Revoke && names_a_missing_resource(code) => Verdict::AlreadySo,
        409 if kind == Kind::Grant && is(&["RoleAssignmentExists"]) => Verdict::AlreadySo,
        400 if is(&["PrincipalNotFound"]) => no(Propagating),
        400 | 404 if is(MALFORMED) => no(Bug),
        405 | 406 | 411 | 413..=415 => no(Bug),
        // A 404 without a code of ARM's comes from something between here and there.
        404 if code.is_empty() && !kind.is_write() => no(Unreadable),
        409 if is(TERMINAL_CONFLICTS) => no(Refused),
        409 | 412 => no(Transient),
        // "Busy" in the clothes of a throttle: the quota is not exhausted.
        429 if is(BUSY) => no(Transient),
        429 => no(Throttled),
        400..=499 if status == StatusCode::REQUEST_TIMEOUT || status.as_u16() == 499 => {
            Verdict::Failed(Transient, Landed::Unknown)
        }
        400..=499 => no(Refused),
        // After 502, 503 or 504 a write may have happened (seen in recorded traffic).
        500..=599 => Verdict::Failed(Transient, Landed::Unknown),
        _ => Verdict::Failed(Unreadable, Landed::Unknown),
    }
}

/// Whether a 429 says that quota is used up, not just that something is busy.
pub(crate) fn exhausts_quota(status: StatusCode, code: Option<&str>) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        && !BUSY.iter().any(|name| code.is_some_and(|c| name.eq_ignore_ascii_case(c)))
}

/// Whether a 404's code speaks of the resource itself. A subscription that "is not found" is usually one that the
/// caller may not see: unknown, not absent.
fn names_a_missing_resource(code: &str) -> bool {
    let folded = code.to_ascii_lowercase();
    (folded.ends_with("notfound") || folded.ends_with("doesnotexist"))
        && !folded.starts_with("subscription")
        && !folded.starts_with("tenant")
        && !folded.starts_with("operation")
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

const TERMINAL_CONFLICTS: &[&str] = &[
    "ScopeLocked",
    "MissingSubscriptionRegistration",
    "ReadOnlyDisabledSubscription",
    "SubscriptionDisabled",
    "OperationNotAllowed",
    "PropertyChangeNotAllowed",
    "RoleAssignmentExists",
    "RoleAssignmentUpdateNotPermitted",
    "RequestDisallowedByPolicy",
    "AuthorizationFailed",
    "LinkedAuthorizationFailed",
];

const BUSY: &[&str] = &["RetryableError", "RetryableErrorDueToAnotherOperation", "AnotherOperationInProgress"];

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorClass::*;
    use Kind::*;
    use Verdict::{Absent, AlreadySo, Done, Failed, Unauthorized};

    #[test]
    fn every_documented_answer_has_its_meaning() {
        let no = |class| Failed(class, Landed::No);
        let unknown = |class| Failed(class, Landed::Unknown);
        #[rustfmt::skip]
        let table = [
            // Telling the refusals apart.
            (Patch, 403, "KeyBasedAuthenticationNotPermitted", no(Refused)),
            (Get, 403, "AuthorizationPermissionMismatch", no(Refused)),
            (Get, 403, "AuthorizationFailure", no(Refused)),
            (Patch, 403, "RequestDisallowedByPolicy", no(Refused)),
            (Patch, 409, "ScopeLocked", no(Refused)),
            (Grant, 409, "ScopeLocked", no(Refused)),
            (Grant, 409, "RoleAssignmentExists", AlreadySo),
            (Patch, 409, "RoleAssignmentExists", no(Refused)),
            (Grant, 400, "RoleAssignmentUpdateNotPermitted", no(Refused)),
            (Grant, 400, "PrincipalNotFound", no(Propagating)),
            (Get, 429, "TooManyRequests", no(Throttled)),
            (Patch, 429, "SubscriptionRequestsThrottled", no(Throttled)),
            (Patch, 429, "", no(Throttled)),
            // Requests and responses.
            (Get, 400, "MissingApiVersionParameter", no(Bug)),
            (Get, 400, "InvalidApiVersionParameter", no(Bug)),
            (Get, 400, "NoRegisteredProviderFound", no(Bug)),
            (Get, 404, "InvalidResourceType", no(Bug)),
            (Get, 401, "InvalidAuthenticationToken", Unauthorized),
            (Patch, 401, "ExpiredAuthenticationToken", Unauthorized),
            (Get, 401, "", Unauthorized),
            (Get, 404, "ResourceNotFound", Absent),
            (Get, 404, "ResourceGroupNotFound", Absent),
            (Get, 404, "SubscriptionNotFound", no(Refused)),
            (Get, 404, "SubscriptionStateForbidden", no(Refused)),
            (Get, 404, "", no(Unreadable)),
            (List, 404, "ResourceNotFound", no(Refused)),
            (Poll, 404, "OperationResultNotFound", no(Refused)),
            (Patch, 404, "ResourceNotFound", no(Refused)),
            // Long-running operations start and end with these; the body decides.
            (Patch, 200, "", Done),
            (Patch, 202, "", Done),
            (Poll, 200, "", Done),
            (Poll, 204, "", Done),
            (Action, 202, "", Done),
            // Throttling that is none.
            (Get, 429, "RetryableErrorDueToAnotherOperation", no(Transient)),
            (Patch, 429, "RetryableError", no(Transient)),
            // The storage provider.
            (Patch, 400, "StorageAccountNameNotValid", no(Refused)),
            (Patch, 400, "InvalidHttpVerb", no(Bug)),
            (Patch, 403, "AuthenticationFailed", no(Refused)),
            (Patch, 403, "SubscriptionDisabled", no(Refused)),
            (Patch, 409, "StorageAccountOperationInProgress", no(Transient)),
            (Patch, 409, "StorageAccountBeingCreated", no(Transient)),
            (Patch, 409, "StorageAccountIsNotProvisioned", no(Transient)),
            (Get, 500, "InternalError", unknown(Transient)),
            (Patch, 500, "OperationTimedOut", unknown(Transient)),
            (Patch, 503, "ServerBusy", unknown(Transient)),
            (Patch, 504, "GatewayTimeout", unknown(Transient)),
            // Workspaces.
            (Patch, 409, "Conflict", no(Transient)),
            (Patch, 500, "InternalServerError", unknown(Transient)),
            (Action, 409, "AnotherOperationInProgress", no(Transient)),
            (Patch, 400, "UserError", no(Refused)),
            // Role assignments.
            (Grant, 201, "", Done),
            (Grant, 200, "", AlreadySo),
            (Revoke, 200, "", Done),
            (Revoke, 204, "", AlreadySo),
            (Revoke, 404, "RoleAssignmentNotFound", AlreadySo),
            (Revoke, 404, "SubscriptionNotFound", no(Refused)),
            (Grant, 409, "HashConflictOnDifferentRoleAssignmentIds", no(Transient)),
            (Grant, 400, "RoleAssignmentLimitExceeded", no(Refused)),
            (Grant, 400, "UnmatchedPrincipalType", no(Refused)),
            (Grant, 400, "InvalidRoleAssignmentId", no(Bug)),
            (Grant, 400, "InvalidPrincipalId", no(Refused)),
            (Grant, 400, "RoleDefinitionDoesNotExist", no(Refused)),
            (Grant, 404, "RoleDefinitionDoesNotExist", no(Refused)),
            (Get, 404, "RoleDefinitionDoesNotExist", Absent),
            (Grant, 403, "AuthorizationFailed", no(Refused)),
            (Grant, 403, "LinkedAuthorizationFailed", no(Refused)),
            (Revoke, 403, "DenyAssignmentAuthorizationFailed", no(Refused)),
            (Grant, 403, "RequestDisallowedByPolicy", no(Refused)),
            // Neither ARM's nor HTTP's business as usual.
            (Get, 302, "", unknown(Unreadable)),
            (Patch, 302, "", unknown(Unreadable)),
            (Patch, 408, "", unknown(Transient)),
            (Patch, 499, "", unknown(Transient)),
            (Get, 410, "", no(Refused)),
            (Get, 418, "", no(Refused)),
        ];
        for (kind, status, code, expected) in table {
            let code = (!code.is_empty()).then_some(code);
            let found = classify(kind, StatusCode::from_u16(status).unwrap(), code);
            assert_eq!(found, expected, "{kind:?} {status} {code:?}");
        }
    }

    #[test]
    fn no_status_panics_and_no_failed_write_with_a_5xx_counts_as_not_landed() {
        for status in 100..=999 {
            for kind in [Get, List, Poll, Grant, Revoke, Patch, Action] {
                let verdict = classify(kind, StatusCode::from_u16(status).unwrap(), Some("Weird"));
                if status >= 500 {
                    assert!(matches!(verdict, Failed(_, Landed::Unknown)), "{kind:?} {status}");
                }
            }
        }
    }

    #[test]
    fn codes_are_compared_without_case() {
        assert_eq!(classify(Grant, StatusCode::CONFLICT, Some("roleassignmentexists")), AlreadySo);
        assert!(!exhausts_quota(StatusCode::TOO_MANY_REQUESTS, Some("retryableerror")));
        assert!(exhausts_quota(StatusCode::TOO_MANY_REQUESTS, None));
    }
}
