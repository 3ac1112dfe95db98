//! Turns plans and reports into events: each thing is told once when it changes, and again as a reminder.
//!
//! Pure: the time comes in. Unknown is not absent here either: while a plan rests on failed reads, nothing is told to be
//! cleared. A quiet steady state yields nothing above debug.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_core::action::{Action, Grant};
use keyless_core::catalog;
use keyless_core::gate::{Gate, GateState};
use keyless_core::id::{StorageAccountId, SubscriptionId, WorkspaceId};
use keyless_core::incompatibility;
use keyless_core::observed::{Cause, ObservedAuthMode, Reading, Signed, StorageService};
use keyless_core::pass::{Ended, Refused, RefusedBy, Report, WriteRecord, WriteResult};
use keyless_core::plan::finding::Denied;
use keyless_core::plan::{Drift, Fight, Finding, Plan, Standing, Step};
use keyless_core::setting::Setting;
use tokio::time::Instant;

use crate::event::{Event, Level, Name};
use crate::failed::Failure;
use crate::index::Index;
use crate::memory::not_stuck_lift;
use crate::who::Named;

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
}

#[derive(Debug, Default)]
struct KeyBook {
    topics: BTreeMap<Topic, Told>,
    steps: Vec<Action>,
    standing: Option<Standing>,
    /// Who caused the differences, as far as it was asked.
    named: BTreeMap<Drift, Named>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    event: Event,
}

