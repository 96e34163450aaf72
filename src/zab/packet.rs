use crate::types::{Epoch, Id, ServerId, SessionId, Zxid};
use bytes::Bytes;
use quoll_jute::{Limits, Reader, Record, Writer, data, quorum};
use thiserror::Error;

/// What every learner and leader of today says it speaks.
pub const PROTOCOL_VERSION: i32 = 0x1_0000;

/// Bytes of a packet without data and identities.
const HEAD_LEN: usize = 4 + 8 + 4 + 4;

/// Identities in one REQUEST, at most. A client has as many as it has authenticated with.
const IDS_MAX: usize = 4096;

/// Everything on a connection between a learner and its leader, in both directions.
///
/// ```text
/// int type | long zxid | buffer data | vector<Id> authinfo
/// ```
/// There is no length in front. Upstream counterpart: `QuorumPacket` and the constants of `Leader`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// 1, from a learner: a client's request that only the leader can answer.
    Request(Request),
    /// 2, from the leader: log this.
    Proposal {
        /// Its number.
        zxid: Zxid,
        /// Header, body and digest: what the log keeps.
        entry: Bytes,
    },
    /// 3, from a learner: everything up to this is on stable storage; or the epoch of NEWLEADER is accepted.
    Ack {
        /// What is acknowledged.
        zxid: Zxid,
    },
    /// 4, from the leader: apply the oldest proposal.
    Commit {
        /// Its number.
        zxid: Zxid,
    },
    /// 5 from the leader. It carries no data.
    Ping {
        /// The last zxid proposed.
        zxid: Zxid,
    },
    /// 5 from a learner, one for each of the leader's, in their order. It carries data, be it of no length: upstream's
    /// leaders fail on a reply without.
    Pong {
        /// That of the leader's.
        zxid: Zxid,
        /// Sessions that were heard from since the last one, and their timeouts in ms.
        touched: Vec<(SessionId, i32)>,
    },
    /// 6 from a learner: does this session live? Its client has come here.
    Revalidate {
        /// Which.
        session: SessionId,
        /// Its timeout, ms.
        timeout_ms: i32,
    },
    /// 6 from the leader: the answer.
    Revalidated {
        /// Which.
        session: SessionId,
        /// Whether it lives.
        valid: bool,
    },
    /// 7, from the leader: everything before the oldest sync of this learner is committed.
    Sync,
    /// 8, to observers: log and apply this.
    Inform {
        /// Its number.
        zxid: Zxid,
        /// As in a proposal.
        entry: Bytes,
    },
    /// 9, to followers: commit a reconfiguration, and who is to lead afterwards.
    CommitAndActivate {
        /// Its number.
        zxid: Zxid,
        /// Who is to lead.
        designated: ServerId,
    },
    /// 19, to observers: both in one.
    InformAndActivate {
        /// Its number.
        zxid: Zxid,
        /// Who is to lead.
        designated: ServerId,
        /// As in a proposal.
        entry: Bytes,
    },
    /// 10: the state sent so far is that of the new epoch.
    NewLeader {
        /// The epoch with counter 0.
        zxid: Zxid,
        /// The leader's last seen configuration; none from old leaders.
        config: Option<Bytes>,
    },
    /// 11 or 16, the first word of a learner.
    LearnerInfo {
        /// 16: it observes.
        observer: bool,
        /// The epoch it has promised to, in the high half.
        zxid: Zxid,
        /// Its number, and more from newer ones. `None` for data of a length nobody sends.
        info: Option<LearnerInfo>,
    },
    /// 12: serve clients.
    UpToDate,
    /// 13: what follows continues your log.
    Diff {
        /// The last zxid of what follows.
        zxid: Zxid,
    },
    /// 14: cut your log back to this first.
    Trunc {
        /// What is to be the last.
        zxid: Zxid,
    },
    /// 15: a whole tree follows at once, in the same stream, not as packets.
    Snap {
        /// The zxid that the tree is to have.
        zxid: Zxid,
    },
    /// 17: the epoch the leader wants to begin.
    LeaderInfo {
        /// The epoch, with counter 0.
        zxid: Zxid,
        /// What the leader speaks.
        protocol: i32,
    },
    /// 18: the epoch is promised to.
    AckEpoch {
        /// The learner's last logged zxid.
        zxid: Zxid,
        /// Its current epoch; −1 when it had promised to the same epoch before and is not to be counted again.
        current_epoch: i32,
    },
    /// Any other number. It means nothing to this server.
    Unknown {
        /// Its number.
        number: i32,
    },
}

