//! Random requests: valid ones mostly, and every kind of invalid one that a server answers without closing
//! the connection.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use compat_tests::raw::Enc;

/// A request, with a text that says what it is.
#[derive(Clone)]
pub struct Request {
    pub opcode: i32,
    pub body: Vec<u8>,
    pub text: String,
    /// Whether it says what it wants, as part of a multi.
    clear: bool,
}

impl Request {
    /// A write of which nobody knows what it wants. These are left to single servers; for ensembles see
    /// `tests/members`.
    pub fn is_noise_to_write(&self) -> bool {
        !self.clear && matches!(self.opcode, 2 | 5 | 14)
    }
}

fn request(opcode: i32, text: String, body: Enc) -> Request {
    Request { opcode, body: body.0, text, clear: true }
}

/// Few names, so that requests meet.
const PATHS: &[&str] = &[
    "/a",
    "/a",
    "/b",
    "/a/b",
    "/a/b",
    "/a/c",
    "/a/b/c",
    "/b/a",
    "/b/ä€",
    "/c",
    "/c/d",
    "/a/s-0000000001",
    "/c/0000000000",
];

const ODD_PATHS: &[&str] = &[
    "/",
    "",
    "a",
    "/a/",
    "//a",
    "/a//b",
    "/a/.",
    "/a/./b",
    "/..",
    "/a/../b",
    "/a\u{0}b",
    "/a/\u{1}",
    "/a/\u{7f}",
    "/a/\u{f000}",
    "/a/\u{fff0}",
    "/a/\u{1f600}",
    "/zookeeper",
    "/zookeeper/config",
    "/zookeeper/quota",
    "/zookeeper/x",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
    "/zookeeper/quota/a/b",
    "/zookeeper/quota/a/b/zookeeper_limits",
    "/zookeeper/quota/a/b/zookeeper_stats",
];

fn path(random: &mut StdRng) -> &'static str {
    let list = if random.random_ratio(1, 8) { ODD_PATHS } else { PATHS };
    list.choose(random).expect("there are paths")
}

const DATA: &[Option<&[u8]>] = &[None, Some(b""), Some(b"x"), Some(b"twelve bytes")];
const LIMITS: &[Option<&[u8]>] =
    &[Some(b"count=3,bytes=20"), Some(b"count=2,bytes=-1=;byteHardLimit=30;countHardLimit=3")];

/// Data for a path. Quotas are well-formed: of others, upstream refuses every write below them as
/// undecodable, where Quoll takes them for no limit.
fn data(random: &mut StdRng, path: &str) -> Option<&'static [u8]> {
    let quota = path.starts_with("/zookeeper/quota/") || random.random_ratio(1, 4);
    *if quota { LIMITS } else { DATA }.choose(random).expect("there is data")
}

fn version(random: &mut StdRng) -> i32 {
    *[-1, -1, -1, 0, 0, 1, 2, 3, -2].choose(random).expect("there are versions")
}

type Acl = &'static [(i32, &'static str, &'static str)];

const OPEN: Acl = &[(31, "world", "anyone")];

fn acl(random: &mut StdRng) -> Option<Acl> {
    if random.random_ratio(2, 3) {
        return Some(OPEN);
    }
    // Not among them: lists that lock a node for good, or walks would soon have nowhere to go.
    *[
        Some(&[(31, "world", "anyone"), (1, "ip", "127.0.0.1")] as Acl),
        Some(&[(1, "world", "anyone"), (31, "digest", "bob:Xk4BVacb/yD+b2fC8jHqhU4c2NM=")]),
        Some(&[(31, "auth", "")]),
        Some(&[(31, "ip", "127.0.0.0/8")]),
        Some(&[(31, "ip", "10.0.0.1")]),
        Some(&[(15, "world", "anyone")]),
        Some(&[(23, "world", "anyone"), (23, "world", "anyone"), (23, "world", "anyone")]),
        Some(&[(31, "world", "nobody")]),
        Some(&[(31, "unheard", "of")]),
        Some(&[(31, "digest", "no colon")]),
        Some(&[(31, "ip", "127.0.0.1/33")]),
        Some(&[]),
        None,
    ]
    .choose(random)
    .expect("there are lists")
}

