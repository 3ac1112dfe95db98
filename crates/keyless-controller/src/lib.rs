//! The acting part of keyless: watches the desired state, observes, carries out one step at a time, queues and alerts.

pub mod announce;
mod barriers;
mod clock;
pub mod daemon;
pub mod event;
mod evidence;
pub mod execute;
mod failed;
pub mod fleet;
pub mod index;
pub mod mark;
mod membership;
pub mod memory;
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
pub mod why;

pub use clock::ServerClock;
pub use failed::Failure;
