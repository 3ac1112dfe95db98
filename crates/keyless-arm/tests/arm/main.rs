//! The client against in-process fake servers, under tokio's paused clock.

mod corpus;
mod credentials;
mod fake;
mod reads;
mod writes;