/// A client's request on its way from a learner to the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose.
    pub session: SessionId,
    /// The client's number of it.
    pub cxid: i32,
    /// Which operation.
    pub op: i32,
    /// The body after the request header.
    pub body: Bytes,
    /// Who the client is.
    pub ids: Vec<Id>,
}

/// What a learner says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnerInfo {
    /// Its number.
    pub server: ServerId,
    /// What it speaks; 0 when it is too old to say.
    pub protocol: i32,
    /// Version of its configuration; 0 when it is too old to say.
    pub config_version: i64,
}

/// Which side of a connection sent a packet: some numbers mean different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The leader, or an observer master.
    Leader,
    /// A follower or observer.
    Learner,
}

/// Why bytes are no packet. The connection is of no use afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum PacketError {
    #[error("a quorum packet of type {number} cannot be read: {source}")]
    Jute { number: i32, source: quoll_jute::Error },
    #[error("a quorum packet of type {number} carries {length} bytes, which is no length it can have")]
    Length { number: i32, length: usize },
    #[error("a quorum packet of type {number} carries {ids} identities; at most {IDS_MAX} are accepted")]
    Ids { number: i32, ids: i32 },
}

impl Packet {
    /// Reads the packet at the start of `input`, and answers how many bytes it takes. `None` when it is not there as
    /// a whole yet.
    ///
    /// # Errors
    /// When what is there cannot become a packet.
    pub fn read(input: &[u8], sender: Sender, limits: Limits) -> Result<Option<(Self, usize)>, PacketError> {
        if input.len() < HEAD_LEN {
            return Ok(None);
        }
        let number = i32::from_be_bytes([input[0], input[1], input[2], input[3]]);
        let r = &mut Reader::with_limits(input, limits);
        let mut read = || -> Result<_, quoll_jute::Error> {
            let (_, zxid, data) = (r.int()?, r.long()?, r.buffer()?);
            let ids = Reader::with_limits(r.remaining(), limits).int()?;
            if !(-1..=IDS_MAX as i32).contains(&ids) {
                return Ok((zxid, data, Err(ids)));
            }
            let ids = r.vector(data::Id::read)?.unwrap_or_default();
            Ok((zxid, data, Ok(ids)))
        };
        match read() {
            Err(quoll_jute::Error::Eof { .. }) => Ok(None),
            Err(source) => Err(PacketError::Jute { number, source }),
            Ok((_, _, Err(ids))) => Err(PacketError::Ids { number, ids }),
            Ok((zxid, data, Ok(ids))) => {
                let packet = Self::make(number, Zxid(zxid), data, &ids, sender)?;
                Ok(Some((packet, r.offset())))
            }
        }
    }

