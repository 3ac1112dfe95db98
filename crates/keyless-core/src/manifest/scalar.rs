//! The leaves of the files: names, ids, durations, times of day, timestamps, words of the catalog.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::catalog::{LEVELS, Level, SCENARIOS, ScenarioIdentity, find_scenarios};
use crate::id::{
    ArmId, IdError, LogAnalyticsId, ManagedIdentityId, PrincipalId, StorageAccountId, SubscriptionId, WorkspaceId,
};
use crate::incompatibility::{self, Severity};
use crate::secret;

use super::node::{Node, Value};
use super::problem::shorten;
use super::wire::{Reader, Wire};

/// The longest duration: longer waits than a year are typing errors.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// One line of text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line(pub String);

impl Line {
    const LONGEST: usize = 256;
}

impl Wire for Line {
    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        if text.chars().count() > Self::LONGEST {
            reader.wrong(node.at, format_args!("is longer than {} characters", Self::LONGEST), None);
            return None;
        }
        Some(Self(text.trim().to_owned()))
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": Self::LONGEST })
    }
}

/// The name of a region. The name for people is taken too and, as in Azure, becomes the other.
///
/// Source: `az account list-locations`: names are letters and digits, such as `westeurope` or `usgovvirginia`; the names for
/// people are words of them, such as `West Europe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region(pub String);

impl Region {
    const LONGEST: usize = 64;
}

impl Wire for Region {
    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric());
        if text.len() <= Self::LONGEST && text.split(' ').all(is_word) {
            return Some(Self(text.replace(' ', "").to_ascii_lowercase()));
        }
        let hint = "as in `westeurope`; `az account list-locations --query [].name` prints them".to_owned();
        reader.wrong(node.at, format_args!("is not the name of a region: `{}`", shorten(text)), Some(hint));
        None
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        let pattern = "^[A-Za-z0-9]+( [A-Za-z0-9]+)*$";
        json_schema!({ "type": "string", "pattern": pattern, "maxLength": Self::LONGEST, "examples": ["westeurope"] })
    }
}

/// Text for people that may be written on several lines; it is kept as one, and without what looks like a secret, for it
/// is told in plans and events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prose(pub String);

impl Prose {
    const LONGEST: usize = 2000;
}

impl Wire for Prose {
    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let folded = match &node.value {
            Value::Text(text) => Value::Text(text.split_whitespace().collect::<Vec<_>>().join(" ")),
            other => other.clone(),
        };
        let node = Node { at: node.at, value: folded };
        let text = reader.text(&node)?;
        if text.chars().count() > Self::LONGEST {
            reader.wrong(node.at, format_args!("is longer than {} characters", Self::LONGEST), None);
            return None;
        }
        Some(Self(secret::without(text)))
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": Self::LONGEST })
    }
}

/// The name of an object, by which others refer to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub String);

impl Wire for Name {
    const NAME: &'static str = "Name";

    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        if !super::write::is_name(text) {
            let hint = "up to 128 letters, digits, `-`, `_` and `.`, a letter or digit first";
            reader.wrong(node.at, format_args!("is not a name: `{}`", shorten(text)), Some(hint.to_owned()));
            return None;
        }
        Some(Self(text.to_owned()))
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" })
    }
}

/// Free labels; they mean nothing to keyless.
#[derive(Debug, Clone)]
pub(super) struct Labels;

impl Wire for Labels {
    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            reader.wrong_type(node, "a mapping of text to text", None);
            return None;
        };
        for (key, value) in entries {
            reader.text(key);
            if value.value != Value::Text(String::new()) {
                reader.text(value);
            }
        }
        Some(Self)
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": "string" } })
    }
}

impl Wire for Duration {
    const NAME: &'static str = "Duration";

    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let hint = || Some("write a number and a unit, such as `90s`, `15m` or `7d`".to_owned());
        if let Value::Number(_) = &node.value {
            reader.wrong_type(node, "a duration", hint());
            return None;
        }
        let text = reader.text(node)?;
        match humantime::parse_duration(text) {
            Ok(duration) if duration.is_zero() => {
                reader.wrong(node.at, "must be longer than zero", None);
                None
            }
            Ok(duration) if duration > LONGEST => {
                reader.wrong(node.at, format_args!("must be at most 400 days, found `{}`", shorten(text)), None);
                None
            }
            Ok(duration) => Some(duration),
            Err(_) => {
                reader.wrong(node.at, format_args!("is not a duration: `{}`", shorten(text)), hint());
                None
            }
        }
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration as people write it; at most 400 days.",
            "examples": ["90s", "15m", "7d", "1h 30m"],
            "minLength": 2,
        })
    }
}

