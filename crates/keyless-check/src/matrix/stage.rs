//! One run: the world of a workload, the shipped controller and client, what others do, and a plan of disturbances.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::SignedDuration;
use keyless_arm::wire::Wire;
use keyless_controller::event::{Level, Name};
use keyless_core::ablate::{self, Ablation};
use keyless_core::desired::{Desired, Revision};
use keyless_core::gate::{Gate, GateState};
use keyless_core::plan::Standing;
use keyless_sim::{ClockMode, Drift, DriftChange, SimOptions, Simulator, World};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use super::plan::{Disturbance, Plan, Span};
use super::tamper::{Reads, Tamper, TamperedWire};
use super::workload::{Change, Event, Workload};
use super::world::{INTERVAL, account, desired, draw, works};
use crate::dst::aims::Aims;
use crate::dst::fleet::start;
use crate::dst::foreign::Foreign;
use crate::dst::judge::{Judge, KeyUse};
use crate::dst::life::{Life, Place};
use crate::dst::wire::Road;

/// How long the world may take to come to rest after the last disturbance and the last change.
const BOUND: Duration = Duration::from_secs(90 * 60);
/// How often is looked whether it has.
const LOOK: Duration = Duration::from_secs(30);
/// So many looks without a write and with nothing left to wait for are a rest.
const STEADY: u32 = 4;
/// How many intervals have to pass without a write then.
const IDLE: u32 = 3;
/// How long a dead process stays dead.
const DOWN: Duration = Duration::from_secs(5);

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) reads: Reads,
    /// Each write in order, in words.
    pub(crate) writes: Vec<String>,
    /// The world at the end, each thing in words.
    pub(crate) world: BTreeSet<String>,
    /// Name and subject of everything that was told.
    pub(crate) alerts: BTreeSet<String>,
    /// What a process that knows nothing plans then.
    pub(crate) plan: Vec<String>,
    /// The rules that were broken.
    pub(crate) broken: Vec<String>,
    /// When everything had come to rest.
    pub(crate) rested: Duration,
    pub(crate) requests: usize,
    /// How many of the disturbances came about.
    pub(crate) struck: usize,
    /// The addresses that were shown older than they are.
    pub(crate) aged: Vec<String>,
    /// What happened, for people.
    pub(crate) lines: Vec<String>,
}

/// Runs a workload under a plan. `reference` is the undisturbed run whose numbers the plan uses.
///
/// # Errors
/// If the run could not be made at all.
pub(crate) fn play(
    workload: &Workload,
    plan: &Plan,
    reference: Option<&Outcome>,
    gone: &BTreeSet<Ablation>,
) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    ablate::without(gone, || runtime.block_on(live(workload, plan, reference)))
}

/// When what happens, and the place in the plan and the span for which it is not seen at first.
type Scene = (Duration, Event, Option<(usize, Duration)>);

struct Stage<'a> {
    workload: &'a Workload,
    plan: &'a Plan,
    place: Place,
    tamper: Arc<Tamper>,
    dies: UnboundedReceiver<()>,
    files: Vec<Arc<Desired>>,
    in_force: Arc<Desired>,
    lives: u32,
    life: Option<Life>,
    settled: bool,
    alerts: BTreeSet<String>,
    lines: Vec<String>,
    /// What the undisturbed run takes.
    expected: Duration,
}

async fn live(workload: &Workload, plan: &Plan, reference: Option<&Outcome>) -> anyhow::Result<Outcome> {
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.context("a folder for the state of the processes")?;
    let draw = draw();
    let (world, ignored) = World::from_resources(workload.resources.clone());
    ensure!(ignored == 0, "{ignored} parts of the world mean nothing to the simulator");
    let options = SimOptions {
        clock: ClockMode::Tokio(start()),
        seed: draw.seed,
        knobs: draw.knobs.clone(),
        ..SimOptions::default()
    };
    let sim = Arc::new(Simulator::new(world, &options)?);
    let mut files = Vec::new();
    for (number, (asks, key)) in workload.files.iter().enumerate() {
        let mut desired = desired(asks, *key, number)?;
        desired.revision = Revision(format!("r{number}"));
        files.push(Arc::new(desired));
    }
    let in_force = files.first().cloned().context("a workload without files")?;
    let judge = Judge::new(&draw, &sim, Arc::clone(&in_force));
    let road = Road::new(Arc::clone(&sim), judge, Aims::default(), draw.seed, draw.wire);
    let (sender, dies) = unbounded_channel();
    let none = Reads::default();
    let tamper = Tamper::new(plan, reference.map_or(&none, |outcome| &outcome.reads), sender);
    let through = Arc::clone(&tamper);
    let place = Place {
        road,
        draw,
        state: folder.path().join("state"),
        through: Some(Arc::new(move |wire: Arc<dyn Wire>| {
            Arc::new(TamperedWire { tamper: Arc::clone(&through), wire }) as Arc<dyn Wire>
        })),
        hears: None,
    };
    let mut stage = Stage {
        workload,
        plan,
        place,
        tamper,
        dies,
        files,
        in_force,
        lives: 0,
        life: None,
        settled: false,
        alerts: BTreeSet::new(),
        lines: Vec::new(),
        expected: reference.map_or(Duration::ZERO, |outcome| outcome.rested),
    };
    stage.begin().await?;
    let rested = stage.go().await?;
    stage.end(rested).await
}

