use thiserror::Error;

/// Why a path is not one.
///
/// Upstream counterpart: `common.PathUtils.validatePath`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum PathError {
    #[error("the path is empty")]
    Empty,
    #[error("the path does not begin with '/'")]
    Relative,
    #[error("the path ends with '/'")]
    TrailingSlash,
    #[error("the path has an empty component")]
    EmptyComponent,
    #[error("the path has a '.' or '..' component")]
    DotComponent,
    #[error("the path has the character U+{0:04X}")]
    BadCharacter(u32),
}

/// Checks a path by upstream's rules.
///
/// # Errors
/// The first rule that it breaks.
pub fn validate_path(path: &str) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if !path.starts_with('/') {
        return Err(PathError::Relative);
    }
    if path.len() == 1 {
        return Ok(());
    }
    if path.ends_with('/') {
        return Err(PathError::TrailingSlash);
    }
    for component in path[1..].split('/') {
        match component {
            "" => return Err(PathError::EmptyComponent),
            "." | ".." => return Err(PathError::DotComponent),
            _ => {}
        }
    }
    // The forbidden UTF-16 units; characters outside the basic plane are surrogate pairs there and so forbidden too.
    for c in path.chars() {
        let u = c as u32;
        if matches!(u, 0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..) {
            return Err(PathError::BadCharacter(u));
        }
    }
    Ok(())
}

/// Splits at the last slash: `/a/b` → (`/a`, `b`), `/a` → (`/`, `a`). `None` without a slash. The parent of
/// `/` itself is `/` with an empty name.
pub fn parent_and_name(path: &str) -> Option<(&str, &str)> {
    let at = path.rfind('/')?;
    Some((if at == 0 { "/" } else { &path[..at] }, &path[at + 1..]))
}

/// The first component of a path; `/` has none.
///
/// Upstream counterpart: `PathUtils.getTopNamespace`.
pub fn first_component(path: &str) -> Option<&str> {
    path.strip_prefix('/').unwrap_or(path).split('/').next().filter(|first| !first.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_upstreams_rules() {
        for ok in ["/", "/a", "/a/b", "/a.b/..c", "/\u{e9}/\u{4e2d}", "/a b"] {
            assert_eq!(validate_path(ok), Ok(()), "{ok}");
        }
        for bad in [
            "",
            "a",
            "/a/",
            "//",
            "/a//b",
            "/.",
            "/a/..",
            "/\0",
            "/\u{7f}",
            "/\u{f8ff}",
            "/\u{fff0}",
            "/\u{1f600}",
        ] {
            assert!(validate_path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_splits_into_parent_and_name() {
        assert_eq!(parent_and_name("/a/b"), Some(("/a", "b")));
        assert_eq!(parent_and_name("/a"), Some(("/", "a")));
        assert_eq!(parent_and_name("/"), Some(("/", "")));
        assert_eq!(parent_and_name("a"), None);
    }
}
