//! Recorded traffic of Azure, where it is at hand: each answer that the client has a use for goes through its public
//! interface, and what comes out is compared with what the recording says, worked out here from the JSON alone.
//!
//! One file a topic. Each prints what became of its recordings; none may be skipped without a reason.

mod access;
mod accounts;
mod changes;
mod errors;
mod foreign;
mod metrics;
mod operations;
mod paging;
mod parts;
mod tokens;
mod walk;
mod workspaces;
