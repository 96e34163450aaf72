//! The programs and Debian packages a machine must have for the suites, and running them.
//!
//! A missing one is an error that names the package to install; a suite is never skipped.

use std::path::Path;
use std::process::{Command, Output};

/// A program the suites need on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Runs the upstream server and the Java clients.
    Java,
    /// Compiles our Java test programs.
    Javac,
    /// Fetches the upstream server and the Java clients.
    Maven,
    /// Runs kazoo's tests; 3.9 or later with the `venv` module.
    Python,
    /// Builds the go-zookeeper program.
    Go,
    /// Compiles the C programs.
    Cc,
    /// Builds Quoll.
    Cargo,
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Tool::Java => "java",
            Tool::Javac => "javac",
            Tool::Maven => "mvn",
            Tool::Python => "python3",
            Tool::Go => "go",
            Tool::Cc => "cc",
            Tool::Cargo => "cargo",
        }
    }

    fn version_argument(self) -> &'static str {
        match self {
            Tool::Go => "version",
            Tool::Java | Tool::Javac => "-version",
            _ => "--version",
        }
    }

    fn how_to_install(self) -> &'static str {
        match self {
            Tool::Java => "apt-get install openjdk-17-jre-headless",
            Tool::Javac => "apt-get install openjdk-17-jdk-headless",
            Tool::Maven => "apt-get install maven",
            Tool::Python => "apt-get install python3 python3-venv",
            Tool::Go => "apt-get install golang-go",
            Tool::Cc => "apt-get install gcc libc6-dev",
            Tool::Cargo => "apt-get install cargo (or rustup)",
        }
    }

    /// A command of this program.
    ///
    /// # Panics
    /// When the program is not on the search path; the message says what to install.
    pub fn command(self) -> Command {
        let program = self.program();
        if let Err(e) = Command::new(program).arg(self.version_argument()).output() {
            panic!(
                "the compatibility tests need `{program}`, which cannot be run ({e}); install it: {}",
                self.how_to_install()
            );
        }
        Command::new(program)
    }
}

/// Fetches Debian packages into a folder and unpacks them there; nothing is installed. The lists of packages are
/// renewed (which takes root) only when apt does not know where to find them.
///
/// # Panics
/// When apt cannot fetch them; the message carries what it printed.
pub fn unpack_debian_packages(packages: &[&str], dir: &Path) {
    let download = || {
        let mut command = Command::new("apt-get");
        command.current_dir(dir).arg("-q").arg("download").args(packages);
        command
    };
    if !download().output().is_ok_and(|o| o.status.success()) {
        run(Command::new("apt-get").args(["-q", "update"]));
        run(&mut download());
    }
    for file in std::fs::read_dir(dir).expect("the folder can be read") {
        let path = file.expect("a directory entry can be read").path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(path).arg(dir));
        }
    }
}

/// Runs a command to its end and returns what it printed on standard output.
///
/// # Panics
/// When it cannot be started or fails; the message carries everything it printed.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    assert!(
        status.success(),
        "{command:?}\nended with {status}\n--- standard output\n{stdout}\n--- standard error\n{}",
        String::from_utf8_lossy(&stderr)
    );
    stdout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "it was like this")]
    fn a_failing_command_shows_what_it_printed() {
        run(Command::new("sh").args(["-c", "echo it was like this >&2; exit 3"]));
    }
}
