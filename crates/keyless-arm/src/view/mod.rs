//! Azure's JSON, read tolerantly into keyless-core's values.
//!
//! Tolerant: spelling of values, null for absent, numbers and booleans as strings, unknown words, extra fields.
//! Strict: what safety rests on. A value that cannot be understood is an error, never a default.

pub(crate) mod access;
pub(crate) mod metrics;
pub(crate) mod node;
pub(crate) mod storage;
pub(crate) mod workspace;
