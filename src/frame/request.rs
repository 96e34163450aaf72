use super::FrameError;

/// The start of a request: its number, its type and what follows.
///
/// Upstream counterpart: `proto.RequestHeader`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// The client's number.
    pub xid: i32,
    /// The type as sent; may be any number.
    pub op: i32,
    /// The body.
    pub body: &'a [u8],
}

/// Takes a request apart.
///
/// # Errors
/// When there is no whole header, which upstream answers by closing too.
#[inline]
pub fn decode_request(payload: &[u8]) -> Result<RequestHead<'_>, FrameError> {
    let Some((head, body)) = payload.split_first_chunk::<8>() else {
        return Err(FrameError::Header(payload.len()));
    };
    let [a, b, c, d, e, f, g, h] = *head;
    Ok(RequestHead { xid: i32::from_be_bytes([a, b, c, d]), op: i32::from_be_bytes([e, f, g, h]), body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_xid_type_and_body() {
        let bytes = [0, 0, 0, 9, 0xff, 0xff, 0xff, 0xf5, b'x'];
        assert_eq!(decode_request(&bytes), Ok(RequestHead { xid: 9, op: -11, body: b"x" }));
        assert_eq!(decode_request(&bytes[..8]), Ok(RequestHead { xid: 9, op: -11, body: b"" }));
        assert_eq!(decode_request(&bytes[..7]), Err(FrameError::Header(7)));
    }
}
