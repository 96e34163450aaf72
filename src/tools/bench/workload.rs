//! What clients send: the znodes a workload works on, and the next request of each client.
//!
//! Everything lies under one prefix: `data-V/########` holds the key space with values of V bytes, `lists-N/####` are
//! directories of N children, `made/RUN-CLIENT/##########` is what clients create, `load/######/#########` what a bulk
//! load does. Start at [`Plan::new`] and [`Generator::next`].

use super::connection::Dial;
use super::error::Error;
use super::measure::Kind;
use super::setup::Client;
use super::wire::{self, STAT_LEN, Template, op};
use quoll_jute::Writer;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Directories to list, so that not every list is the same one.
const LISTS: u64 = 16;
/// Znodes in one directory of a bulk load.
const LOAD_FAN: u64 = 1000;
/// Of a hundred requests of the mixed workload: create, set, get, list; the rest are deletes.
const MIX: [(u32, Kind); 4] = [(1, Kind::Create), (8, Kind::Set), (45, Kind::Get), (45, Kind::GetChildren)];

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Persistent znodes in a directory per client.
    Create,
    /// setData on random keys.
    Set,
    /// getData on random keys.
    Get,
    /// exists on random keys.
    Exists,
    /// getChildren on random directories.
    Children,
    /// 1 % create, 8 % set, 45 % get, 45 % getChildren, 1 % delete.
    Mixed,
    /// Transactions of several setData on random keys.
    Multi,
    /// An ephemeral znode made and deleted, in turn.
    Ephemeral,
    /// Pings.
    Ping,
    /// Every key read once by every client, with a watch.
    Watch,
    /// A fixed number of znodes made by all clients together.
    Load,
}

impl Workload {
    /// The name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Create => "create",
            Workload::Set => "set",
            Workload::Get => "get",
            Workload::Exists => "exists",
            Workload::Children => "children",
            Workload::Mixed => "mixed",
            Workload::Multi => "multi",
            Workload::Ephemeral => "ephemeral",
            Workload::Ping => "ping",
            Workload::Watch => "watches",
            Workload::Load => "load",
        }
    }

    /// Whether the requests come to an end by themselves.
    pub fn is_finite(self) -> bool {
        matches!(self, Workload::Watch | Workload::Load)
    }

    fn uses_keys(self) -> bool {
        use Workload::{Exists, Get, Mixed, Multi, Set, Watch};
        matches!(self, Set | Get | Exists | Mixed | Multi | Watch)
    }

    fn uses_lists(self) -> bool {
        matches!(self, Workload::Children | Workload::Mixed)
    }

    fn makes_znodes(self) -> bool {
        matches!(self, Workload::Create | Workload::Mixed | Workload::Ephemeral)
    }
}

/// Sizes of a workload.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Path under which everything is made.
    pub prefix: String,
    /// Znodes in the key space.
    pub keys: u64,
    /// Bytes of a value.
    pub value_len: usize,
    /// Children of a listed directory.
    pub children: u64,
    /// Operations in a multi; a bulk load sends plain creates with 1.
    pub multi_len: u64,
    /// Znodes of a bulk load.
    pub load_len: u64,
    /// Seed of the choices.
    pub seed: u64,
}

/// The encoded requests all clients share.
#[derive(Debug)]
pub(super) struct Plan {
    pub workload: Workload,
    pub shape: Shape,
    value: Vec<u8>,
    /// Tells what this run makes from what another one left.
    run: String,
    key_template: Template,
    get: Template,
    multi: Template,
    list: Template,
    ping: Template,
    load: Template,
    load_next: AtomicU64,
    /// Length of a whole reply by kind.
    reply_len: [usize; Kind::ALL.len()],
}

