//! The keyless binary.
mod settings;
fn main() {}
