//! Who a caller is and what an access control list lets them do.
//!
//! Role: pure functions over identities. A connection starts with [`peer_id`]; an auth packet goes to
//! [`authenticate`] and what that returns goes to [`add_id`]; requests are checked with [`check_acl`]; lists that
//! clients want to set go through [`fix_acl`].
//!
//! Invariants: an identity that cannot be parsed matches nobody; a scheme that is switched off matches nobody and
//! can be put into no list; ids never repeat on a connection.
//!
//! | scheme | where | identity |
//! |---|---|---|
//! | `world` | here | `anyone` |
//! | `auth` | [`fix_acl`] | stands for the caller's own ids in a list that is being set |
//! | `digest` | [`digest`] | `user:base64(hash("user:password"))` |
//! | `ip` | [`ip`] | address, in a list with optional `/bits` |
//! | `x509` | [`x509`] | subject of the client certificate |
//! | `super` | here | may do everything; in no list |
//! | `ensemble` | here | no identity: a client's demand to be at the right ensemble |
//!
//! Upstream counterpart: `server.auth.*`, `ZooKeeperServer.checkACL`, `PrepRequestProcessor.fixupACL`,
//! `AuthenticationHelper`, `util.AuthUtil`. Start reading at [`authenticate`].

mod acl;
pub mod digest;
mod identities;
pub mod ip;
mod sasl;
pub mod x509;

pub use acl::{check_acl, fix_acl, mask_digest};
pub use digest::DigestAlgorithm;
pub use identities::{add_id, user_name};
pub use ip::peer_id;
pub use sasl::answer_sasl;

use crate::types::{Id, OpCode};
use thiserror::Error;

/// The settings that decide who is who.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// `skipACL`: no list is checked at all.
    pub skip_acl: bool,
    /// `DigestAuthenticationProvider.enabled=false`.
    pub digest_disabled: bool,
    /// `DigestAuthenticationProvider.digestAlg`.
    pub digest_algorithm: DigestAlgorithm,
    /// `DigestAuthenticationProvider.superDigest`: the digest of the super user, `user:base64(hash)`.
    pub super_digest: Option<String>,
    /// `authProvider.x509` is there: x509 ids may be put into lists and match.
    pub x509: Option<X509Config>,
    /// `authProvider.*` names the ensemble provider: names a client may demand. An empty list accepts all.
    pub ensemble_names: Option<Vec<String>>,
    /// `enforce.auth.schemes` when `enforce.auth.enabled`, or `sasl` by `sessionRequireClientSASLAuth`: a client
    /// must have an id of one of these. Empty when nothing is enforced.
    pub enforced_schemes: Vec<String>,
}

/// Settings of the x509 scheme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct X509Config {
    /// `X509AuthenticationProvider.superUser`: subject of the super user.
    pub super_user: Option<String>,
}

/// Why an auth packet was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuthFailed {
    /// Unknown scheme or bad credentials: answered with AUTHFAILED, then the connection is closed.
    #[error("authentication failed")]
    Refused,
    /// The client wants another ensemble: the connection is closed without an answer, so that the client tries
    /// another server.
    #[error("the client asked for another ensemble")]
    WrongEnsemble,
}

/// Checks the credentials of an auth packet. The ids it gives are added to the connection's by [`add_id`].
///
/// `peer` is the connection's own [`peer_id`].
///
/// # Errors
/// [`AuthFailed`]: what becomes of the connection is said there.
pub fn authenticate(
    scheme: Option<&str>,
    credentials: Option<&[u8]>,
    peer: &Id,
    config: &AuthConfig,
) -> Result<Vec<Id>, AuthFailed> {
    match scheme {
        Some("digest") if !config.digest_disabled => {
            let credentials = String::from_utf8_lossy(credentials.ok_or(AuthFailed::Refused)?);
            let id = digest::generate(config.digest_algorithm, &credentials);
            let mut ids = Vec::with_capacity(2);
            if config.super_digest.as_deref() == Some(&*id) {
                ids.push(Id::new("super", ""));
            }
            ids.push(Id::new("digest", &id));
            Ok(ids)
        }
        Some("ip") => Ok(vec![peer.clone()]),
        Some("ensemble") => {
            let names = config.ensemble_names.as_ref().ok_or(AuthFailed::Refused)?;
            let wanted = credentials.unwrap_or_default();
            if names_no_ensemble(wanted, config) || names.iter().any(|n| n.as_bytes() == wanted) {
                Ok(Vec::new())
            } else {
                Err(AuthFailed::WrongEnsemble)
            }
        }
        // x509 certificates are only looked at during the TLS handshake; without one there is nothing to accept.
        _ => Err(AuthFailed::Refused),
    }
}

/// Whether there is nothing to compare: the packet of the scheme `ensemble` names none, or this server has no name.
pub fn names_no_ensemble(wanted: &[u8], config: &AuthConfig) -> bool {
    wanted.is_empty() || config.ensemble_names.as_ref().is_none_or(Vec::is_empty)
}

