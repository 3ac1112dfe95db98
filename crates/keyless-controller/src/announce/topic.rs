//! What a plan gives to tell: one topic for each thing, with the event that tells it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use keyless_core::action::Action;
use keyless_core::catalog;
use keyless_core::gate::{Gate, GateState};
use keyless_core::id::{PrincipalId, WorkspaceId};
use keyless_core::incompatibility;
use keyless_core::observed::{Cause, ObservedAuthMode, Signed, StorageService};
use keyless_core::plan::finding::{Denied, SuspendStage, Suspended};
use keyless_core::plan::{Drift, Fight, Finding, NAMED_BY_LOGS, Plan, Step};
use keyless_core::setting::Setting;

use super::about;
use super::write::of_action;
use crate::event::{Event, Level, Name};
use crate::who::Named;

/// One thing that is told once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
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
    /// Whose access to which role is lost, by the difference that is told, and whether that is certain: that it has become so
    /// is news.
    Lost(WorkspaceId, Option<PrincipalId>, String, bool),
    /// What is fought over, and with whom: another name is news.
    Fight(Setting, Option<String>),
    /// Somebody was refused in an hour, and whether the resource logs name them: told once for each.
    Denied(Timestamp, Option<StorageService>, String, Signed, bool),
    /// A document that is suspended, and how it stands: each is told once, and again only while it lasts.
    Suspended(Option<WorkspaceId>, String, SuspendStage),
    /// Which row, for the sake of what, and whether somebody accepts it now: the end of that is news, and so is one more of a kind.
    Incompatible(WorkspaceId, &'static str, String, bool),
}

impl Topic {
    /// What tells that it is over, where that is told.
    pub(super) fn end(&self) -> Option<Name> {
        match self {
            Self::Drift(..) | Self::Differs(..) | Self::Lost(..) => Some(Name::DriftCleared),
            Self::ServiceGrant(_) | Self::EndpointGrant(..) => Some(Name::ServiceGrantCleared),
            _ => None,
        }
    }
}

fn is_broken(plan: &Plan, drift: &Drift) -> bool {
    let workspace = drift.workspace();
    matches!(drift, Drift::AuthMode { .. })
        && plan.findings.iter().any(|finding| {
            matches!(finding, Finding::BrokenNow { workspace: id } if Some(id) == workspace) //
        })
}

/// Why somebody turned the key on again, for what is told of the key.
fn likely_cause(plan: &Plan, of_key: bool) -> Option<String> {
    let cause = |finding: &Finding| match finding {
        Finding::TurnedOn(turned_on) => Some(turned_on.cause()),
        _ => None,
    };
    of_key.then(|| plan.findings.iter().find_map(cause)).flatten()
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
        likely_cause: likely_cause(plan, matches!(drift, Drift::SharedKey { desired_on: false, .. })),
        ..about(Name::DriftDetected, level, plan)
    }
}