fn write_acl(writer: Enc, acl: Option<Acl>) -> Enc {
    match acl {
        None => writer.int(-1),
        Some(entries) => {
            entries.iter().fold(writer.int(entries.len() as i32), |writer, (perms, scheme, id)| {
                writer.int(*perms).str(scheme).str(id)
            })
        }
    }
}

/// What sets a quota on /a.
pub fn quota() -> Vec<Request> {
    [
        ("/zookeeper/quota/a", ""),
        ("/zookeeper/quota/a/b", ""),
        ("/zookeeper/quota/a/zookeeper_limits", "count=5,bytes=30=;byteHardLimit=60;countHardLimit=8"),
        ("/zookeeper/quota/a/zookeeper_stats", "count=0,bytes=0"),
    ]
    .map(|(path, data)| {
        let body = write_acl(Enc::new().str(path).buf(Some(data.as_bytes())), Some(OPEN)).int(0);
        request(1, format!("create {path:?} {data:?}"), body)
    })
    .into()
}

/// A random request. `last_zxid` is about the newest the server has.
pub fn any(random: &mut StdRng, last_zxid: i64) -> Request {
    match random.random_range(0..100) {
        0..30 => create(random),
        30..38 => delete(random),
        38..50 => set_data(random),
        50..70 => read(random),
        70..74 => set_acl(random),
        74..82 => multi(random),
        82..84 => multi_read(random),
        84..93 => watch(random, last_zxid),
        _ => rest(random),
    }
}

fn create(random: &mut StdRng) -> Request {
    let path = path(random);
    let (data, acl) = (data(random, path), acl(random));
    let opcode = *[1, 1, 15, 15, 19, 21].choose(random).expect("there are opcodes");
    let flags = match opcode {
        19 => 4,
        // A flag without TTL under this opcode is left out: upstream logs it and then cannot apply it.
        21 => *[5, 6].choose(random).expect("there are flags"),
        _ => *[0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, -1].choose(random).expect("there are flags"),
    };
    let ttl_ms =
        *[3_600_000, 1, 0, -1, (1 << 40) - 1, 1 << 40, i64::MAX].choose(random).expect("there are TTLs");
    // As a child of the path, or the path itself.
    let path = if random.random_ratio(1, 3) { format!("{path}/s-") } else { path.to_owned() };
    let mut body = write_acl(Enc::new().str(&path).buf(data), acl).int(flags);
    let mut text = format!("create({opcode}) {path:?} {} flags {flags} acl {acl:?}", show(data));
    if opcode == 21 {
        body = body.long(ttl_ms);
        text.push_str(&format!(" ttl {ttl_ms}"));
    }
    let ttl_fits = !matches!(flags, 5 | 6) || opcode == 21 && (1..1 << 40).contains(&ttl_ms);
    let clear = acl.is_some() && ttl_fits && (0..=6).contains(&flags);
    Request { clear, ..request(opcode, text, body) }
}

fn show(data: Option<&[u8]>) -> String {
    data.map_or("null".to_owned(), |data| format!("{:?}", String::from_utf8_lossy(data)))
}

fn delete(random: &mut StdRng) -> Request {
    let (path, version) = (path(random), version(random));
    request(2, format!("delete {path:?} at {version}"), Enc::new().str(path).int(version))
}

fn set_data(random: &mut StdRng) -> Request {
    let path = path(random);
    let (data, version) = (data(random, path), version(random));
    let body = Enc::new().str(path).buf(data).int(version);
    request(5, format!("setData {path:?} {} at {version}", show(data)), body)
}

fn set_acl(random: &mut StdRng) -> Request {
    let (path, acl, version) = (path(random), acl(random), version(random));
    let body = write_acl(Enc::new().str(path), acl).int(version);
    request(7, format!("setACL {path:?} {acl:?} at {version}"), body)
}

fn read(random: &mut StdRng) -> Request {
    let path = path(random);
    let watch = random.random_ratio(1, 4);
    let plain = Enc::new().str(path);
    match random.random_range(0..8) {
        0 | 1 => request(3, format!("exists {path:?} watch {watch}"), plain.bool(watch)),
        2 | 3 => request(4, format!("getData {path:?} watch {watch}"), plain.bool(watch)),
        4 => request(8, format!("getChildren {path:?} watch {watch}"), plain.bool(watch)),
        5 => request(12, format!("getChildren2 {path:?} watch {watch}"), plain.bool(watch)),
        6 => request(6, format!("getACL {path:?}"), plain),
        _ => request(104, format!("getAllChildrenNumber {path:?}"), plain),
    }
}

