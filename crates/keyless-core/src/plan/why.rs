//! Why a principal has, or has not, what it needs of a workspace: one value that can be printed.
//!
//! It is judged by the same code as the gates of the plan, from the same reads. Nothing rests on it, so it may read more:
//! what could be activated, for one.

mod answer;
mod find;
mod judge;

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::desired::KeyDesired;
use crate::gate::ReadSet;
use crate::id::WorkspaceId;
use crate::observed::{Agreement, Observed, Shown};

pub use answer::{Eligible, NeedWhy, Route, Verdict, Why, Word};
pub use find::NobodyFound;

/// What is read first: all that resolves principals, and what is assigned and denied.
#[must_use]
pub fn reads(desired: &KeyDesired, workspace: &WorkspaceId) -> ReadSet {
    let mut reads = super::base_reads(desired);
    reads.denies = true;
    reads.workspaces.insert(workspace.clone());
    // An object id may be that of a compute, even of one that the files do not name.
    reads.computes = BTreeSet::from([workspace.clone()]);
    reads.computes.extend(super::base_reads(desired).computes);
    reads
}

/// Answers as far as `observed` goes; [`Why::wants`] is what would tell more.
///
/// `principal` is an object id, or what the files call a principal of this workspace.
///
/// # Errors
/// [`NobodyFound`] if it is neither, or stands for more than one.
pub fn why(
    desired: &KeyDesired,
    observed: &Observed,
    workspace: &WorkspaceId,
    principal: &str,
) -> Result<Why, NobodyFound> {
    let found = find::find(desired, observed, workspace, principal)?;
    Ok(judge::answer(desired, &as_if_watched(observed), workspace, found, &observed.history))
}

/// A process that answers one question has seen no membership before, and Azure does not tell how old one is; nor has it
/// seen a young grant more than once. The gates hold that against it; here it would say of everybody in a group that
/// nothing is effective, so it is told beside, and one read is enough for a grant.
fn as_if_watched(observed: &Observed) -> Observed {
    let mut observed = observed.clone();
    let often = Agreement { first: Timestamp::MIN, last: observed.now, reads: u32::MAX };
    for assignment in observed.assignments.value().into_iter().flatten() {
        if let Some(made) = assignment.created_on.max(assignment.updated_on) {
            let shown = Shown::Assignment { at: observed.account_id.clone(), id: assignment.id.clone(), made };
            observed.history.agreements.entry(shown).or_insert(often);
        }
    }
    for (principal, groups) in &observed.groups {
        for group in groups.value().into_iter().flatten() {
            observed.history.member_since.entry((*principal, *group)).or_insert(Timestamp::MIN);
            let shown = Shown::Member { principal: *principal, group: *group };
            observed.history.agreements.entry(shown).or_insert(often);
        }
    }
    observed
}
