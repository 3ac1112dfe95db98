//! One run of one seed: first things go wrong, then the world has to come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keyless_controller::event::Name;
use keyless_core::ablate::{self, Ablation};
use keyless_core::desired::{AuthMode, Desired, DesiredSharedKey, DesiredWorkspace, ServiceGrants};
use keyless_core::gate::{Gate, GateCheck, GateState};
use keyless_core::id::{StorageAccountId, WorkspaceId};
use keyless_core::plan::Standing;
use keyless_sim::Faults;

use super::aims::{Aimed, Aims};
use super::dice::Dice;
use super::draw::Draw;
use super::fleet::{self, Made};
use super::incidents::{Incident, drawn};
use super::judge::Judge;
use super::life::{Life, Place};
use super::others::{Others, key_uses};
use super::record::Entry;
use super::truth::{Assignment, Truth};
use super::wire::Road;

/// How long the world may take to come to what the files ask once nothing goes wrong: every wait of the files more
/// than once, the longest pause after refusals aside, which new files end.
const BOUND: Duration = Duration::from_secs(4 * 3600);

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(60);

/// How many intervals have to pass without a write.
const IDLE: u32 = 10;

/// The same in most seeds: what writes again does so at once, and a pass at rest is like the one before it.
const SHORT_IDLE: u32 = 3;

/// Every so-manieth seed is looked at longer.
const LONG: u64 = 8;

/// How many of the last requests are told.
const LAST: usize = 20;

/// What counts of requests begin with.
const REQUESTS: &str = "requests ";

/// What came of a run.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The hash of every request, every answer and the time of each.
    pub(crate) digest: u64,
    pub(crate) marks: Vec<u64>,
    /// The rules that were broken.
    pub(crate) broken: Vec<String>,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) requests: usize,
    pub(crate) writes: usize,
    pub(crate) virtual_time: Duration,
    /// The writes and what happened besides, in order, for people.
    pub(crate) lines: Vec<(Duration, String)>,
    /// The last requests of all kinds.
    pub(crate) last: Vec<String>,
}

/// Runs it, without the rules in `gone`.
///
/// # Errors
/// If the run could not be made at all.
pub(crate) fn once(draw: &Draw, gone: &BTreeSet<Ablation>) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    ablate::without(gone, || runtime.block_on(live(draw)))
}

async fn live(draw: &Draw) -> anyhow::Result<Outcome> {
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.context("a folder for the state of the processes")?;
    let Made { sim, desired } = fleet::make(draw, folder.path())?;
    let mut others = Others::new(draw, desired);
    let files = others.files();
    let mut judge = Judge::new(draw, &sim, Arc::clone(&files));
    judge.begins_with(key_uses(&sim), sim.now());
    let road = Road::new(Arc::clone(&sim), judge, Aims::new(draw), draw.seed, draw.wire);
    let place = Place {
        road: Arc::clone(&road),
        draw: draw.clone(),
        state: folder.path().join("state"),
        through: None,
        hears: None,
    };
    let mut run = Run {
        place,
        others,
        files,
        lives: 0,
        life: None,
        settled: false,
        began_settled: false,
        dice: Dice::of(draw.seed, "deaths"),
    };
    run.start(false).await?;
    run.goes_wrong().await?;
    run.tells_requests("while things go wrong");
    run.goes_well().await?;
    run.tells_requests("at rest");
    run.end().await
}

struct Run {
    place: Place,
    others: Others,
    /// In force.
    files: Arc<Desired>,
    lives: u32,
    life: Option<Life>,
    /// Whether the last process said that nothing of it can land any more, or sent nothing after one that said so.
    settled: bool,
    /// The same of the process before the one that runs.
    began_settled: bool,
    dice: Dice,
}

impl Run {
    fn road(&self) -> &Road {
        &self.place.road
    }

    /// Counts the requests of a part.
    fn tells_requests(&self, part: &str) {
        let mut judge = self.road().judge();
        let before: u64 =
            judge.counts.iter().filter(|(what, _)| what.starts_with(REQUESTS)).map(|(_, count)| *count).sum();
        let all = u64::try_from(judge.record.entries.len()).unwrap_or_default();
        judge.counts.insert(format!("{REQUESTS}{part}"), all - before);
    }

