//! What the log says of a difference that nobody saw come: the last write of the resource, whoever made it.
//!
//! Since nobody knows when the setting was last as it should be, less can be claimed than of a difference that was seen to
//! come: that somebody set the value only where the log holds the body, or where just the missing grant was taken away.

use std::collections::BTreeSet;
use std::fmt;

use super::{Attribution, Evidence, Window, evidence, named};
use crate::id::{ArmId, StorageAccountId};
use crate::observed::Change;
use crate::plan::Drift;

/// The assignments whose removal comes into question for a role that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removals {
    /// Those made here or above.
    pub at: StorageAccountId,
    /// The very grants that the plan makes, by their ids in lower case: their names follow from principal, role and scope.
    pub grants: BTreeSet<String>,
}

/// The last write that the log has of what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWrite {
    /// Who, when and how. It is `proven` where the log says that this write brought the difference about.
    pub by: Attribution,
    /// Whether it is a write of the identity that asks.
    pub own: bool,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Set,
    Removed,
    Possible,
    Silent,
    RemovedSome,
}

/// The last write of what differs within the window; `None` where the log has none that could have brought it about.
///
/// `resource` is [`super::resource`] of the drift. What came before a write that is known to have set another value is of
/// no account, and so is a proof that a later write of our own, which sets what the files ask, has overtaken.
#[must_use]
pub fn last_write(
    drift: &Drift,
    resource: Option<&ArmId>,
    removals: &Removals,
    changes: &[Change],
    window: Window,
) -> Option<LastWrite> {
    let mut candidates: Vec<(Evidence, &Change)> = changes
        .iter()
        .filter(|change| change.at >= window.from && change.at <= window.to)
        .filter(|change| match resource {
            Some(id) => change.resource == id.folded(),
            None => reaches(change, &removals.at),
        })
        .filter_map(|change| Some((evidence(drift, change)?, change)))
        .filter_map(|(evidence, change)| match drift {
            // An assignment that was made is none that is missing, and which one was removed only its name tells.
            Drift::RoleMissing { .. } if evidence != Evidence::Proof => None,
            Drift::RoleMissing { .. } if !removals.grants.contains(&change.resource) => {
                Some((Evidence::Possible, change))
            }
            _ => Some((evidence, change)),
        })
        .collect();
    candidates.sort_by_key(|(_, change)| change.at);
    if let Some(cleared) = candidates.iter().rposition(|(evidence, _)| *evidence == Evidence::Against) {
        candidates.drain(..=cleared);
    }
    let overtaken = candidates
        .iter()
        .filter(|(evidence, change)| *evidence == Evidence::Possible && change.own && change.policies.is_empty())
        .map(|(_, change)| change.at)
        .max();
    let rank = |(evidence, change): &(Evidence, &Change)| {
        let proves = *evidence == Evidence::Proof && overtaken.is_none_or(|at| change.at > at);
        (if proves { Evidence::Proof } else { (*evidence).min(Evidence::Possible) }, change.at)
    };
    let best = candidates.iter().max_by_key(|candidate| rank(candidate))?;
    let ((evidence, _), (_, change)) = (rank(best), best);
    let how = match (drift, evidence) {
        (Drift::RoleMissing { .. } | Drift::DatastoreMissing { .. }, Evidence::Proof) => How::Removed,
        (Drift::RoleMissing { .. }, _) => How::RemovedSome,
        (_, Evidence::Proof) => How::Set,
        (_, Evidence::Silent | Evidence::Against) => How::Silent,
        (_, Evidence::Possible) => How::Possible,
    };
    let by = named(evidence, change, candidates.iter().map(|(_, other)| *other));
    Some(LastWrite { by, own: change.own && change.policies.is_empty(), how })
}

/// Whether it is about an assignment that reaches the account.
fn reaches(change: &Change, account: &StorageAccountId) -> bool {
    let Some((scope, _)) = change.resource.rsplit_once("/providers/microsoft.authorization/roleassignments/") else {
        return false;
    };
    ArmId::parse(if scope.is_empty() { "/" } else { scope }).is_ok_and(|scope| scope.covers(account.arm()))
}

impl fmt::Display for LastWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by: Attribution { by, at, .. }, own, how } = self;
        let own = if *own { ", the identity of this run," } else { "" };
        match how {
            How::Set => write!(f, "set by {by}{own} at {at}"),
            How::Removed => write!(f, "removed by {by}{own} at {at}"),
            How::Possible => {
                write!(f, "last written by {by}{own} at {at}; the activity log does not tell which property was set")
            }
            How::Silent => write!(f, "last written by {by}{own} at {at}, in a request that does not name the property"),
            How::RemovedSome => write!(
                f,
                "{by}{own} was the last to remove a role assignment that reached the account, at {at}; the activity log \
                 does not tell whose it was"
            ),
        }
    }
}