impl Plan {
    /// Encodes what `workload` sends. `run` is part of the names of created znodes.
    pub fn new(workload: Workload, shape: Shape, run: String) -> Self {
        let value = value(shape.seed, shape.value_len);
        let key = format!("{}/data-{}/########", shape.prefix, shape.value_len);
        let list = format!("{}/lists-{}/####", shape.prefix, shape.children);
        let leaf = format!("{}/load/######/#########", shape.prefix);
        let key_template = match workload {
            Workload::Exists => Template::new(op::EXISTS, &key, wire::read(&key, false)),
            _ => Template::new(op::SET_DATA, &key, wire::set(&key, &value)),
        };
        let sets = |w: &mut Writer<'_>| {
            wire::multi(w, (0..shape.multi_len).map(|_| (op::SET_DATA, wire::set(&key, &value))));
        };
        let load = if shape.multi_len > 1 {
            Template::new(op::MULTI, &leaf, |w| {
                let create = || (op::CREATE, wire::create(&leaf, &value, false));
                wire::multi(w, (0..shape.multi_len).map(|_| create()));
            })
        } else {
            Template::new(op::CREATE, &leaf, wire::create(&leaf, &value, false))
        };
        let mut plan = Self {
            workload,
            get: Template::new(op::GET_DATA, &key, wire::read(&key, workload == Workload::Watch)),
            multi: Template::new(op::MULTI, &key, sets),
            list: Template::new(op::GET_CHILDREN, &list, wire::read(&list, false)),
            ping: Template::new(op::PING, "", |_| ()),
            key_template,
            load,
            load_next: AtomicU64::new(0),
            reply_len: [0; Kind::ALL.len()],
            shape,
            value,
            run,
        };
        plan.fill_reply_len();
        plan
    }

    fn fill_reply_len(&mut self) {
        const MULTI_HEADER: usize = 9;
        // A null value, which is what an empty one may come back as, is also four bytes.
        let ops = self.shape.multi_len as usize;
        let made = if self.workload == Workload::Load {
            self.shape.prefix.len() + "/load/######/#########".len()
        } else {
            self.directory(0).len() + 11
        };
        let in_multi = if self.workload == Workload::Load { 4 + made } else { STAT_LEN };
        for (kind, body) in [
            (Kind::Create, 4 + made),
            (Kind::Delete, 0),
            (Kind::Set, STAT_LEN),
            (Kind::Exists, STAT_LEN),
            (Kind::Get, 4 + self.shape.value_len + STAT_LEN),
            (Kind::GetChildren, 4 + self.shape.children as usize * (4 + 6)),
            (Kind::Multi, ops * (MULTI_HEADER + in_multi) + MULTI_HEADER),
            (Kind::Ping, 0),
        ] {
            self.reply_len[kind as usize] = wire::REPLY_HEADER_LEN + body;
        }
    }

    /// Length in bytes of a reply without error to a request of this kind.
    #[inline]
    pub fn reply_len(&self, kind: Kind) -> usize {
        self.reply_len[kind as usize]
    }

    /// Requests all clients together will send, if the workload ends by itself.
    pub fn request_count(&self, clients: usize) -> Option<u64> {
        match self.workload {
            Workload::Watch => Some(self.shape.keys * clients as u64),
            Workload::Load => Some(self.shape.load_len.div_ceil(self.shape.multi_len)),
            _ => None,
        }
    }

    /// Where the client makes its znodes; equally long for all clients.
    fn directory(&self, client: usize) -> String {
        format!("{}/made/{}-{client:06}", self.shape.prefix, self.run)
    }

    /// Makes the znodes the workload needs.
    pub fn set_up(&self, dial: &Dial, clients: usize) -> Result<(), Error> {
        let mut client = Client::open(dial)?;
        let prefix = &self.shape.prefix;
        client.ensure_all(prefix)?;
        if self.workload.uses_keys() {
            let parent = format!("{prefix}/data-{}", self.shape.value_len);
            client.ensure(&parent, b"")?;
            for key in 0..self.shape.keys {
                let path = format!("{parent}/{key:08}");
                client.ensure(&path, &self.value)?;
            }
        }
        if self.workload.uses_lists() {
            let parent = format!("{prefix}/lists-{}", self.shape.children);
            client.ensure(&parent, b"")?;
            for list in 0..LISTS {
                let directory = format!("{parent}/{list:04}");
                client.ensure(&directory, b"")?;
                for child in 0..self.shape.children {
                    client.ensure(&format!("{directory}/{child:06}"), b"")?;
                }
            }
        }
        if self.workload.makes_znodes() {
            client.ensure(&format!("{prefix}/made"), b"")?;
            for number in 0..clients {
                client.ensure(&self.directory(number), b"")?;
            }
        }
        if self.workload == Workload::Load {
            client.ensure(&format!("{prefix}/load"), b"")?;
            for directory in 0..self.shape.load_len.div_ceil(LOAD_FAN) {
                client.ensure(&format!("{prefix}/load/{directory:06}"), b"")?;
            }
        }
        client.finish()?;
        client.close();
        Ok(())
    }

    /// Removes everything under the prefix.
    pub fn clean_up(&self, dial: &Dial) -> Result<(), Error> {
        let mut client = Client::open(dial)?;
        client.remove_all(&self.shape.prefix)?;
        client.close();
        Ok(())
    }
}

