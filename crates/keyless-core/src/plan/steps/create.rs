//! Declared workspaces that do not exist, and whose files say how to make them.
//!
//! They are made on identity-based access: a workspace made without naming the mode on an account whose key is off is
//! broken from birth. Source: Azure/azure-sdk-for-python issue 38536. Whoever needs its data and exists already is
//! granted before; computes and the workspace's own identities come after, as on any workspace.
//!
//! A PUT replaces what it finds, and Azure offers no condition against that. So a step is there only while a direct
//! read, made again right before the write, says that there is no such workspace. What somebody else makes between that
//! read and the write would be overwritten: at most the seconds that confirming reads may be old.

use std::collections::BTreeSet;

use crate::action::{Action, Effort};
use crate::desired::{DesiredWorkspace, PrincipalRef};
use crate::gate::Gate;
use crate::id::WorkspaceId;
use crate::observed::{Observed, Reading};
use crate::plan::gates;
use crate::plan::needs::{self, NeedView};

use super::Planner;

impl<'a> Planner<'a> {
    /// The declared workspaces that are to be made.
    pub(super) fn absent(&self) -> impl Iterator<Item = &'a DesiredWorkspace> + use<'a> {
        let (desired, observed) = (self.desired, self.observed);
        desired
            .workspaces
            .values()
            .filter(move |workspace| workspace.create.is_some() && is_absent(&workspace.id, observed))
    }

    /// A hub comes before its projects, for a project cannot be made without it.
    pub(super) fn create(&mut self) {
        let absent: Vec<&DesiredWorkspace> = self.absent().collect();
        for workspace in absent {
            let Some(create) = &workspace.create else { continue };
            let action = Action::CreateWorkspace { workspace: workspace.id.clone(), create: Box::new(create.clone()) };
            // Like a switch, it is something new for the people at work: windows and halts hold it.
            let effort = Effort::Tighten;
            let active = gates::workspace_active(workspace, self.desired, self.observed.now);
            let views = self.views_before(workspace);
            let mut checks = self.checks(&action, effort, active);
            checks.look(Gate::HubThere, gates::hub_there(create, self.observed));
            checks.look(Gate::NeedsCovered, gates::needs_covered(&views, self.observed, self.desired));
            checks.look(Gate::NeedsAged, gates::needs_aged(&views, self.observed, self.desired));
            self.barriers(&mut checks, &action);
            self.push(action, effort, BTreeSet::from([workspace.id.clone()]), checks);
        }
    }

    /// The needs of whoever exists before the workspace does.
    pub(super) fn views_before(&self, workspace: &'a DesiredWorkspace) -> Vec<NeedView<'a>> {
        let mut views = needs::views(workspace, None, self.observed);
        views.retain(|view| {
            matches!(view.need.principal, PrincipalRef::Object { .. } | PrincipalRef::ManagedIdentity(_))
        });
        views
    }
}

/// Whether a direct read says that there is no such workspace.
pub(super) fn is_absent(id: &WorkspaceId, observed: &Observed) -> bool {
    observed.workspaces.get(id).is_some_and(|entry| matches!(entry.workspace, Reading::Known { value: None, .. }))
}
