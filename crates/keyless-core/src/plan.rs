//! The full ordered way from what is observed to what is desired, each step behind its gates.
//!
//! Pure, total and deterministic: equal arguments give equal plans, and time comes in with the observation. A plan is
//! recomputed from fresh facts after each step; nothing resumes one. Read `plan::steps` for the order, `plan::gates` for the rules.

mod callers;
mod fight;
pub mod finding;
mod gates;
mod needs;
mod reads;
mod steps;
pub mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use crate::action::{Action, Effort};
use crate::desired::{AuthMode, KeyDesired, Location, Revision};
use crate::gate::{Gate, GateCheck, GateState, ReadSet};
use crate::id::{ArmId, AssignmentName, LogAnalyticsId, PrincipalId, RoleId, StorageAccountId, WorkspaceId};
use crate::observed::{
    Cause, DatastoreCredentials, KeyCaller, Observed, ObservedAuthMode, ServiceFlags, SharedKeyAccess, StorageService,
    WorkspaceKind,
};
use crate::setting::Setting;

use finding::{Accepted, Denied, KeyUse, Lost, Suspended, TurnedOn, Unseen};

pub use callers::NAMED_BY_LOGS;
pub use fight::Fight;
pub use reads::{base_reads, confirm_reads, target_reads};

/// What this process knows that neither files nor Azure tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Until when nothing is written after start or take-over, because a write of a dead process may still land.
    pub boot_until: Option<Timestamp>,
    /// Until when nothing is written to this account, because a write of this process may still land.
    pub unsettled_until: Option<Timestamp>,
    /// First names of grants that Azure cannot tell from other assignments': these get their second names.
    pub clashing: BTreeSet<AssignmentName>,
    /// Actions that Azure refused for a reason only a person can lift, and until when they are not tried again.
    pub refused: BTreeMap<Action, Refusal>,
    /// Settings that somebody sets back again and again.
    pub fights: BTreeMap<Setting, Fight>,
}

/// A refusal that trying again will not lift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When it is tried again.
    pub until: Timestamp,
    /// Azure's words.
    pub why: String,
    /// What would lift it, where Azure's answer tells.
    pub lift: Option<String>,
}

/// How much a plan asks to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Only what decides the next step: spares the quota.
    WhatMatters,
    /// All gates of all steps: for people.
    Everything,
}

/// The way from here to there.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The account it is about.
    pub account_id: StorageAccountId,
    /// The revision of the files it serves.
    pub revision: Revision,
    /// The server's time of the observation.
    pub at: Timestamp,
    /// What differs, sorted.
    pub drift: BTreeSet<Drift>,
    /// The changes, in the order in which they are to be made.
    pub steps: Vec<Step>,
    /// What people should know and no step mends, sorted.
    pub findings: BTreeSet<Finding>,
    /// The kinds of the workspaces that it takes to identity, for the advice on them.
    pub switches: BTreeSet<WorkspaceKind>,
    /// What has to be read before all gates that matter can be judged.
    pub wants: ReadSet,
}

/// One action and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The change.
    pub action: Action,
    /// What it does to the people at work.
    pub effort: Effort,
    /// The declared workspaces on whose account it is made; empty for account-wide steps.
    pub workspaces: BTreeSet<WorkspaceId>,
    /// Who is to have what by it, in the words of the files; empty where the action says it all.
    pub reasons: BTreeSet<String>,
    /// Its gates, in the order in which they are looked at.
    pub gates: Vec<GateCheck>,
}

impl Step {
    /// Whether every gate is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.gates.iter().all(|check| check.state.is_open())
    }

    /// When the step may open by itself: the latest of its waits, unless a gate is unmet.
    #[must_use]
    pub fn opens_at(&self) -> Option<Timestamp> {
        let mut latest = None;
        for check in &self.gates {
            match &check.state {
                GateState::Open | GateState::NotLooked => {}
                GateState::Waiting { until, .. } => latest = latest.max(Some(*until)),
                GateState::Unmet { .. } => return None,
            }
        }
        latest
    }
}