fn multi(random: &mut StdRng) -> Request {
    let (mut text, mut clear) = ("multi".to_owned(), true);
    let mut body = Enc::new();
    for _ in 0..random.random_range(0..5) {
        let part = match random.random_range(0..6) {
            0..3 => create(random),
            3 => delete(random),
            4 => set_data(random),
            _ => {
                let (path, version) = (path(random), version(random));
                let body = Enc::new().str(path).int(version);
                request(13, format!("check {path:?} at {version}"), body)
            }
        };
        body = body.int(part.opcode).bool(false).int(-1);
        body.0.extend(&part.body);
        text.push_str(&format!(" [{}]", part.text));
        clear &= part.clear;
    }
    Request { clear, ..request(14, text, body.int(-1).bool(true).int(-1)) }
}

fn multi_read(random: &mut StdRng) -> Request {
    let mut text = "multiRead".to_owned();
    let mut body = Enc::new();
    for _ in 0..random.random_range(0..4) {
        let path = path(random);
        let opcode = *[4, 8].choose(random).expect("there are opcodes");
        text.push_str(&format!(" [{opcode} {path:?}]"));
        body = body.int(opcode).bool(false).int(-1).str(path).bool(random.random_ratio(1, 2));
    }
    request(22, text, body.int(-1).bool(true).int(-1))
}

fn watch(random: &mut StdRng, last_zxid: i64) -> Request {
    let path = path(random);
    let plain = Enc::new().str(path);
    match random.random_range(0..5) {
        0 | 1 => {
            let mode = *[0, 1, 0, 1, 2].choose(random).expect("there are modes");
            request(106, format!("addWatch {path:?} mode {mode}"), plain.int(mode))
        }
        2 => {
            let kind = random.random_range(0..7);
            request(18, format!("removeWatches {path:?} type {kind}"), plain.int(kind))
        }
        3 => {
            let kind = random.random_range(0..7);
            request(17, format!("checkWatches {path:?} type {kind}"), plain.int(kind))
        }
        _ => set_watches(random, last_zxid),
    }
}

fn set_watches(random: &mut StdRng, last_zxid: i64) -> Request {
    let opcode = *[101, 105].choose(random).expect("there are opcodes");
    let zxid = (last_zxid - random.random_range(0..30)).max(0);
    let lists: Vec<Vec<&str>> = (0..if opcode == 101 { 3 } else { 5 })
        .map(|_| (0..random.random_range(0..3)).map(|_| path(random)).collect())
        .collect();
    let body = lists.iter().fold(Enc::new().long(zxid), |body, list| {
        list.iter().fold(body.int(list.len() as i32), |body, path| body.str(path))
    });
    request(opcode, format!("setWatches({opcode}) since {zxid} {lists:?}"), body)
}

fn rest(random: &mut StdRng) -> Request {
    let path = path(random);
    match random.random_range(0..6) {
        0 => request(9, format!("sync {path:?}"), Enc::new().str(path)),
        1 => request(103, format!("getEphemerals {path:?}"), Enc::new().str(path)),
        2 => request(107, "whoAmI".to_owned(), Enc::new()),
        3 => {
            let user = *["bob:builds", "alice:finds"].choose(random).expect("there are users");
            let body = Enc::new().int(0).str("digest").buf(Some(user.as_bytes()));
            request(100, format!("auth {user}"), body)
        }
        4 => {
            let body = Enc::new().str("server.2=h:1:2;3").buf(None).buf(None).long(-1);
            request(16, "reconfig".to_owned(), body)
        }
        _ => {
            // A body cut short or filled with noise; the opcode is one whose body is decoded before all else.
            let opcode = *[2, 3, 4, 5, 6, 8, 12, 14].choose(random).expect("there are opcodes");
            let mut body = vec![0; random.random_range(0..6)];
            random.fill_bytes(&mut body);
            // A positive length that the few bytes cannot hold.
            if let Some(first) = body.first_mut() {
                *first = 0x7f;
            }
            Request { clear: false, ..request(opcode, format!("noise({opcode}) {body:02x?}"), Enc(body)) }
        }
    }
}