    fn note(&self, what: String) {
        let since = self.road().since();
        self.road().judge().record.note(since, what);
    }

    async fn start(&mut self, forgetful: bool) -> anyhow::Result<()> {
        if forgetful {
            // A directory that is not there yet is as forgetful.
            let _ = std::fs::remove_dir_all(&self.place.state);
        }
        self.lives += 1;
        let (now, settled) = (self.road().since(), self.settled && !forgetful);
        self.road().judge().begins(self.lives, now, settled);
        self.settled = false;
        self.began_settled = settled;
        self.life = Some(self.place.start(self.lives, Arc::clone(&self.files)).await?);
        Ok(())
    }

    /// The first part.
    async fn goes_wrong(&mut self) -> anyhow::Result<()> {
        let draw = self.place.draw.clone();
        let mut incidents = drawn(&draw);
        let began = self.road().began;
        let over = draw.before + draw.storm;
        // Numbers behind those of what was drawn beforehand.
        let mut hits = u32::MAX / 2;
        loop {
            let next = incidents.first_key_value().map_or(over, |((at, _), _)| *at);
            tokio::select! {
                biased;
                hit = self.place.road.aimed() => {
                    hits += 1;
                    incidents.insert((self.road().since() + hit.after, hits), Incident::Aimed(hit));
                    continue;
                }
                () = tokio::time::sleep_until(began + next) => {}
            }
            let Some(((at, number), incident)) = incidents.pop_first() else { return Ok(()) };
            if let Some(what) = self.others.of_access(&incident, &self.place.road) {
                self.note(what);
                continue;
            }
            match incident {
                Incident::Trouble => {
                    self.road().trouble(draw.wire);
                    continue;
                }
                Incident::Documents => {
                    let what = self.others.documents(&self.place.road);
                    self.note(format!("files: {what}"));
                    self.put_in_force();
                    continue;
                }
                Incident::Observe => {
                    let what = self.others.observes(&self.place.road);
                    self.note(format!("files: {what}"));
                    self.put_in_force();
                    continue;
                }
                Incident::Aimed(hit) => {
                    let what = self.others.aimed(&self.place.road, &hit);
                    self.note(what);
                    if hit.what == Aimed::Files {
                        self.put_in_force();
                    }
                    continue;
                }
                _ => {}
            }
            let down = self.dice.millis(0, 120_000);
            let forgetful = self.dice.chance(0.25);
            match incident {
                Incident::Drift => {
                    let what = self.others.drifts(&self.place.road);
                    self.note(what);
                }
                Incident::Flip => {
                    let what = self.others.flips(&self.place.road);
                    self.note(format!("files: {what}"));
                    self.put_in_force();
                }
                Incident::Crash => {
                    if let Some(life) = self.life.take() {
                        self.note("crash".to_owned());
                        self.road().judge().count("crashes");
                        self.told(&life);
                        // The mark goes with the first write, so that of before still stands without one.
                        self.settled = self.began_settled && !self.road().judge().record.wrote(life.number);
                        life.crash().await;
                        incidents.insert((at + down, number), Incident::Start { forgetful });
                    }
                }
                Incident::Stop => {
                    if let Some(life) = self.life.take() {
                        self.note("stop".to_owned());
                        self.stop(life).await?;
                        let now = self.road().since();
                        incidents.insert((now + down, number), Incident::Start { forgetful: false });
                    }
                }
                Incident::Start { forgetful } => {
                    let word = if forgetful { "starts without a state directory" } else { "starts" };
                    self.note(word.to_owned());
                    self.road().judge().count(word);
                    self.start(forgetful).await?;
                }
                Incident::Trouble
                | Incident::Join
                | Incident::Leave
                | Incident::Documents
                | Incident::Observe
                | Incident::Deny
                | Incident::Roles
                | Incident::Recast
                | Incident::Aimed(_) => {}
            }
        }
    }

    fn put_in_force(&mut self) {
        self.files = self.others.files();
        let now = self.road().since();
        self.road().judge().files(Arc::clone(&self.files), now);
        if let Some(life) = &self.life {
            life.files(Arc::clone(&self.files));
        }
    }

