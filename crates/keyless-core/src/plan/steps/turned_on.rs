//! Why somebody turned a key on again: a missing role is often mended so, and the role is still missing then.
//!
//! Source: <https://github.com/Azure-Samples/microsoft-foundry-baseline/issues/15>. What was refused before and which
//! declared roles are missing is all that can be known; metrics tell the service and the call, and never who asked.

use crate::catalog;
use crate::observed::{BackOn, Reading, ServiceUse, StorageService};
use crate::plan::finding::TurnedOn;
use crate::plan::{Drift, Finding, gates};

use super::Planner;

impl Planner<'_> {
    /// Asks for what was refused before the key came back on, and tells it.
    pub(super) fn turned_on(&mut self) {
        let against_files = |drift: &Drift| matches!(drift, Drift::SharedKey { desired_on: false, .. });
        let Some(back_on) = self.observed.history.back_on else { return };
        if !self.drift.iter().any(against_files) {
            return;
        }
        let BackOn { watched: _, seen } = back_on;
        let from = back_on.from(self.desired.fleet.waits.watch);
        let mut causes = Vec::new();
        let unknown = match &self.observed.denials {
            Reading::NotRead => {
                self.wants.denials = true;
                return;
            }
            Reading::Unknown { why, cause: _ } => Some(format!("what was refused could not be read: {why}")),
            Reading::Known { value, .. } => {
                let refused = value.uses.iter().filter(|one| one.refused && one.traffic.count > 0);
                causes.extend(refused.map(refusals));
                (!value.complete).then(|| "the metrics are not complete".to_owned())
            }
        };
        let missing = self.drift.iter().filter_map(|drift| match drift {
            Drift::RoleMissing { workspace, principal, role } => {
                Some(format!("{principal} lacks {} that {} declares", catalog::role_name(*role), workspace.name()))
            }
            _ => None,
        });
        let missing: Vec<String> = missing.collect();
        if !missing.is_empty() {
            causes.push(gates::listed(&missing));
        }
        self.findings.insert(Finding::TurnedOn(TurnedOn { seen, from, causes, unknown }));
    }
}

fn refusals(one: &ServiceUse) -> String {
    let ServiceUse { service, api, signed, refused: _, traffic } = one;
    let service = service.map_or("a service that is not told", StorageService::as_str);
    let api = if api.is_empty() { String::new() } else { format!(" {api}") };
    let last = traffic.last.map(|last| format!(", the last in the hour to {last}")).unwrap_or_default();
    format!("{service}{api} with {} was refused {} times{last}, of whom is not told", signed.as_str(), traffic.count)
}
