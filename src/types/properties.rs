//! Java properties text: the syntax of `zoo.cfg` and of dynamic configuration files.
//!
//! Role: bytes to `(key, value, line)` in file order, duplicates included; what they mean is decided elsewhere.
//!
//! Invariants: never panics; output is at most as long as the input; only a malformed `\u` escape is an error.
//!
//! Upstream counterpart: `java.util.Properties.load(InputStream)`. In particular bytes are ISO-8859-1, one
//! character each: other characters are written `\uXXXX`.

use thiserror::Error;

/// One `key=value` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Key with escapes resolved, not trimmed.
    pub key: String,
    /// Value with escapes resolved, not trimmed: blanks before it are gone, blanks behind it are not.
    pub value: String,
    /// Line on which it starts, counted from 1.
    pub line: usize,
}

/// The text is not properties syntax.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}: `\\u` must be followed by four hexadecimal digits")]
pub struct BadEscape {
    /// Line on which the property starts, counted from 1.
    pub line: usize,
}

/// Parses a whole file.
///
/// # Errors
/// [`BadEscape`] for `\u` without four hexadecimal digits.
pub fn parse(text: &[u8]) -> Result<Vec<Property>, BadEscape> {
    let mut properties = Vec::new();
    let mut lines = NaturalLines { rest: text, line: 0 };
    while let Some((first_line, logical)) = logical_line(&mut lines) {
        let (key, value) = split(&logical);
        let unescape = |raw| unescape(raw).ok_or(BadEscape { line: first_line });
        properties.push(Property { key: unescape(key)?, value: unescape(value)?, line: first_line });
    }
    Ok(properties)
}

/// Lines as they stand in the file, ended by LF, CR or CR LF.
struct NaturalLines<'a> {
    rest: &'a [u8],
    /// Number of the line last handed out.
    line: usize,
}

impl<'a> Iterator for NaturalLines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.line += 1;
        let end = self.rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        self.rest = match rest {
            [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
            [] => rest,
        };
        Some(line)
    }
}

/// The next line that is neither blank nor a comment, with its continuations joined, and its number.
fn logical_line(lines: &mut NaturalLines<'_>) -> Option<(usize, Vec<u8>)> {
    let mut logical = Vec::new();
    let mut first_line = 0;
    let mut continued = false;
    loop {
        let Some(line) = lines.next() else {
            // A backslash at the very end continues into nothing.
            return (continued && !logical.is_empty()).then_some((first_line, logical));
        };
        let line = trim_start(line);
        if logical.is_empty() {
            // Also behind a line that was nothing but a backslash.
            if line.is_empty() || matches!(line[0], b'#' | b'!') {
                continued = false;
                continue;
            }
            first_line = lines.line;
        }
        let backslashes = line.iter().rev().take_while(|b| **b == b'\\').count();
        continued = backslashes % 2 == 1;
        logical.extend_from_slice(&line[..line.len() - usize::from(continued)]);
        if !continued && !logical.is_empty() {
            return Some((first_line, logical));
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\x0c')
}

fn trim_start(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|b| is_blank(**b)).count()..]
}

/// Key and value, still escaped. The key ends at the first `=`, `:` or blank without a backslash before it.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let end = line.iter().position(|b| {
        let ends = !escaped && (matches!(b, b'=' | b':') || is_blank(*b));
        escaped = !escaped && *b == b'\\';
        ends
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = trim_start(rest);
    let value = match rest {
        [b'=' | b':', value @ ..] => trim_start(value),
        _ => rest,
    };
    (key, value)
}

