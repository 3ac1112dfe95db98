//! The model: a controller, the abstract Azure, writes that outlive their sender, and what goes wrong.

use std::collections::BTreeSet;

use keyless_core::ablate::Ablation;
use stateright::{Model, Property};

use super::around::Around;
use super::azure::{Act, Azure, Flag, Mode, PERSONS, Role, UNDECLARED};
use super::decide::{Decider, Start};
use super::foreign::Foreign;
use super::observe::{Seen, Want};
use super::settle;

/// How large the world is, and how often what may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Config {
    /// Declared workspaces, 1 or 2.
    pub(crate) workspaces: usize,
    /// Persons who work through them, 1 or 2.
    pub(crate) persons: u8,
    /// What the files ask at first.
    pub(crate) want: Want,
    /// Whether the world begins as it ends on the other way, rather than as Azure makes it.
    pub(crate) from_the_end: bool,
    /// What a richer world begins with; somebody else may change all of it, and the files may set the kill switch.
    pub(crate) rich: Option<Rich>,
    /// How often each thing may happen.
    pub(crate) budget: Budget,
}

/// What a richer world begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rich {
    /// The mode of a workspace that no document declares, if there is one.
    pub(crate) undeclared: Option<Mode>,
    /// What else stands there.
    pub(crate) around: Around,
}

/// What is left of each thing that may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// The process dies.
    pub(crate) crashes: u8,
    /// An answer is lost.
    pub(crate) lost: u8,
    /// A pass sees what was so before the last change.
    pub(crate) stale: u8,
    /// Somebody else changes something.
    pub(crate) foreign: u8,
    /// The files change their mind.
    pub(crate) flips: u8,
}

/// A write that left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Flight {
    act: Act,
    /// Whether the process still waits for its answer.
    awaited: bool,
    /// Whether Azure has carried it out.
    landed: bool,
    /// Whether somebody else changed something since its gates were read.
    raced: bool,
}

impl Flight {
    /// Whether the process still waits for its answer.
    pub(crate) fn is_awaited(self) -> bool {
        self.awaited
    }
}

/// Where the controller stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Between passes.
    Idle,
    /// A step is open by what was seen.
    Planned {
        /// What was seen.
        seen: Azure,
        /// What the files asked.
        want: Want,
    },
    /// Everything but the account and the target was read again.
    Halfway {
        /// What was seen at first.
        seen: Azure,
        /// What was seen then.
        early: Azure,
        /// What the files asked at first.
        want: Want,
        /// Whether somebody else changed something since.
        raced: bool,
    },
    /// The write is to leave.
    Ready {
        /// Which.
        act: Act,
        /// Whether somebody else changed something since its gates were read.
        raced: bool,
    },
    /// Its answer is awaited.
    Waiting,
}

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The account.
    pub(crate) azure: Azure,
    /// The same before its last change, while stale reads may happen.
    pub(crate) older: Option<Azure>,
    /// What the files ask.
    pub(crate) want: Want,
    /// The controller.
    pub(crate) stage: Stage,
    /// Whether the wait after its start is not over.
    pub(crate) booting: bool,
    /// Whether a write of its own may still land.
    pub(crate) unsettled: bool,
    /// How long it has seen the key on.
    pub(crate) seen: Seen,
    /// Writes that left, oldest first.
    pub(crate) flights: Vec<Flight>,
    /// What may still go wrong.
    pub(crate) budget: Budget,
    /// Whether somebody else turned the key on and it may not work yet.
    pub(crate) fresh_by_other: bool,
    /// The first thing that must not be and was.
    pub(crate) broken: Option<&'static str>,
    /// Whether a write that was raced took something from somebody.
    pub(crate) raced_loss: bool,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// A pass sees everything as it is.
    Observe,
    /// A pass sees everything as it was before the last change.
    ObserveOld,
    /// The first confirming reads.
    ConfirmEarly,
    /// The last ones.
    ConfirmLate,
    /// The write leaves.
    Send,
    /// Azure carries a write out.
    Land(u8),
    /// Azure never carries it out.
    Drop(u8),
    /// The answer arrives.
    Answer,
    /// It does not.
    LoseAnswer,
    /// The process dies and another starts.
    Crash,
    /// The wait after the start is over.
    BootOver,
    /// The wait after a lost answer is over.
    SettleOver,
    /// The key has been on for long enough, as far as the process saw.
    KeyEffective,
    /// A grant comes to work.
    RoleWorks(u8),
    /// The key comes to work.
    KeyWorks,
    /// Nobody has signed with the key for long enough.
    GoQuiet,
    /// A workspace signs with the key.
    UseKey,
    /// The files ask for another thing.
    Flip(Want),
    /// The job comes to its end.
    JobEnds,
    /// Somebody else changes something.
    Foreign(Foreign),
}

