//! The one table of every setting: name, where it may be written, type, default, state, meaning.
//!
//! Role: [`find`] is how the parser learns what a key is; `docs.rs` prints the table as
//! `docs/configuration.md`; default values exist nowhere else.
//!
//! Invariants (tested): names are unique; every default is a value its own type accepts; every key of
//! [`State::Works`] has a reader in `resolve.rs`.
//!
//! Upstream counterpart: none; there the keys live where they are read.

/// Writes rows as `name place kind, default, state: meaning;`, which the formatter leaves alone.
macro_rules! keys {
    ($($name:literal $place:ident $kind:expr, $default:literal, $state:expr; $meaning:literal)*) => {
        &[$(Key {
            name: $name,
            place: Place::$place,
            kind: $kind,
            default: $default,
            state: $state,
            meaning: $meaning,
        }),*]
    };
}

mod properties;
mod zoo_cfg;

use std::fmt;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As written in `zoo.cfg`. A name that ends in `*` stands for all names that start with what precedes it.
    pub name: &'static str,
    /// Where it may be written.
    pub place: Place,
    /// What its value may be.
    pub kind: Kind,
    /// The value when it is not set; empty when there is none.
    pub default: &'static str,
    /// What Quoll does with it.
    pub state: State,
    /// What it means, in a line.
    pub meaning: &'static str,
}

/// Where a setting may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A key of `zoo.cfg` and nothing else.
    ZooCfg,
    /// A key of `zoo.cfg`, or the property `-Dzookeeper.<name>`; the file wins.
    Both,
    /// As [`Place::Both`], and the property `-D<name>`, which loses against the others.
    BothAndBare,
    /// Only the property `-D<name>`; in `zoo.cfg` it has no effect, as upstream.
    Bare,
}

