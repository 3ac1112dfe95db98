//! Plans as they are given to programs. Names of fields and words are stable: they are only ever added to.

use std::collections::{BTreeMap, BTreeSet};

use keyless_controller::wrote::LastWrites;
use keyless_core::action::{Action, Grant};
use keyless_core::catalog::role_name;
use keyless_core::gate::{Gate, GateCheck, GateState};
use keyless_core::incompatibility;
use keyless_core::observed::{Cause, KeyCaller, Signed, StorageService, WorkspaceKind};
use keyless_core::plan::finding::{Accepted, Denied, KeyUse};
use keyless_core::plan::{Drift, Fight, Finding, Plan, Standing, Step};
use keyless_core::setting::Setting;
use serde::Serialize;

use super::written::Written;
use super::{FleetPlan, moment};

/// The whole answer of `plan --output json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fleet {
    pub revision: String,
    /// The worst of the accounts: `converged`, `ready`, `waiting` or `blocked`.
    pub standing: &'static str,
    pub summary: Summary,
    pub accounts: Vec<Account>,
    /// What belongs to no account.
    pub problems: Vec<String>,
    /// What is known not to work in the kinds of workspaces that are to be switched, and Azure does not show.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<Advice>,
}

/// What people should know before a kind of workspace is switched.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Advice {
    pub workspace_kind: String,
    pub id: &'static str,
    pub what: &'static str,
    pub source: &'static str,
}

impl Advice {
    fn of(plans: &[Plan]) -> Vec<Self> {
        let kinds: BTreeSet<&WorkspaceKind> = plans.iter().flat_map(|plan| &plan.switches).collect();
        let rows = kinds.into_iter().flat_map(|kind| incompatibility::advice(kind).map(move |row| (kind, row)));
        rows.map(|(kind, row)| Self {
            workspace_kind: kind.to_string(),
            id: row.id,
            what: row.what,
            source: row.source,
        })
        .collect()
    }
}

/// How many accounts stand how, and how many steps are left.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub accounts: usize,
    pub converged: usize,
    pub ready: usize,
    pub waiting: usize,
    pub blocked: usize,
    pub steps: usize,
}

/// One account's plan.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    pub id: String,
    pub name: String,
    pub resource_group: String,
    pub standing: &'static str,
    /// The server's time of the observation.
    pub at: String,
    /// When a waiting step may open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wakes_at: Option<String>,
    pub drift: Vec<Difference>,
    pub steps: Vec<PlannedStep>,
    pub findings: Vec<Noted>,
}

/// One difference between files and Azure.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Difference {
    /// `roleMissing`, `authMode`, `datastoreCredential`, `datastoreMissing` or `sharedKey`.
    pub kind: &'static str,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
    /// What the activity log tells of it, with `--who`.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
}

/// One step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlannedStep {
    /// `GrantRole`, `ResyncWorkspaceKeys`, `SetAuthMode`, `SetDatastoreCredential`, `CreateDatastore`, `SetSharedKeyAccess` or
    /// `RevokeRole`.
    pub action: &'static str,
    /// The resource that is changed.
    pub target: String,
    pub message: String,
    /// `tighten`, `loosen` or `repair`.
    pub effort: &'static str,
    /// Whether no later step can undo it; left out where one can.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
    /// The new value, where the action sets one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    pub workspaces: Vec<String>,
    /// Who is to have what by it, in the words of the files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Whether every gate is open.
    pub open: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<String>,
    pub gates: Vec<CheckedGate>,
}

/// One gate of a step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckedGate {
    pub gate: &'static str,
    /// `open`, `waiting`, `unmet` or `notLooked`.
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lift: Option<String>,
    /// The time of `until`, for the other forms.
    #[serde(skip)]
    pub at: Option<jiff::Timestamp>,
}

/// What people should know and no step mends.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Noted {
    pub kind: &'static str,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lift: Option<String>,
    /// Requests to a service, of the kinds that are about them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Requests>,
    /// Who made them, by the storage resource logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<CalledBy>,
    /// An accepted risk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<AcceptedRisk>,
    /// `on` or `off` by service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<BTreeMap<&'static str, &'static str>>,
}

/// How often something was asked of a service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Requests {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// `AccountKey`, `SAS` or `OAuth`.
    pub authentication: &'static str,
    pub count: u64,
    /// In how many hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<usize>,
    /// Those, by their start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_hours: Vec<String>,
    /// The end of the last hour with any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// The start of the one hour it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<String>,
}

