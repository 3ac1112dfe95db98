//! A place in a JSON document that knows its path, so that errors name it.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use keyless_core::id::ArmId;
use serde_json::Value;

/// What in a body could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub(crate) struct Unreadable {
    path: String,
    why: String,
}

pub(crate) type Result<T> = std::result::Result<T, Unreadable>;

impl Unreadable {
    /// The same, said to be of this part of the body: people know a resource by its name, not by its place in a list.
    pub(crate) fn of(self, part: impl std::fmt::Display) -> Self {
        Self { why: format!("{} ({part})", self.why), ..self }
    }
}

/// A JSON value and its path from the root of the body.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Node<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        Self { value, path: "body".to_owned() }
    }

    pub(crate) fn fail<T>(&self, why: impl Into<String>) -> Result<T> {
        Err(Unreadable { path: self.path.clone(), why: why.into() })
    }

    /// The field, unless it is absent or null. Azure mixes spellings (`ID` beside `id`, `EnableSoftwareBillOfMaterials`
    /// among camel case); a field in another case must not read as absent.
    pub(crate) fn opt(&self, name: &str) -> Option<Node<'a>> {
        let value = self.spellings(name).find(|value| !value.is_null())?;
        Some(Node { value, path: format!("{}.{name}", self.path) })
    }

    /// Whether the field is there at all, be it null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.spellings(name).next().is_some()
    }

    /// The values of a field in all spellings, the exact one first.
    fn spellings(&self, name: &str) -> impl Iterator<Item = &'a Value> {
        let exact = self.value.get(name);
        let object = self.value.as_object();
        let others =
            object.into_iter().flatten().filter(move |(key, _)| *key != name && key.eq_ignore_ascii_case(name));
        exact.into_iter().chain(others.map(|(_, value)| value))
    }

    pub(crate) fn required(&self, name: &str) -> Result<Node<'a>> {
        match self.opt(name) {
            Some(node) => Ok(node),
            None => self.fail(format!("`{name}` is missing")),
        }
    }

    /// The field, which must be an object.
    pub(crate) fn object(&self, name: &str) -> Result<Node<'a>> {
        let node = self.required(name)?;
        if node.value.is_object() { Ok(node) } else { node.fail("is not an object") }
    }

    pub(crate) fn opt_object(&self, name: &str) -> Result<Option<Node<'a>>> {
        match self.opt(name) {
            Some(node) if !node.value.is_object() => node.fail("is not an object"),
            other => Ok(other),
        }
    }

    /// Whether this is neither null nor an empty text.
    pub(crate) fn is_something(&self) -> bool {
        !self.value.is_null() && self.value.as_str() != Some("")
    }

    /// The value itself, to be handed on untouched.
    pub(crate) fn raw(&self) -> &'a Value {
        self.value
    }

    /// The members of an object.
    pub(crate) fn members(&self) -> Vec<(&'a str, Node<'a>)> {
        let Some(object) = self.value.as_object() else { return Vec::new() };
        object
            .iter()
            .map(|(name, value)| (name.as_str(), Node { value, path: format!("{}.{name}", self.path) }))
            .collect()
    }

    /// The items of an array; absent and null are no items.
    pub(crate) fn items(&self, name: &str) -> Result<Vec<Node<'a>>> {
        let Some(node) = self.opt(name) else { return Ok(Vec::new()) };
        let Some(items) = node.value.as_array() else { return node.fail("is not an array") };
        Ok(items
            .iter()
            .enumerate()
            .map(|(index, value)| Node { value, path: format!("{}[{index}]", node.path) })
            .collect())
    }

    /// Whether this is an object.
    pub(crate) fn is_object(&self) -> bool {
        self.value.is_object()
    }

    /// The items, if this is an array.
    pub(crate) fn list(&self) -> Option<Vec<Node<'a>>> {
        let items = self.value.as_array()?;
        let item = |(index, value)| Node { value, path: format!("{}[{index}]", self.path) };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A text, a number or a boolean, as a text.
    pub(crate) fn scalar(&self) -> Option<String> {
        match self.value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(self.value.to_string()),
            _ => None,
        }
    }

    pub(crate) fn as_text(&self) -> Result<&'a str> {
        match self.value.as_str() {
            Some(text) => Ok(text),
            None => self.fail("is not a text"),
        }
    }

    /// The text of a field; absent, null and `""` are the same nothing.
    pub(crate) fn opt_text(&self, name: &str) -> Result<Option<&'a str>> {
        match self.opt(name) {
            None => Ok(None),
            Some(node) => Ok(Some(node.as_text()?.trim()).filter(|text| !text.is_empty())),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a str> {
        match self.opt_text(name)? {
            Some(text) => Ok(text),
            None => self.fail(format!("`{name}` is missing")),
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>> {
        self.items(name)?.iter().map(|node| Ok(node.as_text()?.to_owned())).collect()
    }

    pub(crate) fn opt_bool(&self, name: &str) -> Result<Option<bool>> {
        let Some(node) = self.opt(name) else { return Ok(None) };
        match (node.value.as_bool(), node.value.as_str().map(str::to_ascii_lowercase).as_deref()) {
            (Some(flag), _) => Ok(Some(flag)),
            (None, Some("true")) => Ok(Some(true)),
            (None, Some("false")) => Ok(Some(false)),
            _ => node.fail("is not true or false"),
        }
    }

    pub(crate) fn opt_number(&self, name: &str) -> Result<Option<f64>> {
        let Some(node) = self.opt(name) else { return Ok(None) };
        let number = node.value.as_f64().or_else(|| node.value.as_str().and_then(|text| text.trim().parse().ok()));
        match number {
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => node.fail("is not a number"),
        }
    }

    pub(crate) fn opt_time(&self, name: &str) -> Result<Option<Timestamp>> {
        match self.opt_text(name)? {
            None => Ok(None),
            Some(text) => match parse_time(text) {
                Some(time) => Ok(Some(time)),
                None => self.fail(format!("`{name}` is not a time: `{}`", crate::envelope::shorten(text))),
            },
        }
    }

    /// A parsed text.
    pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().or_else(|error| self.fail(format!("`{name}`: {error}")))
    }

    pub(crate) fn opt_parse<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>> {
        match self.opt_text(name)? {
            None => Ok(None),
            Some(_) => self.parse(name).map(Some),
        }
    }

    /// An ARM id; some clients make ids with doubled slashes, and ARM gives them back.
    pub(crate) fn arm_id(&self, name: &str) -> Result<ArmId> {
        let mut text = self.text(name)?.to_owned();
        while text.contains("//") {
            text = text.replace("//", "/");
        }
        ArmId::parse(&text).or_else(|error| self.fail(format!("`{name}`: {error}")))
    }
}

/// Azure's spellings of a time: up to nine fraction digits, a blank for `T`, `Z` or an offset; without a zone it is UTC.
/// Seen too: `10/19/2019 2:04:37 PM` (month first) and `/Date(1571495198856)/` (milliseconds since 1970).
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let civil = |time: DateTime| Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp());
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(time) = text.parse::<DateTime>() {
        return civil(time);
    }
    if let Some(milliseconds) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        return Timestamp::from_millisecond(milliseconds.parse().ok()?).ok();
    }
    civil(DateTime::strptime("%m/%d/%Y %I:%M:%S %p", text).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn loose_spellings_are_read() {
        let body =
            json!({"a": "True", "b": false, "c": "3599", "d": 1.5, "e": "", "f": null, "t": "2021-07-01T07:41:11"});
        let node = Node::root(&body);
        assert_eq!(node.opt_bool("a"), Ok(Some(true)));
        assert_eq!(node.opt_bool("b"), Ok(Some(false)));
        assert_eq!(node.opt_number("c"), Ok(Some(3599.0)));
        assert_eq!(node.opt_number("d"), Ok(Some(1.5)));
        assert_eq!(node.opt_text("e"), Ok(None));
        assert_eq!(node.opt_text("f"), Ok(None));
        assert!(node.has("f") && !node.has("g"));
        assert_eq!(node.opt_time("t"), Ok(Some("2021-07-01T07:41:11Z".parse().unwrap())));
        assert_eq!(parse_time("2026-02-03T09:14:07.4420133+00:00"), parse_time("2026-02-03T09:14:07.4420133Z"));
    }

    #[test]
    fn every_recorded_spelling_of_a_time_is_read() {
        let check = |text: &str, expected: &str| {
            assert_eq!(parse_time(text).map(|time| time.to_string()).as_deref(), Some(expected), "{text}");
        };
        check("2026-02-03 09:14:07Z", "2026-02-03T09:14:07Z");
        check("2026-02-03T09:14:07.12+02:00", "2026-02-03T07:14:07.12Z");
        check("2/3/2026 2:04:37 PM", "2026-02-03T14:04:37Z");
        check("12/13/2026 12:04:37 AM", "2026-12-13T00:04:37Z");
        check("/Date(1571495198856)/", "2019-10-19T14:26:38.856Z");
        for nonsense in ["13/12/2026 1:04:37 AM", "02/03/2026", "/Date()/", "/Date(1571495198856", "1571495198856", ""]
        {
            assert_eq!(parse_time(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_field_in_another_case_is_not_absent() {
        let body = json!({"Condition": "x", "flag": null, "FLAG": false, "id": "a", "ID": "b", "none": null});
        let node = Node::root(&body);
        assert_eq!(node.opt_text("condition"), Ok(Some("x")));
        assert_eq!(node.opt_bool("flag"), Ok(Some(false)));
        assert_eq!(node.opt_text("id"), Ok(Some("a")), "the exact spelling goes first");
        assert!(node.has("NONE") && !node.has("nothing"));
    }

    #[test]
    fn what_cannot_be_understood_is_an_error_with_its_path() {
        let body = json!({"p": {"a": 5, "b": "maybe", "c": {}, "l": {}}});
        let node = Node::root(&body).object("p").unwrap();
        assert_eq!(node.opt_text("a").unwrap_err().to_string(), "body.p.a: is not a text");
        assert!(node.opt_bool("b").is_err());
        assert!(node.opt_number("c").is_err());
        assert!(node.items("l").is_err());
        assert!(node.opt_time("b").is_err());
        assert_eq!(node.text("x").unwrap_err().to_string(), "body.p: `x` is missing");
    }
}
