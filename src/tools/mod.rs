//! Subcommands that are not the server.
//!
//! Each takes its arguments as a clap type and gives back an error that says what to do. None of them is imported
//! by the server.

pub mod bench;
pub mod ensemble;
mod ports;
