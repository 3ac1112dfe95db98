//! What is known not to work in workspaces that go forward, told before they are switched.

use crate::desired::DesiredWorkspace;
use crate::incompatibility::{self, Detected};
use crate::observed::Workspace;
use crate::plan::{Finding, gates};

use super::Planner;

impl Planner<'_> {
    pub(super) fn incompatible(&mut self, workspace: &DesiredWorkspace, own: &Workspace) {
        self.switches.insert(own.kind.clone());
        for row in incompatibility::ALL {
            // What was not read yet is asked for by the gate.
            let Ok(Detected::Yes(found)) = gates::detect(row, workspace, own, self.observed) else { continue };
            let accepted = workspace.accept_incompatible.get(row.id);
            self.findings.insert(Finding::Incompatible {
                workspace: workspace.id.clone(),
                id: row.id,
                found: found.join(", "),
                accepted: accepted.filter(|accepted| accepted.holds(self.observed.now)).map(ToString::to_string),
            });
        }
    }
}
