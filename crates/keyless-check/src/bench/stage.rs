//! One fleet in one run: from all on keys to no key, then at rest, then with one change by others in each interval.
//! Nothing goes wrong in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use keyless_core::desired::{FightGuard, ServiceGrants, Waits};
use keyless_core::plan::Standing;
use keyless_sim::{Drift, DriftChange, Knobs};
use serde_json::{Value, json};

use super::floor::{Floor, Least, count};
use super::sum::{Confirmed, Shares, Spans, Sum, is_over};
use super::told::Ears;
use crate::dst::aims::Aims;
use crate::dst::dice::Dice;
use crate::dst::draw::Draw;
use crate::dst::fleet::{self, Made};
use crate::dst::foreign::Foreign;
use crate::dst::judge::Judge;
use crate::dst::life::{Life, Place};
use crate::dst::others::key_uses;
use crate::dst::truth::Truth;
use crate::dst::wire::Road;

/// The interval of the settings.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);

/// How often is looked whether the fleet has come to rest.
const LOOK: Duration = Duration::from_secs(30);

/// How long it may take beyond every wait of the files.
const BEYOND: Duration = Duration::from_secs(4 * 3600);

/// How long a change of others may go untold before it counts as not seen.
const UNSEEN: Duration = Duration::from_secs(600);

/// How large a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) seed: u64,
    pub(crate) workspaces: usize,
    /// Intervals at rest.
    pub(crate) cycles: u32,
    /// Intervals with a change by others.
    pub(crate) changes: u32,
    pub(crate) key_idle: Duration,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) least: Least,
    pub(crate) migrate: Migrate,
    pub(crate) rest: Rest,
    pub(crate) drift: Drifted,
    /// Rules of the simulation's judge that were broken.
    pub(crate) broken: Vec<String>,
    /// Requests of the whole run.
    pub(crate) requests: u64,
    pub(crate) virtual_time: Duration,
}

/// From all on keys to no key.
#[derive(Debug)]
pub(crate) struct Migrate {
    pub(crate) sum: Sum,
    pub(crate) shares: Shares,
    pub(crate) floor: Floor,
    /// The time of the first and of the last write of each step, since the start.
    pub(crate) steps: BTreeMap<&'static str, (Duration, Duration)>,
    /// Until the last write.
    pub(crate) took: Duration,
    /// Every wait of the files that the slowest account has in sequence.
    pub(crate) waits: Duration,
    /// How much later than the waits of the files each account came to its end.
    pub(crate) beyond: Option<Spans>,
}

/// Converged.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) cycles: u32,
    pub(crate) sum: Sum,
    /// Passes over accounts.
    pub(crate) passes: u64,
    /// What as many looks cost at least.
    pub(crate) floor: u64,
    /// Events of level info or higher, by name.
    pub(crate) loud: BTreeMap<&'static str, u64>,
}

/// With changes by others.
#[derive(Debug)]
pub(crate) struct Drifted {
    pub(crate) changes: u64,
    /// Changes that were not told.
    pub(crate) unseen: u64,
    pub(crate) sum: Sum,
    /// From the change to the alert.
    pub(crate) alerts: Option<Spans>,
    /// From the last answer about an account to its write leaving, over the whole run.
    pub(crate) sends: Option<Spans>,
    /// From that answer, as the cloud gave it, to the write reaching the cloud.
    pub(crate) effects: Option<Spans>,
    /// From the start of a pass, than which nothing is older that its gates rest on, to its write leaving.
    pub(crate) passes: Option<Spans>,
}

/// The documented defaults of files and settings, and the published pace of Azure.
pub(crate) fn draw(size: Size) -> Draw {
    let quiet = Draw::quiet(size.seed);
    Draw {
        workspaces: size.workspaces,
        undeclared_percent: 0,
        key_users: (0, Duration::ZERO),
        interval: INTERVAL,
        in_flight: 8,
        headroom: 0.2,
        waits: waits(size.key_idle),
        // Here others change the same thing again and again, which is to be told and set back each time.
        fight: FightGuard { reversals: u32::MAX, ..FightGuard::default() },
        prune: false,
        service_grants: ServiceGrants::default(),
        data_probe: false,
        says_enabled: true,
        knobs: Knobs::default(),
        clock_off: 0,
        breaker: false,
        ..quiet
    }
}

/// Runs it, with what `draw` made of its size.
///
/// # Errors
/// If it could not be run, or the fleet does not come to rest.
pub(crate) fn play(size: Size, draw: Draw) -> anyhow::Result<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(live(size, draw))
}

struct Stage {
    place: Place,
    life: Life,
    ears: Arc<Ears>,
    least: Least,
}

/// Those of files that name none, but that the groups of a generated fleet have people alone.
fn waits(key_idle: Duration) -> Waits {
    let usual = Waits::default();
    Waits { key_idle, group_propagation: usual.role_propagation, ..usual }
}