/// One difference between files and Azure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Drift {
    /// A principal lacks what a role stands for.
    RoleMissing {
        /// The workspace whose document asks for it.
        workspace: WorkspaceId,
        /// Who lacks it.
        principal: PrincipalId,
        /// Which role.
        role: RoleId,
    },
    /// A workspace is in another mode.
    AuthMode {
        /// Which.
        workspace: WorkspaceId,
        /// What the files ask.
        desired: AuthMode,
        /// What Azure shows.
        observed: ObservedAuthMode,
    },
    /// A datastore holds a credential that it is to give up.
    DatastoreCredential {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// Which.
        name: String,
        /// What it holds.
        observed: DatastoreCredentials,
    },
    /// A datastore is not there.
    DatastoreMissing {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// Which.
        name: String,
    },
    /// The account's flag is in another state.
    SharedKey {
        /// Whether the files ask for the key to be on.
        desired_on: bool,
        /// What Azure shows.
        observed: SharedKeyAccess,
    },
}

impl Drift {
    /// The workspace it is about, if it is about one.
    #[must_use]
    pub fn workspace(&self) -> Option<&WorkspaceId> {
        match self {
            Self::RoleMissing { workspace, .. }
            | Self::AuthMode { workspace, .. }
            | Self::DatastoreCredential { workspace, .. }
            | Self::DatastoreMissing { workspace, .. } => Some(workspace),
            Self::SharedKey { .. } => None,
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoleMissing { workspace, principal, role } => {
                write!(f, "{}: {principal} lacks {}", workspace.name(), crate::catalog::role_name(*role))
            }
            Self::AuthMode { workspace, desired, observed } => {
                write!(f, "{}: mode is {observed}, files ask {desired}", workspace.name())
            }
            Self::DatastoreCredential { workspace, name, observed } => {
                write!(f, "{}: datastore {name} holds {observed}, files ask for none", workspace.name())
            }
            Self::DatastoreMissing { workspace, name } => {
                write!(f, "{}: datastore {name} does not exist", workspace.name())
            }
            Self::SharedKey { desired_on, observed } => {
                let word = |on: bool| if on { "enabled" } else { "disabled" };
                write!(f, "shared key access is {}, files ask {}", word(observed.is_on()), word(*desired_on))
            }
        }
    }
}

