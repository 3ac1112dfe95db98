//! A file of faults: JSON, read strictly, with all of its problems at once.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::faults::fields::Fields;
use crate::faults::json::Plain;
use crate::faults::kind::{Fault, Meanwhile};
use crate::faults::rule::FaultRule;
use crate::faults::target::{Pattern, Target, known};
use crate::faults::{Faults, profile};

/// Something wrong in a file of faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultsProblem {
    /// `line:column`, or the rule and the field: `rules[2].probability`.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl FaultsProblem {
    pub(super) fn new(place: &str, message: impl Into<String>) -> Self {
        let place = if place.is_empty() { "1:1" } else { place };
        Self { place: place.to_owned(), message: message.into() }
    }
}

impl fmt::Display for FaultsProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.message)
    }
}

/// What may stand in a rule, whatever its fault.
const RULE: [&str; 8] = ["operation", "fault", "probability", "calls", "times", "timesPerResource", "after", "until"];

/// What may stand in a rule beside that, for one fault or another.
const OWN: [&str; 11] =
    ["by", "then", "for", "status", "code", "retryAfter", "takesEffect", "attempts", "youngerThan", "level", "scope"];

/// The names of all faults.
const NAMES: [&str; 35] = [
    "resetBefore",
    "resetAfter",
    "hangBefore",
    "hangAfter",
    "late",
    "slow",
    "refuse",
    "internalServerError",
    "badGateway",
    "serviceUnavailable",
    "htmlPage",
    "gatewayTimeout",
    "notFound",
    "busy",
    "storm",
    "truncated",
    "notJson",
    "ignored",
    "operationFails",
    "operationHangs",
    "staleList",
    "emptyPage",
    "oddNextLink",
    "mixedCasing",
    "noDate",
    "dateBehind",
    "dateAhead",
    "clockJump",
    "principalNotFound",
    "scopeLocked",
    "policyDeny",
    "authorizationFailed",
    "tokenRejected",
    "tokenExpired",
    "tokenRevoked",
];

impl Faults {
    /// Reads `{"seed", "until", "rules": [{"operation", "fault", …}]}`.
    ///
    /// # Errors
    /// Everything that is wrong with it, in order.
    pub fn parse(text: &str) -> Result<Self, Vec<FaultsProblem>> {
        let Plain(file) = serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
            vec![FaultsProblem { place: format!("{}:{}", error.line(), error.column()), message: message.to_owned() }]
        })?;
        let mut problems = Vec::new();
        let Value::Object(map) = &file else {
            return Err(vec![FaultsProblem::new("", "a file of faults must be an object with `rules`")]);
        };
        let mut fields = Fields::new(map, String::new(), &mut problems);
        let seed = fields.whole("seed", 0, u64::MAX);
        let until = fields.span("until");
        if !map.get("rules").is_some_and(Value::is_array) {
            fields.say("rules", "`rules` must be a list of rules");
        }
        fields.nothing_but(&["seed", "until", "rules"], None);
        let rules = map.get("rules").and_then(Value::as_array).into_iter().flatten().enumerate();
        let rules: Vec<_> = rules.filter_map(|(index, rule)| read_rule(index, rule, &mut problems)).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut faults = Self::new(rules);
        if let Some(seed) = seed {
            faults = faults.seed(seed);
        }
        if let Some(until) = until {
            faults = faults.until(until);
        }
        Ok(faults)
    }

    /// Every kind of fault at rates that leave most requests alone, for six hours; each ends by itself, so that a
    /// correct client gets where it wants in the end.
    pub fn full(seed: u64) -> Self {
        profile::full(seed)
    }
}

