//! `/sim/*`: the truth about the simulated cloud, and changes made behind everybody's back.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::request::{Answer, Call, Reply};
use crate::world::KEY_USER;
use crate::{json, time};

impl Azure {
    pub(crate) fn control(&mut self, call: &Call, path: &[&str]) -> Reply {
        match (&call.method, path) {
            (&Method::GET, ["world"]) => Ok(Answer::ok(self.world_json())),
            (&Method::GET, ["oracle"]) => Ok(Answer::ok(to_value(&self.oracle_report()))),
            (&Method::GET, ["requests"]) => Ok(Answer::ok(to_value(&self.log.report()))),
            (&Method::POST, ["drift"]) => {
                let change = serde_json::from_slice(&call.body)
                    .map_err(|error| Answer::error(400, "BadRequest", format!("no change: {error}")))?;
                self.drift(change)?;
                Ok(Answer::ok(json!({"at": time::stamp(self.now)})))
            }
            (&Method::POST, ["advance"]) => {
                let message = "time is moved only with a simulated clock";
                Err(Answer::error(409, "Conflict", message))
            }
            _ => Err(Answer::error(404, "NotFound", format!("nothing at '{}'", call.path()))),
        }
    }

    /// The true state, in the form in which worlds are loaded.
    pub(crate) fn world_json(&self) -> Value {
        let mut world = self.world.to_json();
        for entry in world.as_array_mut().into_iter().flatten() {
            let Some(key) = entry.get("id").and_then(Value::as_str).map(crate::arm_id::key) else { continue };
            if self.world.is_a(KEY_USER, &key)
                && let Some(left) = self.key_user_stops_after(&key)
            {
                let left = Duration::from_secs(left.as_secs_f64().round() as u64);
                json::object(entry, "properties")
                    .insert("stopsAfter".to_owned(), json!(humantime::format_duration(left).to_string()));
            }
        }
        world
    }
}

/// The span in the body of `POST /sim/advance`.
pub(crate) fn advance_by(body: &[u8]) -> Result<Duration, Answer> {
    let bad = |text: &str| Answer::error(400, "BadRequest", format!("`by` must be a duration such as `1h`: {text}"));
    let body: Value = serde_json::from_slice(body).map_err(|error| bad(&error.to_string()))?;
    let by = body.get("by").and_then(Value::as_str).ok_or_else(|| bad("missing"))?;
    humantime::parse_duration(by).map_err(|error| bad(&error.to_string()))
}

fn to_value(report: &impl serde::Serialize) -> Value {
    serde_json::to_value(report).unwrap_or_default()
}
