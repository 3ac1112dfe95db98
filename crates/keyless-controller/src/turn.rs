//! The loop: every account read at least once per interval, one pass each at a time, until it is asked to stop.
//!
//! Expected flow: files come in through a [`Feed`]; a look over the fleet places the workspaces; the [`Queue`] says which
//! account is next; a task carries out its pass; its report decides when it is due again. `apply` is the same loop with an
//! end. Only the loop itself touches its state; tasks hand their results back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keyless_core::action::Action;
use keyless_core::desired::{Desired, Fleet};
use keyless_core::id::StorageAccountId;
use keyless_core::pass::{Intent, Job, Requeue};
use keyless_core::plan::{Limits, Look};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::announce::PassInfo;
use crate::clock::{DATE_GRAIN, end_of, later};
use crate::daemon::{Boot, Controller, Feed, Options, Shared, Stopped, failure_of, lock};
use crate::event::{Event, Level, Name};
use crate::execute::Passed;
use crate::growth::Growth;
use crate::index::Index;
use crate::membership;
use crate::notes::{PACE, When};
use crate::queue::{Queue, Reason, Start};
use crate::rest::{Patience, Rest};
use crate::view::View;

/// How long all passes together are waited for at the end: the grace of a call, and room for what follows it.
const STOP_WITHIN: Duration = Duration::from_secs(9);

/// A due time is never nearer than this, so that an answer without progress is not asked for in a tight loop.
const BREATH: Duration = Duration::from_millis(100);

/// A gap in the reads over a restart that is bridged, unless two intervals are longer. Design decision: twice as long as
/// one process may rest on what it read of a principal's groups.
const BRIDGED: Duration = membership::KEPT_FOR.saturating_mul(2);

/// How long a gap in the reads over a restart may be.
pub(crate) fn bridged(interval: Duration) -> Duration {
    BRIDGED.max(interval.saturating_mul(2))
}

struct PassEnd {
    key: StorageAccountId,
    passed: Passed,
    began: Instant,
    reason: String,
}

enum Finished {
    Pass(Box<PassEnd>),
    Search(Box<(Arc<Desired>, Index)>),
}

/// When a look over the fleet is made once more that did not find out where everything stands: nothing is written to an
/// account for a workspace of which that is not known. After an interval at the latest. Design decision.
const SEARCH_AGAIN: Growth = Growth { first: Duration::from_secs(5), last: Growth::TIME.last };

pub(crate) struct Loop {
    pub(crate) options: Options,
    pub(crate) shared: Arc<Shared>,
    boot: Boot,
    feed: Feed,
    feed_open: bool,
    asked: CancellationToken,
    /// Stops the passes: at `asked`, or when `apply` has come to its end.
    cancel: CancellationToken,
    queue: Queue,
    tasks: JoinSet<Finished>,
    running: BTreeMap<Id, Option<StorageAccountId>>,
    desired: Option<Arc<Desired>>,
    pub(crate) view: Option<Arc<View>>,
    searching: bool,
    search_due: Option<Instant>,
    /// How many looks over the fleet in a row did not find out where everything stands.
    searches_failed: u32,
    /// With patience the loop ends once every account has come to rest.
    patience: Option<Patience>,
    rests: BTreeMap<StorageAccountId, Rest>,
    /// Whether what the last process left was taken in.
    recalled: bool,
    /// The last write of the notes, each of which waits for the one before.
    noting: Option<JoinHandle<()>>,
    /// Whether a pass broke off in a way that leaves its write in the dark.
    broken: bool,
}

impl Loop {
    pub(crate) fn new(
        controller: Controller,
        feed: Feed,
        asked: CancellationToken,
        patience: Option<Patience>,
    ) -> Self {
        let Controller { options, shared, boot } = controller;
        Self {
            options,
            shared,
            boot,
            feed,
            feed_open: true,
            cancel: asked.child_token(),
            asked,
            queue: Queue::new(options.max_in_flight, options.seed),
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            desired: None,
            view: None,
            searching: false,
            search_due: None,
            searches_failed: 0,
            patience,
            rests: BTreeMap::new(),
            recalled: false,
            noting: None,
            broken: false,
        }
    }

