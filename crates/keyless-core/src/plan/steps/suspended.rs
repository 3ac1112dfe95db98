//! Which documents are suspended, and which soon no more: a pause that everybody forgot is drift that nobody mends.

use std::time::Duration;

use jiff::Timestamp;

use crate::desired::{AfterSuspend, Suspend};
use crate::id::WorkspaceId;
use crate::plan::Finding;
use crate::plan::finding::{SuspendStage, Suspended};
use crate::plan::gates;

use super::Planner;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Planner<'_> {
    pub(super) fn suspended(&mut self) {
        let account = self.desired.account.iter().map(|account| (&account.name, None, account.suspend.as_ref()));
        let workspaces = self.desired.workspaces.values();
        let workspaces = workspaces.map(|own| (&own.name, Some(own.id.clone()), own.suspend.as_ref()));
        for (name, workspace, suspend) in account.chain(workspaces) {
            if let Some(found) = suspend.and_then(|suspend| told(name, workspace, suspend, self.observed.now)) {
                self.findings.insert(Finding::Suspended(found));
            }
        }
    }
}

fn told(name: &str, workspace: Option<WorkspaceId>, suspend: &Suspend, now: Timestamp) -> Option<Suspended> {
    let Suspend { reason, until, then } = suspend;
    let within = |span| gates::after(now, span).is_none_or(|then| *until <= then);
    let stage = match then {
        AfterSuspend::Stay if *until <= now => SuspendStage::Overdue,
        AfterSuspend::Resume if *until <= now => {
            gates::after(*until, DAY).is_some_and(|told_until| now < told_until).then_some(SuspendStage::Ended)?
        }
        AfterSuspend::Resume if within(HOUR) => SuspendStage::EndsWithinHour,
        AfterSuspend::Resume if within(DAY) => SuspendStage::EndsWithinDay,
        AfterSuspend::Stay | AfterSuspend::Resume => SuspendStage::Lasts,
    };
    Some(Suspended { name: name.to_owned(), workspace, reason: reason.clone(), until: *until, stage })
}
