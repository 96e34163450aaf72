//! `crst`: the numbers of all connections start anew.

use super::{Answer, Effect};

pub(super) fn answer() -> Answer {
    Answer { text: "Connection stats reset.\n".to_owned(), effect: Effect::ResetConnections }
}
