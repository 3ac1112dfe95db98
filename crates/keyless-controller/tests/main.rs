//! All tests of the crate that go by its public face, in one binary: one link, and one build of the cloud in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod barriers;
mod cloud;
mod controller;
mod datastores;
mod drain;
mod evidence;
mod files;
mod lost;
mod probed;
mod rig;
mod suspended;
mod who;
