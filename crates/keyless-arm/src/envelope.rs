//! The many forms in which Azure words a failure.
//!
//! Seen in recorded traffic: `{error:{code,message}}` with nested `details` and `innerError`, the same in PascalCase,
//! bare `{code,message}`, `{Message}`, OAuth's `{error,error_description}`, text, HTML, and nothing.

use http::StatusCode;
use serde_json::Value;

/// How much of a foreign message is kept.
const MAX_MESSAGE: usize = 600;

/// How many codes of one failure are looked at, nested ones included.
const MAX_CODES: usize = 32;

/// What a failure says of itself, as far as it could be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The outer code.
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    /// The codes inside, `details` before `innerError`, outer ones first.
    pub(crate) nested: Vec<String>,
    /// The body, for what else it may tell.
    pub(crate) body: Value,
}

impl Fault {
    /// The code that says the most: the outer one, unless it only says that something inside went wrong.
    pub(crate) fn telling(&self) -> Option<&str> {
        let outer = self.code.as_deref();
        match outer {
            Some(code) if !is_wrapper(code) => Some(code),
            _ => self.nested.iter().map(String::as_str).find(|code| !is_wrapper(code)).or(outer),
        }
    }

    /// The HTTP status that a failure tells in its body: where an operation ended inside an answer that itself is 200.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        let told = ["statusCode", "httpStatusCode"].iter().find_map(|name| {
            let inner = field(&self.body, "error").and_then(|error| field(error, name));
            inner.or_else(|| field(&self.body, name)).and_then(word)
        });
        self.telling().and_then(status_of).or_else(|| self.code.as_deref().and_then(status_of)).or_else(|| {
            told.as_deref().and_then(status_of) //
        })
    }
}

/// Codes that say nothing but that what is inside them failed: names of layers, and HTTP's own words.
///
/// Sources: <https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-invalid-template>, recorded
/// traffic of Machine Learning (`UserError`), of IoT hubs (numbers) and of others (`500 InternalServerError`).
fn is_wrapper(code: &str) -> bool {
    const WRAPPERS: &[&str] = &[
        "InvalidTemplateDeployment",
        "DeploymentFailed",
        "ResourceDeploymentFailure",
        "UserError",
        "UserErrorException",
        "SystemError",
        "Failed",
        "Unspecified",
        "UnknownError",
        "Unknown",
    ];
    WRAPPERS.iter().any(|name| name.eq_ignore_ascii_case(code)) || status_of(code).is_some() || is_number(code)
}

fn is_number(code: &str) -> bool {
    !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit())
}

/// The status in `429`, `500 InternalServerError` or `Forbidden`.
fn status_of(code: &str) -> Option<StatusCode> {
    let first = code.split_whitespace().next().unwrap_or_default();
    if is_number(first) {
        return first.parse().ok().and_then(|n| StatusCode::from_u16(n).ok()).filter(|status| status.as_u16() >= 400);
    }
    let squeezed: String = code.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let words = [400, 401, 403, 404, 405, 408, 409, 412, 429, 500, 502, 503, 504];
    words.iter().filter_map(|n| StatusCode::from_u16(*n).ok()).find(|status| {
        status.canonical_reason().is_some_and(|reason| {
            let reason: String = reason.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
            reason.eq_ignore_ascii_case(&squeezed)
        })
    })
}

fn nested_codes(value: &Value, codes: &mut Vec<String>) {
    if codes.len() >= MAX_CODES {
        return;
    }
    let parts = match field(value, "details") {
        Some(Value::Array(parts)) => parts.as_slice(),
        _ => &[],
    };
    let inner = ["innerError", "error"].iter().filter_map(|name| field(value, name)).filter(|part| part.is_object());
    for part in parts.iter().chain(inner) {
        codes.extend(field(part, "code").and_then(word));
        nested_codes(part, codes);
    }
}

/// Reads whatever the body is; never fails.
pub(crate) fn read(body: &[u8]) -> Fault {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => of_value(&value),
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            let message = if text.trim_start().starts_with('<') { "an HTML or XML page" } else { text.trim() };
            Fault { message: shorten(message), ..Fault::default() }
        }
    }
}

/// The fault in a parsed body; also of the `error` inside a long-running operation's status.
pub(crate) fn of_value(value: &Value) -> Fault {
    let inner = match field(value, "error") {
        Some(error @ Value::Object(_)) => error,
        _ => value,
    };
    let code = field(inner, "code").and_then(word).or_else(|| match field(value, "error") {
        Some(Value::String(code)) => Some(code.clone()),
        _ => None,
    });
    let message = ["message", "error_description", "description"]
        .iter()
        .find_map(|name| field(inner, name).and_then(Value::as_str))
        .or_else(|| value.as_str())
        .unwrap_or_default();
    let mut nested = Vec::new();
    nested_codes(inner, &mut nested);
    Fault { code, message: shorten(message), nested, body: value.clone() }
}

