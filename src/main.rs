//! The `quoll` binary.

use clap::{Args, Parser, Subcommand};
use quoll::{
    config::cli,
    node::{self, Exit},
};
use std::process::ExitCode;

/// Made for many small allocations by several threads. Which allocator serves best is still to be measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Apache ZooKeeper, written again in Rust.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server: with the given zoo.cfg, or with a port and a directory, or with neither on port 2181 and ./data
    Server(ServerArgs),
    /// Measure a server that speaks the ZooKeeper client protocol
    Bench(quoll::tools::bench::BenchArgs),
}

/// The arguments of upstream's main class, which the configuration reads itself.
#[derive(Debug, Args)]
struct ServerArgs {
    /// Start so many members on this machine, for trying out
    #[arg(long, value_name = "MEMBERS")]
    ensemble: Option<u16>,
    /// Where the members of --ensemble keep their files
    #[arg(long, value_name = "DIR", requires = "ensemble", default_value = "./ensemble")]
    data: std::path::PathBuf,
    /// [-Dname=value…] [zoo.cfg | PORT DATADIR [TICKTIME] [MAXCONNECTIONS]]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    let args = cli::with_default_subcommand(std::env::args_os().collect(), &["server", "bench"]);
    match Arguments::parse_from(args).command {
        Command::Server(args) => server(args),
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

fn ensemble(members: u16, dir: &std::path::Path) -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            eprintln!("quoll server: the program to start members with cannot be found: {error}");
            return ExitCode::FAILURE;
        }
    };
    match quoll::tools::ensemble::run(&program, dir, members) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quoll server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn server(args: ServerArgs) -> ExitCode {
    if let Some(members) = args.ensemble {
        return ensemble(members, &args.data);
    }
    node::logging::start();
    let invocation = cli::Invocation {
        args: args.arguments,
        server_jvmflags: std::env::var("SERVER_JVMFLAGS").ok(),
        jvmflags: std::env::var("JVMFLAGS").ok(),
    };
    let loaded = match cli::load(&invocation) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("quoll server: {error}");
            return ExitCode::from(Exit::Invocation as u8);
        }
    };
    node::logging::show(&loaded.notices);
    match node::run(loaded.config, loaded.ensemble) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quoll server: {error}");
            ExitCode::from(error.exit() as u8)
        }
    }
}
