//! That the data plane answered the controller's own identity, where the files ask for that.

use crate::action::Action;
use crate::desired::{AuthMode, KeyDesired};
use crate::observed::Observed;

use super::{Rule, Verdict};

/// Whether the action has to wait for an answer of the data plane; where the key is off, nobody has access to lose.
pub(super) fn waits(action: &Action, key_is_off: bool, desired: &KeyDesired) -> bool {
    let own = desired.account.as_ref().and_then(|document| document.data_probe);
    let asked = own.unwrap_or(desired.fleet.data_probe);
    let tightens = match action {
        Action::SetAuthMode { mode: AuthMode::Identity, .. } => !key_is_off,
        Action::SetSharedKeyAccess { allowed: false, .. } => true,
        _ => false,
    };
    asked && tightens
}

/// It was read, and let in.
pub(super) fn judge(action: &Action, key_is_off: bool, desired: &KeyDesired, observed: &Observed, found: &mut Verdict) {
    if waits(action, key_is_off, desired) {
        let answered = observed.data_probe.value().is_some();
        found.demand(answered, Rule::Facts, "the data plane is not known to let keyless in");
    }
}
