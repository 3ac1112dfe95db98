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
use tokio::runtime::Builder;

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
        Command::Sim(args) => sim::sim(args),
        Command::Completions(args) => completions::completions(&args),
        Command::Demo(args) => demo::demo(&args),
    }
}

/// Runs to the end of `work`. What still waits for a disk or a mount then is not waited for.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}
