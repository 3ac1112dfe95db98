//! Why a principal has or has not what it needs: for people and for programs.

use std::fmt::Write as _;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use jiff::Timestamp;
use keyless_core::access::{Denial, Hit};
use keyless_core::catalog::role_name;
use keyless_core::observed::ObservedAuthMode;
use keyless_core::plan::why::{Eligible, NeedWhy, Route, Verdict, Why};
use serde::Serialize;

use super::{in_how_long, moment};

const GOOD: Style = AnsiColor::Green.on_default();
const WAIT: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const BOLD: Style = Style::new().bold();

/// In which form the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhyOutput {
    /// For people at a terminal.
    Text,
    /// For programs; field names are stable.
    Json,
}

/// Prints the answer. Colors are in the text; the caller strips them where they have no place.
pub(crate) fn render(why: &Why, output: WhyOutput) -> String {
    let mut text = String::new();
    match output {
        // Writing to a `String` does not fail.
        WhyOutput::Text => drop(write_text(&mut text, why)),
        WhyOutput::Json => {
            // Texts, numbers and lists only, which always have a form in JSON.
            text = serde_json::to_string_pretty(&Shown::of(why)).unwrap_or_default();
            text.push('\n');
        }
    }
    text
}

/// 0 effective, 2 not effective, 1 where that could not be told.
pub(crate) fn exit_code(why: &Why) -> ExitCode {
    match why.is_effective() {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::from(2),
        None => ExitCode::FAILURE,
    }
}

fn write_text(text: &mut String, why: &Why) -> std::fmt::Result {
    let (style, word) = match why.is_effective() {
        Some(true) => (GOOD, "effective"),
        Some(false) => (BAD, "not effective"),
        None => (WAIT, "not known"),
    };
    let (workspace, account) = (why.workspace.name(), why.account.name());
    writeln!(text, "{BOLD}{}{BOLD:#} on {workspace} ({account}): {style}{word}{style:#}", plain(&why.principal))?;
    if let Some(mode @ (ObservedAuthMode::AccessKey | ObservedAuthMode::Unset)) = &why.mode {
        let until = "until it is on identity, it reaches its data with the account key";
        let broken = if why.is_broken { ", which is off: nobody works through it" } else { "" };
        writeln!(text, "  the workspace's mode is {mode}: {until}{broken}")?;
    }
    if !why.is_declared {
        let judged = if why.words.is_empty() { "what the service grants to it" } else { "each role of the catalog" };
        writeln!(text, "  the document of {workspace} does not name it; {judged}:")?;
    }
    for need in &why.needs {
        write_need(text, why, need)?;
    }
    if !why.words.is_empty() {
        for (is_effective, heading) in [(Some(true), "effective"), (Some(false), "not effective"), (None, "not known")]
        {
            let words: Vec<&str> = why
                .words
                .iter()
                .filter(|word| word.is_effective == is_effective)
                .map(|word| word.name.as_str())
                .collect();
            if !words.is_empty() {
                writeln!(text, "  {heading}: {}", words.join(", "))?;
            }
        }
    }
    Ok(())
}

fn write_need(text: &mut String, why: &Why, need: &NeedWhy) -> std::fmt::Result {
    let because: Vec<String> = need.because.iter().map(ToString::to_string).collect();
    let style = match need.verdict.is_effective() {
        Some(true) => GOOD,
        Some(false) if !matches!(need.verdict, Verdict::Young { .. }) => BAD,
        Some(false) | None => WAIT,
    };
    let mark = if need.verdict == Verdict::Effective { "✓" } else { "✗" };
    writeln!(text, "  {style}{mark}{style:#} {} for {}", role_name(need.role), plain(&because.join(", ")))?;
    if let Some(condition) = &need.condition {
        writeln!(text, "      asked for under {}", plain(condition))?;
    }
    if let Some(principal) = need.principal.filter(|id| !why.principal.contains(&id.to_string())) {
        writeln!(text, "      object id {principal}")?;
    }
    writeln!(text, "      {}", plain(&verdict(&need.verdict, why.at)))?;
    for route in &need.routes {
        // A role that gives nothing of it is worth telling where nothing else is there.
        let tells_nothing =
            route.gives.is_empty() && (!why.is_declared || need.routes.iter().any(|r| !r.gives.is_empty()));
        if tells_nothing || (need.verdict == Verdict::Effective && !route.is_enough) {
            continue;
        }
        write_route(text, route, need, why.at)?;
    }
    if !need.missing.is_empty() && need.principal.is_some() {
        writeln!(text, "      missing data actions:")?;
        for action in &need.missing {
            writeln!(text, "        {action}")?;
        }
    }
    for denial in &need.denials {
        write_denial(text, denial, need)?;
    }
    for eligible in &need.eligible {
        writeln!(text, "      {}", plain(&eligibility(eligible)))?;
    }
    if let Some(unknown) = &need.eligible_unknown {
        writeln!(text, "      {WAIT}!{WAIT:#} eligible roles could not be read: {}", plain(unknown))?;
    }
    for orphan in &need.orphans {
        let (role, principal) = (role_name(orphan.role), orphan.principal);
        writeln!(
            text,
            "      {role} was granted to {principal}, whom no document comes to any more: likely the identity before it was made again"
        )?;
    }
    if let Some(lift) = &need.lift {
        writeln!(text, "      lifted by: {}", plain(lift))?;
    }
    Ok(())
}