async fn live(size: Size, draw: Draw) -> anyhow::Result<Figures> {
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.context("a folder for the state of the process")?;
    let Made { sim, desired } = fleet::make(&draw, folder.path())?;
    let least = Least::of(&Truth::of(&sim), &desired);
    let desired = Arc::new(desired);
    let mut judge = Judge::new(&draw, &sim, Arc::clone(&desired));
    judge.begins_with(key_uses(&sim), sim.now());
    let road = Road::new(sim, judge, Aims::default(), draw.seed, draw.wire);
    road.judge().begins(1, road.since(), false);
    let ears = Arc::new(Ears::new(road.began));
    let place =
        Place { road, draw, state: folder.path().join("state"), through: None, hears: Some(Arc::clone(&ears) as _) };
    let life = place.start(1, desired).await?;
    let stage = Stage { place, life, ears, least };
    let migrate = stage.migrates().await?;
    let rest = stage.rests(size.cycles).await;
    let drift = stage.drifts(size.changes).await?;
    stage.ends(migrate, rest, drift).await
}

impl Stage {
    fn road(&self) -> &Road {
        &self.place.road
    }

    /// The accounts with which nothing is left to do.
    fn converged(&self) -> Vec<String> {
        let accounts = self.life.status.snapshot().accounts;
        let at_rest = accounts.iter().filter(|(_, account)| account.standing() == Some(Standing::Converged));
        at_rest.map(|(id, _)| id.as_str().to_ascii_lowercase()).collect()
    }

    async fn until_rest(&self, within: Duration) -> anyhow::Result<()> {
        let until = self.road().since() + within;
        loop {
            tokio::time::sleep(LOOK).await;
            let converged = self.converged();
            if converged.len() == self.least.accounts.len() {
                return Ok(());
            }
            if self.road().since() > until {
                bail!("not at rest within {within:?}: {} of {} accounts", converged.len(), self.least.accounts.len());
            }
        }
    }

    async fn migrates(&self) -> anyhow::Result<Migrate> {
        let waits = self.place.draw.waits;
        self.until_rest(waits.late_write + waits.role_propagation + waits.key_idle + waits.metrics_lag + BEYOND)
            .await?;
        let judge = self.road().judge();
        let entries = &judge.record.entries;
        let sum = Sum::of(entries);
        let mut steps: BTreeMap<&'static str, (Duration, Duration)> = BTreeMap::new();
        let mut last = BTreeMap::new();
        let mut operations: BTreeMap<String, Duration> = BTreeMap::new();
        let polls = judge.record.last_polls();
        for (entry, what) in judge.record.writes() {
            steps.entry(what.word()).and_modify(|(_, to)| *to = entry.since).or_insert((entry.since, entry.since));
            let Some(account) = judge.account_of(&entry.path) else { continue };
            *operations.entry(account.clone()).or_default() +=
                judge.record.end_of(entry, &polls).0.saturating_sub(entry.since);
            last.insert(account, entry.since);
        }
        // What holds each account: the wait after the start, that of its grants, Azure's own time for its writes, one after
        // the other, and the wait for its key to be idle, which metrics tell of late.
        let started = self.place.road.sim.now().checked_sub(jiff::SignedDuration::try_from(self.road().since())?)?;
        let held = |account: &String| {
            let grants = if self.least.lacking.contains(account) { waits.role_propagation } else { Duration::ZERO };
            let uses = judge.key_uses.iter().filter(|using| using.account == *account);
            let used = uses.map(|using| Duration::try_from(using.until.duration_since(started)).unwrap_or_default());
            let writes = operations.get(account).copied().unwrap_or_default();
            (waits.late_write + grants + writes).max(used.max().unwrap_or_default())
                + waits.key_idle
                + waits.metrics_lag
        };
        let beyond = last.iter().map(|(account, at)| at.saturating_sub(held(account))).collect();
        let polled = sum.like("workspaceoperationsstatus");
        Ok(Migrate {
            shares: Shares::of(&judge, entries, &self.ears.heard().passes),
            floor: self.least.floor(polled),
            took: last.values().max().copied().unwrap_or_default(),
            waits: self.least.accounts.keys().map(held).max().unwrap_or_default(),
            beyond: Spans::of(beyond),
            steps,
            sum,
        })
    }

    /// Where requests and time stand.
    fn here(&self) -> (usize, Duration) {
        (self.road().judge().record.entries.len(), self.road().since())
    }

    async fn rests(&self, cycles: u32) -> Rest {
        // What a pass has seen for the first time is told in it.
        tokio::time::sleep(INTERVAL * 2).await;
        let (from, since) = self.here();
        tokio::time::sleep(INTERVAL * cycles).await;
        let judge = self.road().judge();
        let heard = self.ears.heard();
        let mut loud = BTreeMap::new();
        for (_, name) in heard.loud.iter().filter(|(at, _)| *at >= since) {
            *loud.entry(*name).or_default() += 1;
        }
        let (mut passes, mut floor) = (0, 0);
        for (account, all) in &heard.passes {
            let made = count(all.iter().filter(|pass| pass.to > since).count());
            passes += made;
            floor += made * self.least.look(account);
        }
        Rest { cycles, sum: Sum::of(judge.record.entries.get(from..).unwrap_or_default()), passes, floor, loud }
    }