impl Wire for Timestamp {
    const NAME: &'static str = "Timestamp";

    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        match text.parse::<Timestamp>() {
            Ok(timestamp) => Some(timestamp),
            Err(_) => {
                // A date that there is, in a form that is right.
                let is_time = text.strip_suffix(['Z', 'z']).is_some_and(|text| text.parse::<DateTime>().is_ok());
                let what = if is_time { "is later or earlier than can be counted" } else { "is not an RFC 3339 time" };
                let hint = if is_time {
                    format!("the last time that can be counted is `{}`", Timestamp::MAX.strftime("%FT%TZ"))
                } else {
                    "write it as in `2026-12-24T00:00:00Z`".to_owned()
                };
                reader.wrong(node.at, format_args!("{what}: `{}`", shorten(text)), Some(hint));
                None
            }
        }
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "examples": ["2026-12-24T00:00:00Z"] })
    }
}

/// A time of day in minutes after midnight, UTC; 24:00 is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimeOfDay(pub u16);

impl TimeOfDay {
    fn parse(text: &str) -> Option<Self> {
        let (hours, minutes) = text.split_once(':')?;
        let number = |part: &str| {
            let valid = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            if valid { part.parse::<u16>().ok() } else { None }
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let total = hours * 60 + minutes;
        (minutes < 60 && total <= 24 * 60).then_some(Self(total))
    }
}

impl Wire for TimeOfDay {
    const NAME: &'static str = "TimeOfDay";

    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text(node)?;
        let parsed = Self::parse(text);
        if parsed.is_none() {
            let hint = "write hours and minutes in UTC, as in \"09:00\"; the day ends at \"24:00\"".to_owned();
            reader.wrong(node.at, format_args!("is not a time of day: `{}`", shorten(text)), Some(hint));
        }
        parsed
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" })
    }
}

/// A word that stands for one of the catalog's levels.
impl Wire for &'static Level {
    const NAME: &'static str = "Level";

    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let known: Vec<&str> = LEVELS.iter().map(|level| level.name).collect();
        let word = reader.word(node, &known, &[])?;
        LEVELS.iter().find(|level| level.name == word)
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = LEVELS.iter().map(|level| level.name).collect();
        json_schema!({ "type": "string", "description": "A baseline for people.", "enum": words })
    }
}

/// A scenario of the catalog that somebody has to be granted roles for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ScenarioName(pub &'static str);

impl ScenarioName {
    /// The words a file may use, each with its title: what the service grants by itself is left out.
    fn offered() -> BTreeMap<&'static str, &'static str> {
        SCENARIOS
            .iter()
            .filter(|scenario| scenario.identity != ScenarioIdentity::Service)
            .map(|scenario| (scenario.name, scenario.title))
            .collect()
    }
}

impl Wire for ScenarioName {
    const NAME: &'static str = "Scenario";

    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::Text(text) = &node.value
            && find_scenarios(text).any(|row| row.identity == ScenarioIdentity::Service)
        {
            let hint = "leave it out; `serviceGrants` says what to do while that grant is missing".to_owned();
            reader.wrong(
                node.at,
                format_args!("is `{text}`, for which the service itself makes the grant"),
                Some(hint),
            );
            return None;
        }
        offered_word(&Self::offered(), node, reader).map(Self)
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        offered_words(&Self::offered())
    }
}

/// The id of something that is known not to work and that Azure shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct IncompatibilityId(pub &'static str);

impl IncompatibilityId {
    /// What can be accepted; advice has nothing to accept.
    fn offered() -> BTreeMap<&'static str, &'static str> {
        let shown = incompatibility::ALL.iter().filter(|row| row.severity != Severity::Advice);
        shown.map(|row| (row.id, row.what)).collect()
    }
}

impl Wire for IncompatibilityId {
    const NAME: &'static str = "Incompatibility";

    fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        offered_word(&Self::offered(), node, reader).map(Self)
    }

    fn describe(_: &mut SchemaGenerator) -> Schema {
        offered_words(&Self::offered())
    }
}