fn verdict(verdict: &Verdict, now: Timestamp) -> String {
    match verdict {
        Verdict::Effective => "granted, old enough, not denied".to_owned(),
        Verdict::Young { works_at } => {
            format!("granted, to be relied on from {}{}", moment(*works_at), in_how_long(Some(now), *works_at))
        }
        Verdict::Ageless => "granted, and Azure does not tell since when".to_owned(),
        Verdict::Missing => "not granted".to_owned(),
        Verdict::Conditioned => "granted only under a condition that the need does not ask for".to_owned(),
        Verdict::Denied { certain: true } => "granted, and denied".to_owned(),
        Verdict::Denied { certain: false } => "granted, and may be denied".to_owned(),
        Verdict::NoPrincipal { why } => format!("there is nobody to grant it to: {why}"),
        Verdict::Unknown { why } => format!("not known: {why}"),
    }
}

fn write_route(text: &mut String, route: &Route, need: &NeedWhy, now: Timestamp) -> std::fmt::Result {
    let through = match &route.through {
        None => "direct".to_owned(),
        Some((group, None)) => format!("through group {group}"),
        Some((group, Some(name))) => format!("through group {name} ({group})"),
    };
    let own = if route.is_own { ", made by keyless" } else { "" };
    writeln!(text, "      {} at {}, {}{own}", plain(&route.role), route.scope, plain(&through))?;
    writeln!(text, "        assignment {}", route.assignment.name())?;
    if route.through.is_some() && route.member_since.is_none() {
        writeln!(text, "        since when it is in the group is not told: a new member may have to wait")?;
    }
    if let Some(condition) = &route.condition {
        writeln!(text, "        under {}", plain(condition))?;
    }
    let asked = route.gives.len() + need.missing.iter().filter(|action| !route.gives.contains(action)).count();
    match route.gives.as_slice() {
        [] => writeln!(text, "        gives none of these data actions")?,
        some if some.len() < asked => writeln!(text, "        gives {} of {asked} data actions", some.len())?,
        _ => {}
    }
    for hole in &route.holes {
        writeln!(text, "        takes out again (notDataActions) {hole}")?;
    }
    if let (Some(since), false) = (route.since, route.gives.is_empty()) {
        let works = match route.works_at {
            Some(at) if at > now => format!(", relied on from {}{}", moment(at), in_how_long(Some(now), at)),
            Some(_) | None => String::new(),
        };
        writeln!(text, "        counts since {}{works}", moment(since))?;
    }
    Ok(())
}

fn write_denial(text: &mut String, denial: &Denial, need: &NeedWhy) -> std::fmt::Result {
    let hits = match denial.hits {
        Hit::Everyone => "everyone".to_owned(),
        Hit::Itself => "it by name".to_owned(),
        Hit::Group(group) => format!("group {group}"),
        Hit::Member(who) => format!("{who}, who may be in it,"),
    };
    let word = if denial.certain { "denied" } else { "may be denied" };
    let takes = denial.data_actions.len();
    let all = need.routes.iter().flat_map(|route| &route.gives).chain(&need.missing);
    let asked = all.collect::<std::collections::BTreeSet<_>>().len().max(takes);
    writeln!(
        text,
        "      {BAD}!{BAD:#} {word} by `{}` at {}: it denies {hits} {takes} of {asked} data actions",
        plain(&denial.name),
        denial.scope
    )
}

fn eligibility(eligible: &Eligible) -> String {
    let Eligible { role, scope, through, until, is_enough } = eligible;
    let through = through.map(|group| format!(" through group {group}")).unwrap_or_default();
    let until = until.map(|until| format!(", until {}", moment(until))).unwrap_or_default();
    let doubt = if is_enough.is_none() { " (what it gives was not read)" } else { "" };
    format!("eligible and not active: {role} at {scope}{through}{until}{doubt}")
}