/// Bytes that do not compress and are the same for the same seed.
pub(super) fn value(seed: u64, len: usize) -> Vec<u8> {
    let mut value = vec![0; len];
    SmallRng::seed_from_u64(seed).fill(&mut value[..]);
    value
}

/// The requests of one client.
#[derive(Debug)]
pub(super) struct Generator {
    plan: Arc<Plan>,
    rng: SmallRng,
    create: Template,
    delete: Template,
    created: u64,
    deleted: u64,
    /// Next key of a pass over all of them.
    key_next: u64,
    /// Numbers of a request that takes many.
    numbers: Vec<u64>,
}

impl Generator {
    /// The requests of client number `client`.
    pub fn new(plan: &Arc<Plan>, client: usize) -> Self {
        let path = format!("{}/##########", plan.directory(client));
        let is_ephemeral = plan.workload == Workload::Ephemeral;
        Self {
            rng: SmallRng::seed_from_u64(
                plan.shape.seed ^ (client as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ),
            create: Template::new(op::CREATE, &path, wire::create(&path, &plan.value, is_ephemeral)),
            delete: Template::new(op::DELETE, &path, wire::delete(&path)),
            created: 0,
            deleted: 0,
            key_next: 0,
            numbers: Vec::new(),
            plan: Arc::clone(plan),
        }
    }

    /// Appends the next request; `None` when there are no more. Pings leave with their own xid, all others with `xid`.
    #[inline]
    pub fn next(&mut self, out: &mut Vec<u8>, xid: i32) -> Option<Kind> {
        let kind = match self.plan.workload {
            Workload::Get => Kind::Get,
            Workload::Set => Kind::Set,
            Workload::Exists => Kind::Exists,
            Workload::Children => Kind::GetChildren,
            Workload::Multi => Kind::Multi,
            Workload::Ping => Kind::Ping,
            Workload::Create => Kind::Create,
            Workload::Ephemeral if self.created > self.deleted => Kind::Delete,
            Workload::Ephemeral => Kind::Create,
            Workload::Mixed => self.mixed(),
            Workload::Watch => return self.next_watch(out, xid),
            Workload::Load => return self.next_load(out, xid),
        };
        match kind {
            Kind::Get => self.plan.get.append(out, xid, &[self.rng.random_range(0..self.plan.shape.keys)]),
            Kind::Set | Kind::Exists => {
                let key = self.rng.random_range(0..self.plan.shape.keys);
                self.plan.key_template.append(out, xid, &[key]);
            }
            Kind::GetChildren => self.plan.list.append(out, xid, &[self.rng.random_range(0..LISTS)]),
            Kind::Multi => {
                let keys = self.plan.shape.keys;
                self.numbers.clear();
                self.numbers.extend((0..self.plan.shape.multi_len).map(|_| self.rng.random_range(0..keys)));
                self.plan.multi.append(out, xid, &self.numbers);
            }
            Kind::Create => {
                self.create.append(out, xid, &[self.created]);
                self.created += 1;
            }
            Kind::Delete => {
                self.delete.append(out, xid, &[self.deleted]);
                self.deleted += 1;
            }
            Kind::Ping => self.plan.ping.append(out, wire::XID_PING, &[]),
            Kind::Connect | Kind::Notification => unreachable!("no workload asks for these"),
        }
        Some(kind)
    }

    fn mixed(&mut self) -> Kind {
        let mut roll = self.rng.random_range(0..100);
        for (share, kind) in MIX {
            if roll < share {
                return kind;
            }
            roll -= share;
        }
        if self.created > self.deleted { Kind::Delete } else { Kind::Create }
    }

    fn next_watch(&mut self, out: &mut Vec<u8>, xid: i32) -> Option<Kind> {
        if self.key_next == self.plan.shape.keys {
            return None;
        }
        self.plan.get.append(out, xid, &[self.key_next]);
        self.key_next += 1;
        Some(Kind::Get)
    }

    fn next_load(&mut self, out: &mut Vec<u8>, xid: i32) -> Option<Kind> {
        let plan = &self.plan;
        let count = plan.shape.multi_len;
        // The last multi may make a few znodes more than asked for, so that one encoding serves all.
        let first = plan.load_next.fetch_add(count, Relaxed);
        if first >= plan.shape.load_len {
            return None;
        }
        self.numbers.clear();
        let last_directory = (plan.shape.load_len - 1) / LOAD_FAN;
        for number in first..first + count {
            self.numbers.extend([(number / LOAD_FAN).min(last_directory), number]);
        }
        plan.load.append(out, xid, &self.numbers);
        Some(if count > 1 { Kind::Multi } else { Kind::Create })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            prefix: "/b".into(),
            keys: 10,
            value_len: 100,
            children: 10,
            multi_len: 1,
            load_len: 0,
            seed: 7,
        }
    }

