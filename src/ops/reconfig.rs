use super::prepare::{Outcome, PrepareCx};
use crate::types::ErrorCode;
use quoll_jute::client::ReconfigRequest;

/// reconfig, as a server that is alone answers it: enabled, session, part of an ensemble.
pub(super) fn prepare(cx: &mut PrepareCx<'_>, _request: &ReconfigRequest<'_>) -> Outcome {
    if !cx.config.reconfig_enabled {
        return Err(ErrorCode::ReconfigDisabled.into());
    }
    cx.sessions.check(cx.session)?;
    Err(ErrorCode::Unimplemented.into())
}
