//! The speaking part of keyless: the only crate that knows ARM and Entra JSON, URLs, status codes and retries.

pub mod api;
pub mod error;