/// Resolves escapes; `None` for a malformed `\u`. Escapes are UTF-16 code units, as in Java; a surrogate
/// without its other half becomes U+FFFD.
fn unescape(raw: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'\\' {
            units.push(byte.into());
            continue;
        }
        match bytes.next() {
            Some(b'u') => {
                let mut unit = 0;
                for _ in 0..4 {
                    let digit = char::from(*bytes.next()?).to_digit(16)?;
                    unit = unit << 4 | digit as u16;
                }
                units.push(unit);
            }
            Some(b't') => units.push(b'\t'.into()),
            Some(b'n') => units.push(b'\n'.into()),
            Some(b'r') => units.push(b'\r'.into()),
            Some(b'f') => units.push(0x0c),
            Some(&other) => units.push(other.into()),
            None => {}
        }
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes()).unwrap().into_iter().map(|p| (p.key, p.value)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut pairs = pairs(text);
        assert_eq!(pairs.len(), 1, "{pairs:?}");
        pairs.pop().unwrap()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn equals_colon_and_blank_separate_key_from_value() {
        for text in ["k=v", "k:v", "k v", "k\tv", "k\x0cv", "  k  =  v", "k : v", "k   v"] {
            assert_eq!(one(text), pair("k", "v"), "{text:?}");
        }
    }

    #[test]
    fn only_the_first_separator_counts() {
        assert_eq!(one("k==v"), pair("k", "=v"));
        assert_eq!(one("k = : v"), pair("k", ": v"));
        assert_eq!(one("server.1 a:1:2;3"), pair("server.1", "a:1:2;3"));
    }

    #[test]
    fn an_escaped_separator_belongs_to_the_key() {
        assert_eq!(one(r"a\=b\:c\ d=e"), pair("a=b:c d", "e"));
        assert_eq!(one(r"a\\=e"), pair(r"a\", "e"));
    }

    #[test]
    fn key_or_value_may_be_empty() {
        assert_eq!(one("k"), pair("k", ""));
        assert_eq!(one("k="), pair("k", ""));
        assert_eq!(one("=v"), pair("", "v"));
    }

    #[test]
    fn comments_and_blank_lines_are_skipped_and_counted() {
        let found = parse(b"# a\n\n  ! b = \\\nk=v\r\n\t# c\rl=w").unwrap();
        let lines: Vec<_> = found.iter().map(|p| (p.key.as_str(), p.line)).collect();
        assert_eq!(lines, [("k", 4), ("l", 6)]);
    }

    #[test]
    fn a_backslash_at_the_end_joins_lines_without_the_next_indent() {
        assert_eq!(one("k=a\\\n   b\\\r\n\tc"), pair("k", "abc"));
        assert_eq!(one("k\\\n=a"), pair("k", "a"));
        assert_eq!(pairs("k=a\\\\\nl=b"), [pair("k", r"a\"), pair("l", "b")]);
    }

    #[test]
    fn a_continued_line_may_look_like_a_comment_and_a_blank_one_ends_it() {
        assert_eq!(one("k=a\\\n#b"), pair("k", "a#b"));
        assert_eq!(pairs("k=a\\\n\nl=b"), [pair("k", "a"), pair("l", "b")]);
        assert_eq!(one("k=a\\"), pair("k", "a"));
        assert_eq!(one("\\\n# comment\nk=a"), pair("k", "a"));
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(one(r"k=\t\n\r\f\q\\"), pair("k", "\t\n\r\x0cq\\"));
        assert_eq!(one(r"k=\u0032000\u00e4\uD83D\uDE00"), pair("k", "2000ä😀"));
        assert_eq!(one(r"k=\uD83D"), pair("k", "\u{fffd}"));
    }

    #[test]
    fn bytes_are_latin_1_as_in_java() {
        assert_eq!(parse(b"k=\xe4").unwrap()[0].value, "ä");
        assert_eq!(parse("k=ä".as_bytes()).unwrap()[0].value, "Ã¤");
    }

    #[test]
    fn blanks_behind_the_value_stay() {
        assert_eq!(one("k=v  "), pair("k", "v  "));
    }

    #[test]
    fn a_malformed_unicode_escape_names_its_line() {
        for text in [r"k=\u12", r"k=\u12g4", "\n\nk=a\\\n\\u"] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.line, if text.starts_with('\n') { 3 } else { 1 }, "{text:?}");
        }
    }

    /// Writes a string so that any reader of the format reads it back.
    fn escape(text: &str) -> String {
        text.encode_utf16()
            .map(|unit| match u8::try_from(unit) {
                Ok(plain) if plain.is_ascii_alphanumeric() => char::from(plain).to_string(),
                _ => format!("\\u{unit:04x}"),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic_and_never_grow(text in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(found) = parse(&text) {
                let length: usize = found.iter().map(|p| p.key.chars().count() + p.value.chars().count()).sum();
                prop_assert!(length <= text.len());
            }
        }

        #[test]
        fn syntax_soup_keeps_line_numbers_in_order(text in "[ab=: \\\\#!\n\r\tu0]{0,60}") {
            if let Ok(found) = parse(text.as_bytes()) {
                let lines = text.replace("\r\n", "\n").split(['\n', '\r']).count();
                prop_assert!(found.windows(2).all(|w| w[0].line < w[1].line));
                prop_assert!(found.iter().all(|p| (1..=lines).contains(&p.line)));
            }
        }

        #[test]
        fn what_is_escaped_is_read_back(
            wanted in prop::collection::vec((any::<String>(), any::<String>()), 0..8),
            separator in prop::sample::select(vec!["=", ":", " ", " = ", "\t:\t", "=\\\n  "]),
            end in prop::sample::select(vec!["\n", "\r\n", "\r", "\n\n# comment\n"]),
        ) {
            // A blank alone cannot stand before nothing and behind nothing.
            let wanted: Vec<_> = wanted.into_iter().filter(|(k, _)| !k.is_empty()).collect();
            let text: String =
                wanted.iter().map(|(k, v)| format!("{}{separator}{}{end}", escape(k), escape(v))).collect();
            prop_assert_eq!(pairs(&text), wanted);
        }
    }
}
