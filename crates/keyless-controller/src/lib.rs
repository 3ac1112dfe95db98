//! The acting part of keyless: watches the desired state, observes, carries out one step at a time, queues and alerts.

mod clock;
pub mod execute;
pub mod index;
pub mod mark;
pub mod memory;
pub mod observe;
pub mod queue;
mod search;

pub use clock::ServerClock;
