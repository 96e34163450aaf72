use super::multi::{SubRequest, decode};
use super::{ReadCx, get_children, get_data};
use crate::types::{ErrorCode, OpCode};
use quoll_jute::client::MultiHeader;
use quoll_jute::{Record, Writer};

/// multiRead: getData and getChildren, each answered or refused by itself. Their watch flags do not count.
///
/// Operations that write fail the whole request; the answer to none of them is then part of the reply.
pub(super) fn serve(cx: &mut ReadCx<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let subs = decode(body, cx.config.limits).map_err(|_| ErrorCode::MarshallingError)?;
    let start = out.len();
    for sub in &subs {
        let at = out.len();
        let result = match sub {
            SubRequest::GetData(path) => {
                header(OpCode::GetData.code(), 0, out);
                path.as_deref().ok_or(ErrorCode::MarshallingError).and_then(|p| get_data::write(cx, p, out))
            }
            SubRequest::GetChildren(path) => {
                header(OpCode::GetChildren.code(), 0, out);
                path.as_deref()
                    .ok_or(ErrorCode::MarshallingError)
                    .and_then(|p| get_children::write(cx, p, out))
            }
            _ => Err(ErrorCode::MarshallingError),
        };
        match result {
            Ok(()) => {}
            Err(ErrorCode::MarshallingError) => {
                out.truncate(at);
                end(out);
                return Err(ErrorCode::MarshallingError);
            }
            Err(code) => {
                out.truncate(at);
                header(OpCode::Error.code(), code.code(), out);
                Writer::new(out).int(code.code());
            }
        }
    }
    debug_assert!(start <= out.len());
    end(out);
    Ok(())
}

/// Before each result.
pub(super) fn header(type_: i32, err: i32, out: &mut Vec<u8>) {
    MultiHeader { type_, done: false, err }.write(&mut Writer::new(out));
}

/// After the last result.
pub(super) fn end(out: &mut Vec<u8>) {
    MultiHeader { type_: -1, done: true, err: -1 }.write(&mut Writer::new(out));
}
