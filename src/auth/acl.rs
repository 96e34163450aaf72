use super::{AuthConfig, is_authenticated, is_valid, matches};
use crate::types::{Acl, AclList, ErrorCode, Id, Perms, open_acl};
use quoll_jute::data;
use std::borrow::Cow;

/// Whether a caller with these ids has any of `perms` by the list.
///
/// An empty list allows everything.
///
/// Upstream counterpart: `ZooKeeperServer.checkACL`.
#[inline]
pub fn check_acl(acl: &AclList, perms: Perms, ids: &[Id], config: &AuthConfig) -> bool {
    AclList::ptr_eq(acl, open_acl()) && Perms::ALL.any_of(perms) || check_entries(acl, perms, ids, config)
}

fn check_entries(acl: &[Acl], perms: Perms, ids: &[Id], config: &AuthConfig) -> bool {
    if config.skip_acl || acl.is_empty() || ids.iter().any(|id| &*id.scheme == "super") {
        return true;
    }
    acl.iter().filter(|a| a.perms.any_of(perms)).any(|a| {
        &*a.id.scheme == "world" && &*a.id.id == "anyone"
            || ids
                .iter()
                .any(|id| id.scheme == a.id.scheme && matches(&a.id.scheme, &id.id, &a.id.id, config))
    })
}

/// The list that is stored when a client asks for `entries`: checked, duplicates collapsed to their first, `auth`
/// replaced by the caller's authenticated ids.
///
/// # Errors
/// [`ErrorCode::InvalidAcl`] for an empty or null list and for an entry that may not stand in one;
/// [`ErrorCode::MarshallingError`] for a null id where one is needed.
///
/// Upstream counterpart: `PrepRequestProcessor.fixupACL`.
pub fn fix_acl(
    entries: Option<&[data::Acl<'_>]>,
    ids: &[Id],
    config: &AuthConfig,
) -> Result<AclList, ErrorCode> {
    let entries = entries.unwrap_or_default();
    if let [only] = entries
        && only.perms == Perms::ALL.0
        && only.id.scheme.as_deref() == Some("world")
        && only.id.id.as_deref() == Some("anyone")
    {
        return Ok(open_acl().clone());
    }
    if entries.is_empty() {
        return Err(ErrorCode::InvalidAcl);
    }
    let mut list = Vec::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        if entries[..i].contains(entry) {
            continue;
        }
        let perms = Perms(entry.perms);
        let scheme = entry.id.scheme.as_deref().ok_or(ErrorCode::InvalidAcl)?;
        let id = entry.id.id.as_deref();
        match scheme {
            "world" if id.ok_or(ErrorCode::MarshallingError)? == "anyone" => list.push(Acl::from(entry)),
            "auth" => {
                let before = list.len();
                list.extend(
                    ids.iter()
                        .filter(|id| is_authenticated(&id.scheme, config))
                        .map(|id| Acl { perms, id: id.clone() }),
                );
                if list.len() == before {
                    return Err(ErrorCode::InvalidAcl);
                }
            }
            "digest" | "ip" | "x509" if id.is_none() && is_enabled(scheme, config) => {
                return Err(ErrorCode::MarshallingError);
            }
            _ if is_valid(scheme, id.unwrap_or(""), config) => list.push(Acl::from(entry)),
            _ => return Err(ErrorCode::InvalidAcl),
        }
    }
    Ok(list.into())
}

fn is_enabled(scheme: &str, config: &AuthConfig) -> bool {
    scheme == "ip" || is_authenticated(scheme, config)
}

/// A digest id as it is shown to callers who may not administer the znode: everything after a colon, up to the
/// end of a line, becomes `x`.
pub fn mask_digest(id: &str) -> Cow<'_, str> {
    if !id.contains(':') {
        return id.into();
    }
    let mut masked = String::with_capacity(id.len());
    let mut hidden = false;
    for c in id.chars() {
        if matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}') {
            hidden = false;
        }
        if !hidden {
            masked.push(c);
            if c == ':' {
                masked.push('x');
                hidden = true;
            }
        }
    }
    masked.into()
}

#[cfg(test)]
mod tests {
    use super::super::X509Config;
    use super::*;

    fn entry<'a>(perms: i32, scheme: &'a str, id: &'a str) -> data::Acl<'a> {
        data::Acl { perms, id: data::Id { scheme: Some(scheme.into()), id: Some(id.into()) } }
    }

    fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms: Perms(perms), id: Id::new(scheme, id) }
    }

    #[test]
    fn entries_that_may_not_stand_in_a_list_are_refused() {
        let config = AuthConfig::default();
        let ids = [Id::new("ip", "127.0.0.1")];
        for (scheme, id) in [
            ("nosuch", "x"),
            ("", ""),
            ("world", "somebody"),
            ("world", ""),
            ("ip", "nonsense"),
            ("ip", "1.2.3.4/33"),
            ("digest", "nocolon"),
            ("digest", "a:b:c"),
            ("auth", ""),
            ("x509", "CN=a"),
            ("sasl", "user"),
            ("super", "x"),
            ("ensemble", "x"),
        ] {
            let list = [entry(31, "world", "anyone"), entry(31, scheme, id)];
            assert_eq!(fix_acl(Some(&list), &ids, &config), Err(ErrorCode::InvalidAcl), "{scheme}:{id}");
        }
        assert_eq!(fix_acl(None, &ids, &config), Err(ErrorCode::InvalidAcl));
        assert_eq!(fix_acl(Some(&[]), &ids, &config), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn null_schemes_and_ids_are_refused_as_upstream_does() {
        let config = AuthConfig::default();
        let null = |scheme: Option<&'static str>| {
            let list = [data::Acl { perms: 31, id: data::Id { scheme: scheme.map(Into::into), id: None } }];
            fix_acl(Some(&list), &[Id::new("digest", "a:b")], &config)
        };
        assert_eq!(null(None), Err(ErrorCode::InvalidAcl));
        assert_eq!(null(Some("nosuch")), Err(ErrorCode::InvalidAcl));
        assert_eq!(null(Some("x509")), Err(ErrorCode::InvalidAcl));
        assert_eq!(null(Some("world")), Err(ErrorCode::MarshallingError));
        assert_eq!(null(Some("digest")), Err(ErrorCode::MarshallingError));
        assert_eq!(null(Some("ip")), Err(ErrorCode::MarshallingError));
        assert_eq!(null(Some("auth")).unwrap().len(), 1);
    }

    #[test]
    fn duplicates_collapse_and_auth_becomes_the_callers_authenticated_ids() {
        let config = AuthConfig::default();
        let ids = [
            Id::new("ip", "127.0.0.1"),
            Id::new("digest", "a:b"),
            Id::new("digest", "c:d"),
            Id::new("super", ""),
        ];
        let list = [
            entry(1, "ip", "10.0.0.0/8"),
            entry(31, "auth", "ignored"),
            entry(1, "ip", "10.0.0.0/8"),
            entry(-1, "world", "anyone"),
            entry(0, "digest", "u:p"),
        ];
        assert_eq!(
            &*fix_acl(Some(&list), &ids, &config).unwrap(),
            [
                acl(1, "ip", "10.0.0.0/8"),
                acl(31, "digest", "a:b"),
                acl(31, "digest", "c:d"),
                acl(-1, "world", "anyone"),
                acl(0, "digest", "u:p"),
            ]
        );
        let open = [entry(31, "world", "anyone"), entry(31, "world", "anyone")];
        assert_eq!(&*fix_acl(Some(&open), &ids, &config).unwrap(), &**open_acl());
        assert!(AclList::ptr_eq(&fix_acl(Some(&open[..1]), &ids, &config).unwrap(), open_acl()));
    }

    #[test]
    fn a_list_allows_by_permission_bit_scheme_and_id() {
        let config = AuthConfig::default();
        let me = [Id::new("ip", "10.1.1.1"), Id::new("digest", "a:b")];
        let allows = |list: Vec<Acl>, perms| check_acl(&list.into(), perms, &me, &config);
        assert!(allows(vec![], Perms::ADMIN));
        assert!(allows(vec![acl(1, "world", "anyone")], Perms::READ));
        assert!(!allows(vec![acl(1, "world", "anyone")], Perms::WRITE));
        assert!(allows(vec![acl(16, "world", "anyone")], Perms::READ | Perms::ADMIN));
        assert!(allows(vec![acl(1, "digest", "x:y"), acl(1, "digest", "a:b")], Perms::READ));
        assert!(!allows(vec![acl(31, "digest", "a:c")], Perms::READ));
        assert!(allows(vec![acl(2, "ip", "10.0.0.0/8")], Perms::WRITE));
        assert!(!allows(vec![acl(31, "x509", "a:b"), acl(31, "sasl", "a:b")], Perms::READ));
        assert!(!allows(vec![acl(32, "world", "anyone"), acl(0, "world", "anyone")], Perms::READ));
        assert!(check_acl(open_acl(), Perms::CREATE, &me, &config));
    }

    #[test]
    fn super_users_and_skipped_lists_allow_everything() {
        let nobody: AclList = vec![acl(0, "world", "anyone")].into();
        let config = AuthConfig::default();
        assert!(!check_acl(&nobody, Perms::READ, &[], &config));
        assert!(check_acl(&nobody, Perms::READ, &[Id::new("super", "")], &config));
        let skip = AuthConfig { skip_acl: true, ..AuthConfig::default() };
        assert!(check_acl(&nobody, Perms::READ, &[], &skip));
    }

    #[test]
    fn x509_ids_count_only_when_the_provider_is_there() {
        let config = AuthConfig {
            x509: Some(X509Config { super_user: Some("CN=root".into()) }),
            ..AuthConfig::default()
        };
        let list = [entry(31, "x509", "CN=a")];
        let list = fix_acl(Some(&list), &[], &config).unwrap();
        assert!(check_acl(&list, Perms::READ, &[Id::new("x509", "CN=a")], &config));
        assert!(check_acl(&list, Perms::READ, &[Id::new("x509", "CN=root")], &config));
        assert!(!check_acl(&list, Perms::READ, &[Id::new("x509", "CN=b")], &config));
        assert_eq!(fix_acl(Some(&[entry(31, "x509", "a")]), &[], &config), Err(ErrorCode::InvalidAcl));
        assert!(!check_acl(&list, Perms::READ, &[Id::new("x509", "CN=a")], &AuthConfig::default()));
    }

    #[test]
    fn digests_are_masked_after_the_user() {
        assert_eq!(mask_digest("user:hash="), "user:x");
        assert_eq!(mask_digest("user"), "user");
        assert_eq!(mask_digest("a:b:c"), "a:x");
        assert_eq!(mask_digest("a:b\nc:d"), "a:x\nc:x");
    }
}
