//! Feeds every parser with what it is not made for: small files of the project, their mutations, and what a
//! coverage-guided fuzzer finds.
//!
//! One [`Target`] is one door that text from outside comes in by. Its oracle is the same whoever makes up the input: no
//! panic, no answer that takes for known what was not said, no memory out of all proportion. `keyless-fuzz` mutates by
//! a seed, so that every failure can be had again; `fuzz/` beside this crate puts libFuzzer before the same targets.

mod answers;
mod files;
mod ids;
mod mutate;
mod simulator;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
pub use peak_alloc::PeakAlloc;

use crate::numbers::numbers;
use crate::say;

/// What counts memory, where the binary takes it for its allocator. To count costs a sixth of the time of everything that
/// allocates much, so only who asks for the figures does.
pub const MEMORY: PeakAlloc = PeakAlloc;

/// The longest input that is made up. Longer ones are the business of the limits that the parsers state themselves.
const LONGEST: usize = 16 * 1024;

/// Memory may grow by so many bytes for each byte of input.
const BYTES_PER_BYTE: usize = 50;

/// And by this beside: a runtime, a client, a schema, whatever the input is.
const BYTES_ANYWAY: usize = 4 * 1024 * 1024;

/// An execution that takes longer than this is a hang. A loaded machine stays far below; the slowest is printed.
const HANG: Duration = Duration::from_secs(5);

/// One door that text from outside comes in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// Ids of resources and principals.
    Ids,
    /// The documents of the desired state.
    Desired,
    /// The files that `keyless import` reads.
    Import,
    /// What Azure answers to reads.
    Reads,
    /// What Azure answers to writes.
    Writes,
    /// What is asked of the simulator.
    Simulator,
    /// Worlds that the simulator is given.
    World,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Ids, Self::Desired, Self::Import, Self::Reads, Self::Writes, Self::Simulator, Self::World];

    /// The target's name on the command line and in the environment.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ids => "ids",
            Self::Desired => "desired",
            Self::Import => "import",
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Simulator => "simulator",
            Self::World => "world",
        }
    }

    /// The target of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// One execution. What the parser says of the input is its own business; what it may never do is the error.
    ///
    /// # Errors
    /// What was done that must not be.
    pub fn run(self, input: &[u8]) -> Result<(), String> {
        match self {
            Self::Ids => ids::run(input),
            Self::Desired => files::desired(input),
            Self::Import => files::import(input),
            Self::Reads => answers::reads(input),
            Self::Writes => answers::writes(input),
            Self::Simulator => simulator::run(input),
            Self::World => simulator::world(input),
        }
    }

    /// Inputs to begin with: small files of the project.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn seeds(self) -> anyhow::Result<Vec<Vec<u8>>> {
        let seeds = match self {
            Self::Ids => ids::seeds(),
            Self::Desired => files::desired_seeds()?,
            Self::Import => files::import_seeds()?,
            Self::Reads => answers::seeds(),
            Self::Writes => answers::seeds(),
            Self::Simulator => simulator::seeds(),
            Self::World => simulator::world_seeds(),
        };
        if seeds.is_empty() {
            bail!("there are no seeds for `{}`", self.name());
        }
        Ok(seeds)
    }
}

/// One execution under the oracle: how long it took, and by how many bytes the peak of the memory grew.
///
/// # Errors
/// Why it is broken: it panicked, hung, took too much memory, or did what the target forbids.
pub fn execute(target: Target, input: &[u8]) -> Result<(Duration, usize), String> {
    watched(input.len(), || target.run(input))
}

/// Memory is counted of the whole process, so one at a time.
static WATCHING: Mutex<()> = Mutex::new(());

fn watched(length: usize, run: impl FnOnce() -> Result<(), String>) -> Result<(Duration, usize), String> {
    let _alone = WATCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let began = Instant::now();
    let done = catch_unwind(AssertUnwindSafe(run));
    let took = began.elapsed();
    let grew = MEMORY.peak_usage().saturating_sub(before);
    match done {
        Err(panic) => {
            let what = panic.downcast_ref::<String>().map(String::as_str);
            let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(format!("it panicked: {what}"))
        }
        Ok(Err(why)) => Err(why),
        Ok(Ok(())) if took > HANG => Err(format!("it took {} ms", took.as_millis())),
        Ok(Ok(())) if grew > BYTES_ANYWAY + BYTES_PER_BYTE * length => {
            Err(format!("it took {grew} bytes of memory for {length} bytes of input"))
        }
        Ok(Ok(())) => Ok((took, grew)),
    }
}

