//! The speaking part of keyless: the only crate that knows ARM and Entra JSON, URLs, status codes and retries.
//!
//! [`client::Client`] implements the two traits of [`api`]. Every request takes one way, the pipeline: token, client
//! request id, quota, send over the injected [`wire::Wire`], judge, repeat reads, trace, count.

#![expect(
    clippy::result_large_err,
    reason = "an error tells the whole failed call; it is rare beside a network round trip"
)]

pub mod api;
mod bucket;
mod changes;
mod classify;
pub mod client;
pub mod clock;
pub mod cloud;
pub mod counts;
mod create;
pub mod credential;
mod envelope;
pub mod error;
mod governor;
mod headers;
mod jobs;
mod lift;
mod logs;
mod lro;
pub mod operation;
mod own;
mod paging;
pub mod pipeline;
pub mod probe;
pub mod quota;
mod read;
mod redact;
pub mod reqwest_wire;
pub mod secret;
pub mod small_file;
mod storage;
pub mod stored;
pub mod token;
mod token_error;
pub mod versions;
mod view;
pub mod wire;
mod write;
