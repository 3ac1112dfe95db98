//! The order of the steps and which gates each one has.
//!
//! Forward: grants, mode to identity, key off. Back: key on, mode to accesskey. The articles describe the way back in
//! the other order, which leaves a moment in which a workspace wants a key the account refuses.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::{self, Cover};
use crate::action::{Action, Effort, Grant, assignment_name};
use crate::catalog;
use crate::desired::{AuthMode, DesiredSharedKey, DesiredWorkspace, GrantScope, KeyDesired, Need, ServiceGrants};
use crate::gate::{Gate, GateCheck, GateState, ReadSet};
use crate::id::{ArmId, PrincipalId, WorkspaceId};
use crate::observed::{Observed, ObservedAuthMode, Reading, Workspace};

use super::gates::{self, Judged};
use super::needs::{self, NeedView, Resolved, ServiceGrant};
use super::{Drift, Finding, Limits, Look, Plan, Step};

/// What the files ask of the account's key.
enum KeyTarget {
    On,
    Off,
    /// As it is now.
    Keep,
    /// As it is now, because the documents do not agree; turning it off is shown as blocked.
    Disputed(String),
}

pub(super) struct Planner<'a> {
    desired: &'a KeyDesired,
    observed: &'a Observed,
    limits: &'a Limits,
    look: Look,
    drift: BTreeSet<Drift>,
    steps: Vec<Step>,
    findings: BTreeSet<Finding>,
    wants: ReadSet,
}

impl<'a> Planner<'a> {
    pub(super) fn new(desired: &'a KeyDesired, observed: &'a Observed, limits: &'a Limits, look: Look) -> Self {
        Self {
            desired,
            observed,
            limits,
            look,
            drift: BTreeSet::new(),
            steps: Vec::new(),
            findings: BTreeSet::new(),
            wants: ReadSet::default(),
        }
    }

    pub(super) fn plan(mut self) -> Plan {
        self.failed_reads();
        if matches!(self.observed.account, Reading::Known { value: None, .. }) {
            self.findings.insert(Finding::AccountMissing);
        } else {
            let service_needs: BTreeMap<&WorkspaceId, Need> = self
                .desired
                .workspaces
                .iter()
                .filter_map(|(id, workspace)| needs::service_need(workspace).map(|need| (id, need)))
                .collect();
            let views: BTreeMap<&WorkspaceId, Vec<NeedView<'_>>> = self
                .present()
                .map(|(workspace, _)| {
                    (&workspace.id, needs::views(workspace, service_needs.get(&workspace.id), self.observed))
                })
                .collect();
            self.grants(&views);
            let target = self.key_target();
            self.key_on(&target);
            self.modes(&views, &target);
            self.key_off(&target);
            self.revokes(&views);
        }
        Plan {
            account_id: self.desired.account_id.clone(),
            revision: self.desired.revision.clone(),
            at: self.observed.now,
            drift: self.drift,
            steps: self.steps,
            findings: self.findings,
            wants: self.wants,
        }
    }

