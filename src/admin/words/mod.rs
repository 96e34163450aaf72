//! Four-letter words: four ASCII bytes at the start of a connection, an answer, the end of the connection.
//!
//! Start reading at [`answer`]. One file per word, each with one function from the view to the text.

mod conf;
mod cons;
mod crst;
mod dirs;
mod dump;
pub mod envi;
pub mod gtmk;
mod hash;
mod isro;
mod mntr;
mod ruok;
mod srst;
mod srvr;
mod stat;
mod stmk;
mod wchc;
mod wchp;
mod wchs;
mod whitelist;

pub use whitelist::Whitelist;

use super::view::ServerView;

/// What most words say while no clients are served.
pub(super) const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// A word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Settings.
    Conf,
    /// Connections in full.
    Cons,
    /// Resets the numbers of connections.
    Crst,
    /// Sizes on disk.
    Dirs,
    /// Sessions, ephemeral nodes, connections.
    Dump,
    /// Machine and versions.
    Envi,
    /// Trace mask.
    Gtmk,
    /// Digests of the tree.
    Hash,
    /// Read-only or not.
    Isro,
    /// Metrics.
    Mntr,
    /// Are you ok.
    Ruok,
    /// Resets the numbers of the server.
    Srst,
    /// The server in brief.
    Srvr,
    /// The same with connections.
    Stat,
    /// Sets the trace mask.
    Stmk,
    /// Watches by session.
    Wchc,
    /// Watches by path.
    Wchp,
    /// Numbers of watches.
    Wchs,
    /// What the telnet program sends when it is interrupted; known, but nothing.
    TelnetClose,
}

/// A part of [`ServerView`] that is only filled when a word needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `data_dir_bytes`, `log_dir_bytes`.
    Sizes,
    /// `connections`.
    Connections,
    /// `sessions`.
    Sessions,
    /// `ephemerals`.
    Ephemerals,
    /// `connection_expiry`.
    ConnectionExpiry,
    /// `watches_summary`.
    WatchesSummary,
    /// `watches_by_session`.
    WatchesBySession,
    /// `watches_by_path`.
    WatchesByPath,
    /// `digests`.
    Digests,
    /// `environment`.
    Environment,
    /// `metrics`, and with them the gauges: everything outside the parts.
    Metrics,
}

/// What is to be changed besides the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Latency, packets and sizes of the server and all metrics but gauges start anew.
    ResetServer,
    /// The numbers of every connection start anew.
    ResetConnections,
    /// `gtmk` shows this from now on.
    SetTraceMask(i64),
}

/// The answer to a word. The connection is closed behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// To be sent as it is.
    pub text: String,
    /// To be done.
    pub effect: Effect,
}

impl Answer {
    fn plain(text: impl Into<String>) -> Self {
        Answer { text: text.into(), effect: Effect::None }
    }
}

impl Command {
    /// All words, in the order of the alphabet.
    pub const ALL: [Command; 19] = [
        Command::Conf,
        Command::Cons,
        Command::Crst,
        Command::Dirs,
        Command::Dump,
        Command::Envi,
        Command::Gtmk,
        Command::Hash,
        Command::Isro,
        Command::Mntr,
        Command::Ruok,
        Command::Srst,
        Command::Srvr,
        Command::Stat,
        Command::Stmk,
        Command::Wchc,
        Command::Wchp,
        Command::Wchs,
        Command::TelnetClose,
    ];

    /// The word these bytes are; `None` when they are no word and thus the length of a packet.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 4]) -> Option<Self> {
        if bytes == [0xff, 0xf4, 0xff, 0xfd] {
            return Some(Command::TelnetClose);
        }
        Self::ALL.into_iter().find(|command| command.name().as_bytes() == bytes)
    }

    /// The name by which the white list and refusals know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Command::Conf => "conf",
            Command::Cons => "cons",
            Command::Crst => "crst",
            Command::Dirs => "dirs",
            Command::Dump => "dump",
            Command::Envi => "envi",
            Command::Gtmk => "gtmk",
            Command::Hash => "hash",
            Command::Isro => "isro",
            Command::Mntr => "mntr",
            Command::Ruok => "ruok",
            Command::Srst => "srst",
            Command::Srvr => "srvr",
            Command::Stat => "stat",
            Command::Stmk => "stmk",
            Command::Wchc => "wchc",
            Command::Wchp => "wchp",
            Command::Wchs => "wchs",
            Command::TelnetClose => "telnet close",
        }
    }

    /// The parts of a [`ServerView`] it is answered from.
    #[must_use]
    pub fn parts(self) -> &'static [Part] {
        match self {
            Command::Conf | Command::Dirs => &[Part::Sizes],
            Command::Cons | Command::Stat => &[Part::Connections],
            Command::Dump => &[Part::Sessions, Part::Ephemerals, Part::ConnectionExpiry],
            Command::Envi => &[Part::Environment],
            Command::Hash => &[Part::Digests],
            Command::Mntr => &[Part::Metrics],
            Command::Wchc => &[Part::WatchesBySession],
            Command::Wchp => &[Part::WatchesByPath],
            Command::Wchs => &[Part::WatchesSummary],
            Command::Crst
            | Command::Gtmk
            | Command::Isro
            | Command::Ruok
            | Command::Srst
            | Command::Srvr
            | Command::Stmk
            | Command::TelnetClose => &[],
        }
    }

    /// Whether it says something else than [`NOT_SERVING`] while no clients are served.
    fn answers_always(self) -> bool {
        matches!(self, Command::Ruok | Command::Envi | Command::Gtmk | Command::Stmk | Command::Isro)
    }
}

/// Answers a word that the white list allows. `argument` are the eight bytes behind `stmk`, big endian.
///
/// `None` closes the connection without a word: for [`Command::TelnetClose`], and for `stmk` without its argument.
#[must_use]
pub fn answer(command: Command, view: &ServerView, argument: Option<i64>) -> Option<Answer> {
    if !view.running && !command.answers_always() {
        // Upstream forgets the end of the line here.
        let end = if command == Command::Hash { "" } else { "\n" };
        return (command != Command::TelnetClose).then(|| Answer::plain(format!("{NOT_SERVING}{end}")));
    }
    Some(match command {
        Command::Conf => Answer::plain(conf::text(view)),
        Command::Cons => Answer::plain(cons::text(view)),
        Command::Crst => crst::answer(),
        Command::Dirs => Answer::plain(dirs::text(view)),
        Command::Dump => Answer::plain(dump::text(view)),
        Command::Envi => Answer::plain(envi::text(view)),
        Command::Gtmk => Answer::plain(gtmk::text(view)),
        Command::Hash => Answer::plain(hash::text(view)),
        Command::Isro => Answer::plain(isro::text(view)),
        Command::Mntr => Answer::plain(mntr::text(view)),
        Command::Ruok => Answer::plain(ruok::text()),
        Command::Srst => srst::answer(),
        Command::Srvr => Answer::plain(srvr::text(view)),
        Command::Stat => Answer::plain(stat::text(view)),
        Command::Stmk => stmk::answer(argument?),
        Command::Wchc => Answer::plain(wchc::text(view)),
        Command::Wchp => Answer::plain(wchp::text(view)),
        Command::Wchs => Answer::plain(wchs::text(view)),
        Command::TelnetClose => return None,
    })
}

#[cfg(test)]
mod tests;