    #[test]
    fn the_mixed_workload_keeps_its_shares_and_never_deletes_what_it_has_not_made() {
        let plan = Arc::new(Plan::new(Workload::Mixed, shape(), "r".into()));
        let mut generator = Generator::new(&plan, 0);
        let mut counts = [0u32; Kind::ALL.len()];
        for xid in 0..100_000 {
            let mut out = Vec::new();
            counts[generator.next(&mut out, xid).unwrap() as usize] += 1;
            assert!(generator.deleted <= generator.created);
        }
        for (percent, kind) in MIX.into_iter().chain([(1, Kind::Delete)]) {
            let share = counts[kind as usize] / 100;
            assert!(
                share.abs_diff(percent * 10) < 10,
                "{kind:?} has {share} per mille, not {percent} per cent"
            );
        }
    }

    #[test]
    fn a_bulk_load_names_every_znode_once() {
        let plan = Arc::new(Plan::new(
            Workload::Load,
            Shape { load_len: 2500, multi_len: 100, ..shape() },
            String::new(),
        ));
        let mut clients = [Generator::new(&plan, 0), Generator::new(&plan, 1)];
        let mut out = Vec::new();
        let mut requests = 0;
        while clients[requests % 2].next(&mut out, 1).is_some() {
            requests += 1;
        }
        assert_eq!(requests as u64, plan.request_count(2).unwrap());
        let text = String::from_utf8_lossy(&out);
        assert_eq!(text.matches("/b/load/000002/").count(), 500);
        assert_eq!(text.matches("/b/load/000002/000002499").count(), 1);
    }
}
