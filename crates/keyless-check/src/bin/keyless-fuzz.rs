//! Feeds the parsers with damaged input. Apart from `keyless-check`, for it counts memory, which costs time.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use keyless_check::fuzz::{self, PeakAlloc, Target};
use keyless_check::say;

#[global_allocator]
static MEMORY: PeakAlloc = fuzz::MEMORY;

/// Feeds the parsers with damaged input, and says what it fed.
#[derive(Parser)]
#[command(name = "keyless-fuzz", version)]
struct Cli {
    /// Which parsers; all of them if none is named.
    #[arg(long, value_enum, value_name = "PARSER")]
    target: Vec<Target>,
    /// How many inputs are made up for each.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    executions: u64,
    /// The number of the first one.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    from: u64,
    /// Decides the damage.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Where an input that breaks something is written to.
    #[arg(long, value_name = "DIR", default_value = "target/fuzz")]
    keep: PathBuf,
}

fn main() -> ExitCode {
    let Cli { target, executions, from, seed, keep } = Cli::parse();
    let targets = if target.is_empty() { Target::ALL.to_vec() } else { target };
    say::ended(|| targets.into_iter().try_for_each(|target| fuzz::run(target, from, executions, seed, &keep)))
}