/// One thing that is told once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Drift(Drift, bool),
    /// What could not be read, and the kind of failure: another kind is news.
    Incomplete(String, Option<&'static str>),
    Gate(Option<Action>, Option<Gate>, String),
    ServiceGrant(WorkspaceId),
    EndpointGrant(WorkspaceId, String),
    Undeclared(WorkspaceId, bool),
    Unwanted(String),
    Missing(WorkspaceId),
    /// A datastore that is not as the files describe it, and in which field.
    Differs(WorkspaceId, String, &'static str),
    /// What is fought over, and with whom: another name is news.
    Fight(Setting, Option<String>),
    /// Somebody was refused in an hour: told once for each.
    Denied(Timestamp, Option<StorageService>, String, Signed),
    /// Which row, and whether somebody accepts it now: the end of that is news.
    Incompatible(WorkspaceId, &'static str, bool),
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
        Self { reminder, keys: BTreeMap::new(), fleet: BTreeMap::new(), logs: BTreeMap::new() }
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
        let book = self.keys.entry(plan.account_id.clone()).or_default();
        let complete = !plan.findings.iter().any(|finding| matches!(finding, Finding::Incomplete { .. }));
        let unseen = plan.findings.iter().any(|finding| matches!(finding, Finding::Unseen { .. }));
        let moving = plan.standing() == Standing::Ready;
        let current = topics(plan, moving, &book.named);
        let mut events = Vec::new();
        book.topics.retain(|topic, told| {
            let keep = current.contains_key(topic)
                || match topic {
                    // Gone, or not to be seen because a read failed.
                    Topic::Drift(..) | Topic::Differs(..) | Topic::ServiceGrant(_) | Topic::Unwanted(_) => !complete,
                    Topic::EndpointGrant(..) | Topic::Undeclared(..) => !complete || unseen,
                    // Gates are not looked at while a step is open; as long as the step is there, they are not news.
                    Topic::Gate(Some(action), _, _) => {
                        (moving || !complete) && plan.steps.iter().any(|step| step.action == *action)
                    }
                    Topic::Gate(None, _, _) => !complete,
                    // The computes are read by a gate, so the same holds for them.
                    Topic::Incompatible(workspace, ..) => {
                        (moving || !complete) && plan.steps.iter().any(|step| step.workspaces.contains(workspace))
                    }
                    Topic::Incomplete(what, _) => still_unread(what, &current),
                    Topic::Missing(_) | Topic::Fight(..) => false,
                    // Told once, whatever becomes of the reads; forgotten when Azure has forgotten it too.
                    Topic::Denied(hour, ..) => plan.at.duration_since(*hour) < DENIED_FOR,
                };
            let is_cleared = match topic {
                // Broken or no longer broken: still the same drift, told anew rather than cleared.
                Topic::Drift(drift, _) => {
                    !current.keys().any(|other| matches!(other, Topic::Drift(same, _) if same == drift))
                }
                Topic::Differs(..) => true,
                _ => false,
            };
            if is_cleared && !keep {
                let at = Some(plan.at);
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
            Ended::MarkStuck { why: stuck } => events.push(Event {
                why: Some(format!("the state directory does not let it write: {stuck}")),
                result: Some("not_sent"),
                ..about(Name::ActionFailed, Level::Error, plan)
            }),
            Ended::Planned | Ended::Wrote | Ended::Stopped => {}
        }
        let book = self.keys.entry(plan.account_id.clone()).or_default();
        let standing = plan.standing();
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

    /// Forgets accounts that no document asks about any more; their drift is no drift.
    #[must_use]
    pub fn keep_only(&mut self, keys: &BTreeSet<StorageAccountId>) -> Vec<Event> {
        let mut events = Vec::new();
        self.keys.retain(|key, book| {
            let keep = keys.contains(key);
            if !keep {
                for (topic, told) in &book.topics {
                    if matches!(topic, Topic::Drift(..) | Topic::Differs(..)) {
                        let why = Some("no document asks about the account any more".to_owned());
                        let (event, level) = (Name::DriftCleared, Level::Info);
                        events.push(Event { event, level, why, ..told.event.clone() });
                    }
                }
            }
            keep
        });
        events
    }
}

/// Whether this still cannot be read, for whichever reason: a failure that changes back and forth is told once for each.
fn still_unread(what: &str, current: &BTreeMap<Topic, Event>) -> bool {
    current.keys().any(|topic| matches!(topic, Topic::Incomplete(same, _) if same == what))
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
        let once = matches!(topic, Topic::Denied(..));
        let known = told.get_mut(&topic);
        if let Some(known) = &known
            && !once
            && now.saturating_duration_since(known.at) >= reminder
        {
            // Due for a reminder.
        } else if let Some(known) = known {
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

fn is_broken(plan: &Plan, drift: &Drift) -> bool {
    let workspace = drift.workspace();
    matches!(drift, Drift::AuthMode { .. })
        && plan.findings.iter().any(|finding| {
            matches!(finding, Finding::BrokenNow { workspace: id } if Some(id) == workspace) //
        })
}

/// What is told of a difference, but for who caused it.
pub(crate) fn drifted(plan: &Plan, drift: &Drift) -> Event {
    let broken = is_broken(plan, drift);
    let (principal, role) = match drift {
        Drift::RoleMissing { principal, role, .. } => (Some(principal.to_string()), Some(catalog::role_name(*role))),
        Drift::AuthMode { .. }
        | Drift::DatastoreCredential { .. }
        | Drift::DatastoreMissing { .. }
        | Drift::SharedKey { .. } => (None, None),
    };
    let foreign = matches!(drift, Drift::AuthMode { observed: ObservedAuthMode::Other(_), .. });
    let level = if broken || foreign { Level::Error } else { Level::Warn };
    Event {
        workspace: drift.workspace().map(ToString::to_string),
        principal,
        role,
        drift: Some(drift.to_string()),
        why: broken.then(|| "it wants the account key, which is off: broken now".to_owned()),
        ..about(Name::DriftDetected, level, plan)
    }
}

fn topics(plan: &Plan, moving: bool, named: &BTreeMap<Drift, Named>) -> BTreeMap<Topic, Event> {
    let mut current = BTreeMap::new();
    for drift in &plan.drift {
        let event = drifted(plan, drift);
        let event = named.get(drift).map_or_else(|| event.clone(), |named| named.told_in(event.clone()));
        current.insert(Topic::Drift(drift.clone(), is_broken(plan, drift)), event);
    }
    for finding in &plan.findings {
        current.extend(found(plan, finding));
    }
    if !moving {
        current.extend(plan.steps.iter().filter_map(|step| held(plan, step)));
    }
    current
}

fn found(plan: &Plan, finding: &Finding) -> Option<(Topic, Event)> {
    let why = Some(finding.to_string());
    Some(match finding {
        Finding::AccountMissing => (
            Topic::Gate(None, None, "account".to_owned()),
            Event { why, ..about(Name::ObserveIncomplete, Level::Warn, plan) },
        ),
        Finding::Incomplete { what, why: _, cause: Cause { class, lift } } => (
            Topic::Incomplete(what.clone(), *class),
            Event { why, lift: lift.clone(), error_class: *class, ..about(Name::ObserveIncomplete, Level::Warn, plan) },
        ),
        Finding::ServiceGrantMissing { workspace, principal } => (
            Topic::ServiceGrant(workspace.clone()),
            Event {
                workspace: Some(workspace.to_string()),
                principal: Some(principal.to_string()),
                role: Some(catalog::role_name(catalog::BLOB_CONTRIBUTOR)),
                why,
                ..about(Name::ServiceGrantMissing, Level::Warn, plan)
            },
        ),
        Finding::EndpointGrantMissing { workspace, endpoint, principal } => (
            Topic::EndpointGrant(workspace.clone(), endpoint.clone()),
            Event {
                workspace: Some(workspace.to_string()),
                principal: Some(principal.to_string()),
                role: Some(catalog::role_name(catalog::BLOB_CONTRIBUTOR)),
                why,
                ..about(Name::ServiceGrantMissing, Level::Warn, plan)
            },
        ),
        Finding::Undeclared { workspace, kind: _, auth_mode: _, broken } => (
            Topic::Undeclared(workspace.clone(), *broken),
            Event {
                workspace: Some(workspace.to_string()),
                why,
                lift: Some("a document for it, or `scope: {exclude: …}` in the Fleet document".to_owned()),
                ..about(Name::WorkspaceUndeclared, if *broken { Level::Error } else { Level::Info }, plan)
            },
        ),
        Finding::Unseen { what, why: _, cause: Cause { class, lift } } => (
            Topic::Incomplete(what.clone(), *class),
            Event { why, lift: lift.clone(), error_class: *class, ..about(Name::ObserveIncomplete, Level::Warn, plan) },
        ),
        Finding::GrantUnwanted { assignment, principal, role } => (
            Topic::Unwanted(assignment.folded().to_owned()),
            Event {
                principal: Some(principal.to_string()),
                role: Some(catalog::role_name(*role)),
                why,
                ..about(Name::GrantUnwanted, Level::Warn, plan)
            },
        ),
        Finding::Incompatible { workspace, id, found: _, accepted } => (
            Topic::Incompatible(workspace.clone(), id, accepted.is_some()),
            Event {
                workspace: Some(workspace.to_string()),
                why,
                lift: incompatibility::find(id).map(|row| format!("see {}", row.source)),
                ..about(Name::IncompatibilityFound, if accepted.is_some() { Level::Info } else { Level::Warn }, plan)
            },
        ),
        Finding::Contradiction { what } => (
            Topic::Gate(None, Some(Gate::Agreed), without_digits(what)),
            Event {
                gate: Some(Gate::Agreed.to_string()),
                why,
                lift: Some("documents that agree".to_owned()),
                ..about(Name::GateUnmet, Level::Warn, plan)
            },
        ),
        Finding::DatastoreDiffers { workspace, name, field, why: _ } => (
            Topic::Differs(workspace.clone(), name.clone(), field),
            Event {
                workspace: Some(workspace.to_string()),
                drift: Some(finding.to_string()),
                why: Some("keyless never overwrites what a datastore is, only its credentials".to_owned()),
                lift: Some("the datastore or its entry in the file changed, so that they agree".to_owned()),
                ..about(Name::DriftDetected, Level::Warn, plan)
            },
        ),
        Finding::Fought { setting, fight } => (
            Topic::Fight(setting.clone(), fight.theirs.clone()),
            Event {
                changed_by: Some(fight.theirs.clone().unwrap_or_else(|| "unknown so far".to_owned())),
                why,
                lift: Some(Fight::lift(fight.until)),
                until: Some(fight.until),
                workspace: match setting {
                    Setting::AuthMode(workspace) | Setting::Datastore(workspace, _) => Some(workspace.to_string()),
                    Setting::SharedKey | Setting::Role(..) => None,
                },
                principal: match setting {
                    Setting::Role(principal, _) => Some(principal.to_string()),
                    Setting::SharedKey | Setting::AuthMode(_) | Setting::Datastore(..) => None,
                },
                role: match setting {
                    Setting::Role(_, role) => Some(catalog::role_name(*role)),
                    Setting::SharedKey | Setting::AuthMode(_) | Setting::Datastore(..) => None,
                },
                ..about(Name::FightDetected, Level::Error, plan)
            },
        ),
        Finding::PrincipalMissing { workspace, principal, .. } => (
            Topic::Gate(None, Some(Gate::PrincipalKnown), format!("{workspace} {principal}")),
            Event {
                gate: Some(Gate::PrincipalKnown.to_string()),
                workspace: Some(workspace.to_string()),
                principal: Some(principal.clone()),
                why,
                ..about(Name::GateUnmet, Level::Warn, plan)
            },
        ),
        Finding::KeyUserDenied(denied) => {
            let Denied { hour, service, api, signed, requests, cause: _, since: _, because: _ } = denied;
            (
                Topic::Denied(*hour, *service, api.clone(), *signed),
                Event {
                    service: service.map(StorageService::as_str),
                    api: (!api.is_empty()).then(|| api.clone()),
                    authentication: Some(signed.as_str()),
                    hour: Some(*hour),
                    requests: Some(*requests),
                    why,
                    ..about(Name::KeyUserDenied, Level::Warn, plan)
                },
            )
        }
        Finding::Unwatched { why: _, cause: Cause { class, lift } } => (
            Topic::Incomplete("refused requests".to_owned(), *class),
            Event { why, lift: lift.clone(), error_class: *class, ..about(Name::ObserveIncomplete, Level::Warn, plan) },
        ),
        // Told with the gate it shuts, or nothing to act on: the plan has it.
        Finding::KeyUse(_) | Finding::KeyRefused { .. } | Finding::Accepted(_) | Finding::KeyByService { .. } => {
            return None;
        }
        // Told with the drift it belongs to, by the look over the fleet, by the gate that is shut, and by plans.
        Finding::BrokenNow { .. }
        | Finding::WorkspaceMissing { .. }
        | Finding::ScenarioMisplaced { .. }
        | Finding::Barrier { .. }
        | Finding::ForeignHolder { .. } => return None,
    })
}

/// The first shut gate of a step, unless an earlier step of the plan is about to open it or another event tells it.
fn held(plan: &Plan, step: &Step) -> Option<(Topic, Event)> {
    let check = step.gates.iter().find(|check| !check.state.is_open())?;
    let (level, why, lift, until) = match &check.state {
        GateState::Open | GateState::NotLooked => return None,
        GateState::Waiting { until, why } => (Level::Info, why, None, Some(*until)),
        GateState::Unmet { why, lift } => (Level::Warn, why, Some(lift.clone()), None),
    };
    let planned = |wanted: &dyn Fn(&Step) -> bool| plan.steps.iter().any(wanted);
    let follows = match check.gate {
        Gate::AllOnIdentity => planned(&|other| matches!(other.action, Action::SetAuthMode { .. })),
        Gate::KeyOn => planned(&|other| matches!(other.action, Action::SetSharedKeyAccess { allowed: true, .. })),
        Gate::NeedsCovered => planned(&|other| {
            matches!(other.action, Action::GrantRole(_)) && !other.workspaces.is_disjoint(&step.workspaces)
        }),
        Gate::OnIdentity => planned(&|other| {
            matches!(other.action, Action::SetAuthMode { .. }) && !other.workspaces.is_disjoint(&step.workspaces)
        }),
        // One wait of the whole process, not one of each step.
        Gate::Booted => true,
        Gate::Agreed => true,
        // Told with both sides.
        Gate::NoFight => true,
        _ => false,
    };
    if follows {
        return None;
    }
    let kind = if until.is_some() { "waiting" } else { "unmet" };
    let event = Event {
        gate: Some(check.gate.to_string()),
        why: Some(why.clone()),
        lift,
        until,
        ..of_action(about(Name::GateUnmet, level, plan), &step.action, &step.workspaces)
    };
    Some((Topic::Gate(Some(step.action.clone()), Some(check.gate), format!("{kind} {}", without_digits(why))), event))
}

fn written(plan: &Plan, write: &WriteRecord) -> Event {
    let WriteRecord { action, effort, workspaces, result } = write;
    let failed = |level, result: &'static str, why: &str, request_id: &Option<String>| Event {
        result: Some(result),
        why: Some(why.to_owned()),
        request_id: request_id.clone(),
        ..about(Name::ActionFailed, level, plan)
    };
    let event = match result {
        WriteResult::Applied { changed, request_id } => Event {
            why: (!changed).then(|| "it was so already".to_owned()),
            request_id: request_id.clone(),
            ..about(Name::ActionApplied, Level::Info, plan)
        },
        WriteResult::DidNotStick { request_id } => {
            let why = match action {
                Action::SetDatastoreCredential { .. } => {
                    "Azure accepted it, and the datastore holds its credential as before"
                }
                _ => "Azure accepted it, and the value is not there: most likely a policy of effect Modify sets it",
            };
            Event {
                lift: Some(not_stuck_lift(action).to_owned()),
                ..failed(Level::Error, "did_not_stick", why, request_id)
            }
        }
        WriteResult::NotReadBack { request_id, why, cause } => {
            caused(cause, failed(Level::Warn, "not_read_back", why, request_id))
        }
        WriteResult::Unknown { why, cause, request_id } => {
            caused(cause, failed(Level::Warn, "unknown", why, request_id))
        }
        WriteResult::NotSent { why, cause } => caused(cause, failed(Level::Warn, "not_sent", why, &None)),
        WriteResult::Refused(Refused { by, cause, code, status, message, request_id, retry_after }) => {
            let level = if *by == RefusedBy::Person { Level::Error } else { Level::Warn };
            Event {
                code: code.clone(),
                http_status: *status,
                retry_after_ms: retry_after.and_then(|wait| u64::try_from(wait.as_millis()).ok()),
                ..caused(cause, failed(level, "refused", message, request_id))
            }
        }
    };
    Event { effort: Some(effort.as_str()), ..of_action(event, action, workspaces) }
}

fn caused(Cause { class, lift }: &Cause, event: Event) -> Event {
    Event { error_class: *class, lift: lift.clone(), ..event }
}

fn of_action(event: Event, action: &Action, workspaces: &BTreeSet<WorkspaceId>) -> Event {
    let (principal, role) = match action {
        Action::GrantRole(Grant { principal, role, .. }) | Action::RevokeRole { principal, role, .. } => {
            (Some(principal.to_string()), Some(catalog::role_name(*role)))
        }
        Action::SetAuthMode { .. }
        | Action::SetSharedKeyAccess { .. }
        | Action::ResyncWorkspaceKeys { .. }
        | Action::SetDatastoreCredential { .. }
        | Action::CreateDatastore { .. }
        | Action::CreateWorkspace { .. } => (None, None),
    };
    let names: Vec<String> = workspaces.iter().map(ToString::to_string).collect();
    Event {
        action: Some(action.to_string()),
        kind: Some(action.kind()),
        principal,
        role,
        workspace: (!names.is_empty()).then(|| names.join(",")),
        ..event
    }
}

fn about(name: Name, level: Level, plan: &Plan) -> Event {
    Event {
        at: Some(plan.at),
        revision: Some(plan.revision.to_string()),
        storage_account: Some(plan.account_id.to_string()),
        ..Event::new(name, level)
    }
}

/// A changed count or number of seconds is no news.
fn without_digits(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
