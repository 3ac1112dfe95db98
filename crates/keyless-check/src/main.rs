//! Tries to break keyless. For its makers; never shipped.

mod ablation;
mod ablations;
mod bench;
mod conformance;
mod dst;
mod kills;
mod matrix;
mod model;
mod progress;
mod shut;
mod soak;
mod stop;
mod world;

// Half of the time goes into small strings.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use keyless_check::say;

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
        /// How long one configuration may take.
        #[arg(long, value_name = "DURATION", default_value = "40m", value_parser = humantime::parse_duration)]
        limit: Duration,
        /// Rules to take away: `lint`, `revision`, `same_step`, `confirm`, `off_last`, `on_first`, or a gate by its name in
        /// events.
        #[arg(long, value_name = "RULE")]
        without: Vec<String>,
        /// Ask only whether nothing is that must not be, not whether everything comes to what the files ask.
        #[arg(long)]
        safety: bool,
    },
    /// Run the shipped controller and client over the simulated cloud on paused time, everything drawn from a seed.
    Dst {
        /// One seed, and everything that happens in it.
        #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from", "shard"])]
        seed: Option<u64>,
        /// How many seeds.
        #[arg(long, value_name = "N", default_value_t = 100)]
        seeds: u64,
        /// The first seed.
        #[arg(long, value_name = "SEED", default_value_t = 1)]
        from: u64,
        /// A part of the seeds, such as `2/5`.
        #[arg(long, value_name = "PART/OF", default_value = "1/1")]
        shard: dst::Shard,
        /// After how long no further seed is begun.
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
        limit: Duration,
        /// Rules to take away, as for `model`. A seed that notices fails.
        #[arg(long, value_name = "RULE")]
        without: Vec<String>,
        /// Take the rules away one after the other, and tell how many of the seeds notice each.
        #[arg(long, conflicts_with_all = ["seed", "without", "limit", "quiet", "again"])]
        ablations: bool,
        /// Let nothing go wrong.
        #[arg(long)]
        quiet: bool,
        /// Run every so-manieth seed twice, to the same hash; a seed that is named always is.
        #[arg(long, value_name = "N", default_value_t = 8)]
        again: u64,
    },
    /// Kill the shipped binary again and again, at moments drawn from a seed.
    Kills {
        /// The binary.
        #[arg(long, value_name = "PATH")]
        binary: PathBuf,
        /// How many processes are killed, 50 against each cloud.
        #[arg(long, value_name = "N", default_value_t = 100)]
        deaths: u64,
        /// Decides what happens to whom.
        #[arg(long, value_name = "SEED", default_value_t = 1)]
        seed: u64,
        /// The number of the first cloud.
        #[arg(long, value_name = "CLOUD", default_value_t = 1)]
        from: u64,
        /// A part of the clouds, such as `2/5`.
        #[arg(long, value_name = "PART/OF", default_value = "1/1")]
        shard: dst::Shard,
        /// After how long no further cloud is begun.
        #[arg(long, value_name = "DURATION", default_value = "55m", value_parser = humantime::parse_duration)]
        limit: Duration,
        /// How many times faster than life the clouds are.
        #[arg(long, value_name = "FACTOR", default_value_t = 600.0, value_parser = pace)]
        speed: f64,
        /// How many workspaces a cloud has.
        #[arg(long, value_name = "N", default_value_t = 4)]
        workspaces: usize,
    },
    /// Let the shipped binary run for long under faults and drift, and watch its memory, files and threads. Linux only.
    Soak {
        /// The binary.
        #[arg(long, value_name = "PATH")]
        binary: PathBuf,
        /// How many days pass in the cloud.
        #[arg(long, value_name = "DAYS", default_value_t = 24.0)]
        days: f64,
        /// How many times faster than life the cloud is: 3456 makes 24 days of ten minutes.
        #[arg(long, value_name = "FACTOR", default_value_t = 3456.0, value_parser = pace)]
        speed: f64,
        /// How many workspaces it has.
        #[arg(long, value_name = "N", default_value_t = 50)]
        workspaces: usize,
        /// Decides what goes wrong.
        #[arg(long, value_name = "SEED", default_value_t = 1)]
        seed: u64,
        /// How many MiB more it may take after each day of the cloud, once it has warmed up.
        #[arg(long, value_name = "MIB", default_value_t = 1.0)]
        most_per_day: f64,
    },
    /// Run small stories with everything that can go wrong at every place of them.
    Matrix {
        /// Which stories; all of them if none is named.
        #[arg(long, value_name = "NAME")]
        workload: Vec<String>,
        /// How many things go wrong in one run.
        #[arg(long, value_enum, default_value = "singles")]
        plans: matrix::Plans,
        /// A part of the plans, such as `2/5`.
        #[arg(long, value_name = "PART/OF", default_value = "1/1")]
        shard: dst::Shard,
        /// The number of the first plan of each story.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        from: usize,
        /// After how long no further plan is begun.
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
        limit: Duration,
        /// One plan by its name, and everything that happens in it; `none` for the undisturbed run.
        #[arg(long, value_name = "PLAN", requires = "workload", conflicts_with_all = ["shard", "from"])]
        plan: Option<String>,
        /// Rules to take away, as for `model`. A plan that notices fails.
        #[arg(long, value_name = "RULE")]
        without: Vec<String>,
    },
    /// Tell what the daemon's work costs, in requests, writes, bytes and virtual time, where nothing goes wrong.
    Bench {
        /// The sizes of the fleets.
        #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [10, 50, 100])]
        workspaces: Vec<usize>,
        /// Decides the fleets and the changes by others.
        #[arg(long, value_name = "SEED", default_value_t = 1)]
        seed: u64,
        /// How many intervals the smallest fleet is at rest; larger ones are for fewer.
        #[arg(long, value_name = "N", default_value_t = 1000)]
        cycles: u32,
        /// How many intervals with a change by others follow.
        #[arg(long, value_name = "N", default_value_t = 100)]
        changes: u32,
        /// How long nobody may have signed with a key: most of a migration is waiting for that.
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
        key_idle: Duration,
    },
    /// Tell which layer notices the loss of which rule.
    Ablations,
    /// Hold the simulator against the model's Azure.
    Conformance {
        /// How many sequences of changes are made.
        #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
        sequences: u64,
        /// The number of the first one.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        from: u64,
        /// Decides the changes.
        #[arg(long, value_name = "SEED", default_value_t = 1)]
        seed: u64,
    },
}

