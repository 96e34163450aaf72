//! What a znode and a watch cost: bytes, by account and resident, and nanoseconds of CPU.
//!
//! `cargo bench --bench tree` for a million znodes, `cargo bench --bench tree -- N` for as many. Each part runs in a
//! process of its own, so that memory is counted from nothing.

use bytes::Bytes;
use quoll::{
    tree::{Effects, Tree, TreeOptions, node_digest},
    types::{ConnId, OwnerRules, SessionId, StatPersisted, SubTxn, Txn, TxnBody, Zxid, open_acl},
    watch::{WatchManager, WatchMode},
};
use rustix::time::{ClockId, clock_gettime};
use std::{fs, hint::black_box, process::Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DIRS: usize = 1000;
const DATA_LEN: usize = 100;
const SAMPLE: usize = 200_000;
/// Connections, paths of each, whether the same ones, what that is.
const WATCHES: [(u32, u32, bool, &str); 4] = [
    (1000, 1000, true, "1,000 connections on the same 1,000 paths"),
    (10_000, 100, true, "10,000 connections on the same 100 paths"),
    (1, 1_000_000, true, "one connection on a million paths"),
    (100_000, 10, false, "100,000 connections on 10 paths of their own"),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let count = args.first().and_then(|a| a.parse().ok()).unwrap_or(1_000_000_usize).max(SAMPLE);
    match args.get(1).map(String::as_str) {
        Some("znodes") => znodes(count, true),
        Some("znodes-without-digest") => znodes(count, false),
        Some("trigger") => trigger(),
        Some(part) => watches(part.parse().expect("a part's name")),
        None => {
            for part in ["znodes", "znodes-without-digest", "0", "1", "2", "3", "trigger"] {
                let this = std::env::current_exe().expect("the path of this program");
                let status = Command::new(this).args([&count.to_string(), part]).status();
                assert!(status.expect("this program").success(), "{part} failed");
            }
        }
    }
}

fn znodes(count: usize, digest: bool) {
    println!("\n{count} znodes of {DATA_LEN} B, digest {}", if digest { "on" } else { "off" });
    let options = TreeOptions { hash_seed: 42, owner_rules: OwnerRules::default(), digest };
    let mut tree = Tree::new(options);
    let mut zxid = 0;
    let mut txns = |ops: &mut dyn Iterator<Item = SubTxn>| -> Vec<Txn> {
        ops.map(|op| {
            zxid += 1;
            txn(zxid, op)
        })
        .collect()
    };
    let dirs: Vec<String> = (0..DIRS).map(|d| format!("/d{d}")).collect();
    apply(&mut tree, &txns(&mut dirs.iter().map(|d| create(d, 0))));
    let path = |n: usize| format!("/d{}/node-{:010}", n % DIRS, n / DIRS);
    let name_len = "node-0000000000".len();

    let before = resident_bytes();
    let mut created = 0;
    for first in (0..count).step_by(1000) {
        let some = txns(&mut (first..(first + 1000).min(count)).map(|n| create(&path(n), DATA_LEN)));
        created += apply(&mut tree, &some);
    }
    let resident = resident_bytes() - before;
    println!("  create             {:5} ns", created / count as u128);
    let over = |bytes: usize| bytes as f64 / count as f64 - (name_len + DATA_LEN) as f64;
    println!(
        "  memory             {:.1} B per znode + name + data by account, {:.1} B resident",
        over(tree.memory_bytes()),
        over(resident)
    );

    // Far apart, so that nothing is in a cache by luck.
    let order: Vec<usize> = (0..SAMPLE).map(|n| n * 7_919_993 % count).collect();
    let hits: Vec<String> = order.iter().map(|&n| path(n)).collect();
    let warm: Vec<String> = (0..SAMPLE).map(|n| path(n % 1000)).collect();
    let misses: Vec<String> = hits.iter().map(|p| format!("{p}x")).collect();
    time("lookup and stat", &hits, |path| tree.lookup(path).map(|n| n.stat()));
    time("the same, warm", &warm, |path| tree.lookup(path).map(|n| n.stat()));
    time("lookup, missing", &misses, |path| tree.lookup(path).is_none());
    let names = |n: &String| tree.lookup(n).map(|n| n.children().map(|c| c.name().len()).sum::<usize>());
    time("1000 children", &dirs, names);
    let (stat, data) = (StatPersisted::default(), [1; DATA_LEN]);
    time("digest of a znode", &hits, |path| node_digest(path, Some(&data), &stat));

    let mut set_all = |tree: &mut Tree, what: &str, paths: &[String], len| {
        let some = txns(&mut paths.iter().map(|p| set(p, len)));
        println!("  {what:18} {:5} ns", apply(tree, &some) / paths.len() as u128);
    };
    set_all(&mut tree, "set", &hits, DATA_LEN);
    set_all(&mut tree, "set, warm", &warm, DATA_LEN);
    set_all(&mut tree, "set, other length", &hits, 3 * DATA_LEN);

    let watch = Stopwatch::start();
    let mut walk = tree.begin_snapshot().expect("no other snapshot");
    let begin = watch.us();
    set_all(&mut tree, "set, in snapshot", &hits, DATA_LEN);
    let mut loader = Tree::loader(options);
    let (mut walking, mut loading) = (0, 0);
    let mut chunk = Vec::new();
    loop {
        let watch = Stopwatch::start();
        let mut keep = |n: &quoll::tree::SnapshotNode<'_>| {
            chunk.push((n.path.to_owned(), n.data.map(<[u8]>::to_vec), n.acl_index, n.stat.clone()));
        };
        let more = walk.next_chunk(&tree, 1000, &mut keep).expect("the snapshot is on");
        walking += watch.us();
        let watch = Stopwatch::start();
        for (path, data, acl, stat) in &chunk {
            loader.node(path, data.as_deref(), *acl, stat).expect("a place");
        }
        loading += watch.us();
        chunk.clear();
        if !more {
            break;
        }
    }
    let loaded = loader.finish(walk.zxid());
    assert_eq!((loaded.digest(), loaded.node_count()), (walk.digest(), walk.node_count()));
    drop(loaded);
    let watch = Stopwatch::start();
    let remains = tree.end_snapshot(walk);
    let end = watch.us();
    drop(remains);
    println!("  snapshot           begin {begin} us, walk with copies {walking} us, end {end} us");
    println!("  load               {loading} us");

    let gone = txns(&mut (0..count).step_by(5).map(|n| SubTxn::Delete { container: false, path: path(n) }));
    println!("  delete             {:5} ns", apply(&mut tree, &gone) / gone.len() as u128);
}

