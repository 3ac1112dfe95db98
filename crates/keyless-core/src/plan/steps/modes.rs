//! The modes of the workspaces, forward and back.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{Action, Effort};
use crate::desired::{AuthMode, DesiredWorkspace, ServiceGrants};
use crate::gate::Gate;
use crate::id::WorkspaceId;
use crate::observed::{ObservedAuthMode, Workspace};
use crate::plan::gates;
use crate::plan::needs::{self, NeedView, ServiceGrant};
use crate::plan::{Drift, Finding};

use super::Planner;
use super::key::KeyTarget;

impl Planner<'_> {
    pub(super) fn modes(&mut self, views: &BTreeMap<&WorkspaceId, Vec<NeedView<'_>>>, target: &KeyTarget) {
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
        if own.primary_identity.is_none()
            && workspace.cares_for_service_grants()
            && let Some(principal) = own.identity.system
        {
            self.note_unread_grant(own, principal, "the workspace's own identity".to_owned());
        }
        if own.auth_mode == ObservedAuthMode::Identity {
            self.late_computes(workspace, own);
            return;
        }
        self.mode_drift(workspace, own);
        self.incompatible(workspace, own);
        // In access-key mode on an account whose key is off nobody has access to lose: forward at once.
        let key_off = self.observed.key_is_off();
        if key_off && own.auth_mode.is_key() {
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
            checks.look(Gate::Compatible, gates::compatible(workspace, own, self.observed));
            checks.look(Gate::Reachable, gates::network::reachable(own, self.observed));
            self.note_network();
        }
        self.barriers(&mut checks, &action);
        // What mends a workspace that is broken now is not held for a way back to being broken.
        if !key_off {
            self.way_back(&mut checks, &action);
            self.probed(&mut checks);
            self.drained(&mut checks, workspace);
        }
        self.push(action, effort, BTreeSet::from([workspace.id.clone()]), checks);
    }

    fn back(&mut self, workspace: &DesiredWorkspace, own: &Workspace, target: &KeyTarget) {
        // An unset mode is left alone, too.
        if own.auth_mode.is_key() {
            if self.observed.key_is_off() {
                self.findings.insert(Finding::BrokenNow { workspace: workspace.id.clone() });
            }
            self.resync_after(workspace, target);
            return;
        }
        self.mode_drift(workspace, own);
        self.resync_before(workspace, own, target);
        let action = Action::SetAuthMode { workspace: workspace.id.clone(), mode: AuthMode::AccessKey };
        let active = gates::workspace_active(workspace, self.desired, self.observed.now);
        let mut checks = self.checks(&action, Effort::Loosen, active);
        checks.look(Gate::ModeKnown, gates::mode_known(&workspace.id, self.observed));
        checks.look(Gate::KeyOn, gates::key_on(self.observed, matches!(target, KeyTarget::On)));
        checks.look(Gate::KeyEffective, gates::key_effective(self.observed, self.desired));
        checks.look(Gate::KeysTaken, gates::keys_taken(workspace, own, self.observed));
        self.barriers(&mut checks, &action);
        self.push(action, Effort::Loosen, BTreeSet::from([workspace.id.clone()]), checks);
    }

    fn mode_drift(&mut self, workspace: &DesiredWorkspace, own: &Workspace) {
        self.drift.insert(Drift::AuthMode {
            workspace: workspace.id.clone(),
            desired: workspace.auth_mode,
            observed: own.auth_mode.clone(),
        });
    }
}