    fn make(
        number: i32,
        zxid: Zxid,
        data: Option<&[u8]>,
        ids: &[data::Id<'_>],
        sender: Sender,
    ) -> Result<Self, PacketError> {
        let bytes = data.unwrap_or_default();
        let short = |source| PacketError::Jute { number, source };
        let r = &mut Reader::new(bytes);
        Ok(match number {
            1 => {
                let session = SessionId(r.long().map_err(short)?);
                let (cxid, op) = (r.int().map_err(short)?, r.int().map_err(short)?);
                let body = Bytes::copy_from_slice(r.remaining());
                let text = |t: &Option<quoll_jute::Text<'_>>| t.clone().unwrap_or_default().into_owned();
                let ids = ids.iter().map(|id| Id::new(&text(&id.scheme), &text(&id.id))).collect();
                Self::Request(Request { session, cxid, op, body, ids })
            }
            2 => Self::Proposal { zxid, entry: Bytes::copy_from_slice(bytes) },
            3 => Self::Ack { zxid },
            4 => Self::Commit { zxid },
            5 if sender == Sender::Leader => Self::Ping { zxid },
            5 => {
                let mut touched = Vec::with_capacity(bytes.len() / 12);
                while !r.is_empty() {
                    touched.push((SessionId(r.long().map_err(short)?), r.int().map_err(short)?));
                }
                Self::Pong { zxid, touched }
            }
            6 => {
                let session = SessionId(r.long().map_err(short)?);
                match sender {
                    Sender::Learner => Self::Revalidate { session, timeout_ms: r.int().map_err(short)? },
                    Sender::Leader => Self::Revalidated { session, valid: r.bool().map_err(short)? },
                }
            }
            7 => Self::Sync,
            8 => Self::Inform { zxid, entry: Bytes::copy_from_slice(bytes) },
            9 => Self::CommitAndActivate { zxid, designated: ServerId(r.long().map_err(short)?) },
            10 => Self::NewLeader { zxid, config: data.map(Bytes::copy_from_slice) },
            11 | 16 => Self::LearnerInfo { observer: number == 16, zxid, info: LearnerInfo::read(bytes) },
            12 => Self::UpToDate,
            13 => Self::Diff { zxid },
            14 => Self::Trunc { zxid },
            15 => Self::Snap { zxid },
            17 => Self::LeaderInfo { zxid, protocol: r.int().map_err(short)? },
            18 => Self::AckEpoch { zxid, current_epoch: r.int().map_err(short)? },
            19 => {
                let designated = ServerId(r.long().map_err(short)?);
                Self::InformAndActivate { zxid, designated, entry: Bytes::copy_from_slice(r.remaining()) }
            }
            _ => Self::Unknown { number },
        })
    }

    /// Appends the packet's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Request(request) => request.write(out),
            Self::Proposal { zxid, entry } => write_raw(out, 2, *zxid, Some(entry)),
            Self::Ack { zxid } => write_raw(out, 3, *zxid, None),
            Self::Commit { zxid } => write_raw(out, 4, *zxid, None),
            Self::Ping { zxid } => write_raw(out, 5, *zxid, None),
            Self::Pong { zxid, touched } => {
                let mut data = Vec::with_capacity(touched.len() * 12);
                for (session, timeout_ms) in touched {
                    data.extend(session.0.to_be_bytes());
                    data.extend(timeout_ms.to_be_bytes());
                }
                write_raw(out, 5, *zxid, Some(&data));
            }
            Self::Revalidate { session, timeout_ms } => {
                let mut data = session.0.to_be_bytes().to_vec();
                data.extend(timeout_ms.to_be_bytes());
                write_raw(out, 6, Zxid(-1), Some(&data));
            }
            Self::Revalidated { session, valid } => {
                let mut data = session.0.to_be_bytes().to_vec();
                data.push(u8::from(*valid));
                write_raw(out, 6, Zxid(-1), Some(&data));
            }
            Self::Sync => write_raw(out, 7, Zxid::ZERO, None),
            Self::Inform { zxid, entry } => write_raw(out, 8, *zxid, Some(entry)),
            Self::CommitAndActivate { zxid, designated } => {
                write_raw(out, 9, *zxid, Some(&designated.0.to_be_bytes()));
            }
            Self::InformAndActivate { zxid, designated, entry } => {
                let data = [&designated.0.to_be_bytes()[..], entry].concat();
                write_raw(out, 19, *zxid, Some(&data));
            }
            Self::NewLeader { zxid, config } => write_raw(out, 10, *zxid, config.as_deref()),
            Self::LearnerInfo { observer, zxid, info } => {
                let data = info.map(LearnerInfo::to_bytes);
                write_raw(out, if *observer { 16 } else { 11 }, *zxid, data.as_deref());
            }
            Self::UpToDate => write_raw(out, 12, Zxid(-1), None),
            Self::Diff { zxid } => write_raw(out, 13, *zxid, None),
            Self::Trunc { zxid } => write_raw(out, 14, *zxid, None),
            Self::Snap { zxid } => write_raw(out, 15, *zxid, None),
            Self::LeaderInfo { zxid, protocol } => write_raw(out, 17, *zxid, Some(&protocol.to_be_bytes())),
            Self::AckEpoch { zxid, current_epoch } => {
                write_raw(out, 18, *zxid, Some(&current_epoch.to_be_bytes()));
            }
            Self::Unknown { number } => write_raw(out, *number, Zxid::ZERO, None),
        }
    }

    /// The packet's name in the protocol. Upstream counterpart: `Leader.getPacketType`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "REQUEST",
            Self::Proposal { .. } => "PROPOSAL",
            Self::Ack { .. } => "ACK",
            Self::Commit { .. } => "COMMIT",
            Self::Ping { .. } | Self::Pong { .. } => "PING",
            Self::Revalidate { .. } | Self::Revalidated { .. } => "REVALIDATE",
            Self::Sync => "SYNC",
            Self::Inform { .. } => "INFORM",
            Self::CommitAndActivate { .. } => "COMMITANDACTIVATE",
            Self::InformAndActivate { .. } => "INFORMANDACTIVATE",
            Self::NewLeader { .. } => "NEWLEADER",
            Self::LearnerInfo { observer: false, .. } => "FOLLOWERINFO",
            Self::LearnerInfo { observer: true, .. } => "OBSERVERINFO",
            Self::UpToDate => "UPTODATE",
            Self::Diff { .. } => "DIFF",
            Self::Trunc { .. } => "TRUNC",
            Self::Snap { .. } => "SNAP",
            Self::LeaderInfo { .. } => "LEADERINFO",
            Self::AckEpoch { .. } => "ACKEPOCH",
            Self::Unknown { .. } => "a packet of unknown type",
        }
    }

    /// The packet's bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        self.write(&mut out);
        out.into()
    }
}