pub(super) fn topics(plan: &Plan, moving: bool, named: &BTreeMap<Drift, Named>) -> BTreeMap<Topic, Event> {
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

pub(super) fn found(plan: &Plan, finding: &Finding) -> Option<(Topic, Event)> {
    let why = Some(finding.to_string());
    Some(match finding {
        Finding::AccountMissing { .. } => (
            Topic::Gate(None, None, "account".to_owned()),
            Event { why, lift: finding.lift().map(str::to_owned), ..about(Name::ObserveIncomplete, Level::Warn, plan) },
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
            Topic::Incomplete(what.to_string(), *class),
            Event { why, lift: lift.clone(), error_class: *class, ..about(Name::ObserveIncomplete, Level::Warn, plan) },
        ),
        Finding::GrantUnwanted { assignment, principal, role, scope: _ } => (
            Topic::Unwanted(assignment.folded().to_owned()),
            Event {
                principal: Some(principal.to_string()),
                role: Some(catalog::role_name(*role)),
                why,
                ..about(Name::GrantUnwanted, Level::Warn, plan)
            },
        ),
        Finding::Incompatible { workspace, id, found, accepted } => (
            Topic::Incompatible(workspace.clone(), id, found.clone(), accepted.is_some()),
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
        Finding::AccessLost(lost) => (
            Topic::Lost(lost.workspace.clone(), lost.principal, lost.difference(), lost.is_certain()),
            Event {
                workspace: Some(lost.workspace.to_string()),
                principal: Some(lost.principal.map_or_else(|| lost.who.clone(), |principal| principal.to_string())),
                role: Some(catalog::role_name(lost.role)),
                drift: Some(lost.difference()),
                why: Some(lost.why()),
                lift: Some(lost.lift().to_owned()),
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
                likely_cause: likely_cause(plan, *setting == Setting::SharedKey),
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
        // Where the files ask for identity, the difference tells it.
        Finding::BrokenNow { workspace } => {
            let differs = |drift: &Drift| matches!(drift, Drift::AuthMode { workspace: id, .. } if id == workspace);
            if plan.drift.iter().any(differs) {
                return None;
            }
            (
                Topic::Gate(None, Some(Gate::KeyOn), workspace.to_string()),
                Event {
                    gate: Some(Gate::KeyOn.to_string()),
                    workspace: Some(workspace.to_string()),
                    why,
                    lift: finding.lift().map(str::to_owned),
                    ..about(Name::GateUnmet, Level::Error, plan)
                },
            )
        }
        Finding::PrincipalMissing { workspace, principal, .. } => (
            Topic::Gate(None, Some(Gate::NeedsCovered), format!("{workspace} {principal}")),
            Event {
                gate: Some(Gate::NeedsCovered.to_string()),
                workspace: Some(workspace.to_string()),
                principal: Some(principal.clone()),
                why,
                ..about(Name::GateUnmet, Level::Warn, plan)
            },
        ),
        Finding::KeyUserDenied(denied) => {
            let Denied { hour, service, api, signed, requests, cause: _, callers, since: _, because: _ } = denied;
            (
                Topic::Denied(*hour, *service, api.clone(), *signed, !callers.is_empty()),
                Event {
                    service: service.map(StorageService::as_str),
                    api: (!api.is_empty()).then(|| api.clone()),
                    authentication: Some(signed.as_str()),
                    hour: Some(*hour),
                    requests: Some(*requests),
                    callers: (!callers.is_empty()).then(|| callers.join("; ")),
                    why,
                    ..about(Name::KeyUserDenied, Level::Warn, plan)
                },
            )
        }
        Finding::Suspended(suspended) => {
            let Suspended { name, workspace, reason: _, until, stage } = suspended;
            let (event, level) = match stage {
                SuspendStage::Lasts | SuspendStage::Overdue => (Name::Suspended, Level::Warn),
                SuspendStage::EndsWithinDay | SuspendStage::EndsWithinHour => (Name::SuspensionEnds, Level::Warn),
                SuspendStage::Ended => (Name::SuspensionEnded, Level::Info),
            };
            (
                Topic::Suspended(workspace.clone(), name.clone(), *stage),
                Event {
                    document: Some(name.clone()),
                    workspace: workspace.as_ref().map(ToString::to_string),
                    until: Some(*until),
                    why,
                    ..about(event, level, plan)
                },
            )
        }
        // Told with the gate it shuts, or nothing to act on: the plan has it.
        Finding::KeyUse(_)
        | Finding::KeyCaller(_)
        | Finding::Unlogged { .. }
        | Finding::KeyRefused { .. }
        | Finding::Accepted(_)
        | Finding::KeyByService { .. } => return None,
        // Told with the drift it belongs to, by the look over the fleet, by the gate that is shut, and by plans.
        Finding::TurnedOn(_)
        | Finding::WorkspaceMissing { .. }
        | Finding::ScenarioMisplaced { .. }
        | Finding::Barrier { .. }
        | Finding::Running { .. }
        | Finding::ForeignHolder { .. }
        | Finding::LeaversUnknown { .. } => return None,
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
    let news = match check.gate {
        // One job after the other is at work: which is no news.
        Gate::Drained => why.split(':').next().unwrap_or_default().to_owned(),
        // Who uses the key is read again and again, and one after the other comes and goes: that they are named is news.
        Gate::KeyIdle => {
            let named = if why.contains(NAMED_BY_LOGS) { NAMED } else { "" };
            format!("{}{named}", without_digits(before_names(why)))
        }
        _ => without_digits(why),
    };
    let event = Event {
        gate: Some(check.gate.to_string()),
        why: Some(why.clone()),
        lift,
        until,
        ..of_action(about(Name::GateUnmet, level, plan), &step.action, &step.workspaces)
    };
    Some((Topic::Gate(Some(step.action.clone()), Some(check.gate), format!("{kind} {news}")), event))
}

/// How it is noted that the resource logs name callers.
const NAMED: &str = "; named";

/// The topic of the same gate with callers named, where they are not.
pub(super) fn with_names(topic: &Topic) -> Option<Topic> {
    match topic {
        Topic::Gate(action, Some(Gate::KeyIdle), news) if !news.ends_with(NAMED) => {
            Some(Topic::Gate(action.clone(), Some(Gate::KeyIdle), format!("{news}{NAMED}")))
        }
        _ => None,
    }
}

/// The topic of the same loss as certain, where it is not.
pub(super) fn when_certain(topic: &Topic) -> Option<Topic> {
    match topic {
        Topic::Lost(workspace, principal, difference, false) => {
            Some(Topic::Lost(workspace.clone(), *principal, difference.clone(), true))
        }
        _ => None,
    }
}

/// What the gate on the key says but for the services, calls and callers behind it.
fn before_names(why: &str) -> &str {
    let ends = [" (", NAMED_BY_LOGS].map(|names| why.find(names));
    let end = ends.into_iter().flatten().min();
    end.and_then(|end| why.get(..end)).unwrap_or(why)
}

/// A changed count or number of seconds is no news.
fn without_digits(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}
