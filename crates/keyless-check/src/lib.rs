//! What tools beside the command line try keyless with.

pub mod fuzz;
pub mod numbers;
pub mod say;

#[cfg(test)]
#[global_allocator]
static MEMORY: fuzz::PeakAlloc = fuzz::MEMORY;
