//! Values as Java prints them.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// `Double.toString`: at least one decimal; from 10^7 and below 10^-3 with an exponent.
pub(super) fn double(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    if size != 0.0 && !(1e-3..1e7).contains(&size) {
        let text = format!("{value:E}");
        return match text.split_once('E') {
            Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
            _ => text,
        };
    }
    let text = value.to_string();
    if text.contains('.') { text } else { text + ".0" }
}

/// Rounds to four decimals, halves away from zero, as upstream does with averages.
pub(super) fn round4(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// `InetSocketAddress.toString` of an address without a name: `/host:port`, IPv6 in full and in brackets.
pub(super) fn socket_address(address: SocketAddr) -> String {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => format!("/{ip}:{}", address.port()),
        IpAddr::V6(ip) => {
            let groups: Vec<_> = ip.segments().iter().map(|group| format!("{group:x}")).collect();
            format!("/[{}]:{}", groups.join(":"), address.port())
        }
    }
}

/// `Date.toString` of a time in milliseconds since 1970, in UTC: `Mon Nov 23 08:03:22 UTC 2026`. Java prints the
/// local time of the server; here it is always UTC, which is told by the text itself.
pub(super) fn date(unix_ms: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = unix_ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = super::calendar::date(days);
    format!(
        "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[month as usize - 1],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Writes formatted text; writing to a `String` cannot fail.
pub(super) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_printed_as_java_does() {
        for (value, text) in [
            (0.0, "0.0"),
            (5.0, "5.0"),
            (27.6, "27.6"),
            (0.3333, "0.3333"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (9_999_999.5, "9999999.5"),
            (1e7, "1.0E7"),
            (12_345_678.0, "1.2345678E7"),
            (-2.5, "-2.5"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn addresses_are_printed_as_java_does() {
        for (address, text) in [
            ("127.0.0.1:38922", "/127.0.0.1:38922"),
            ("[::1]:2181", "/[0:0:0:0:0:0:0:1]:2181"),
            ("[fe80::1:2]:1", "/[fe80:0:0:0:0:0:1:2]:1"),
            ("[::ffff:10.0.0.1]:5", "/10.0.0.1:5"),
        ] {
            assert_eq!(socket_address(address.parse().unwrap()), text);
        }
    }

    #[test]
    fn dates_are_printed_as_java_does() {
        for (unix_ms, text) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
            (951_868_800_000, "Wed Mar 01 00:00:00 UTC 2000"),
            (1_795_420_989_720, "Mon Nov 23 08:03:09 UTC 2026"),
            (4_102_444_799_999, "Thu Dec 31 23:59:59 UTC 2099"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
        ] {
            assert_eq!(date(unix_ms), text);
        }
    }

    #[test]
    fn averages_have_four_decimals() {
        assert_eq!(double(round4(2.0 / 3.0)), "0.6667");
        assert_eq!(double(round4(1.0 / 8192.0)), "1.0E-4");
    }
}