/// The property that safety is.
pub(crate) const SAFE: &str = "nothing that must not be is";

/// What has to happen somewhere, or the model explores too little.
pub(crate) const REACHED: [&str; 8] = [
    "a grant is made",
    "a workspace goes to identity",
    "a workspace goes back to the key",
    "the key goes off",
    "the key goes on",
    "somebody else's change races a write and costs access",
    "the key is off",
    "a write of a dead process may still land",
];

/// What is held against every state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// That nothing is that must not be.
    Safety,
    /// And that it comes to what the files ask.
    Everything,
}

/// The controller in its world.
pub(crate) struct System {
    config: Config,
    held: Held,
    decider: Decider,
    known: settle::Known,
}

impl System {
    /// The system of a configuration.
    pub(crate) fn new(config: Config, gone: BTreeSet<Ablation>, held: Held) -> anyhow::Result<Self> {
        let decider = Decider::new(config.workspaces, config.persons, gone)?;
        Ok(Self { config, held, decider, known: settle::Known::default() })
    }

    /// What a pass starts from.
    pub(crate) fn start(state: &State, want: Want) -> Start {
        Start { want, booting: state.booting, unsettled: state.unsettled, seen: state.seen }
    }

    /// The shipped code.
    pub(crate) fn decider(&self) -> &Decider {
        &self.decider
    }

    /// What was found out of states left alone.
    pub(crate) fn known(&self) -> &settle::Known {
        &self.known
    }

    /// The configuration.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    fn azure(&self) -> Azure {
        let (mode, flag) = match (self.config.want, self.config.from_the_end) {
            (Want::Forward | Want::Held, _) => (Mode::Key, Flag::On),
            (Want::Back, false) => (Mode::Id, Flag::On),
            (Want::Back, true) => (Mode::Id, Flag::Off),
        };
        let flag = if self.config.want == Want::Forward && self.config.from_the_end { Flag::Off } else { flag };
        let mut modes = [None; 3];
        for place in modes.iter_mut().take(self.config.workspaces) {
            *place = Some(mode);
        }
        let mut roles = [Role::Works; PERSONS];
        if self.config.want == Want::Forward {
            for role in roles.iter_mut().take(usize::from(self.config.persons)) {
                *role = Role::Absent;
            }
        }
        let mut around = Around::default();
        if let Some(rich) = self.config.rich {
            modes[UNDECLARED] = rich.undeclared;
            around = rich.around;
        }
        Azure { flag, modes, roles, key_user: false, quiet: true, around }.settled()
    }

    /// What the files may ask next.
    fn other_wants(&self, want: Want) -> &'static [Want] {
        match (want, self.config.rich.is_some()) {
            (Want::Forward, true) => &[Want::Back, Want::Held],
            (Want::Forward, false) => &[Want::Back],
            (Want::Back | Want::Held, _) => &[Want::Forward],
        }
    }
}

impl State {
    fn change(&mut self, azure: Azure) {
        if self.azure != azure {
            self.older = (self.budget.stale > 0).then_some(self.azure);
            self.azure = azure;
        }
    }

    fn race(&mut self) {
        for flight in &mut self.flights {
            flight.raced = true;
        }
        match &mut self.stage {
            Stage::Halfway { raced, .. } | Stage::Ready { raced, .. } => *raced = true,
            Stage::Idle | Stage::Planned { .. } | Stage::Waiting => {}
        }
    }

    /// Carries a write out in Azure.
    pub(crate) fn land(&mut self, at: usize) {
        let Some(flight) = self.flights.get(at).copied() else { return };
        if let Some(loss) = self.azure.loss(flight.act) {
            if flight.raced {
                self.raced_loss = true;
            } else {
                self.broken.get_or_insert(loss);
            }
        }
        self.change(self.azure.after(flight.act));
        if flight.awaited {
            if let Some(own) = self.flights.get_mut(at) {
                own.landed = true;
            }
        } else {
            self.flights.remove(at);
        }
    }

    /// Whether a write that nobody waits for may still land.
    pub(crate) fn has_orphan(&self) -> bool {
        self.flights.iter().any(|flight| !flight.awaited)
    }

    /// The process sees the flag.
    fn see(&mut self, flag: Flag) {
        self.seen = match (flag, self.seen) {
            (Flag::Off, _) => Seen::Never,
            (_, Seen::Never) => Seen::Lately,
            (_, seen) => seen,
        };
    }

