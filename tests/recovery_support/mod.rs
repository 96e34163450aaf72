//! Opens the archives of real data directories and compares what they hold.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quoll::storage::{Disk, RealDisk, Recovered, StorageError, StorageOptions, recover};
use quoll::tree::{Tree, TreeOptions};
use quoll::types::{Acl, Stat};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An archive, unpacked into a temporary directory.
pub struct Golden {
    pub name: String,
    pub expected: Value,
    pub expected_by_full_replay: Option<Value>,
    /// As the Java server was started that made `expected.json`.
    pub options: StorageOptions,
    pub tree_options: TreeOptions,
    _dir: tempfile::TempDir,
}

fn archives() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/datadirs")
}

impl Golden {
    pub fn names() -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(archives())
            .expect("tests/golden/datadirs is part of the repository")
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter_map(|n| n.strip_suffix(".tar.gz").map(str::to_owned))
            .collect();
        names.sort();
        names
    }

    pub fn open(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        unpack(&archives().join(format!("{name}.tar.gz")), dir.path());
        let json = |file: &str| {
            let text = std::fs::read(dir.path().join(file)).ok()?;
            Some(serde_json::from_slice::<Value>(&text).unwrap())
        };
        let expected = json("expected.json").unwrap_or_else(|| panic!("{name} has no expected.json"));
        let set = |key: &str| expected["loaderOptions"][key].as_str();
        let mut options = StorageOptions::in_dir(dir.path());
        if dir.path().join("datalog").exists() {
            options.data_dir = dir.path().join("data");
            options.data_log_dir = dir.path().join("datalog");
        }
        options.trust_empty_snapshot = set("zookeeper.snapshot.trust.empty") == Some("true");
        let mut tree_options = TreeOptions { hash_seed: 7, ..TreeOptions::default() };
        tree_options.digest = set("zookeeper.digest.enabled") != Some("false");
        tree_options.owner_rules.extended_types = set("zookeeper.extendedTypesEnabled") == Some("true");
        tree_options.owner_rules.emulate_353 = set("zookeeper.emulate353TTLNodes") == Some("true");
        Self {
            name: name.to_owned(),
            expected_by_full_replay: json("expected-by-full-replay.json"),
            expected,
            options,
            tree_options,
            _dir: dir,
        }
    }

    pub fn served_by_java(&self) -> bool {
        self.expected["start"] == "ok"
    }

    pub fn recover(&self) -> Result<Recovered, StorageError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        recover(&disk, &self.options, self.tree_options, &mut |_| {})
    }

    /// Removes all snapshots but `snapshot.0`, so that the whole log has to be replayed.
    pub fn keep_only_first_snapshot(&self) {
        for entry in std::fs::read_dir(self.options.snap_dir()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with("snapshot.") && !["snapshot.0", "snapshot.0.gz"].contains(&&*name) {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    /// Compares everything that is recorded.
    pub fn assert_holds(&self, recovered: &Recovered, expected: &Value) {
        let name = &self.name;
        let tree = &recovered.tree;
        let engine = &expected["engine"];
        assert_eq!(hex(&expected["lastZxid"]), recovered.last_zxid.0, "{name}: last zxid");
        assert_eq!(hex(&engine["lastZxid"]), tree.last_zxid().0, "{name}: last zxid of the tree");
        let list = match &expected["nodes"] {
            Value::Array(nodes) => nodes,
            _ => self.expected["nodes"].as_array().expect("nodes in expected.json"),
        };
        let theirs: BTreeMap<_, _> =
            list.iter().map(NodeView::from_json).map(|n| (n.path.clone(), n)).collect();
        let ours = nodes_of(tree);
        for (path, node) in &theirs {
            assert_eq!(ours.get(path), Some(node), "{name}: {path}");
        }
        for path in ours.keys() {
            assert!(theirs.contains_key(path), "{name}: {path} should not be there");
        }
        assert_eq!(expected["nodeCount"].as_u64().unwrap(), tree.node_count() as u64 + 1, "{name}");
        if self.tree_options.digest {
            assert_eq!(engine["treeDigest"].as_str().unwrap(), format!("{:x}", tree.digest()), "{name}");
        }
        assert_eq!(
            engine["approximateDataSize"].as_i64().unwrap(),
            tree.data_size_bytes(),
            "{name}: data size"
        );
        let sessions: BTreeMap<_, _> =
            recovered.sessions.iter().map(|(s, t)| (format!("{:#x}", s.0), i64::from(*t))).collect();
        let theirs: BTreeMap<_, _> = engine["sessions"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(s, t)| (s.clone(), t.as_i64().unwrap()))
            .collect();
        assert_eq!(sessions, theirs, "{name}: sessions");
        let ephemerals: BTreeMap<String, BTreeSet<String>> = tree
            .ephemeral_sessions()
            .map(|s| (format!("{:#x}", s.0), tree.ephemerals(s).collect::<BTreeSet<_>>()))
            .filter(|(_, paths)| !paths.is_empty())
            .collect();
        let theirs: BTreeMap<String, BTreeSet<String>> = engine["ephemerals"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(s, paths)| (s.clone(), strings(paths)))
            .filter(|(_, paths)| !paths.is_empty())
            .collect();
        assert_eq!(ephemerals, theirs, "{name}: ephemerals");
        let paths = |nodes: Vec<quoll::tree::Node<'_>>| nodes.iter().map(|n| n.path()).collect();
        let ours: BTreeSet<String> = paths(tree.containers().collect());
        assert_eq!(ours, strings(&engine["containers"]), "{name}: containers");
        let ours: BTreeSet<String> = paths(tree.ttls().collect());
        assert_eq!(ours, strings(&engine["ttls"]), "{name}: TTLs");
    }
}

fn strings(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

fn hex(v: &Value) -> i64 {
    let text = v.as_str().unwrap_or_else(|| panic!("{v} is no hexadecimal number"));
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap() as i64
}

/// A znode as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    pub path: String,
    pub data: Option<Vec<u8>>,
    pub stat: Stat,
    pub acl: Vec<(i32, String, String)>,
}

impl NodeView {
    pub fn from_json(v: &Value) -> Self {
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let stat = &v["stat"];
        let int = |key: &str| stat[key].as_i64().unwrap_or_else(|| panic!("{key} in {stat}")) as i32;
        Self {
            path: text(&v["path"]),
            data: v["data"].as_str().map(|d| STANDARD.decode(d).unwrap()),
            stat: Stat {
                czxid: hex(&stat["czxid"]),
                mzxid: hex(&stat["mzxid"]),
                ctime: stat["ctime"].as_i64().unwrap(),
                mtime: stat["mtime"].as_i64().unwrap(),
                version: int("version"),
                cversion: int("cversion"),
                aversion: int("aversion"),
                ephemeral_owner: hex(&stat["ephemeralOwner"]),
                data_length: int("dataLength"),
                num_children: int("numChildren"),
                pzxid: hex(&stat["pzxid"]),
            },
            acl: v["acl"]
                .as_array()
                .unwrap()
                .iter()
                .map(|a| (a["perms"].as_i64().unwrap() as i32, text(&a["scheme"]), text(&a["id"])))
                .collect(),
        }
    }
}

/// All znodes of a tree by path.
pub fn nodes_of(tree: &Tree) -> BTreeMap<String, NodeView> {
    let mut all = BTreeMap::new();
    let mut todo = vec![tree.root()];
    while let Some(node) = todo.pop() {
        let path = match node.path() {
            p if p.is_empty() => "/".to_owned(),
            p => p,
        };
        let acl = |a: &Acl| (a.perms.0, a.id.scheme.to_string(), a.id.id.to_string());
        let view = NodeView {
            path: path.clone(),
            data: node.data().map(<[u8]>::to_vec),
            stat: node.stat(),
            acl: node.acl().iter().map(acl).collect(),
        };
        all.insert(path, view);
        todo.extend(node.children());
    }
    all
}

/// Unpacks a gzipped archive in the ustar format, as far as this repository uses it: files and directories.
fn unpack(archive: &Path, to: &Path) {
    let file = std::fs::File::open(archive).unwrap_or_else(|e| panic!("{}: {e}", archive.display()));
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut tar).unwrap();
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.iter().copied().take_while(|&b| b != 0).collect()).unwrap().trim().to_owned()
    };
    let mut at = 0;
    while at + 512 <= tar.len() && tar[at] != 0 {
        let head = &tar[at..at + 512];
        let path = to.join(text(&head[..100]));
        let size = usize::from_str_radix(&text(&head[124..136]), 8).unwrap();
        at += 512;
        match head[156] {
            b'5' => std::fs::create_dir_all(path).unwrap(),
            b'0' => {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, &tar[at..at + size]).unwrap();
            }
            kind => panic!("{}: an entry of kind {kind}", archive.display()),
        }
        at += size.next_multiple_of(512);
    }
}