fn read_rule(index: usize, rule: &Value, problems: &mut Vec<FaultsProblem>) -> Option<FaultRule> {
    let place = format!("rules[{index}]");
    let Value::Object(map) = rule else {
        problems.push(FaultsProblem::new(&place, "a rule must be an object"));
        return None;
    };
    let before = problems.len();
    let mut fields = Fields::new(map, place, problems);
    let pattern = fields.text("operation").map(|text| {
        let pattern = Pattern::parse(text);
        (text.to_owned(), pattern)
    });
    if pattern.is_none() && !map.contains_key("operation") {
        fields.say("operation", "a rule needs an `operation`: a method and the ending of a path, or `*`");
    }
    let fault = read_fault(&mut fields);
    if let Some((text, pattern)) = &pattern {
        check_pattern(&mut fields, text, pattern, fault.as_ref());
    }
    let chance = fields.number("probability");
    let calls = fields.ordinals("calls");
    if map.contains_key("probability") && map.contains_key("calls") {
        fields.say("calls", "`calls` and `probability` contradict each other: take one of them");
    }
    let times = fields.whole("times", 1, u64::from(u32::MAX));
    let per_resource = fields.whole("timesPerResource", 1, u64::from(u32::MAX));
    let (after, until) = (fields.span("after"), fields.span("until"));
    if let (Some(after), Some(until)) = (after, until)
        && after >= until
    {
        fields.say("until", "`until` must be later than `after`");
    }
    if problems.len() > before {
        return None;
    }
    let ((_, pattern), fault) = (pattern?, fault?);
    let mut rule = FaultRule::of(pattern, fault);
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    if let Some(chance) = chance {
        rule = rule.chance(chance);
    }
    if let Some(calls) = calls {
        rule = rule.calls(calls);
    }
    if let Some(times) = times {
        rule = rule.times(count(times));
    }
    if let Some(times) = per_resource {
        rule = rule.times_per_resource(count(times));
    }
    if let Some(after) = after {
        rule = rule.after(after);
    }
    if let Some(until) = until {
        rule = rule.until(until);
    }
    Some(rule)
}

fn check_pattern(fields: &mut Fields<'_>, text: &str, pattern: &Pattern, fault: Option<&Fault>) {
    let known = known();
    let targets: Vec<Target<'_>> = known
        .iter()
        .map(|(method, template)| Target { method, template })
        .filter(|target| pattern.matches(target))
        .collect();
    if targets.is_empty() {
        let message = format!("`{text}` is no operation of the simulated cloud, and no ending of one");
        fields.say("operation", message);
    } else if let Some(fault) = fault
        && !targets.iter().any(|target| fault.suits(target))
    {
        let message = format!("`{}` never strikes `{text}`: it is not made for such requests", fault.name());
        fields.say("operation", message);
    }
}