impl Stage<'_> {
    fn road(&self) -> &Road {
        &self.place.road
    }

    fn note(&mut self, what: &str) {
        let line = format!("{:>9.3} -- {what}", self.road().since().as_secs_f64());
        self.lines.push(line);
    }

    async fn begin(&mut self) -> anyhow::Result<()> {
        self.lives += 1;
        let now = self.road().since();
        let settled = std::mem::take(&mut self.settled);
        self.road().judge().begins(self.lives, now, settled);
        self.life = Some(self.place.start(self.lives, Arc::clone(&self.in_force)).await?);
        Ok(())
    }

    async fn dies(&mut self) -> anyhow::Result<()> {
        self.note("crash");
        if let Some(life) = self.life.take() {
            self.hear(&life);
            life.crash().await;
        }
        tokio::time::sleep(DOWN).await;
        self.note("starts");
        self.begin().await
    }

    /// Waits, and lets the process die meanwhile where the plan says so.
    async fn until(&mut self, at: Instant) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                biased;
                Some(()) = self.dies.recv() => {},
                () = tokio::time::sleep_until(at) => return Ok(()),
            }
            self.dies().await?;
        }
    }

    /// What happens when, with what is not seen at first.
    fn script(&self) -> Vec<Scene> {
        let mut script = Vec::new();
        for (number, event) in self.workload.events.iter().enumerate() {
            let next = self.workload.events.get(number + 1);
            let missed = self.plan.0.iter().enumerate().find_map(|(place, one)| match one {
                Disturbance::Missed { change, span } if *change == number + 1 => Some((place, *span)),
                _ => None,
            });
            let missed = missed.map(|(place, span)| {
                let span = match span {
                    Span::Looks(looks) => INTERVAL.mul_f64(1.1) * looks,
                    Span::Next => next.map_or(INTERVAL, |next| next.at.saturating_sub(event.at)),
                };
                (place, span)
            });
            let is_files = matches!(event.change, Change::Files(_));
            let cancelled =
                is_files && missed.is_some_and(|(_, span)| next.is_some_and(|next| event.at + span >= next.at));
            let at = match missed {
                // Files that come later come later; those that another revision overtakes never come.
                Some((_, span)) if is_files && !cancelled => event.at + span,
                _ => event.at,
            };
            script.push((at, event.clone(), missed));
        }
        script
    }

    async fn go(&mut self) -> anyhow::Result<Duration> {
        let began = self.road().began;
        let mut calm = Duration::ZERO;
        let script = self.script();
        for (number, (at, event, missed)) in script.iter().enumerate() {
            self.until(began + *at).await?;
            let overtaken = missed.is_some()
                && *at == event.at
                && matches!(event.change, Change::Files(_))
                && script.get(number + 1).is_some();
            if let Some((place, span)) = missed {
                match event.change {
                    Change::Files(_) => self.tamper.struck_by(*place),
                    _ => self.tamper.hide(*place, *span),
                }
                calm = calm.max(event.at + *span);
            }
            calm = calm.max(*at);
            if !overtaken {
                self.happens(&event.change, missed.map_or(Duration::ZERO, |(_, span)| span))?;
            }
        }
        let mut steady = 0;
        let mut writes = self.writes();
        loop {
            self.until(Instant::now() + LOOK).await?;
            let now = self.road().since();
            let struck = self.tamper.struck();
            let last = struck.values().max().map_or(Duration::ZERO, |at| at.duration_since(began));
            // What has not come about may still, as long as the undisturbed run took.
            let quiet =
                if struck.len() == self.plan.0.len() { last.max(calm) } else { self.expected.max(calm).max(last) };
            let still = self.writes() == writes && self.at_rest();
            writes = self.writes();
            steady = if still && now > quiet { steady + 1 } else { 0 };
            if steady >= STEADY {
                break;
            }
            if now > quiet.max(self.expected) + BOUND {
                let said = format!("L1: not at rest {BOUND:?} after the last disturbance: {:?}", self.steps());
                self.road().judge().broken.push(said);
                return Ok(now);
            }
        }
        self.until(Instant::now() + INTERVAL.mul_f64(1.1) * IDLE).await?;
        if self.writes() != writes {
            let mut judge = self.road().judge();
            let line = judge.record.writes().last().map(|(entry, _)| entry.line()).unwrap_or_default();
            judge.broken.push(format!("S9: a write after the world had come to rest\n    {line}"));
        }
        Ok(self.road().since())
    }

    /// A change of somebody else's, made now.
    fn foreign(&self, what: String, hidden: Duration) -> Foreign {
        let (at, since) = (self.road().sim.now(), self.road().since());
        Foreign { at, since, shown_by: None, account: Some(account().to_ascii_lowercase()), what, hidden }
    }

    fn happens(&mut self, change: &Change, hidden: Duration) -> anyhow::Result<()> {
        let sim = Arc::clone(&self.road().sim);
        match change {
            Change::Foreign(drift) => {
                let words = format!("{:?} {} {}", drift.change, drift.target, drift.value);
                self.note(&words);
                sim.drift(drift.clone())?;
                let foreign = self.foreign(words, hidden);
                self.road().judge().foreign(&sim, foreign);
            }
            Change::KeyUser(span) => {
                self.note("a key user");
                let value = json!({"name": "script", "triesPerHour": 120,
                    "stopsAfter": humantime::format_duration(*span).to_string()});
                let change = DriftChange::KeyUserStarted;
                sim.drift(Drift { change, target: account(), value, by: String::new() })?;
                let from = sim.now();
                let until = from.checked_add(SignedDuration::try_from(*span)?)?;
                let metrics = self.place.draw.knobs.metric_lag + INTERVAL * 2;
                let foreign = self.foreign("KeyUserStarted".to_owned(), hidden + metrics);
                let mut judge = self.road().judge();
                judge.key_uses.push(KeyUse { account: account().to_ascii_lowercase(), until });
                judge.foreign(&sim, foreign);
            }
            Change::Files(number) => {
                self.note(&format!("files {number}"));
                self.in_force = self.files.get(*number).cloned().context("no such files")?;
                let (asks, _) = self.workload.files.get(*number).context("no such files")?;
                for (name, person) in asks.iter().flat_map(|one| one.people.iter().map(|person| (one.name, *person))) {
                    let value = works(name, person);
                    let target = value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                    if person > 0 {
                        sim.drift(Drift { change: DriftChange::ResourcePut, target, value, by: String::new() })?;
                        let foreign = self.foreign("declared somebody".to_owned(), Duration::ZERO);
                        self.road().judge().foreign(&sim, foreign);
                    }
                }
                self.road().judge().files(Arc::clone(&self.in_force), self.road().since());
                if let Some(life) = &self.life {
                    life.files(Arc::clone(&self.in_force));
                }
            }
        }
        Ok(())
    }

    fn writes(&self) -> usize {
        self.road().judge().record.writes().count()
    }

    fn at_rest(&self) -> bool {
        let Some(life) = &self.life else { return false };
        let snapshot = life.status.snapshot();
        !snapshot.accounts.is_empty()
            && snapshot.accounts.values().all(|account| {
                matches!(account.standing(), Some(Standing::Converged | Standing::Blocked))
                    && account.plan.as_ref().is_some_and(|plan| plan.revision == self.in_force.revision)
            })
    }

    /// What is left to do by the last plans, with the gates that are shut.
    fn steps(&self) -> Vec<String> {
        let Some(life) = &self.life else { return Vec::new() };
        let snapshot = life.status.snapshot();
        let plans = snapshot.accounts.values().filter_map(|account| account.plan.clone());
        let steps = plans.flat_map(|plan| plan.steps.clone());
        steps
            .map(|step| {
                let shut = step.gates.iter().find(|check| {
                    check.gate != Gate::Booted
                        && matches!(check.state, GateState::Unmet { .. } | GateState::Waiting { .. })
                });
                format!("{}: {}", step.action, shut.map_or("", |check| check.gate.as_str()))
            })
            .collect()
    }

    /// Takes in what a process told.
    fn hear(&mut self, life: &Life) {
        if life.is_over() {
            self.road().judge().broken.push("the process ended by itself".to_owned());
        }
        for event in life.events.events() {
            if event.why.as_deref().is_some_and(|why| why.contains("the pass broke off"))
                || event.event == Name::PlanRejected
            {
                let said = format!("told: {}: {}", event.event.as_str(), event.why.clone().unwrap_or_default());
                self.road().judge().broken.push(said);
            }
            // How far plans are is no alert, nor that files are in force.
            if event.level < Level::Info
                || matches!(event.event, Name::PlanComputed | Name::PassFinished | Name::ConfigAccepted)
            {
                continue;
            }
            let last = |id: Option<String>| id.map(|id| id.rsplit('/').next().unwrap_or_default().to_owned());
            let parts = [
                Some(event.event.as_str().to_owned()),
                last(event.workspace.clone()),
                event.principal.clone(),
                event.role.clone(),
                event.gate.clone(),
                event.drift.clone(),
                event.action.clone(),
                event.result.map(str::to_owned),
                event.changed_by.filter(|_| event.event == Name::DriftAttributed),
            ];
            self.alerts.insert(parts.into_iter().flatten().collect::<Vec<_>>().join(" | "));
        }
    }

    async fn end(mut self, rested: Duration) -> anyhow::Result<Outcome> {
        if let Some(life) = self.life.take() {
            self.hear(&life);
            match life.stop().await {
                Ok(stopped) => self.settled = stopped.settled,
                Err(error) => self.road().judge().broken.push(format!("S8: {error:#}")),
            }
        }
        let world = told_world(&self.road().sim.world_json());
        let reads = self.tamper.reads();
        let plan = self.plan_again().await?;
        let road = Arc::clone(&self.place.road);
        let mut judge = road.judge();
        judge.unsettled();
        judge.losses(&road.sim.oracle().events);
        let writes = judge.record.writes().map(|(entry, what)| {
            let body = String::from_utf8_lossy(&entry.body);
            format!("{}: {} {} {body}", what.word(), entry.method, entry.path)
        });
        let writes = writes.collect();
        let mut lines: Vec<String> = judge.record.writes().map(|(entry, _)| entry.line()).collect();
        lines.append(&mut self.lines);
        lines.sort_by(|one, other| one.get(..9).cmp(&other.get(..9)));
        Ok(Outcome {
            reads,
            writes,
            world,
            alerts: self.alerts,
            plan,
            broken: std::mem::take(&mut judge.broken),
            rested,
            requests: judge.record.entries.len(),
            struck: self.tamper.struck().len(),
            aged: self.tamper.aged(),
            lines,
        })
    }

    /// What a process plans that was left nothing and remembers nothing.
    async fn plan_again(&mut self) -> anyhow::Result<Vec<String>> {
        self.place.state.set_file_name("state of another");
        self.settled = false;
        self.begin().await?;
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let planned = self.life.as_ref().is_some_and(|life| {
                let accounts = life.status.snapshot().accounts;
                !accounts.is_empty() && accounts.values().all(|account| account.plan.is_some() && account.passes > 0)
            });
            if planned {
                break;
            }
        }
        let steps = self.steps();
        if let Some(life) = self.life.take() {
            life.crash().await;
        }
        Ok(steps)
    }
}

/// The world in words, without times and what is drawn.
fn told_world(world: &Value) -> BTreeSet<String> {
    let entries = world.as_array().into_iter().flatten();
    entries
        .map(|entry| {
            let mut entry = entry.clone();
            strip(&mut entry);
            entry.to_string()
        })
        .collect()
}

fn strip(value: &mut Value) {
    const LEFT_OUT: [&str; 9] = [
        "createdOn",
        "updatedOn",
        "systemData",
        "creationTime",
        "keyCreationTime",
        "etag",
        "since",
        "lastModifiedAt",
        "startTime",
    ];
    match value {
        Value::Object(all) => {
            all.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
            all.values_mut().for_each(strip);
        }
        Value::Array(all) => all.iter_mut().for_each(strip),
        _ => {}
    }
}

/// How often each of these is there.
pub(crate) fn counted(all: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one.as_str()).or_default() += 1;
    }
    counts
}
