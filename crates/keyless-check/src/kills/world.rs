//! One cloud and the processes that live and die against it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use keyless_sim::Faults;
use serde_json::Value;

use super::Options;
use super::child::{Daemon, Program};
use super::cloud::{Cloud, INTERVAL, Way, late_writes};
use super::fate::{End, Fate, Log, Moment, State};
use super::record::{Life, text_in};
use crate::dst::dice::Dice;
use crate::stop::{self, Asked};

/// How long a moment that is told by requests is waited for: nothing may be left to do.
const MOMENT_WITHIN: Duration = Duration::from_millis(1_500);

/// How long a fleet may take to come to what the files ask once nobody dies any more.
const CONVERGES_WITHIN: Duration = Duration::from_secs(150);

/// How often it is looked whether a moment has come.
const LOOK: Duration = Duration::from_millis(3);

/// What came of a cloud, or of many.
#[derive(Debug, Default)]
pub(crate) struct Lived {
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) virtual_hours: f64,
    pub(crate) requests: u64,
    pub(crate) writes: u64,
    pub(crate) denied: u64,
    pub(crate) orphans: u64,
    pub(crate) broken: Vec<String>,
}

impl Lived {
    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// How many processes were killed.
    pub(crate) fn deaths(&self) -> u64 {
        self.counts.get("deaths").copied().unwrap_or_default()
    }

    /// Both together.
    pub(crate) fn add(&mut self, other: Self) {
        let Self { counts, virtual_hours, requests, writes, denied, orphans, broken } = other;
        for (what, count) in counts {
            *self.counts.entry(what).or_default() += count;
        }
        self.virtual_hours += virtual_hours;
        self.requests += requests;
        self.writes += writes;
        self.denied += denied;
        self.orphans += orphans;
        self.broken.extend(broken);
    }
}

struct Run {
    cloud: Cloud,
    binary: PathBuf,
    dice: Dice,
    way: Way,
    lives: Vec<Life>,
    lived: Lived,
    /// A file of which half is written, with its whole content.
    torn: Option<(PathBuf, String)>,
}

/// Has so many processes die, and the last one come to the end; fewer, and none to the end, where it is asked to stop.
///
/// # Errors
/// If it could not be run, or does not come to an end.
pub(crate) fn live(options: &Options, number: u64, deaths: u64) -> anyhow::Result<Lived> {
    let seed = options.seed.wrapping_mul(1_000_003).wrapping_add(number);
    // In every other cloud writes land late.
    let faults = if number % 2 == 1 { late_writes() } else { Faults::default() };
    let cloud = Cloud::start(options.workspaces, seed, options.speed, faults)?;
    let mut run = Run {
        cloud,
        binary: options.binary.clone(),
        dice: Dice::of(seed, "fates"),
        way: Way::Forward,
        lives: Vec::new(),
        lived: Lived::default(),
        torn: None,
    };
    let began = Instant::now();
    if let Err(error) = run.lives(deaths)
        && !error.is::<Asked>()
    {
        return Err(error);
    }
    run.lived.virtual_hours = began.elapsed().as_secs_f64() * options.speed / 3600.0;
    Ok(run.judged())
}

