use super::FrameError;
use crate::types::{SessionId, Zxid};
use quoll_jute::{Reader, Record, client::ConnectRequest};

/// The longest password a connect packet may carry. Sessions have 16 bytes; more can only be wrong, and need not
/// be carried around.
pub const PASSWORD_LEN_MAX: usize = 1024;

/// The first packet of a connection.
///
/// Upstream counterpart: `proto.ConnectRequest`, read by `compat.ProtocolManager`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectPacket<'a> {
    /// The last zxid the client saw.
    pub last_zxid_seen: Zxid,
    /// Wished session timeout in ms, as sent.
    pub timeout_ms: i32,
    /// The session to take up again; 0 for a new one.
    pub session: SessionId,
    /// Its password; empty when there was none.
    pub password: &'a [u8],
    /// The client may be served read-only. Clients older than 3.4 do not say.
    pub read_only: bool,
    /// The packet had the readOnly byte, so the answer has one too.
    pub has_read_only_byte: bool,
}

/// Reads a connect packet. The protocol version is not looked at, as upstream does not; bytes behind the readOnly
/// byte are ignored.
///
/// # Errors
/// When a field is missing, a length is out of bounds or the password is absurdly long.
pub fn decode_connect(payload: &[u8]) -> Result<ConnectPacket<'_>, FrameError> {
    let r = &mut Reader::new(payload);
    let c = ConnectRequest::read(r).map_err(|error| FrameError::Connect { len: payload.len(), error })?;
    let password = c.passwd.unwrap_or_default();
    if password.len() > PASSWORD_LEN_MAX {
        return Err(FrameError::Password(password.len()));
    }
    let read_only = r.bool();
    Ok(ConnectPacket {
        last_zxid_seen: Zxid(c.last_zxid_seen),
        timeout_ms: c.time_out,
        session: SessionId(c.session_id),
        password,
        read_only: read_only == Ok(true),
        has_read_only_byte: read_only.is_ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(tail: &[u8]) -> Vec<u8> {
        let mut bytes = quoll_jute::to_vec(&ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 5,
            time_out: 30_000,
            session_id: 7,
            passwd: Some(&[9; 16]),
        });
        bytes.extend_from_slice(tail);
        bytes
    }

    #[test]
    fn a_connect_packet_with_and_without_the_read_only_byte_is_told_apart() {
        let old = packet(b"");
        let old = decode_connect(&old).unwrap();
        assert_eq!((old.read_only, old.has_read_only_byte), (false, false));
        assert_eq!((old.session, old.timeout_ms, old.password), (SessionId(7), 30_000, &[9; 16][..]));
        for (byte, read_only) in [(0, false), (1, true)] {
            let new = packet(&[byte]);
            let new = decode_connect(&new).unwrap();
            assert_eq!((new.read_only, new.has_read_only_byte), (read_only, true));
        }
    }

    #[test]
    fn a_null_password_is_an_empty_one() {
        let bytes = quoll_jute::to_vec(&ConnectRequest::default());
        assert_eq!(decode_connect(&bytes).unwrap().password, b"");
    }

    #[test]
    fn a_short_or_absurd_connect_packet_is_refused() {
        let whole = packet(b"");
        for n in 0..whole.len() {
            assert!(decode_connect(&whole[..n]).is_err(), "{n} bytes");
        }
        let long = vec![1; PASSWORD_LEN_MAX + 1];
        let bytes =
            quoll_jute::to_vec(&ConnectRequest { passwd: Some(long.as_slice()), ..Default::default() });
        assert_eq!(decode_connect(&bytes), Err(FrameError::Password(PASSWORD_LEN_MAX + 1)));
    }

    proptest! {
        #[test]
        fn any_bytes_as_connect_packet_do_not_panic(bytes: Vec<u8>) {
            let _ = decode_connect(&bytes);
        }
    }
}
