//! What a znode and a watch cost: bytes, exactly accounted and resident, and nanoseconds.
//!
//! `cargo bench --bench tree` for a million znodes; a number as argument for as many.

use bytes::Bytes;
use quoll::{
    tree::{Effects, Tree, TreeOptions, node_digest},
    types::{ConnId, OwnerRules, SessionId, StatPersisted, SubTxn, Txn, TxnBody, Zxid, open_acl},
    watch::{WatchManager, WatchMode},
};
use std::{fs, hint::black_box, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DIRS: usize = 1000;
const DATA_LEN: usize = 100;
const SAMPLE: usize = 200_000;

fn main() {
    let count = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(1_000_000_usize).max(SAMPLE);
    znodes(count, true);
    znodes(count, false);
    watches();
}

fn znodes(count: usize, digest: bool) {
    println!("\n{count} znodes of {DATA_LEN} B, digest {}", if digest { "on" } else { "off" });
    let options = TreeOptions { hash_seed: 42, owner_rules: OwnerRules::default(), digest };
    let mut tree = Tree::new(options);
    let mut effects = Effects::disabled();
    let mut zxid = 0;
    let mut run = |tree: &mut Tree, op: SubTxn| {
        zxid += 1;
        let zxid = Zxid(zxid);
        let txn =
            Txn { session: SessionId(1), cxid: 1, zxid, time_ms: 1, body: TxnBody::One(op), digest: None };
        let start = Instant::now();
        black_box(tree.apply(&txn, &mut effects));
        start.elapsed().as_nanos()
    };
    for dir in 0..DIRS {
        run(&mut tree, create(&format!("/d{dir}"), 0));
    }
    let paths: Vec<String> = (0..count).map(|n| format!("/d{}/node-{:010}", n % DIRS, n / DIRS)).collect();
    let names: usize = paths.iter().map(|p| p.len() - p.rfind('/').unwrap() - 1).sum();
    let before = resident_bytes();
    let (mut total, mut worst) = (0, 0);
    for path in &paths {
        let ns = run(&mut tree, create(path, DATA_LEN));
        total += ns;
        worst = worst.max(ns);
    }
    let resident = resident_bytes() - before;
    println!("  create            {:5} ns, worst {} us", total / count as u128, worst / 1000);
    let payload = names + count * DATA_LEN;
    let over = |bytes: usize| (bytes as f64 - payload as f64) / count as f64;
    println!(
        "  memory            {:.1} B per znode + name + data by account, {:.1} B resident",
        over(tree.memory_bytes()),
        over(resident)
    );

    // Far apart, so that nothing is in a cache by luck.
    let order: Vec<usize> = (0..SAMPLE).map(|n| n * 7_919_993 % count).collect();
    let hits: Vec<&str> = order.iter().map(|&n| paths[n].as_str()).collect();
    time("lookup", &hits, |path| tree.lookup(path).unwrap().data().unwrap()[0]);
    time("lookup, stat", &hits, |path| tree.lookup(path).unwrap().stat());
    let warm: Vec<&str> = (0..SAMPLE).map(|n| paths[n % 100].as_str()).collect();
    time("lookup, warm", &warm, |path| tree.lookup(path).unwrap().data().unwrap()[0]);
    let misses: Vec<String> = order.iter().map(|&n| format!("{}x", paths[n])).collect();
    time("lookup, missing", &misses, |path| tree.lookup(path).is_none());
    let dirs: Vec<String> = (0..DIRS).map(|d| format!("/d{d}")).collect();
    time("children, of 1000", &dirs, |dir| {
        tree.lookup(dir).unwrap().children().map(|c| c.name().len()).sum::<usize>()
    });
    let stat = StatPersisted::default();
    let data = [1; DATA_LEN];
    time("digest of a znode", &hits, |path| node_digest(path, Some(&data), &stat));

    for (what, len) in [("set, same length", DATA_LEN), ("set, other length", DATA_LEN + 1)] {
        let mut txns: Vec<SubTxn> = order.iter().map(|&n| set(&paths[n], len)).collect();
        let total: u128 = txns.drain(..).map(|op| run(&mut tree, op)).sum();
        println!("  {what:17} {:5} ns", total / SAMPLE as u128);
    }

    let start = Instant::now();
    let mut walk = tree.begin_snapshot().unwrap();
    let begun = start.elapsed();
    let total: u128 = order.iter().map(|&n| run(&mut tree, set(&paths[n], DATA_LEN))).sum();
    println!("  set, in snapshot  {:5} ns (saves a pre-image)", total / SAMPLE as u128);
    let start = Instant::now();
    let mut loader = Tree::loader(options);
    let mut walked = std::time::Duration::ZERO;
    let mut chunk = Vec::new();
    loop {
        let at = Instant::now();
        let more = walk
            .next_chunk(&tree, 1000, &mut |n| {
                chunk.push((n.path.to_owned(), n.data.map(<[u8]>::to_vec), n.acl_index, n.stat.clone()));
            })
            .unwrap();
        walked += at.elapsed();
        for (path, data, acl, stat) in chunk.drain(..) {
            loader.node(&path, data.as_deref(), acl, &stat).unwrap();
        }
        if !more {
            break;
        }
    }
    let loaded = loader.finish(walk.zxid());
    let both = start.elapsed();
    assert_eq!((loaded.digest(), loaded.node_count()), (walk.digest(), walk.node_count()));
    let start = Instant::now();
    let remains = tree.end_snapshot(walk);
    println!(
        "  snapshot          begin {begun:?}, walk {walked:?} (with copies), load {:?}, end {:?}",
        both - walked,
        start.elapsed()
    );
    drop((remains, loaded));

    let deleted: Vec<String> = paths.iter().step_by(5).cloned().collect();
    let total: u128 = deleted
        .iter()
        .map(|path| run(&mut tree, SubTxn::Delete { container: false, path: path.clone() }))
        .sum();
    println!("  delete            {:5} ns", total / deleted.len() as u128);
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

fn time<T, R>(what: &str, inputs: &[T], mut f: impl FnMut(&T) -> R) {
    let start = Instant::now();
    for input in inputs {
        black_box(f(input));
    }
    println!("  {what:17} {:5} ns", start.elapsed().as_nanos() / inputs.len() as u128);
}

fn watches() {
    println!("\nwatches");
    let conn = |serial| ConnId { worker: 0, serial };
    let shapes: [(&str, u32, u32, bool); 4] = [
        ("1000 connections on the same 1000 paths", 1000, 1000, true),
        ("10000 connections on the same 100 paths", 10_000, 100, true),
        ("1 connection on a million paths", 1, 1_000_000, true),
        ("100000 connections, 10 paths of their own", 100_000, 10, false),
    ];
    for (what, conns, paths, shared) in shapes {
        let mut watches = WatchManager::new(1);
        let before = resident_bytes();
        let start = Instant::now();
        for c in 0..conns {
            for p in 0..paths {
                let path = if shared { format!("/app/node-{p:010}") } else { format!("/app/{c:05}-{p:05}") };
                watches.add(conn(c), &path, WatchMode::Data);
            }
        }
        let total = (conns * paths) as usize;
        let distinct = if shared { paths } else { conns * paths } as usize;
        let add_ns = start.elapsed().as_nanos() / total as u128;
        let resident = resident_bytes().saturating_sub(before);
        let text = distinct * 20;
        println!(
            "  {what}: {:.1} B per watch by account, {:.1} B resident, of which path text {:.1} B; add {add_ns} ns",
            watches.memory_bytes() as f64 / total as f64,
            resident as f64 / total as f64,
            text as f64 / total as f64,
        );
        let start = Instant::now();
        for c in 0..conns {
            watches.drop_connection(conn(c));
        }
        println!("    drop {} ns per watch", start.elapsed().as_nanos() / total as u128);
        assert!(watches.is_empty());
    }
    let mut tree = Tree::new(TreeOptions::default());
    let mut watches = WatchManager::new(1);
    watches.add(conn(1), "/elsewhere", WatchMode::Data);
    watches.add(conn(1), "/elsewhere", WatchMode::Child);
    let mut effects = Effects::new();
    for n in 0..SAMPLE {
        let body = TxnBody::One(create(&format!("/node-{n:010}"), 1));
        let txn = Txn { session: SessionId(1), cxid: 1, zxid: Zxid(1), time_ms: 1, body, digest: None };
        tree.apply(&txn, &mut effects);
    }
    let start = Instant::now();
    watches.trigger(&effects, Zxid(1), |_, _, _| panic!("nobody watches"));
    println!("  trigger of a create that nobody watches: {} ns", start.elapsed().as_nanos() / SAMPLE as u128);
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("a Linux machine");
    let pages: usize = statm.split(' ').nth(1).and_then(|p| p.parse().ok()).expect("two numbers");
    pages * 4096
}
