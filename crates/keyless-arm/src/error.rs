//! How a call to Azure fails, in terms a caller can act on.

use std::time::Duration;

use uuid::Uuid;

use crate::token::TokenClass;

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// Too many requests: wait for `retry_after`.
    Throttled,
    /// A passing fault (5xx, timeout, reset, another operation under way): try again with backoff.
    Transient,
    /// A fresh principal is not replicated yet (`PrincipalNotFound`): try again for minutes.
    Propagating,
    /// Refused until a person acts: lock, policy, missing rights, limit. Back off to hours.
    Refused,
    /// Azure refused a token, and the new one too.
    Authentication,
    /// No token could be had.
    Token(TokenClass),
    /// The answer could not be understood: never a reason to act.
    Unreadable,
    /// The request was wrong: an error in this program or its settings.
    Bug,
}

impl ErrorClass {
    /// The word in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Propagating => "propagating",
            Self::Refused => "refused",
            Self::Authentication => "authentication",
            Self::Token(class) => class.as_str(),
            Self::Unreadable => "unreadable",
            Self::Bug => "bug",
        }
    }
}

/// A failed call.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} {resource}: {}{message}", .code.as_deref().map(|code| format!("{code}: ")).unwrap_or_default())]
pub struct ArmError {
    /// What was called, such as `get storage account`.
    pub operation: &'static str,
    /// On what.
    pub resource: String,
    /// What to do about it.
    pub class: ErrorClass,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Azure's error code.
    pub code: Option<String>,
    /// Azure's or this program's message; never holds a token or a key.
    pub message: String,
    /// What would lift it, for people; `None` where time does, or where it cannot be told.
    pub lift: Option<String>,
    /// `x-ms-request-id`.
    pub request_id: Option<String>,
    /// How long Azure asked to wait.
    pub retry_after: Option<Duration>,
}

/// The code of a refusal of a token that is of another tenant than the subscription.
///
/// Source: <https://github.com/Azure/azure-sdk-for-net/issues/49391>, <https://github.com/Azure/azure-sdk-for-python/issues/38382>.
pub(crate) const WRONG_TENANT: &str = "InvalidAuthenticationTokenTenant";

impl ArmError {
    /// The tenant that the subscription belongs to, if the call was refused because the caller is of another one, and Azure
    /// names exactly one; it may name several where the subscription was delegated.
    #[must_use]
    pub fn tenant_named(&self) -> Option<Uuid> {
        self.code.as_deref().filter(|code| code.eq_ignore_ascii_case(WRONG_TENANT))?;
        tenant_in(&self.message)
    }

    /// Whether asking again soon cannot help: the caller lacks rights, or the request is wrong. A missing resource is not
    /// among these, for it may be made at any time.
    #[must_use]
    pub fn waits_for_person(&self) -> bool {
        let hidden = self.code.as_deref().is_some_and(|code| code.to_ascii_lowercase().starts_with("subscription"));
        let foreign = self.code.as_deref().is_some_and(|code| code.eq_ignore_ascii_case(WRONG_TENANT));
        match self.class {
            ErrorClass::Refused => self.status == Some(403) || hidden || foreign,
            ErrorClass::Bug => true,
            ErrorClass::Throttled
            | ErrorClass::Transient
            | ErrorClass::Propagating
            | ErrorClass::Authentication
            | ErrorClass::Token(_)
            | ErrorClass::Unreadable => false,
        }
    }
}

/// The tenant in the words of such a refusal: "It must match the tenant 'https://sts.windows.net/…/' associated with this
/// subscription." Source: the same.
pub(crate) fn tenant_in(message: &str) -> Option<Uuid> {
    let (named, _) = message.split_once("must match ")?.1.split_once(" associated with")?;
    let mut tenants = named.split(['/', ',', '\'']).filter_map(|part| part.trim().parse().ok());
    let one = tenants.next()?;
    tenants.all(|other: Uuid| other == one).then_some(one)
}

/// Whether a failed write may have had, or may still have, an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Landed {
    /// Azure refused it, or it never left.
    No,
    /// It left, and no answer says what became of it.
    Unknown,
}

/// A failed write.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct WriteError {
    /// The failure.
    #[source]
    pub error: ArmError,
    /// Whether it may still land.
    pub landed: Landed,
}

/// Why the client cannot be built from its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// An address of the cloud.
    #[error("cloud: {0}")]
    Cloud(String),
    /// The transport.
    #[error("transport: {0}")]
    Wire(String),
    /// The credential.
    #[error("credential: {0}")]
    Credential(String),
    /// The versions of Azure's interfaces.
    #[error("api-versions: {0}")]
    ApiVersions(String),
    /// The limits.
    #[error("limits: {0}")]
    Limits(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_taken_from_a_refusal_that_names_just_one() {
        const OWN: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
        const OTHER: &str = "a602cbf4-21c3-4761-b54e-acf397842b82";
        let refused = |code: &str, tenants: &str| ArmError {
            operation: "get subscription",
            resource: "/subscriptions/s".to_owned(),
            class: ErrorClass::Refused,
            status: Some(401),
            code: Some(code.to_owned()),
            message: format!(
                "The access token is from the wrong issuer 'https://sts.windows.net/{OWN}/'. It must match {tenants} \
                 associated with this subscription. Please use the authority (URL) 'https://login.windows.net/{OTHER}' to \
                 get the token."
            ),
            lift: None,
            request_id: None,
            retry_after: None,
        };
        let one = format!("the tenant 'https://sts.windows.net/{OTHER}/'");
        let named = refused("InvalidAuthenticationTokenTenant", &one);
        assert_eq!(named.tenant_named(), OTHER.parse().ok());
        assert!(named.waits_for_person());
        assert_eq!(refused("InvalidAuthenticationToken", &one).tenant_named(), None);
        let several = format!("one of the tenants 'https://sts.windows.net/{OTHER}/,https://sts.windows.net/{OWN}/'");
        assert_eq!(refused("InvalidAuthenticationTokenTenant", &several).tenant_named(), None);
        for odd in ["the tenant", "the tenant 'https://sts.windows.net/", "the tenant 'contoso'", "''"] {
            assert_eq!(refused("InvalidAuthenticationTokenTenant", odd).tenant_named(), None, "{odd}");
        }
    }
}
