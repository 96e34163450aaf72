//! Prints words and metrics as the page `docs/four-letter-words.md`.

use std::fmt::Write as _;

use super::metrics::{Counter, Distribution, KeyedCounter, KeyedSummary, State, Summary, gauges};
use super::words::Command;

const HEAD: &str = "\
<!-- Written from src/admin/; to change it: UPDATE_DOCS=1 cargo test -p quoll --lib docs -->
# Four-letter words and metrics

Four bytes at the start of a connection to the client port; the server answers and closes it:

    echo srvr | nc localhost 2181

Only words named in `4lw.commands.whitelist` are answered (`*` for all); `srvr` always is. Others are told
`<word> is not executed because it is not in the whitelist.` Texts have the shape of ZooKeeper 3.9.5, so that scripts
and exporters made for it work. Times in `dump` are UTC. The lines of one answer have a fixed order here.

The version is `3.9.5-quoll-<Quoll's version>, built on <date>`: clients and monitoring decide by its first three
numbers what a server can do, so these are the version of ZooKeeper whose behaviour Quoll has. The date is
that of the commit, or what the variable `SOURCE_DATE_EPOCH` or `QUOLL_BUILD_DATE` said while it was compiled, so that
equal sources make equal programs.

| word | answer |
|---|---|
";

fn meaning(command: Command) -> &'static str {
    match command {
        Command::Conf => "the settings in force",
        Command::Cons => "every client connection with its session and numbers",
        Command::Crst => "resets the numbers of all connections",
        Command::Dirs => "bytes of snapshots and logs",
        Command::Dump => {
            "sessions by time of expiry, ephemeral nodes by session, connections by time of closing"
        }
        Command::Envi => "versions and machine; what concerns Java is `<NA>`",
        Command::Gtmk => "the trace mask; kept for tools that ask, without effect",
        Command::Hash => "digests of the tree at every 128th zxid",
        Command::Isro => "`rw`, `ro`, or `null` while no clients are served",
        Command::Mntr => "all metrics, see below",
        Command::Ruok => "`imok`, whether or not clients are served",
        Command::Srst => "resets the numbers of the server and all metrics but gauges",
        Command::Srvr => "the server in brief",
        Command::Stat => "the server in brief with its connections",
        Command::Stmk => "sets the trace mask to the eight bytes that follow",
        Command::Wchc => "data and existence watches by session; long on a busy server",
        Command::Wchp => "data and existence watches by path; long on a busy server",
        Command::Wchs => "numbers of data and existence watches",
        Command::TelnetClose => unreachable!("not a word for users"),
    }
}

const METRICS: &str = "
## Metrics

`mntr` prints `zk_<name>`, a tab, and the value. All names of a standalone ZooKeeper 3.9.5 are there. State **counted**:
it means something; **later**: always 0 so far; **never**: always 0, because it counts something of the Java server's
inside that does not exist here. `srst` resets all but gauges. Times are milliseconds.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for command in Command::ALL.into_iter().filter(|command| *command != Command::TelnetClose) {
        let _ = writeln!(page, "| `{}` | {} |", command.name(), meaning(command));
    }
    page += METRICS;
    section(
        &mut page,
        "Gauges",
        "What is, at the moment of asking.",
        gauges::GAUGES.iter().map(|gauge| (gauge.name.to_owned(), gauge.state, gauge.meaning)),
    );
    section(
        &mut page,
        "Gauges of a member of an ensemble",
        "Beside `peer_state`, and `observer_master_id` of an observer: the number of the member that it gets transactions from.",
        gauges::MEMBER_GAUGES.iter().map(|gauge| (gauge.name.to_owned(), gauge.state, gauge.meaning)),
    );
    section(
        &mut page,
        "Gauges of a leader",
        "Others do not print them.",
        gauges::LEADER_GAUGES.iter().map(|gauge| (gauge.name.to_owned(), gauge.state, gauge.meaning)),
    );
    section(
        &mut page,
        "Gauges by namespace",
        "One per quota, the first path component in front.",
        gauges::GAUGE_SETS.iter().map(|set| (format!("<key>_{}", set.name), State::Counted, set.meaning)),
    );
    section(
        &mut page,
        "Counters",
        "Since the start or the last `srst`.",
        Counter::ALL.iter().map(|metric| (metric.name().to_owned(), metric.state(), metric.meaning())),
    );
    section(
        &mut page,
        "Counters by key",
        "The key in front.",
        KeyedCounter::ALL.iter().map(|m| (format!("<key>_{}", m.name()), m.state(), m.meaning())),
    );
    section(
        &mut page,
        "Summaries",
        "Five lines each: `avg_`, `min_`, `max_`, `cnt_`, `sum_` in front.",
        Summary::ALL.iter().map(|metric| (metric.name().to_owned(), metric.state(), metric.meaning())),
    );
    section(
        &mut page,
        "Summaries with percentiles",
        "Nine lines each: also `p50_`, `p95_`, `p99_`, `p999_`; exact below 32, then within 6 %.",
        Distribution::ALL.iter().map(|metric| (metric.name().to_owned(), metric.state(), metric.meaning())),
    );
    section(
        &mut page,
        "Summaries by key",
        "The key between prefix and name; beyond 1000 keys the rest together as `_other`.",
        KeyedSummary::ALL.iter().map(|m| (format!("<key>_{}", m.name()), m.state(), m.meaning())),
    );
    page
}

fn section(
    page: &mut String,
    title: &str,
    about: &str,
    rows: impl Iterator<Item = (String, State, &'static str)>,
) {
    let _ = write!(page, "\n### {title}\n\n{about}\n\n| name | state | meaning |\n|---|---|---|\n");
    for (name, state, meaning) in rows {
        let state = match state {
            State::Counted => "counted",
            State::Later => "later",
            State::Never => "never",
        };
        let _ = writeln!(page, "| `{name}` | {state} | {meaning} |");
    }
}

#[test]
fn docs_four_letter_words_page_says_what_the_code_says() {
    crate::config::docs::assert_page("docs/four-letter-words.md", &page());
}