/// A caller, as the storage resource logs tell it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CalledBy {
    pub address: String,
    pub user_agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// `key1` or `key2`, where a key stands behind the signature for certain; `noKey` where its hash names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_from: Option<String>,
    pub refused: bool,
    /// Azure's word for what came of it.
    pub outcome: String,
}

/// What the files accept.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AcceptedRisk {
    /// The field in the files.
    pub field: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<&'static str>,
    pub reason: String,
    pub owner: String,
    pub until: String,
    pub ended: bool,
}

impl Fleet {
    pub(super) fn of(fleet: &FleetPlan) -> Self {
        let FleetPlan { revision, plans, problems, wrote } = fleet;
        let mut summary = Summary { accounts: plans.len(), ..Summary::default() };
        for plan in plans {
            summary.steps += plan.steps.len();
            *match plan.standing() {
                Standing::Converged => &mut summary.converged,
                Standing::Ready => &mut summary.ready,
                Standing::Waiting => &mut summary.waiting,
                Standing::Blocked => &mut summary.blocked,
            } += 1;
        }
        Self {
            revision: revision.clone(),
            standing: fleet.standing().as_str(),
            summary,
            accounts: plans.iter().map(|plan| Account::of(plan, wrote)).collect(),
            problems: problems.clone(),
            advice: Advice::of(plans),
        }
    }
}

impl Account {
    fn of(plan: &Plan, wrote: &LastWrites) -> Self {
        let Plan { account_id, revision: _, at, drift, steps, findings, switches: _, wants: _ } = plan;
        Self {
            id: account_id.as_str().to_owned(),
            name: account_id.name().to_owned(),
            resource_group: account_id.resource_group().to_owned(),
            standing: plan.standing().as_str(),
            at: moment(*at),
            wakes_at: plan.wakes_at().map(moment),
            drift: drift
                .iter()
                .map(|drift| {
                    let written = wrote.get(&(account_id.clone(), drift.clone())).map(Written::of);
                    Difference { written, ..Difference::of(drift) }
                })
                .collect(),
            steps: steps.iter().map(PlannedStep::of).collect(),
            findings: findings.iter().map(Noted::of).collect(),
        }
    }
}

impl Difference {
    fn of(drift: &Drift) -> Self {
        let message = drift.to_string();
        match drift {
            Drift::RoleMissing { workspace, principal, role } => Self {
                kind: "roleMissing",
                message,
                workspace: Some(workspace.as_str().to_owned()),
                principal: Some(principal.to_string()),
                role: Some(role_name(*role)),
                ..Self::default()
            },
            Drift::AuthMode { workspace, desired, observed } => Self {
                kind: "authMode",
                message,
                workspace: Some(workspace.as_str().to_owned()),
                desired: Some(desired.to_string()),
                observed: Some(observed.to_string()),
                ..Self::default()
            },
            Drift::DatastoreCredential { workspace, name: _, observed } => Self {
                kind: "datastoreCredential",
                message,
                workspace: Some(workspace.as_str().to_owned()),
                desired: Some("None".to_owned()),
                observed: Some(observed.to_string()),
                ..Self::default()
            },
            Drift::DatastoreMissing { workspace, name: _ } => Self {
                kind: "datastoreMissing",
                message,
                workspace: Some(workspace.as_str().to_owned()),
                ..Self::default()
            },
            Drift::SharedKey { desired_on, observed } => Self {
                kind: "sharedKey",
                message,
                desired: Some(on_off(*desired_on).to_owned()),
                observed: Some(on_off(observed.is_on()).to_owned()),
                ..Self::default()
            },
        }
    }
}

