//! One parser, named by `KEYLESS_FUZZ`, under libFuzzer.

#![no_main]

use std::sync::LazyLock;

use keyless_check::fuzz::{self, PeakAlloc, Target, execute};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static MEMORY: PeakAlloc = fuzz::MEMORY;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("KEYLESS_FUZZ").expect("KEYLESS_FUZZ names a parser");
    Target::named(&name).unwrap_or_else(|| panic!("there is no parser `{name}`"))
});

fuzz_target!(|input: &[u8]| {
    if let Err(why) = execute(*TARGET, input) {
        panic!("{}: {why}", TARGET.name());
    }
});