fn txn(zxid: i64, op: SubTxn) -> Txn {
    let body = TxnBody::One(op);
    Txn { session: SessionId(1), cxid: 1, zxid: Zxid(zxid), time_ms: 1, body, digest: None }
}

fn create(path: &str, len: usize) -> SubTxn {
    SubTxn::Create {
        with_stat: false,
        path: path.into(),
        data: Some(Bytes::from(vec![b'x'; len])),
        acl: open_acl().clone(),
        ephemeral: false,
        parent_cversion: -1,
    }
}

fn set(path: &str, len: usize) -> SubTxn {
    SubTxn::SetData { path: path.into(), data: Some(Bytes::from(vec![b'y'; len])), version: 1 }
}

fn apply(tree: &mut Tree, txns: &[Txn]) -> u128 {
    let mut effects = Effects::disabled();
    let watch = Stopwatch::start();
    for txn in txns {
        black_box(tree.apply(txn, &mut effects));
    }
    watch.ns()
}

fn time<R>(what: &str, inputs: &[String], mut f: impl FnMut(&String) -> R) {
    let watch = Stopwatch::start();
    for input in inputs {
        black_box(f(input));
    }
    println!("  {what:18} {:5} ns", watch.ns() / inputs.len() as u128);
}

fn watches(shape: usize) {
    let (conns, paths, shared, what) = WATCHES[shape];
    let conn = |serial| ConnId { worker: 0, serial };
    let mut watches = WatchManager::new(1);
    let before = resident_bytes();
    let mut adding = 0;
    for c in 0..conns {
        let own = if shared { 0 } else { c };
        for first in (0..paths).step_by(1000) {
            let texts: Vec<String> =
                (first..(first + 1000).min(paths)).map(|p| format!("/app/{own:05}-{p:08}")).collect();
            let watch = Stopwatch::start();
            texts.iter().for_each(|text| watches.add(conn(c), text, WatchMode::Data));
            adding += watch.ns();
        }
    }
    let resident = resident_bytes() - before;
    let total = (conns * paths) as usize;
    let text = if shared { paths as usize } else { total } * "/app/00000-00000000".len();
    let each = |bytes: usize| bytes as f64 / total as f64;
    println!("\nwatches of {what}");
    println!(
        "  memory             {:.1} B per watch by account, {:.1} B resident; {:.1} B of it is the paths' text",
        each(watches.memory_bytes()),
        each(resident),
        each(text),
    );
    println!("  add                {:5} ns", adding / total as u128);
    let watch = Stopwatch::start();
    (0..conns).for_each(|c| watches.drop_connection(conn(c)));
    println!("  drop, per watch    {:5} ns", watch.ns() / total as u128);
    assert!(watches.is_empty());
}

/// Creates while somebody watches, but elsewhere.
fn trigger() {
    let mut tree = Tree::new(TreeOptions::default());
    let mut watches = WatchManager::new(1);
    for mode in [WatchMode::Data, WatchMode::Child] {
        watches.add(ConnId { worker: 0, serial: 1 }, "/elsewhere", mode);
    }
    let mut effects = Effects::new();
    for n in 0..SAMPLE {
        tree.apply(&txn(n as i64, create(&format!("/node-{n:010}"), 1)), &mut effects);
    }
    let watch = Stopwatch::start();
    watches.trigger(&effects, Zxid(1), |_, _, _| panic!("nobody watches"));
    println!("\ntrigger of a create that nobody watches: {} ns", watch.ns() / SAMPLE as u128);
}

/// Time of this thread on a CPU: the machine may be busy with other things.
struct Stopwatch(i64);

impl Stopwatch {
    fn start() -> Self {
        Self(Self::now())
    }

    fn now() -> i64 {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        now.tv_sec * 1_000_000_000 + now.tv_nsec
    }

    fn ns(&self) -> u128 {
        (Self::now() - self.0) as u128
    }

    fn us(&self) -> u128 {
        self.ns() / 1000
    }
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("a Linux machine");
    let pages: usize = statm.split(' ').nth(1).and_then(|p| p.parse().ok()).expect("two numbers");
    pages * 4096
}
