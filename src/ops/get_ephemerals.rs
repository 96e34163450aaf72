use super::{ReadCx, decode};
use crate::types::ErrorCode;
use quoll_jute::Writer;
use quoll_jute::client::GetEphemeralsRequest;

/// getEphemerals: the caller's own ephemerals whose path begins with the given text, in order.
pub(super) fn serve(cx: &mut ReadCx<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let request: GetEphemeralsRequest<'_> = decode(body, cx.config)?;
    let prefix = request.prefix_path.as_deref().unwrap_or("");
    // Java's trim: everything up to and including the space.
    let trimmed = prefix.trim_matches(|c| c <= ' ');
    let all = trimmed.is_empty() || trimmed == "/";
    let mut paths: Vec<String> =
        cx.tree.ephemerals(cx.session).filter(|p| all || p.starts_with(prefix)).collect();
    paths.sort_unstable();
    Writer::new(out).vector(Some(&paths), |w, path: &String| w.text(Some(path)));
    Ok(())
}
