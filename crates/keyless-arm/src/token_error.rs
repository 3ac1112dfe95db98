//! Why there is no token: a class, a message and a next step for each.
//!
//! Whether to try again goes by what kind of answer came (none, a status, an `error` word); Entra's numbers only make the
//! words for people more exact, as its documentation asks.
//! Sources: <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>,
//! <https://learn.microsoft.com/azure/developer/java/sdk/troubleshooting-authentication-service-principal>,
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>.

use http::StatusCode;
use keyless_core::secret;
use serde_json::Value;

use crate::envelope::{self, field};

/// What kind of failure left this program without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenClass {
    /// No answer came.
    Unreachable,
    /// The endpoint is busy or broken.
    Unavailable,
    /// What came is no answer of a token endpoint.
    Unreadable,
    /// The client secret is wrong.
    WrongSecret,
    /// The client secret has expired.
    ExpiredSecret,
    /// There is no such tenant.
    UnknownTenant,
    /// The application is not in the tenant.
    UnknownApplication,
    /// The assertion's subject, issuer, audience or signature is not the one that was registered.
    AssertionMismatch,
    /// The assertion is outside its window of validity.
    AssertionOutOfTime,
    /// A policy of the tenant keeps it out.
    ConditionalAccess,
    /// The machine does not have the managed identity.
    UnknownIdentity,
    /// The scope, or the resource behind it, is not known to the tenant.
    WrongScope,
    /// Refused for another reason.
    Refused,
    /// Something on this machine is missing: a file, a program.
    Local,
}

impl TokenClass {
    /// The word in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "token_unreachable",
            Self::Unavailable => "token_unavailable",
            Self::Unreadable => "token_unreadable",
            Self::WrongSecret => "token_wrong_secret",
            Self::ExpiredSecret => "token_expired_secret",
            Self::UnknownTenant => "token_unknown_tenant",
            Self::UnknownApplication => "token_unknown_application",
            Self::AssertionMismatch => "token_assertion_mismatch",
            Self::AssertionOutOfTime => "token_assertion_out_of_time",
            Self::ConditionalAccess => "token_conditional_access",
            Self::UnknownIdentity => "token_unknown_identity",
            Self::WrongScope => "token_wrong_scope",
            Self::Refused => "token_refused",
            Self::Local => "token_local",
        }
    }

    /// The next step of whoever runs this program.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "see that the token endpoint can be reached from this machine: name, route, proxy, TLS"
            }
            Self::Unavailable => "nothing, if it passes within minutes; else see the status page of the cloud",
            Self::Unreadable => "see what answers in place of the token endpoint: a proxy, a portal, a wrong address",
            Self::WrongSecret => "set the secret's value, not its id, and see that it belongs to this application",
            Self::ExpiredSecret => "make a new secret for the application and set it",
            Self::UnknownTenant => "correct the tenant id, or the cloud whose Entra is asked",
            Self::UnknownApplication => {
                "correct the client id, or the tenant, or make the application known in that tenant"
            }
            Self::AssertionMismatch => {
                "compare issuer, subject and audience of the federated credential, or the certificate, with what is \
                 registered for the application; a new registration takes minutes to count"
            }
            Self::AssertionOutOfTime => "set the clock of this machine, and see that the token file is being renewed",
            Self::ConditionalAccess => {
                "ask for the application to be left out of the tenant's conditional access policy"
            }
            Self::UnknownIdentity => "assign the managed identity to this machine, or correct its client id",
            Self::WrongScope => "correct `cloud`, or the scope of a cloud of one's own",
            Self::Refused => "see the message; the error code is explained at https://login.microsoftonline.com/error",
            Self::Local => "see that the file or program named is there and can be read",
        }
    }

    /// Whether asking again at once may help.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Unreachable | Self::Unavailable | Self::Unreadable)
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token: {message}")]
pub struct TokenError {
    /// What kind of failure it was.
    pub class: TokenClass,
    /// What happened; never holds a secret.
    pub message: String,
}

impl TokenError {
    /// A failure of this class. Endpoints and their clients repeat what was asked of them, addresses with their queries too.
    pub fn new(class: TokenClass, message: impl Into<String>) -> Self {
        Self { class, message: secret::without(&message.into()) }
    }
}

/// The class of an answer that is no success. `metadata` services also answer 404 and 410 while they are being updated.
pub(crate) fn class_of(status: StatusCode, body: &[u8], metadata: bool) -> TokenClass {
    match status.as_u16() {
        408 | 429 | 500..=599 => return TokenClass::Unavailable,
        404 | 410 if metadata => return TokenClass::Unavailable,
        _ => {}
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return TokenClass::Unreadable };
    let word = field(&body, "error").and_then(Value::as_str).unwrap_or_default();
    if word == "temporarily_unavailable" {
        return TokenClass::Unavailable;
    }
    let description = envelope::of_value(&body).message;
    match numbers(&body, &description).iter().find_map(|number| of_number(*number)) {
        Some(class) => class,
        None if metadata && description.to_ascii_lowercase().contains("identity not found") => {
            TokenClass::UnknownIdentity
        }
        None => match word {
            "invalid_scope" | "invalid_resource" => TokenClass::WrongScope,
            _ => TokenClass::Refused,
        },
    }
}

