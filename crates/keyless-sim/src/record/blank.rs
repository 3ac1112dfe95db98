//! What a record must not hold: tokens, secrets, keys and signatures.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

const BLANK: &str = "***";

/// Headers that are secrets.
const HEADERS: [&str; 6] =
    ["authorization", "x-identity-header", "proxy-authorization", "cookie", "set-cookie", "ocp-apim-subscription-key"];

/// Fields, form fields and query parameters that are secrets, in lower case.
const FIELDS: [&str; 22] = [
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "client_assertion",
    "assertion",
    "password",
    "secret",
    "secrets",
    "key",
    "keys",
    "accountkey",
    "userstoragekey",
    "primarykey",
    "secondarykey",
    "sas",
    "sastoken",
    "sasuri",
    "connectionstring",
    "sig",
    "code",
    "certificate",
];

/// What the names of further secrets end with: `clientSecret`, `adminPassword`.
const ENDINGS: [&str; 2] = ["secret", "password"];

pub(super) fn url(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else { return text(url) };
    let parts: Vec<String> = query
        .split('&')
        .map(|part| match part.split_once('=') {
            Some((name, _)) if is_secret(&crate::request::percent_decoded(name)) => format!("{name}={BLANK}"),
            _ => text(part),
        })
        .collect();
    format!("{}?{}", text(path), parts.join("&"))
}

pub(super) fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let mut shown = Map::new();
    for name in headers.keys() {
        let secret = HEADERS.contains(&name.as_str());
        let mut values: Vec<Value> = headers
            .get_all(name)
            .iter()
            .map(|value| match (secret, String::from_utf8_lossy(value.as_bytes())) {
                (true, _) => Value::from(BLANK),
                (false, value) if value.contains("://") => Value::from(url(&value)),
                (false, value) => Value::from(text(&value)),
            })
            .collect();
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        shown.insert(name.as_str().to_owned(), value);
    }
    shown
}

