//! Lists: all pages or an error, never a part.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use crate::error::{ArmError, ErrorClass};
use crate::pipeline::{Call, Pipeline, Reply};
use crate::view::node::Node;

/// A subscription's largest recorded list is one page; a thousand pages are a server gone wrong.
const MAX_PAGES: usize = 1000;

/// A link that is read relative to the page before may grow with each page, and each is remembered. Design decision: far
/// above any recorded one.
const LONGEST_LINK: usize = 8 * 1024;

/// What a list that was read to its end says of itself.
pub(crate) struct End {
    /// The server's time of the first page.
    pub(crate) at: Timestamp,
    pub(crate) request_id: Option<String>,
}

/// All items of a list, with the server's time of the first page.
pub(crate) struct Items {
    pub(crate) values: Vec<Value>,
    pub(crate) at: Timestamp,
    pub(crate) request_id: Option<String>,
}

impl Pipeline {
    /// Reads all pages. What stands on two of them, for pages are counted anew with each of them, is there once.
    ///
    /// # Errors
    /// As for each page; and if a resource stands there in two ways, for then nobody knows how it is.
    pub(crate) async fn list(&self, call: Call) -> Result<Items, ArmError> {
        let mut values = Vec::new();
        let mut places = BTreeMap::new();
        let mut changed = None;
        let End { at, request_id } = self
            .pages(call.clone(), MAX_PAGES, |items, _| {
                let before = values.len();
                for item in items {
                    let id = item.get("id").and_then(Value::as_str).map(str::to_ascii_lowercase);
                    let place = id.as_ref().and_then(|id| places.get(id)).filter(|place| **place < before);
                    match (place.and_then(|place| values.get(*place)), id) {
                        (Some(shown), _) if *shown == item => {}
                        (Some(_), id) => changed = changed.take().or(id),
                        (None, id) => {
                            places.extend(id.map(|id| (id, values.len())));
                            values.push(item);
                        }
                    }
                }
                if changed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await?;
        match changed {
            Some(id) => {
                let why = format!("`{id}` changed while the pages of a list were read");
                Err(call.error(ErrorClass::Transient, why))
            }
            None => Ok(Items { values, at, request_id }),
        }
    }

    /// Reads all pages, `most` at the most, and gives the items of each away at once, with how long it took to
    /// come, until `take` breaks off.
    pub(crate) async fn pages(
        &self,
        mut call: Call,
        most: usize,
        mut take: impl FnMut(Vec<Value>, Duration) -> ControlFlow<()> + Send,
    ) -> Result<End, ArmError> {
        let mut seen = BTreeSet::from([call.url.clone()]);
        let mut first: Option<Timestamp> = None;
        loop {
            let reply = self.read(&call).await?;
            let at = *first.get_or_insert(reply.at);
            let (items, next) = page(&call, &reply)?;
            let more = take(items, reply.took).is_continue();
            let Some(next) = next.filter(|_| more) else {
                return Ok(End { at, request_id: reply.request_id });
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
            if next.as_str().len() > LONGEST_LINK {
                let why = format!("the address of the next page is longer than {LONGEST_LINK} bytes");
                return Err(call.error_of(&reply, ErrorClass::Unreadable, why));
            }
            if !seen.insert(next.clone()) {
                return Err(call.error_of(&reply, ErrorClass::Unreadable, "the pages do not end"));
            }
            if seen.len() > most {
                let why = format!("the pages do not end: {most} were read, and there are more");
                return Err(call.error_of(&reply, ErrorClass::Unreadable, why));
            }
            // What comes from Azure is used as it is.
            call.version = None;
            call.url = next;
        }
    }
}

/// The items of one page and the address of the next. `nextLink` is opaque and used as it is; absent, null and `""`
/// mean the end, unless the list goes on under another name (`odata.nextLink`), which is not followed.
fn page(call: &Call, reply: &Reply) -> Result<(Vec<Value>, Option<Url>), ArmError> {
    let unreadable = |why: String| call.error_of(reply, ErrorClass::Unreadable, why);
    let body: Value = serde_json::from_slice(&reply.body).map_err(|error| unreadable(format!("no JSON: {error}")))?;
    let elsewhere = |(name, value): (&str, Node<'_>)| {
        let folded = name.to_ascii_lowercase();
        let leads_on = folded.ends_with("nextlink") || folded.ends_with("skiptoken");
        leads_on && folded != "nextlink" && value.is_something()
    };
    if Node::root(&body).members().into_iter().any(elsewhere) {
        return Err(unreadable("the list goes on in a way that is not known".to_owned()));
    }
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
