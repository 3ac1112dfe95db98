//! Each behaviour of the simulated cloud, asked for in process as a client would over the wire.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails loudly, like a test")]

mod accounts;
mod activity;
mod assignments;
mod blobs;
mod cloud;
mod control;
mod datastores;
mod datastores_v1;
mod deployments;
mod directory;
mod eligibilities;
mod entry;
mod faults;
mod inventory;
mod jobs;
mod keys;
mod locks;
mod logs;
mod metrics;
mod network;
mod policies;
mod policy_effects;
mod providers;
mod resource_graph;
mod scale;
mod services;
mod slicing;
mod tags;
mod tenants;
mod undeclared;
mod workloads;
mod workspaces;
