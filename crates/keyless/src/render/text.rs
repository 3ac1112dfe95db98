//! Plans for people at a terminal. It reads the same without color.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;

use super::view::{Account, CheckedGate, Fleet, PlannedStep};
use super::{count, in_how_long};

const GOOD: Style = AnsiColor::Green.on_default();
const WAIT: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const BOLD: Style = Style::new().bold();

pub(super) fn render(fleet: &Fleet, now: Option<Timestamp>) -> String {
    let mut text = String::new();
    // Writing to a `String` does not fail.
    let _ = write_fleet(&mut text, fleet, now);
    text
}

fn write_fleet(text: &mut String, fleet: &Fleet, now: Option<Timestamp>) -> std::fmt::Result {
    for account in fleet.accounts.iter().filter(|account| !is_quiet(account)) {
        write_account(text, account, now)?;
        writeln!(text)?;
    }
    if !fleet.problems.is_empty() {
        writeln!(text, "{BOLD}not placed on any account{BOLD:#}")?;
        for problem in &fleet.problems {
            writeln!(text, "  {BAD}!{BAD:#} {}", plain(problem))?;
        }
        writeln!(text)?;
    }
    let kinds: BTreeSet<&str> = fleet.advice.iter().map(|advice| advice.workspace_kind.as_str()).collect();
    for kind in kinds {
        let rows = fleet.advice.iter().filter(|advice| advice.workspace_kind == kind);
        let ids: Vec<&str> = rows.map(|advice| advice.id).collect();
        writeln!(text, "known not to work in a {kind} on identity, if it is used: {}", plain(&ids.join(", ")))?;
    }
    if !fleet.advice.is_empty() {
        writeln!(text, "  `--output json` says what each is, and who says so")?;
        writeln!(text)?;
    }
    let summary = &fleet.summary;
    let mut parts = Vec::new();
    for (n, word) in [
        (summary.converged, "converged"),
        (summary.ready, "ready"),
        (summary.waiting, "waiting"),
        (summary.blocked, "blocked"),
    ] {
        if n > 0 {
            parts.push(format!("{n} {word}"));
        }
    }
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    writeln!(
        text,
        "{BOLD}{}{parts}; {} to take{BOLD:#} (revision {})",
        count(summary.accounts, "account"),
        count(summary.steps, "step"),
        fleet.revision
    )
}

/// An account on which there is nothing to say only counts in the last line.
fn is_quiet(account: &Account) -> bool {
    account.standing == "converged" && account.findings.is_empty()
}

fn write_account(text: &mut String, account: &Account, now: Option<Timestamp>) -> std::fmt::Result {
    let style = style_of(account.standing);
    let (name, group, standing) = (&account.name, &account.resource_group, account.standing);
    writeln!(text, "{BOLD}{name}{BOLD:#} in {group}: {style}{standing}{style:#}")?;
    if !account.drift.is_empty() {
        writeln!(text, "  drift")?;
        for drift in &account.drift {
            writeln!(text, "    - {}", plain(&drift.message))?;
            if let Some(told) = &drift.written {
                writeln!(text, "      {}", plain(&told.written))?;
            }
        }
    }
    if !account.steps.is_empty() {
        writeln!(text, "  steps")?;
        for (index, step) in account.steps.iter().enumerate() {
            write_step(text, index + 1, step, now)?;
        }
    }
    if !account.findings.is_empty() {
        writeln!(text, "  findings")?;
        for finding in &account.findings {
            writeln!(text, "    {WAIT}!{WAIT:#} {}", plain(&finding.message))?;
            if let Some(lift) = &finding.lift {
                writeln!(text, "      lifted by: {}", plain(lift))?;
            }
        }
    }
    Ok(())
}

fn write_step(text: &mut String, number: usize, step: &PlannedStep, now: Option<Timestamp>) -> std::fmt::Result {
    let one_way = if step.one_way { ", one way" } else { "" };
    writeln!(text, "    {number}. {} [{}{one_way}]", plain(&step.message), step.effort)?;
    for reason in &step.reasons {
        writeln!(text, "       for {}", plain(reason))?;
    }
    let open: Vec<&str> = step.gates.iter().filter(|gate| gate.state == "open").map(|gate| gate.gate).collect();
    if !open.is_empty() {
        writeln!(text, "       {GOOD}✓{GOOD:#} {}", open.join(", "))?;
    }
    for gate in &step.gates {
        write_gate(text, gate, now)?;
    }
    Ok(())
}

fn write_gate(text: &mut String, gate: &CheckedGate, now: Option<Timestamp>) -> std::fmt::Result {
    let CheckedGate { gate: name, state, until, why, lift, at } = gate;
    let why = plain(why.as_deref().unwrap_or_default());
    match *state {
        "waiting" => {
            let until = until.as_deref().unwrap_or_default();
            let left = at.map(|at| in_how_long(now, at)).unwrap_or_default();
            writeln!(text, "       {WAIT}…{WAIT:#} {name}: waiting until {until}{left}: {why}")
        }
        "unmet" => {
            writeln!(text, "       {BAD}✗{BAD:#} {name}: {why}")?;
            writeln!(text, "         lifted by: {}", plain(lift.as_deref().unwrap_or_default()))
        }
        "notLooked" if why.is_empty() => writeln!(text, "       · {name}: not looked at yet"),
        "notLooked" => writeln!(text, "       · {name}: not looked at yet: {why}"),
        _ => Ok(()),
    }
}

fn style_of(standing: &str) -> Style {
    match standing {
        "converged" | "ready" => GOOD,
        "waiting" => WAIT,
        _ => BAD,
    }
}

/// Text of Azure or of the files without what would move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
