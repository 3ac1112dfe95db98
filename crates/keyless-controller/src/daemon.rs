//! The controller as others call it: `run` for ever, or `apply` to an end, over one state directory.
//!
//! What its passes share is here; the loop that starts them is in `turn`. Guarantees: no write before the boot wait
//! is over unless the settled mark was found; at the end the mark is set only if every write of this process is settled
//! and every pass came to its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use keyless_arm::api::{ReadArm, WriteArm};
use keyless_core::desired::{Desired, KeyDesired, Revision};
use keyless_core::id::StorageAccountId;
use keyless_core::observed::Observed;
use keyless_core::pass::{Ended, Job, Report, WriteResult};
use keyless_core::plan::{Finding, Plan};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::announce::{Book, told_at};
use crate::clock::ServerClock;
use crate::event::{Event, Sink};
use crate::execute::{Hands, Intends, Passed, Surroundings, run_pass};
use crate::fights::Fights;
use crate::fleet::{FleetPlan, look_over};
use crate::growth::Growth;
use crate::index::Index;
use crate::mark::StateDir;
use crate::memory::Memory;
use crate::notes::Notes;
use crate::observe::Observer;
use crate::rest::Patience;
use crate::sparing::Sparing;
use crate::status::Status;
use crate::turn::{Loop, bridged};
use crate::view::View;
use crate::who::{Looked, Who};

/// The revision in force, as it changes; `None` until there is one.
pub type Feed = watch::Receiver<Option<Arc<Desired>>>;

/// How the loop behaves. The defaults are design decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Each account is read at least this often. Default 60 s.
    pub interval: Duration,
    /// After how long an unchanged drift is told again. Default 24 h.
    pub alert_reminder: Duration,
    /// How many passes are under way at a time. Default 8.
    pub max_in_flight: usize,
    /// Decides all jitter.
    pub seed: u64,
    /// How waits grow after refusals that only a person can lift. Default a minute to four hours.
    pub person: Growth,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            alert_reminder: Duration::from_secs(24 * 60 * 60),
            max_in_flight: 8,
            seed: 0,
            person: Growth::PERSON,
        }
    }
}

/// How the loop ended.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Whether every write is settled, and the next process need not wait.
    pub settled: bool,
}

/// `apply` was asked to stop before it had come to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped before every account had come to rest")]
pub struct Interrupted;

/// Brings a fleet to what the files ask, and keeps it there.
pub struct Controller {
    pub(crate) options: Options,
    pub(crate) shared: Arc<Shared>,
    pub(crate) boot: Boot,
}

/// What passes share.
pub(crate) struct Shared {
    pub(crate) observer: Observer,
    /// The reader of the observer.
    pub(crate) sparing: Arc<Sparing>,
    write: Arc<dyn WriteArm>,
    pub(crate) state_dir: StateDir,
    sink: Arc<dyn Sink>,
    pub(crate) status: Arc<Status>,
    pub(crate) book: Mutex<Book>,
    /// Who caused what differs.
    pub(crate) who: Who,
    /// What is fought over.
    pub(crate) fights: Fights,
    /// What the next process is left.
    pub(crate) notes: Notes,
    /// The revision in force now, for passes that began under an older one.
    pub(crate) revision: Mutex<Revision>,
    /// The newest look over the fleet, for passes that began with an older one.
    pub(crate) newest: Mutex<Arc<Index>>,
}

/// The wait after the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Boot {
    /// Whether the settled mark was missing.
    pub(crate) needed: bool,
    /// When the first answer came.
    pub(crate) from: Option<Instant>,
}

