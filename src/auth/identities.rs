use super::AuthConfig;
use crate::types::Id;

/// Adds an id to a connection's, unless it has it.
///
/// The order is the one in which upstream's hash set yields them: clients see it in the answer of whoAmI and in
/// the lists that an `auth` entry expands to.
pub fn add_id(ids: &mut Vec<Id>, id: Id) {
    if ids.contains(&id) {
        return;
    }
    ids.push(id);
    // The table starts with 16 bins and doubles when three quarters of them are taken.
    let mut bins: u32 = 16;
    while ids.len() as u32 >= bins / 4 * 3 {
        bins *= 2;
    }
    ids.sort_by_key(|id| bin(id, bins));
}

fn bin(id: &Id, bins: u32) -> u32 {
    let hash =
        [&id.scheme, &id.id].iter().fold(17u32, |h, text| h.wrapping_mul(37).wrapping_add(java_hash(text)));
    (hash ^ (hash >> 16)) & (bins - 1)
}

/// `String.hashCode`.
fn java_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0u32, |h, unit| h.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// What whoAmI tells of an id: of a digest only the user, nothing of schemes without a provider.
///
/// Upstream counterpart: `util.AuthUtil.getUser`.
pub fn user_name<'a>(id: &'a Id, config: &AuthConfig) -> &'a str {
    match &*id.scheme {
        "digest" if !config.digest_disabled => id.id.split(':').next().unwrap_or(""),
        "ip" => &id.id,
        "x509" if config.x509.is_some() => &id.id,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DigestAlgorithm, digest};
    use super::*;

    #[test]
    fn ids_come_in_the_order_in_which_the_real_server_lists_them() {
        let config = AuthConfig::default();
        let mut ids = vec![Id::new("ip", "127.0.0.1")];
        let mut who = Vec::new();
        for credentials in ["amy:pw1", "amy:pw2", "zed:", "cat:with:colon", "amy:pw1"] {
            add_id(&mut ids, Id::new("digest", &digest::generate(DigestAlgorithm::Sha1, credentials)));
            who.push(ids.iter().map(|id| user_name(id, &config)).collect::<Vec<_>>().join(" "));
        }
        assert_eq!(
            who,
            [
                "amy 127.0.0.1",
                "amy 127.0.0.1 amy",
                "amy zed 127.0.0.1 amy",
                "amy zed cat 127.0.0.1 amy",
                "amy zed cat 127.0.0.1 amy"
            ]
        );
        add_id(&mut ids, Id::new("super", ""));
        add_id(&mut ids, Id::new("digest", &digest::generate(DigestAlgorithm::Sha1, "super:golden")));
        let who: Vec<_> = ids.iter().map(|id| (&*id.scheme, user_name(id, &config))).collect();
        assert_eq!(
            who,
            [
                ("digest", "super"),
                ("digest", "amy"),
                ("digest", "zed"),
                ("super", ""),
                ("digest", "cat"),
                ("ip", "127.0.0.1"),
                ("digest", "amy")
            ]
        );
    }
}
