//! The acting part of keyless: watches the desired state, observes, carries out one step at a time, queues and alerts.

mod agreements;
pub mod announce;
mod barriers;
mod clock;
pub mod daemon;
mod datastore;
pub mod event;
mod evidence;
pub mod execute;
mod failed;
mod fights;
pub mod fleet;
pub mod index;
mod kept;
mod ledger;
pub mod mark;
mod membership;
pub mod memory;
mod notes;
pub mod observe;
pub mod queue;
mod rest;
mod search;
pub mod source;
mod sparing;
pub mod status;
pub mod survey;
mod sweep;
mod turn;
mod view;
pub mod watch;
mod who;
pub mod why;
pub mod wrote;

pub use clock::ServerClock;
pub use failed::Failure;