/// What Quoll does with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has its effect.
    Works,
    /// It has its effect in an ensemble, and none on a standalone server, as upstream.
    Ensemble,
    /// Checked; the feature is not there yet, which is said in one warning, unless the value is one of these:
    /// with them the absence makes no difference.
    Later(&'static [&'static str]),
    /// Accepted and without effect: it tunes something of the Java server that does not exist here.
    Ignored,
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false` in any case; anything else is an error.
    Bool,
    /// `true` in any case is true, everything else is false.
    Lenient,
    /// Exactly this text is true, everything else is false.
    Only(&'static str),
    /// Exactly this text is false, everything else is true.
    Unless(&'static str),
    /// A decimal number in this range.
    Int(i64, i64, Unit),
    /// As [`Kind::Int`], also `0x…` and `0…` (octal), as `Integer.getInteger` reads it.
    Number(i64, i64, Unit),
    /// A number with decimals in this range.
    Float(f64, f64),
    /// One of these, in any case. The empty text may be among them.
    Choice(&'static [&'static str]),
    /// A directory or file.
    Path,
    /// Anything.
    Text,
    /// Names separated by commas.
    List,
    /// Checked elsewhere: member lines, class names.
    Special,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nothing to say.
    Plain,
    /// Milliseconds.
    Ms,
    /// Hours.
    Hours,
    /// Ticks of `tickTime`.
    Ticks,
    /// Bytes.
    Bytes,
    /// Kibibytes.
    KiB,
    /// A TCP port.
    Port,
}

/// A heading of the documentation with its keys.
#[derive(Debug)]
pub struct Section {
    /// Heading.
    pub title: &'static str,
    /// In the order in which they are shown.
    pub keys: &'static [Key],
}

/// Largest value of a Java `int`.
pub(crate) const INT_MAX: i64 = i32::MAX as i64;
/// Smallest value of a Java `int`.
pub(crate) const INT_MIN: i64 = i32::MIN as i64;

/// All sections, in the order in which the documentation shows them.
#[must_use]
pub fn sections() -> [&'static [Section]; 2] {
    [zoo_cfg::SECTIONS, properties::SECTIONS]
}

/// All keys.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    sections().into_iter().flatten().flat_map(|section| section.keys)
}

/// The key of this name, exact names before patterns, longer patterns before shorter ones.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    keys().filter(|key| key.matches(name)).max_by_key(|key| (!key.is_pattern(), key.name.len()))
}

impl Key {
    /// Whether the name stands for many.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.name.ends_with('*')
    }

    /// Whether this is the key of a name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == self.name,
        }
    }

    /// Checks a value. The error says what is allowed.
    ///
    /// # Errors
    /// What [`Kind::allowed`] says.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let good = match self.kind {
            Kind::Bool => self.flag(value).is_some(),
            Kind::Int(..) | Kind::Number(..) => self.int(value).is_some(),
            Kind::Float(..) => self.float(value).is_some(),
            Kind::Choice(choices) => choices.iter().any(|choice| choice.eq_ignore_ascii_case(value)),
            Kind::Path => !value.is_empty(),
            Kind::Lenient | Kind::Only(_) | Kind::Unless(_) | Kind::Text | Kind::List | Kind::Special => true,
        };
        if good { Ok(()) } else { Err(self.kind.allowed()) }
    }

    /// The value as a yes or no; `None` when it is not allowed.
    #[must_use]
    pub fn flag(&self, value: &str) -> Option<bool> {
        match self.kind {
            Kind::Bool if value.eq_ignore_ascii_case("true") => Some(true),
            Kind::Bool if value.eq_ignore_ascii_case("false") => Some(false),
            Kind::Lenient => Some(value.eq_ignore_ascii_case("true")),
            Kind::Only(yes) => Some(value == yes),
            Kind::Unless(no) => Some(value != no),
            _ => None,
        }
    }

    /// The value as a number in range; `None` when it is not allowed.
    #[must_use]
    pub fn int(&self, value: &str) -> Option<i64> {
        let (number, min, max) = match self.kind {
            Kind::Int(min, max, _) => (value.parse().ok()?, min, max),
            Kind::Number(min, max, _) => (decode(value)?, min, max),
            _ => return None,
        };
        (min..=max).contains(&number).then_some(number)
    }

    /// The value as a number with decimals; `None` when it is not allowed.
    #[must_use]
    pub fn float(&self, value: &str) -> Option<f64> {
        let Kind::Float(min, max) = self.kind else { return None };
        let number: f64 = value.parse().ok()?;
        (min..=max).contains(&number).then_some(number)
    }

    /// A value that is read in a way its writer may not have meant; says how it is read.
    #[must_use]
    pub fn surprise(&self, value: &str) -> Option<String> {
        let lower = value.to_ascii_lowercase();
        let (expected, read_as) = match self.kind {
            Kind::Lenient if lower != "true" && lower != "false" => ("true or false", "false"),
            Kind::Only(yes) if value != yes && !matches!(value, "no" | "false") => {
                (if yes == "yes" { "yes or no" } else { "true or false" }, "no")
            }
            Kind::Unless(no) if value != no && !matches!(value, "yes" | "true") => {
                (if no == "no" { "yes or no" } else { "true or false" }, "yes")
            }
            _ => return None,
        };
        Some(format!("expected {expected}; anything else counts as {read_as}"))
    }
}

/// `Long.decode`: decimal, `0x`/`#` hexadecimal, leading `0` octal, with sign.
fn decode(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = if let Some(hex) =
        digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).or_else(|| digits.strip_prefix('#'))
    {
        (16, hex)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits)
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -number } else { number }).ok()
}

