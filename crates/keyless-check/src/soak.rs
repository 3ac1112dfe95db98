//! The shipped binary for long: faults, drift and repairs, and after all of that as much memory, as many files and as many
//! threads as before.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use keyless_check::say;
use keyless_sim::{Drift, DriftChange, Fault, FaultRule, Faults};
use serde_json::json;

use crate::dst::dice::Dice;
use crate::kills::child::{Daemon, Program};
use crate::kills::cloud::{Cloud, Way};
use crate::kills::fate::Log;
use crate::stop;

/// How often it is measured.
const EVERY: Duration = Duration::from_millis(500);

/// How often it has to be measured at least: twice in each third.
const MEASURES: u32 = 6;

/// How many files may be open more than before: connections come and go.
const CONNECTIONS: usize = 8;

/// How much of the time in the cloud lies between two changes behind everybody's back.
const DRIFT: Duration = Duration::from_secs(8 * 3600);

/// What is run.
pub(crate) struct Options {
    /// The daemon's binary.
    pub(crate) binary: PathBuf,
    /// How many days pass in the cloud.
    pub(crate) days: f64,
    /// How many times faster than life it is.
    pub(crate) speed: f64,
    /// How many workspaces it has.
    pub(crate) workspaces: usize,
    /// Decides what goes wrong.
    pub(crate) seed: u64,
    /// How many MiB a day of the cloud may cost.
    pub(crate) most_per_day: f64,
}

/// What a process has at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    /// Resident, in KiB.
    memory: u64,
    files: usize,
    threads: usize,
}

/// Runs it, and tells how memory, files and threads went.
///
/// # Errors
/// If it cannot be run, would be too short to measure, the process ends, or something grows.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let length = length(options)?;
    let cloud = Cloud::start(options.workspaces, options.seed, options.speed, faults())?;
    let program = Program {
        binary: &options.binary,
        settings: cloud.settings(),
        identity_endpoint: &cloud.ready.identity_endpoint,
        identity_header: cloud.ready.identity_header.reveal(),
    };
    let mut daemon = program.daemon(Log::Read, false)?;
    let pause = DRIFT.div_f64(options.speed);
    let (began, mut samples, mut drifts) = (Instant::now(), Vec::new(), 0_u32);
    let mut dice = Dice::of(options.seed, "drift");
    while began.elapsed() < length {
        stop::wait(EVERY).with_context(|| {
            let days = began.elapsed().as_secs_f64() * options.speed / 86_400.0;
            let requests = cloud.sim.requests();
            format!("after {days:.1} days of the cloud, {} requests, {} writes", requests.total, requests.writes)
        })?;
        if let Some(status) = daemon.ended()? {
            bail!("it ended by itself ({status})\n{}", daemon.tail());
        }
        samples.push(sample(&daemon, began.elapsed())?);
        if began.elapsed() > pause * (drifts + 1) {
            drifts += 1;
            let accounts = cloud.of_type("Microsoft.Storage/storageAccounts");
            let target = dice.pick(&accounts).and_then(|account| account.get("id")?.as_str()).unwrap_or_default();
            let change = DriftChange::SharedKey;
            cloud.sim.drift(Drift { change, target: target.to_owned(), value: json!(true), by: String::new() })?;
        }
    }
    daemon.signal("TERM")?;
    let (status, wrong, tail) = daemon.wait()?;
    ensure!(status.success(), "it ended with {status}\n{tail}");
    ensure!(wrong.is_empty(), "told: {}", wrong.join("\n"));
    let (requests, denied) = (cloud.sim.requests(), cloud.sim.oracle().denied);
    let struck: u64 = cloud.sim.struck().values().sum();
    say!(
        "{:.1} days of the cloud in {:.0} s: {} requests, {} writes, {struck} of them struck by faults, {drifts} keys turned \
         on behind its back, denied {}, off keys at the end: {}",
        options.days,
        length.as_secs_f64(),
        requests.total,
        requests.writes,
        denied.entitled + denied.key_users,
        cloud.is_reached(Way::Forward)
    );
    judge(&samples, options.speed, options.most_per_day)?;
    is_at_work(requests.writes, drifts)?;
    ensure!(denied.entitled + denied.key_users == 0, "S1: {:?}", cloud.sim.oracle().events.first());
    Ok(())
}

/// How long it takes by the machine's clock.
fn length(Options { days, speed, workspaces, .. }: &Options) -> anyhow::Result<Duration> {
    ensure!(*workspaces > 0, "a cloud has workspaces");
    let length = Duration::try_from_secs_f64(days * 86_400.0 / speed)
        .context("so many days at this speed are no length of time")?;
    ensure!(
        length >= EVERY * MEASURES,
        "{days} days of the cloud are over after {length:?}, and it takes {:?} to measure anything",
        EVERY * MEASURES
    );
    Ok(length)
}

/// It has migrated something, and set right what was changed: two changes may come to one account before it is looked at.
fn is_at_work(writes: u64, drifts: u32) -> anyhow::Result<()> {
    ensure!(writes > u64::from(drifts) / 2, "{writes} writes are too few for {drifts} changes behind its back");
    Ok(())
}

