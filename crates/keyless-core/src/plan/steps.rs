//! The order of the steps and which gates each one has.
//!
//! Forward: grants, mode to identity, credentials out of datastores, key off. Back: key on, keys taken anew, mode to
//! accesskey, leavers' grants. The articles describe the way back in the other order, which leaves a moment in which a
//! workspace wants a key the account refuses.

mod barriers;
mod create;
mod datastores;
mod drained;
mod evidence;
mod grants;
mod holders;
mod incompatible;
mod key;
mod leavers;
pub(super) mod lost;
mod modes;
mod neighbours;
mod probed;
mod resync;
mod revokes;
mod suspended;
mod turned_on;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use crate::ablate::{self, Ablation};
use crate::action::{Action, Effort};
use crate::desired::{DesiredWorkspace, KeyDesired, Need};
use crate::gate::{Gate, GateCheck, GateState, ReadSet};
use crate::id::WorkspaceId;
use crate::observed::{Observed, Reading, Workspace, WorkspaceKind};

use super::gates::{self, Judged};
use super::needs::{self, NeedView};
use super::{Drift, Finding, Limits, Look, Plan, Step};

pub(super) struct Planner<'a> {
    desired: &'a KeyDesired,
    observed: &'a Observed,
    limits: &'a Limits,
    look: Look,
    drift: BTreeSet<Drift>,
    steps: Vec<Step>,
    findings: BTreeSet<Finding>,
    switches: BTreeSet<WorkspaceKind>,
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
            switches: BTreeSet::new(),
            wants: ReadSet::default(),
        }
    }

    pub(super) fn plan(mut self) -> Plan {
        self.failed_reads();
        self.suspended();
        let fights = self.limits.fights.iter().filter(|(_, fight)| fight.until > self.observed.now);
        self.findings.extend(fights.map(|(setting, fight)| {
            Finding::Fought { setting: setting.clone(), fight: fight.clone() } //
        }));
        if matches!(self.observed.account, Reading::Known { value: None, .. }) {
            let made_on_it = self.absent().map(|made| (made.id.clone(), made.location.clone())).collect();
            self.findings.insert(Finding::AccountMissing { workspaces: self.standing_here(), made_on_it });
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
                .chain(self.absent().map(|workspace| (&workspace.id, self.views_before(workspace))))
                .collect();
            let leaving = self.leaving(&views);
            self.grants(&views, &leaving.rest);
            self.create();
            let target = self.key_target();
            self.key_on(&target);
            self.modes(&views, &target);
            self.datastores(&views);
            self.key_off(&target);
            self.revokes(&views, leaving);
            self.service_flags();
            self.lost(&views);
            self.watch();
            self.key_callers();
            self.note_state();
            self.turned_on();
            self.note_locks();
            self.foreign_holders(&views);
            self.neighbours();
        }
        Plan {
            account_id: self.desired.account_id.clone(),
            revision: self.desired.revision.clone(),
            at: self.observed.now,
            drift: self.drift,
            steps: misordered(self.steps),
            findings: self.findings,
            switches: self.switches,
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
            if create::is_absent(id, observed) && self.desired.workspaces.get(id).is_none_or(|w| w.create.is_none()) {
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

    /// The gates that every action has, in the order in which they are shown.
    fn checks(&self, action: &Action, effort: Effort, active: GateState) -> Checks {
        let now = self.observed.now;
        let mut checks = Checks::new(self.look);
        checks.look(Gate::Active, (active, ReadSet::default()));
        checks.look(Gate::Booted, (gates::booted(self.limits, now), ReadSet::default()));
        checks.look(Gate::Settled, (gates::settled(self.limits, now), ReadSet::default()));
        checks.look(Gate::NotRefused, (gates::not_refused(action, self.limits, self.observed), ReadSet::default()));
        checks.look(Gate::NoFight, (gates::no_fight(action, self.limits, now), ReadSet::default()));
        let window = gates::window(effort, &self.desired.fleet.change_windows, self.observed);
        checks.look(Gate::Window, (window, ReadSet::default()));
        checks
    }

    fn push(&mut self, action: Action, effort: Effort, workspaces: BTreeSet<WorkspaceId>, checks: Checks) {
        self.wants.add(checks.wants);
        self.steps.push(Step { action, effort, workspaces, reasons: BTreeSet::new(), gates: checks.gates });
    }
}

/// Puts the steps in an order that others have published, where the rule against it is taken away.
fn misordered(mut steps: Vec<Step>) -> Vec<Step> {
    if ablate::is_gone(Ablation::OffLast) {
        steps.sort_by_key(|step| match step.action {
            Action::SetSharedKeyAccess { allowed: false, .. } => 0,
            Action::GrantRole(_) => 1,
            Action::SetDatastoreCredential { .. } => 2,
            _ => 3,
        });
    }
    if ablate::is_gone(Ablation::OnFirst) {
        steps.sort_by_key(|step| matches!(step.action, Action::SetSharedKeyAccess { allowed: true, .. }));
    }
    steps
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
    fn look(&mut self, gate: Gate, judged: Judged) {
        self.look_together([(gate, judged)]);
    }

    /// Adds gates that are asked for together, because each pass goes back for reads only so often.
    fn look_together(&mut self, gates: impl IntoIterator<Item = (Gate, Judged)>) {
        let may_matter = self.all_open || self.look == Look::Everything;
        for (gate, (state, wants)) in gates {
            if ablate::is_gone(Ablation::Gate(gate)) {
                self.gates.push(GateCheck { gate, state: GateState::Open });
                continue;
            }
            if may_matter {
                self.wants.add(wants);
            }
            self.all_open &= state.is_open();
            self.gates.push(GateCheck { gate, state });
        }
    }
}