    async fn stop(&mut self, life: Life) -> anyhow::Result<()> {
        self.told(&life);
        let now = self.road().since();
        self.road().judge().stops(life.number, now);
        match life.stop().await {
            Ok(stopped) => {
                self.settled = stopped.settled;
                let word = if stopped.settled { "stops that were settled" } else { "stops that were not settled" };
                self.road().judge().count(word);
            }
            Err(error) => self.road().judge().broken.push(format!("S8: {error:#}")),
        }
        Ok(())
    }

    /// What a process told of itself that it must never have to tell.
    fn told(&self, life: &Life) {
        let mut judge = self.road().judge();
        if life.is_over() {
            judge.broken.push("the process ended by itself".to_owned());
        }
        for event in life.events.events() {
            let broke = event.why.as_deref().is_some_and(|why| why.contains("the pass broke off"));
            if broke || event.event == Name::PlanRejected {
                judge.count(event.event.as_str());
                let why = event.why.unwrap_or_else(|| event.problems.join("; "));
                judge.broken.push(format!("told: {}: {why}", event.event.as_str()));
            }
        }
    }

    /// The second part.
    async fn goes_well(&mut self) -> anyhow::Result<()> {
        self.note("calm".to_owned());
        self.road().sim.set_faults(Faults::default());
        self.road().calm();
        self.others.calm(&self.place.road);
        if self.life.is_none() {
            self.start(false).await?;
        }
        // Who has lifted what only a person can lift says so by new files.
        self.put_in_force();
        let began = tokio::time::Instant::now();
        // What operations and late writes of before leave behind is there to be seen only when they have come to their ends.
        let mut seen = began;
        let mut changing = self.is_changing();
        let mut missing = self.awake(seen).or_else(|| self.missing());
        let mut steady = 0;
        while began.elapsed() < BOUND {
            tokio::time::sleep(LOOK).await;
            if changing {
                changing = self.is_changing();
                seen = tokio::time::Instant::now();
            }
            let before = missing;
            // To look at the whole world costs more than to ask the process.
            missing = self.awake(seen).or_else(|| self.missing());
            // What has only just come is looked at once more.
            steady = if missing.is_none() && before.is_none() { steady + 1 } else { 0 };
            if steady > 1 {
                self.tells_requests("until at rest");
                return self.idles().await;
            }
        }
        let why = self.missing().or(missing).unwrap_or_default();
        let gates = self.gates().join("\n    ");
        let said = format!("L1: not at rest {BOUND:?} after everything went well: {why}\n    {gates}");
        self.road().judge().broken.push(said);
        Ok(())
    }

    /// S9.
    async fn idles(&mut self) -> anyhow::Result<()> {
        self.note("at rest".to_owned());
        let gates = self.gates().join("\n    ");
        let before = self.road().judge().record.writes().count();
        let denied = self.road().sim.oracle().denied.entitled;
        let idle = if self.place.draw.seed.is_multiple_of(LONG) { IDLE } else { SHORT_IDLE };
        tokio::time::sleep(self.place.draw.interval.mul_f64(1.1) * idle).await;
        let mut judge = self.road().judge();
        if judge.record.writes().count() != before {
            let last = judge.record.writes().last().map(|(entry, _)| entry.line()).unwrap_or_default();
            judge
                .broken
                .push(format!("S9: a write after the world had come to rest\n    {last}\n    at rest: {gates}"));
        }
        let more = self.road().sim.oracle().denied.entitled - denied;
        if more > 0 {
            judge.count("tries denied at rest");
        }
        Ok(())
    }