/// Text of Azure or of the files without what would move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The answer in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    workspace: String,
    storage_account: String,
    auth_mode: Option<String>,
    broken: bool,
    principal: String,
    declared: bool,
    at: String,
    effective: Option<bool>,
    needs: Vec<ShownNeed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    words: Vec<ShownWord>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownWord {
    name: String,
    effective: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownNeed {
    role: String,
    role_id: String,
    because: Vec<String>,
    condition: Option<String>,
    principal_id: Option<String>,
    effective: Option<bool>,
    verdict: &'static str,
    message: String,
    works_at: Option<String>,
    grants: Vec<ShownRoute>,
    missing_data_actions: Vec<&'static str>,
    denials: Vec<ShownDenial>,
    eligible: Vec<ShownEligible>,
    eligible_unknown: Option<String>,
    orphans: Vec<ShownOrphan>,
    lift: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRoute {
    assignment: String,
    scope: String,
    role: String,
    through_group: Option<String>,
    member_since: Option<String>,
    condition: Option<String>,
    made_by_keyless: bool,
    enough: bool,
    data_actions: Vec<&'static str>,
    not_data_actions: Vec<&'static str>,
    since: Option<String>,
    works_at: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownDenial {
    name: String,
    scope: String,
    denies: String,
    certain: bool,
    data_actions: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownEligible {
    role: String,
    scope: String,
    through_group: Option<String>,
    until: Option<String>,
    enough: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownOrphan {
    assignment: String,
    principal_id: String,
    role: String,
}

impl Shown {
    fn of(why: &Why) -> Self {
        let Why { workspace, account, mode, is_broken, principal, is_declared, at, needs, words, wants: _ } = why;
        Self {
            workspace: workspace.to_string(),
            storage_account: account.to_string(),
            auth_mode: mode.as_ref().map(ToString::to_string),
            broken: *is_broken,
            principal: principal.clone(),
            declared: *is_declared,
            at: moment(*at),
            effective: why.is_effective(),
            needs: needs.iter().map(|need| ShownNeed::of(need, *at)).collect(),
            words: words
                .iter()
                .map(|word| ShownWord { name: word.name.clone(), effective: word.is_effective })
                .collect(),
        }
    }
}

impl ShownNeed {
    fn of(need: &NeedWhy, now: Timestamp) -> Self {
        let (word, works_at) = match &need.verdict {
            Verdict::Effective => ("effective", None),
            Verdict::Young { works_at } => ("young", Some(moment(*works_at))),
            Verdict::Ageless => ("ageless", None),
            Verdict::Missing => ("missing", None),
            Verdict::Conditioned => ("conditioned", None),
            Verdict::Denied { certain: true } => ("denied", None),
            Verdict::Denied { certain: false } => ("mayBeDenied", None),
            Verdict::NoPrincipal { .. } => ("noPrincipal", None),
            Verdict::Unknown { .. } => ("unknown", None),
        };
        Self {
            role: role_name(need.role),
            role_id: need.role.to_string(),
            because: need.because.iter().map(ToString::to_string).collect(),
            condition: need.condition.clone(),
            principal_id: need.principal.map(|id| id.to_string()),
            effective: need.verdict.is_effective(),
            verdict: word,
            message: verdict(&need.verdict, now),
            works_at,
            grants: need.routes.iter().map(ShownRoute::of).collect(),
            missing_data_actions: need.missing.clone(),
            denials: need.denials.iter().map(ShownDenial::of).collect(),
            eligible: need.eligible.iter().map(ShownEligible::of).collect(),
            eligible_unknown: need.eligible_unknown.clone(),
            orphans: need
                .orphans
                .iter()
                .map(|orphan| ShownOrphan {
                    assignment: orphan.assignment.to_string(),
                    principal_id: orphan.principal.to_string(),
                    role: role_name(orphan.role),
                })
                .collect(),
            lift: need.lift.clone(),
        }
    }
}

impl ShownRoute {
    fn of(route: &Route) -> Self {
        Self {
            assignment: route.assignment.to_string(),
            scope: route.scope.to_string(),
            role: route.role.clone(),
            through_group: route.through.as_ref().map(|(group, _)| group.to_string()),
            member_since: route.member_since.map(moment),
            condition: route.condition.clone(),
            made_by_keyless: route.is_own,
            enough: route.is_enough,
            data_actions: route.gives.clone(),
            not_data_actions: route.holes.clone(),
            since: route.since.map(moment),
            works_at: route.works_at.map(moment),
        }
    }
}

impl ShownDenial {
    fn of(denial: &Denial) -> Self {
        Self {
            name: denial.name.clone(),
            scope: denial.scope.to_string(),
            denies: match denial.hits {
                Hit::Everyone => "everyone".to_owned(),
                Hit::Itself => "itself".to_owned(),
                Hit::Group(one) | Hit::Member(one) => one.to_string(),
            },
            certain: denial.certain,
            data_actions: denial.data_actions.clone(),
        }
    }
}

impl ShownEligible {
    fn of(eligible: &Eligible) -> Self {
        Self {
            role: eligible.role.clone(),
            scope: eligible.scope.to_string(),
            through_group: eligible.through.map(|group| group.to_string()),
            until: eligible.until.map(moment),
            enough: eligible.is_enough,
        }
    }
}
