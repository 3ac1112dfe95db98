//! The barriers before a step, as gates, and what people should know of them, as findings.

use std::collections::BTreeSet;

use crate::action::Action;
use crate::gate::Gate;
use crate::id::WorkspaceId;
use crate::observed::{LockLevel, ObservedWorkspace, Reading};
use crate::plan::finding::Unseen;
use crate::plan::gates::{self, Judged, barriers, network};
use crate::plan::{Barrier, Finding};

use super::{Checks, Planner};

impl Planner<'_> {
    /// Looks at all that may bar the action.
    pub(super) fn barriers(&mut self, checks: &mut Checks, action: &Action) {
        let locks = (Gate::Unlocked, gates::unlocked(action, self.observed));
        checks.look_together([locks].into_iter().chain(self.rights(action)));
        self.note_barriers(action);
    }

    /// The same without locks, for a step that looks at them among its first gates.
    pub(super) fn rights_and_policies(&mut self, checks: &mut Checks, action: &Action) {
        checks.look_together(self.rights(action));
        self.note_barriers(action);
    }

    fn rights(&self, action: &Action) -> [(Gate, Judged); 2] {
        [
            (Gate::Permitted, barriers::permitted(action, self.observed)),
            (Gate::PolicyAllows, barriers::policy_allows(action, self.observed)),
        ]
    }

    /// Looks at whether the action can be taken back.
    pub(super) fn way_back(&mut self, checks: &mut Checks, action: &Action) {
        checks.look(Gate::WayBack, barriers::way_back(action, self.observed, self.desired));
        let Some(undo) = barriers::undo(action) else { return };
        let words = barriers::policy_words(&undo, self.observed).unwrap_or_default();
        let accepted = self.desired.account.as_ref().and_then(|account| account.accept_one_way.as_ref());
        let accepted = accepted.filter(|accepted| accepted.holds(self.observed.latest()));
        for what in barriers::remarks(&words, accepted.is_some()) {
            let what = format!("on the way back, {what}");
            self.findings.insert(Finding::Barrier { kind: Barrier::Policy, what });
        }
        if let Some(accepted) = accepted
            && !words.is_empty()
        {
            let what = format!("that `{action}` cannot be taken back is {accepted}");
            self.findings.insert(Finding::Barrier { kind: Barrier::OneWay, what });
        }
    }

    /// What people should know of barriers before the action, as far as it was read.
    fn note_barriers(&mut self, action: &Action) {
        let observed = self.observed;
        let place = barriers::place(action, &observed.account_id);
        let failed = [
            (Unseen::Policies(place.clone()), observed.barriers.policies.get(&place).and_then(Reading::failed::<()>)),
            (Unseen::OwnRights(place.clone()), observed.barriers.rights.get(&place).and_then(Reading::failed)),
        ];
        for (what, failed) in failed {
            self.note_unseen(what, failed);
        }
        let words = barriers::policy_words(action, observed).unwrap_or_default();
        for what in barriers::remarks(&words, false) {
            self.findings.insert(Finding::Barrier { kind: Barrier::Policy, what });
        }
        for (deny, sure) in barriers::denials(action, observed).into_iter().flatten() {
            if !sure {
                let what = format!("the deny assignment `{}` at {} may deny {}", deny.name, deny.scope, action.kind());
                self.findings.insert(Finding::Barrier { kind: Barrier::Denial, what });
            }
        }
    }

    /// Whom the network rules let in, where they hold anybody off.
    pub(super) fn note_network(&mut self) {
        let Some(account) = self.observed.account.value().and_then(Option::as_ref) else { return };
        if let Some(what) = network::remark(&account.network) {
            self.findings.insert(Finding::Barrier { kind: Barrier::Network, what });
        }
    }

    /// The workspaces that name the account, whether it is there or not.
    pub(super) fn standing_here(&self) -> BTreeSet<WorkspaceId> {
        let exists = |entry: &ObservedWorkspace| matches!(entry.workspace, Reading::Known { value: Some(_), .. });
        let all = self.observed.workspaces.iter().filter(|(_, entry)| exists(entry));
        all.map(|(id, _)| id.clone()).collect()
    }

    /// An account that is being made, or whose last change failed.
    pub(super) fn note_state(&mut self) {
        let Some(account) = self.observed.account.value().and_then(Option::as_ref) else { return };
        if let Some(state) =
            account.provisioning_state.as_deref().filter(|state| !state.eq_ignore_ascii_case("Succeeded"))
        {
            let what = format!("Azure calls the account `{state}`, not `Succeeded`: changes to it may fail");
            self.findings.insert(Finding::Barrier { kind: Barrier::State, what });
        }
    }

    /// Every lock that was read, and what it bars forward and back.
    pub(super) fn note_locks(&mut self) {
        let account = self.observed.locks.value().into_iter().flatten();
        let own = self.observed.barriers.locks.values().filter_map(Reading::value).flatten();
        for lock in account.chain(own) {
            let bars = match lock.level {
                LockLevel::CanNotDelete => "bars revokes, and nothing on the way forward",
                LockLevel::ReadOnly => "bars every write at or below it, forward and back",
                LockLevel::Other(_) => "is of a level not known here, and counts as read-only",
            };
            let what = format!("the lock {} at {} {bars}", lock.id.name(), lock.scope);
            self.findings.insert(Finding::Barrier { kind: Barrier::Lock, what });
        }
    }

    /// Adds the gate that all grants that may be made now fit below the ceiling.
    pub(super) fn ceiling(&mut self, checks: &mut Checks, action: &Action, due: usize) {
        let Some(subscription) = action.target().subscription() else { return };
        checks.look(Gate::BelowCeiling, barriers::below_ceiling(subscription, due, self.observed));
        let failed = self.observed.barriers.assignment_counts.get(&subscription).and_then(Reading::failed);
        self.note_unseen(Unseen::AssignmentCount(subscription), failed);
    }

    /// A read that an installation may do without; any other failure shuts the gate.
    fn note_unseen(&mut self, what: Unseen, failed: Option<Reading<()>>) {
        if let Some(Reading::Unknown { why, cause }) = failed
            && barriers::is_optional(&cause)
        {
            self.findings.insert(Finding::Unseen { what, why, cause });
        }
    }
}
