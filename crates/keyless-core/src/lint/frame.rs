//! What a plan is about.

use crate::desired::KeyDesired;
use crate::observed::Observed;
use crate::plan::Plan;

use super::{Rule, Verdict};

pub(super) fn judge(desired: &KeyDesired, observed: &Observed, plan: &Plan, found: &mut Verdict) {
    found.demand(
        plan.account_id == desired.account_id && plan.account_id == observed.account_id,
        Rule::Frame,
        "the plan, the files and the observation are about different accounts",
    );
    found.demand(plan.revision == desired.revision, Rule::Frame, "the plan is of another revision of the files");
    found.demand(plan.at == observed.now, Rule::Frame, "the plan is of another moment than the observation");
}
