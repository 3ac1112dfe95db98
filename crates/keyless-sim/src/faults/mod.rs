//! What goes wrong between a caller and the cloud: rules that pick requests, and what happens to those.
//!
//! [`Fault`] lists the kinds, [`Faults::parse`] reads a file of rules, [`Faults::full`] has every kind. What a strike
//! does is in `strike`, what lasts for a while in `trouble`.

mod fields;
mod file;
mod json;
mod kind;
mod profile;
mod rule;
pub(crate) mod strike;
pub(crate) mod target;
pub(crate) mod trouble;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

pub use file::FaultsProblem;
pub use kind::{Breadth, Fault, Meanwhile};
pub use rule::FaultRule;
pub(crate) use strike::Struck;

use crate::options::Speed;
use crate::time;
use target::Target;

/// A table of rules; the first that fires on a request decides its fate.
#[derive(Debug, Clone)]
pub struct Faults {
    rules: Vec<FaultRule>,
    seed: Option<u64>,
    until: Option<Duration>,
    end: Timestamp,
}

impl Default for Faults {
    fn default() -> Self {
        Self { rules: Vec::new(), seed: None, until: None, end: Timestamp::MAX }
    }
}

impl Faults {
    /// A table of these rules, tried in order.
    pub fn new(rules: impl IntoIterator<Item = FaultRule>) -> Self {
        Self { rules: rules.into_iter().collect(), ..Self::default() }
    }

    /// Adds a rule behind the others.
    pub fn push(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    /// Where random streams come from; without one, the simulator's seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// So long after the start everything ends: nothing is struck any more, no lock, denial or storm that was a fault
    /// stands, and no late write is still on its way.
    #[must_use]
    pub fn until(mut self, until: Duration) -> Self {
        self.until = Some(until);
        self
    }

    /// The names of the kinds in the table, in order.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.rules.iter().map(|rule| rule.fault().name()).collect()
    }

    /// Starts the table: spans count from here.
    pub(crate) fn begin(&mut self, seed: u64, start: Timestamp, speed: Speed) {
        let seed = self.seed.unwrap_or(seed);
        self.end = self.until.map_or(Timestamp::MAX, |until| time::after(start, speed.shorten(until)));
        let mut twins: BTreeMap<String, usize> = BTreeMap::new();
        for rule in &mut self.rules {
            let twin = twins.entry(rule.identity()).or_default();
            rule.begin(seed, *twin, start, speed);
            *twin += 1;
        }
    }

    /// When everything ends.
    pub(crate) fn end(&self) -> Timestamp {
        self.end
    }

    /// How far back stale lists look at most.
    pub(crate) fn furthest_back(&self) -> Duration {
        let spans = self.rules.iter().filter_map(|rule| match rule.fault() {
            Fault::StaleList { by } => Some(*by),
            _ => None,
        });
        spans.max().unwrap_or_default()
    }

    /// Sees a request that something lasting has refused already: streams go on as if it had come through, so that what
    /// lasts does not shift what strikes later. Ordinals do not: they count what comes through.
    pub(crate) fn miss(&mut self, now: Timestamp, target: &Target<'_>) {
        if now < self.end {
            self.rules.iter_mut().for_each(|rule| rule.misses(target));
        }
    }

