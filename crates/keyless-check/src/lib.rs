//! What tools beside the command line try keyless with.

pub mod fuzz;

#[cfg(test)]
#[global_allocator]
static MEMORY: fuzz::PeakAlloc = fuzz::MEMORY;
