//! Arguments of `quoll server`.
//!
//! Role: arguments and the two environment variables of upstream's start scripts, as text, to a
//! [`ServerConfig`] or an error to print.
//!
//! Invariants: reads no environment; a JVM flag is never an error, so that a start script made for Java works.
//!
//! Upstream counterpart: `QuorumPeerMain.main`, `ZooKeeperServerMain.main`, and what the `java` command makes of
//! its options.

use std::ffi::OsString;

use super::error::{ConfigError, Level, Notice, Origin};
use super::resolve::{self, Flag, Start};
use super::{EnsembleConfig, ServerConfig};

/// How a server was called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// What follows `quoll server`.
    pub args: Vec<String>,
    /// The environment variable of this name.
    pub server_jvmflags: Option<String>,
    /// The environment variable of this name.
    pub jvmflags: Option<String>,
}

/// A server to start.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its settings.
    pub config: ServerConfig,
    /// The ensemble it is a member of; `None` for a standalone server.
    pub ensemble: Option<EnsembleConfig>,
    /// What to log about them, in order.
    pub notices: Vec<Notice>,
}

/// Reads arguments and the file they name.
///
/// # Errors
/// [`ConfigError`]: print it, exit with [`ConfigError::exit_code`].
pub fn load(invocation: &Invocation) -> Result<Loaded, ConfigError> {
    let mut words = Words::default();
    for (name, text) in [("SERVER_JVMFLAGS", &invocation.server_jvmflags), ("JVMFLAGS", &invocation.jvmflags)]
    {
        // As an unquoted shell variable: blanks separate, quotes mean nothing.
        let text = text.as_deref().unwrap_or_default();
        words.read(text.split_whitespace().map(str::to_owned), &Origin::Variable(name))?;
    }
    words.read(invocation.args.iter().cloned(), &Origin::CommandLine)?;

    let start = match words.positional.len() {
        0 => Start::Defaults,
        1 => Start::File(words.positional.remove(0).into()),
        2..=4 => Start::Arguments(words.positional),
        count => {
            return Err(ConfigError::Usage(format!("{count} arguments are too many")));
        }
    };
    let settings = resolve::read(&start, &words.flags)?;
    if let Some(EnsembleConfig { protection: Some(key), origin, .. }) = &settings.ensemble {
        let problem = format!(
            "{key}=true: Quoll cannot protect connections between servers yet, and does not run such a member \
             without it"
        );
        return Err(ConfigError::Conflict { origin: origin.clone(), problem });
    }
    let mut notices = words.notices;
    notices.extend(settings.notices);
    Ok(Loaded { config: settings.server, ensemble: settings.ensemble, notices })
}

/// Puts `server` in front of arguments that start with none of the subcommands, because start scripts pass just
/// the configuration file. `args` starts with the name of the program; help and version stay.
#[must_use]
pub fn with_default_subcommand(mut args: Vec<OsString>, subcommands: &[&str]) -> Vec<OsString> {
    let stays = match args.get(1).and_then(|arg| arg.to_str()) {
        None => args.len() < 2,
        Some("-h" | "--help" | "-V" | "--version" | "help") => true,
        Some(first) => subcommands.contains(&first),
    };
    if !stays {
        args.insert(1, "server".into());
    }
    args
}

/// Arguments sorted by kind.
#[derive(Default)]
struct Words {
    flags: Vec<Flag>,
    positional: Vec<String>,
    notices: Vec<Notice>,
}

impl Words {
    fn read(&mut self, words: impl Iterator<Item = String>, origin: &Origin) -> Result<(), ConfigError> {
        let on_command_line = *origin == Origin::CommandLine;
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            if let Some(property) = word.strip_prefix("-D").filter(|property| !property.is_empty()) {
                let (name, value) = property.split_once('=').unwrap_or((property, ""));
                let (name, value) = (name.to_owned(), value.to_owned());
                self.flags.push(Flag { name, value, origin: origin.clone() });
            } else if word.starts_with('-') && (is_jvm_option(&word) || !on_command_line) {
                if takes_a_value(&word) {
                    words.next();
                }
                self.ignore(&word, origin);
            } else if word.starts_with('-') {
                return Err(ConfigError::Usage(format!("{word} is not an option of `quoll server`")));
            } else if !on_command_line || is_main_class(&word) {
                self.ignore(&word, origin);
            } else {
                self.positional.push(word);
            }
        }
        Ok(())
    }

    fn ignore(&mut self, word: &str, origin: &Origin) {
        let text = format!("{origin}: {word} is for the Java platform and has no meaning here");
        self.notices.push(Notice { level: Level::Debug, text });
    }
}

/// Options of the `java` command.
fn is_jvm_option(word: &str) -> bool {
    const PREFIXES: [&str; 14] = [
        "-X",
        "-javaagent",
        "-agent",
        "-verbose",
        "-ea",
        "-enable",
        "-da",
        "-disable",
        "-esa",
        "-dsa",
        "--add-",
        "--illegal-access",
        "--module-path",
        "-splash",
    ];
    takes_a_value(word)
        || matches!(word, "-server" | "-client" | "-d32" | "-d64")
        || PREFIXES.iter().any(|prefix| word.starts_with(prefix))
}

