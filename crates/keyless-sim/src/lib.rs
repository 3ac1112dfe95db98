//! Azure on loopback: Resource Manager, Resource Graph, Entra's token endpoints, the directory, metrics and the activity
//! log for machine-learning workspaces and their storage accounts, from one state machine with a clock and a seed of its
//! own, and with people and jobs in it who use the data all the time, so that it is known whom a change denies access.
//!
//! [`Simulator`] is the cloud itself, called in process by deterministic tests; [`serve`] puts it on a socket.
//! Nothing here is shared with the client that is tested against it.

mod access;
mod account;
mod activity;
mod arm;
mod arm_id;
mod assignment;
mod azure;
mod blob;
mod callers;
mod clock;
mod control;
mod datastore;
mod datastore_v1;
mod deployment;
pub mod desired_files;
mod directory;
mod drift;
mod eligibility;
mod faults;
pub mod fleet;
mod footprint;
mod graph_query;
mod history;
mod inventory;
mod jobs;
mod json;
mod keys;
mod listing;
pub mod load;
mod lock;
mod log;
mod log_analytics;
mod log_query;
mod metadata;
mod metrics;
mod network;
mod operation;
mod options;
mod plain;
mod policy;
mod policy_effect;
mod policy_rule;
mod provider;
mod record;
mod request;
mod resource_graph;
mod rewind;
mod roles;
mod route;
mod server;
mod service;
mod simulator;
mod tags;
mod template;
mod tenant;
mod throttle;
mod through;
mod time;
mod tls;
mod token;
mod traffic;
mod workload;
mod workspace;
mod world;

pub use clock::ClockMode;
pub use drift::{Drift, DriftChange};
pub use faults::{Breadth, Fault, FaultRule, Faults, FaultsProblem, Meanwhile};
pub use log::{OperationCount, RequestsReport};
pub use options::{Casing, Knobs, MetricAnswer, PollHeaders, SimOptions, Spread, ThrottleModel, WorkspaceWrite};
pub use record::{Recorded, Recording};
pub use server::{ReadyLine, ServeError, Server, serve};
pub use simulator::{ConnectionReset, SimError, Simulator};
pub use throttle::BucketUse;
pub use token::{
    CLIENT_ID, CLIENT_OBJECT_ID, MANAGED_CLIENT_ID, MANAGED_OBJECT_ID, SERVICE_OBJECT_ID, Secret, TENANT_ID,
};
pub use workload::{DenialEvent, Denied, OracleReport};
pub use world::World;
