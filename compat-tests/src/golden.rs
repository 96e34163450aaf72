//! The golden data directories of `tests/golden/datadirs`, unpacked, and what is expected of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::build_folder::workspace_dir;
use crate::raw::{Acl, Stat};
use crate::state::{Node, State, parse_dump};

/// Where the archives lie.
pub fn archives() -> PathBuf {
    workspace_dir().join("tests/golden/datadirs")
}

/// The names of all golden directories, sorted.
pub fn names() -> Vec<String> {
    let dir = archives();
    let mut names: Vec<String> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("cannot list {}: {e}", dir.display()))
        .map(|entry| entry.expect("a directory entry can be read").file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".tar.gz").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// A golden directory unpacked for one test.
pub struct Golden {
    /// Its name.
    pub name: String,
    dir: TempDir,
}

impl Golden {
    /// Unpacks a fresh copy.
    ///
    /// # Panics
    /// When the archive is missing or damaged.
    pub fn unpack(name: &str) -> Golden {
        let archive = archives().join(format!("{name}.tar.gz"));
        let file = File::open(&archive).unwrap_or_else(|e| panic!("cannot open {}: {e}", archive.display()));
        let dir = tempfile::tempdir().expect("a temporary folder can be created");
        tar::Archive::new(flate2::read::GzDecoder::new(file))
            .unpack(dir.path())
            .unwrap_or_else(|e| panic!("cannot unpack {}: {e}", archive.display()));
        Golden { name: name.to_owned(), dir }
    }

    /// The `dataDir` of the copy.
    pub fn data_dir(&self) -> PathBuf {
        let split = self.dir.path().join("data");
        if split.is_dir() { split } else { self.dir.path().to_owned() }
    }

    /// The `dataLogDir` of the copy where it is another one.
    pub fn data_log_dir(&self) -> Option<PathBuf> {
        Some(self.dir.path().join("datalog")).filter(|dir| dir.is_dir())
    }

    /// One of the expectations, `expected.json` or `expected-by-full-replay.json`.
    pub fn expected(&self, file: &str) -> Value {
        let path = self.dir.path().join(file);
        let text = std::fs::read(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Every file of the copy with its bytes, for tests that nothing was changed.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(self.dir.path(), &mut files).expect("the copy can be read");
        files
    }
}

fn collect(dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            let bytes = std::fs::read(&path)?;
            files.insert(path, bytes);
        }
    }
    Ok(())
}

/// The `-D` properties the expectation was made with.
pub fn loader_options(expected: &Value) -> Vec<(String, String)> {
    options(&expected["loaderOptions"])
}

/// The `-D` properties the directory was written with.
pub fn writer_options(expected: &Value) -> Vec<(String, String)> {
    options(&expected["about"]["writerOptions"])
}

fn options(value: &Value) -> Vec<(String, String)> {
    let map = value.as_object().expect("options are an object");
    map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
}

/// What a server must serve.
pub fn expected_state(expected: &Value) -> State {
    let (sessions, ephemerals) =
        parse_dump(expected["dump4lw"].as_str().expect("dump4lw")).expect("the recorded dump can be read");
    let nodes = expected["nodes"].as_array().expect("nodes").iter().map(node).collect();
    State {
        last_zxid: hex(&expected["lastZxid"]),
        node_count: expected["nodeCount"].as_i64().expect("nodeCount"),
        sessions,
        ephemerals,
        nodes,
    }
}

fn node(v: &Value) -> (String, Node) {
    let s = &v["stat"];
    let int = |key: &str| s[key].as_i64().unwrap_or_else(|| panic!("{key} of {v}")) as i32;
    let long = |key: &str| s[key].as_i64().unwrap_or_else(|| panic!("{key} of {v}"));
    let stat = Stat {
        czxid: hex(&s["czxid"]),
        mzxid: hex(&s["mzxid"]),
        ctime: long("ctime"),
        mtime: long("mtime"),
        version: int("version"),
        cversion: int("cversion"),
        aversion: int("aversion"),
        ephemeral_owner: hex(&s["ephemeralOwner"]),
        data_length: int("dataLength"),
        num_children: int("numChildren"),
        pzxid: hex(&s["pzxid"]),
    };
    let acls = v["acl"].as_array().expect("acl").iter().map(|a| {
        Acl::new(
            a["perms"].as_i64().expect("perms") as i32,
            a["scheme"].as_str().expect("scheme"),
            a["id"].as_str().expect("id"),
        )
    });
    let data = v["data"].as_str().map(base64);
    (v["path"].as_str().expect("path").to_owned(), Node { data, stat, acls: acls.collect() })
}

fn hex(v: &Value) -> i64 {
    let text = v.as_str().unwrap_or_else(|| panic!("{v} is no hex text"));
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_else(|e| panic!("{text}: {e}")) as i64
}

/// Decodes standard base64; enough for the golden files, not for strangers' input.
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        let value = ALPHABET.iter().position(|a| *a == c).unwrap_or_else(|| panic!("{text} is no base64"));
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_text_is_decoded() {
        assert_eq!(base64("bA=="), b"l");
        assert_eq!(base64("aGVsbG8="), b"hello");
        assert_eq!(base64(""), b"");
    }
}
