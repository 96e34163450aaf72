use super::prepare::{PrepareCx, Refused};
use crate::tree::{QuotaExcess, QuotaVerdict};
use crate::types::ErrorCode;

/// A quota that a write exceeds or would have exceeded. For the operator: clients are told of hard ones only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaNote {
    /// Which, and by how much.
    pub excess: QuotaExcess,
    /// Whether it is a hard one, so that the write was refused if hard quotas are enforced.
    pub hard: bool,
    /// Whether the write was refused.
    pub refused: bool,
}

/// Asks the quota that covers a path, if there is one. `diff` gives the change in bytes and in znodes.
///
/// Usage is that of the applied tree, as upstream has it: writes on their way may together exceed a limit.
pub(super) fn check(
    cx: &PrepareCx<'_>,
    path: &str,
    diff: impl FnOnce(&PrepareCx<'_>) -> (i64, i64),
) -> Result<Option<Box<QuotaNote>>, Refused> {
    let (bytes, count) = diff(cx);
    let (excess, hard) = match cx.tree.quota_check(path, bytes, count) {
        QuotaVerdict::Within => return Ok(None),
        QuotaVerdict::Soft(excess) => (excess, false),
        QuotaVerdict::Hard(excess) => (excess, true),
    };
    let refused = hard && cx.config.enforce_quota;
    let note = Some(Box::new(QuotaNote { excess, hard, refused }));
    if refused { Err(Refused { error: ErrorCode::QuotaExceeded, note }) } else { Ok(note) }
}
