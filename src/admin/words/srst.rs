//! `srst`: the numbers of the server and its metrics start anew; gauges show what is.

use super::{Answer, Effect};

pub(super) fn answer() -> Answer {
    Answer { text: "Server stats reset.\n".to_owned(), effect: Effect::ResetServer }
}