impl PlannedStep {
    fn of(step: &Step) -> Self {
        let Step { action, effort, workspaces, reasons, gates } = step;
        let (value, principal, role) = match action {
            Action::GrantRole(Grant { principal, role, .. }) | Action::RevokeRole { principal, role, .. } => {
                (None, Some(principal.to_string()), Some(role_name(*role)))
            }
            Action::SetAuthMode { workspace: _, mode } => (Some(mode.to_string()), None, None),
            Action::SetDatastoreCredential { .. } => (Some("None".to_owned()), None, None),
            Action::CreateDatastore { workspace: _, name, place: _ } => (Some(name.clone()), None, None),
            Action::CreateWorkspace { .. } | Action::ResyncWorkspaceKeys { workspace: _ } => (None, None, None),
            Action::SetSharedKeyAccess { account: _, allowed } => (Some(on_off(*allowed).to_owned()), None, None),
        };
        Self {
            action: action.kind(),
            target: action.target().as_str().to_owned(),
            message: action.to_string(),
            effort: effort.as_str(),
            one_way: action.is_one_way(),
            value,
            principal,
            role,
            workspaces: workspaces.iter().map(|id| id.as_str().to_owned()).collect(),
            reasons: reasons.iter().cloned().collect(),
            open: step.is_open(),
            opens_at: step.opens_at().map(moment),
            gates: gates.iter().map(CheckedGate::of).collect(),
        }
    }
}

/// Why nothing is said of jobs: a history of them is long, and is read whole for a switch that nothing else holds.
const JOBS_LAST: &str =
    "one page of the jobs, if read, shows none at work; all of them are read when the rest is ready";

impl CheckedGate {
    fn of(check: &GateCheck) -> Self {
        let GateCheck { gate, state } = check;
        let mut view = Self { gate: gate.as_str(), state: "open", until: None, why: None, lift: None, at: None };
        match state {
            GateState::Open => {}
            GateState::Waiting { until, why } => {
                view.state = "waiting";
                view.until = Some(moment(*until));
                view.at = Some(*until);
                view.why = Some(why.clone());
            }
            GateState::Unmet { why, lift } => {
                view.state = "unmet";
                view.why = Some(why.clone());
                view.lift = Some(lift.clone());
            }
            GateState::NotLooked => {
                view.state = "notLooked";
                view.why = (*gate == Gate::Drained).then(|| JOBS_LAST.to_owned());
            }
        }
        view
    }
}

impl Noted {
    fn of(finding: &Finding) -> Self {
        let (kind, workspace, principal) = match finding {
            Finding::AccountMissing { .. } => ("accountMissing", None, None),
            Finding::WorkspaceMissing { workspace } => ("workspaceMissing", Some(workspace), None),
            Finding::Incomplete { what: _, why: _, cause: _ } => ("incomplete", None, None),
            Finding::BrokenNow { workspace } => ("brokenNow", Some(workspace), None),
            Finding::ServiceGrantMissing { workspace, principal } => {
                ("serviceGrantMissing", Some(workspace), Some(principal.to_string()))
            }
            Finding::EndpointGrantMissing { workspace, endpoint: _, principal } => {
                ("endpointGrantMissing", Some(workspace), Some(principal.to_string()))
            }
            Finding::Undeclared { workspace, kind: _, auth_mode: _, broken: _ } => {
                ("undeclared", Some(workspace), None)
            }
            Finding::ScenarioMisplaced { workspace, scenario: _, kind: _ } => {
                ("scenarioMisplaced", Some(workspace), None)
            }
            Finding::GrantUnwanted { assignment: _, principal, role: _, scope: _ } => {
                ("grantUnwanted", None, Some(principal.to_string()))
            }
            Finding::LeaversUnknown { grants: _, why: _ } => ("leaversUnknown", None, None),
            Finding::Unseen { what: _, why: _, cause: _ } => ("unseen", None, None),
            Finding::Barrier { kind, what: _ } => (kind.as_str(), None, None),
            Finding::ForeignHolder { principal, role: _, scope: _ } => {
                ("foreignHolder", None, Some(principal.to_string()))
            }
            Finding::DatastoreDiffers { workspace, name: _, field: _, why: _ } => {
                ("datastoreDiffers", Some(workspace), None)
            }
            Finding::Incompatible { workspace, id: _, found: _, accepted: _ } => {
                ("incompatible", Some(workspace), None) //
            }
            Finding::Running { workspace, what: _ } => ("running", Some(workspace), None),
            Finding::Contradiction { what: _ } => ("contradiction", None, None),
            Finding::Fought { setting, fight: _ } => match setting {
                Setting::SharedKey => ("fought", None, None),
                Setting::AuthMode(workspace) | Setting::Datastore(workspace, _) => ("fought", Some(workspace), None),
                Setting::Role(principal, _) => ("fought", None, Some(principal.to_string())),
            },
            Finding::PrincipalMissing { workspace, principal, why: _ } => {
                ("principalMissing", Some(workspace), Some(principal.clone()))
            }
            Finding::KeyUse(_) => ("keyUse", None, None),
            Finding::KeyCaller(caller) => ("keyCaller", None, caller.object.clone()),
            Finding::Unlogged { services: _, workspace: _ } => ("unlogged", None, None),
            Finding::KeyRefused { requests: _, hours: _, off: _ } => ("keyRefused", None, None),
            Finding::Accepted(_) => ("accepted", None, None),
            Finding::KeyByService { flags: _ } => ("keyByService", None, None),
            Finding::KeyUserDenied(_) => ("keyUserDenied", None, None),
            Finding::AccessLost(lost) => {
                ("accessLost", Some(&lost.workspace), lost.principal.map(|principal| principal.to_string()))
            }
            Finding::TurnedOn(_) => ("turnedOn", None, None),
            Finding::Suspended(suspended) => ("suspended", suspended.workspace.as_ref(), None),
        };
        let Cause { class, lift } = match finding {
            Finding::Incomplete { cause, .. } | Finding::Unseen { cause, .. } => cause.clone(),
            Finding::Fought { fight, .. } => Cause { class: None, lift: Some(Fight::lift(fight.until)) },
            _ => Cause { class: None, lift: finding.lift().map(str::to_owned) },
        };
        let workspace = workspace.map(|id| id.as_str().to_owned());
        let message = finding.to_string();
        let (requests, accepted) = (Requests::of(finding), AcceptedRisk::of(finding));
        let caller = CalledBy::of(finding);
        let services = match finding {
            Finding::KeyByService { flags } => {
                Some(flags.iter().map(|(service, on)| (service.as_str(), if *on { "on" } else { "off" })).collect())
            }
            _ => None,
        };
        Self { kind, message, workspace, principal, error_class: class, lift, requests, caller, accepted, services }
    }
}