/// A field by name without case.
pub(crate) fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.chars().take(120).collect()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// One line of limited length.
pub(crate) fn shorten(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= MAX_MESSAGE {
        return line;
    }
    line.chars().take(MAX_MESSAGE - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, code: Option<&str>, message: &str) {
        let fault = read(body.as_bytes());
        assert_eq!((fault.code.as_deref(), fault.message.as_str()), (code, message), "{body}");
    }

    #[test]
    fn every_envelope_is_read() {
        check(r#"{"error":{"code":"A","message":"m","details":null,"innererror":{"code":"B"}}}"#, Some("A"), "m");
        check(r#"{"code":"A","message":"m"}"#, Some("A"), "m");
        check(r#"{"Code":"A","Message":"m","Target":null,"Details":[],"Innererror":null}"#, Some("A"), "m");
        check(r#"{"Error":{"Code":"A","Message":"m"}}"#, Some("A"), "m");
        check(r#"{"Message":"m"}"#, None, "m");
        check(r#"{"code":"A","httpStatusCode":400,"message":"m"}"#, Some("A"), "m");
        check(r#"{"status":"Failed","error":{"code":"A","message":"m"}}"#, Some("A"), "m");
        check(r#"{"error":{"code":400016,"message":"m"}}"#, Some("400016"), "m");
        check(r#"{"error":{"code":null,"message":"m"}}"#, None, "m");
        check(
            r#"{"error":"invalid_client","error_description":"AADSTS1: a\r\nb"}"#,
            Some("invalid_client"),
            "AADSTS1: a  b",
        );
        check(r#""a sentence""#, None, "a sentence");
        check("<!DOCTYPE html><p>hi", None, "an HTML or XML page");
        check("The service is unavailable.", None, "The service is unavailable.");
        check("", None, "");
        check("[1]", None, "");
        check(r#"{"error":{"message":"it\'s"}}"#, None, r#"{"error":{"message":"it\'s"}}"#);
    }

    #[test]
    fn the_telling_code_is_the_first_that_is_no_wrapper() {
        for (body, telling) in [
            (r#"{"error":{"code":"ScopeLocked","details":[{"code":"Other"}]}}"#, Some("ScopeLocked")),
            (
                r#"{"error":{"code":"InvalidTemplateDeployment","details":[{"code":"RequestDisallowedByPolicy"}]}}"#,
                Some("RequestDisallowedByPolicy"),
            ),
            (
                r#"{"error":{"code":"UserError","innerError":{"code":"BadRequest","innerError":{"code":"Deep"}}}}"#,
                Some("Deep"),
            ),
            (r#"{"error":{"code":"UserError","innerError":null}}"#, Some("UserError")),
            (r#"{"code":400016,"httpStatusCode":"BadRequest"}"#, Some("400016")),
            (r#"{"error":{"code":"Forbidden","details":[{"code":"ScopeLocked"}]}}"#, Some("ScopeLocked")),
            (r#"{"Message":"m"}"#, None),
        ] {
            assert_eq!(read(body.as_bytes()).telling(), telling, "{body}");
        }
    }

    #[test]
    fn a_status_in_the_body_is_read_in_every_spelling() {
        for (body, status) in [
            (r#"{"status":"Failed","error":{"code":"429"}}"#, Some(429)),
            (r#"{"status":"Failed","error":{"code":403}}"#, Some(403)),
            (r#"{"error":{"code":"500 InternalServerError"}}"#, Some(500)),
            (r#"{"error":{"code":"Too Many Requests"}}"#, Some(429)),
            (r#"{"code":400016,"httpStatusCode":"BadRequest"}"#, Some(400)),
            (r#"{"error":{"code":"UserError"},"statusCode":404}"#, Some(404)),
            (r#"{"error":{"code":"ScopeLocked"}}"#, None),
            (r#"{"error":{"code":"200"}}"#, None),
        ] {
            assert_eq!(read(body.as_bytes()).status().map(|status| status.as_u16()), status, "{body}");
        }
    }

    #[test]
    fn a_long_message_is_cut() {
        assert_eq!(read("x".repeat(100_000).as_bytes()).message.len(), MAX_MESSAGE);
    }
}
