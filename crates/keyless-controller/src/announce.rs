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
use topic::{Topic, topics, with_names};
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
        let complete = !plan.findings.iter().any(|finding| matches!(finding, Finding::Incomplete { .. }));
        let moving = plan.standing() == Standing::Ready;
        // The logs may be out of reach for a while; what was told with names is not told again without.
        let named = |topic: &Topic| with_names(topic).filter(|named| book.topics.contains_key(named));
        let current = topics(plan, moving, &book.named).into_iter();
        let mut current: BTreeMap<Topic, Event> =
            current.map(|(topic, event)| (named(&topic).unwrap_or(topic), event)).collect();
        current.retain(|topic, event| match topic {
            Topic::Denied(hour, service, api, signed, false) => {
                !book.topics.contains_key(&Topic::Denied(*hour, *service, api.clone(), *signed, true))
            }
            _ => suspension::is_news(topic, event, &book.topics, plan.at),
        });
        let mut events = suspension::begun(plan, &book.topics);
        book.topics.retain(|topic, told| {
            let keep = current.contains_key(topic)
                || match topic {
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
            let is_cleared = match topic {
                // Broken or no longer broken: still the same drift, told anew rather than cleared.
                Topic::Drift(drift, _) => {
                    !current.keys().any(|other| matches!(other, Topic::Drift(same, _) if same == drift))
                }
                Topic::Differs(..) | Topic::Lost(..) => true,
                _ => false,
            };
            if topic.is_grant_of_service() && !keep {
                let why = told.event.why.as_ref().map(|why| format!("no more so: {why}"));
                let event =
                    Event { at: told_at(plan), revision: Some(plan.revision.to_string()), ..cleared_grant(told) };
                events.push(Event { why, ..event });
            }
            if is_cleared && !keep {
                let at = told_at(plan);
                let cleared =
                    Event { event: Name::DriftCleared, level: Level::Info, at, why: None, ..told.event.clone() };
                events.push(Event { revision: Some(plan.revision.to_string()), ..cleared });
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
        let nowhere = Failure {
            why: "Azure names neither a storage account nor a hub".to_owned(),
            cause: Cause {
                class: None,
                lift: Some("a storage account on the workspace, or its document removed".to_owned()),
            },
        };
        let nowhere = index.nowhere.iter().map(|id| (id, &nowhere));
        for (id, Failure { why, cause }) in index.unplaced.iter().chain(nowhere) {
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
                if matches!(topic, Topic::Drift(..) | Topic::Differs(..) | Topic::Lost(..)) {
                    let why = Some("no document asks about the account any more".to_owned());
                    let (event, level) = (Name::DriftCleared, Level::Info);
                    events.push(Event { event, level, why, ..told.event.clone() });
                }
                if topic.is_grant_of_service() {
                    let why = Some("no document asks about the account any more".to_owned());
                    events.push(Event { why, ..cleared_grant(told) });
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

/// The end of a grant's being missing.
fn cleared_grant(told: &Told) -> Event {
    Event { event: Name::ServiceGrantCleared, level: Level::Info, ..told.event.clone() }
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
mod tests {
    use keyless_core::action::Effort;
    use keyless_core::desired::Revision;
    use keyless_core::gate::{Gate, GateCheck, GateState, ReadSet};
    use keyless_core::lint::{Rule, Violation};
    use keyless_core::plan::Step;
    use keyless_core::plan::finding::{Loss, Lost};

    use super::*;

    const GROUP: &str = "/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90/resourceGroups/rg/providers";

    fn plan(findings: impl IntoIterator<Item = Finding>) -> Plan {
        Plan {
            account_id: format!("{GROUP}/Microsoft.Storage/storageAccounts/stml").parse().unwrap(),
            revision: Revision("r1".to_owned()),
            at: "2026-11-23T09:00:00Z".parse().unwrap(),
            drift: BTreeSet::new(),
            steps: Vec::new(),
            findings: findings.into_iter().collect(),
            wants: ReadSet::default(),
            switches: BTreeSet::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_has_no_time_before_an_answer_has_told_it() {
        let report = |at: Timestamp| {
            let plan = Plan { at, ..plan([unseen(Unseen::Endpoints)]) };
            Report { plan, write: None, ended: Ended::Planned }
        };
        let info = PassInfo { reason: "test".to_owned(), elapsed: Duration::ZERO };
        let times = |at| -> Vec<Option<Timestamp>> {
            let events = Book::new(Duration::from_secs(60)).passed(&report(at), &info, Instant::now());
            events.into_iter().map(|event| event.at).collect()
        };
        assert_eq!(times(Timestamp::MIN), [None, None]);
        let at = plan([]).at;
        assert_eq!(times(at), [Some(at), Some(at)]);
    }

    fn unseen(what: Unseen) -> Finding {
        Finding::Unseen { what, why: "no right".to_owned(), cause: Cause::default() }
    }

    fn endpoint() -> Finding {
        let workspace = format!("{GROUP}/Microsoft.MachineLearningServices/workspaces/mlw");
        Finding::EndpointGrantMissing {
            workspace: WorkspaceId::parse(&workspace).unwrap(),
            endpoint: "score".to_owned(),
            principal: "9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f".parse().unwrap(),
        }
    }

    fn told(book: &mut Book, findings: Vec<Finding>) -> usize {
        let events = book.planned(&plan(findings), Instant::now());
        events.iter().filter(|event| event.event == Name::ServiceGrantMissing).count()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_and_comes_back_is_told_again_whatever_else_cannot_be_read() {
        let scope = || keyless_core::id::ArmId::parse("/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90").unwrap();
        let mut book = Book::new(Duration::from_secs(24 * 3600));
        let policies = || unseen(Unseen::Policies(scope()));
        assert_eq!(told(&mut book, vec![endpoint(), policies()]), 1);
        assert_eq!(told(&mut book, vec![endpoint(), policies()]), 0, "it is still the same");
        assert_eq!(told(&mut book, vec![policies()]), 0, "it is mended");
        assert_eq!(told(&mut book, vec![endpoint(), policies()]), 1, "and lost again");
    }

    #[tokio::test(start_paused = true)]
    async fn endpoints_that_could_not_be_read_are_not_mended() {
        let mut book = Book::new(Duration::from_secs(24 * 3600));
        assert_eq!(told(&mut book, vec![endpoint()]), 1);
        assert_eq!(told(&mut book, vec![unseen(Unseen::Endpoints)]), 0);
        assert_eq!(told(&mut book, vec![endpoint()]), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_missing_grant_of_the_service_is_told_once_and_only_when_it_was_seen() {
        let Finding::EndpointGrantMissing { workspace, principal, .. } = endpoint() else { unreachable!() };
        let own = || Finding::ServiceGrantMissing { workspace: workspace.clone(), principal };
        for missing in [own(), endpoint()] {
            let mut book = Book::new(Duration::from_secs(24 * 3600));
            let mut told = |plan: &Plan| -> Vec<(Name, Level)> {
                let events = book.planned(plan, Instant::now()).into_iter();
                let names = [Name::ServiceGrantMissing, Name::ServiceGrantCleared];
                let ours = events.filter(|event| names.contains(&event.event));
                ours.inspect(|event| {
                    assert!(event.workspace.is_some() && event.principal.is_some() && event.role.is_some());
                    assert!(event.why.as_ref().is_some_and(|why| why.contains("is missing")), "{event:?}");
                })
                .map(|event| (event.event, event.level))
                .collect()
            };
            let begins = [(Name::ServiceGrantMissing, Level::Warn)];
            let ends = [(Name::ServiceGrantCleared, Level::Info)];
            assert_eq!(told(&plan([missing.clone()])), begins);
            let failed = Finding::Incomplete { what: "x".to_owned(), why: "503".to_owned(), cause: Cause::default() };
            let access =
                Unseen::Access { workspace: workspace.clone(), who: "the workspace's own identity".to_owned() };
            for unseen in [unseen(access), unseen(Unseen::Endpoints), failed] {
                assert_eq!(told(&plan([unseen.clone()])), [], "{unseen}");
            }
            let wants = ReadSet { endpoints: true, ..ReadSet::default() };
            assert_eq!(told(&Plan { wants, ..plan([]) }), [], "it is to be asked yet");
            assert_eq!(told(&plan([missing.clone()])), [], "it is still the same");
            assert_eq!(told(&plan([])), ends);
            assert_eq!(told(&plan([])), []);
            assert_eq!(told(&plan([missing])), begins, "and again");
            let gone = book.keep_only(&BTreeSet::new());
            assert_eq!(gone.iter().map(|event| event.event).collect::<Vec<_>>(), [Name::ServiceGrantCleared]);
        }
    }

    fn lost() -> Finding {
        let workspace = format!("{GROUP}/Microsoft.MachineLearningServices/workspaces/mlw");
        Finding::AccessLost(Lost {
            workspace: WorkspaceId::parse(&workspace).unwrap(),
            who: "user ada".to_owned(),
            principal: Some("9c1d2f63-4b0a-4d57-8f3e-1a2b3c4d5e6f".parse().unwrap()),
            role: keyless_core::catalog::BLOB_READER,
            how: Loss::Denied {
                by: "stack".to_owned(),
                scope: keyless_core::id::ArmId::parse("/subscriptions/3f8c1d7a-52b4-4c0e-9d2e-7a1b6c5d4e90").unwrap(),
                certain: true,
            },
        })
    }

    #[tokio::test(start_paused = true)]
    async fn access_that_is_lost_is_told_once_and_ends_only_when_it_is_seen_to() {
        let mut book = Book::new(Duration::from_secs(24 * 3600));
        let mut told = |plan: &Plan| -> Vec<(Name, Level)> {
            let events = book.planned(plan, Instant::now()).into_iter();
            let ours = events.filter(|event| event.drift.is_some());
            ours.inspect(|event| {
                assert_eq!(
                    event.drift.as_deref(),
                    Some("mlw: a deny assignment stands against Storage Blob Data Reader of user ada")
                );
                assert!(event.workspace.is_some() && event.principal.is_some() && event.role.is_some());
            })
            .map(|event| (event.event, event.level))
            .collect()
        };
        let (begins, ends) = ([(Name::DriftDetected, Level::Warn)], [(Name::DriftCleared, Level::Info)]);
        assert_eq!(told(&plan([lost()])), begins);
        assert_eq!(told(&plan([lost()])), []);
        let failed = Finding::Incomplete { what: "x".to_owned(), why: "503".to_owned(), cause: Cause::default() };
        for unseen in [unseen(Unseen::Denials), unseen(Unseen::Endpoints), failed] {
            assert_eq!(told(&plan([unseen.clone()])), [], "{unseen}");
        }
        // Groups that were to be asked yet, and a pass that went on to a write before it asked.
        assert_eq!(told(&Plan { wants: ReadSet { denies_lately: true, ..ReadSet::default() }, ..plan([]) }), []);
        let mut ready = held("");
        ready.steps[0].gates.clear();
        assert_eq!(told(&ready), []);
        assert_eq!(told(&plan([lost()])), [], "it is still the same");
        assert_eq!(told(&plan([])), ends);
        assert_eq!(told(&plan([lost()])), begins, "and again");
    }

    fn held(why: &str) -> Plan {
        let action = Action::SetSharedKeyAccess { account: plan([]).account_id, allowed: false };
        let gates = vec![GateCheck {
            gate: Gate::KeyIdle,
            state: GateState::Unmet { why: why.to_owned(), lift: "an end of that traffic".to_owned() },
        }];
        let (workspaces, reasons) = (BTreeSet::new(), BTreeSet::new());
        Plan { steps: vec![Step { action, effort: Effort::Tighten, workspaces, reasons, gates }], ..plan([]) }
    }

    #[tokio::test(start_paused = true)]
    async fn other_users_of_the_key_behind_the_same_gate_are_no_news() {
        let mut book = Book::new(Duration::from_secs(24 * 3600));
        let mut told = |why: &str| {
            let events = book.planned(&held(why), Instant::now());
            events.into_iter().filter(|event| event.event == Name::GateUnmet).map(|event| event.why).collect::<Vec<_>>()
        };
        let requests = "7 requests signed with the key succeeded within 7d";
        let named =
            |who: &str| format!("{requests} (file GetFile 7 in 1 hour); the resource logs name {who}: file GetFile");
        let nameless = format!("{requests} (file GetFile 7 in 1 hour)");
        assert_eq!(told(&nameless), [Some(nameless.clone())]);
        assert_eq!(told(&format!("{requests} (blob GetBlob 9 in 2 hours)")), []);
        assert_eq!(told(&named("10.0.0.1 (rclone)")), [Some(named("10.0.0.1 (rclone)"))], "that they are named is");
        assert_eq!(told(&named("10.0.0.2 (cron)")), []);
        assert_eq!(told(&nameless), [], "the logs are out of reach");
        assert_eq!(told(&named("10.0.0.1 (rclone)")), []);
        assert_eq!(told("the key-usage answer is incomplete").len(), 1, "another reason is news");
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_directory_that_bars_writes_is_told_once_and_as_a_reminder() {
        let mut book = Book::new(Duration::from_secs(24 * 3600));
        let info = PassInfo { reason: "test".to_owned(), elapsed: Duration::ZERO };
        let now = Instant::now();
        let mut told = |why: &str, hours: u64| {
            let report = Report { plan: plan([]), write: None, ended: Ended::MarkStuck { why: why.to_owned() } };
            let events = book.passed(&report, &info, now + Duration::from_secs(hours * 3600));
            let failed = events.into_iter().filter(|event| event.event == Name::ActionFailed);
            failed.map(|event| event.reminder).collect::<Vec<bool>>()
        };
        assert_eq!(told("no space left", 0), [false]);
        assert_eq!(told("no space left", 1), [] as [bool; 0]);
        assert_eq!(told("no space left", 25), [true]);
        assert_eq!(told("no space left", 26), [] as [bool; 0]);
        assert_eq!(told("read-only", 26), [false], "another reason is news");
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_that_breaks_its_own_rules_is_told_as_an_error_with_every_rule() {
        let mut book = Book::new(Duration::from_secs(24 * 3600));
        let violation = |why: &str| Violation { rule: Rule::Order, action: None, why: why.to_owned() };
        let violations = vec![violation("the key goes first"), violation("a switch stands twice")];
        let report = Report { plan: plan([]), write: None, ended: Ended::Rejected { violations } };
        let info = PassInfo { reason: "test".to_owned(), elapsed: Duration::ZERO };
        let now = Instant::now();
        let mut told = |report: &Report, after: Duration| {
            let events = book.passed(report, &info, now + after);
            events.into_iter().filter(|event| event.event == Name::PlanRejected).collect::<Vec<Event>>()
        };
        let first = told(&report, Duration::ZERO);
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].level, Level::Error);
        assert_eq!(first[0].problems, ["order: the key goes first", "order: a switch stands twice"]);
        assert_eq!(told(&report, Duration::from_secs(60)), [], "it was told");
        let again = told(&report, Duration::from_secs(25 * 3600));
        assert!(again.len() == 1 && again[0].reminder);
        assert_eq!(told(&report, Duration::from_secs(26 * 3600)), []);
        // It is over, and comes again.
        let fine = Report { plan: plan([]), write: None, ended: Ended::Planned };
        assert_eq!(told(&fine, Duration::from_secs(26 * 3600)), []);
        assert_eq!(told(&report, Duration::from_secs(26 * 3600)).len(), 1);
    }
}
