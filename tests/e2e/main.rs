//! Scenarios through the binary: the simulated cloud in one process, the daemon or a command that works on it in
//! another. Each test has a cloud and a folder of its own, so that any number of them may run at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so by panicking, its helpers too"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod adopt;
mod back;
mod barriers;
mod ceiling;
mod commands;
mod converges;
mod create;
mod datastores;
mod drain;
mod drift;
mod evidence;
mod faults;
mod incompatible;
mod kills;
mod late;
mod logs;
mod lost;
mod machines;
mod mismatch;
mod odd_worlds;
mod own_rights;
mod probed;
mod proved;
mod published_order;
mod real_input;
mod reload;
mod rights;
mod rows;
mod secrets;
mod tenants;
mod tokens;
mod who;
mod why;
