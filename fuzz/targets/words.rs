//! Four-letter words: which one the first bytes are, and its answer from a server full of odd names.
//!
//! The input is what a client sends (a word, and eight bytes for `stmk`), a byte of settings, and then the names and
//! numbers the server is full of.
//!
//! Holds: exactly the words are words; each is answered, `stmk` without its argument and the interrupted telnet
//! excepted; a server that does not serve gives away nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoll::admin::metrics::{KeyedCounter, KeyedSummary, Metrics, MetricsView};
use quoll::admin::words::{Command, Effect, Whitelist, answer};
use quoll::admin::{
    ConnectionView, EnsembleView, ExpiryBucket, LatencyStats, Mode, QuotaView, ServerView, SessionsView,
    SizeStats, WatchesSummary, last_op,
};
use quoll::types::{OpCode, QuotaSums, SessionId, Totals, Zxid};
use std::net::SocketAddr;

const SECRET: &str = "a-name-nobody-may-see";

fuzz_target!(|input: &[u8]| {
    let Some((word, rest)) = input.split_first_chunk::<4>() else { return };
    let sniffed = Command::from_bytes(*word);
    let named = Command::ALL.into_iter().find(|c| c.name().as_bytes() == word);
    assert_eq!(sniffed.is_some(), named.is_some() || word == b"\xff\xf4\xff\xfd");
    let argument = rest.first_chunk::<8>().map(|b| i64::from_be_bytes(*b));
    let mut source = Source(rest.get(8..).unwrap_or_default());
    let settings = source.byte();
    let whitelist = Whitelist::new(Some(&source.text()), settings & 1 == 1);
    assert!(whitelist.allows(Command::Srvr));
    let mut view = view(&mut source, settings);
    for command in Command::ALL {
        assert!(Whitelist::refusal(command).starts_with(command.name()));
        view.running = settings & 2 == 0;
        let given = answer(command, &view, argument);
        let silent = command == Command::TelnetClose || (command == Command::Stmk && argument.is_none());
        assert_eq!(given.is_none(), silent, "{command:?}");
        if let Some(given) = given {
            assert!(command == Command::Stmk || !matches!(given.effect, Effect::SetTraceMask(_)));
            let open = view.running || command == Command::Envi;
            assert!(open || !given.text.contains(SECRET), "{command:?}");
        }
    }
});

struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn number(&mut self) -> u64 {
        let n = usize::from(self.byte() & 7).min(self.0.len());
        let (bytes, rest) = self.0.split_at(n);
        self.0 = rest;
        let small = bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b));
        if n == 7 { u64::MAX - small } else { small }
    }

    fn text(&mut self) -> String {
        let n = usize::from(self.byte() & 63).min(self.0.len());
        let (bytes, rest) = self.0.split_at(n);
        self.0 = rest;
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.byte() & 3).map(|_| item(self)).collect()
    }

    fn session(&mut self) -> SessionId {
        SessionId(self.number() as i64)
    }

    fn address(&mut self) -> SocketAddr {
        let port = self.number() as u16;
        match self.byte() {
            0 => ([127, 0, 0, 1], port).into(),
            n => ([u16::from(n), 0, 0, 0, 0, 0, 0, 1], port).into(),
        }
    }

    fn sessions(&mut self) -> Vec<ExpiryBucket<SessionId>> {
        self.list(|s| ExpiryBucket { expires_ms: s.number() as i64, members: s.list(Self::session) })
    }

    fn connection(&mut self) -> ConnectionView {
        let ops = OpCode::ALL;
        ConnectionView {
            remote: self.address(),
            interest_ops: self.byte(),
            queued: self.number(),
            received: self.number(),
            sent: self.number(),
            session: self.session(),
            last_op: last_op(ops[usize::from(self.byte()) % ops.len()]),
            established_ms: self.number() as i64,
            timeout_ms: self.number() as u32,
            last_cxid: self.number() as i64,
            last_zxid: Zxid(self.number() as i64),
            last_response_ms: self.number(),
            last_latency_ms: self.number(),
            min_latency_ms: self.number(),
            avg_latency_ms: self.number(),
            max_latency_ms: self.number(),
        }
    }
}

