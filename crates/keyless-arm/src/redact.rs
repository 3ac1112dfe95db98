//! What of a URL or body may be logged.

use serde_json::Value;
use url::Url;

/// Query parameters whose values are no secrets; poll URLs carry signatures in others.
const OPEN_PARAMETERS: &[&str] = &[
    "api-version",
    "$filter",
    "timespan",
    "interval",
    "metricnames",
    "metricnamespace",
    "aggregation",
    "top",
    "resource",
];

/// Fields whose values are hidden wherever they occur.
const SECRET_FIELDS: &[&str] =
    &["key", "secret", "password", "token", "sas", "signature", "connectionstring", "assertion"];

/// How much of a body is logged.
const MAX_BODY: usize = 4096;

/// The URL with every value hidden that is not known to be harmless.
pub(crate) fn url(url: &Url) -> String {
    let mut shown = url.clone();
    // Refused only by URLs that cannot have them.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    if url.query().is_some() {
        let query = url
            .query_pairs()
            .map(|(name, value)| {
                let open = OPEN_PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(&name));
                format!("{name}={}", if open { &value } else { "***" })
            })
            .collect::<Vec<_>>()
            .join("&");
        shown.set_query(None);
        return format!("{shown}?{}", crate::envelope::shorten(&query));
    }
    shown.to_string()
}

/// A text that should be an address, with what may be a user's name and password hidden.
pub(crate) fn user(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let Some((_, after)) = rest.rsplit_once('@') else { return text.to_owned() };
    format!("{scheme}{}***@{after}", if scheme.is_empty() { "" } else { "://" })
}

/// The body with secret values hidden; of what is not JSON only the length is told.
pub(crate) fn body(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else {
        return format!("({} bytes that are no JSON)", bytes.len());
    };
    hide(&mut value);
    let text = value.to_string();
    if text.len() <= MAX_BODY {
        return text;
    }
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= MAX_BODY).last().unwrap_or(0);
    format!("{}... ({} bytes)", text.get(..end).unwrap_or_default(), bytes.len())
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, value) in object.iter_mut() {
                let folded = name.to_ascii_lowercase();
                let scalar = value.is_string() || value.is_number();
                if scalar && SECRET_FIELDS.iter().any(|secret| folded.contains(secret)) {
                    *value = Value::from("***");
                } else {
                    hide(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_query_values_are_hidden() {
        let poll = Url::parse("https://u:p@m.example/a?api-version=1&t=1&c=cert&s=sig&h=hash#f").unwrap();
        assert_eq!(url(&poll), "https://m.example/a?api-version=1&t=***&c=***&s=***&h=***");
    }

    #[test]
    fn secret_fields_are_hidden_at_any_depth() {
        let shown =
            body(br#"{"keys":[{"keyName":"key1","value":1}],"a":{"accessToken":"eyJ","clientSecret":"x","b":"y"}}"#);
        assert!(!shown.contains("eyJ") && !shown.contains("\"x\"") && shown.contains("\"y\""), "{shown}");
        assert_eq!(body(b"sig=abc"), "(7 bytes that are no JSON)");
        assert!(body(format!("{{\"a\":\"{}\"}}", "é".repeat(9000)).as_bytes()).len() < 5000);
    }
}
