//! Which words are answered: `4lw.commands.whitelist`.

use super::Command;

/// The words that are answered. Upstream: `FourLetterCommands.isEnabled`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whitelist(Vec<Command>);

impl Whitelist {
    /// Reads the setting: words separated by commas, or `*` for all. `srvr` is always answered, `isro` when
    /// read-only mode is on, because clients and scripts depend on them. Unknown words are of no effect.
    #[must_use]
    pub fn new(setting: Option<&str>, read_only_mode: bool) -> Self {
        let mut allowed = vec![Command::Srvr];
        if read_only_mode {
            allowed.push(Command::Isro);
        }
        for word in setting.unwrap_or_default().split(',').map(str::trim) {
            if word == "*" {
                return Whitelist(Command::ALL.to_vec());
            }
            allowed.extend(Command::ALL.into_iter().find(|command| command.name() == word));
        }
        Whitelist(allowed)
    }

    /// Whether a word is answered.
    #[must_use]
    pub fn allows(&self, command: Command) -> bool {
        self.0.contains(&command)
    }

    /// What a word is told that is not.
    #[must_use]
    pub fn refusal(command: Command) -> String {
        format!("{} is not executed because it is not in the whitelist.\n", command.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(setting: Option<&str>, read_only_mode: bool) -> Vec<&'static str> {
        let whitelist = Whitelist::new(setting, read_only_mode);
        Command::ALL.into_iter().filter(|command| whitelist.allows(*command)).map(Command::name).collect()
    }

    #[test]
    fn srvr_is_always_allowed_and_isro_in_read_only_mode() {
        assert_eq!(allowed(None, false), ["srvr"]);
        assert_eq!(allowed(Some(""), false), ["srvr"]);
        assert_eq!(allowed(None, true), ["isro", "srvr"]);
    }

    #[test]
    fn words_are_separated_by_commas_and_trimmed() {
        assert_eq!(allowed(Some("srvr, mntr ,ruok,,nope,RUOK"), false), ["mntr", "ruok", "srvr"]);
    }

    #[test]
    fn a_star_allows_all_wherever_it_stands() {
        for setting in ["*", " * ", "ruok,*", "*,nope"] {
            assert_eq!(allowed(Some(setting), false).len(), Command::ALL.len());
        }
        assert_eq!(allowed(Some("r*"), false), ["srvr"]);
    }
}
