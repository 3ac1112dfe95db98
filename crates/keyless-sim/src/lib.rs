//! sim

pub mod desired_files;
pub mod fleet;
pub mod load;
