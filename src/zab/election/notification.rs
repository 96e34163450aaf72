use super::{Proposal, Vote};
use crate::types::{ServerId, Zxid};
use thiserror::Error;

/// The format that is written.
const VERSION: i32 = 2;
const LEN_V0_OLDEST: usize = 28;
const LEN_V0: usize = 40;
const LEN_HEAD: usize = 44;

/// What a member is doing.
///
/// Upstream counterpart: `QuorumPeer.ServerState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum PeerState {
    Looking = 0,
    Following = 1,
    Leading = 2,
    Observing = 3,
}

/// A message on an election connection, without its length.
///
/// ```text
/// int state | long leader | long zxid | long round | long peerEpoch | int version 2 | int length | config text
/// ```
/// Upstream counterpart: `FastLeaderElection.buildMsg` and its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The sender's vote, round and state.
    pub vote: Vote,
    /// Format of the sender.
    pub version: i32,
    /// Text of the sender's configuration, from version 2 on.
    pub config: Option<String>,
}

/// Why a message is no notification.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum NotificationError {
    #[error("a notification of {0} bytes; the oldest format has {LEN_V0_OLDEST}")]
    Short(usize),
    #[error("state {0} is unknown")]
    State(i32),
    #[error("a configuration of {length} bytes in a notification that has {left} left")]
    ConfigLength { length: i32, left: usize },
    #[error("the configuration is not UTF-8")]
    ConfigText,
}

impl Notification {
    /// A notification of today's format.
    pub fn new(vote: Vote, config: String) -> Self {
        Self { vote, version: VERSION, config: Some(config) }
    }

    /// The bytes, in today's format.
    pub fn to_bytes(&self) -> Vec<u8> {
        let config = self.config.as_deref().unwrap_or("");
        let mut out = Vec::with_capacity(LEN_HEAD + config.len());
        let Vote { proposal, round, state } = self.vote;
        out.extend((state as i32).to_be_bytes());
        for long in [proposal.leader.0, proposal.zxid.0, round, proposal.peer_epoch] {
            out.extend(long.to_be_bytes());
        }
        out.extend(VERSION.to_be_bytes());
        out.extend((config.len() as i32).to_be_bytes());
        out.extend(config.as_bytes());
        out
    }

    /// Reads any format that was ever sent: 28 bytes (the epoch is that of the zxid), 40 bytes, version 1 without and
    /// version 2 with a configuration.
    ///
    /// # Errors
    /// When it is too short, its state is unknown, or its configuration is not where it should be.
    pub fn read(bytes: &[u8]) -> Result<Self, NotificationError> {
        if bytes.len() < LEN_V0_OLDEST {
            return Err(NotificationError::Short(bytes.len()));
        }
        let int = |at: usize| i32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let state = match int(0) {
            0 => PeerState::Looking,
            1 => PeerState::Following,
            2 => PeerState::Leading,
            3 => PeerState::Observing,
            other => return Err(NotificationError::State(other)),
        };
        let zxid = Zxid(long(12));
        let (mut peer_epoch, mut version, mut config) = (i64::from(zxid.epoch().0), 0, None);
        if bytes.len() >= 36 {
            peer_epoch = long(28);
        }
        if bytes.len() > LEN_V0 {
            version = int(36);
        }
        if version > 1 {
            let left = bytes.len().saturating_sub(LEN_HEAD);
            let length = if bytes.len() >= LEN_HEAD { int(40) } else { -1 };
            let text =
                usize::try_from(length).ok().and_then(|n| bytes.get(LEN_HEAD..LEN_HEAD.checked_add(n)?));
            let text = text.ok_or(NotificationError::ConfigLength { length, left })?;
            config = Some(std::str::from_utf8(text).map_err(|_| NotificationError::ConfigText)?.to_string());
        }
        let proposal = Proposal { leader: ServerId(long(4)), zxid, peer_epoch };
        Ok(Self { vote: Vote { proposal, round: long(20), state }, version, config })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Notification {
        let proposal = Proposal { leader: ServerId(3), zxid: Zxid(0x2_0000_0005), peer_epoch: 7 };
        Notification::new(Vote { proposal, round: 4, state: PeerState::Leading }, "version=0".into())
    }

    #[test]
    fn todays_format_reads_back_as_written() {
        let bytes = sample().to_bytes();
        assert_eq!(bytes.len(), 44 + 9);
        assert_eq!(Notification::read(&bytes), Ok(sample()));
    }

    /// What server 3 of a new ensemble of three sent first, without its length.
    const RECORDED: &str = "00000000000000000000000300000000000000000000000000000001000000000000000000000002000000ba\
        7365727665722e313d3132372e302e302e313a32363430313a32363432313a7061727469636970616e743b3132372e302e302e313a32363434310a\
        7365727665722e323d3132372e302e302e313a32363430323a32363432323a7061727469636970616e743b3132372e302e302e313a32363434320a\
        7365727665722e333d3132372e302e302e313a32363430333a32363432333a7061727469636970616e743b3132372e302e302e313a32363434330a\
        76657273696f6e3d30";

    #[test]
    fn a_recorded_notification_is_read_and_written_byte_for_byte() {
        let hex = |i: usize| u8::from_str_radix(&RECORDED[i..i + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..RECORDED.len()).step_by(2).map(hex).collect();
        let read = Notification::read(&bytes).unwrap();
        assert_eq!(read.vote.proposal, Proposal { leader: ServerId(3), zxid: Zxid(0), peer_epoch: 0 });
        assert_eq!((read.vote.round, read.vote.state, read.version), (1, PeerState::Looking, 2));
        assert!(read.config.as_ref().unwrap().ends_with("version=0"));
        assert_eq!(read.to_bytes(), bytes);
    }

    #[test]
    fn older_formats_are_understood() {
        let mut bytes = sample().to_bytes();
        bytes.truncate(40);
        let v0 = Notification::read(&bytes).unwrap();
        assert_eq!((v0.version, v0.config, v0.vote), (0, None, sample().vote));
        bytes.truncate(28);
        assert_eq!(Notification::read(&bytes).unwrap().vote.proposal.peer_epoch, 2);
        bytes.truncate(27);
        assert_eq!(Notification::read(&bytes), Err(NotificationError::Short(27)));
    }

    #[test]
    fn a_configuration_that_is_not_there_is_refused() {
        let good = sample().to_bytes();
        for length in [-1i32, 10, i32::MAX] {
            let mut bytes = good.clone();
            bytes[40..44].copy_from_slice(&length.to_be_bytes());
            assert!(matches!(Notification::read(&bytes), Err(NotificationError::ConfigLength { .. })));
        }
        for cut in 0..good.len() {
            let _ = Notification::read(&good[..cut]);
        }
    }
}
