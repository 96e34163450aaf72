/// A four-letter word at the start of a connection.
///
/// Upstream counterpart: `server.command.FourLetterCommands`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Word(pub [u8; 4]);

impl Word {
    /// The word as text. "Telnet close", four bytes that are not text, comes out as U+FFFD.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

const WORDS: [[u8; 4]; 19] = [
    *b"conf",
    *b"cons",
    *b"crst",
    *b"dirs",
    *b"dump",
    *b"envi",
    *b"gtmk",
    *b"hash",
    *b"isro",
    *b"mntr",
    *b"ruok",
    *b"srst",
    *b"srvr",
    *b"stat",
    *b"stmk",
    *b"wchc",
    *b"wchp",
    *b"wchs",
    // What telnet sends when it is interrupted.
    [0xff, 0xf4, 0xff, 0xfd],
];

/// The word that `first`, the first bytes of a connection, is; `None` when these are a frame's length. Unknown
/// words are taken as a length by upstream, a huge one, which closes the connection.
pub fn sniff(first: [u8; 4]) -> Option<Word> {
    WORDS.contains(&first).then_some(Word(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_from_lengths() {
        assert_eq!(sniff(*b"ruok"), Some(Word(*b"ruok")));
        assert_eq!(sniff(*b"RUOK"), None);
        assert_eq!(sniff([0, 0, 0, 45]), None);
        assert_eq!(sniff([0xff, 0xf4, 0xff, 0xfd]), Some(Word([0xff, 0xf4, 0xff, 0xfd])));
    }
}