    pub(crate) async fn go(&mut self) {
        self.adopt();
        loop {
            self.start_due();
            if self.at_rest() {
                return;
            }
            let wake = self.queue.next_due().into_iter().chain(self.next_search()).min();
            tokio::select! {
                biased;
                () = self.asked.cancelled() => return,
                changed = self.feed.changed(), if self.feed_open => match changed {
                    Ok(()) => self.adopt(),
                    Err(_) => self.feed_open = false,
                },
                Some(finished) = self.tasks.join_next_with_id() => self.finished(finished),
                () = sleep_until(wake), if wake.is_some() => {}
            }
        }
    }

    /// Puts the newest revision in force: for what starts from now on, and against what is under way.
    fn adopt(&mut self) {
        let Some(desired) = self.feed.borrow_and_update().clone() else { return };
        *lock(&self.shared.revision) = desired.revision.clone();
        lock(&self.shared.book).adopted(&desired);
        self.shared.observer.forgive();
        self.shared.sparing.forgive();
        let revision = desired.revision.to_string();
        self.shared.status.update(|status| {
            status.revision = Some(revision);
            status.counters.revisions += 1;
        });
        let now = Instant::now();
        if let Some(view) = &self.view {
            let view = Arc::new(View::new(Arc::clone(&desired), Arc::clone(&view.index)));
            self.view = Some(view);
            let keys: Vec<StorageAccountId> = self.queue.keys().cloned().collect();
            for key in keys {
                self.queue.request(&key, now, Reason::Files);
            }
        }
        self.desired = Some(desired);
        self.rests.clear();
        self.search_due = Some(now);
    }

    fn next_search(&self) -> Option<Instant> {
        if self.searching { None } else { self.search_due }
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        if self.next_search().is_some_and(|due| due <= now)
            && let Some(desired) = self.desired.clone()
        {
            self.searching = true;
            self.search_due = Some(now + self.options.interval);
            let before = self.view.as_ref().map(|view| Arc::clone(&view.index)).unwrap_or_default();
            let shared = Arc::clone(&self.shared);
            let task = self.tasks.spawn(async move {
                let observer = &shared.observer;
                let index = before.refreshed(&desired, observer.searcher()).await;
                Finished::Search(Box::new((desired, index)))
            });
            self.running.insert(task.id(), None);
        }
        while let Some(view) = self.view.clone()
            && let Some(start) = self.queue.take(now)
        {
            // What Azure has closed for a moment is waited for without taking the room of others; what is closed for
            // longer is told by the pass, which then asks nothing.
            let closed = self.shared.observer.reader().reading_closed_for(start.key.subscription());
            if !closed.is_zero() && closed <= self.options.interval {
                self.queue.postpone(start, now + closed);
            } else {
                self.start_pass(&view, start);
            }
        }
        let in_flight = self.queue.in_flight();
        if self.shared.status.snapshot_in_flight() != in_flight {
            self.shared.status.update(|status| status.in_flight = in_flight);
        }
    }

    fn start_pass(&mut self, view: &Arc<View>, Start { key, reasons }: Start) {
        let boot_until = self.boot_until();
        let clock = self.shared.observer.clock();
        // Without an answer from Azure the end of the boot wait cannot be told, so nothing may be written yet.
        let dark = self.boot.needed && boot_until.is_none();
        let desired = view.desired_for(&key);
        let fights = self.shared.fights.of(&desired, clock.now());
        let job = Job {
            desired,
            limits: Limits { fights, ..self.shared.observer.memory().limits(&key, clock.now(), boot_until) },
            intent: if dark { Intent::Plan } else { Intent::Converge },
            look: Look::WhatMatters,
        };
        let rests_until = self.boot_ends().max(self.shared.observer.memory().rests_until(&key));
        let observed = view.observed_for(&key, clock.last().unwrap_or(Timestamp::MIN));
        let reason = reasons.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(",");
        let span = tracing::info_span!("reconcile", key = key.as_str(), reason);
        let (shared, view, cancel) = (Arc::clone(&self.shared), Arc::clone(view), self.cancel.clone());
        let id = key.clone();
        let pass = async move {
            let began = Instant::now();
            let (passed, _) = shared.pass(job, observed, &view, rests_until, &cancel).await;
            Finished::Pass(Box::new(PassEnd { key, passed, began, reason }))
        };
        let task = self.tasks.spawn(pass.instrument(span));
        self.running.insert(task.id(), Some(id));
    }

