//! Lists: all pages or an error, never a part.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use crate::error::{ArmError, ErrorClass};
use crate::pipeline::{Call, Pipeline, Reply};
use crate::view::node::Node;

/// A subscription's largest recorded list is one page; a thousand pages are a server gone wrong.
const MAX_PAGES: usize = 1000;

/// All items of a list, with the server's time of the first page.
pub(crate) struct Items {
    pub(crate) values: Vec<Value>,
    pub(crate) at: Timestamp,
    pub(crate) request_id: Option<String>,
}

impl Pipeline {
    /// Reads all pages.
    pub(crate) async fn list(&self, mut call: Call) -> Result<Items, ArmError> {
        let mut seen = BTreeSet::from([call.url.clone()]);
        let mut values = Vec::new();
        let mut first: Option<Timestamp> = None;
        loop {
            let reply = self.read(&call).await?;
            let at = *first.get_or_insert(reply.at);
            let (items, next) = page(&call, &reply)?;
            values.extend(items);
            let Some(next) = next else {
                return Ok(Items { values, at, request_id: reply.request_id });
            };
            if !self.cloud.owns(&next) {
                return Err(call.error_of(
                    &reply,
                    ErrorClass::Unreadable,
                    format!(
                        "the next page is at `{}`, which is not the resource manager",
                        next.origin().ascii_serialization()
                    ),
                ));
            }
            if !seen.insert(next.clone()) || seen.len() > MAX_PAGES {
                return Err(call.error_of(&reply, ErrorClass::Unreadable, "the pages do not end"));
            }
            // What comes from Azure is used as it is.
            call.version = None;
            call.url = next;
        }
    }
}

/// The items of one page and the address of the next. `nextLink` is opaque and used as it is; absent, null and `""`
/// mean the end.
fn page(call: &Call, reply: &Reply) -> Result<(Vec<Value>, Option<Url>), ArmError> {
    let unreadable = |why: String| call.error_of(reply, ErrorClass::Unreadable, why);
    let body: Value = serde_json::from_slice(&reply.body).map_err(|error| unreadable(format!("no JSON: {error}")))?;
    let next = match Node::root(&body).opt_text("nextLink").map_err(|error| unreadable(error.to_string()))? {
        None => None,
        Some(link) => {
            let url = call.url.join(link).map_err(|error| unreadable(format!("nextLink is not a URL: {error}")))?;
            Some(url)
        }
    };
    match body {
        Value::Object(mut object) => match object.remove("value") {
            Some(Value::Array(items)) => Ok((items, next)),
            _ => Err(unreadable("the list has no array `value`".to_owned())),
        },
        _ => Err(unreadable("the list is not an object".to_owned())),
    }
}