/// A word of a table that has a title for each.
fn offered_word(
    offered: &BTreeMap<&'static str, &'static str>,
    node: &Node,
    reader: &mut Reader<'_>,
) -> Option<&'static str> {
    let known: Vec<&'static str> = offered.keys().copied().collect();
    let word = reader.word(node, &known, &[])?;
    known.into_iter().find(|known| *known == word)
}

fn offered_words(offered: &BTreeMap<&'static str, &'static str>) -> Schema {
    let words: Vec<&str> = offered.keys().copied().collect();
    let titles: Vec<String> = offered.iter().map(|(name, title)| format!("{name}: {title}")).collect();
    json_schema!({ "type": "string", "description": titles.join("; "), "enum": words })
}

macro_rules! identifiers {
    ($($type:ty as $name:literal, $parse:expr, $schema:tt;)+) => { $(
        impl Wire for $type {
            const NAME: &'static str = $name;

            fn decode(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
                let text = reader.text(node)?;
                let parse: fn(&str) -> Result<Self, IdError> = $parse;
                match parse(text) {
                    Ok(id) => Some(id),
                    Err(error) => {
                        reader.wrong(node.at, format_args!("is wrong: {error}"), hint_for(&error));
                        None
                    }
                }
            }

            fn describe(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+ };
}

identifiers! {
    ArmId as "ArmId", ArmId::parse, {
        "type": "string",
        "description": "An absolute ARM id.",
        "pattern": "^/",
    };
    WorkspaceId as "WorkspaceId", WorkspaceId::parse, {
        "type": "string",
        "description": "/subscriptions/{guid}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{name}",
        "pattern": "^/[^/]+/[0-9a-fA-F-]{36}/[^/]+/[^/]+/[^/]+/[^/]+/[^/]+/[^/]+/?$",
    };
    StorageAccountId as "StorageAccountId", StorageAccountId::parse, {
        "type": "string",
        "description": "/subscriptions/{guid}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{name}",
        "pattern": "^/[^/]+/[0-9a-fA-F-]{36}/[^/]+/[^/]+/[^/]+/[^/]+/[^/]+/[^/]+/?$",
    };
    ManagedIdentityId as "ManagedIdentityId", ManagedIdentityId::parse, {
        "type": "string",
        "description": "/subscriptions/{guid}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
        "pattern": "^/[^/]+/[0-9a-fA-F-]{36}/[^/]+/[^/]+/[^/]+/[^/]+/[^/]+/[^/]+/?$",
    };
    LogAnalyticsId as "LogAnalyticsWorkspaceId", LogAnalyticsId::parse, {
        "type": "string",
        "description": "/subscriptions/{guid}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{name}",
        "pattern": "^/[^/]+/[0-9a-fA-F-]{36}/[^/]+/[^/]+/[^/]+/[^/]+/[^/]+/[^/]+/?$",
    };
    PrincipalId as "ObjectId", str::parse, {
        "type": "string",
        "description": "An object id in Entra.",
        "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    };
    SubscriptionId as "SubscriptionId", str::parse, {
        "type": "string",
        "description": "The GUID of a subscription.",
        "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    };
}

fn hint_for(error: &IdError) -> Option<String> {
    match error {
        IdError::NotAGuid { .. } => Some("as in `3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90`".to_owned()),
        IdError::NotAnId { .. } => Some("`az resource show --query id` prints the id of a resource".to_owned()),
        IdError::WrongType { expected, .. } => {
            let kind = match *expected {
                "storage account" => "Microsoft.Storage/storageAccounts",
                "workspace" => "Microsoft.MachineLearningServices/workspaces",
                "Log Analytics workspace" => "Microsoft.OperationalInsights/workspaces",
                _ => "Microsoft.ManagedIdentity/userAssignedIdentities",
            };
            Some(format!("as in `/subscriptions/GUID/resourceGroups/GROUP/providers/{kind}/NAME`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_has_two_digits_each_and_ends_at_midnight() {
        assert_eq!(TimeOfDay::parse("00:00"), Some(TimeOfDay(0)));
        assert_eq!(TimeOfDay::parse("24:00"), Some(TimeOfDay(1440)));
        for bad in ["24:01", "9:00", "09:60", "+9:00", "99:99", "0900", ""] {
            assert_eq!(TimeOfDay::parse(bad), None, "{bad}");
        }
    }
}
