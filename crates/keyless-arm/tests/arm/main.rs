//! The client against in-process fake servers, under tokio's paused clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod callers;
mod changes;
mod corpus;
mod create;
mod credentials;
mod datastores;
mod fake;
mod jobs;
mod probe;
mod reads;
mod requests;
mod resync;
mod writes;
