use super::prepare::PrepareCx;
use crate::types::TxnBody;

/// closeSession: the session's ephemerals go with it, in one txn.
pub(super) fn close(cx: &mut PrepareCx<'_>) -> TxnBody {
    let paths = cx.outstanding.close_session(cx.tree, cx.zxid, cx.session);
    TxnBody::CloseSession { paths: Some(paths) }
}
