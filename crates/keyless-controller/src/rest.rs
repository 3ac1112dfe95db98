//! When an account has come to rest, so that `apply` may end: nothing is left to do now, and what is left is not waited for.

use jiff::SignedDuration;
use keyless_core::gate::{Gate, GateState};
use keyless_core::pass::{Ended, RefusedBy, Report, WriteResult};
use keyless_core::plan::{Plan, Standing, Step};
use tokio::time::Instant;

use crate::execute::Passed;
use crate::memory::Memory;

/// How many passes in a row may fail before an account counts as resting where it is.
const TRIES: u32 = 5;

/// How long `apply` waits for gates that time opens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    until: Instant,
}

/// How one account stands towards the end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rest {
    failures: u32,
    rests: bool,
}

impl Rest {
    pub(crate) fn is_final(&self) -> bool {
        self.rests
    }
}

impl Patience {
    pub(crate) fn new(until: Instant) -> Self {
        Self { until }
    }

    /// Judges an account after a pass over it.
    pub(crate) fn judge(&self, before: Rest, passed: &Passed, failed: bool, memory: &Memory) -> Rest {
        let failures = if failed { before.failures + 1 } else { 0 };
        let rests = match passed {
            Passed::Deferred { .. } => false,
            Passed::Finished(report) => self.is_over(report, failed, memory),
        };
        Rest { failures, rests: rests || failures >= TRIES }
    }

    fn is_over(&self, report: &Report, failed: bool, memory: &Memory) -> bool {
        match report.write.as_ref().map(|write| &write.result) {
            // Trying again is the daemon's business.
            Some(WriteResult::Refused(refused)) => return refused.by == RefusedBy::Person,
            Some(WriteResult::DidNotStick { .. }) => return true,
            Some(_) => return false,
            None => {}
        }
        match report.ended {
            Ended::MarkStuck { .. } | Ended::Rejected { .. } => return true,
            Ended::Raced { .. } | Ended::Stopped | Ended::Wrote => return false,
            Ended::Planned => {}
        }
        match report.plan.standing() {
            Standing::Converged => true,
            Standing::Ready => false,
            Standing::Blocked => !failed,
            Standing::Waiting => !report.plan.steps.iter().any(|step| self.waits_for(&report.plan, step, memory)),
        }
    }

    /// Whether a step is worth waiting for: it opens in time, or nothing holds it but this process's own rests.
    fn waits_for(&self, plan: &Plan, step: &Step, memory: &Memory) -> bool {
        let Some(opens) = step.opens_at() else { return false };
        let own = step.gates.iter().all(|check| match check.state {
            GateState::Open | GateState::NotLooked => true,
            GateState::Waiting { .. } => match check.gate {
                Gate::Booted | Gate::Settled => true,
                Gate::NotRefused => memory.time_lifts(&plan.account_id, &step.action),
                _ => false,
            },
            GateState::Unmet { .. } => false,
        });
        let left = SignedDuration::try_from(self.until.saturating_duration_since(Instant::now())).unwrap_or_default();
        own || opens.duration_since(plan.at) <= left
    }
}