/// How many times faster than life a cloud is.
fn pace(text: &str) -> Result<f64, String> {
    let pace: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if pace.is_finite() && pace >= 1.0 { Ok(pace) } else { Err("life itself has 1, and no cloud is slower".to_owned()) }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    say::ended(|| run(command))
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Model { tier, limit, without, safety } => {
            ablation::named(&without).and_then(|gone| model::run(tier, limit, &gone, safety))
        }
        Command::Dst { seed, seeds, from, shard, limit, without, ablations, quiet, again } => ablation::named(&without)
            .and_then(|gone| {
                let (from, seeds) = seed.map_or((from, seeds), |seed| (seed, 1));
                let again = if seed.is_some() { 1 } else { again };
                let options = dst::Options { from, seeds, shard, limit, gone, told: seed.is_some(), quiet, again };
                if ablations { dst::ablations(&options) } else { dst::run(&options) }
            }),
        Command::Kills { binary, deaths, seed, from, shard, limit, speed, workspaces } => {
            let options = kills::Options { binary, deaths, seed, from, shard, limit, speed, workspaces };
            stop::listen().and_then(|()| kills::run(&options))
        }
        Command::Soak { binary, days, speed, workspaces, seed, most_per_day } => {
            let options = soak::Options { binary, days, speed, workspaces, seed, most_per_day };
            stop::listen().and_then(|()| soak::run(&options))
        }
        Command::Matrix { workload, plans, shard, from, limit, plan, without } => {
            ablation::named(&without).and_then(|gone| {
                let options = matrix::Options { workloads: workload, plans, shard, from, limit, plan, gone };
                matrix::run(&options)
            })
        }
        Command::Bench { workspaces, seed, cycles, changes, key_idle } => {
            bench::run(&bench::Options { seed, workspaces, cycles, changes, key_idle })
        }
        Command::Ablations => ablations::run(),
        Command::Conformance { sequences, from, seed } => conformance::run(from, sequences, seed),
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn a_cloud_is_at_least_as_fast_as_life() {
        assert_eq!(pace("600"), Ok(600.0));
        for wrong in ["0", "-1", "0.5", "NaN", "inf", "x"] {
            assert!(pace(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        for ignored in [
            "dst --ablations --limit 1s",
            "dst --ablations --quiet",
            "dst --ablations --again 2",
            "matrix --workload back --plan none --shard 2/5",
            "matrix --workload back --plan none --from 7",
        ] {
            let refused = Cli::try_parse_from(["keyless-check"].into_iter().chain(ignored.split(' ')));
            assert_eq!(refused.err().map(|error| error.kind()), Some(ErrorKind::ArgumentConflict), "{ignored}");
        }
    }
}