    pub(crate) fn boot_until(&mut self) -> Option<Timestamp> {
        if !self.boot.needed {
            return None;
        }
        // Counted on this process's own clock: a first answer whose `Date` is off must not cut the wait short.
        let now = self.shared.observer.clock().now()?;
        self.boot.from.get_or_insert_with(Instant::now);
        let left = self.boot_ends()?.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.boot.needed = false;
            self.shared.observer.memory().boot_is_over(now);
            self.shared.status.update(|status| status.boot_until = None);
            return None;
        }
        let until = later(now, left).saturating_add(DATE_GRAIN).unwrap_or(Timestamp::MAX);
        self.shared.status.update(|status| status.boot_until = Some(until));
        Some(until)
    }

    /// The end of the wait after the start, if it has begun and was not found to be over.
    fn boot_ends(&self) -> Option<Instant> {
        let from = self.boot.from.filter(|_| self.boot.needed)?;
        Some(end_of(from, self.late_write()))
    }

    fn late_write(&self) -> Duration {
        let waits = self.desired.as_ref().map_or_else(|| Fleet::default().waits, |desired| desired.fleet.waits);
        waits.late_write
    }

    fn finished(&mut self, finished: Result<(Id, Finished), JoinError>) {
        match finished {
            Ok((id, Finished::Pass(end))) => {
                self.running.remove(&id);
                self.pass_over(*end);
            }
            Ok((id, Finished::Search(found))) => {
                self.running.remove(&id);
                let (desired, index) = *found;
                self.searched(desired, index);
            }
            Err(error) => {
                let key = self.running.remove(&error.id()).flatten();
                self.broke(key, &error);
            }
        }
    }

    fn searched(&mut self, desired: Arc<Desired>, index: Index) {
        self.searching = false;
        let now = Instant::now();
        self.recall();
        let current = self.desired.clone().unwrap_or(desired);
        let events = lock(&self.shared.book).searched(&index, &current.revision.0, now);
        self.shared.emit(events);
        let complete = index.listings.values().all(|reading| reading.failure().is_none());
        let view = Arc::new(View::new(current, Arc::new(index)));
        let keys = view.keys();
        let gone: Vec<StorageAccountId> = self.queue.keys().filter(|key| !keys.contains(*key)).cloned().collect();
        for key in &gone {
            self.queue.drop_key(key);
            self.rests.remove(key);
        }
        // An account that a partial look does not show may only be out of sight.
        if complete && view.places_all() {
            self.searches_failed = 0;
            self.shared.observer.keep_only(&keys);
            self.shared.who.keep_only(&keys);
            self.shared.fights.keep_only(&keys);
            let events = lock(&self.shared.book).keep_only(&keys);
            self.shared.emit(events);
        } else {
            self.searches_failed = self.searches_failed.saturating_add(1);
            let again = now + SEARCH_AGAIN.wait(self.searches_failed);
            self.search_due = self.search_due.map(|due| due.min(again));
        }
        let known: BTreeSet<StorageAccountId> = self.queue.keys().cloned().collect();
        for key in &keys {
            if !known.contains(key) {
                self.queue.request(key, now, Reason::Start);
            } else if self.view.as_ref().is_some_and(|before| before.differs(&view, key)) {
                self.queue.request(key, now, Reason::Files);
                self.rests.remove(key);
            }
        }
        self.shared.status.update(|status| {
            status.fleet_complete = Some(complete);
            status.missing = view.index.missing.clone();
            status.unplaced = view.index.unplaced.clone();
            status.counters.searches += 1;
            status.accounts.retain(|key, _| keys.contains(key));
            for key in &keys {
                status.accounts.entry(key.clone()).or_default().workspaces = view.on(key);
            }
        });
        *lock(&self.shared.newest) = Arc::clone(&view.index);
        self.view = Some(view);
    }

    fn pass_over(&mut self, end: PassEnd) {
        let PassEnd { key, passed, began, reason } = end;
        self.queue.done(&key);
        let info = PassInfo { reason, elapsed: began.elapsed() };
        let (plan, requeue, failure) = match &passed {
            Passed::Finished(report) => {
                let clock = self.shared.observer.clock();
                let now = clock.now().unwrap_or(report.plan.at);
                self.shared.observer.memory().record(report, began, now, self.late_write());
                let events = lock(&self.shared.book).passed(report, &info, Instant::now());
                self.shared.emit(events);
                self.shared.count(report);
                (&report.plan, report.requeue(), failure_of(report))
            }
            Passed::Deferred { plan, why, retry_after } => {
                let requeue = retry_after.map_or(Requeue::Backoff, Requeue::After);
                (&**plan, requeue, Some(why.clone()))
            }
        };
        let ended = if let Passed::Finished(report) = &passed { Some(&report.ended) } else { None };
        self.shared.note(&key, plan, failure.as_deref(), (began, ended));
        // That keys were taken is owed to the workspace, whatever happens next.
        let took = matches!(&passed, Passed::Finished(report)
            if report.write.as_ref().is_some_and(|write| matches!(write.action, Action::ResyncWorkspaceKeys { .. })));
        let pace = if took { Duration::ZERO } else { PACE.min(self.options.interval) };
        self.write_notes(When::After(pace));
        if !self.queue.knows(&key) {
            // Dropped meanwhile.
            return;
        }
        if let Some(patience) = &self.patience {
            let memory = self.shared.observer.memory();
            let rest = self.rests.remove(&key).unwrap_or_default();
            self.rests.insert(key.clone(), patience.judge(rest, &passed, failure.is_some(), memory));
        }
        self.requeue(&key, requeue, began, failure.is_some());
    }

    fn requeue(&mut self, key: &StorageAccountId, requeue: Requeue, began: Instant, failed: bool) {
        let now = Instant::now();
        if failed || requeue == Requeue::Backoff {
            self.queue.failed(key);
        } else {
            self.queue.succeeded(key);
        }
        let interval = self.options.interval;
        let latest = began + self.queue.spread(interval, 0.1);
        let (at, reason) = match requeue {
            Requeue::Now => (now, Reason::Written),
            Requeue::After(wait) => (now + wait.max(BREATH).min(interval), Reason::Due),
            Requeue::Backoff => (now + self.queue.backoff(key, interval), Reason::Retry),
            // `apply` does not sit out an interval for what may be a passing fault.
            Requeue::Interval if self.patience.is_some() && failed => {
                (now + self.queue.backoff(key, interval), Reason::Retry)
            }
            Requeue::Interval => (latest, Reason::Interval),
        };
        self.queue.request(key, at.min(latest).max(now), reason);
    }

    fn broke(&mut self, key: Option<StorageAccountId>, error: &JoinError) {
        let Some(key) = key else {
            self.searching = false;
            tracing::error!(error = %error, "the look over the fleet broke off");
            return;
        };
        self.broken = true;
        // It may have sent a write.
        self.shared.observer.memory().rest(&key, self.late_write());
        let revision = Some(lock(&self.shared.revision).to_string());
        self.shared.emit(vec![Event {
            storage_account: Some(key.to_string()),
            revision,
            result: Some("unknown"),
            why: Some(format!("the pass broke off: {error}")),
            ..Event::new(Name::ActionFailed, Level::Error)
        }]);
        self.queue.done(&key);
        self.queue.failed(&key);
        let wait = self.queue.backoff(&key, self.options.interval);
        self.queue.request(&key, Instant::now() + wait, Reason::Retry);
    }

    /// Takes in what the last process left, once the server's time is known and before any pass.
    fn recall(&mut self) {
        let (Some(now), Some(desired)) = (self.shared.observer.clock().now(), &self.desired) else { return };
        if std::mem::replace(&mut self.recalled, true) {
            return;
        }
        self.shared.observer.memory().begins();
        let noted = match self.shared.notes.read(&self.shared.state_dir, &desired.fleet.owner, now) {
            Ok(noted) => noted,
            Err(error) => {
                let why = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                tracing::warn!(error = %format!("{error}{why}"), "what the last process remembered is not used; that costs waiting");
                return;
            }
        };
        let bridged = bridged(self.options.interval);
        for (key, mut noted) in noted {
            self.shared.fights.recall(&key, std::mem::take(&mut noted.bouts));
            self.shared.observer.memory().recall(&key, noted, bridged);
        }
    }

    /// Keeps for the next process what only watching tells, while the loop goes on; what comes while it is being kept is
    /// for the next time.
    fn write_notes(&mut self, when: When) {
        // What the last process left is not to be overwritten unread.
        let known = (self.shared.observer.clock().now(), &self.desired, self.recalled);
        let (Some(now), Some(desired), true) = known else { return };
        let under_way = self.noting.as_ref().is_some_and(|noting| !noting.is_finished());
        if under_way || !self.shared.notes.is_due(when) {
            return;
        }
        let mut noted = self.shared.observer.memory().noted(now);
        for (key, bouts) in self.shared.fights.noted() {
            noted.entry(key).or_default().bouts = bouts;
        }
        let (shared, owner) = (Arc::clone(&self.shared), desired.fleet.owner.clone());
        self.noting = Some(tokio::task::spawn_blocking(move || {
            if let Some(lost) = shared.notes.write(&shared.state_dir, &owner, now, when, noted) {
                let why = std::error::Error::source(&lost).map(|cause| format!(": {cause}")).unwrap_or_default();
                tracing::warn!(error = %format!("{lost}{why}"), "what is remembered is not kept for the next process");
            }
        }));
    }

    /// Waits until what was to be kept is kept.
    async fn notes_written(&mut self) {
        if let Some(noting) = self.noting.take()
            && let Err(error) = noting.await
        {
            tracing::warn!(error = %error, "what this process remembers could not be kept; a restart costs waiting");
        }
    }

    fn at_rest(&self) -> bool {
        let (Some(_), Some(view)) = (&self.patience, &self.view) else { return false };
        !self.searching
            && self.queue.in_flight() == 0
            && view.keys().iter().all(|key| self.rests.get(key).is_some_and(Rest::is_final))
    }

    /// Lets the calls under way come to their end, then says whether the next process has to wait.
    pub(crate) async fn stop(mut self) -> Stopped {
        self.shared.status.update(|status| status.stopping = true);
        self.cancel.cancel();
        let give_up = Instant::now() + STOP_WITHIN;
        // A look over the fleet writes nothing, so nothing waits for it.
        while self.running.values().any(Option::is_some) {
            match tokio::time::timeout_at(give_up, self.tasks.join_next_with_id()).await {
                Ok(Some(finished)) => self.finished(finished),
                Ok(None) | Err(_) => break,
            }
        }
        let abandoned = self.running.values().any(Option::is_some);
        self.tasks.abort_all();
        self.notes_written().await;
        self.write_notes(When::AtTheEnd);
        self.notes_written().await;
        let booted = self.boot_until().is_none() && !self.boot.needed;
        let settled = !abandoned && booted && !self.broken && self.shared.observer.memory().is_settled();
        if !settled {
            return Stopped { settled: false };
        }
        match self.shared.state_dir.settle() {
            Ok(()) => Stopped { settled: true },
            Err(error) => {
                tracing::warn!(error = %error, "the settled mark could not be set; the next start waits");
                Stopped { settled: false }
            }
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
