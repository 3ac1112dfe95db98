//! Turns plans and reports into events: each thing is told once when it changes, and again as a reminder.
//!
//! Pure: the time comes in. Unknown is not absent here either: while a plan rests on failed reads, nothing is told to be
//! cleared. A quiet steady state yields nothing above debug.

mod suspension;
mod topic;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_core::action::Action;
use keyless_core::desired::Desired;
use keyless_core::id::{StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::observed::{Cause, Reading};
use keyless_core::pass::{Ended, Report};
use keyless_core::plan::finding::{SuspendStage, Unseen};
use keyless_core::plan::{Drift, Finding, Plan, Standing};
use tokio::time::Instant;

use crate::event::{Event, Level, Name};
use crate::failed::Failure;
use crate::index::Index;
use crate::who::Named;

use suspension::Fate;
pub(crate) use topic::drifted;
use topic::{Topic, topics, when_certain, with_names};
use write::written;

/// For how long it is remembered that a refusal was told.
/// Source: MicrosoftDocs/azure-docs `articles/azure-monitor/essentials/data-platform-metrics.md`, retention.
const DENIED_FOR: SignedDuration = SignedDuration::from_hours(93 * 24);

/// What has been told, and when.
#[derive(Debug)]
pub struct Book {
    reminder: Duration,
    keys: BTreeMap<StorageAccountId, KeyBook>,
    fleet: BTreeMap<Topic, Told>,
    /// Subscriptions whose activity log cannot be read.
    logs: BTreeMap<SubscriptionId, Told>,
    /// The files in force.
    files: Option<Arc<Desired>>,
    /// The server's time of the latest plan.
    latest: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct KeyBook {
    topics: BTreeMap<Topic, Told>,
    steps: Vec<Action>,
    standing: Option<Standing>,
    /// What is wrong with the last plan, and when that was told.
    rejected: Option<(Vec<String>, Instant)>,
    /// Why the last write could not be sent for want of the mark, and when that was told.
    stuck: Option<(String, Instant)>,
    /// Who caused the differences, as far as it was asked.
    named: BTreeMap<Drift, Named>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    event: Event,
}

/// What the log says of a pass beside its report.
#[derive(Debug, Clone)]
pub struct PassInfo {
    /// Why it ran.
    pub reason: String,
    /// How long it took.
    pub elapsed: Duration,
}

impl Book {
    /// An empty book; what stays unchanged is told again after `reminder`.
    #[must_use]
    pub fn new(reminder: Duration) -> Self {
        let (keys, fleet, logs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { reminder, keys, fleet, logs, files: None, latest: None }
    }

    /// Takes in who caused the differences of the plan that comes next.
    pub(crate) fn learned(&mut self, key: &StorageAccountId, named: BTreeMap<Drift, Named>) {
        self.keys.entry(key.clone()).or_default().named = named;
    }

    /// What there is to tell of the activity log of a subscription: once, and as a reminder, that it cannot be read.
    pub(crate) fn read_log(
        &mut self,
        subscription: SubscriptionId,
        read: Result<(), Failure>,
        now: Instant,
    ) -> Option<Event> {
        let Err(Failure { why, cause }) = read else {
            self.logs.remove(&subscription);
            return None;
        };
        let told = self.logs.get(&subscription);
        if told.is_some_and(|told| now.saturating_duration_since(told.at) < self.reminder) {
            return None;
        }
        let why = format!("the activity log of subscription {subscription}, which names who changes things: {why}");
        let event = Event { reminder: told.is_some(), ..Event::new(Name::ObserveIncomplete, Level::Warn) };
        let event = caused(&cause, Event { why: Some(why), ..event });
        self.logs.insert(subscription, Told { at: now, event: event.clone() });
        Some(event)
    }

    /// What there is to tell of a plan.
    #[must_use]
    pub fn planned(&mut self, plan: &Plan, now: Instant) -> Vec<Event> {
        let reminder = self.reminder;
        self.latest = self.latest.max(told_at(plan));
        let files = self.files.as_deref();
        let book = self.keys.entry(plan.account_id.clone()).or_default();
        // Of an account that is said to be absent nothing is seen, and nothing of what stood there was mended.
        let complete = !plan
            .findings
            .iter()
            .any(|finding| matches!(finding, Finding::Incomplete { .. } | Finding::AccountMissing { .. }));
        let moving = plan.standing() == Standing::Ready;
        // The logs may be out of reach for a while; what was told with names is not told again without.
        // So may the groups that make a denial certain.
        let fuller = |topic: &Topic| with_names(topic).or_else(|| when_certain(topic));
        let told = |topic: &Topic| fuller(topic).filter(|fuller| book.topics.contains_key(fuller));
        let current = topics(plan, moving, &book.named).into_iter();
        let mut current: BTreeMap<Topic, Event> =
            current.map(|(topic, event)| (told(&topic).unwrap_or(topic), event)).collect();
        current.retain(|topic, event| match topic {
            Topic::Denied(hour, service, api, signed, false) => {
                !book.topics.contains_key(&Topic::Denied(*hour, *service, api.clone(), *signed, true))
            }
            _ => suspension::is_news(topic, event, &book.topics, plan.at),
        });
        let mut events = suspension::begun(plan, &book.topics);
        book.topics.retain(|topic, told| {
            let now_certain = when_certain(topic).is_some_and(|certain| current.contains_key(&certain));
            let keep = current.contains_key(topic)
                || match topic {
                    Topic::Lost(..) if now_certain => false,
                    // Gone, or not to be seen because a read failed.
                    Topic::Drift(..) | Topic::Differs(..) | Topic::Unwanted(_) => !complete,
                    Topic::Undeclared(id, _) => {
                        !complete || still_unread(&Unseen::Undeclared(id.clone()).to_string(), &current)
                    }
                    // A step may be open before everything is read that they rest on.
                    Topic::Lost(workspace, ..)
                    | Topic::ServiceGrant(workspace)
                    | Topic::EndpointGrant(workspace, _) => {
                        moving || !complete || !plan.wants.is_empty() || still_unseen(workspace, plan)
                    }
                    // Gates are not looked at while a step is open; as long as the step is there, they are not news.
                    Topic::Gate(Some(action), _, _) => {
                        (moving || !complete) && plan.steps.iter().any(|step| step.action == *action)
                    }
                    Topic::Gate(None, _, _) => !complete,
                    // The computes are read by a gate, so the same holds for them.
                    Topic::Incompatible(workspace, ..) => {
                        still_unread(&Unseen::Computes(workspace.clone()).to_string(), &current)
                            || ((moving || !complete)
                                && plan.steps.iter().any(|step| step.workspaces.contains(workspace)))
                    }
                    Topic::Incomplete(what, _) => still_unread(what, &current),
                    // Another stage of it is told in its place.
                    Topic::Suspended(id, name, _) if goes_on(id, name, &current) => false,
                    Topic::Suspended(..) => match suspension::fate(topic, told, &plan.account_id, files, told_at(plan))
                    {
                        Fate::Lasts => true,
                        Fate::Over(event) => {
                            events.push(Event { revision: Some(plan.revision.to_string()), ..*event });
                            false
                        }
                        Fate::Nothing => false,
                    },
                    Topic::Missing(_) | Topic::Fight(..) => false,
                    // Told once, whatever becomes of the reads; forgotten when Azure has forgotten it too.
                    Topic::Denied(hour, ..) => plan.at.duration_since(*hour) < DENIED_FOR,
                };
            // Broken or no longer broken: still the same drift, told anew rather than cleared.
            let goes_on = |drift| current.keys().any(|other| matches!(other, Topic::Drift(same, _) if same == drift));
            let lasts = keep || now_certain || matches!(topic, Topic::Drift(drift, _) if goes_on(drift));
            if let Some(event) = topic.end().filter(|_| !lasts) {
                let why = told.event.why.as_ref().filter(|_| event == Name::ServiceGrantCleared);
                let why = why.map(|why| format!("no more so: {why}"));
                let (at, revision) = (told_at(plan), Some(plan.revision.to_string()));
                events.push(Event { event, level: Level::Info, at, revision, why, ..told.event.clone() });
            }
            keep
        });
        events.extend(tell(&mut book.topics, current, reminder, now));
        let steps: Vec<Action> = plan.steps.iter().map(|step| step.action.clone()).collect();
        if steps != book.steps && (complete || steps.len() > book.steps.len()) {
            if !steps.is_empty() {
                let list: Vec<String> = steps.iter().map(ToString::to_string).collect();
                events.push(Event {
                    action: Some(list.join("; ")),
                    standing: Some(plan.standing().as_str()),
                    steps: Some(count(steps.len())),
                    ..about(Name::PlanComputed, Level::Info, plan)
                });
            }
            book.steps = steps;
        }
        events
    }

    /// What there is to tell of a finished pass. A stopped pass has no plan worth telling.
    #[must_use]
    pub fn passed(&mut self, report: &Report, info: &PassInfo, now: Instant) -> Vec<Event> {
        let Report { plan, write, ended } = report;
        let mut events = Vec::new();
        if *ended != Ended::Stopped {
            events.extend(self.planned(plan, now));
        }
        events.extend(write.as_ref().map(|write| written(plan, write)));
        let mut why = None;
        match ended {
            Ended::Raced { why: raced } => why = Some(raced.clone()),
            Ended::MarkStuck { why: stuck } => {
                let book = self.keys.entry(plan.account_id.clone()).or_default();
                events.extend(due(&mut book.stuck, stuck.clone(), self.reminder, now).map(|reminder| Event {
                    why: Some(format!("the state directory does not let it write: {stuck}")),
                    result: Some("not_sent"),
                    reminder,
                    ..about(Name::ActionFailed, Level::Error, plan)
                }));
            }
            Ended::Rejected { violations } => {
                let problems: Vec<String> = violations.iter().map(ToString::to_string).collect();
                why = Some(format!("the plan breaks its own rules: {}", problems.join("; ")));
                let book = self.keys.entry(plan.account_id.clone()).or_default();
                events.extend(due(&mut book.rejected, problems.clone(), self.reminder, now).map(|reminder| Event {
                    problems,
                    reminder,
                    ..about(Name::PlanRejected, Level::Error, plan)
                }));
            }
            Ended::Planned | Ended::Wrote | Ended::Stopped => {}
        }
        let book = self.keys.entry(plan.account_id.clone()).or_default();
        let standing = plan.standing();
        if matches!(ended, Ended::Planned | Ended::Wrote) {
            book.rejected = None;
        }
        if write.is_some() {
            book.stuck = None;
        }
        let news = write.is_some() || (*ended != Ended::Stopped && book.standing != Some(standing));
        if *ended != Ended::Stopped {
            book.standing = Some(standing);
        }
        events.push(Event {
            standing: (*ended != Ended::Stopped).then_some(standing.as_str()),
            steps: Some(count(plan.steps.len())),
            elapsed_ms: u64::try_from(info.elapsed.as_millis()).ok(),
            reason: Some(info.reason.clone()),
            why,
            ..about(Name::PassFinished, if news { Level::Info } else { Level::Debug }, plan)
        });
        events
    }

    /// What there is to tell of the fleet as a whole.
    #[must_use]
    pub fn searched(&mut self, index: &Index, revision: &str, now: Instant) -> Vec<Event> {
        let event = |name, level| Event { revision: Some(revision.to_owned()), ..Event::new(name, level) };
        let mut current = BTreeMap::new();
        for (subscription, reading) in &index.listings {
            if let Reading::Unknown { why, cause: Cause { class, lift } } = reading {
                let why = Some(format!("workspaces of subscription {subscription}: {why}"));
                let lift = lift.clone();
                let event = Event { why, lift, error_class: *class, ..event(Name::ObserveIncomplete, Level::Warn) };
                current.insert(Topic::Incomplete(subscription.to_string(), *class), event);
            }
        }
        for (id, Failure { why, cause }) in &index.unplaced {
            let why = Some(format!("the account of {} could not be found out: {why}", id.name()));
            let workspace = Some(id.to_string());
            let event = caused(cause, Event { workspace, why, ..event(Name::ObserveIncomplete, Level::Warn) });
            current.insert(Topic::Incomplete(id.to_string(), cause.class), event);
        }
        for id in &index.missing {
            let lift = Some("the workspace, or its document removed".to_owned());
            let workspace = Some(id.to_string());
            let event = Event { workspace, lift, ..event(Name::WorkspaceMissing, Level::Warn) };
            current.insert(Topic::Missing(id.clone()), event);
        }
        self.fleet.retain(|topic, _| {
            current.contains_key(topic) || matches!(topic, Topic::Incomplete(what, _) if still_unread(what, &current))
        });
        tell(&mut self.fleet, current, self.reminder, now)
    }

    /// Forgets accounts that no document asks about any more; their drift is no drift. A suspension that the files still say
    /// is remembered, so that its end is told.
    #[must_use]
    pub fn keep_only(&mut self, keys: &BTreeSet<StorageAccountId>) -> Vec<Event> {
        let mut events = Vec::new();
        let (files, latest) = (self.files.as_deref(), self.latest);
        self.keys.retain(|key, book| {
            if keys.contains(key) {
                return true;
            }
            book.topics.retain(|topic, told| {
                if let Some(event) = topic.end() {
                    let why = Some("no document asks about the account any more".to_owned());
                    events.push(Event { event, level: Level::Info, why, ..told.event.clone() });
                }
                match suspension::fate(topic, told, key, files, latest) {
                    Fate::Lasts => true,
                    Fate::Over(event) => {
                        events.push(*event);
                        false
                    }
                    Fate::Nothing => false,
                }
            });
            // Of what is out of sight nothing else is known.
            *book = KeyBook { topics: std::mem::take(&mut book.topics), ..KeyBook::default() };
            !book.topics.is_empty()
        });
        events
    }
}

/// Whether a suspension is in a plan, at whichever stage.
fn goes_on(id: &Option<WorkspaceId>, name: &str, current: &BTreeMap<Topic, Event>) -> bool {
    current.keys().any(|topic| matches!(topic, Topic::Suspended(of, same, _) if of == id && same == name))
}

/// Whether this still cannot be read, for whichever reason: a failure that changes back and forth is told once for each.
fn still_unread(what: &str, current: &BTreeMap<Topic, Event>) -> bool {
    current.keys().any(|topic| matches!(topic, Topic::Incomplete(same, _) if same == what))
}

/// Whether it could not be seen who in a workspace has lost access.
fn still_unseen(workspace: &WorkspaceId, plan: &Plan) -> bool {
    plan.findings.iter().any(|finding| match finding {
        Finding::Unseen { what, .. } => match what {
            Unseen::Denials | Unseen::Endpoints => true,
            // Then it is not known whether all endpoints are shown.
            Unseen::OwnRights(at) => at == workspace.arm(),
            Unseen::Access { workspace: of, who: _ } => of == workspace,
            _ => false,
        },
        _ => false,
    })
}

/// Whether something that stays as it is is to be told now, and then whether as a reminder.
fn due<T: PartialEq>(told: &mut Option<(T, Instant)>, what: T, reminder: Duration, now: Instant) -> Option<bool> {
    let same = told.take().filter(|(known, _)| *known == what).map(|(_, at)| at);
    let due = same.is_none_or(|at| now.saturating_duration_since(at) >= reminder);
    *told = Some((what, same.filter(|_| !due).unwrap_or(now)));
    due.then_some(same.is_some())
}

/// Notes what is current and returns what is new or due for a reminder.
fn tell(
    told: &mut BTreeMap<Topic, Told>,
    current: BTreeMap<Topic, Event>,
    reminder: Duration,
    now: Instant,
) -> Vec<Event> {
    let mut events = Vec::new();
    for (topic, event) in current {
        let once = matches!(topic, Topic::Denied(..) | Topic::Suspended(.., SuspendStage::Ended));
        if let Some(known) = told.get_mut(&topic)
            && (once || now.saturating_duration_since(known.at) < reminder)
        {
            // What is told when it is over says what is known by then.
            known.event = event;
            continue;
        }
        let reminder = told.contains_key(&topic);
        told.insert(topic, Told { at: now, event: event.clone() });
        events.push(Event { reminder, ..event });
    }
    events
}

fn caused(Cause { class, lift }: &Cause, event: Event) -> Event {
    Event { error_class: *class, lift: lift.clone(), ..event }
}

fn about(name: Name, level: Level, plan: &Plan) -> Event {
    Event {
        at: told_at(plan),
        revision: Some(plan.revision.to_string()),
        storage_account: Some(plan.account_id.to_string()),
        ..Event::new(name, level)
    }
}

/// The server's time of a plan; none where no answer has told it yet.
pub(crate) fn told_at(plan: &Plan) -> Option<Timestamp> {
    (plan.at > Timestamp::MIN).then_some(plan.at)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