    /// The declared workspaces that exist on this account, with what Azure shows of them.
    fn present(&self) -> impl Iterator<Item = (&'a DesiredWorkspace, &'a Workspace)> + use<'a> {
        let (desired, observed) = (self.desired, self.observed);
        desired.workspaces.iter().filter_map(|(id, workspace)| {
            observed.workspaces.get(id)?.workspace.value()?.as_ref().map(|own| (workspace, own))
        })
    }

    /// Reads that every plan builds on and that failed.
    fn failed_reads(&mut self) {
        let observed = self.observed;
        let mut failed = vec![
            ("the storage account".to_owned(), observed.account.failed::<()>()),
            ("role assignments".to_owned(), observed.assignments.failed()),
        ];
        for id in self.desired.workspaces.keys() {
            let Some(entry) = observed.workspaces.get(id) else { continue };
            failed.push((format!("workspace {}", id.name()), entry.workspace.failed()));
            if matches!(entry.workspace, Reading::Known { value: None, .. }) {
                self.findings.insert(Finding::WorkspaceMissing { workspace: id.clone() });
            }
        }
        for (what, failed) in failed {
            if let Some(Reading::Unknown { why, cause }) = failed {
                self.findings.insert(Finding::Incomplete { what, why, cause });
            }
        }
        let reads = super::base_reads(self.desired);
        let unread = |id: &WorkspaceId| {
            self.observed.workspaces.get(id).is_none_or(|entry| matches!(entry.workspace, Reading::NotRead))
        };
        let mut wants = ReadSet {
            account: matches!(self.observed.account, Reading::NotRead),
            assignments: matches!(self.observed.assignments, Reading::NotRead),
            ..ReadSet::default()
        };
        wants.workspaces.extend(reads.workspaces.into_iter().filter(|id| unread(id)));
        self.wants.add(wants);
    }

    fn grants(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>) {
        let owner = &self.desired.fleet.owner;
        let mut wanted: BTreeMap<Grant, Asked> = BTreeMap::new();
        for (&workspace, views) in views {
            for view in views {
                let holders = match &view.holders {
                    Resolved::Known(holders) => holders,
                    Resolved::NotRead(reads) => {
                        self.wants.add((**reads).clone());
                        continue;
                    }
                    Resolved::Missing(why) => {
                        self.findings.insert(Finding::PrincipalMissing {
                            workspace: workspace.clone(),
                            principal: view.need.principal.to_string(),
                            why: why.clone(),
                        });
                        continue;
                    }
                    Resolved::Unknown(why, cause) => {
                        let what = format!("{} of {}", view.need.principal, workspace.name());
                        self.findings.insert(Finding::Incomplete { what, why: why.clone(), cause: cause.clone() });
                        continue;
                    }
                };
                for (principal, kind) in holders {
                    match access::cover(view.role, *principal, self.observed, &self.desired.fleet.waits) {
                        Cover::Covered { .. } | Cover::Denied { .. } | Cover::NotRead => {}
                        Cover::Unknown { why, cause } => {
                            let what = format!("access of {}", view.need.principal);
                            self.findings.insert(Finding::Incomplete { what, why, cause });
                        }
                        Cover::Missing { .. } => {
                            self.drift.insert(Drift::RoleMissing {
                                workspace: workspace.clone(),
                                principal: *principal,
                                role: view.role.id,
                            });
                            let scope = self.grant_scope(view.need.grant_scope);
                            let grant = Grant::new(owner, scope, *principal, *kind, view.role.id);
                            let asked = wanted.entry(grant).or_default();
                            asked.workspaces.insert(workspace.clone());
                            let words: Vec<&str> = view.need.because.iter().map(String::as_str).collect();
                            asked.reasons.insert(format!("{}: {}", view.need.principal, words.join(", ")));
                        }
                    }
                }
            }
        }
        let stronger_first = without_implied(wanted);
        for (grant, Asked { workspaces, reasons }) in stronger_first {
            let action = Action::GrantRole(grant);
            // One document that may act is enough: the grant is what it asks for.
            let active = workspaces
                .iter()
                .filter_map(|id| self.desired.workspaces.get(id))
                .map(|workspace| gates::workspace_active(workspace, self.desired, self.observed.now))
                .min_by_key(gates::caution);
            let mut checks = self.checks(&action, Effort::Repair, active.unwrap_or(GateState::NotLooked));
            checks.look(Gate::Unlocked, gates::unlocked(&action, self.observed));
            self.push(action, Effort::Repair, workspaces, checks);
            if let Some(step) = self.steps.last_mut() {
                step.reasons = reasons;
            }
        }
    }

    fn grant_scope(&self, scope: GrantScope) -> ArmId {
        let account = self.desired.account_id.arm();
        match scope {
            GrantScope::Account => account.clone(),
            GrantScope::ResourceGroup => {
                let group = format!(
                    "/subscriptions/{}/resourceGroups/{}",
                    self.desired.account_id.subscription(),
                    self.desired.account_id.resource_group()
                );
                // A prefix of a valid id is valid.
                ArmId::parse(&group).unwrap_or_else(|_| account.clone())
            }
        }
    }

    fn key_target(&mut self) -> KeyTarget {
        let identity = |w: &&DesiredWorkspace| w.auth_mode == AuthMode::Identity;
        let back: Vec<&DesiredWorkspace> = self.desired.workspaces.values().filter(|w| !identity(w)).collect();
        match self.desired.account.as_ref().map(|account| (account, account.shared_key_access)) {
            Some((_, DesiredSharedKey::Unmanaged)) => KeyTarget::Keep,
            Some((_, DesiredSharedKey::Enabled)) => KeyTarget::On,
            Some((account, DesiredSharedKey::Disabled)) if !back.is_empty() => {
                let names: Vec<&str> = back.iter().map(|workspace| workspace.name.as_str()).collect();
                let what = format!(
                    "{} asks for the key to be disabled, but {} asks for accesskey: the key keeps its present state",
                    account.name,
                    names.join(", ")
                );
                self.findings.insert(Finding::Contradiction { what: what.clone() });
                KeyTarget::Disputed(what)
            }
            Some((_, DesiredSharedKey::Disabled)) => KeyTarget::Off,
            None if self.desired.workspaces.is_empty() || !back.is_empty() => KeyTarget::Keep,
            None => KeyTarget::Off,
        }
    }

    fn key_on(&mut self, target: &KeyTarget) {
        let Some(account) = self.observed.account.value().and_then(Option::as_ref) else { return };
        if !matches!(target, KeyTarget::On) || account.shared_key.is_on() {
            return;
        }
        self.drift.insert(Drift::SharedKey { desired_on: true, observed: account.shared_key });
        let action = Action::SetSharedKeyAccess { account: self.desired.account_id.clone(), allowed: true };
        let active = gates::account_active(self.desired, self.observed.now);
        let mut checks = self.checks(&action, Effort::Loosen, active);
        checks.look(Gate::Unlocked, gates::unlocked(&action, self.observed));
        self.push(action, Effort::Loosen, BTreeSet::new(), checks);
    }

    fn modes(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>, target: &KeyTarget) {
        for asked in [AuthMode::Identity, AuthMode::AccessKey] {
            for (workspace, own) in self.present().filter(|(workspace, _)| workspace.auth_mode == asked) {
                let views = views.get(&workspace.id).map(Vec::as_slice).unwrap_or_default();
                match asked {
                    AuthMode::Identity => self.forward(workspace, own, views),
                    AuthMode::AccessKey => self.back(workspace, own, target),
                }
            }
        }
    }

    fn forward(&mut self, workspace: &DesiredWorkspace, own: &Workspace, views: &[NeedView<'_>]) {
        if let ServiceGrant::Missing(principal) = needs::service_grant(own, self.observed, &self.desired.fleet.waits)
            && workspace.service_grants != ServiceGrants::Accept
        {
            self.findings.insert(Finding::ServiceGrantMissing { workspace: workspace.id.clone(), principal });
        }
        if own.auth_mode == ObservedAuthMode::Identity {
            return;
        }
        self.mode_drift(workspace, own);
        // In access-key mode on an account whose key is off nobody has access to lose: forward at once.
        let key_off =
            self.observed.account.value().and_then(Option::as_ref).is_some_and(|account| !account.shared_key.is_on());
        if key_off && own.auth_mode == ObservedAuthMode::AccessKey {
            self.findings.insert(Finding::BrokenNow { workspace: workspace.id.clone() });
        }
        let effort = if key_off { Effort::Repair } else { Effort::Tighten };
        let action = Action::SetAuthMode { workspace: workspace.id.clone(), mode: AuthMode::Identity };
        let active = gates::workspace_active(workspace, self.desired, self.observed.now);
        let mut checks = self.checks(&action, effort, active);
        checks.look(Gate::ModeKnown, gates::mode_known(&workspace.id, self.observed));
        if !key_off {
            checks.look(Gate::NeedsCovered, gates::needs_covered(views, self.observed, self.desired));
            checks.look(Gate::NeedsAged, gates::needs_aged(views, self.observed, self.desired));
            let service = gates::service_grant_there(workspace, self.observed, self.desired);
            checks.look(Gate::ServiceGrant, service);
            checks.look(Gate::Compatible, gates::compatible(&workspace.id, self.observed));
        }
        checks.look(Gate::Unlocked, gates::unlocked(&action, self.observed));
        self.push(action, effort, BTreeSet::from([workspace.id.clone()]), checks);
    }

    fn back(&mut self, workspace: &DesiredWorkspace, own: &Workspace, target: &KeyTarget) {
        // An unset mode is Azure's default, the access key, and is left alone.
        if matches!(own.auth_mode, ObservedAuthMode::AccessKey | ObservedAuthMode::Unset) {
            return;
        }
        self.mode_drift(workspace, own);
        let action = Action::SetAuthMode { workspace: workspace.id.clone(), mode: AuthMode::AccessKey };
        let active = gates::workspace_active(workspace, self.desired, self.observed.now);
        let mut checks = self.checks(&action, Effort::Loosen, active);
        checks.look(Gate::ModeKnown, gates::mode_known(&workspace.id, self.observed));
        checks.look(Gate::KeyOn, gates::key_on(self.observed, matches!(target, KeyTarget::On)));
        checks.look(Gate::KeyEffective, gates::key_effective(self.observed, self.desired));
        checks.look(Gate::Unlocked, gates::unlocked(&action, self.observed));
        self.push(action, Effort::Loosen, BTreeSet::from([workspace.id.clone()]), checks);
    }

    fn mode_drift(&mut self, workspace: &DesiredWorkspace, own: &Workspace) {
        self.drift.insert(Drift::AuthMode {
            workspace: workspace.id.clone(),
            desired: workspace.auth_mode,
            observed: own.auth_mode.clone(),
        });
    }

    fn key_off(&mut self, target: &KeyTarget) {
        let agreed = match target {
            KeyTarget::Off => GateState::Open,
            KeyTarget::Disputed(what) => GateState::unmet(what.clone(), "documents that agree"),
            KeyTarget::On | KeyTarget::Keep => return,
        };
        let Some(account) = self.observed.account.value().and_then(Option::as_ref) else { return };
        if !account.shared_key.is_on() {
            return;
        }
        self.drift.insert(Drift::SharedKey { desired_on: false, observed: account.shared_key });
        let action = Action::SetSharedKeyAccess { account: self.desired.account_id.clone(), allowed: false };
        let active = gates::account_active(self.desired, self.observed.now);
        let mut checks = self.checks(&action, Effort::Tighten, active);
        checks.look(Gate::Agreed, (agreed, ReadSet::default()));
        checks.look(Gate::AllOnIdentity, gates::all_on_identity(self.observed, self.desired));
        checks.look(Gate::Unlocked, gates::unlocked(&action, self.observed));
        checks.look(Gate::Listed, gates::subscriptions_listed(self.observed));
        checks.look(Gate::NoStoredKeys, gates::no_stored_keys(self.observed));
        checks.look(Gate::KeyIdle, gates::key_idle(self.observed, self.desired));
        self.push(action, Effort::Tighten, BTreeSet::new(), checks);
    }

    /// Own grants of principals that left every document of the account.
    fn revokes(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>) {
        let Some(assignments) = self.observed.assignments.value() else { return };
        let mut kept: BTreeSet<PrincipalId> = BTreeSet::new();
        let mut all_known = self.desired.unplaced.is_empty()
            // A workspace whose document was removed keeps what it has.
            && self.observed.workspaces.keys().all(|id| self.desired.workspaces.contains_key(id))
            && self.desired.workspaces.keys().all(|id| views.contains_key(id));
        for view in views.values().flatten() {
            match &view.holders {
                Resolved::Known(holders) => kept.extend(holders.iter().map(|(principal, _)| *principal)),
                Resolved::Missing(_) | Resolved::Unknown(..) | Resolved::NotRead(_) => all_known = false,
            }
        }
        if self.desired.workspaces.is_empty() || !all_known {
            return;
        }
        let owner = &self.desired.fleet.owner;
        let account = self.desired.account_id.arm();
        let leavers = assignments.iter().filter(|assignment| {
            assignment.scope == *account
                && !kept.contains(&assignment.principal)
                && assignment.condition.is_none()
                && assignment.name == assignment_name(owner, account, assignment.principal, assignment.role)
        });
        for assignment in leavers {
            let (id, principal, role) = (assignment.id.clone(), assignment.principal, assignment.role);
            if !self.desired.fleet.prune {
                self.findings.insert(Finding::GrantUnwanted { assignment: id, principal, role });
                continue;
            }
            let action = Action::RevokeRole { assignment: id, principal, role };
            let active = gates::account_active(self.desired, self.observed.now);
            let mut checks = self.checks(&action, Effort::Loosen, active);
            checks.look(Gate::Unlocked, gates::unlocked(&action, self.observed));
            checks.look(Gate::Listed, gates::subscriptions_listed(self.observed));
            self.push(action, Effort::Loosen, BTreeSet::new(), checks);
        }
    }

    /// The gates that every action has, in the order in which they are shown.
    fn checks(&self, action: &Action, effort: Effort, active: GateState) -> Checks {
        let now = self.observed.now;
        let mut checks = Checks::new(self.look);
        checks.look(Gate::Active, (active, ReadSet::default()));
        checks.look(Gate::Booted, (gates::booted(self.limits, now), ReadSet::default()));
        checks.look(Gate::Settled, (gates::settled(self.limits, now), ReadSet::default()));
        checks.look(Gate::NotRefused, (gates::not_refused(action, self.limits, now), ReadSet::default()));
        let window = gates::window(effort, &self.desired.fleet.change_windows, now);
        checks.look(Gate::Window, (window, ReadSet::default()));
        checks
    }

    fn push(&mut self, action: Action, effort: Effort, workspaces: BTreeSet<WorkspaceId>, checks: Checks) {
        self.wants.add(checks.wants);
        self.steps.push(Step { action, effort, workspaces, reasons: BTreeSet::new(), gates: checks.gates });
    }
}

