//! All tests of the crate that go by its public face, in one binary: one link, and one build of the small world.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod access_oracle;
mod access_plans;
mod adopt;
mod attribution;
mod barriers;
mod create;
mod datastores;
mod drain;
mod evidence;
mod findings;
mod half;
mod import;
mod incompatible;
mod leavers;
mod lint;
mod lost;
mod manifest;
mod manifest_errors;
mod manifest_properties;
mod manifest_schema;
mod pass;
mod plan_properties;
mod planner;
mod probed;
mod reads;
mod secrets;
mod suspended;
mod way_back;
mod why;
mod world;
