//! What a request says, and how answers and errors are put.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::arm_id;

/// A request with a known sender, kept for a write that lands later.
pub(crate) struct Sent {
    pub(crate) caller: String,
    pub(crate) call: Call,
}

/// A request, decoded.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Scheme and host that the caller used, for the URLs in answers.
    pub(crate) origin: String,
    /// Path segments, percent-decoded, slashes folded: clients such as Azure CLI 2.91.0 and Cloud Custodian 0.9.53 double
    /// slashes and encode them.
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Why the body could not be taken in; it is empty then.
    pub(crate) unread: Option<Unread>,
}

/// Why a body could not be taken in. A server leaves it among the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLong,
    Broken,
}

impl Call {
    pub(crate) fn new(origin: &str, request: &http::Request<Bytes>) -> Self {
        let path = percent_decoded(request.uri().path());
        let query = request.uri().query().unwrap_or_default();
        Self {
            method: request.method().clone(),
            origin: origin.to_owned(),
            segments: path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect(),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: request.headers().clone(),
            body: request.body().clone(),
            unread: request.extensions().get().copied(),
        }
    }

    /// The path as written, from the root.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }

    /// The path in the form in which ids are compared.
    pub(crate) fn key(&self) -> String {
        arm_id::key(&self.path())
    }

    /// A query value by name, case aside.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn api_version(&self) -> &str {
        self.query("api-version").unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The JSON body of a resource: an object, and so are its parts, where there are any.
    pub(crate) fn json(&self) -> Result<Value, Answer> {
        let is_resource = |body: &Value| {
            let mut parts = ["properties", "tags", "sku", "identity"].iter().filter_map(|part| body.get(part));
            body.is_object() && parts.all(|part| part.is_object() || part.is_null())
        };
        serde_json::from_slice::<Value>(&self.body).ok().filter(is_resource).ok_or_else(|| {
            Answer::error(
                400,
                "InvalidRequestContent",
                "The request content was invalid and could not be deserialized.",
            )
        })
    }

    /// The JSON body of a resource that stands in a region.
    /// Source: Azure/azure-sdk-for-python, recording `test_mgmt_hdinsight.test_create_with_empty_extended_parameters`.
    pub(crate) fn placed_json(&self) -> Result<Value, Answer> {
        let body = self.json()?;
        match body.get("location").and_then(Value::as_str) {
            Some(place) if !place.trim().is_empty() => Ok(body),
            _ => Err(Answer::error(400, "LocationRequired", "The location property is required for this definition.")),
        }
    }

    /// The fields of a form body.
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

/// Percent escapes resolved; a broken escape stays as it is.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte =
            escape.and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An answer in the making.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
}

/// What a handler gives back: both sides are answers, an early one by `?`.
pub(crate) type Reply = Result<Answer, Answer>;

impl Answer {
    pub(crate) fn new(status: u16, body: Option<Value>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, headers: Vec::new(), body }
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::new(200, Some(body))
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::new(status, None)
    }

    /// ARM's error envelope. Source: azure-mgmt-authorization 4.0.0 models, `ErrorResponse` and `ErrorDetail`.
    pub(crate) fn error(status: u16, code: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self::new(status, Some(json!({"error": {"code": code, "message": message}})))
    }

    /// The envelope of the monitoring endpoints, without the outer object. Source: cloud-custodian/cloud-custodian,
    /// `tools/c7n_azure/tests_azure/cassettes/ArmResourceTest.test_metric_filter_invalid_metric.json`.
    pub(crate) fn bare_error(status: u16, code: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self::new(status, Some(json!({"code": code, "message": message})))
    }

    /// Whether it is an error of this code.
    pub(crate) fn is_error(&self, code: &str) -> bool {
        self.body.as_ref().and_then(|body| crate::json::text(body, &["error", "code"])) == Some(code)
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn into_response(self) -> Response<Bytes> {
        let body = self.body.map(|body| Bytes::from(serde_json::to_vec(&body).unwrap_or_default()));
        let mut response = Response::new(body.clone().unwrap_or_default());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if body.is_some() {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        }
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        }
        response
    }
}

/// Folds either side of a reply.
pub(crate) fn answer_of(reply: Reply) -> Answer {
    reply.unwrap_or_else(|early| early)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_and_their_slashes_folded() {
        let request = http::Request::get("/%2Fsubscriptions%2Fs//resourceGroups/r%zz?$filter=principalId%20eq+%27x%27")
            .body(Bytes::new())
            .unwrap();
        let call = Call::new("http://localhost", &request);
        assert_eq!(call.segments, ["subscriptions", "s", "resourceGroups", "r%zz"]);
        assert_eq!(call.query("$FILTER"), Some("principalId eq 'x'"));
    }
}
