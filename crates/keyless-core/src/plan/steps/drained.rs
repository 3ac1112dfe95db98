//! What runs in a workspace that goes to identity: a gate, or advice where the files do not wait for it.

use crate::desired::{DesiredWorkspace, Drain};
use crate::gate::Gate;
use crate::observed::Reading;
use crate::plan::finding::Unseen;
use crate::plan::gates::Rest;
use crate::plan::{Finding, Look, gates};

use super::{Checks, Planner};

impl Planner<'_> {
    /// Looks at what runs, after all other gates: the history of jobs may be long, and is read for this alone.
    pub(super) fn drained(&mut self, checks: &mut Checks, workspace: &DesiredWorkspace) {
        match workspace.drain {
            Drain::Wait => {
                let rest = if checks.all_open { Rest::Open } else { Rest::Shut };
                checks.look(Gate::Drained, gates::drained(&workspace.id, self.observed, rest));
            }
            Drain::Ignore => self.note_running(workspace),
        }
    }

    /// Nothing waits, so only a plan for people has jobs read, and but a page of them.
    fn note_running(&mut self, workspace: &DesiredWorkspace) {
        let (wants, running) = gates::unwaited(&workspace.id, self.observed);
        if self.look == Look::Everything {
            self.wants.add(wants);
        }
        let entry = self.observed.workspaces.get(&workspace.id);
        if let Some(Reading::Unknown { why, cause }) = entry.and_then(|entry| entry.glimpse.failed::<()>()) {
            let what = Unseen::Jobs(workspace.id.clone());
            self.findings.insert(Finding::Unseen { what, why, cause });
        }
        if !running.is_empty() {
            self.findings.insert(Finding::Running { workspace: workspace.id.clone(), what: running });
        }
    }
}
