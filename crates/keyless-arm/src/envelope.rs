//! The many forms in which Azure words a failure.
//!
//! Seen in recorded traffic: `{error:{code,message}}` with nested `details` and `innerError`, the same in PascalCase,
//! bare `{code,message}`, `{Message}`, OAuth's `{error,error_description}`, text, HTML, and nothing.

use serde_json::Value;

/// How much of a foreign message is kept.
const MAX_MESSAGE: usize = 600;

/// Code and message of a failure, as far as they could be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: Option<String>,
    pub(crate) message: String,
}

/// Reads whatever the body is; never fails.
pub(crate) fn read(body: &[u8]) -> Fault {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => of_value(&value),
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            let message = if text.trim_start().starts_with('<') { "an HTML or XML page" } else { text.trim() };
            Fault { code: None, message: shorten(message) }
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
    Fault { code, message: shorten(message) }
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
    fn a_long_message_is_cut() {
        assert_eq!(read("x".repeat(100_000).as_bytes()).message.len(), MAX_MESSAGE);
    }
}