/// Something people should know that no step of this plan mends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// The account does not exist.
    AccountMissing {
        /// The workspaces that name it.
        workspaces: BTreeSet<WorkspaceId>,
        /// Those that are to be made on it, and where the files say so.
        made_on_it: BTreeMap<WorkspaceId, Location>,
    },
    /// A declared workspace does not exist.
    WorkspaceMissing {
        /// Which.
        workspace: WorkspaceId,
    },
    /// A read that this plan needed failed or was partial.
    Incomplete {
        /// What was read.
        what: String,
        /// What happened.
        why: String,
        /// What kind of failure it was, and what would lift it.
        cause: Cause,
    },
    /// A workspace in access-key mode stands on an account whose key is off: broken now.
    BrokenNow {
        /// Which.
        workspace: WorkspaceId,
    },
    /// The grant that the service makes to the workspace's own identity is not there.
    ServiceGrantMissing {
        /// Which workspace.
        workspace: WorkspaceId,
        /// Its identity.
        principal: PrincipalId,
    },
    /// The grant that the service makes to the identity of a managed online endpoint is not there.
    EndpointGrantMissing {
        /// Whose endpoint.
        workspace: WorkspaceId,
        /// Which endpoint.
        endpoint: String,
        /// Its identity.
        principal: PrincipalId,
    },
    /// A workspace, hub or project on the account that no document declares.
    Undeclared {
        /// Which.
        workspace: WorkspaceId,
        /// What it is.
        kind: WorkspaceKind,
        /// Its mode.
        auth_mode: ObservedAuthMode,
        /// Whether it wants the account key, which is off.
        broken: bool,
    },
    /// A scenario that the articles list for another kind of workspace; its roles are granted as asked.
    ScenarioMisplaced {
        /// The workspace whose document asks for it.
        workspace: WorkspaceId,
        /// The scenario.
        scenario: &'static str,
        /// What the workspace is.
        kind: WorkspaceKind,
    },
    /// A read that only warnings rest on failed, so that they are missing; no step waits for it.
    Unseen {
        /// What was read.
        what: Unseen,
        /// What happened.
        why: String,
        /// What kind of failure it was, and what would lift it.
        cause: Cause,
    },
    /// A grant of this installation that no document asks for any more.
    GrantUnwanted {
        /// The assignment.
        assignment: ArmId,
        /// Who has it.
        principal: PrincipalId,
        /// Which role.
        role: RoleId,
        /// At the account, or at its resource group.
        scope: ArmId,
    },
    /// Grants of this installation to principals that no document names, while it is not known whether all are read that ask.
    LeaversUnknown {
        /// How many.
        grants: usize,
        /// What is not known.
        why: String,
    },
    /// Something bars or may bar a step, or would if it were not spared.
    Barrier {
        /// What sort of thing.
        kind: Barrier,
        /// Which, and what it does.
        what: String,
    },
    /// An identity that holds a data role on the account and belongs to nothing known here: no workspace, compute, endpoint or
    /// document.
    ForeignHolder {
        /// Who.
        principal: PrincipalId,
        /// The role's name.
        role: String,
        /// Where the role was given.
        scope: ArmId,
    },
    /// Something in a workspace that goes to identity is known not to work there.
    Incompatible {
        /// The workspace.
        workspace: WorkspaceId,
        /// Which row of [`crate::incompatibility::ALL`].
        id: &'static str,
        /// What in the workspace it is.
        found: String,
        /// Who accepted it, until when and why, if that holds.
        accepted: Option<String>,
    },
    /// Jobs or compute instances run in a workspace that is switched under them.
    Running {
        /// The workspace.
        workspace: WorkspaceId,
        /// Which of them, in words.
        what: String,
    },
    /// Documents contradict each other about the key.
    Contradiction {
        /// What, with the names on both sides.
        what: String,
    },
    /// A datastore is not as the files describe it, in something that keyless never overwrites.
    DatastoreDiffers {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// Which.
        name: String,
        /// The field of the file.
        field: &'static str,
        /// What the file asks and what Azure shows.
        why: String,
    },
    /// Somebody sets a setting back again and again, and it is left alone.
    Fought {
        /// Which.
        setting: Setting,
        /// By whom, how often, and until when it is left alone.
        fight: Fight,
    },
    /// A principal of the files cannot be resolved.
    PrincipalMissing {
        /// The workspace whose document names it.
        workspace: WorkspaceId,
        /// The principal as the file names it.
        principal: String,
        /// Why.
        why: String,
    },
    /// Who uses the key that is to go off.
    KeyUse(KeyUse),
    /// Who called with the key or a SAS, or was refused, as the storage resource logs tell it.
    KeyCaller(KeyCaller),
    /// The metric shows use of the key that the storage resource logs do not tell of.
    Unlogged {
        /// Of which services; none where the metric by service is not known.
        services: BTreeSet<StorageService>,
        /// Where the logs are.
        workspace: LogAnalyticsId,
    },
    /// Requests signed with the key that were refused: they may be anybody's, and hold nothing.
    KeyRefused {
        /// How many.
        requests: u64,
        /// In how many hours.
        hours: usize,
        /// The services that have the key off by themselves, which explains refusals there.
        off: Vec<StorageService>,
    },
    /// A risk that the files accept.
    Accepted(Accepted),
    /// Single services have a switch of their own; the account as a whole is on.
    KeyByService {
        /// Whether the key is accepted there.
        flags: BTreeMap<StorageService, bool>,
    },
    /// Somebody was refused since the key went off or a workspace was switched.
    KeyUserDenied(Denied),
    /// Somebody entitled has no access any more, or perhaps, in a workspace on identity.
    AccessLost(Lost),
    /// Somebody turned the key on again that was off.
    TurnedOn(TurnedOn),
    /// A document is suspended.
    Suspended(Suspended),
}

/// What sort of thing bars a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Barrier {
    /// A lock.
    Lock,
    /// A policy.
    Policy,
    /// A deny assignment.
    Denial,
    /// Network rules.
    Network,
    /// A step that the files accept although it cannot be taken back.
    OneWay,
    /// The account is not in order.
    State,
}

impl Barrier {
    /// The name in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Policy => "policy",
            Self::Denial => "denial",
            Self::Network => "network",
            Self::OneWay => "oneWay",
            Self::State => "state",
        }
    }
}