/// Whether memory is counted at all. What other threads give back meanwhile may hide it once, and not each time.
fn counts_memory() -> bool {
    (0..100).any(|_| {
        let before = MEMORY.current_usage();
        let some = std::hint::black_box(vec![1u8; 1 << 20]);
        MEMORY.current_usage() >= before + some.len() / 2
    })
}

/// Mutates the seeds of a target `executions` times, beginning at number `from`.
///
/// # Errors
/// At the first input that breaks the target, after writing it to `keep`; if memory is not counted, or there are not so many
/// numbers.
pub fn run(target: Target, from: u64, executions: u64, seed: u64, keep: &Path) -> anyhow::Result<()> {
    if !counts_memory() {
        bail!("the memory of this program is not counted");
    }
    let began = Instant::now();
    let seeds = target.seeds()?;
    let (mut slowest, mut most, mut bytes, mut mutations) = (Duration::ZERO, 0, 0, 0_u64);
    let as_they_are = seeds.iter().cloned().map(Ok);
    let made_up = numbers(from, executions)?.map(Err);
    for input in as_they_are.chain(made_up) {
        let (number, input) = match input {
            Ok(seed) => (None, seed),
            Err(number) => (Some(number), mutate::mutated(&seeds, seed, number, LONGEST)),
        };
        bytes += input.len();
        mutations += u64::from(number.is_some());
        match execute(target, &input) {
            Ok((took, grew)) => {
                slowest = slowest.max(took);
                most = most.max(grew);
            }
            Err(why) => {
                std::fs::create_dir_all(keep).with_context(|| format!("cannot make `{}`", keep.display()))?;
                let file = keep.join(format!("{}-{}", target.name(), number.unwrap_or_default()));
                std::fs::write(&file, &input).with_context(|| format!("cannot write `{}`", file.display()))?;
                let again = match number {
                    Some(number) => {
                        format!("keyless-fuzz --target {} --seed {seed} --from {number} --executions 1", target.name())
                    }
                    None => format!("keyless-fuzz --target {} --executions 0", target.name()),
                };
                bail!("{}: {why}\ninput: {}\nagain: {again}", target.name(), file.display());
            }
        }
    }
    say!(
        "{:>9}: {} seeds and {mutations} mutations from number {from} of seed {seed}, {bytes} bytes, in {:.1} s; \
         slowest {:.1} ms, most memory {} KiB; nothing broke",
        target.name(),
        seeds.len(),
        began.elapsed().as_secs_f64(),
        slowest.as_secs_f64() * 1e3,
        most / 1024,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole of it is `keyless-fuzz`.
    const QUICK: u64 = 300;

    #[test]
    fn no_parser_breaks_on_seeds_and_some_damage() {
        let keep = tempfile::tempdir().expect("a folder");
        for target in Target::ALL {
            run(target, 0, QUICK, 1, keep.path()).unwrap_or_else(|error| panic!("{error:#}"));
        }
    }

    #[test]
    fn numbers_that_there_are_not_are_refused() {
        let keep = tempfile::tempdir().expect("a folder");
        let refused = run(Target::Ids, u64::MAX, 3, 1, keep.path()).expect_err("two of them are not there");
        assert!(refused.to_string().contains("no 3 numbers from 18446744073709551615 on"), "{refused}");
        run(Target::Ids, u64::MAX, 1, 1, keep.path()).expect("the last of all");
    }

    #[test]
    fn what_breaks_is_noticed() {
        let panicked = watched(1, || panic!("{}", "ouch"));
        assert_eq!(panicked, Err("it panicked: ouch".to_owned()));
        assert_eq!(watched(1, || Err("no".to_owned())), Err("no".to_owned()));
        let hungry = watched(1, || {
            let much = vec![1u8; 64 * 1024 * 1024];
            if much.iter().all(|byte| *byte == 1) { Ok(()) } else { Err("not filled".to_owned()) }
        });
        assert!(hungry.is_err_and(|why| why.contains("bytes of memory")));
        assert!(watched(1, || Ok(())).is_ok());
    }

    #[test]
    fn equal_numbers_make_equal_inputs_and_others_make_others() {
        let seeds = Target::Desired.seeds().expect("seeds");
        let made: Vec<Vec<u8>> = (0..50).map(|number| mutate::mutated(&seeds, 1, number, LONGEST)).collect();
        let again: Vec<Vec<u8>> = (0..50).map(|number| mutate::mutated(&seeds, 1, number, LONGEST)).collect();
        assert_eq!(made, again);
        let kinds: std::collections::BTreeSet<&Vec<u8>> = made.iter().collect();
        assert!(kinds.len() > 40, "{} of 50 differ", kinds.len());
        assert!(made.iter().all(|input| input.len() <= LONGEST));
    }
}
