use std::process;

/// How a server that cannot go on ends.
///
/// Upstream counterpart: `ExitCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Anything without a number of its own: a port that is taken, a disk that fails.
    Unexpected = 1,
    /// Arguments or settings that cannot be used.
    Invocation = 2,
    /// The data directory cannot be used.
    DataDir = 3,
    /// This member's history and the leader's words do not go together.
    Diverged = 12,
    /// Nothing can be listened on for peers.
    Bind = 14,
}

/// Ends the process at once, with a message. Connections are reset; what was not acknowledged may or may not have
/// happened, which is what their clients then assume.
pub fn stop(exit: Exit, message: &str) -> ! {
    tracing::error!("{message}");
    process::exit(i32::from(exit as u8))
}

/// From now on a panic in any thread ends the process: a server that has lost one of its threads would go on half
/// dead.
pub fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let trace = std::backtrace::Backtrace::force_capture();
        eprintln!("quoll: thread {name} has a bug and the server stops: {panic}\n{trace}");
        process::abort();
    }));
}
