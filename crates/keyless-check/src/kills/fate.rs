//! What happens to one process from its start to its end.

use std::time::Duration;

use crate::dst::dice::Dice;

/// What a process finds at its start, and how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    /// What becomes of the state directory before the start.
    pub(crate) state: State,
    /// Where the log goes.
    pub(crate) log: Log,
    /// How long after the start a file of the desired state, half of which is written, is whole again.
    pub(crate) torn: Option<Duration>,
    /// Whether the files change their mind although they are not fulfilled.
    pub(crate) flips: bool,
    /// When its end begins.
    pub(crate) moment: Moment,
    /// How it ends.
    pub(crate) end: End,
}

/// The state directory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// As the last process left it.
    AsLeft,
    /// Empty.
    Gone,
    /// On a disk that is full from the start.
    Full,
    /// On a disk that is full soon after the start.
    Fills,
}

/// The reader of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// Reads.
    Read,
    /// Has gone away.
    Unread,
    /// Is a full disk.
    Full,
}

/// A moment, by what was asked or by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// After so many more writes, and so many more requests after them.
    Requests {
        /// PUT, PATCH and DELETE.
        writes: u64,
        /// All.
        requests: u64,
    },
    /// After the start.
    After(Duration),
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGKILL after a while.
    StoppedThenKill(Duration),
    /// SIGSTOP, SIGCONT after a while, and SIGKILL after another.
    PausedThenKill(Duration, Duration),
    /// SIGTERM.
    Term,
}

impl Fate {
    /// The next one. `late_write` is the wait after a start, and `quiet` how long changed files have to stand.
    pub(crate) fn draw(dice: &mut Dice, late_write: Duration, quiet: Duration) -> Self {
        let most = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let state = match dice.between(0, 99) {
            0..=9 => State::Gone,
            10..=11 => State::Full,
            12..=16 => State::Fills,
            _ => State::AsLeft,
        };
        let log = match dice.between(0, 99) {
            0..=4 => Log::Unread,
            5..=9 => Log::Full,
            _ => Log::Read,
        };
        let heals = dice.millis(0, most(quiet) / 2);
        let torn = dice.chance(0.15).then_some(heals);
        let flips = dice.chance(0.05);
        let (writes, requests) = (dice.between(0, 3), dice.between(0, 40));
        let (short, long) = (dice.millis(0, 60), dice.millis(0, most(late_write) * 5));
        let moment = match dice.between(0, 99) {
            0..=59 => Moment::Requests { writes, requests },
            60..=74 => Moment::After(short),
            _ => Moment::After(long),
        };
        let (stopped, after) = (dice.millis(0, most(late_write) * 2), dice.millis(0, most(late_write) * 2));
        let end = match dice.between(0, 99) {
            0..=64 => End::Kill,
            65..=74 => End::StoppedThenKill(stopped),
            75..=89 => End::PausedThenKill(stopped, after),
            _ => End::Term,
        };
        Self { state, log, torn, flips, moment, end }
    }
}
