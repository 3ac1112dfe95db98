//! How much is explored: the configurations of each tier, each with how many states it has.

use super::around::Around;
use super::azure::Mode;
use super::observe::Want;
use super::system::{Budget, Config, Rich};

/// How much is explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tier {
    /// What the tests run, in seconds.
    Quick,
    /// What every change has to pass.
    Pr,
    /// What main has to.
    Main,
    /// What is explored at night.
    Nightly,
}

/// One configuration, and how many states it has, where that was ever counted.
pub(crate) type Counted = (Config, Option<usize>);

const fn budget(crashes: u8, lost: u8, stale: u8, foreign: u8, flips: u8) -> Budget {
    Budget { crashes, lost, stale, foreign, flips }
}

const fn at(workspaces: usize, persons: u8, want: Want, from_the_end: bool, budget: Budget) -> Config {
    Config { workspaces, persons, want, from_the_end, rich: None, budget }
}

/// The same with all that somebody else may change, which begins as nothing.
const fn rich(config: Config) -> Config {
    let around = Around { locked: false, no_key: false, stored: false, job: false };
    Config { rich: Some(Rich { undeclared: None, around }), ..config }
}

/// The same beside a workspace that no document declares.
const fn beside(mode: Mode, config: Config) -> Config {
    let around = Around { locked: false, no_key: false, stored: false, job: false };
    Config { rich: Some(Rich { undeclared: Some(mode), around }), ..config }
}

/// The same with all of it in the way from the start.
const fn barred(config: Config) -> Config {
    let around = Around { locked: true, no_key: true, stored: true, job: true };
    Config { rich: Some(Rich { undeclared: Some(Mode::Key), around }), ..config }
}

/// The configurations of a tier.
pub(crate) fn configs(tier: Tier) -> Vec<Counted> {
    match tier {
        Tier::Quick => vec![
            (at(1, 1, Want::Forward, false, budget(1, 1, 0, 1, 0)), Some(5_896)),
            (at(1, 1, Want::Forward, false, budget(1, 0, 1, 0, 1)), Some(2_073)),
            (at(2, 1, Want::Forward, false, budget(0, 1, 0, 1, 0)), Some(4_561)),
            (at(1, 1, Want::Back, true, budget(1, 1, 0, 0, 1)), Some(559)),
            (at(2, 1, Want::Back, true, budget(1, 0, 1, 0, 0)), Some(303)),
            (at(1, 1, Want::Forward, true, budget(0, 1, 0, 1, 1)), Some(7_811)),
            (rich(at(1, 1, Want::Forward, false, budget(0, 0, 0, 1, 1))), Some(7_948)),
            (rich(at(1, 1, Want::Forward, true, budget(0, 0, 0, 2, 0))), Some(11_681)),
        ],
        Tier::Pr => vec![
            (at(2, 2, Want::Forward, false, budget(1, 1, 1, 1, 1)), Some(305_002)),
            (at(1, 1, Want::Forward, false, budget(1, 1, 1, 2, 2)), Some(802_270)),
            (at(2, 1, Want::Forward, true, budget(1, 1, 1, 1, 2)), Some(460_827)),
            (at(2, 2, Want::Back, true, budget(1, 1, 1, 1, 1)), Some(89_462)),
            (at(2, 2, Want::Back, false, budget(1, 1, 0, 2, 1)), Some(205_207)),
            (at(1, 2, Want::Forward, false, budget(2, 1, 1, 1, 1)), Some(294_429)),
            (rich(at(1, 1, Want::Forward, false, budget(1, 1, 0, 1, 2))), Some(59_975)),
            (barred(at(1, 1, Want::Forward, false, budget(0, 1, 1, 2, 1))), Some(163_726)),
        ],
        Tier::Main => vec![
            (at(2, 2, Want::Forward, false, budget(1, 1, 1, 2, 2)), Some(5_584_460)),
            (at(2, 2, Want::Back, true, budget(1, 1, 1, 2, 2)), Some(2_111_823)),
            (rich(at(1, 1, Want::Forward, false, budget(1, 1, 1, 2, 2))), Some(2_828_085)),
            (rich(at(2, 1, Want::Back, true, budget(1, 1, 1, 2, 2))), Some(4_515_860)),
            (beside(Mode::Key, at(1, 1, Want::Forward, false, budget(1, 1, 1, 2, 2))), Some(3_038_583)),
            (barred(at(1, 1, Want::Forward, false, budget(1, 1, 0, 3, 1))), Some(641_382)),
            (at(1, 1, Want::Forward, true, budget(2, 1, 1, 2, 4)), Some(3_989_837)),
            (rich(at(2, 2, Want::Forward, false, budget(1, 1, 1, 2, 2))), Some(16_275_281)),
            (barred(at(2, 1, Want::Forward, false, budget(1, 1, 1, 3, 2))), Some(12_430_207)),
            (beside(Mode::Id, at(2, 2, Want::Back, true, budget(1, 1, 1, 2, 3))), Some(9_951_034)),
        ],
        Tier::Nightly => vec![
            (at(2, 2, Want::Forward, true, budget(2, 2, 1, 2, 3)), Some(50_381_695)),
            (rich(at(2, 2, Want::Forward, false, budget(1, 1, 1, 3, 2))), None),
            (beside(Mode::Key, at(2, 2, Want::Forward, false, budget(1, 1, 1, 2, 3))), None),
            (at(2, 2, Want::Forward, false, budget(2, 1, 1, 3, 3)), None),
        ],
    }
}
