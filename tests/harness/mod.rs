//! Two processes under test, the simulated cloud and the daemon: started on port 0, asked over HTTP, killed on drop.
//!
//! Nothing here sleeps for a time; [`wait_until`] is the one place that waits, and it waits for a condition.
//! Every cloud has its own ports and its own folder, so tests that run at once share nothing.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its own part of this")]

mod http;
mod plot;
mod process;
mod record;
mod sim;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use http::Answer;
pub use plot::{BLOB, NAMES, Plot, Way, extension};
pub use process::{Daemon, Stopped, assert_code, keyless, output_of, stderr, stdout};
pub use record::{Record, Request};
pub use sim::{Requests, SOMEBODY, Sim, id_of, same_id, text_at};

/// Several times what anything takes on two busy cores.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Asks again until there is an answer, and fails with `what` if there is none within `limit`.
#[track_caller]
pub fn wait_until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A fleet that the daemon has taken off keys without denying anybody, and the daemon over it.
#[track_caller]
pub fn taken_off_keys(workspaces: usize) -> (Sim, Daemon) {
    let sim = Sim::fleet(workspaces, 5);
    let mut daemon = Daemon::start(&sim);
    daemon.until_converged(sim.accounts().len(), patience(workspaces));
    assert!(sim.is_off_keys());
    sim.assert_nobody_was_denied();
    (sim, daemon)
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is there")
}

/// Says that something was not tested, past the test runner, which keeps to itself what passing tests print.
pub fn skipped(what: &str) {
    // In one write, so that tests which run at once do not mix their lines.
    std::io::stderr().write_all(format!("SKIPPED: {what}\n").as_bytes()).expect("stderr is open");
}

/// A number from the environment, to run a test at another size.
pub fn number(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number, not {text:?}")),
        Err(_) => default,
    }
}

/// How long a fleet of this size may take.
pub fn patience(workspaces: usize) -> Duration {
    PATIENCE + Duration::from_secs(workspaces as u64 * 3)
}

/// Numbers that look random and are the same in every run: SplitMix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `most`, both included.
    pub fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % (most + 1)
    }
}