pub(super) fn body(headers: &HeaderMap, body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    if let Ok(mut value) = serde_json::from_slice::<Value>(body) {
        fields(&mut value);
        return value;
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let words = String::from_utf8_lossy(body);
    if kind.starts_with("application/x-www-form-urlencoded") {
        let form = url::form_urlencoded::parse(body).map(|(name, value)| {
            let value = if is_secret(&name) { BLANK.to_owned() } else { text(&value) };
            (name.into_owned(), Value::from(value))
        });
        return Value::Object(form.collect());
    }
    // Broken JSON may be an answer of a token endpoint that was cut: nothing behind such a word can be trusted.
    let lower = words.to_ascii_lowercase();
    let first = FIELDS
        .iter()
        .filter_map(|name| lower.find(&format!("{name}\"")).or_else(|| lower.find(&format!("{name}="))))
        .min();
    match first.and_then(|at| words.get(..at)) {
        Some(before) => Value::from(format!("{}{BLANK}", text(before))),
        None => Value::from(text(&words)),
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    FIELDS.contains(&name.as_str()) || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Blanks what a deployment's template declares as secure: what was sent for it, and its default.
/// Source: <https://learn.microsoft.com/azure/azure-resource-manager/templates/data-types#secure-strings-and-objects>.
fn secure_parameters(deployment: &mut Map<String, Value>) {
    let declared = |value: &mut Value| {
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
        let secure = kind.to_ascii_lowercase().starts_with("secure");
        if let (true, Some(default)) = (secure, value.get_mut("defaultValue")) {
            erase(default);
        }
        secure
    };
    let parameters = deployment.get_mut("template").and_then(|template| template.get_mut("parameters"));
    let Some(parameters) = parameters.and_then(Value::as_object_mut) else { return };
    let secure = parameters.iter_mut().filter_map(|(name, value)| declared(value).then(|| name.to_ascii_lowercase()));
    let secure: Vec<String> = secure.collect();
    for (name, sent) in deployment.get_mut("parameters").and_then(Value::as_object_mut).into_iter().flatten() {
        if secure.contains(&name.to_ascii_lowercase()) {
            erase(sent);
        }
    }
}

/// Blanks the text of secret fields, and of everything in them; numbers and the like stay.
fn fields(value: &mut Value) {
    match value {
        Value::Object(map) => {
            secure_parameters(map);
            for (name, value) in map {
                // An error's code is no secret.
                if is_secret(name) && !name.eq_ignore_ascii_case("code") {
                    erase(value);
                } else {
                    fields(value);
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(fields),
        Value::String(own) => *own = if own.contains("://") { url(own) } else { text(own) },
        _ => {}
    }
}

fn erase(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(erase),
        Value::Array(entries) => entries.iter_mut().for_each(erase),
        Value::String(text) => BLANK.clone_into(text),
        _ => {}
    }
}

/// Blanks whatever looks like a token, wherever it stands.
fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("eyJ") {
        let (before, token) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let length = token
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=' | b'+' | b'/'))
            .count();
        let (token, after) = token.split_at_checked(length).unwrap_or((token, ""));
        shown.push_str(before);
        // A JWT has two dots; the claims of a challenge have none and are no secret.
        shown.push_str(if token.matches('.').count() >= 2 { BLANK } else { token });
        rest = after;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_blanked_wherever_they_stand() {
        let json = json!({"access_token": "eyJhbGci.eyJvaWQi.c2ln", "expires_in": 3599, "keys": [{"value": "AAAA"}],
            "error": {"code": "Conflict", "message": "token eyJhbGci.eyJvaWQi.c2ln was sent"}});
        let shown = body(&HeaderMap::new(), json.to_string().as_bytes());
        assert_eq!(
            shown,
            json!({"access_token": "***", "expires_in": 3599, "keys": [{"value": "***"}],
                "error": {"code": "Conflict", "message": "token *** was sent"}})
        );
        let mut form = HeaderMap::new();
        form.insert(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        let shown = body(&form, b"client_id=a&client_secret=s%2Bs&client_assertion=x&scope=y");
        assert_eq!(shown, json!({"client_id": "a", "client_secret": "***", "client_assertion": "***", "scope": "y"}));
        assert_eq!(url("https://h/p?sv=1&sig=abc&%73ig=abc"), "https://h/p?sv=1&sig=***&%73ig=***");
        assert_eq!(
            body(&HeaderMap::new(), br#"{"token_type":"Bearer","access_token":"eyJhbG"#),
            "{\"token_type\":\"Bearer\",\"***"
        );
    }

    #[test]
    fn secrets_of_datastores_and_of_deployments_are_blanked() {
        let shown = |json: Value| body(&HeaderMap::new(), json.to_string().as_bytes());
        let store = |secret: &str| {
            json!({"azureStorageSection": {"clientCredentials": {"clientId": "a", "clientSecret": secret}},
                "azureSqlDatabaseSection": {"userId": "b", "userPassword": secret}})
        };
        assert_eq!(shown(store("s")), store("***"));
        let deployment = |secret: &str| {
            json!({"properties": {"parameters": {"Pin": {"value": secret}, "size": {"value": "x"}},
                "template": {"parameters": {"pin": {"type": "secureString", "defaultValue": secret},
                    "size": {"type": "string", "defaultValue": "y"}}}}})
        };
        assert_eq!(shown(deployment("s")), deployment("***"));
        assert_eq!(shown(json!({"$skipToken": "t"})), json!({"$skipToken": "t"}));
    }

    #[test]
    fn claims_of_a_challenge_and_plain_words_stay() {
        let challenge = "Bearer error=\"invalid_token\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnt9fQ==\"";
        assert_eq!(text(challenge), challenge);
        assert_eq!(body(&HeaderMap::new(), b"busy"), "busy");
    }
}
