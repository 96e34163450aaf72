//! The `x509` scheme: the subject of a client's certificate.
//!
//! Only the form of such ids is known here; certificates are looked at where TLS is.
//!
//! Upstream counterpart: `server.auth.X509AuthenticationProvider`, which leaves the form to Java's
//! `X500Principal` (RFC 2253, RFC 1779 and LDAP forms).

/// Attribute names that need no number.
const KEYWORDS: &[&str] = &[
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAIL",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
];

/// Whether an id may stand in a list: a distinguished name, that is a list of `name=value`.
pub(super) fn is_valid(id: &str) -> bool {
    let mut rest = id.trim();
    if rest.is_empty() {
        return true;
    }
    loop {
        let Some((name, after)) = rest.split_once('=') else { return false };
        if !is_attribute(name.trim()) {
            return false;
        }
        match value(after.trim_start()) {
            None => return false,
            Some("") => return true,
            Some(after) => rest = after,
        }
    }
}

fn is_attribute(name: &str) -> bool {
    let number = match name.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("OID.") => &name[4..],
        _ => name,
    };
    let is_number = number.contains('.')
        && number.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    is_number || KEYWORDS.iter().any(|k| k.eq_ignore_ascii_case(name))
}

/// What follows a value and its separator: empty at the end of the name, `None` when the value is not one.
fn value(text: &str) -> Option<&str> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            ',' | ';' | '+' => {
                let rest = text[at + 1..].trim_start();
                return (!rest.is_empty()).then_some(rest);
            }
            '=' | '<' | '>' => return None,
            _ => {}
        }
    }
    (!quoted && !escaped).then_some("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinguished_names() {
        for ok in
            ["", "CN=a", "cn=a, O=b; C=c", "CN=a+OU=b", "CN=\"a,b\",O=c", "CN=a\\,b", "1.2.3=x", "OID.1.2=x"]
        {
            assert!(is_valid(ok), "{ok}");
        }
        for bad in ["a", "=a", "XX=a", "CN=a,", "CN=\"a", "CN=a=b", "CN=a\\", "CN=a,b", "1..2=x", "OID.=x"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
