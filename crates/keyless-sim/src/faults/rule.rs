//! One rule: which requests it means, which of those it strikes, and with what.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::faults::kind::Fault;
use crate::faults::target::{Pattern, Target};
use crate::options::Speed;
use crate::time;

/// Which requests a fault strikes, and how often.
#[derive(Debug, Clone)]
pub struct FaultRule {
    pattern: Pattern,
    fault: Fault,
    when: When,
    times: Option<u32>,
    times_per_resource: Option<u32>,
    after: Duration,
    until: Option<Duration>,
    state: State,
}

/// Which of the requests that are meant.
#[derive(Debug, Clone, PartialEq)]
enum When {
    Chance(f64),
    /// Ordinals, from 1.
    Calls(Vec<u32>),
    /// All behind so many.
    Behind(u32),
}

#[derive(Debug, Clone)]
struct State {
    rng: ChaCha8Rng,
    seen: u32,
    struck: u32,
    per_resource: BTreeMap<String, u32>,
    from: Timestamp,
    to: Timestamp,
}

impl Default for State {
    fn default() -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(0),
            seen: 0,
            struck: 0,
            per_resource: BTreeMap::new(),
            from: Timestamp::MIN,
            to: Timestamp::MAX,
        }
    }
}

impl FaultRule {
    /// Strikes every request of `method` (`*` for any) whose operation template ends with `operation`, for ever.
    pub fn new(method: &str, operation: &str, fault: Fault) -> Self {
        Self::of(Pattern::new(method, operation), fault)
    }

    pub(crate) fn of(pattern: Pattern, fault: Fault) -> Self {
        Self {
            pattern,
            fault,
            when: When::Behind(0),
            times: None,
            times_per_resource: None,
            after: Duration::ZERO,
            until: None,
            state: State::default(),
        }
    }

    /// Leaves the first `count` such requests alone; takes the place of `chance` and `calls`.
    #[must_use]
    pub fn skip(mut self, count: u32) -> Self {
        self.when = When::Behind(count);
        self
    }

    /// Strikes these of the requests that it means, counted from 1; takes the place of `chance` and `skip`.
    #[must_use]
    pub fn calls(mut self, calls: impl IntoIterator<Item = u32>) -> Self {
        self.when = When::Calls(calls.into_iter().collect());
        self
    }

    /// Strikes with this chance, drawn from a stream of the rule's own; takes the place of `skip` and `calls`.
    #[must_use]
    pub fn chance(mut self, chance: f64) -> Self {
        self.when = When::Chance(if chance.is_finite() { chance.clamp(0.0, 1.0) } else { 0.0 });
        self
    }

    /// Strikes at most `count` times.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }

    /// Strikes each path at most `count` times.
    #[must_use]
    pub fn times_per_resource(mut self, count: u32) -> Self {
        self.times_per_resource = Some(count);
        self
    }

    /// Strikes nothing until so long after the start.
    #[must_use]
    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// Strikes nothing from so long after the start on.
    #[must_use]
    pub fn until(mut self, until: Duration) -> Self {
        self.until = Some(until);
        self
    }

    pub(crate) fn fault(&self) -> &Fault {
        &self.fault
    }

    /// What tells this rule from others: where its random stream comes from.
    pub(crate) fn identity(&self) -> String {
        let Self { pattern, fault, when, times, times_per_resource, after, until, state: _ } = self;
        format!("{pattern:?} {fault:?} {when:?} {times:?} {times_per_resource:?} {after:?} {until:?}")
    }

    /// Makes the rule ready. `twin` counts equal rules before it, so that those draw differently.
    pub(crate) fn begin(&mut self, seed: u64, twin: usize, start: Timestamp, speed: Speed) {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(twin.to_le_bytes());
        hash.update(self.identity());
        self.state = State {
            rng: ChaCha8Rng::from_seed(hash.finalize().into()),
            from: time::after(start, speed.shorten(self.after)),
            to: self.until.map_or(Timestamp::MAX, |until| time::after(start, speed.shorten(until))),
            ..State::default()
        };
    }

    /// Sees a request. Whether another rule strikes it changes nothing here: as many draws are made.
    pub(crate) fn fires(&mut self, now: Timestamp, target: &Target<'_>, resource: &str) -> bool {
        if !self.pattern.matches(target) || !self.fault.suits(target) {
            return false;
        }
        let state = &mut self.state;
        state.seen = state.seen.saturating_add(1);
        let meant = match &self.when {
            When::Chance(chance) => state.rng.random_bool(*chance),
            When::Calls(calls) => calls.contains(&state.seen),
            When::Behind(count) => state.seen > *count,
        };
        meant
            && state.from <= now
            && now < state.to
            && self.times.is_none_or(|times| state.struck < times)
            && self.times_per_resource.is_none_or(|times| state.per_resource.get(resource).is_none_or(|n| *n < times))
    }

    /// Lets a request pass that the rule cannot strike: a draw is made and thrown away.
    pub(crate) fn misses(&mut self, target: &Target<'_>) {
        if let When::Chance(chance) = self.when
            && self.pattern.matches(target)
            && self.fault.suits(target)
        {
            self.state.rng.random_bool(chance);
        }
    }

    /// Counts a strike, and draws what the fault may want to draw.
    pub(crate) fn strike(&mut self, resource: &str) -> u64 {
        self.state.struck = self.state.struck.saturating_add(1);
        if self.times_per_resource.is_some() {
            *self.state.per_resource.entry(resource.to_owned()).or_default() += 1;
        }
        // Drawn aside, so that a strike does not move the stream that decides about the next.
        let mut aside = self.state.rng.clone();
        aside.set_stream(u64::from(self.state.struck));
        aside.next_u64()
    }
}
