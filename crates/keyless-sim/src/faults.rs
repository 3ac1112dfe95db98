//! What goes wrong between a caller and the cloud: rules that pick requests, and what happens to those.

use std::time::Duration;

use rand::Rng;

/// A table of rules; the first that fires on a request decides its fate.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    rules: Vec<FaultRule>,
}

/// Which requests a fault strikes, and how often.
#[derive(Debug, Clone)]
pub struct FaultRule {
    method: String,
    operation: String,
    skip: u32,
    times: Option<u32>,
    chance: f64,
    fault: Fault,
}

/// What happens to a request that is struck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before the request arrives.
    ResetBefore,
    /// The request takes effect, then the connection breaks.
    ResetAfter,
    /// The request never arrives and is never answered.
    HangBefore,
    /// The request takes effect and is never answered.
    HangAfter,
    /// The request is judged and takes effect `by` later (divided by the speed); the caller gets `then` at once.
    Late {
        /// How much later.
        by: Duration,
        /// What the caller sees meanwhile.
        then: Meanwhile,
    },
    /// The answer comes `by` later; the effect does not.
    Slow {
        /// How much later.
        by: Duration,
    },
    /// Answered with this status and nothing done.
    Refuse {
        /// The status.
        status: u16,
        /// `error.code`.
        code: String,
        /// `Retry-After` in seconds, if any.
        retry_after: Option<u64>,
    },
    /// Answered as if done, and nothing done, as under a policy of effect `Modify`.
    /// Source: the comment of one team in a public preflight module, seen with `publicNetworkAccess`.
    Ignored,
    /// The long-running operation that the request starts ends `Failed`.
    /// Source: <https://github.com/hashicorp/terraform-provider-azurerm/issues/22150>.
    OperationFails,
}

/// What the sender of a late-landing write gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meanwhile {
    /// A broken connection.
    Reset,
    /// Nothing, ever.
    Hang,
    /// 504 `GatewayTimeout`.
    GatewayTimeout,
}

impl Faults {
    /// A table of these rules, tried in order.
    pub fn new(rules: impl IntoIterator<Item = FaultRule>) -> Self {
        Self { rules: rules.into_iter().collect() }
    }

    /// Adds a rule behind the others.
    pub fn push(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    pub(crate) fn strike(&mut self, method: &str, operation: &str, rng: &mut impl Rng) -> Option<Fault> {
        self.rules.iter_mut().find_map(|rule| rule.strike(method, operation, rng))
    }
}

impl FaultRule {
    /// Strikes every request of `method` (`*` for any) whose operation template ends with `operation`, for ever.
    pub fn new(method: &str, operation: &str, fault: Fault) -> Self {
        Self {
            method: method.to_ascii_uppercase(),
            operation: operation.to_ascii_lowercase(),
            skip: 0,
            times: None,
            chance: 1.0,
            fault,
        }
    }

    /// Leaves the first `count` such requests alone.
    #[must_use]
    pub fn skip(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Strikes at most `count` times.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }

    /// Strikes with this chance, drawn from the simulator's seed.
    #[must_use]
    pub fn chance(mut self, chance: f64) -> Self {
        self.chance = chance.clamp(0.0, 1.0);
        self
    }

    fn strike(&mut self, method: &str, operation: &str, rng: &mut impl Rng) -> Option<Fault> {
        let meant = (self.method == "*" || self.method.eq_ignore_ascii_case(method))
            && operation.to_ascii_lowercase().ends_with(&self.operation);
        if !meant || self.times == Some(0) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        if self.chance < 1.0 && !rng.random_bool(self.chance) {
            return None;
        }
        self.times = self.times.map(|times| times.saturating_sub(1));
        Some(self.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_rule_skips_then_strikes_so_often_and_no_more() {
        let mut faults = Faults::new([FaultRule::new("patch", "/workspaces/{}", Fault::ResetAfter).skip(1).times(2)]);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let struck: Vec<bool> =
            (0..5).map(|_| faults.strike("PATCH", "/x/workspaces/{}", &mut rng).is_some()).collect();
        assert_eq!(struck, [false, true, true, false, false]);
        assert_eq!(faults.strike("GET", "/x/workspaces/{}", &mut rng), None);
    }

    #[test]
    fn the_same_seed_strikes_the_same_requests() {
        let draws = || {
            let mut faults = Faults::new([FaultRule::new("*", "", Fault::ResetBefore).chance(0.3)]);
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(9);
            (0..200).map(|_| faults.strike("GET", "/x", &mut rng).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(draws(), draws());
        let struck = draws().into_iter().filter(|struck| *struck).count();
        assert!((30..=90).contains(&struck), "{struck}");
    }
}