impl Request {
    fn write(&self, out: &mut Vec<u8>) {
        let mut data = Vec::with_capacity(16 + self.body.len());
        data.extend(self.session.0.to_be_bytes());
        data.extend(self.cxid.to_be_bytes());
        data.extend(self.op.to_be_bytes());
        data.extend(&self.body);
        let ids = self
            .ids
            .iter()
            .map(|id| data::Id { scheme: Some(id.scheme.as_ref().into()), id: Some(id.id.as_ref().into()) });
        // Nobody in particular, as when a server opens or closes a session, is no vector rather than an empty one.
        let authinfo = if self.ids.is_empty() { None } else { Some(ids.collect()) };
        let record = quorum::QuorumPacket { type_: 1, zxid: -1, data: Some(&data), authinfo };
        record.write(&mut Writer::new(out));
    }
}

impl LearnerInfo {
    /// 20 bytes today, 12 and 8 from older ones.
    fn read(bytes: &[u8]) -> Option<Self> {
        let r = &mut Reader::new(bytes);
        let server = ServerId(r.long().ok()?);
        let (protocol, config_version) = match bytes.len() {
            8 => (0, 0),
            12 => (r.int().ok()?, 0),
            20 => (r.int().ok()?, r.long().ok()?),
            _ => return None,
        };
        Some(Self { server, protocol, config_version })
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20);
        let record = quorum::LearnerInfo {
            serverid: self.server.0,
            protocol_version: self.protocol,
            config_version: self.config_version,
        };
        record.write(&mut Writer::new(&mut out));
        out
    }
}

/// Appends a PROPOSAL without a copy of its entry in between.
pub fn write_proposal(out: &mut Vec<u8>, zxid: Zxid, entry: &[u8]) {
    write_raw(out, 2, zxid, Some(entry));
}

/// Appends a packet without identities.
fn write_raw(out: &mut Vec<u8>, number: i32, zxid: Zxid, data: Option<&[u8]>) {
    let w = &mut Writer::new(out);
    w.int(number);
    w.long(zxid.0);
    w.buffer(data);
    w.int(-1);
}

