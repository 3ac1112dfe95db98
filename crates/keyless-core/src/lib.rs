//! The deciding part of keyless: what the files ask, what Azure shows, and the ordered plan between the two.
//!
//! Pure: no async, no clock, no network, no files. Time, settings and observations come in as values.

pub mod ablate;
pub mod access;
pub mod action;
pub mod adopt;
pub mod attribution;
pub mod catalog;
pub mod condition;
pub mod desired;
pub mod gate;
pub mod id;
pub mod incompatibility;
pub mod lint;
pub mod manifest;
pub mod observed;
pub mod pass;
pub mod plan;
pub mod policy;
mod reading;
pub mod secret;
pub mod setting;
mod span;
