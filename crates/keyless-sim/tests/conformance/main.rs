//! Each behaviour of the simulated cloud, asked for in process as a client would over the wire.

mod accounts;
mod assignments;
mod cloud;
mod control;
mod entry;
mod faults;
mod metrics;
mod workloads;
mod workspaces;
