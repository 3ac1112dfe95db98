//! Why a principal has, or has not, what it needs of a workspace: one value that can be printed.
//!
//! It is judged by the same code as the gates of the plan, from the same reads. Nothing rests on it, so it may read more:
//! what could be activated, for one.

mod answer;
mod find;
mod judge;

use std::collections::BTreeSet;

use crate::desired::KeyDesired;
use crate::gate::ReadSet;
use crate::id::WorkspaceId;
use crate::observed::Observed;

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
    Ok(judge::answer(desired, observed, workspace, found))
}
