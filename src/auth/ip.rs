//! The `ip` scheme: the address a client comes from, in a list with an optional number of leading bits.
//!
//! Upstream counterpart: `server.auth.IPAuthenticationProvider`.

use crate::types::Id;
use core::net::IpAddr;

/// The id a connection starts with.
///
/// Addresses are written as Java writes them: IPv6 in full without `::`, IPv4 mapped into IPv6 as IPv4.
pub fn peer_id(address: IpAddr) -> Id {
    let text = match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => v6.segments().map(|s| format!("{s:x}")).join(":"),
    };
    Id::new("ip", &text)
}

/// An address of either family as bytes; the length tells which.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Address {
    bytes: [u8; 16],
    len: usize,
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        if text.contains(':') { Self::parse_v6(text) } else { Self::parse_v4(text) }
    }

    fn parse_v4(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let mut len = 0;
        for part in text.split('.') {
            if len == 4 {
                return None;
            }
            bytes[len] = u8::try_from(part.parse::<i32>().ok()?).ok()?;
            len += 1;
        }
        (len == 4).then_some(Self { bytes, len })
    }

    fn parse_v6(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let (head, tail) = match text.split_once("::") {
            None => {
                let n = Self::segments(text, &mut bytes)?;
                return (n == 8).then_some(Self { bytes, len: 16 });
            }
            Some((_, tail)) if tail.contains("::") => return None,
            Some(parts) => parts,
        };
        let n = if head.is_empty() { 0 } else { Self::segments(head, &mut bytes)? };
        let mut end = [0; 16];
        let m = if tail.is_empty() { 0 } else { Self::segments(tail, &mut end)? };
        if n + m >= 8 {
            return None;
        }
        bytes[16 - 2 * m..].copy_from_slice(&end[..2 * m]);
        Some(Self { bytes, len: 16 })
    }

    /// Reads groups of up to four hexadecimal digits into `bytes` and says how many there were, at most eight.
    fn segments(text: &str, bytes: &mut [u8; 16]) -> Option<usize> {
        let mut n = 0;
        for segment in text.split(':') {
            if n == 8 || segment.is_empty() || segment.len() > 4 {
                return None;
            }
            let value = u16::from_str_radix(segment, 16).ok()?;
            bytes[2 * n..2 * n + 2].copy_from_slice(&value.to_be_bytes());
            n += 1;
        }
        Some(n)
    }

    fn mask(mut self, bits: usize) -> Self {
        for (i, byte) in self.bytes[..self.len].iter_mut().enumerate() {
            let keep = bits.saturating_sub(8 * i).min(8) as u32;
            *byte &= u8::MAX.checked_shl(8 - keep).unwrap_or(0);
        }
        self
    }
}

/// An address and the number of leading bits that count.
fn parse_entry(entry: &str) -> Option<(Address, usize)> {
    let (address, bits) = match entry.split_once('/') {
        None => (entry, None),
        Some((address, bits)) => (address, Some(bits)),
    };
    let address = Address::parse(address)?;
    let all = address.len * 8;
    let bits = match bits {
        None => all,
        Some(bits) => usize::try_from(bits.parse::<i32>().ok()?).ok().filter(|bits| *bits <= all)?,
    };
    Some((address, bits))
}

/// Whether an id may stand in a list.
pub(super) fn is_valid(entry: &str) -> bool {
    parse_entry(entry).is_some()
}

/// Whether a caller at this address is meant by a list entry.
pub(super) fn matches(caller: &str, entry: &str) -> bool {
    match (parse_entry(entry), Address::parse(caller)) {
        (Some((address, bits)), Some(caller)) => address.mask(bits) == caller.mask(bits),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_addresses_with_bits_in_range() {
        for ok in [
            "1.2.3.4",
            "1.2.3.4/0",
            "1.2.3.4/32",
            "::1",
            "::",
            "1::",
            "1:2:3:4:5:6:7:8",
            "fe80::1/64",
            "fe80::/128",
        ] {
            assert!(is_valid(ok), "{ok}");
        }
        for bad in [
            "",
            "nonsense",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.-1",
            "1.2.3.",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "1.2.3.4/",
            "1.2.3.4/x",
            "1.2.3.4/8/8",
            ":",
            ":::",
            "1:2",
            "1::2::3",
            "12345::",
            "g::",
            "::1/129",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4::5:6:7:8",
            "::ffff:1.2.3.4",
            "1:",
            ":1",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn the_leading_bits_decide() {
        for (caller, entry, yes) in [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("10.1.2.3", "10.1.2.0/31", false),
            ("10.1.2.1", "10.1.2.0/31", true),
            ("200.1.2.1", "1.1.1.1/0", true),
            ("0:0:0:0:0:0:0:1", "::1", true),
            ("fe80:0:0:0:0:0:0:1", "fe80::/10", true),
            ("fec0:0:0:0:0:0:0:1", "fe80::/10", false),
            ("0:0:0:0:0:0:0:1", "1.1.1.1/0", false),
            ("10.1.2.3", "::/0", false),
            ("10.1.2.3", "nonsense", false),
            ("nonsense", "10.1.2.3", false),
        ] {
            assert_eq!(matches(caller, entry), yes, "{caller} {entry}");
        }
    }

    #[test]
    fn a_connection_starts_with_its_address_as_java_writes_it() {
        for (address, id) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("fe80::ab", "fe80:0:0:0:0:0:0:ab"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(peer_id(address.parse().unwrap()), Id::new("ip", id));
        }
    }
}
