//! `stmk`: sets the trace mask to the eight bytes that follow. Kept for tools that send it; nothing is traced by it.

use super::{Answer, Effect};

pub(super) fn answer(mask: i64) -> Answer {
    Answer { text: mask.to_string(), effect: Effect::SetTraceMask(mask) }
}