    /// The fault that strikes a request, with a number drawn for it. `applies` may turn a rule's fault down.
    pub(crate) fn strike(
        &mut self,
        now: Timestamp,
        target: &Target<'_>,
        resource: &str,
        mut applies: impl FnMut(&Fault) -> bool,
    ) -> Option<Struck> {
        if now >= self.end {
            return None;
        }
        // Every rule sees every request, so that adding one does not shift the draws of the others.
        let mut first = None;
        for (index, rule) in self.rules.iter_mut().enumerate() {
            if rule.fires(now, target, resource) && first.is_none() && applies(rule.fault()) {
                first = Some(index);
            }
        }
        let rule = self.rules.get_mut(first?)?;
        let draw = rule.strike(resource);
        Some(Struck { fault: rule.fault().clone(), draw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: Target<'_> = Target { method: "PATCH", template: "/x/workspaces/{}" };
    const GET: Target<'_> = Target { method: "GET", template: "/x/workspaces/{}" };

    fn begun(mut faults: Faults, seed: u64) -> Faults {
        faults.begin(seed, Timestamp::UNIX_EPOCH, Speed::new(60.0).unwrap());
        faults
    }

    fn strikes(faults: &mut Faults, target: &Target<'_>, at: i64) -> Option<&'static str> {
        let now = Timestamp::from_second(at).unwrap();
        faults.strike(now, target, "/x", |_| true).map(|struck| struck.fault.name())
    }

    #[test]
    fn a_rule_skips_then_strikes_so_often_and_no_more() {
        let rule = FaultRule::new("patch", "/workspaces/{}", Fault::ResetAfter).skip(1).times(2);
        let mut faults = begun(Faults::new([rule]), 1);
        let struck: Vec<bool> = (0..5).map(|_| strikes(&mut faults, &PATCH, 0).is_some()).collect();
        assert_eq!(struck, [false, true, true, false, false]);
        assert_eq!(strikes(&mut faults, &GET, 0), None);
    }

    #[test]
    fn calls_are_counted_from_one_among_the_requests_that_are_meant() {
        let mut faults = begun(Faults::new([FaultRule::new("PATCH", "", Fault::ResetAfter).calls([1, 4])]), 1);
        let mut struck = Vec::new();
        for _ in 0..5 {
            strikes(&mut faults, &GET, 0);
            struck.push(strikes(&mut faults, &PATCH, 0).is_some());
        }
        assert_eq!(struck, [true, false, false, true, false]);
    }

    #[test]
    fn spans_are_divided_by_the_speed() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let rule = FaultRule::new("*", "", Fault::ResetAfter).after(minutes(2)).until(minutes(5));
        let always = FaultRule::new("*", "", Fault::ResetBefore);
        let mut faults = begun(Faults::new([rule, always]).until(minutes(7)), 1);
        let struck: Vec<_> = (0..9).map(|at| strikes(&mut faults, &GET, at).unwrap_or("")).collect();
        let (before, after) = ("resetBefore", "resetAfter");
        assert_eq!(struck, [before, before, after, after, after, before, before, "", ""]);
    }

    #[test]
    fn the_same_seed_strikes_the_same_requests() {
        let draws = |seed| {
            let rule = FaultRule::new("*", "", Fault::ResetBefore).chance(0.3);
            let mut faults = begun(Faults::new([rule]), seed);
            (0..200).map(|_| strikes(&mut faults, &GET, 0).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(draws(9), draws(9));
        assert_ne!(draws(9), draws(10));
        let struck = draws(9).into_iter().filter(|struck| *struck).count();
        assert!((30..=90).contains(&struck), "{struck}");
    }

    #[test]
    fn a_rule_more_does_not_shift_the_others() {
        let slow = || FaultRule::new("*", "", Fault::Slow { by: Duration::ZERO }).chance(0.2);
        let mut alone = begun(Faults::new([slow()]), 3);
        let mut together = begun(Faults::new([FaultRule::new("*", "", Fault::ResetBefore).chance(0.2), slow()]), 3);
        let mut hidden = 0;
        for _ in 0..300 {
            let (alone, together) = (strikes(&mut alone, &GET, 0), strikes(&mut together, &GET, 0));
            match together {
                Some("resetBefore") => hidden += usize::from(alone.is_some()),
                other => assert_eq!(other, alone),
            }
        }
        assert!(hidden > 0, "the two never met");
    }

    #[test]
    fn equal_rules_draw_differently() {
        let rule = || FaultRule::new("*", "", Fault::ResetBefore).chance(0.2);
        let count = |rules: Vec<FaultRule>| {
            let mut faults = begun(Faults::new(rules), 3);
            (0..300).filter(|_| strikes(&mut faults, &GET, 0).is_some()).count()
        };
        assert!(count(vec![rule(), rule()]) > count(vec![rule()]));
    }
}
