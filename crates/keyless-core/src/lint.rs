//! A second opinion on every plan, from rules of its own.
//!
//! The planner makes a plan; this judges it, and [`crate::pass`] sends no write of a plan that it rejects. It shares no
//! judgement with the planner: it reads the same files and the same observation, and knows nothing of how gates are judged
//! or access is reckoned. Its rules say what must be true of a plan at the least, so that a plan of a planner without
//! mistakes is never rejected. A gate that is lost is always seen; one that is forced open or judged wrongly, where what it
//! rests on is simple enough to be looked at twice. Of rights, policies, the way back and the ceiling of
//! grants it judges only that the gate is there.
//!
//! **Invariant:** nothing here uses `crate::access`, `crate::plan::gates`, `crate::plan::needs` or `crate::plan::steps`.

mod asked;
mod carried;
mod drained;
mod facts;
mod frame;
mod grant;
mod instance;
mod keys;
mod network;
mod operation;
mod order;
mod probed;
mod user;

use std::fmt;

use crate::action::Action;
use crate::desired::KeyDesired;
use crate::observed::Observed;
use crate::plan::{Limits, Plan, Step};

/// Which kind of rule a plan breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The plan is about what it was asked for: account, revision, moment.
    Frame,
    /// Every step is something that the files ask for.
    Asked,
    /// The steps stand in an order in which nobody loses access.
    Order,
    /// Every step carries the gates of its kind, each once.
    Carried,
    /// What the step to take rests on is so, by what was read.
    Facts,
}

impl Rule {
    /// The word in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Asked => "asked",
            Self::Order => "order",
            Self::Carried => "carried",
            Self::Facts => "facts",
        }
    }
}

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which kind of rule is broken.
    pub rule: Rule,
    /// The action of the step it is about, if it is about one.
    pub action: Option<Action>,
    /// What is wrong, for people.
    pub why: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Some(action) => write!(f, "{}: {action}: {}", self.rule.as_str(), self.why),
            None => write!(f, "{}: {}", self.rule.as_str(), self.why),
        }
    }
}

/// Everything that is wrong with `plan`; nothing where it may be carried out.
#[must_use]
pub fn lint(desired: &KeyDesired, observed: &Observed, limits: &Limits, plan: &Plan) -> Vec<Violation> {
    let mut found = Verdict::default();
    frame::judge(desired, observed, plan, &mut found);
    order::judge(plan, &mut found);
    let next = plan.next();
    for step in &plan.steps {
        found.step = Some(step.action.clone());
        asked::judge(desired, observed, step, &mut found);
        carried::judge(desired, observed, step, &mut found);
        // Only the first open step is ever taken; a doubt about a later one must not hold a repair before it.
        if next == Some(step) {
            facts::judge(desired, observed, limits, step, &mut found);
        }
    }
    found.violations
}

/// What has been found so far, and which step is being looked at.
#[derive(Default)]
struct Verdict {
    step: Option<Action>,
    violations: Vec<Violation>,
}

impl Verdict {
    fn reject(&mut self, rule: Rule, why: impl Into<String>) {
        self.violations.push(Violation { rule, action: self.step.clone(), why: why.into() });
    }

    /// Rejects unless `holds`.
    fn demand(&mut self, holds: bool, rule: Rule, why: impl Into<String>) {
        if !holds {
            self.reject(rule, why);
        }
    }
}

/// The workspace that a step changes, where it changes one.
fn workspace_of(step: &Step) -> Option<&crate::id::WorkspaceId> {
    match &step.action {
        Action::SetAuthMode { workspace, .. }
        | Action::CreateWorkspace { workspace, .. }
        | Action::ResyncWorkspaceKeys { workspace }
        | Action::SetDatastoreCredential { workspace, .. }
        | Action::CreateDatastore { workspace, .. } => Some(workspace),
        Action::GrantRole(_) | Action::SetSharedKeyAccess { .. } | Action::RevokeRole { .. } => None,
    }
}
