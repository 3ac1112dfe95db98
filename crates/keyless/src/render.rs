//! Plans for people and for machines: one view of them, three forms.
//!
//! The core's types derive no serde, because a serializable type is a promise; [`view`] is that promise.

mod json;
mod markdown;
mod text;
mod view;
pub(crate) mod why;
mod written;

use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;
use keyless_controller::fleet;
use keyless_controller::index::Index;
use keyless_controller::wrote::LastWrites;
use keyless_core::desired::Revision;
use keyless_core::plan::{Plan, Standing};

/// In which form a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people at a terminal.
    Text,
    /// For programs; field names are stable.
    Json,
    /// For the comment on a pull request.
    Markdown,
}

/// The plans of all accounts, and what kept others from being planned.
#[derive(Debug, Clone)]
pub(crate) struct FleetPlan {
    /// The revision of the files.
    pub(crate) revision: String,
    /// One plan for each account, in the order of their ids.
    pub(crate) plans: Vec<Plan>,
    /// What belongs to no account, such as workspaces whose account is not known.
    pub(crate) problems: Vec<String>,
    /// Who last wrote what differs, where it was asked.
    pub(crate) wrote: LastWrites,
}

impl FleetPlan {
    /// The view of what the controller planned.
    pub(crate) fn new(revision: &Revision, planned: fleet::FleetPlan) -> Self {
        let fleet::FleetPlan { index, accounts } = planned;
        let Index { placed: _, listed: _, left_out: _, out_of_scope: _, holders: _, listings: _, unplaced, missing } =
            index;
        let mut problems = Vec::new();
        for (id, why) in unplaced {
            problems.push(format!("the account of {} could not be found out: {why}", id.name()));
        }
        problems.extend(missing.iter().map(|id| format!("workspace {id} does not exist")));
        let plans = accounts.into_iter().map(|account| account.plan).collect();
        Self { revision: revision.to_string(), plans, problems, wrote: LastWrites::new() }
    }

    /// The same with who last wrote what differs.
    pub(crate) fn with_writers(self, wrote: LastWrites) -> Self {
        Self { wrote, ..self }
    }

    /// Prints the plans in one form. Colors are in the text; the caller strips them where they have no place.
    pub(crate) fn render(&self, output: Output) -> String {
        let view = view::Fleet::of(self);
        match output {
            Output::Text => text::render(&view, self.now()),
            Output::Json => json::render(&view),
            Output::Markdown => markdown::render(&view, self.now()),
        }
    }

    /// How the fleet stands: as its worst account.
    pub(crate) fn standing(&self) -> Standing {
        let worst = self.plans.iter().map(Plan::standing).max().unwrap_or(Standing::Converged);
        if self.problems.is_empty() { worst } else { Standing::Blocked }
    }

    /// The exit status of `--detailed-exitcode`: 0 nothing to do, 2 changes, 3 blocked.
    pub(crate) fn detailed_exit_code(&self) -> ExitCode {
        match self.standing() {
            Standing::Converged => ExitCode::SUCCESS,
            Standing::Ready | Standing::Waiting => ExitCode::from(2),
            Standing::Blocked => ExitCode::from(3),
        }
    }

    /// The server's time of the youngest observation.
    fn now(&self) -> Option<Timestamp> {
        self.plans.iter().map(|plan| plan.at).max()
    }
}

/// Prints a time without fractions of a second.
fn moment(at: Timestamp) -> String {
    at.round(jiff::Unit::Second).unwrap_or(at).to_string()
}

/// Prints how long it is until then, in two units at most.
fn in_how_long(now: Option<Timestamp>, then: Timestamp) -> String {
    let Some(left) = now.and_then(|now| std::time::Duration::try_from(then.duration_since(now)).ok()) else {
        return String::new();
    };
    let seconds = left.as_secs();
    // Seconds do not matter hours ahead.
    let whole = if seconds >= 3600 { seconds - seconds % 60 } else { seconds };
    format!(" (in {})", humantime::format_duration(std::time::Duration::from_secs(whole)))
}

/// `1 step`, `2 steps`.
fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod why_tests;
