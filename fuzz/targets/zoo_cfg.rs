//! `zoo.cfg`, and what may stand in `JVMFLAGS` beside it.
//!
//! What follows the first byte 0 is `JVMFLAGS`; without one, there are none.
//!
//! Holds: settings, or an error that says what is wrong; the properties syntax never grows what it is given.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoll::config::cli::{Invocation, load};
use quoll::config::properties;
use quoll::config::resolve::{Start, read};
use std::path::PathBuf;
use std::sync::LazyLock;

/// One file, written anew each time, beside the `myid` of a member of an ensemble. The directory stays behind: a fuzzer
/// ends by aborting.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("quoll-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory for temporary files");
    std::fs::write(dir.join("myid"), "1\n").expect("room for a small file");
    dir.join("zoo.cfg")
});

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|&b| b == 0).unwrap_or(input.len());
    let (text, flags) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    if let Ok(parsed) = properties::parse(text) {
        let chars: usize = parsed.iter().map(|p| p.key.chars().count() + p.value.chars().count()).sum();
        assert!(chars <= text.len());
        let lines = text.iter().filter(|b| matches!(b, b'\n' | b'\r')).count() + 1;
        assert!(parsed.iter().all(|p| (1..=lines).contains(&p.line)));
        // The file it names is read, whatever it is: not for a fuzzer.
        if parsed.iter().any(|p| p.key.trim() == "dynamicConfigFile") {
            return;
        }
    }
    let data_dir = format!("\ndataDir={}\n", FILE.parent().expect("it has one").display());
    std::fs::write(&*FILE, [text, data_dir.as_bytes()].concat()).expect("room for a small file");
    match read(&Start::File(FILE.clone()), &[]) {
        Ok(settings) => assert!(settings.notices.iter().all(|n| !n.text.is_empty())),
        Err(e) => said(&e),
    }
    if flags.is_empty() {
        return;
    }
    let invocation = Invocation {
        args: vec![FILE.display().to_string()],
        jvmflags: Some(String::from_utf8_lossy(flags).into_owned()),
        ..Invocation::default()
    };
    if let Err(e) = load(&invocation) {
        said(&e);
    }
});

fn said(e: &quoll::config::ConfigError) {
    assert!(!e.to_string().is_empty());
    assert_ne!(e.exit_code(), 0);
}