impl Requests {
    fn of(finding: &Finding) -> Option<Self> {
        match finding {
            Finding::KeyUse(KeyUse { service, api, signed, requests, hours, last }) => Some(Self {
                service: service.map(StorageService::as_str),
                api: Some(api.clone()),
                authentication: signed.as_str(),
                count: *requests,
                hours: Some(hours.len()),
                in_hours: hours.iter().copied().map(moment).collect(),
                last: last.map(moment),
                hour: None,
            }),
            Finding::KeyCaller(KeyCaller { service, signed, operation, requests, last, .. }) => Some(Self {
                service: Some(service.as_str()),
                api: Some(operation.clone()),
                authentication: signed.as_str(),
                count: *requests,
                hours: None,
                in_hours: Vec::new(),
                last: Some(moment(*last)),
                hour: None,
            }),
            Finding::KeyRefused { requests, hours, off: _ } => Some(Self {
                service: None,
                api: None,
                authentication: Signed::AccountKey.as_str(),
                count: *requests,
                hours: Some(*hours),
                in_hours: Vec::new(),
                last: None,
                hour: None,
            }),
            Finding::KeyUserDenied(Denied { hour, service, api, signed, requests, .. }) => Some(Self {
                service: service.map(StorageService::as_str),
                api: (!api.is_empty()).then(|| api.clone()),
                authentication: signed.as_str(),
                count: *requests,
                hours: None,
                in_hours: Vec::new(),
                last: None,
                hour: Some(moment(*hour)),
            }),
            _ => None,
        }
    }
}

impl CalledBy {
    fn of(finding: &Finding) -> Option<Self> {
        let Finding::KeyCaller(caller) = finding else { return None };
        Some(Self {
            address: caller.address.clone(),
            user_agent: caller.agent.clone(),
            object_id: caller.object.clone(),
            app_id: caller.app.clone(),
            made_from: caller.made_from.as_str().map(str::to_owned),
            refused: caller.refused,
            outcome: caller.outcome.clone(),
        })
    }
}

impl AcceptedRisk {
    fn of(finding: &Finding) -> Option<Self> {
        let Finding::Accepted(Accepted { what, services, reason, owner, until, ended }) = finding else { return None };
        Some(Self {
            field: what,
            services: services.iter().map(|service| service.as_str()).collect(),
            reason: reason.clone(),
            owner: owner.clone(),
            until: moment(*until),
            ended: *ended,
        })
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "enabled" } else { "disabled" }
}