/// Options of the `java` command that are followed by a value.
fn takes_a_value(word: &str) -> bool {
    const WITH_VALUE: [&str; 10] = [
        "-cp",
        "-classpath",
        "--class-path",
        "-p",
        "--module-path",
        "--add-modules",
        "--add-opens",
        "--add-exports",
        "--add-reads",
        "--upgrade-module-path",
    ];
    WITH_VALUE.contains(&word)
}

/// Names under which start scripts call upstream's server.
fn is_main_class(word: &str) -> bool {
    matches!(
        word,
        "org.apache.zookeeper.server.quorum.QuorumPeerMain"
            | "org.apache.zookeeper.server.ZooKeeperServerMain"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(args: &[&str], server_jvmflags: &str, jvmflags: &str) -> Result<Loaded, ConfigError> {
        load(&Invocation {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            server_jvmflags: Some(server_jvmflags.to_owned()),
            jvmflags: Some(jvmflags.to_owned()),
        })
    }

    fn loud(loaded: &Loaded) -> Vec<&str> {
        let loud = loaded.notices.iter().filter(|notice| notice.level > Level::Debug);
        loud.map(|notice| notice.text.as_str()).collect()
    }

    #[test]
    fn without_arguments_the_defaults_are_used() {
        let loaded = load(&Invocation::default()).unwrap();
        assert_eq!(loaded.config, ServerConfig::default());
        assert_eq!(loaded.notices, []);
    }

    #[test]
    fn a_later_source_of_properties_beats_an_earlier_one() {
        let snap_count = |args: &[&str], server: &str, jvm: &str| {
            loaded(args, server, jvm).unwrap().config.storage.snap_count
        };
        let flag = "-Dzookeeper.snapCount=";
        let with = |number: u32| format!("{flag}{number}");
        assert_eq!(snap_count(&[], &with(10), ""), 10);
        assert_eq!(snap_count(&[], &with(10), &with(20)), 20);
        assert_eq!(snap_count(&[&with(30)], &with(10), &with(20)), 30);
        assert_eq!(snap_count(&[&with(30), &with(40)], "", ""), 40);
    }

    #[test]
    fn flags_for_the_java_platform_are_ignored_quietly() {
        let flags = "-Xmx1g -XX:+HeapDumpOnOutOfMemoryError -XX:OnOutOfMemoryError=kill -javaagent:/a.jar=7070 \
                     -Dcom.sun.management.jmxremote -Djava.net.preferIPv4Stack=true -Dlogback.configurationFile=x \
                     -Dzookeeper.log.dir=/var/log -Dzookeeper.jmx.log4j.disable=true --add-opens java.base/a=b -ea";
        let args = ["-cp", "/lib/*", "-Xss1m", "org.apache.zookeeper.server.quorum.QuorumPeerMain"];
        let loaded = loaded(&args, flags, flags).unwrap();
        assert_eq!(loaded.config, ServerConfig::default());
        assert_eq!(loud(&loaded), Vec::<&str>::new());
        assert!(loaded.notices.len() > 20, "each is mentioned for those who look closely");
    }

    #[test]
    fn port_and_directory_may_stand_alone_as_upstream() {
        let config = loaded(&["2182", "/tmp/x"], "", "").unwrap().config;
        assert_eq!(config.connection.client_address, Some(crate::config::HostPort::any(2182)));
        assert_eq!(config.storage.data_dir.to_str(), Some("/tmp/x"));
        assert_eq!(config.storage.data_log_dir.to_str(), Some("/tmp/x"));
        assert_eq!(config.session.tick_time_ms, 3000);
        assert_eq!(config.connection.per_ip_max, 0);
        let config = loaded(&["2182", "/tmp/x", "500", "7"], "", "").unwrap().config;
        assert_eq!((config.session.tick_time_ms, config.session.timeout_max_ms), (500, 10_000));
        assert_eq!(config.connection.per_ip_max, 7);
    }

    #[test]
    fn senseless_arguments_are_refused_with_exit_code_2_as_upstream() {
        for (args, part) in [
            (&["a", "b", "c", "d", "e"][..], "5 arguments are too many"),
            (
                &["port", "dir"],
                "command line: `clientPort=port` is not usable: expected a whole number from 0 to 65535",
            ),
            (&["1", "dir", "0"], "`tickTime=0`"),
            (&["--fast"], "--fast is not an option"),
            (&["no/such/zoo.cfg"], "no/such/zoo.cfg: cannot read this configuration file"),
        ] {
            let error = loaded(args, "", "").unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_bad_property_names_the_variable_it_came_from() {
        let error = loaded(&[], "-Dzookeeper.snapCount=many", "").unwrap_err().to_string();
        assert_eq!(error, "-D in SERVER_JVMFLAGS: `snapCount=many` is not usable: expected a whole number");
    }

    #[test]
    fn a_path_alone_means_the_server() {
        let with = |args: &[&str]| {
            let args = args.iter().map(Into::into).collect();
            with_default_subcommand(args, &["server", "bench"])
                .into_iter()
                .map(|arg| arg.into_string().unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(with(&["quoll", "conf/zoo.cfg"]), "quoll server conf/zoo.cfg");
        assert_eq!(with(&["quoll", "-Dzookeeper.snapCount=5"]), "quoll server -Dzookeeper.snapCount=5");
        assert_eq!(with(&["quoll", "2181", "data"]), "quoll server 2181 data");
        for unchanged in
            [&["quoll"][..], &["quoll", "bench", "x"], &["quoll", "--help"], &["quoll", "server"]]
        {
            assert_eq!(with(unchanged), unchanged.join(" "));
        }
    }
}