    /// A pass sees `azure`.
    pub(crate) fn observe(&mut self, system: &System, azure: Azure) {
        self.see(azure.flag);
        let start = System::start(self, self.want);
        if system.decider.plan(start, &azure).is_some() {
            self.stage = Stage::Planned { seen: azure, want: self.want };
        }
    }

    /// The last confirming reads, and what follows from them.
    pub(crate) fn confirm(&mut self, system: &System) {
        let Stage::Halfway { seen, early, want, raced } = self.stage else { return };
        let start = System::start(self, want);
        self.stage = Stage::Idle;
        let Some(act) = system.decider.send(start, &seen, &early, &self.azure, self.want) else { return };
        if want != self.want {
            self.broken.get_or_insert("a write leaves that the files no longer ask for");
        }
        if self.want == Want::Held {
            self.broken.get_or_insert("a write leaves although the kill switch is set");
        }
        if !raced && self.azure.after(act) == self.azure {
            self.broken.get_or_insert("a write leaves that changes nothing");
        }
        // Off and on again by others between two looks: nothing that Azure tells shows it, so it counts as a race.
        let unseen = self.fresh_by_other && self.seen == Seen::Long && matches!(act, Act::SetMode(_, Mode::Key));
        self.stage = Stage::Ready { act, raced: raced || unseen };
    }

    /// The write leaves.
    pub(crate) fn send(&mut self) {
        let Stage::Ready { act, raced } = self.stage else { return };
        if !self.flights.is_empty() {
            self.broken.get_or_insert("a write leaves while another may still land");
        }
        self.flights.push(Flight { act, awaited: true, landed: false, raced });
        self.stage = Stage::Waiting;
    }

    /// Who sent the key off has not seen it on all the while, whatever became of that.
    fn forget_key(&mut self) {
        if self.flights.iter().any(|flight| flight.awaited && flight.act == Act::SetKey(false)) {
            self.seen = Seen::Never;
        }
    }

    /// The answer has arrived, and what was written is read back.
    pub(crate) fn answered(&mut self) {
        self.forget_key();
        if self.flights.iter().any(|flight| flight.awaited && matches!(flight.act, Act::SetKey(_))) {
            self.see(self.azure.flag);
        }
        self.flights.retain(|flight| !flight.awaited);
        self.stage = Stage::Idle;
    }
}