impl Controller {
    /// A controller that holds `state_dir` for as long as it lives.
    #[must_use]
    pub fn new(
        options: Options,
        read: Arc<dyn ReadArm>,
        write: Arc<dyn WriteArm>,
        state_dir: StateDir,
        sink: Arc<dyn Sink>,
        status: Arc<Status>,
    ) -> Self {
        let memory = Arc::new(Memory::new(options.person));
        let sparing = Arc::new(Sparing::new(read));
        let observer =
            Observer::new(Arc::clone(&sparing) as Arc<dyn ReadArm>, Arc::new(ServerClock::default()), memory)
                .looking_every(options.interval);
        let boot = Boot { needed: !state_dir.mark().is_set(), from: None };
        let book = Mutex::new(Book::new(options.alert_reminder));
        let revision = Mutex::new(Revision(String::new()));
        let who = Who::new(Arc::clone(&sparing) as Arc<dyn ReadArm>, options.interval);
        let (fights, notes) = (Fights::default(), Notes::new(bridged(options.interval), options.alert_reminder));
        let newest = Mutex::default();
        let shared =
            Shared { observer, sparing, write, state_dir, sink, status, book, who, fights, notes, revision, newest };
        let shared = Arc::new(shared);
        Self { options, shared, boot }
    }

    /// Converges and watches until `cancel`, then stops within ten seconds.
    pub async fn run(self, feed: Feed, cancel: CancellationToken) -> Stopped {
        let mut turn = Loop::new(self, feed, cancel, None);
        turn.go().await;
        turn.stop().await
    }

    /// Converges as far as open gates allow, waits up to `wait` for those that time opens, and looks over everything
    /// once more. The wait after the start and after a lost write is always sat out.
    ///
    /// # Errors
    /// [`Interrupted`] if `cancel` came first.
    pub async fn apply(
        self,
        desired: Arc<Desired>,
        wait: Option<Duration>,
        cancel: CancellationToken,
    ) -> Result<FleetPlan, Interrupted> {
        let (keep, feed) = watch::channel(Some(Arc::clone(&desired)));
        let patience = Patience::new(Instant::now() + wait.unwrap_or_default());
        let mut turn = Loop::new(self, feed, cancel.clone(), Some(patience));
        turn.go().await;
        drop(keep);
        let index = turn.view.as_ref().map(|view| Arc::clone(&view.index)).unwrap_or_default();
        let (shared, boot_until) = (Arc::clone(&turn.shared), turn.boot_until());
        let at_a_time = turn.options.max_in_flight;
        let _settled = turn.stop().await;
        if cancel.is_cancelled() {
            return Err(Interrupted);
        }
        let limits = |key: &StorageAccountId| {
            let observer = &shared.observer;
            observer.memory().limits(key, observer.clock().now(), boot_until)
        };
        let plans = look_over(desired, &index, &shared.observer, at_a_time, limits, &cancel).await;
        if cancel.is_cancelled() { Err(Interrupted) } else { Ok(plans) }
    }
}

/// Tells what a plan says before anything is written for it, and counts what was set back.
struct Telling<'a> {
    shared: &'a Shared,
    desired: &'a KeyDesired,
}

#[async_trait]
impl Intends for Telling<'_> {
    async fn goes_on(&self, plan: &Plan, observed: &Observed) -> bool {
        self.shared.learn(plan, observed).await;
        let began = self.shared.fights.saw(plan, self.desired);
        let events = lock(&self.shared.book).planned(plan, Instant::now());
        self.shared.emit(events);
        !began
    }
}

impl Shared {
    pub(crate) async fn pass(
        &self,
        job: Job,
        observed: Observed,
        view: &View,
        rests_until: Option<Instant>,
        cancel: &CancellationToken,
    ) -> (Passed, Observed) {
        let revision = || lock(&self.revision).clone();
        let key = job.desired.account_id.clone();
        let newcomers = || &lock(&self.newest).users_of(&key) - &view.index.users_of(&key);
        let desired = job.desired.clone();
        let intends = Telling { shared: self, desired: &desired };
        let around = Surroundings {
            observer: &self.observer,
            hands: Some(Hands { write: &*self.write, state_dir: &self.state_dir }),
            known: &view.known,
            revision: &revision,
            newcomers: &newcomers,
            intends: &intends,
            rests_until,
            cancel,
        };
        let (passed, observed) = run_pass(job, observed, &around).await;
        if let Passed::Finished(report) = &passed
            && report.ended != Ended::Stopped
        {
            self.learn(&report.plan, &observed).await;
            self.fights.saw(&report.plan, &desired);
            self.fights.wrote(report, &desired);
        }
        (passed, observed)
    }