fn metrics(s: &mut Source<'_>) -> MetricsView {
    let metrics = Metrics::new(1);
    let shard = metrics.shard(0);
    for counter in KeyedCounter::ALL {
        shard.inc_keyed(counter, &s.text());
    }
    for summary in KeyedSummary::ALL {
        shard.record_keyed(summary, &s.text(), Totals::one(s.number()));
    }
    metrics.view()
}

fn view(s: &mut Source<'_>, settings: u8) -> ServerView {
    let metrics = if settings & 128 == 0 { MetricsView::default() } else { metrics(s) };
    let size = |n: u64| (n & 1 == 1).then_some(n as u32);
    let mut view = ServerView {
        mode: [Mode::Standalone, Mode::Leader, Mode::Follower, Mode::Observer, Mode::ReadOnly]
            [usize::from(settings >> 2) % 5],
        latency: LatencyStats { min_ms: s.number(), avg_ms: s.number() as f64 / 3.0, max_ms: s.number() },
        packets_received: s.number(),
        last_zxid: Zxid(s.number() as i64),
        node_count: s.number(),
        uptime_ms: s.number(),
        response_sizes: SizeStats { last: size(s.number()), min: size(s.number()), max: size(s.number()) },
        watch_count: s.number(),
        data_bytes: s.number(),
        global_sessions: s.number(),
        open_files: Some(s.number()),
        connection_drop_probability: s.number() as f64 / 7.0,
        data_dir_bytes: s.number(),
        connections: s.list(Source::connection),
        ephemerals: s.list(|s| (s.session(), s.list(Source::text))),
        connection_expiry: s.list(|s| ExpiryBucket {
            expires_ms: s.number() as i64,
            members: s.list(|s| (s.address(), s.session())),
        }),
        watches_summary: WatchesSummary { connections: s.number(), paths: s.number(), total: s.number() },
        watches_by_session: s.list(|s| (s.session(), s.list(Source::text))),
        watches_by_path: s.list(|s| (s.text(), s.list(Source::session))),
        digests: s.list(|s| (Zxid(s.number() as i64), s.number())),
        environment: s.list(|s| (s.text(), s.text())),
        quotas: s.list(|s| QuotaView {
            namespace: s.text(),
            sums: QuotaSums {
                limits: (s.byte() & 1 == 1).then(|| (s.number() as i64, s.number() as i64)),
                usage: (s.byte() & 1 == 1).then(|| (s.number() as i64, s.number() as i64)),
            },
        }),
        metrics,
        ..ServerView::default()
    };
    view.sessions = match s.byte() & 3 {
        n @ (0 | 2) => SessionsView::Owner { global: s.sessions(), local: (n == 2).then(|| s.sessions()) },
        n => SessionsView::Learner {
            global: s.list(|s| (s.session(), s.number() as u32)),
            local: (n == 3).then(|| s.sessions()),
        },
    };
    view.settings.data_dir = s.text();
    view.settings.tick_time_ms = s.number() as u32;
    view.settings.server_id = s.number() as i64;
    view.settings.ensemble = (s.byte() & 1 == 1).then(|| EnsembleView {
        init_limit: s.number() as u32,
        sync_limit: s.number() as u32,
        election_port: s.number() as u16,
        quorum_port: s.number() as u16,
        observer: s.byte() & 1 == 1,
        membership: (s.byte() & 1 == 1).then(|| s.text()),
    });
    view.ephemerals.push((SessionId(1), vec![SECRET.into()]));
    view.watches_by_path.push((SECRET.into(), vec![SessionId(1)]));
    view.settings.data_log_dir = SECRET.into();
    view
}
