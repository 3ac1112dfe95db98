//! One file per command, each one function from arguments to an exit status.

mod completions;
mod schema;
mod sim;

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::runtime::Runtime;

use crate::cli::Command;

/// Runs a command.
pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Schema(args) => schema::schema(&args),
        Command::Sim(args) => sim::sim(&args),
        Command::Completions(args) => completions::completions(&args),
        _ => anyhow::bail!("later"),
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}