/// The zxid with which an epoch begins: counter 0.
pub fn epoch_start(epoch: Epoch) -> Zxid {
    Zxid::new(epoch, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(Sender, Packet)> {
        use Packet::*;
        let (zxid, entry) = (Zxid(0x1_0000_0007), Bytes::from_static(b"entry"));
        let request = super::Request {
            session: SessionId(5),
            cxid: 6,
            op: 1,
            body: Bytes::from_static(b"body"),
            ids: vec![Id::new("ip", "127.0.0.1")],
        };
        let info =
            Some(super::LearnerInfo { server: ServerId(3), protocol: PROTOCOL_VERSION, config_version: 9 });
        let (l, f) = (Sender::Leader, Sender::Learner);
        vec![
            (f, Request(request)),
            (l, Proposal { zxid, entry: entry.clone() }),
            (f, Ack { zxid }),
            (l, Commit { zxid }),
            (l, Ping { zxid }),
            (f, Pong { zxid, touched: vec![] }),
            (f, Pong { zxid, touched: vec![(SessionId(1), 10), (SessionId(2), 20)] }),
            (f, Revalidate { session: SessionId(4), timeout_ms: 5000 }),
            (l, Revalidated { session: SessionId(4), valid: true }),
            (l, Sync),
            (l, Inform { zxid, entry: entry.clone() }),
            (l, CommitAndActivate { zxid, designated: ServerId(2) }),
            (l, InformAndActivate { zxid, designated: ServerId(2), entry }),
            (l, NewLeader { zxid, config: Some(Bytes::from_static(b"version=0")) }),
            (l, NewLeader { zxid, config: None }),
            (f, LearnerInfo { observer: false, zxid, info }),
            (f, LearnerInfo { observer: true, zxid, info }),
            (l, UpToDate),
            (l, Diff { zxid }),
            (l, Trunc { zxid }),
            (l, Snap { zxid }),
            (l, LeaderInfo { zxid, protocol: PROTOCOL_VERSION }),
            (f, AckEpoch { zxid, current_epoch: -1 }),
        ]
    }

    #[test]
    fn every_packet_reads_as_it_was_written_and_is_not_there_before_its_last_byte() {
        for (sender, packet) in all() {
            let bytes = packet.to_bytes();
            for len in 0..bytes.len() {
                assert_eq!(
                    Packet::read(&bytes[..len], sender, Limits::DEFAULT),
                    Ok(None),
                    "{packet:?} {len}"
                );
            }
            let more = [&bytes[..], b"next"].concat();
            assert_eq!(Packet::read(&more, sender, Limits::DEFAULT), Ok(Some((packet, bytes.len()))));
        }
    }

    #[test]
    fn lengths_that_nobody_sends_end_the_connection_before_anything_is_kept() {
        let mut giant = Packet::Ack { zxid: Zxid(1) }.to_bytes().to_vec();
        giant[12..16].copy_from_slice(&i32::MAX.to_be_bytes());
        let error = Packet::read(&giant, Sender::Learner, Limits::DEFAULT).unwrap_err();
        assert!(matches!(error, PacketError::Jute { number: 3, .. }), "{error}");
        let mut many = Packet::Ack { zxid: Zxid(1) }.to_bytes().to_vec();
        many[16..20].copy_from_slice(&i32::MAX.to_be_bytes());
        let error = Packet::read(&many, Sender::Learner, Limits::DEFAULT).unwrap_err();
        assert_eq!(error, PacketError::Ids { number: 3, ids: i32::MAX });
    }

    #[test]
    fn learners_of_every_age_say_who_they_are() {
        let mut bytes = 3i64.to_be_bytes().to_vec();
        let old = LearnerInfo { server: ServerId(3), protocol: 0, config_version: 0 };
        assert_eq!(LearnerInfo::read(&bytes), Some(old));
        bytes.extend(PROTOCOL_VERSION.to_be_bytes());
        assert_eq!(LearnerInfo::read(&bytes), Some(LearnerInfo { protocol: PROTOCOL_VERSION, ..old }));
        bytes.push(0);
        assert_eq!(LearnerInfo::read(&bytes), None);
    }
}
