use quoll_jute::{Error, client::SaslToken, from_slice, to_vec};

/// The body of the answer to a sasl request (opcode 102) while no mechanism is configured: a null token, which
/// tells the client that there is nothing to negotiate. The header carries zxid 0 and no error.
///
/// # Errors
/// When the request has no token or cannot be read: upstream closes the connection without an answer.
///
/// Upstream counterpart: `ZooKeeperServer.processSasl`.
pub fn answer_sasl(body: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    match from_slice::<SaslToken>(body)?.token {
        None => Err(Error::UnreasonableLength { offset: 0, length: -1, limit: 0 }),
        Some(_) => {
            out.extend_from_slice(&to_vec(&SaslToken { token: None }));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_with_none() {
        let mut out = Vec::new();
        answer_sasl(b"\x00\x00\x00\x00", &mut out).unwrap();
        assert_eq!(out, b"\xff\xff\xff\xff");
        assert!(answer_sasl(b"\xff\xff\xff\xff", &mut out).is_err());
        assert!(answer_sasl(b"\x00", &mut out).is_err());
    }
}
