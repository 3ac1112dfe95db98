//! Tries to break keyless. For its makers; never shipped.

mod ablation;
mod model;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Tries to break keyless, and says what it tried.
#[derive(Parser)]
#[command(name = "keyless-check", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Explore all interleavings of a small world.
    Model {
        /// How much is explored.
        #[arg(long, value_enum, default_value = "pr")]
        tier: model::Tier,
        /// How many seconds one configuration may take.
        #[arg(long, value_name = "SECONDS", default_value_t = 600)]
        limit: u64,
        /// Rules to take away: `lint`, `revision`, `same_step`, `confirm`, or a gate by its name in events.
        #[arg(long, value_name = "RULE")]
        without: Vec<String>,
        /// Ask only whether nothing is that must not be, not whether everything comes to what the files ask.
        #[arg(long)]
        safety: bool,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Model { tier, limit, without, safety } => {
            ablation::named(&without).and_then(|gone| model::run(tier, Duration::from_secs(limit), &gone, safety))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