impl Model for System {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            azure: self.azure(),
            older: None,
            want: self.config.want,
            stage: Stage::Idle,
            booting: true,
            unsettled: false,
            seen: Seen::Never,
            flights: Vec::new(),
            budget: self.config.budget,
            fresh_by_other: false,
            broken: None,
            raced_loss: false,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.broken.is_some() {
            return;
        }
        match state.stage {
            Stage::Idle => {
                steps.push(Step::Observe);
                if state.older.is_some() {
                    steps.push(Step::ObserveOld);
                }
            }
            Stage::Planned { .. } => steps.push(Step::ConfirmEarly),
            Stage::Halfway { .. } => steps.push(Step::ConfirmLate),
            Stage::Ready { .. } => steps.push(Step::Send),
            Stage::Waiting => {
                if state.flights.iter().any(|flight| flight.awaited && flight.landed) {
                    steps.push(Step::Answer);
                }
                if state.budget.lost > 0 {
                    steps.push(Step::LoseAnswer);
                }
            }
        }
        for (at, flight) in (0_u8..).zip(&state.flights) {
            if !flight.landed {
                steps.push(Step::Land(at));
            }
            // A write that nobody waits for may never have arrived.
            if !flight.landed && !flight.awaited {
                steps.push(Step::Drop(at));
            }
        }
        if state.budget.crashes > 0 {
            steps.push(Step::Crash);
        }
        // Assumption A3: a write lands within `lateWrite` or never.
        if state.booting && !state.has_orphan() {
            steps.push(Step::BootOver);
        }
        if state.unsettled && !state.has_orphan() {
            steps.push(Step::SettleOver);
        }
        // What this process saw lately has been so for at least as long as it saw it.
        if state.seen == Seen::Lately && state.azure.flag == Flag::On {
            steps.push(Step::KeyEffective);
        }
        for (person, role) in (0_u8..).zip(state.azure.roles) {
            if role == Role::Fresh {
                steps.push(Step::RoleWorks(person));
            }
        }
        if state.azure.flag == Flag::Fresh {
            steps.push(Step::KeyWorks);
        }
        if !state.azure.quiet && !state.azure.key_is_used() {
            steps.push(Step::GoQuiet);
        }
        if state.azure.quiet && state.azure.flag != Flag::Off && state.azure.key_is_needed() {
            steps.push(Step::UseKey);
        }
        if state.azure.around.job {
            steps.push(Step::JobEnds);
        }
        if state.budget.flips > 0 {
            steps.extend(self.other_wants(state.want).iter().map(|want| Step::Flip(*want)));
        }
        if state.budget.foreign > 0 {
            steps.extend(Foreign::all(&self.config, &state.azure).into_iter().map(Step::Foreign));
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Observe => state.observe(self, state.azure),
            Step::ObserveOld => {
                state.budget.stale = state.budget.stale.checked_sub(1)?;
                let old = state.older?;
                state.observe(self, old);
                if state.budget.stale == 0 {
                    state.older = None;
                }
            }
            Step::ConfirmEarly => {
                let Stage::Planned { seen, want } = state.stage else { return None };
                state.stage = Stage::Halfway { seen, early: state.azure, want, raced: false };
            }
            Step::ConfirmLate => state.confirm(self),
            Step::Send => state.send(),
            Step::Land(at) => state.land(usize::from(at)),
            Step::Drop(at) => drop(state.flights.remove(usize::from(at))),
            Step::Answer => state.answered(),
            Step::LoseAnswer => {
                state.budget.lost = state.budget.lost.checked_sub(1)?;
                state.forget_key();
                state.flights.retain(|flight| !(flight.awaited && flight.landed));
                for flight in &mut state.flights {
                    flight.awaited = false;
                }
                state.unsettled = true;
                state.stage = Stage::Idle;
            }
            Step::Crash => {
                state.budget.crashes = state.budget.crashes.checked_sub(1)?;
                state.flights.retain(|flight| !(flight.awaited && flight.landed));
                for flight in &mut state.flights {
                    flight.awaited = false;
                }
                state.booting = true;
                state.unsettled = false;
                state.seen = Seen::Never;
                state.stage = Stage::Idle;
            }
            // What was seen before it was over may have changed unseen.
            Step::BootOver => {
                state.booting = false;
                state.seen = Seen::Never;
            }
            Step::SettleOver => {
                state.unsettled = false;
                state.seen = Seen::Never;
            }
            Step::KeyEffective => state.seen = Seen::Long,
            Step::RoleWorks(person) => {
                let mut azure = state.azure;
                *azure.roles.get_mut(usize::from(person))? = Role::Works;
                state.change(azure);
            }
            Step::KeyWorks => {
                state.fresh_by_other = false;
                state.change(Azure { flag: Flag::On, ..state.azure });
            }
            Step::GoQuiet => state.change(Azure { quiet: true, ..state.azure }),
            Step::UseKey => state.change(Azure { quiet: false, ..state.azure }),
            Step::Flip(want) => {
                state.budget.flips = state.budget.flips.checked_sub(1)?;
                state.want = want;
            }
            Step::JobEnds => {
                let around = Around { job: false, ..state.azure.around };
                state.change(Azure { around, ..state.azure });
            }
            Step::Foreign(what) => {
                state.budget.foreign = state.budget.foreign.checked_sub(1)?;
                if let Foreign::Key(on) = what {
                    state.fresh_by_other = on;
                }
                let azure = what.done(state.azure)?;
                state.change(azure);
                state.race();
            }
        }
        // A state that looks the same is no new one.
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SAFE, |_, state: &State| state.broken.is_none()),
            Property::always(
                "left alone, it reaches what the files ask and stays there",
                |system: &System, state: &State| {
                    system.held == Held::Safety || state.broken.is_some() || settle::reaches(system, state)
                },
            ),
            Property::sometimes(REACHED[0], |_, state: &State| on_the_way(state, |act| matches!(act, Act::Grant(_)))),
            Property::sometimes(REACHED[1], |_, state: &State| {
                on_the_way(state, |act| matches!(act, Act::SetMode(_, Mode::Id)))
            }),
            Property::sometimes(REACHED[2], |_, state: &State| {
                on_the_way(state, |act| matches!(act, Act::SetMode(_, Mode::Key)))
            }),
            Property::sometimes(REACHED[3], |_, state: &State| on_the_way(state, |act| act == Act::SetKey(false))),
            Property::sometimes(REACHED[4], |_, state: &State| on_the_way(state, |act| act == Act::SetKey(true))),
            Property::sometimes(REACHED[5], |_, state: &State| state.raced_loss),
            Property::sometimes(REACHED[6], |_, state: &State| {
                state.azure.flag == Flag::Off && state.flights.is_empty()
            }),
            Property::sometimes(REACHED[7], |_, state: &State| state.has_orphan() && state.booting),
        ]
    }
}

fn on_the_way(state: &State, is: impl Fn(Act) -> bool) -> bool {
    state.flights.iter().any(|flight| is(flight.act))
}
