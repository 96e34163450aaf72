use crate::{
    types::{ConnId, Id, LinkId, OpCode, ServerId, SessionId, Zxid, members::Members},
    zab,
};
use bytes::Bytes;
use std::sync::Arc;

/// The time, as a value: the pipeline reads no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic ms since any fixed instant; sessions expire by it.
    pub mono_ms: i64,
    /// Wall clock, ms since 1970; goes into txn headers.
    pub wall_ms: i64,
}

/// What reaches the pipeline. What does not belong to its role is ignored: it is from a role that is over.
#[derive(Debug)]
pub enum Input {
    /// The first packet of a connection.
    Connect(Connect),
    /// A request that has to pass the pipeline: a write, or anything behind a connection's own unanswered writes.
    Request(Request),
    /// Sessions that were heard from, with the time of it (monotonic ms). Sent at least every
    /// [`TOUCH_FLUSH_MS`](super::TOUCH_FLUSH_MS).
    Touch(Vec<(SessionId, i64)>),
    /// A connection is gone. Nothing more will come from it, nothing more is delivered to it.
    Gone {
        /// Which.
        conn: ConnId,
        /// The session that it carried; none if it never came that far.
        session: SessionId,
    },
    /// Every log record up to and including this zxid is on stable storage.
    Durable(Zxid),
    /// Time has passed: expire sessions, remove containers.
    Tick,

    /// To a learner: append this to the log. Each is the next one.
    Proposed {
        /// Its number.
        zxid: Zxid,
        /// What the log keeps.
        entry: Bytes,
    },
    /// To a learner: everything up to this is committed. It has been proposed before.
    Committed(Zxid),
    /// To a learner: its oldest sync is through.
    Synced,
    /// To a learner: what its leader says of a session that is to be taken up here.
    Revalidated {
        /// Which.
        session: SessionId,
        /// Whether it lives, and is this server's from now on.
        valid: bool,
    },

    /// To a leader: a member begins to get its history, so what it acknowledged before counts no more.
    Joins {
        /// Which member.
        member: ServerId,
    },
    /// To a leader: a member has everything up to this on stable storage.
    Acked {
        /// Which member. Its own acknowledgement is [`Durable`](Self::Durable).
        member: ServerId,
        /// What.
        zxid: Zxid,
    },
    /// To a leader, or to a follower with observers behind it: a request of a learner's client.
    Forwarded {
        /// From where.
        link: LinkId,
        /// What is asked.
        request: zab::Request,
    },
    /// To a leader: a client has come to a learner with its session. Answered by [`ToLearner::Revalidated`].
    Revalidate {
        /// To which learner.
        link: LinkId,
        /// Which session.
        session: SessionId,
        /// Its timeout there, ms.
        timeout_ms: i32,
    },
    /// To a leader: sessions that a learner has heard from, with their timeouts in ms.
    TouchedAt {
        /// Where.
        link: LinkId,
        /// Which.
        sessions: Vec<(SessionId, i32)>,
    },
    /// To a leader: it still led after [`ToLearner::Barrier`] of this number was asked for.
    BarrierPassed(u64),
    /// To a leader: the learner is gone. Nothing more will come from it, nothing more is sent to it.
    LinkGone {
        /// Which.
        link: LinkId,
    },
}

/// What a learner has to tell its leader, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToLeader {
    /// A client's request that only the leader can answer.
    Forward(zab::Request),
    /// A client wants to take up a session: does it live? Answered by [`Input::Revalidated`], in order for each
    /// session.
    Revalidate {
        /// Which.
        session: SessionId,
        /// Its timeout from now on, ms.
        timeout_ms: i32,
    },
    /// Sessions that were heard from, each once, with their timeouts in ms.
    Touched(Vec<(SessionId, i32)>),
}

