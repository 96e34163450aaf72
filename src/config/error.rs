//! Why a server does not start, and what it has to say when it does.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::members::MemberError;
use super::properties::BadEscape;

/// Exit code for a configuration or arguments that cannot be used. Upstream: `ExitCode.INVALID_INVOCATION`.
pub const EXIT_INVALID_INVOCATION: i32 = 2;

/// Why a configuration cannot be used. Its text is meant for the operator: where, which key and value, what is
/// allowed.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The arguments make no sense.
    #[error("{0}\n{USAGE}")]
    Usage(String),
    /// A file cannot be read.
    #[error("{}: cannot read this configuration file: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not properties text.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: BadEscape,
    },
    /// A value is not allowed.
    #[error("{origin}: `{key}={value}` is not usable: expected {allowed}")]
    Value {
        /// The key, as written in `zoo.cfg`.
        key: String,
        /// The value, as written.
        value: String,
        /// Where it was written.
        origin: Origin,
        /// What may stand there.
        allowed: String,
    },
    /// Something that must be set is not.
    #[error("{origin}: `{key}` is not set: {reason}")]
    Missing {
        /// The key that is missing.
        key: &'static str,
        /// The file in which it is missed.
        origin: Origin,
        /// Why it is needed.
        reason: String,
    },
    /// Two settings contradict each other.
    #[error("{origin}: {problem}")]
    Conflict {
        /// Where the one that is at odds with another was written.
        origin: Origin,
        /// Both keys with their values, and what is allowed.
        problem: String,
    },
    /// A member line is malformed.
    #[error("{origin}: `{key}={value}` is not usable: {source}")]
    Member {
        /// `server.N`, `group.G`, `weight.N` or `version`.
        key: String,
        /// Its value.
        value: String,
        /// Where it was written.
        origin: Origin,
        /// What is wrong.
        source: MemberError,
    },
    /// The members do not fit together.
    #[error("{origin}: {source}")]
    Members {
        /// The file with the member lines.
        origin: Origin,
        /// What is wrong.
        source: MemberError,
    },
    /// The configuration that is to come cannot be read.
    #[error(transparent)]
    Next(#[from] super::dynamic::ConfigFileError),
    /// The file `myid` holds no number.
    #[error("{}: the first line is `{text}`, expected the number of this server", path.display())]
    MyId {
        /// The file.
        path: PathBuf,
        /// Its first line.
        text: String,
    },
}

impl ConfigError {
    /// Exit code of the process, as upstream.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        EXIT_INVALID_INVOCATION
    }
}

/// How a server is started.
pub const USAGE: &str = "usage: quoll server [-Dname=value ...] [path/to/zoo.cfg]
       quoll server [-Dname=value ...] port dataDir [tickTime] [maxClientCnxns]";

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On this line of this file.
    Line(PathBuf, usize),
    /// In this file as a whole.
    File(PathBuf),
    /// As `-D` in this environment variable.
    Variable(&'static str),
    /// On the command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Variable(name) => write!(f, "-D in {name}"),
            Origin::CommandLine => f.write_str("command line"),
        }
    }
}

/// Something the operator may want to know. The caller logs it; this module logs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How loudly.
    pub level: Level,
    /// One line, with the place it is about.
    pub text: String,
}

/// How loudly a [`Notice`] should be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who look closely: settings without effect here by their nature.
    Debug,
    /// Worth a line.
    Info,
    /// Probably not what was meant, or a feature that is not there yet.
    Warn,
}
