//! Says when the program was built, in a way that equal sources have equal answers: `QUOLL_BUILD_DATE` as it is, else
//! `SOURCE_DATE_EPOCH`, else the time of the commit, else the beginning of 1970.

use std::{env, process::Command};

#[path = "src/admin/build_date.rs"]
mod build_date;
#[path = "src/admin/calendar.rs"]
mod calendar;

fn main() {
    // Not the repository's own files: a commit of what is compiled already is not worth compiling it again.
    for path in ["build.rs", "src", "jute", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for name in ["QUOLL_BUILD_DATE", "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let date = env::var("QUOLL_BUILD_DATE").unwrap_or_else(|_| {
        let seconds = match env::var("SOURCE_DATE_EPOCH") {
            Ok(text) => {
                text.parse().unwrap_or_else(|_| panic!("SOURCE_DATE_EPOCH is no number of seconds: {text}"))
            }
            Err(_) => commit_seconds().unwrap_or(0),
        };
        build_date::of(seconds)
    });
    println!("cargo::rustc-env=QUOLL_BUILT={date}");
}

/// When the commit was made that is checked out; `None` outside of a repository, or without git.
fn commit_seconds() -> Option<i64> {
    let output = Command::new("git").args(["log", "-1", "--format=%ct"]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