    async fn drifts(&self, changes: u32) -> anyhow::Result<Drifted> {
        let mut dice = Dice::of(self.place.draw.seed, "bench drift");
        let (from, began) = self.here();
        let mut open: Vec<(Duration, String)> = Vec::new();
        for cycle in 0..changes {
            let at = INTERVAL * cycle + dice.millis(0, 59_999);
            tokio::time::sleep_until(self.road().began + began + at).await;
            let quiet = self.quiet(&open);
            if let Some(account) = self.changes(&quiet, &mut dice)? {
                open.push((self.road().since(), account));
            }
        }
        if changes > 0 {
            tokio::time::sleep(UNSEEN).await;
            let waits = self.place.draw.waits;
            self.until_rest(waits.role_propagation + waits.key_idle + BEYOND).await?;
        }
        let judge = self.road().judge();
        let heard = self.ears.heard();
        let (mut spans, mut unseen) = (Vec::new(), 0);
        for (at, account) in &open {
            let alert = heard.alerts.iter().find(|(told, of)| told >= at && of == account);
            match alert.map(|(told, _)| *told - *at).filter(|span| *span < UNSEEN) {
                Some(span) => spans.push(span),
                None => unseen += 1,
            }
        }
        let Confirmed { sends, effects, passes } = Confirmed::of(&judge, &judge.record.entries, &heard.passes);
        Ok(Drifted {
            changes: count(open.len()),
            unseen,
            sum: Sum::of(judge.record.entries.get(from..).unwrap_or_default()),
            alerts: Spans::of(spans),
            sends: Spans::of(sends),
            effects: Spans::of(effects),
            passes: Spans::of(passes),
        })
    }

    /// The accounts at rest: what was changed last is told, and a whole pass since then found nothing to do. What changes
    /// while an own write lands may be gone before anybody can have seen it.
    fn quiet(&self, changes: &[(Duration, String)]) -> Vec<String> {
        let heard = self.ears.heard();
        let is_over = |account: &String| {
            let Some((at, _)) = changes.iter().rev().find(|(_, of)| of == account) else { return true };
            let told = heard.alerts.iter().find(|(told, of)| told >= at && of == account);
            let last = heard.passes.get(account).and_then(|passes| passes.last());
            told.zip(last).is_some_and(|((told, _), last)| last.from >= *told)
        };
        self.converged().into_iter().filter(is_over).collect()
    }

    /// Somebody else changes something on one of these accounts: a key comes on, a workspace goes back to it, or a grant
    /// goes. The account, if there is one.
    fn changes(&self, accounts: &[String], dice: &mut Dice) -> anyhow::Result<Option<String>> {
        let kind = dice.between(0, 2);
        let Some(account) = dice.pick(accounts).cloned() else { return Ok(None) };
        let (workspaces, grants) = {
            let judge = self.road().judge();
            let workspaces: Vec<String> = judge.truth.on(&account).map(|(id, _)| id.clone()).collect();
            let ours = judge.truth.assignments.iter().filter(|(_, one)| one.scope == account && one.is_own());
            (workspaces, ours.map(|(id, _)| id.clone()).collect::<Vec<_>>())
        };
        let (change, target, value) = match (kind, dice.pick(&workspaces), dice.pick(&grants)) {
            (0, Some(workspace), _) => (DriftChange::AuthMode, workspace.clone(), json!("AccessKey")),
            (1, _, Some(grant)) => (DriftChange::GrantRemoved, grant.clone(), Value::Null),
            _ => (DriftChange::SharedKey, account.clone(), json!(true)),
        };
        let sim = &self.road().sim;
        sim.drift(Drift { change, target, value, by: String::new() })?;
        let (at, since) = (sim.now(), self.road().since());
        let what = format!("{change:?}");
        let foreign =
            Foreign { at, since, shown_by: None, account: Some(account.clone()), what, hidden: Duration::ZERO };
        self.road().judge().foreign(sim, foreign);
        Ok(Some(account))
    }

    async fn ends(self, migrate: Migrate, rest: Rest, drift: Drifted) -> anyhow::Result<Figures> {
        let Self { place, life, least, .. } = self;
        let road = Arc::clone(&place.road);
        road.judge().stops(1, road.since());
        let _settled = life.stop().await?;
        let mut judge = road.judge();
        judge.unsettled();
        judge.losses(&road.sim.oracle().events);
        if !is_over(&judge.record.entries) {
            judge.broken.push("a request never came to its end".to_owned());
        }
        let requests = count(judge.record.entries.len());
        let broken = std::mem::take(&mut judge.broken);
        Ok(Figures { least, migrate, rest, drift, broken, requests, virtual_time: road.since() })
    }
}