/// Whether a request of this type may be served to a caller with these ids. If not, it is answered with
/// [`SessionClosedRequireSaslAuth`](crate::types::ErrorCode::SessionClosedRequireSaslAuth) and the connection is
/// closed.
///
/// `op` is the number of the request header: unknown operations are refused here before they are found unknown.
///
/// Upstream counterpart: `AuthenticationHelper.enforceAuthentication`.
pub fn allowed_before_auth(op: i32, ids: &[Id], config: &AuthConfig) -> bool {
    config.enforced_schemes.is_empty()
        || op == OpCode::Auth.code()
        || op == OpCode::Sasl.code()
        || ids.iter().any(|id| config.enforced_schemes.iter().any(|s| **s == *id.scheme))
}

/// Whether a scheme's provider makes its ids fit for an `auth` entry.
fn is_authenticated(scheme: &str, config: &AuthConfig) -> bool {
    match scheme {
        "digest" => !config.digest_disabled,
        "x509" => config.x509.is_some(),
        _ => false,
    }
}

/// Whether an id may stand in a list.
fn is_valid(scheme: &str, id: &str, config: &AuthConfig) -> bool {
    match scheme {
        "digest" => !config.digest_disabled && digest::is_valid(id),
        "ip" => ip::is_valid(id),
        "x509" => config.x509.is_some() && x509::is_valid(id),
        _ => false,
    }
}

/// Whether a caller's id is the one that a list entry of the same scheme means.
fn matches(scheme: &str, caller: &str, entry: &str, config: &AuthConfig) -> bool {
    match scheme {
        "digest" => !config.digest_disabled && caller == entry,
        "ip" => ip::matches(caller, entry),
        "x509" => {
            config.x509.as_ref().is_some_and(|x| caller == entry || x.super_user.as_deref() == Some(caller))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Id {
        Id::new("ip", "127.0.0.1")
    }

    #[test]
    fn an_auth_packet_gives_ids_by_scheme() {
        let config = AuthConfig::default();
        let auth = |scheme, data| authenticate(scheme, data, &peer(), &config);
        assert_eq!(
            auth(Some("digest"), Some(b"amy:pw1")),
            Ok(vec![Id::new("digest", "amy:EfDB7AW0NZ7qtKwl+uBP8e+kmRE=")])
        );
        assert_eq!(auth(Some("ip"), Some(b"10.0.0.1")), Ok(vec![peer()]));
        for scheme in ["world", "sasl", "x509", "nosuch", "", "auth", "super", "ensemble"] {
            assert_eq!(auth(Some(scheme), Some(b"x")), Err(AuthFailed::Refused), "{scheme}");
        }
        assert_eq!(auth(None, None), Err(AuthFailed::Refused));
        assert_eq!(auth(Some("digest"), None), Err(AuthFailed::Refused));
        assert_eq!(auth(Some("digest"), Some(b"")).unwrap()[0].scheme, "digest".into());
        let off = AuthConfig { digest_disabled: true, ..AuthConfig::default() };
        assert_eq!(authenticate(Some("digest"), Some(b"a:b"), &peer(), &off), Err(AuthFailed::Refused));
    }

    #[test]
    fn the_super_digest_makes_a_super_user_who_also_has_the_digest_id() {
        let config = AuthConfig {
            super_digest: Some(digest::generate(DigestAlgorithm::Sha1, "super:golden")),
            ..AuthConfig::default()
        };
        let ids = authenticate(Some("digest"), Some(b"super:golden"), &peer(), &config).unwrap();
        assert_eq!(ids[0], Id::new("super", ""));
        assert_eq!(&*ids[1].scheme, "digest");
        assert_eq!(authenticate(Some("digest"), Some(b"super:other"), &peer(), &config).unwrap().len(), 1);
    }

    #[test]
    fn a_wrong_ensemble_name_is_told_apart_from_a_refusal() {
        let config = AuthConfig { ensemble_names: Some(vec!["east".into()]), ..AuthConfig::default() };
        let auth = |data| authenticate(Some("ensemble"), data, &peer(), &config);
        assert_eq!(auth(Some(b"east")), Ok(vec![]));
        assert_eq!(auth(None), Ok(vec![]));
        assert_eq!(auth(Some(b"west")), Err(AuthFailed::WrongEnsemble));
    }

    #[test]
    fn only_authentication_passes_before_an_enforced_scheme_is_there() {
        let none = AuthConfig::default();
        let ping = OpCode::Ping.code();
        assert!(allowed_before_auth(ping, &[peer()], &none));
        let config = AuthConfig { enforced_schemes: vec!["digest".into()], ..none };
        assert!(!allowed_before_auth(ping, &[peer()], &config));
        assert!(!allowed_before_auth(9999, &[peer()], &config));
        assert!(allowed_before_auth(OpCode::Auth.code(), &[peer()], &config));
        assert!(allowed_before_auth(OpCode::Sasl.code(), &[peer()], &config));
        assert!(allowed_before_auth(ping, &[peer(), Id::new("digest", "a:b")], &config));
    }
}