/// About a tenth of all requests.
fn faults() -> Faults {
    let error = |status| Fault::ServerError { status, html: false, takes_effect: false };
    let refuse = Fault::Refuse { status: 429, code: "TooManyRequests".to_owned(), retry_after: None };
    let all = [error(500), error(503), Fault::ResetBefore, Fault::ResetAfter, Fault::Truncated, Fault::NotJson, refuse];
    let reads = all.into_iter().map(|fault| FaultRule::new("GET", "", fault).chance(0.013));
    let writes = [("PATCH", "/workspaces/{}"), ("PATCH", "/storageAccounts/{}"), ("PUT", "/roleAssignments/{}")];
    let writes = writes.map(|(method, operation)| FaultRule::new(method, operation, Fault::ResetAfter).chance(0.1));
    Faults::new(reads.chain(writes))
}

fn sample(daemon: &Daemon, at: Duration) -> anyhow::Result<Sample> {
    let of = PathBuf::from(format!("/proc/{}", daemon.id()));
    let status = fs::read_to_string(of.join("status")).context("there is no `/proc` to measure by")?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse().ok());
    let count = |name: &str| anyhow::Ok(fs::read_dir(of.join(name))?.count());
    Ok(Sample { at, memory: memory.context("no `VmRSS`")?, files: count("fd")?, threads: count("task")? })
}

/// The first third is for warming up; what comes after has to be even.
fn judge(samples: &[Sample], speed: f64, most_per_day: f64) -> anyhow::Result<()> {
    let third = samples.len() / 3;
    let warm = samples.get(third..).unwrap_or_default();
    let (Some(first), Some(last)) = (warm.first(), warm.last()) else { bail!("it was too short to measure") };
    let per_hour = slope(warm) * 3600.0 / 1024.0;
    let per_day = per_hour * 24.0 / speed;
    let most = |samples: &[Sample], of: fn(&Sample) -> usize| samples.iter().map(of).max().unwrap_or_default();
    let (middle, end) = warm.split_at(warm.len() / 2);
    let files = (most(middle, |sample| sample.files), most(end, |sample| sample.files));
    let threads = (most(middle, |sample| sample.threads), most(end, |sample| sample.threads));
    let peak = samples.iter().map(|sample| sample.memory).max().unwrap_or_default();
    say!(
        "memory {} KiB after {:.0} s, {} KiB after {:.0} s, {peak} KiB at most, {per_day:+.2} MiB for each day of the cloud and \
         {per_hour:+.2} MiB for each hour of the machine; most files {} and {}, most threads {} and {} in the second and last third",
        first.memory,
        first.at.as_secs_f64(),
        last.memory,
        last.at.as_secs_f64(),
        files.0,
        files.1,
        threads.0,
        threads.1
    );
    ensure!(per_day <= most_per_day, "memory grows by {per_day:.2} MiB for each day of the cloud");
    ensure!(files.1 <= files.0 + CONNECTIONS, "open files grow");
    ensure!(threads.1 <= threads.0 + 1, "threads grow");
    Ok(())
}

/// KiB a second, by least squares.
fn slope(samples: &[Sample]) -> f64 {
    let count = samples.len() as f64;
    let (x, y) = (|sample: &Sample| sample.at.as_secs_f64(), |sample: &Sample| sample.memory as f64);
    let (mean_x, mean_y) = (samples.iter().map(x).sum::<f64>() / count, samples.iter().map(y).sum::<f64>() / count);
    let (mut above, mut below) = (0.0, 0.0);
    for sample in samples {
        above += (x(sample) - mean_x) * (y(sample) - mean_y);
        below += (x(sample) - mean_x).powi(2);
    }
    if below > 0.0 { above / below } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory: impl Fn(u64) -> u64, files: impl Fn(usize) -> usize) -> Vec<Sample> {
        let at = |n: usize| Sample {
            at: Duration::from_secs(n as u64),
            memory: memory(n as u64),
            files: files(n),
            threads: 5,
        };
        (0..600).map(at).collect()
    }

    #[test]
    fn what_grows_is_noticed_and_what_warms_up_or_comes_and_goes_is_not() {
        judge(&samples(|n| 20_000 + n.min(100) * 50 + n % 7, |n| 20 + n % 5), 1.0, 1.0).unwrap();
        assert!(judge(&samples(|n| 20_000 + n, |_| 20), 1.0, 1.0).unwrap_err().to_string().contains("memory"));
        assert!(judge(&samples(|_| 20_000, |n| 20 + n / 20), 1.0, 1.0).unwrap_err().to_string().contains("files"));
        assert!(judge(&[], 1.0, 1.0).is_err());
    }

    #[test]
    fn what_would_measure_nothing_is_refused() {
        let refused = |days, workspaces| {
            let binary = PathBuf::from("/nowhere");
            let options = Options { binary, days, speed: 3456.0, workspaces, seed: 1, most_per_day: 1.0 };
            run(&options).unwrap_err().to_string()
        };
        assert!(refused(0.0, 1).contains("to measure anything"));
        assert!(refused(0.001, 1).contains("to measure anything"));
        assert!(refused(-1.0, 1).contains("no length of time"));
        assert!(refused(24.0, 0).contains("workspaces"));
    }

    #[test]
    fn a_daemon_that_does_nothing_is_noticed() {
        is_at_work(96, 72).unwrap();
        for (writes, drifts) in [(0, 0), (0, 1), (13, 72)] {
            assert!(is_at_work(writes, drifts).is_err(), "{writes} {drifts}");
        }
    }
}
