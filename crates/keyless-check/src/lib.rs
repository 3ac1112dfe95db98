//! What tools beside the command line try keyless with.

pub mod fuzz;
