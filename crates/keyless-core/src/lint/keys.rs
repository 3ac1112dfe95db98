//! That a workspace which goes back to the key has the keys that the account takes.

use crate::desired::KeyDesired;
use crate::observed::{Account, Observed, Workspace};

use super::{Rule, Verdict};

pub(super) fn judge(
    own: &Workspace,
    account: &Account,
    desired: &KeyDesired,
    observed: &Observed,
    found: &mut Verdict,
) {
    let present = account.key_times;
    // Both keys were there when it was made, so it was made with them.
    let born_with = [present.key1, present.key2]
        .iter()
        .all(|made| made.zip(own.created_at).is_some_and(|(made, born)| made < born));
    let taken = observed.history.keys_taken.get(&own.id).is_some_and(|taken| taken.keys == Some(present));
    let accepted = desired.workspaces.get(&own.id).and_then(|document| document.accept_stale_keys.as_ref());
    let accepted = accepted.is_some_and(|accepted| observed.latest() < accepted.until);
    found.demand(born_with || taken || accepted, Rule::Facts, "the workspace may have keys of before");
}
