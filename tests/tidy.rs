//! The rules of the house, held against the source.
//!
//! * A module imports only the modules that its row in [`ARROWS`] allows: data flows one way.
//! * The modules that decide ([`SANS_IO`]) know no sockets, files, threads, clocks or random sources, so that the
//!   code that ships is the code that a simulation runs.
//! * Only `net` and `node` name tokio (and the tools, which are clients); only `storage/disk.rs` opens data files.
//! * No source file is longer than [`LINES_MAX`] lines.

use std::{fs, path::Path};

/// Module → the modules of this crate that it may import.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("config", &["types"]),
    ("frame", &["types"]),
    ("auth", &["types"]),
    ("session", &["types"]),
    ("zab", &["types"]),
    ("tree", &["types"]),
    ("watch", &["types", "tree"]),
    ("ops", &["types", "auth", "tree", "watch"]),
    ("pipeline", &["types", "frame", "auth", "session", "ops", "zab", "tree", "watch"]),
    ("member", &["types", "config", "session", "pipeline", "zab", "tree", "watch"]),
    ("storage", &["types", "tree"]),
    ("peer", &["types", "config", "zab", "storage", "tree"]),
    ("admin", &["types", "config"]),
    (
        "net",
        &[
            "types", "config", "frame", "auth", "session", "ops", "pipeline", "tree", "watch", "member",
            "admin",
        ],
    ),
    (
        "node",
        &[
            "types", "config", "frame", "auth", "session", "ops", "pipeline", "zab", "tree", "watch",
            "member", "storage", "peer", "admin", "net",
        ],
    ),
    ("tools", &["types", "config", "frame", "storage", "tree", "node"]),
    (
        "sim",
        &[
            "types", "config", "auth", "session", "ops", "pipeline", "zab", "tree", "watch", "member",
            "storage",
        ],
    ),
];

const SANS_IO: &[&str] =
    &["types", "frame", "auth", "session", "zab", "tree", "watch", "ops", "pipeline", "member"];

const IO: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "std::process",
    "Instant::now",
    "SystemTime",
    "rand::",
    "std::env",
    "std::io::std",
];

const LINES_MAX: usize = 800;

struct Source {
    module: String,
    name: String,
    /// Without comments and without the unit tests at the end.
    code: String,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for top in ["src", "jute/src", "compat-tests/src", "compat-tests/tests", "tests"] {
        if root.join(top).is_dir() {
            walk(&root.join(top), &mut found, root);
        }
    }
    assert!(found.len() > 20, "the source is not where it is expected");
    found
}

fn walk(dir: &Path, found: &mut Vec<Source>, root: &Path) {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    for entry in entries {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() {
            walk(&path, found, root);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8 source");
            let name = path.strip_prefix(root).expect("below the root").display().to_string();
            let module = match name.strip_prefix("src/") {
                Some(rest) => rest.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_string(),
                None => String::new(),
            };
            let shipped = match path.file_name() {
                // Unit tests in a file of their own.
                Some(file) if file == "tests.rs" => "",
                _ => text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default(),
            };
            let code =
                shipped.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            found.push(Source { module, name, code, lines: text.lines().count() });
        }
    }
}

#[test]
fn imports_follow_the_arrows() {
    let mut wrong = Vec::new();
    for s in sources() {
        if s.module.is_empty() || s.module == "lib" || s.module == "main" {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(m, _)| *m == s.module) else {
            wrong.push(format!("{}: module {} has no row in ARROWS", s.name, s.module));
            continue;
        };
        for part in s.code.split("crate::").skip(1) {
            let target: String =
                part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let known = ARROWS.iter().any(|(m, _)| *m == target);
            if known && target != s.module && !allowed.contains(&target.as_str()) {
                wrong.push(format!("{}: {} must not import {target}", s.name, s.module));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_that_decide_do_no_io() {
    let mut wrong = Vec::new();
    for s in sources() {
        let sans_io = SANS_IO.contains(&s.module.as_str()) || s.name.starts_with("jute/src");
        for word in IO {
            let free = s.module.is_empty() || ["node", "tools", "main"].contains(&s.module.as_str());
            let allowed = match *word {
                "tokio" => free || s.module == "net",
                "std::fs" => free || s.module == "config" || s.name == "src/storage/disk.rs",
                _ => true,
            };
            if s.code.contains(word) && (sans_io || !allowed) {
                wrong.push(format!("{}: names {word}", s.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_source_file_is_too_long_to_know_ones_way_in() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|s| s.lines > LINES_MAX)
        .map(|s| format!("{}: {} lines", s.name, s.lines))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