impl Finding {
    /// Whether nothing has converged while it stands.
    #[must_use]
    pub fn blocks(&self) -> bool {
        match self {
            Self::AccountMissing { .. }
            | Self::WorkspaceMissing { .. }
            | Self::Incomplete { .. }
            | Self::Contradiction { .. }
            | Self::DatastoreDiffers { .. }
            | Self::AccessLost(_)
            | Self::BrokenNow { .. }
            | Self::ServiceGrantMissing { .. }
            | Self::EndpointGrantMissing { .. }
            | Self::Unseen { what: Unseen::Denials | Unseen::Endpoints | Unseen::Access { .. }, .. }
            | Self::PrincipalMissing { .. } => true,
            Self::Undeclared { .. }
            | Self::ScenarioMisplaced { .. }
            | Self::Unseen { .. }
            | Self::Barrier { .. }
            | Self::ForeignHolder { .. }
            | Self::GrantUnwanted { .. }
            | Self::LeaversUnknown { .. }
            | Self::Fought { .. }
            | Self::Running { .. }
            | Self::Incompatible { .. } => false,
            Self::KeyUse(_)
            | Self::KeyCaller(_)
            | Self::Unlogged { .. }
            | Self::KeyRefused { .. }
            | Self::Accepted(_)
            | Self::KeyByService { .. }
            | Self::KeyUserDenied(_)
            | Self::TurnedOn(_)
            | Self::Suspended(_) => false,
        }
    }

    /// Whether it says that something is not known, rather than that it is amiss.
    fn is_unread(&self) -> bool {
        matches!(self, Self::Incomplete { .. } | Self::Contradiction { .. } | Self::Unseen { .. })
    }

    /// What would lift it, where that follows from the finding alone.
    #[must_use]
    pub fn lift(&self) -> Option<&'static str> {
        match self {
            Self::AccountMissing { .. } => Some("that account, or files and workspaces that name another one"),
            Self::AccessLost(lost) => Some(lost.lift()),
            Self::BrokenNow { .. } => Some(
                "the step that turns the key on, where the files ask for it; else `sharedKeyAccess: enabled` in a \
                 StorageAccount document, or identity for the workspace",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccountMissing { workspaces, made_on_it } => {
                let standing = workspaces.iter().map(|id| id.name().to_owned());
                let made = made_on_it.iter().map(|(id, at)| format!("`create` of {} ({at})", id.name()));
                let names: Vec<String> = standing.chain(made).collect();
                let named = if names.is_empty() { "" } else { ", and is named by " };
                write!(f, "the storage account does not exist{named}{}", names.join(", "))
            }
            Self::WorkspaceMissing { workspace } => write!(f, "workspace {} does not exist", workspace.name()),
            Self::Incomplete { what, why, cause: _ } => write!(f, "{what} could not be read: {why}"),
            Self::BrokenNow { workspace } => {
                write!(f, "{} wants the account key, which is off: broken now", workspace.name())
            }
            Self::ServiceGrantMissing { workspace, principal } => {
                write!(f, "the service's grant to the identity of {} ({principal}) is missing", workspace.name())
            }
            Self::EndpointGrantMissing { workspace, endpoint, principal } => write!(
                f,
                "the service's grant to the identity of endpoint {endpoint} of {} ({principal}) is missing",
                workspace.name()
            ),
            Self::Unseen { what, why, cause: _ } => {
                write!(f, "{what} could not be read, and nothing waits for it: {why}")
            }
            Self::Undeclared { workspace, kind, auth_mode, broken } => {
                write!(f, "{kind} {} is on the account and not declared; its mode is {auth_mode}", workspace.name())?;
                if *broken { f.write_str(", and the key is off: broken now") } else { Ok(()) }
            }
            Self::ScenarioMisplaced { workspace, scenario, kind } => {
                write!(f, "{}: the articles do not list scenario {scenario} for a {kind}", workspace.name())
            }
            Self::GrantUnwanted { assignment: _, principal, role, scope } => {
                write!(f, "no document asks for {} of {principal} any more", crate::catalog::role_name(*role))?;
                if scope.is_group() { write!(f, "; it is at {scope}, where nothing is taken back") } else { Ok(()) }
            }
            Self::LeaversUnknown { grants, why } => {
                let grants = finding::plural(*grants, "grant");
                write!(f, "whether anybody still asks for {grants} made before is not known, so all stay: {why}")
            }
            Self::Barrier { kind: _, what } => f.write_str(what),
            Self::ForeignHolder { principal, role, scope } => {
                write!(
                    f,
                    "{principal} holds {role} at {scope} and belongs to no workspace, compute, endpoint or document known here"
                )
            }
            Self::Incompatible { workspace, id, found, accepted } => {
                let what = crate::incompatibility::find(id).map(|row| row.what).unwrap_or_default();
                write!(f, "{}: {id}: {what} ({found})", workspace.name())?;
                accepted.as_ref().map_or(Ok(()), |accepted| write!(f, "; {accepted}"))
            }
            Self::Running { workspace, what } => {
                write!(f, "{} is switched under what is at work in it (`drain: ignore`): {what}", workspace.name())
            }
            Self::Contradiction { what } => f.write_str(what),
            Self::DatastoreDiffers { workspace, name, field, why } => {
                write!(f, "{}: datastore {name} differs in `{field}`: {why}", workspace.name())
            }
            Self::Fought { setting, fight } => write!(f, "{setting} is fought over: {fight}"),
            Self::PrincipalMissing { workspace, principal, why } => {
                write!(f, "{}: {principal}: {why}", workspace.name())
            }
            Self::KeyUse(one) => one.fmt(f),
            Self::KeyCaller(caller) => finding::caller(caller, f),
            Self::Unlogged { services, workspace } => finding::unlogged(services, workspace, f),
            Self::KeyRefused { requests, hours, off } => {
                let hours = finding::plural(*hours, "hour");
                write!(f, "{requests} requests signed with the key were refused in {hours}: they may be anybody's")?;
                let off: Vec<&str> = off.iter().map(|service| service.as_str()).collect();
                if off.is_empty() { Ok(()) } else { write!(f, "; the key is off for {} already", off.join(", ")) }
            }
            Self::Accepted(accepted) => accepted.fmt(f),
            Self::KeyByService { flags } => {
                write!(f, "shared key access by service: {}; the account as a whole is on", ServiceFlags(flags.clone()))
            }
            Self::KeyUserDenied(denied) => denied.fmt(f),
            Self::AccessLost(lost) => lost.fmt(f),
            Self::TurnedOn(turned_on) => turned_on.fmt(f),
            Self::Suspended(suspended) => suspended.fmt(f),
        }
    }
}