impl Run {
    fn program(&self) -> Program<'_> {
        Program {
            binary: &self.binary,
            settings: self.cloud.settings(),
            identity_endpoint: &self.cloud.ready.identity_endpoint,
            identity_header: self.cloud.ready.identity_header.reveal(),
        }
    }

    fn start(&mut self, log: Log, outlives_full_disks: bool) -> anyhow::Result<Daemon> {
        self.lives.push(Life { from: self.cloud.now(), settled: self.cloud.is_settled(), asked: None });
        self.lived.count("starts");
        self.program().daemon(log, outlives_full_disks)
    }

    fn lives(&mut self, deaths: u64) -> anyhow::Result<()> {
        // It begins at one end, so that few deaths are enough to see both ways.
        self.converges()?;
        while self.lived.deaths() < deaths && self.lived.broken.is_empty() {
            let before = self.lived.deaths();
            self.life().with_context(|| format!("after death {before}"))?;
        }
        self.ends()
    }

    /// One process from its start to its end.
    fn life(&mut self) -> anyhow::Result<()> {
        let fate = Fate::draw(&mut self.dice, self.cloud.late_write(), INTERVAL);
        if fate.flips || self.cloud.is_reached(self.way) {
            self.way = self.way.other();
            self.cloud.ask(self.way)?;
            self.lived.count("turns of the files");
        }
        match fate.state {
            State::AsLeft => {}
            State::Gone => {
                // One that is not there yet is as empty.
                let _ = fs::remove_dir_all(self.cloud.state());
                self.lived.count("starts with an empty state directory");
            }
            State::Full => self.refuses()?,
            State::Fills => self.lived.count("disks that became full"),
        }
        let before = self.cloud.sim.requests();
        let settled = self.cloud.is_settled();
        if fate.torn.is_some() {
            self.tear()?;
        }
        let mut daemon = self.start(fate.log, fate.state == State::Fills)?;
        let began = Instant::now();
        if let Some(whole) = fate.torn {
            stop::wait(whole)?;
            self.heal()?;
        }
        if fate.state == State::Fills {
            // It has taken the directory by then; the notes and the mark are yet to be written.
            while self.cloud.sim.requests().total == before.total && began.elapsed() < MOMENT_WITHIN {
                stop::wait(LOOK)?;
            }
            if self.cloud.sim.requests().total > before.total {
                daemon.fill_disk()?;
            }
        }
        match fate.log {
            Log::Read => {}
            Log::Unread | Log::Full => self.lived.count("logs that could not be written"),
        }
        self.comes(&mut daemon, fate.moment, began, before.writes)?;
        let amid = !self.cloud.is_reached(self.way);
        match fate.end {
            End::Kill => self.dies(daemon, amid)?,
            End::StoppedThenKill(stopped) => {
                daemon.signal("STOP")?;
                self.lived.count("kills while stopped");
                stop::wait(stopped)?;
                self.dies(daemon, amid)?;
            }
            End::PausedThenKill(stopped, after) => {
                daemon.signal("STOP")?;
                self.lived.count("pauses");
                if stopped > self.cloud.late_write() {
                    self.lived.count("pauses longer than `lateWrite`");
                }
                stop::wait(stopped)?;
                daemon.signal("CONT")?;
                stop::wait(after)?;
                if let Some(status) = daemon.ended()? {
                    self.lived.broken.push(format!("it ended ({status}) after a pause\n{}", daemon.tail()));
                }
                self.dies(daemon, amid)?;
            }
            End::Term => self.stops(daemon, fate.state)?,
        }
        if self.cloud.sim.requests().writes > before.writes
            && settled
            && self.cloud.is_settled()
            && fate.end == End::Kill
        {
            self.lived.broken.push("S6: the mark is there after a process that wrote was killed".to_owned());
        }
        self.nobody_is_denied(&fate);
        Ok(())
    }

    /// Waits for the moment.
    fn comes(&mut self, daemon: &mut Daemon, moment: Moment, began: Instant, before: u64) -> anyhow::Result<()> {
        let mut asked = None;
        loop {
            if let Some(status) = daemon.ended()? {
                self.lived.broken.push(format!("it ended by itself ({status})\n{}", daemon.tail()));
                return Ok(());
            }
            let elapsed = began.elapsed();
            let come = match moment {
                Moment::After(wait) => elapsed >= wait,
                Moment::Requests { writes, requests } => {
                    let report = self.cloud.sim.requests();
                    if asked.is_none() && report.writes >= before + writes {
                        asked = Some(report.total + requests);
                    }
                    elapsed >= MOMENT_WITHIN || asked.is_some_and(|asked| report.total >= asked)
                }
            };
            if come {
                return Ok(());
            }
            stop::wait(LOOK)?;
        }
    }

    fn dies(&mut self, daemon: Daemon, amid: bool) -> anyhow::Result<()> {
        let wrong = daemon.kill()?;
        self.lived.broken.extend(wrong.into_iter().map(|line| format!("told: {line}")));
        self.lived.count("deaths");
        if amid {
            self.lived.count("deaths amid the work");
        }
        Ok(())
    }

    fn stops(&mut self, daemon: Daemon, state: State) -> anyhow::Result<()> {
        let asked = self.cloud.now();
        daemon.signal("TERM")?;
        if let Some(life) = self.lives.last_mut() {
            life.asked = Some(asked);
        }
        let began = Instant::now();
        let (status, wrong, tail) = daemon.wait()?;
        self.lived.count("clean stops");
        if !status.success() {
            // A signal that comes before anything listens for it is the end by itself.
            use std::os::unix::process::ExitStatusExt as _;
            let early = status.signal() == Some(15);
            if early {
                self.lived.count("stops before anything listened");
            } else {
                self.lived.broken.push(format!("S8: it ended with {status}\n{tail}"));
            }
        }
        if began.elapsed() > Duration::from_secs(10) {
            self.lived.broken.push(format!("S8: its end took {:?}\n{tail}", began.elapsed()));
        }
        self.lived.broken.extend(wrong.into_iter().map(|line| format!("told: {line}")));
        if self.cloud.is_settled() {
            self.lived.count("stops that were settled");
            if state == State::Fills {
                self.lived.count("marks on a full disk");
            }
        }
        Ok(())
    }

    /// On a disk that is full it does not start, says why, and writes nothing.
    fn refuses(&mut self) -> anyhow::Result<()> {
        let writes = self.cloud.sim.requests().writes;
        let (status, said) = self.program().refused()?;
        self.lived.count("starts refused on a full disk");
        if status.code() != Some(1) || !said.contains("cannot be written to") {
            self.lived.broken.push(format!("a full disk: {status}\n{said}"));
        }
        if self.cloud.sim.requests().writes != writes {
            self.lived.broken.push("a process without a state directory wrote".to_owned());
        }
        Ok(())
    }

    /// Leaves one file as if it was being written.
    fn tear(&mut self) -> anyhow::Result<()> {
        let files = self.cloud.files()?;
        let Some(path) = self.dice.pick(&files).cloned() else { return Ok(()) };
        let whole = fs::read_to_string(&path)?;
        let length = u64::try_from(whole.len()).unwrap_or_default();
        // At the end of a line in half of the cases, where half of a file is most likely to be a whole one of its own.
        let mut cut = usize::try_from(self.dice.between(0, length)).unwrap_or_default();
        if self.dice.chance(0.5) {
            cut = whole.get(..cut).and_then(|head| head.rfind('\n')).map_or(0, |at| at + 1);
        }
        let Some(half) = whole.get(..cut) else { return Ok(()) };
        fs::write(&path, half)?;
        self.lived.count("torn files");
        self.torn = Some((path, whole));
        Ok(())
    }

    fn heal(&mut self) -> anyhow::Result<()> {
        if let Some((path, whole)) = self.torn.take() {
            fs::write(path, whole)?;
        }
        Ok(())
    }

    fn nobody_is_denied(&mut self, fate: &Fate) {
        let report = self.cloud.sim.oracle();
        let denied = report.denied.entitled + report.denied.key_users;
        if denied > self.lived.denied {
            self.lived.denied = denied;
            let event = report.events.last();
            self.lived.broken.push(format!("S1: death {}, {:?}, {fate:?}: {event:?}", self.lived.deaths(), self.way));
        }
    }

    /// Lets one process come to the end, and stops it.
    fn converges(&mut self) -> anyhow::Result<()> {
        let mut daemon = self.start(Log::Read, false)?;
        let began = Instant::now();
        while !(self.cloud.is_reached(self.way) && self.steps()?.0 == 0) {
            if let Some(status) = daemon.ended()? {
                anyhow::bail!("it ended by itself ({status})\n{}", daemon.tail());
            }
            ensure!(
                began.elapsed() < CONVERGES_WITHIN,
                "L1: not {:?} within {CONVERGES_WITHIN:?}\n{}",
                self.way,
                daemon.tail()
            );
            stop::wait(Duration::from_millis(50))?;
        }
        // What it wrote last is read back and told before it stops.
        self.stops(daemon, State::AsLeft)
    }

    /// How many steps a plan has, and how many grants nobody asks for.
    fn steps(&self) -> anyhow::Result<(u64, u64)> {
        let (status, printed) = self.program().output(&["plan", "--output", "json"])?;
        if !status.success() {
            // Something went wrong on the way, which is told as work that is left.
            return Ok((u64::MAX, 0));
        }
        let plan: Value = serde_json::from_slice(&printed).context("a plan is JSON")?;
        let accounts = plan.get("accounts").and_then(Value::as_array).into_iter().flatten();
        let findings = accounts.filter_map(|account| account.get("findings")?.as_array()).flatten();
        let unwanted = findings.filter(|finding| text_in(finding, "/kind") == Some("grantUnwanted")).count();
        let steps = plan.pointer("/summary/steps").and_then(Value::as_u64).unwrap_or(u64::MAX);
        Ok((steps, u64::try_from(unwanted)?))
    }

    /// Nobody dies any more: everything has to come to what the files ask, and stay there.
    fn ends(&mut self) -> anyhow::Result<()> {
        if !self.lived.broken.is_empty() {
            return Ok(());
        }
        self.way = Way::Forward;
        self.cloud.ask(self.way)?;
        self.converges()?;
        let writes = self.cloud.sim.requests().writes;
        let daemon = self.start(Log::Read, false)?;
        stop::wait(INTERVAL * 4)?;
        self.stops(daemon, State::AsLeft)?;
        if self.cloud.sim.requests().writes != writes {
            self.lived.broken.push("S9: a write after the world had come to rest".to_owned());
        }
        let own = self.cloud.own_grants();
        let distinct: BTreeSet<&String> = own.iter().collect();
        let doubled = own.len() - distinct.len();
        self.lived.orphans = self.steps()?.1 + u64::try_from(doubled)?;
        if self.lived.orphans > 0 || own.is_empty() {
            self.lived.broken.push(format!("L1: {} orphans among {} own grants", self.lived.orphans, own.len()));
        }
        Ok(())
    }

    /// Judges the record.
    fn judged(self) -> Lived {
        let Self { cloud, lives, mut lived, .. } = self;
        let account_of = cloud.account_of();
        let late_write = cloud.late_write();
        lived.requests = cloud.sim.requests().total;
        for (fault, count) in cloud.sim.struck() {
            *lived.counts.entry(format!("fault: {fault}")).or_default() += count;
        }
        let judged = cloud.end().judge(&lives, &account_of, late_write);
        lived.writes = judged.writes;
        *lived.counts.entry("writes of unknown outcome".to_owned()).or_default() += judged.unknown;
        *lived.counts.entry("first writes that had to wait".to_owned()).or_default() += judged.waited;
        lived.broken.extend(judged.broken);
        lived
    }
}
