//! The gate on the data plane, where the files ask for one.

use crate::gate::Gate;
use crate::plan::gates;

use super::{Checks, Planner};

impl Planner<'_> {
    /// Looked at late, for it costs a request that nothing but this step needs.
    pub(super) fn probed(&self, checks: &mut Checks) {
        if self.desired.data_probe() {
            checks.look(Gate::DataProbed, gates::data_probed(self.observed));
        }
    }
}