/// How a plan stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Nothing to do, and everything that decides it was read.
    Converged,
    /// A step can be taken now.
    Ready,
    /// Steps are left, and time alone will open one.
    Waiting,
    /// Steps are left, or something could not be read, and time alone will not help.
    Blocked,
}

impl Standing {
    /// The word in output and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Blocked => "blocked",
        }
    }
}

impl Plan {
    /// The step to take now: the first whose gates are all open.
    #[must_use]
    pub fn next(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.is_open())
    }

    /// How many grants are due that nothing but the ceiling of their subscription or time may hold: what other accounts of
    /// the subscription have to leave places for.
    #[must_use]
    pub fn grants_due(&self) -> u32 {
        let barred = |check: &GateCheck| {
            check.gate != Gate::BelowCeiling && matches!(check.state, GateState::Unmet { .. }) //
        };
        let due = self.steps.iter().filter(|step| matches!(step.action, Action::GrantRole(_)));
        u32::try_from(due.filter(|step| !step.gates.iter().any(barred)).count()).unwrap_or(u32::MAX)
    }

    /// How many differences between the files and Azure it names: what steps may mend, and what is known to be amiss, keeps
    /// it from converging, and no step mends.
    #[must_use]
    pub fn differences(&self) -> usize {
        let amiss = self.findings.iter().filter(|finding| finding.blocks() && !finding.is_unread());
        self.drift.len() + amiss.count()
    }

    /// Whether everything was read that tells differences: else there may be more than it names.
    #[must_use]
    pub fn tells_all(&self) -> bool {
        self.wants.is_empty() && !self.findings.iter().any(|finding| finding.blocks() && finding.is_unread())
    }

    /// How the plan stands. Where it is not known whether somebody entitled still has access, or known that they have not,
    /// nothing has converged.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let blocking = self.findings.iter().any(Finding::blocks);
        if self.next().is_some() {
            Standing::Ready
        } else if self.steps.iter().any(|step| step.opens_at().is_some()) {
            Standing::Waiting
        } else if self.steps.is_empty() && !blocking {
            Standing::Converged
        } else {
            Standing::Blocked
        }
    }

    /// When the first waiting step may open.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Timestamp> {
        self.steps.iter().filter_map(Step::opens_at).min()
    }
}

/// Plans the way from `observed` to `desired`.
pub fn plan(desired: &KeyDesired, observed: &Observed, limits: &Limits, look: Look) -> Plan {
    steps::Planner::new(desired, observed, limits, look).plan()
}
