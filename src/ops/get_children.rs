use super::{ReadCx, ResponseCache, decode};
use crate::tree::Node;
use crate::types::{ErrorCode, Perms};
use crate::watch::WatchMode;
use quoll_jute::client::GetChildrenRequest;
use quoll_jute::{Record, Writer};

/// Lists shorter than this are written without the cache: to sort them costs no more than to look them up.
const CACHED_FROM: usize = 9;

/// Bytes of the length before a list, and before each name.
const LENGTH_LEN: usize = 4;

/// getChildren: znode, READ, watch. The names come in byte order.
pub(super) fn serve(cx: &mut ReadCx<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    serve_any(cx, body, out).map(|_| ())
}

/// getChildren2: the same with the stat behind.
pub(super) fn serve_with_stat(cx: &mut ReadCx<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    serve_any(cx, body, out)?.stat().write(&mut Writer::new(out));
    Ok(())
}

fn serve_any<'a>(cx: &mut ReadCx<'a>, body: &[u8], out: &mut Vec<u8>) -> Result<Node<'a>, ErrorCode> {
    let request: GetChildrenRequest<'_> = decode(body, cx.config)?;
    let path = request.path.as_deref().ok_or(ErrorCode::MarshallingError)?;
    let node = cx.node(path, Perms::READ)?;
    if request.watch {
        cx.watches.add(path, WatchMode::Child);
    }
    write_counted(cx, node, path, out);
    Ok(node)
}

/// Appends the list without stat.
pub(super) fn write(cx: &mut ReadCx<'_>, path: &str, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let node = cx.node(path, Perms::READ)?;
    write_counted(cx, node, path, out);
    Ok(())
}

fn write_counted(cx: &mut ReadCx<'_>, node: Node<'_>, path: &str, out: &mut Vec<u8>) {
    let start = out.len();
    write_names(node, cx.cache, out);
    // The names without their lengths.
    cx.count_read(path, out.len() - start - LENGTH_LEN * (1 + node.child_count()));
}

fn write_names(node: Node<'_>, cache: &mut ResponseCache, out: &mut Vec<u8>) {
    let count = node.child_count();
    if count < CACHED_FROM {
        let mut names = [""; CACHED_FROM];
        let mut n = 0;
        for (name, child) in names.iter_mut().zip(node.children()) {
            *name = child.name();
            n += 1;
        }
        write_sorted(&mut names[..n], out);
        return;
    }
    let key = node.children_key();
    if let Some(list) = cache.list(&key) {
        out.extend_from_slice(list);
        return;
    }
    let start = out.len();
    let mut names = Vec::with_capacity(count);
    names.extend(node.children().map(|child| child.name()));
    write_sorted(&mut names, out);
    cache.keep(key, &out[start..]);
}

fn write_sorted(names: &mut [&str], out: &mut Vec<u8>) {
    names.sort_unstable();
    let w = &mut Writer::new(out);
    w.vector(Some(names), |w, name: &&str| w.text(Some(name)));
}
