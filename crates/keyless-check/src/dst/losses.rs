//! S1: whose doing it was that somebody was denied.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use keyless_sim::{DenialEvent, Knobs};

use super::foreign::{self, Foreign};
use super::judge::{GRAIN, Judge};
use super::record::{Entry, What};
use super::truth::age;

/// Whether somebody was denied who signed with a key.
fn is_by_key(event: &DenialEvent) -> bool {
    event.cause.starts_with("KeyBased") || event.cause.starts_with("AuthenticationFailed")
}

impl Judge {
    /// S1, over everybody whom the simulator saw denied.
    pub(crate) fn losses(&mut self, events: &[DenialEvent]) {
        for event in events {
            let at: Timestamp = event.at.parse().unwrap_or_default();
            let account = event.account.to_ascii_lowercase();
            match self.cause_of(event, at) {
                Some(number) => {
                    let Some(entry) = self.record.entries.get(number) else { continue };
                    let line = entry.line();
                    if self.draw.breaker {
                        self.count("losses to roles that are slower than they may be");
                    } else if self.late_switches.contains(&number) {
                        self.count("losses of what a key that is off still gave");
                    } else if let Some(foreign) = self.raced_loss(event, &account, entry, at) {
                        let what = format!("raced losses: {}", foreign.kind());
                        self.count(&what);
                    } else {
                        self.broken.push(format!("S1: {event:?}\n    {line}"));
                    }
                }
                None => {
                    // What somebody else does takes as long to work as what keyless does.
                    let Knobs { role_propagation, slow_propagation, key_effect, .. } = &self.draw.knobs;
                    let longest = role_propagation.max.max(slow_propagation.max).max(*key_effect) + GRAIN;
                    let by_key = is_by_key(event);
                    let explained = self.foreign.iter().any(|foreign| {
                        let on = foreign.account.as_deref().is_none_or(|of| of == account);
                        foreign.takes_access(by_key) && on && foreign.at <= at && age(at, foreign.at) <= longest
                    });
                    if explained {
                        self.count("losses to others");
                    } else {
                        self.broken.push(format!("S1: nobody did it: {event:?}"));
                    }
                }
            }
        }
    }

    /// What somebody else did that bears on the write that took somebody's access.
    fn raced_loss(&self, event: &DenialEvent, account: &str, entry: &Entry, at: Timestamp) -> Option<&Foreign> {
        let kinds = foreign::bearing_on(entry.what.as_ref()?, !event.workspace.is_empty());
        self.raced(kinds, account, entry, at)
    }

    /// The write of ours that took effect in the moment of a denial.
    fn cause_of(&self, event: &DenialEvent, at: Timestamp) -> Option<usize> {
        let workspace = event.workspace.to_ascii_lowercase();
        let principal = event.principal.to_ascii_lowercase();
        let account = event.account.to_ascii_lowercase();
        let by_key = is_by_key(event);
        let operation = self.draw.knobs.operation;
        let mut found = None;
        for (number, entry) in self.record.entries.iter().enumerate() {
            let Some(what) = &entry.what else { continue };
            let bases: BTreeSet<Timestamp> = [entry.arrived, entry.lands].into_iter().flatten().collect();
            let within = |from: Duration, to: Duration| {
                bases.iter().any(|base| {
                    let gone = at.duration_since(*base);
                    let bound = |by: Duration| SignedDuration::try_from(by).unwrap_or_default();
                    gone >= bound(from) && gone <= bound(to)
                })
            };
            let exactly =
                |by: Duration| within(by.saturating_sub(Duration::from_millis(2)), by + Duration::from_millis(2));
            let hangs = entry.fault == Some("operationHangs") && within(Duration::ZERO, Duration::from_secs(16 * 60));
            let is = match what {
                What::Mode { workspace: of, identity } => {
                    *of == workspace && by_key != *identity && (exactly(Duration::ZERO) || exactly(operation) || hangs)
                }
                What::Key { account: of, allowed: false } => {
                    *of == account && by_key && exactly(self.draw.knobs.key_effect)
                }
                What::Datastore { workspace: of } => *of == workspace && !by_key && exactly(Duration::ZERO),
                What::Revoke { id } => {
                    let gone = within(Duration::ZERO, self.draw.knobs.role_propagation.max);
                    let holds = |of: &String| {
                        *of == principal || self.truth.groups.get(&principal).is_some_and(|groups| groups.contains(of))
                    };
                    !by_key && gone && id.starts_with(&account) && self.taken.get(id).is_none_or(holds)
                }
                _ => false,
            };
            if is {
                found = Some(number);
            }
        }
        found
    }
}
