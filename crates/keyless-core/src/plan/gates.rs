//! One pure function for each gate: desired and observed in, open or not and why out.
//!
//! [`workspace`] guards a switch of one workspace, [`datastore`] a datastore's credential, [`account`] and [`mod@key_idle`] the
//! flag of the account, [`write`] every change.
//!
//! Every plan asks for the account and for the workspaces of the files while they are not read, so a gate that lacks only those
//! asks for nothing.

mod account;
mod back;
pub(super) mod barriers;
mod compatible;
mod datastore;
mod drained;
mod fight;
mod hub;
mod key_idle;
mod keys;
pub(super) mod leaver;
pub(super) mod network;
mod probed;
pub(super) mod tenant;
mod workspace;
mod write;

use jiff::{SignedDuration, Timestamp};

use crate::gate::{GateState, ReadSet};

pub(super) use account::{all_on_identity, no_stored_keys, subscriptions_listed};
pub(super) use back::went_back;
pub(super) use compatible::{compatible, detect};
pub(super) use datastore::{access_judged, accounts_of, on_identity, one_way_accepted};
pub(super) use drained::{Rest, drained, unwaited};
pub(super) use fight::no_fight;
pub(super) use hub::hub_there;
pub(super) use key_idle::key_idle;
pub(super) use keys::{is_owed, keys_taken, staleness};
pub(super) use probed::data_probed;
pub(super) use workspace::{key_effective, key_on, mode_known, needs_aged, needs_covered, service_grant_there};
pub(super) use write::{account_active, booted, caution, not_refused, settled, unlocked, window, workspace_active};

/// How a gate stands, and which reads would tell where it is [`GateState::NotLooked`].
pub(in crate::plan) type Judged = (GateState, ReadSet);

pub(in crate::plan) fn told(state: GateState) -> Judged {
    (state, ReadSet::default())
}

pub(in crate::plan) fn lacks(reads: ReadSet) -> Judged {
    (GateState::NotLooked, reads)
}

pub(in crate::plan) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

pub(in crate::plan) fn after(start: Timestamp, wait: std::time::Duration) -> Option<Timestamp> {
    SignedDuration::try_from(wait).ok().and_then(|wait| start.checked_add(wait).ok())
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn five_names_are_all_named_and_the_rest_is_counted() {
        let names = |count: usize| (1..=count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(listed(&names(5)), "1, 2, 3, 4, 5");
        assert_eq!(listed(&names(7)), "1, 2, 3, 4, 5 and 2 more");
    }
}
