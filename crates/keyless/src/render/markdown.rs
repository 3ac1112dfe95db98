//! Plans for the comment on a pull request.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::view::{Account, Advice, CheckedGate, Fleet};
use super::{count, in_how_long};

pub(super) fn render(fleet: &Fleet, now: Option<Timestamp>) -> String {
    let mut text = String::new();
    // Writing to a `String` does not fail.
    let _ = write_fleet(&mut text, fleet, now);
    text
}

fn write_fleet(text: &mut String, fleet: &Fleet, now: Option<Timestamp>) -> std::fmt::Result {
    let (accounts, steps) = (count(fleet.summary.accounts, "account"), count(fleet.summary.steps, "step"));
    writeln!(text, "## keyless plan: {}", fleet.standing)?;
    writeln!(text)?;
    writeln!(text, "Revision `{}`, {accounts}, {steps} to take.", fleet.revision)?;
    writeln!(text)?;
    if !fleet.accounts.is_empty() {
        writeln!(text, "| account | standing | drift | steps | waits for |")?;
        writeln!(text, "|---|---|---|---|---|")?;
        for account in &fleet.accounts {
            let (drift, steps) = (account.drift.len(), account.steps.len());
            let waits = account.steps.iter().flat_map(|step| &step.gates).find(|gate| is_shut(gate));
            let waits = waits.map(|gate| format!("`{}`", gate.gate)).unwrap_or_default();
            writeln!(text, "| {} | {} | {drift} | {steps} | {waits} |", cell(&account.name), account.standing)?;
        }
        writeln!(text)?;
    }
    for account in &fleet.accounts {
        if !account.steps.is_empty() || !account.drift.is_empty() || !account.findings.is_empty() {
            write_account(text, account, now)?;
        }
    }
    if !fleet.advice.is_empty() {
        writeln!(text, "<details><summary>Known not to work on identity, if it is used</summary>")?;
        writeln!(text)?;
        for Advice { workspace_kind, id, what, source } in &fleet.advice {
            writeln!(text, "- {}: {id}: {} ([source]({source}))", inline(workspace_kind), inline(what))?;
        }
        writeln!(text)?;
        writeln!(text, "</details>")?;
        writeln!(text)?;
    }
    if !fleet.problems.is_empty() {
        writeln!(text, "### Not placed on any account")?;
        writeln!(text)?;
        for problem in &fleet.problems {
            writeln!(text, "- {}", inline(problem))?;
        }
    }
    Ok(())
}

fn write_account(text: &mut String, account: &Account, now: Option<Timestamp>) -> std::fmt::Result {
    writeln!(text, "<details><summary><b>{}</b> ({})</summary>", inline(&account.name), account.standing)?;
    writeln!(text)?;
    for drift in &account.drift {
        let told = drift.written.as_ref().map(|told| format!("; {}", inline(&told.written))).unwrap_or_default();
        writeln!(text, "- drift: {}{told}", inline(&drift.message))?;
    }
    for finding in &account.findings {
        let lift = finding.lift.as_ref().map(|lift| format!("; lifted by: {}", inline(lift))).unwrap_or_default();
        writeln!(text, "- :warning: {}{lift}", inline(&finding.message))?;
    }
    if !account.drift.is_empty() || !account.findings.is_empty() {
        writeln!(text)?;
    }
    for (index, step) in account.steps.iter().enumerate() {
        let one_way = if step.one_way { ", one way: it cannot be taken back" } else { "" };
        writeln!(text, "{}. **{}** ({}{one_way})", index + 1, inline(&step.message), step.effort)?;
        for reason in &step.reasons {
            writeln!(text, "   - for {}", inline(reason))?;
        }
        if step.open {
            writeln!(text, "   - all gates open")?;
        }
        for gate in step.gates.iter().filter(|gate| is_shut(gate)) {
            writeln!(text, "   - {}", gate_line(gate, now))?;
        }
    }
    writeln!(text)?;
    writeln!(text, "</details>")?;
    writeln!(text)
}

fn is_shut(gate: &CheckedGate) -> bool {
    matches!(gate.state, "waiting" | "unmet")
}

fn gate_line(gate: &CheckedGate, now: Option<Timestamp>) -> String {
    let CheckedGate { gate: name, state: _, until, why, lift, at } = gate;
    let why = inline(why.as_deref().unwrap_or_default());
    match (until, lift) {
        (Some(until), _) => {
            let left = at.map(|at| in_how_long(now, at)).unwrap_or_default();
            format!("`{name}` waits until {until}{left}: {why}")
        }
        (None, lift) => format!("`{name}` is shut: {why}; lifted by: {}", inline(lift.as_deref().unwrap_or_default())),
    }
}

/// Text of Azure or of the files in a place where Markdown and HTML are read.
fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\n' | '\r' => safe.push(' '),
            '*' | '_' | '`' | '[' | ']' | '\\' | '@' | '#' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

fn cell(text: &str) -> String {
    inline(text).replace('|', "\\|")
}