/// Entra's numbers, from their own field or the front of the description (`AADSTS7000215: …`).
fn numbers(body: &Value, description: &str) -> Vec<u64> {
    let told = field(body, "error_codes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut numbers: Vec<u64> = told.iter().filter_map(Value::as_u64).collect();
    if let Some((_, rest)) = description.split_once("AADSTS") {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        numbers.extend(digits.parse::<u64>().ok());
    }
    numbers
}

fn of_number(number: u64) -> Option<TokenClass> {
    Some(match number {
        7_000_215 => TokenClass::WrongSecret,
        7_000_222 => TokenClass::ExpiredSecret,
        90_002 | 900_023 => TokenClass::UnknownTenant,
        700_016 => TokenClass::UnknownApplication,
        70_011 | 500_011 | 50_001 => TokenClass::WrongScope,
        700_021 | 700_023 | 700_027 | 70_021 | 700_211 | 700_213 => TokenClass::AssertionMismatch,
        700_024 => TokenClass::AssertionOutOfTime,
        53_003 => TokenClass::ConditionalAccess,
        50_196 | 90_033 | 50_000 | 90_012 => TokenClass::Unavailable,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entra(status: u16, error: &str, number: u64) -> TokenClass {
        let body = json!({
            "error": error, "error_codes": [number],
            "error_description": format!("AADSTS{number}: words.\r\nTrace ID: 1f0c"),
        });
        class_of(StatusCode::from_u16(status).unwrap(), body.to_string().as_bytes(), false)
    }

    #[test]
    fn every_documented_refusal_of_entra_has_its_class() {
        #[rustfmt::skip]
        let table = [
            (401, "invalid_client", 7_000_215, TokenClass::WrongSecret),
            (401, "invalid_client", 7_000_222, TokenClass::ExpiredSecret),
            (400, "unauthorized_client", 700_016, TokenClass::UnknownApplication),
            (400, "invalid_request", 90_002, TokenClass::UnknownTenant),
            (400, "invalid_scope", 70_011, TokenClass::WrongScope),
            (400, "invalid_resource", 500_011, TokenClass::WrongScope),
            (401, "invalid_client", 700_021, TokenClass::AssertionMismatch),
            (401, "invalid_client", 700_023, TokenClass::AssertionMismatch),
            (401, "invalid_client", 700_024, TokenClass::AssertionOutOfTime),
            (401, "invalid_client", 700_027, TokenClass::AssertionMismatch),
            (400, "invalid_request", 70_021, TokenClass::AssertionMismatch),
            (400, "invalid_request", 700_211, TokenClass::AssertionMismatch),
            (401, "invalid_client", 700_213, TokenClass::AssertionMismatch),
            (400, "access_denied", 53_003, TokenClass::ConditionalAccess),
            (400, "invalid_request", 50_196, TokenClass::Unavailable),
            (400, "invalid_request", 90_033, TokenClass::Unavailable),
            (400, "invalid_request", 50_000, TokenClass::Unavailable),
            (400, "invalid_request", 90_012, TokenClass::Unavailable),
            (400, "temporarily_unavailable", 1, TokenClass::Unavailable),
            (400, "invalid_scope", 1, TokenClass::WrongScope),
            (401, "invalid_client", 1, TokenClass::Refused),
            // The status outranks the words.
            (503, "invalid_client", 7_000_215, TokenClass::Unavailable),
            (429, "invalid_client", 7_000_222, TokenClass::Unavailable),
        ];
        for (status, error, number, class) in table {
            assert_eq!(entra(status, error, number), class, "{status} {error} {number}");
        }
    }

    #[test]
    fn every_documented_refusal_of_a_metadata_service_has_its_class() {
        let ask = |status: u16, body: &str| class_of(StatusCode::from_u16(status).unwrap(), body.as_bytes(), true);
        for (status, body, class) in [
            (
                400,
                r#"{"error":"invalid_request","error_description":"Identity not found"}"#,
                TokenClass::UnknownIdentity,
            ),
            (
                400,
                r#"{"error":"invalid_resource","error_description":"AADSTS50001: The application named x was not found"}"#,
                TokenClass::WrongScope,
            ),
            (
                400,
                r#"{"error":"bad_request_102","error_description":"Required metadata header not specified"}"#,
                TokenClass::Refused,
            ),
            (401, r#"{"error":"unknown_source","error_description":"Unknown Source"}"#, TokenClass::Refused),
            (403, r#"{"statusCode":403,"message":"no"}"#, TokenClass::Refused),
            (404, "", TokenClass::Unavailable),
            (410, "", TokenClass::Unavailable),
            (502, "<html>", TokenClass::Unavailable),
            (403, "<html>a proxy", TokenClass::Unreadable),
        ] {
            assert_eq!(ask(status, body), class, "{status} {body}");
        }
        let elsewhere = r#"{"error":"invalid_request","error_description":"Identity not found"}"#;
        assert_eq!(class_of(StatusCode::BAD_REQUEST, elsewhere.as_bytes(), false), TokenClass::Refused);
        assert_eq!(class_of(StatusCode::NOT_FOUND, b"", false), TokenClass::Unreadable);
    }
}