/// Which documents ask for a grant, and in which words.
#[derive(Clone, Default)]
struct Asked {
    workspaces: BTreeSet<WorkspaceId>,
    reasons: BTreeSet<String>,
}

/// The gates of one step, looked at in order.
struct Checks {
    look: Look,
    gates: Vec<GateCheck>,
    all_open: bool,
    wants: ReadSet,
}

impl Checks {
    fn new(look: Look) -> Self {
        Self { look, gates: Vec::new(), all_open: true, wants: ReadSet::default() }
    }

    /// Adds a gate; what it lacks is asked for only while it may still matter.
    fn look(&mut self, gate: Gate, (state, wants): Judged) {
        if self.all_open || self.look == Look::Everything {
            self.wants.add(wants);
        }
        self.all_open &= state.is_open();
        self.gates.push(GateCheck { gate, state });
    }
}

/// Drops grants whose data actions another planned grant to the same principal brings along.
///
/// Only where the same documents ask for both: a document in observe mode must not hold up another's grant.
fn without_implied(wanted: BTreeMap<Grant, Asked>) -> Vec<(Grant, Asked)> {
    let actions = |grant: &Grant| catalog::find_role(grant.role).map(|role| role.data_actions).unwrap_or_default();
    let implied = |weak: &Grant, asking: &Asked| {
        wanted.iter().any(|(strong, asked)| {
            strong.principal == weak.principal
                && asking.workspaces.is_subset(&asked.workspaces)
                && strong.scope.covers(&weak.scope)
                && actions(strong).len() > actions(weak).len()
                && actions(weak).iter().all(|action| actions(strong).contains(action))
        })
    };
    wanted
        .iter()
        .filter(|(grant, asked)| !implied(grant, asked))
        .map(|(grant, asked)| (grant.clone(), asked.clone()))
        .collect()
}