    /// Asks who caused what differs, where that is due, and tells what is known by now of what was told before.
    async fn learn(&self, plan: &Plan, observed: &Observed) {
        let Looked { named, amended, news, logs } = self.who.look(plan, observed).await;
        if !news.is_empty() {
            self.fights.identified(self.sparing.own_identity().await);
        }
        for (setting, by) in &news {
            self.fights.named(&plan.account_id, setting, by);
        }
        let changed: Vec<String> = named.iter().map(|(drift, named)| format!("{drift}; {named}")).collect();
        self.status.update(|status| {
            if let Some(account) = status.accounts.get_mut(&plan.account_id) {
                account.changed = changed;
            }
        });
        let mut events = Vec::new();
        {
            let mut book = lock(&self.book);
            book.learned(&plan.account_id, named);
            let revision = Some(plan.revision.to_string());
            for (subscription, read) in logs {
                let event = book.read_log(subscription, read, Instant::now());
                events.extend(event.map(|event| Event { revision: revision.clone(), at: told_at(plan), ..event }));
            }
        }
        events.extend(amended);
        self.emit(events);
    }

    pub(crate) fn emit(&self, events: Vec<Event>) {
        for event in &events {
            self.sink.emit(event);
        }
    }

    pub(crate) fn count(&self, report: &Report) {
        let Some(write) = &report.write else { return };
        let kind = write.action.kind();
        let key = &report.plan.account_id;
        self.status.update(|status| match &write.result {
            WriteResult::Applied { changed, .. } => {
                if *changed {
                    *status.counters.writes.entry(kind).or_default() += 1;
                    status.accounts.entry(key.clone()).or_default().writes += 1;
                }
            }
            WriteResult::DidNotStick { .. }
            | WriteResult::NotReadBack { .. }
            | WriteResult::Refused(_)
            | WriteResult::Unknown { .. }
            | WriteResult::NotSent { .. } => *status.counters.failed_writes.entry(kind).or_default() += 1,
        });
    }

    /// Takes in a pass that began at `began`, and how it ended, if it did by itself.
    pub(crate) fn note(
        &self,
        key: &StorageAccountId,
        plan: &Plan,
        failure: Option<&str>,
        (began, ended): (Instant, Option<&Ended>),
    ) {
        // One that was overtaken by what it read again has done what it is for.
        let overtaken = matches!(ended, Some(Ended::Raced { .. }));
        let stopped = matches!(ended, Some(Ended::Stopped));
        self.status.update(|status| {
            status.counters.passes += 1;
            status.counters.failed_passes += u64::from(failure.is_some() && !overtaken);
            let Some(account) = status.accounts.get_mut(key) else { return };
            account.passes += 1;
            account.last_error = failure.map(str::to_owned);
            if stopped {
                return;
            }
            let incomplete = plan.findings.iter().any(|finding| matches!(finding, Finding::Incomplete { .. }));
            if !incomplete {
                account.last_good_pass = told_at(plan);
                account.last_good_at = Some(began);
            }
            account.planned(plan);
        });
    }
}

pub(crate) fn failure_of(report: &Report) -> Option<String> {
    let Report { plan, write, ended } = report;
    match write.as_ref().map(|write| &write.result) {
        Some(WriteResult::Refused(refused)) => return Some(refused.message.clone()),
        Some(
            WriteResult::Unknown { why, .. } | WriteResult::NotSent { why, .. } | WriteResult::NotReadBack { why, .. },
        ) => {
            return Some(why.clone());
        }
        Some(WriteResult::DidNotStick { .. }) => return Some("a change was accepted and is not there".to_owned()),
        Some(WriteResult::Applied { .. }) | None => {}
    }
    match ended {
        Ended::Raced { why } | Ended::MarkStuck { why } => return Some(why.clone()),
        Ended::Rejected { violations } => {
            return violations.first().map(|first| format!("the plan breaks its own rules: {first}"));
        }
        Ended::Planned | Ended::Wrote | Ended::Stopped => {}
    }
    let failed = |finding: &&Finding| matches!(finding, Finding::Incomplete { .. });
    plan.findings.iter().find(failed).map(ToString::to_string)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
