//! What the shipped planner and pass do, remembered: they are functions of little, asked millions of times.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyless_core::ablate::{self, Ablation};
use keyless_core::action::Action;
use keyless_core::desired::{KeyDesired, Revision};
use keyless_core::gate::ReadSet;
use keyless_core::observed::Observed;
use keyless_core::pass::{self, Effect, Ended, Event, Intent, Job};
use keyless_core::plan::{Limits, Look};

use super::azure::{Act, Azure};
use super::observe::{Names, Seen, Want};

/// What a pass starts from, beside what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Start {
    /// What the files ask.
    pub(crate) want: Want,
    /// Whether the wait after the start is not over.
    pub(crate) booting: bool,
    /// Whether a write of this process may still land.
    pub(crate) unsettled: bool,
    /// How long the process has seen the key on.
    pub(crate) seen: Seen,
}

/// A pass that is about to read again what its step rests on.
#[derive(Clone)]
struct Confirming {
    state: pass::State,
    reads: ReadSet,
    action: Action,
}

/// The shipped code over the abstract Azure.
pub(crate) struct Decider {
    names: Names,
    declared: usize,
    persons: u8,
    gone: BTreeSet<Ablation>,
    rejected: AtomicUsize,
}

/// The start of a pass and what it saw.
type Planned = (Start, Azure);
/// That, and what its confirming reads saw: first of everything else, last of the account and the target.
type Confirmed = (Planned, Azure, Azure, Want);

thread_local! {
    static PLANS: RefCell<HashMap<Planned, Option<Rc<Confirming>>>> = RefCell::default();
    static SENDS: RefCell<HashMap<Confirmed, Option<Act>>> = RefCell::default();
}

impl Decider {
    /// A decider for `declared` workspaces and as many persons, without the rules in `gone`.
    pub(crate) fn new(declared: usize, persons: u8, gone: BTreeSet<Ablation>) -> anyhow::Result<Self> {
        Ok(Self { names: Names::new()?, declared, persons, gone, rejected: AtomicUsize::new(0) })
    }

    /// How many plans were rejected by their second judge.
    pub(crate) fn rejected(&self) -> usize {
        self.rejected.load(Ordering::Relaxed)
    }

    fn step(&self, state: pass::State, event: Event) -> (pass::State, Effect) {
        let (state, effect) = ablate::without(&self.gone, || pass::step(state, event));
        if let Effect::Finish(report) = &effect
            && matches!(report.ended, Ended::Rejected { .. })
        {
            self.rejected.fetch_add(1, Ordering::Relaxed);
        }
        (state, effect)
    }

    fn desired(&self, want: Want) -> KeyDesired {
        self.names.desired(want, self.declared, self.persons)
    }

    fn revision(want: Want) -> Revision {
        Revision(format!("{want:?}"))
    }

    /// The change that a pass over what it sees would make, if its confirming reads bear it out.
    pub(crate) fn plan(&self, start: Start, seen: &Azure) -> Option<Act> {
        let confirming = self.confirming(start, seen)?;
        self.names.act(&confirming.action)
    }

    fn confirming(&self, start: Start, seen: &Azure) -> Option<Rc<Confirming>> {
        let key = (start, *seen);
        if let Some(known) = PLANS.with_borrow(|plans| plans.get(&key).cloned()) {
            return known;
        }
        let made = self.run(start, seen).map(Rc::new);
        PLANS.with_borrow_mut(|plans| plans.insert(key, made.clone()));
        made
    }

    fn run(&self, start: Start, seen: &Azure) -> Option<Confirming> {
        let later = self.names.now().saturating_add(Duration::from_secs(1)).ok();
        let limits = Limits {
            boot_until: later.filter(|_| start.booting),
            unsettled_until: later.filter(|_| start.unsettled),
            ..Limits::default()
        };
        let job = Job { desired: self.desired(start.want), limits, intent: Intent::Converge, look: Look::WhatMatters };
        let unread = Observed::unread(self.names.account().clone(), self.names.now());
        let (mut state, mut effect) = self.step(pass::State::new(job, unread), Event::Begin);
        loop {
            match effect {
                Effect::Read { reads, confirming: Some(action) } => {
                    return Some(Confirming { state, reads: *reads, action });
                }
                Effect::Read { reads, confirming: None } => {
                    let part = self.names.read(&reads, seen, seen, None, start.seen);
                    (state, effect) = self.step(state, self.answer(part, start.want));
                }
                Effect::Unmark | Effect::Send(_) | Effect::Finish(_) => return None,
            }
        }
    }

    fn answer(&self, part: Observed, now_wanted: Want) -> Event {
        Event::Read {
            part: Box::new(part),
            took: Duration::ZERO,
            target_age: Duration::ZERO,
            revision: Self::revision(now_wanted),
        }
    }

    /// The write that leaves after the confirming reads, if one does.
    pub(crate) fn send(
        &self,
        start: Start,
        seen: &Azure,
        early: &Azure,
        late: &Azure,
        now_wanted: Want,
    ) -> Option<Act> {
        let key = ((start, *seen), *early, *late, now_wanted);
        if let Some(known) = SENDS.with_borrow(|sends| sends.get(&key).copied()) {
            return known;
        }
        let sent = self.confirming(start, seen).and_then(|confirming| {
            let Confirming { state, reads, action } = confirming.as_ref().clone();
            let part = self.names.read(&reads, early, late, Names::target(&action), start.seen);
            let (state, effect) = self.step(state, self.answer(part, now_wanted));
            let Effect::Unmark = effect else { return None };
            match self.step(state, Event::Unmarked(Ok(()))).1 {
                Effect::Send(action) => self.names.act(&action),
                _ => None,
            }
        });
        SENDS.with_borrow_mut(|sends| sends.insert(key, sent));
        sent
    }
}