    async fn end(mut self) -> anyhow::Result<Outcome> {
        if let Some(life) = self.life.take() {
            self.stop(life).await?;
        }
        let road = Arc::clone(&self.place.road);
        let mut judge = road.judge();
        judge.unsettled();
        let report = road.sim.oracle();
        judge.losses(&report.events);
        for (fault, count) in road.sim.struck() {
            *judge.counts.entry(format!("fault: {fault}")).or_default() += count;
        }
        let mut lines: Vec<(Duration, String)> =
            judge.record.writes().map(|(entry, _)| (entry.since, entry.line())).collect();
        lines.extend(judge.record.notes.iter().map(|(at, what)| (*at, format!("{:>9.3} -- {what}", at.as_secs_f64()))));
        lines.sort_by_key(|(at, _)| *at);
        Ok(Outcome {
            digest: judge.record.digest(),
            marks: std::mem::take(&mut judge.record.marks),
            broken: std::mem::take(&mut judge.broken),
            counts: std::mem::take(&mut judge.counts),
            requests: judge.record.entries.len(),
            writes: judge.record.writes().count(),
            virtual_time: road.since(),
            last: judge.record.entries.iter().rev().take(LAST).rev().map(Entry::line).collect(),
            lines,
        })
    }

    /// Whether an operation on a workspace goes on, or a write is still to land.
    fn is_changing(&self) -> bool {
        let now = self.road().sim.now();
        let is_late = |entry: &Entry| entry.lands.is_some_and(|lands| lands >= now);
        let late = self.road().judge().record.writes().any(|(entry, _)| is_late(entry));
        late || Truth::of(&self.road().sim).workspaces.values().any(|workspace| workspace.changing)
    }

    /// Which account the process has not come to rest with, as a pass shows that read all of it since `calm`.
    fn awake(&self, calm: tokio::time::Instant) -> Option<String> {
        let Some(life) = &self.life else { return Some("there is no process".to_owned()) };
        // What denies people is read once in half an interval where nothing is written.
        let calm = if self.place.draw.denies { calm + self.place.draw.interval / 2 } else { calm };
        let snapshot = life.status.snapshot();
        if let Some(id) = snapshot.unplaced.keys().next() {
            return Some(format!("where {} stands is not known", id.name()));
        }
        // In the calm all can be listed and operations end: a gate that says otherwise rests on a look of before, or a write
        // of before has only just landed.
        let of_before = |check: &GateCheck| {
            matches!(check.gate, Gate::Listed | Gate::ModeKnown) && matches!(check.state, GateState::Unmet { .. })
        };
        let awake = snapshot.accounts.iter().find(|(_, account)| {
            !matches!(account.standing(), Some(Standing::Converged | Standing::Blocked))
                || account.last_good_at.is_none_or(|at| at < calm)
                || account.plan.as_ref().is_none_or(|plan| {
                    plan.revision != self.files.revision
                        || plan.steps.iter().flat_map(|step| &step.gates).any(of_before)
                })
        });
        awake.map(|(id, account)| format!("{} is {:?}", id.name(), account.standing()))
    }

    /// What the world lacks of what the files ask, as far as nothing that is not keyless's holds it.
    fn missing(&self) -> Option<String> {
        let truth = Truth::of(&self.road().sim);
        for (id, declared) in &self.files.workspaces {
            let id = id.as_str().to_ascii_lowercase();
            let Some(workspace) = truth.workspaces.get(&id) else { return Some(format!("{id} is gone")) };
            // What an operation that lasts will have changed is dealt with after it.
            if workspace.changing {
                return Some(format!("{id} is still changing"));
            }
            for need in &declared.needs {
                let role = need.role.to_string().to_ascii_lowercase();
                let account = workspace.account.as_deref().unwrap_or_default();
                let has = |who: &String| truth.held_since(who, &role, account, need.condition.is_some());
                if let Some(who) = truth.principals(&id, need).into_iter().find(|who| has(who) == (None, None)) {
                    return Some(format!("`{who}` has no {role} for {id}"));
                }
            }
            let to_identity = declared.auth_mode == AuthMode::Identity;
            // Who took it away has to give it back, where the files say that it is waited for.
            if to_identity && declared.service_grants == ServiceGrants::Wait && !truth.has_service_grant(&id) {
                continue;
            }
            // Nobody said that the key comes on.
            let key = workspace.account.as_ref().and_then(|account| truth.keys.get(account));
            let says_enabled =
                workspace.account.as_ref().is_some_and(|account| self.said(account) == Some(DesiredSharedKey::Enabled));
            if !to_identity && key == Some(&false) && !says_enabled {
                continue;
            }
            if workspace.on_identity != to_identity {
                return Some(format!("{id} is not on {}", declared.auth_mode));
            }
        }
        if let Some(grant) = self.unwanted(&truth) {
            return Some(format!("{grant} is nobody's"));
        }
        let now = self.road().sim.now();
        for (account, key) in &truth.keys {
            let on: Vec<_> = truth.on(account).collect();
            let asked: Vec<_> = on.iter().filter_map(|(id, _)| self.declared(id)).collect();
            if asked.is_empty() {
                continue;
            }
            let name = account.rsplit('/').next().unwrap_or_default();
            // Nobody's, or of one that waits for what was taken from it.
            let keeps = |of: &str| {
                let waits =
                    |own: &DesiredWorkspace| own.service_grants == ServiceGrants::Wait && !truth.has_service_grant(of);
                self.declared(of).is_none_or(waits)
            };
            let stored = truth.stored.values().any(|stored| stored.account == name && keeps(&stored.workspace));
            let held = stored || on.iter().any(|(_, workspace)| !workspace.on_identity);
            let used = self.road().judge().key_uses.iter().any(|using| using.account == *account && using.until > now);
            let back = asked.iter().any(|one| one.auth_mode == AuthMode::AccessKey);
            let said = self.said(account);
            if said == Some(DesiredSharedKey::Enabled) && !*key {
                return Some(format!("the key of {account} is off"));
            }
            if said.is_some_and(|word| word != DesiredSharedKey::Disabled) {
                continue;
            }
            if !back && *key && !held && !used {
                return Some(format!("the key of {account} is on"));
            }
            if used && !back && *key {
                return Some(format!("the key of {account} is in use"));
            }
        }
        None
    }

