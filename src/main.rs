//! The `quoll` binary.

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Apache ZooKeeper, written again in Rust.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure a server that speaks the ZooKeeper client protocol
    Bench(quoll::tools::bench::BenchArgs),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Bench(args) => match quoll::tools::bench::run(&args) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("quoll bench: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
