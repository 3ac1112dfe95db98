//! What of a URL or body may be logged.

use keyless_core::secret;
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

/// A text that should be an address, without its query and with what may be a user's name and password hidden.
pub(crate) fn address(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let colon = if scheme.is_empty() { "" } else { "://" };
    let part = |from: usize, to: usize| secret::shown(rest.get(from..to).unwrap_or_default());
    let shown = match (rest.rfind('@'), rest.find(['?', '#'])) {
        (None, None) => part(0, rest.len()).into_owned(),
        (None, Some(query)) => format!("{}?…", part(0, query)),
        (Some(at), None) => format!("***@{}", part(at + 1, rest.len())),
        (Some(at), Some(query)) if at < query => format!("***@{}?…", part(at + 1, query)),
        // Whether it is the password or the query that goes on is not told.
        (Some(_), Some(_)) => "***@…".to_owned(),
    };
    format!("{scheme}{colon}{shown}")
}

/// The URL without user, query and fragment, for failures.
pub(crate) fn place(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    self::url(&shown)
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
    fn an_address_is_shown_without_user_and_query() {
        for (text, shown) in [
            ("https://a.example:1/x", "https://a.example:1/x"),
            ("http://a.example/?sig=hunter2", "http://a.example/?…"),
            ("http://a.example/#hunter2", "http://a.example/?…"),
            ("https://ann:hunter2@a.example?b", "https://***@a.example?…"),
            ("https://ann:hun?ter2@a.example", "https://***@…"),
            ("https://a.example/?mail=ann@b&t=hunter2", "https://***@…"),
            ("ann:hunter2@a.example", "***@a.example"),
        ] {
            assert_eq!(address(text), shown, "{text}");
        }
        assert_eq!(address("AccountKey=hunter2"), secret::WORDS);
        let asked = Url::parse("http://u:p@a.example/token?api-version=1&resource=r").unwrap();
        assert_eq!(place(&asked), "http://a.example/token");
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
