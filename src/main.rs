//! The `quoll` binary.

fn main() {}