/// What a leader has to tell its learners, in this order. The order is binding: learners match answers with what they
/// asked by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToLearner {
    /// Everybody: commit up to this. The proposals were in [`take_log`](super::Pipeline::take_log) before. This, and not
    /// [`committed`](super::Pipeline::committed), says when COMMITs are sent: a learner that gets the COMMIT of a
    /// write before the SYNC of an earlier sync takes the one for the other.
    Committed(Zxid),
    /// One learner: its oldest sync is through.
    Synced {
        /// Which.
        link: LinkId,
    },
    /// One learner: an answer about a session.
    Revalidated {
        /// Which learner.
        link: LinkId,
        /// Which session.
        session: SessionId,
        /// Whether it lives.
        valid: bool,
    },
    /// One observer behind a follower: it has handed on what must not come to the leader. Its connection is to be closed.
    Close {
        /// Which.
        link: LinkId,
        /// Why, for the log.
        why: String,
    },
    /// Nobody in particular: this configuration is proposed, with its version as the zxid. It is to be on stable storage
    /// before anybody says that the proposal is.
    Reconfiguring(Box<Members>),
    /// Everybody, before the commit of this zxid: it is a reconfiguration, and makes this the active configuration.
    Activated {
        /// The txn.
        zxid: Zxid,
        /// Who is to lead: this member, or another one to which it hands over.
        designated: ServerId,
        /// The configuration.
        members: Box<Members>,
    },
    /// Nobody in particular: confirm by a quorum that this server still leads, then say [`Input::BarrierPassed`] with
    /// this number. There is one at a time.
    Barrier(u64),
}

/// The first packet of a connection, already decoded and bounded.
#[derive(Debug)]
pub struct Connect {
    /// Where the answer goes.
    pub conn: ConnId,
    /// Wished timeout in ms, as sent.
    pub timeout_ms: i32,
    /// Session to take up again; 0 for a new one.
    pub session: SessionId,
    /// Its password, as sent.
    pub password: Bytes,
    /// The last zxid the client saw.
    pub last_zxid_seen: Zxid,
    /// The client may be served read-only.
    pub read_only: bool,
    /// The packet had the readOnly byte, so the answer has one too.
    pub has_read_only_byte: bool,
}

/// A request with everything known of its sender.
#[derive(Debug)]
pub struct Request {
    /// Where the answer goes.
    pub conn: ConnId,
    /// The connection's session.
    pub session: SessionId,
    /// The client's number of the request.
    pub xid: i32,
    /// What is asked. Unknown operations never get here.
    pub op: OpCode,
    /// The body after the request header.
    pub body: Bytes,
    /// Who the caller is.
    pub ids: Arc<[Id]>,
    /// When it was read from the socket, monotonic ms.
    pub received_ms: i64,
}

/// What a connection is to do after the bytes of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// Go on.
    #[default]
    Nothing,
    /// Flush, then close.
    Close,
    /// The connection now carries this session.
    Established {
        /// The session.
        session: SessionId,
        /// Its timeout, ms.
        timeout_ms: i32,
    },
}

/// Bytes for one connection: whole frames, length included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which connection.
    pub conn: ConnId,
    /// How many of the worker's bytes belong to it, following those of the delivery before.
    pub len: usize,
    /// How many of the requests that it sent to the pipeline are answered by this. A first packet is not counted.
    pub answered: u32,
    /// The connection has taken part in the server at this zxid (that of the last reply in it).
    pub zxid: Zxid,
    /// What follows.
    pub then: Then,
}

/// Deliveries of one worker, in the order in which they are to leave.
#[derive(Debug, Default)]
pub struct WorkerDeliveries {
    /// The bytes of all deliveries, one after another.
    pub bytes: Vec<u8>,
    /// What they are.
    pub items: Vec<Delivery>,
}

impl WorkerDeliveries {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Appends another list.
    pub fn append(&mut self, other: &mut WorkerDeliveries) {
        if self.items.is_empty() {
            std::mem::swap(self, other);
        } else {
            self.bytes.append(&mut other.bytes);
            self.items.append(&mut other.items);
        }
    }
}

/// Deliveries of all workers, by worker index.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// One list a worker.
    pub workers: Vec<WorkerDeliveries>,
}

impl Deliveries {
    /// Empty lists for so many workers.
    pub fn new(workers: usize) -> Self {
        Self { workers: (0..workers).map(|_| WorkerDeliveries::default()).collect() }
    }

    /// Adds a delivery whose bytes `write` appends. Consecutive deliveries to one connection become one.
    pub fn push(
        &mut self,
        conn: ConnId,
        answered: u32,
        zxid: Zxid,
        then: Then,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let Some(worker) = self.workers.get_mut(usize::from(conn.worker)) else { return };
        let start = worker.bytes.len();
        write(&mut worker.bytes);
        let len = worker.bytes.len() - start;
        if let Some(last) = worker.items.last_mut()
            && last.conn == conn
            && last.then == Then::Nothing
        {
            last.len += len;
            last.answered += answered;
            last.zxid = last.zxid.max(zxid);
            last.then = then;
            return;
        }
        worker.items.push(Delivery { conn, len, answered, zxid, then });
    }
}
