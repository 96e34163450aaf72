//! The `digest` scheme: `user:base64(hash("user:password"))`.
//!
//! Upstream counterpart: `server.auth.DigestAuthenticationProvider`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::{Digest as _, Sha1};
use sha2::{Sha224, Sha256, Sha384, Sha512};

/// Hash of the `digest` scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DigestAlgorithm {
    Md5,
    #[default]
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl DigestAlgorithm {
    /// The names of the Java Cryptography Architecture that are understood; their case does not matter.
    pub const NAMES: &'static [(&'static str, DigestAlgorithm)] = &[
        ("MD5", DigestAlgorithm::Md5),
        ("SHA", DigestAlgorithm::Sha1),
        ("SHA1", DigestAlgorithm::Sha1),
        ("SHA-1", DigestAlgorithm::Sha1),
        ("SHA-224", DigestAlgorithm::Sha224),
        ("SHA-256", DigestAlgorithm::Sha256),
        ("SHA-384", DigestAlgorithm::Sha384),
        ("SHA-512", DigestAlgorithm::Sha512),
    ];

    /// The algorithm that `digestAlg` names, if it is one of [`Self::NAMES`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, a)| *a)
    }

    fn hash(self, bytes: &[u8]) -> String {
        match self {
            Self::Md5 => STANDARD.encode(Md5::digest(bytes)),
            Self::Sha1 => STANDARD.encode(Sha1::digest(bytes)),
            Self::Sha224 => STANDARD.encode(Sha224::digest(bytes)),
            Self::Sha256 => STANDARD.encode(Sha256::digest(bytes)),
            Self::Sha384 => STANDARD.encode(Sha384::digest(bytes)),
            Self::Sha512 => STANDARD.encode(Sha512::digest(bytes)),
        }
    }
}

/// The id of `user:password`. Without a colon the whole text is the user.
pub fn generate(algorithm: DigestAlgorithm, user_and_password: &str) -> String {
    let user = user_and_password.split(':').next().unwrap_or("");
    format!("{user}:{}", algorithm.hash(user_and_password.as_bytes()))
}

/// Whether an id may stand in a list: one colon with something after it. Colons at the end do not count.
pub(super) fn is_valid(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_real_server() {
        for (credentials, id) in [
            ("amy:pw1", "amy:EfDB7AW0NZ7qtKwl+uBP8e+kmRE="),
            ("zed:", "zed:oeZwv1oZhr/5itMZ8cqGesxn7Aw="),
            ("cat:with:colon", "cat:208SlKgAyE3P7L1RExf6FObDqq4="),
        ] {
            assert_eq!(generate(DigestAlgorithm::Sha1, credentials), id);
        }
        assert_eq!(generate(DigestAlgorithm::Md5, "a"), "a:DMF1ucDxtqgxw5niaXcmYQ==");
        assert_eq!(
            generate(DigestAlgorithm::Sha256, "abc"),
            "abc:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        );
    }

    #[test]
    fn algorithms_are_known_by_their_java_names_and_by_no_others() {
        assert_eq!(DigestAlgorithm::from_name("sha-512"), Some(DigestAlgorithm::Sha512));
        assert_eq!(DigestAlgorithm::from_name("SHA1"), Some(DigestAlgorithm::Sha1));
        for unknown in ["", "SHA256", "SHA3-256", "MD2", "none"] {
            assert_eq!(DigestAlgorithm::from_name(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn an_id_in_a_list_has_two_parts() {
        for ok in ["a:b", ":b", "a:b:", "a:b::"] {
            assert!(is_valid(ok), "{ok}");
        }
        for bad in ["", ":", "a", "a:", "a:b:c", "a::b"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