fn read_fault(fields: &mut Fields<'_>) -> Option<Fault> {
    let Some(name) = fields.text("fault").map(str::to_owned) else {
        if !fields.map.contains_key("fault") {
            fields.say("fault", "a rule needs a `fault`");
        }
        fields.nothing_but(&[&RULE[..], &OWN[..]].concat(), None);
        return None;
    };
    let (fault, own): (Option<Fault>, &[&str]) = match name.as_str() {
        "resetBefore" => (Some(Fault::ResetBefore), &[]),
        "resetAfter" => (Some(Fault::ResetAfter), &[]),
        "hangBefore" => (Some(Fault::HangBefore), &[]),
        "hangAfter" => (Some(Fault::HangAfter), &[]),
        "late" => {
            let then = fields.word("then", &["reset", "hang", "gatewayTimeout"]).unwrap_or(0);
            let then = [Meanwhile::Reset, Meanwhile::Hang, Meanwhile::GatewayTimeout].get(then).copied();
            let by = fields.needed_span("by");
            (by.zip(then).map(|(by, then)| Fault::Late { by, then }), &["by", "then"])
        }
        "slow" => (fields.needed_span("by").map(|by| Fault::Slow { by }), &["by"]),
        "refuse" => {
            let status = fields.whole("status", 400, 599);
            if status.is_none() && !fields.map.contains_key("status") {
                fields.say("status", "`refuse` needs a `status`");
            }
            let code = fields.text("code").unwrap_or("InjectedFault").to_owned();
            let retry_after = fields.span_or_zero("retryAfter").map(|span| span.as_secs());
            let status = status.and_then(|status| u16::try_from(status).ok());
            (status.map(|status| Fault::Refuse { status, code, retry_after }), &["status", "code", "retryAfter"])
        }
        "internalServerError" | "badGateway" | "serviceUnavailable" | "gatewayTimeout" | "htmlPage" => {
            let status = match name.as_str() {
                "badGateway" => 502,
                "serviceUnavailable" | "htmlPage" => 503,
                "gatewayTimeout" => 504,
                _ => 500,
            };
            let takes_effect = fields.boolean("takesEffect").unwrap_or(false);
            (Some(Fault::ServerError { status, html: name == "htmlPage", takes_effect }), &["takesEffect"])
        }
        "notFound" => (Some(Fault::NotFound), &[]),
        "busy" => (Some(Fault::Busy), &[]),
        "storm" => {
            let retry_after = fields.span("retryAfter").unwrap_or(Duration::from_secs(10));
            let lasts = fields.needed_span("for");
            (lasts.map(|lasts| Fault::Storm { lasts, retry_after }), &["for", "retryAfter"])
        }
        "truncated" => (Some(Fault::Truncated), &[]),
        "notJson" => (Some(Fault::NotJson), &[]),
        "ignored" => (Some(Fault::Ignored), &[]),
        "operationFails" => (Some(Fault::OperationFails), &[]),
        "operationHangs" => (fields.needed_span("for").map(|lasts| Fault::OperationHangs { lasts }), &["for"]),
        "staleList" => (fields.needed_span("by").map(|by| Fault::StaleList { by }), &["by"]),
        "emptyPage" => (Some(Fault::EmptyPage), &[]),
        "oddNextLink" => (Some(Fault::OddNextLink), &[]),
        "mixedCasing" => (Some(Fault::MixedCasing), &[]),
        "noDate" => (Some(Fault::NoDate), &[]),
        "dateBehind" => (fields.needed_span("by").map(|by| Fault::DateBehind { by }), &["by"]),
        "dateAhead" => (fields.needed_span("by").map(|by| Fault::DateAhead { by }), &["by"]),
        "clockJump" => (fields.needed_span("by").map(|by| Fault::ClockJump { by }), &["by"]),
        "principalNotFound" => {
            let attempts = fields.whole("attempts", 0, 1000);
            let younger_than = fields.span("youngerThan").unwrap_or_default();
            let attempts = attempts.and_then(|count| u32::try_from(count).ok());
            let attempts = attempts.unwrap_or(if younger_than.is_zero() { 2 } else { 0 });
            (Some(Fault::PrincipalNotFound { attempts, younger_than }), &["attempts", "youngerThan"])
        }
        "scopeLocked" => {
            let read_only = fields.word("level", &["ReadOnly", "CanNotDelete"]).unwrap_or(0) == 0;
            let (lasts, scope) = (fields.needed_span("for"), fields.breadth());
            (lasts.map(|lasts| Fault::ScopeLocked { lasts, scope, read_only }), &["for", "scope", "level"])
        }
        "policyDeny" => {
            let (lasts, scope) = (fields.needed_span("for"), fields.breadth());
            (lasts.map(|lasts| Fault::PolicyDeny { lasts, scope }), &["for", "scope"])
        }
        "authorizationFailed" => {
            let (lasts, scope) = (fields.needed_span("for"), fields.breadth());
            (lasts.map(|lasts| Fault::AuthorizationFailed { lasts, scope }), &["for", "scope"])
        }
        "tokenRejected" => {
            let code = fields.whole("code", 1, u64::from(u32::MAX)).and_then(|code| u32::try_from(code).ok());
            let lasts = fields.needed_span("for");
            let code = code.unwrap_or(7_000_215);
            (lasts.map(|lasts| Fault::TokenRejected { code, lasts }), &["code", "for"])
        }
        "tokenExpired" => (Some(Fault::TokenExpired), &[]),
        "tokenRevoked" => (Some(Fault::TokenRevoked), &[]),
        _ => {
            fields.say("fault", format!("no fault is named `{name}`; there are: {}", NAMES.join(", ")));
            fields.nothing_but(&[&RULE[..], &OWN[..]].concat(), None);
            return None;
        }
    };
    let allowed: Vec<&str> = RULE.iter().chain(own).copied().collect();
    fields.nothing_but(&allowed, Some(&name));
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        Faults::parse(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_profile_has_every_fault_there_is() {
        let kinds = Faults::full(1).kinds();
        let missing: Vec<&str> = NAMES.into_iter().filter(|name| !kinds.contains(name)).collect();
        // `refuse` stands for whatever is not among the others.
        assert_eq!(missing, ["refuse"]);
        assert!(kinds.iter().all(|kind| NAMES.contains(kind)));
    }

    #[test]
    fn a_file_is_read() {
        let faults = Faults::parse(
            r#"{"seed": 7, "until": "2h", "rules": [
                {"operation": "PATCH /…/workspaces/{}", "fault": "operationHangs", "for": "20m", "calls": [1, 4], "times": 1},
                {"operation": "token", "fault": "tokenRejected", "code": 7000222, "for": "5m", "probability": 0.5},
                {"operation": "*", "fault": "late", "by": "4m", "then": "hang", "timesPerResource": 1, "after": "1m", "until": "9m"},
                {"operation": "GET", "fault": "refuse", "status": 429, "code": "TooManyRequests", "retryAfter": "0s"}
            ]}"#,
        );
        assert_eq!(faults.unwrap().kinds(), ["operationHangs", "tokenRejected", "late", "refuse"]);
    }

    #[test]
    fn broken_json_is_told_by_line_and_column() {
        assert_eq!(problems("{\"rules\": [\n  {,}]}"), ["2:4: key must be a string"]);
    }

    #[test]
    fn what_stands_twice_is_told_and_not_lost() {
        let rule = r#"{"operation": "*", "fault": "busy", "times": 1, "times": 2}"#;
        assert_eq!(problems(&format!("{{\"rules\": [\n{rule}]}}")), ["2:55: `times` stands here twice"]);
        assert_eq!(problems(r#"{"rules": [], "rules": []}"#), ["1:21: `rules` stands here twice"]);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let found = problems(
            r#"{"sede": 1, "until": "soon", "rules": [
                {"operation": "PATCH /…/workspaces/{}", "fault": "explode"},
                {"operation": "PATCH /…/spaceships/{}", "fault": "resetAfter", "probability": 2},
                {"operation": "*", "fault": "slow"},
                {"operation": "*", "fault": "busy", "by": "3s", "probability": 0.1, "calls": [1]},
                {"operation": "GET workspaces", "fault": "tokenRejected", "for": "1m"},
                {"operation": "*", "fault": "late", "by": "3s", "then": "sing", "calls": [0], "times": 0},
                {"fault": 3, "after": "3m", "until": "2m"},
                7
            ]}"#,
        );
        let places: Vec<&str> =
            found.iter().filter_map(|problem| problem.split_once(": ")).map(|(place, _)| place).collect();
        assert_eq!(
            places,
            [
                "until",
                "sede",
                "rules[0].fault",
                "rules[1].operation",
                "rules[1].probability",
                "rules[2].by",
                "rules[3].by",
                "rules[3].calls",
                "rules[4].operation",
                "rules[5].then",
                "rules[5].calls",
                "rules[5].times",
                "rules[6].operation",
                "rules[6].fault",
                "rules[6].until",
                "rules[7]",
            ],
            "{found:#?}"
        );
        assert!(found.iter().any(|problem| problem.contains("there are: resetBefore, ")), "{found:#?}");
    }
}
