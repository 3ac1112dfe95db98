//! One file per command, each one function from arguments to an exit status.

mod adopt;
mod apply;
mod completions;
mod demo;
mod import;
mod plan;
mod run;
mod schema;
mod sim;
mod validate;
mod why;

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::runtime::Runtime;

use crate::cli::Command;

/// Runs a command.
pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Plan(args) => plan::plan(&args),
        Command::Why(args) => why::why(&args),
        Command::Apply(args) => apply::apply(&args),
        Command::Validate(args) => validate::validate(&args),
        Command::Schema(args) => schema::schema(&args),
        Command::Adopt(args) => adopt::adopt(&args),
        Command::Import(args) => import::import(&args),
        Command::Sim(args) => sim::sim(&args),
        Command::Completions(args) => completions::completions(&args),
        Command::Demo(args) => demo::demo(&args),
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}