impl Kind {
    /// What may be written, for an error message.
    #[must_use]
    pub fn allowed(&self) -> String {
        match self {
            Kind::Bool => "true or false".to_owned(),
            Kind::Lenient => "true or false".to_owned(),
            Kind::Only(word) | Kind::Unless(word) => match *word {
                "yes" | "no" => "yes or no".to_owned(),
                _ => "true or false".to_owned(),
            },
            Kind::Int(min, max, unit) | Kind::Number(min, max, unit) => {
                let number = match (*min, *max) {
                    (INT_MIN, INT_MAX) | (i64::MIN, i64::MAX) => "a whole number".to_owned(),
                    (min, max) if min == max => format!("only {min}"),
                    (INT_MIN, max) => format!("a whole number, at most {max}"),
                    (min, INT_MAX | i64::MAX) if min >= -1 => format!("a whole number, at least {min}"),
                    (min, max) => format!("a whole number from {min} to {max}"),
                };
                match unit {
                    Unit::Plain | Unit::Port => number,
                    unit => format!("{number}, in {unit}"),
                }
            }
            Kind::Float(min, max) if *max == f64::MAX && *min == f64::MIN => "a number".to_owned(),
            Kind::Float(min, max) => format!("a number from {min} to {max}"),
            Kind::Choice(choices) => {
                let quoted: Vec<_> =
                    choices.iter().map(|choice| if choice.is_empty() { "nothing" } else { choice }).collect();
                format!("one of: {}", quoted.join(", "))
            }
            Kind::Path => "a path".to_owned(),
            Kind::Text | Kind::Special => "a text".to_owned(),
            Kind::List => "names separated by commas".to_owned(),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Plain => "",
            Unit::Ms => "milliseconds",
            Unit::Hours => "hours",
            Unit::Ticks => "ticks",
            Unit::Bytes => "bytes",
            Unit::KiB => "KiB",
            Unit::Port => "port",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = keys().map(|key| key.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    #[test]
    fn every_default_is_a_value_its_own_type_accepts() {
        for key in keys().filter(|key| !key.default.is_empty()) {
            assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
        }
    }

    #[test]
    fn every_key_that_is_a_number_or_a_flag_has_a_default_or_is_unset_by_nature() {
        for key in keys().filter(|key| key.default.is_empty()) {
            let unset_by_nature = matches!(
                key.name,
                "clientPort" | "nio.numWorkerThreads" | "jute.maxbuffer.extrasize" | "observer.syncEnabled"
            ) || matches!(key.state, State::Ignored | State::Later(_));
            let has_no_natural_default =
                matches!(key.kind, Kind::Text | Kind::Path | Kind::List | Kind::Special | Kind::Choice(_));
            assert!(unset_by_nature || has_no_natural_default, "{}", key.name);
        }
    }

    #[test]
    fn meanings_are_one_line_without_a_full_stop_at_the_end_or_a_pipe() {
        for key in keys() {
            assert!(!key.meaning.is_empty() && !key.meaning.contains(['\n', '|']), "{}", key.name);
            assert!(!key.meaning.ends_with('.'), "{}", key.name);
        }
    }

    #[test]
    fn the_longest_match_wins() {
        assert_eq!(find("metricsProvider.className").unwrap().name, "metricsProvider.className");
        assert_eq!(find("metricsProvider.httpPort").unwrap().name, "metricsProvider.*");
        assert_eq!(find("server.1").unwrap().name, "server.*");
        assert_eq!(find("ssl.quorum.keyStore.location").unwrap().name, "ssl.quorum.*");
        assert!(find("something.unknown").is_none());
    }

    #[test]
    fn numbers_of_properties_may_be_hexadecimal_or_octal_and_those_of_zoo_cfg_not() {
        for (text, number) in
            [("12", 12), ("0x10", 16), ("#10", 16), ("010", 8), ("-1", -1), ("+7", 7), ("0", 0)]
        {
            assert_eq!(decode(text), Some(number), "{text}");
        }
        for text in ["", "-", "0x", "08", "1e3", "--1", "0x-1", "9223372036854775808", " 1", "1_000"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(find("tickTime").unwrap().int("0x10"), None);
        assert_eq!(find("snapCount").unwrap().int("0x10"), Some(16));
    }
}
