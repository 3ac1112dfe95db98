//! The keyless binary.
mod logging;
mod render;
mod settings;
fn main() {}
