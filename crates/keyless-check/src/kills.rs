//! The shipped binary under death, pause and bad machines: daemons that are killed at drawn moments against a simulated
//! cloud on loopback, over files that go there and back, so that there is always work.
//!
//! What happens is drawn from the seed; when exactly it happens is up to the machine, so a second run of a seed draws the
//! same and may still come by another way. Judged are the world, whom it denied access, and the record of requests.

pub(crate) mod child;
pub(crate) mod cloud;
pub(crate) mod fate;
mod record;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use keyless_check::numbers::numbers;
use keyless_check::say;

use crate::dst::Shard;
use crate::progress::Progress;
use crate::stop;
use world::Lived;

/// How many deaths one cloud sees.
const DEATHS: u64 = 50;

/// What is run.
pub(crate) struct Options {
    /// The daemon's binary.
    pub(crate) binary: PathBuf,
    /// How many deaths.
    pub(crate) deaths: u64,
    /// Decides everything that is drawn.
    pub(crate) seed: u64,
    /// The number of the first cloud.
    pub(crate) from: u64,
    /// Every so-manieth cloud, and which.
    pub(crate) shard: Shard,
    /// After how long no further cloud is begun.
    pub(crate) limit: Duration,
    /// How many times faster than life the cloud is.
    pub(crate) speed: f64,
    /// How many workspaces it has.
    pub(crate) workspaces: usize,
}

/// Kills, and tells how often and what came of it.
///
/// # Errors
/// If something could not be run, or nothing was, a rule is broken, or it was asked to stop.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.workspaces > 0, "a cloud has workspaces");
    let began = Instant::now();
    let mut all = Lived::default();
    let mut broken: BTreeMap<u64, String> = BTreeMap::new();
    let clouds = options.deaths.div_ceil(DEATHS);
    let Shard { part, of } = options.shard;
    let (mut left, mut done) = (options.deaths, 0);
    let mut progress = Progress::of("clouds", clouds.div_ceil(of));
    for number in numbers(options.from, clouds)? {
        let deaths = left.min(DEATHS);
        left -= deaths;
        if number % of != part - 1 {
            continue;
        }
        if began.elapsed() > options.limit {
            say!("the time is over; go on with --from {number}");
            break;
        }
        let again = format!(
            "again: keyless-check kills --binary {} --seed {} --from {number} --deaths {deaths} --speed {} --workspaces {}",
            options.binary.display(),
            options.seed,
            options.speed,
            options.workspaces
        );
        let lived = match world::live(options, number, deaths) {
            Ok(lived) => lived,
            Err(error) => Lived { broken: vec![format!("{error:#}")], ..Lived::default() },
        };
        let asked = stop::heed().is_err();
        done += u64::from(!asked);
        for (n, what) in lived.broken.iter().enumerate() {
            say!("cloud {number}: {what}");
            if n == 0 {
                broken.insert(number, what.lines().next().unwrap_or_default().to_owned());
            }
        }
        if !lived.broken.is_empty() {
            say!("{again}");
        }
        all.add(lived);
        if asked {
            say!("asked to stop amid cloud {number}; go on with --from {number}");
            break;
        }
        progress.tell(done, broken.len());
    }
    ensure!(done > 0 || stop::heed().is_err(), "no cloud was run");
    tell(&all, done, began.elapsed());
    if !broken.is_empty() {
        bail!("{} of {done} clouds fail: {broken:#?}", broken.len());
    }
    Ok(stop::heed()?)
}

fn tell(all: &Lived, clouds: u64, took: Duration) {
    let took = took.as_secs_f64();
    let deaths = all.deaths();
    say!("{clouds} clouds, {deaths} deaths in {took:.0} s, {:.2} a second", deaths as f64 / took.max(0.001));
    say!("{:.1} virtual hours, {} requests, {} writes", all.virtual_hours, all.requests, all.writes);
    for (what, count) in &all.counts {
        say!("{count:>9} {what}");
    }
    say!("denied {}, orphans {}", all.denied, all.orphans);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            binary: PathBuf::from("/nowhere"),
            deaths: 1,
            seed: 1,
            from: 1,
            shard: Shard { part: 1, of: 1 },
            limit: Duration::MAX,
            speed: 600.0,
            workspaces: 4,
        }
    }

    #[test]
    fn a_cloud_without_workspaces_is_refused() {
        let refused = run(&Options { workspaces: 0, ..options() }).unwrap_err();
        assert_eq!(refused.to_string(), "a cloud has workspaces");
    }

    #[test]
    fn no_cloud_is_no_success() {
        for nothing in [Options { deaths: 0, ..options() }, Options { shard: Shard { part: 5, of: 5 }, ..options() }] {
            assert_eq!(run(&nothing).unwrap_err().to_string(), "no cloud was run");
        }
    }
}
