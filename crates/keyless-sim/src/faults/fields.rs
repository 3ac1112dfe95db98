//! The fields of a JSON object, read strictly: what is not as it must be becomes a problem, and reading goes on.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::faults::file::FaultsProblem;
use crate::faults::kind::Breadth;

/// The fields of an object, and what is wrong with them.
pub(super) struct Fields<'a> {
    pub(super) map: &'a Map<String, Value>,
    place: String,
    problems: &'a mut Vec<FaultsProblem>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Value>, place: String, problems: &'a mut Vec<FaultsProblem>) -> Self {
        Self { map, place, problems }
    }

    pub(super) fn say(&mut self, field: &str, message: impl Into<String>) {
        let place = if self.place.is_empty() { field.to_owned() } else { format!("{}.{field}", self.place) };
        self.problems.push(FaultsProblem::new(&place, message));
    }

    pub(super) fn nothing_but(&mut self, allowed: &[&str], fault: Option<&str>) {
        let strange: Vec<String> = self.map.keys().filter(|name| !allowed.contains(&name.as_str())).cloned().collect();
        for name in strange {
            let message = match fault {
                Some(fault) => format!("`{fault}` has no field `{name}`"),
                None => format!("there is no field `{name}`"),
            };
            self.say(&name, message);
        }
    }

    pub(super) fn read<T>(&mut self, field: &str, what: &str, read: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        let value = self.map.get(field)?;
        let found = read(value);
        if found.is_none() {
            self.say(field, format!("`{field}` must be {what}, not `{value}`"));
        }
        found
    }

    pub(super) fn text(&mut self, field: &str) -> Option<&'a str> {
        self.read(field, "text", Value::as_str)
    }

    pub(super) fn boolean(&mut self, field: &str) -> Option<bool> {
        self.read(field, "true or false", Value::as_bool)
    }

    pub(super) fn whole(&mut self, field: &str, from: u64, to: u64) -> Option<u64> {
        let what =
            if to == u64::MAX { format!("a number from {from} on") } else { format!("a number from {from} to {to}") };
        self.read(field, &what, |value| value.as_u64().filter(|number| (from..=to).contains(number)))
    }

    pub(super) fn number(&mut self, field: &str) -> Option<f64> {
        let chance = |value: &Value| value.as_f64().filter(|chance| (0.0..=1.0).contains(chance));
        self.read(field, "a number from 0 to 1", chance)
    }

    pub(super) fn ordinals(&mut self, field: &str) -> Option<Vec<u32>> {
        let ordinal = |value: &Value| value.as_u64().filter(|call| *call > 0).and_then(|call| u32::try_from(call).ok());
        let all = |value: &Value| value.as_array()?.iter().map(ordinal).collect::<Option<Vec<u32>>>();
        self.read(field, "a list of numbers from 1 on", |value| all(value).filter(|calls| !calls.is_empty()))
    }

    pub(super) fn span(&mut self, field: &str) -> Option<Duration> {
        let span = |value: &Value| humantime::parse_duration(value.as_str()?).ok().filter(|span| !span.is_zero());
        self.read(field, "a duration such as `90s`", span)
    }

    /// A span that may be nothing.
    pub(super) fn span_or_zero(&mut self, field: &str) -> Option<Duration> {
        self.read(field, "a duration such as `90s`", |value| humantime::parse_duration(value.as_str()?).ok())
    }

    pub(super) fn needed_span(&mut self, field: &str) -> Option<Duration> {
        if !self.map.contains_key(field) {
            self.say(field, format!("this fault needs `{field}`, a duration such as `90s`"));
        }
        self.span(field)
    }

    pub(super) fn word(&mut self, field: &str, words: &[&str]) -> Option<usize> {
        let what = format!("one of {}", words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "));
        self.read(field, &what, |value| words.iter().position(|word| value.as_str() == Some(word)))
    }

    pub(super) fn breadth(&mut self) -> Breadth {
        match self.word("scope", &["resource", "group", "subscription"]) {
            Some(1) => Breadth::Group,
            Some(2) => Breadth::Subscription,
            _ => Breadth::Resource,
        }
    }
}
