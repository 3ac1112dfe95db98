//! Which groups principals are in, kept for some minutes: nothing but a request for each principal tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use keyless_core::id::{PrincipalId, StorageAccountId};
use keyless_core::observed::{PrincipalType, Reading, RoleAssignment};
use tokio::time::Instant;

/// How long a plan may rest on what was read. Design decision: people change groups seldom, and a write reads again.
const KEPT_FOR: Duration = Duration::from_secs(5 * 60);

/// Where the groups were asked for, and of whom.
type Thing = (StorageAccountId, PrincipalId);

/// What was read, and when.
type Kept = (Instant, Reading<BTreeSet<PrincipalId>>);

/// The groups of principals, as far as assignments at an account show.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    kept: Mutex<BTreeMap<Thing, Kept>>,
}

impl Memberships {
    /// What was read lately.
    pub(crate) fn kept(&self, thing: &Thing) -> Option<Reading<BTreeSet<PrincipalId>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(thing).filter(|(read, _)| read.elapsed() < KEPT_FOR).map(|(_, reading)| reading.clone())
    }

    /// Keeps an answer; a failure is not one, and takes the last answer away.
    pub(crate) fn keep(&self, thing: Thing, reading: &Reading<BTreeSet<PrincipalId>>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody asks for any more is forgotten.
        kept.retain(|_, (read, _)| read.elapsed() < KEPT_FOR);
        match reading {
            Reading::Known { .. } => drop(kept.insert(thing, (Instant::now(), reading.clone()))),
            Reading::Unknown { .. } | Reading::NotRead => drop(kept.remove(&thing)),
        }
    }
}

/// The groups in what is assigned to a principal. What claims to be made to somebody else who is no group is odd and
/// tells nothing.
pub(crate) fn groups_in(assigned: &[RoleAssignment], principal: PrincipalId) -> BTreeSet<PrincipalId> {
    assigned
        .iter()
        .filter(|assignment| match assignment.principal_type {
            None | Some(PrincipalType::Group | PrincipalType::ForeignGroup) => true,
            Some(PrincipalType::User | PrincipalType::ServicePrincipal | PrincipalType::Device) => false,
        })
        .map(|assignment| assignment.principal)
        .filter(|holder| *holder != principal)
        .collect()
}
