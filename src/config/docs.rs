//! Prints the table as the page `docs/configuration.md`.
//!
//! The test below compares the page with the table; `UPDATE_DOCS=1 cargo test -p quoll --lib docs` writes it.

use std::fmt::Write as _;

use super::table::{self, Key, Kind, Place, State};

const HEAD: &str = "\
<!-- Written from the table in src/config/table/; to change it: UPDATE_DOCS=1 cargo test -p quoll --lib docs -->
# Configuration

Quoll reads the `zoo.cfg` of Apache ZooKeeper 3.9. Every key of that version is listed here.

    quoll server                                 # port 2181 on all addresses, ./data, tick of 2 s
    quoll server path/to/zoo.cfg                 # also: quoll path/to/zoo.cfg
    quoll server port dataDir [tickTime] [maxClientCnxns]
    quoll server -Dzookeeper.snapCount=50000 path/to/zoo.cfg

## Rules

* The file has the syntax of Java properties: `key=value`, `key:value` or `key value`; `#` and `!` begin a comment line;
  a backslash at the end continues a line; `\\uXXXX` and the usual escapes work. Of two equal keys the later counts.
* Properties are given as `-Dname=value` on the command line or in the environment variables `SERVER_JVMFLAGS` and
  `JVMFLAGS`. A later source beats an earlier one: default, `SERVER_JVMFLAGS`, `JVMFLAGS`, command line, file.
* A key the server does not know is kept as property `zookeeper.KEY`, where nothing reads it, and mentioned.
* Flags for the Java platform (`-Xmx…`, `-XX:…`, `-javaagent…`, `-Dcom.sun…`, `-Djava…`) are ignored.
* A value that cannot be used stops the start with exit code 2 and a message with place, key, value and what is
  allowed. Upstream does so for the keys of its own parser and silently takes the default for others.
* Without a file the tick is 2000 ms, as in the sample file of ZooKeeper; in a file without `tickTime` it is 3000 ms,
  and with `port dataDir` too, where also the limit of connections per address is off.

Differences from upstream on purpose: the default address is `0.0.0.0` (Java listens on IPv6 as well; write
`clientPortAddress=::` for that); bad values of properties stop the start; after a snapshot of 100,000 znodes or more no
other begins for three times as long as it took, however many transactions there are.

## Columns

*Where*: **file** — only in `zoo.cfg`; **both** — in `zoo.cfg` by this name, or as `-Dzookeeper.NAME`; **both+** — also
as `-DNAME` without the prefix; **-D** — only as `-DNAME`.
*State*: **works**; **ensemble** — works in an ensemble, of no effect for a standalone server;
**later** — accepted with a warning, the feature is not there yet; **no effect** — tunes a part of the Java server that
does not exist here.
";

/// The page, complete.
#[must_use]
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in table::sections().into_iter().flatten() {
        let _ = write!(
            page,
            "\n## {}\n\n| key | where | value | default | state | meaning |\n|---|---|---|---|---|---|\n",
            section.title
        );
        for key in section.keys {
            let _ = writeln!(page, "{}", row(key));
        }
    }
    page
}

fn row(key: &Key) -> String {
    let place = match key.place {
        Place::ZooCfg => "file",
        Place::Both => "both",
        Place::BothAndBare => "both+",
        Place::Bare => "-D",
    };
    let value = match key.kind {
        Kind::Special => String::new(),
        Kind::Choice(choices) if choices.contains(&"") => format!("{} (or empty)", key.kind.allowed()),
        kind => kind.allowed(),
    };
    let value = value.replace("nothing, ", "");
    let default = match key.default {
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let state = match key.state {
        State::Works => "works",
        State::Ensemble => "ensemble",
        State::Later(_) => "later",
        State::Ignored => "no effect",
    };
    format!("| `{}` | {place} | {value} | {default} | {state} | {} |", key.name, key.meaning)
}

/// Compares a generated page with the file of the repository, or writes it when UPDATE_DOCS=1.
#[cfg(test)]
pub(crate) fn assert_page(path: &str, page: &str) {
    let full = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(&full, page).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&full).unwrap_or_default();
    let first_difference = found.lines().zip(page.lines()).find(|(found, wanted)| found != wanted);
    assert!(
        found == page,
        "{path} differs from the code it is written from; run UPDATE_DOCS=1 cargo test -p quoll --lib docs\n\
         first difference (file, code): {first_difference:#?}"
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn docs_configuration_page_says_what_the_table_says() {
        crate::config::docs::assert_page("docs/configuration.md", &super::page());
    }
}
