//! One file per command, each one function from arguments to an exit status.

mod completions;
mod schema;

use std::process::ExitCode;

use crate::cli::Command;

/// Runs a command.
pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Schema(args) => schema::schema(&args),
        Command::Completions(args) => completions::completions(&args),
        _ => anyhow::bail!("later"),
    }
}