    /// A grant of keyless's own that nobody on its account has a use for, where the files want it taken back.
    fn unwanted<'a>(&self, truth: &'a Truth) -> Option<&'a str> {
        if !self.files.fleet.prune {
            return None;
        }
        let is_unwanted = |one: &Assignment| {
            let on = truth.on(&one.scope).map(|(id, _)| Some((id, self.declared(id)?)));
            // Who uses what no file declares, or what goes back, is not said here.
            let Some(asked) = on.collect::<Option<Vec<_>>>() else { return false };
            let certain = asked.iter().all(|(id, asked)| {
                let known = asked.needs.iter().all(|need| !truth.principals(id, need).is_empty());
                known && asked.auth_mode == AuthMode::Identity
            });
            let mut needs = asked.iter().flat_map(|(id, asked)| asked.needs.iter().map(move |need| (id, need)));
            let wanted = needs.any(|(id, need)| truth.principals(id, need).contains(&one.principal));
            !asked.is_empty() && certain && !wanted
        };
        // What it gave in the service's place, no file names.
        let of_people = |one: &Assignment| !truth.is_own_identity(&one.principal);
        let mut own = truth.assignments.iter().filter(|(_, one)| one.is_own() && of_people(one));
        own.find(|(_, one)| is_unwanted(one)).map(|(id, _)| id.as_str())
    }

    fn declared(&self, workspace: &str) -> Option<&DesiredWorkspace> {
        WorkspaceId::parse(workspace).ok().and_then(|id| self.files.workspaces.get(&id))
    }

    /// What a document of the account says of its key.
    fn said(&self, account: &str) -> Option<DesiredSharedKey> {
        let id = StorageAccountId::parse(account).ok()?;
        self.files.accounts.get(&id).map(|said| said.shared_key_access)
    }

    /// The gates that are shut, by the plans of the process.
    fn gates(&self) -> Vec<String> {
        let Some(life) = &self.life else { return Vec::new() };
        let mut lines = Vec::new();
        for (id, account) in life.status.snapshot().accounts {
            let Some(plan) = &account.plan else { continue };
            lines.push(format!("{}: {:?}, {:?}", id.name(), account.standing(), account.last_error));
            for step in &plan.steps {
                let shut = step
                    .gates
                    .iter()
                    .find(|check| matches!(check.state, GateState::Unmet { .. } | GateState::Waiting { .. }));
                if let Some(check) = shut {
                    lines.push(format!("  {:?}: {} {:?}", step.action, check.gate, check.state));
                }
            }
            lines.extend(plan.findings.iter().map(|finding| format!("  {finding}")));
        }
        lines
    }
}
