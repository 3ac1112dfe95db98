//! What is known not to work in a workspace that is about to be switched to identity.

use std::collections::BTreeSet;

use crate::desired::{Acceptance, DesiredWorkspace};
use crate::gate::{GateState, ReadSet};
use crate::incompatibility::{self, Detected, Incompatibility, Severity};
use crate::observed::{BarrierReads, Observed, Reading, Workspace};

use super::tenant::{self, Tenants};
use super::{Judged, lacks, listed, told};

/// [`crate::gate::Gate::Compatible`]. Only rows that block count, and only while nobody accepts them.
pub(in crate::plan) fn compatible(workspace: &DesiredWorkspace, own: &Workspace, observed: &Observed) -> Judged {
    let mut barred = Vec::new();
    let mut ids = BTreeSet::new();
    for row in incompatibility::ALL.iter().filter(|row| row.severity == Severity::Block) {
        let accepted = workspace.accept_incompatible.get(row.id);
        if accepted.is_some_and(|accepted| accepted.holds(observed.latest())) {
            continue;
        }
        match detect(row, workspace, own, observed) {
            // No row that holds a switch rests on roles: what people need is the needs' gate to tell.
            Ok(Detected::No | Detected::NeedsRoles) => {}
            Ok(Detected::Yes(found)) => {
                let ended = accepted.map(ended).unwrap_or_default();
                barred.push(format!("{} ({}{ended})", row.what, listed(&found)));
                ids.insert(row.id);
            }
            Ok(Detected::NeedsComputes) => {
                return lacks(ReadSet { computes: BTreeSet::from([workspace.id.clone()]), ..ReadSet::default() });
            }
            Ok(Detected::NeedsTenants) => {
                let tenants = BTreeSet::from([observed.account_id.subscription()]);
                let barriers = Box::new(BarrierReads { tenants, ..BarrierReads::default() });
                return lacks(ReadSet { barriers, ..ReadSet::default() });
            }
            Err(state) => return told(state),
        }
    }
    if barred.is_empty() {
        return told(GateState::Open);
    }
    let ids = ids.into_iter().collect::<Vec<_>>().join("`, `");
    told(GateState::unmet(
        barred.join("; "),
        format!("what does not work changed, or `acceptIncompatible` in the document with id `{ids}`"),
    ))
}

/// Looks for one row in what was read.
pub(in crate::plan) fn detect(
    row: &Incompatibility,
    workspace: &DesiredWorkspace,
    own: &Workspace,
    observed: &Observed,
) -> Result<Detected, GateState> {
    let computes = match observed.workspaces.get(&workspace.id).map(|entry| &entry.computes) {
        None | Some(Reading::NotRead) => Ok(None),
        Some(Reading::Unknown { why, cause }) => Err(GateState::unknown("computes", why, cause)),
        Some(Reading::Known { value, .. }) => Ok(Some(value.as_slice())),
    };
    let location = observed.account.value().and_then(Option::as_ref).map(|account| account.location.as_str());
    let without = row.detect(own, None, location.unwrap_or_default());
    match without {
        Detected::NeedsComputes => Ok(row.detect(own, computes?, location.unwrap_or_default())),
        Detected::NeedsTenants => match tenant::tenants(own, observed) {
            Tenants::Same | Tenants::Unseen(..) => Ok(Detected::No),
            Tenants::Apart { own, account } => Ok(Detected::Yes(vec![format!("tenant {account}, not {own}")])),
            Tenants::NotRead(_) => Ok(Detected::NeedsTenants),
            Tenants::Unknown(state) => Err(state),
        },
        Detected::No | Detected::Yes(_) | Detected::NeedsRoles => Ok(without),
    }
}

fn ended(Acceptance { owner, until, .. }: &Acceptance) -> String {
    format!("; what {owner} accepted ended at {until}")
}
