//! The version that clients and scripts see.
//!
//! Its text is `<upstream version>-quoll-<own version>, built on <date>`, in the shape of upstream's
//! `<version>-<revision>, built on yyyy-MM-dd HH:mm UTC`. Monitoring and clients take the first three numbers for
//! ZooKeeper's version and decide by them what the server can do (kazoo, Curator, `zkServer.sh status`, exporters);
//! therefore these name the version whose behaviour Quoll has. The word behind them says what it really is; it
//! consists of the characters that go-zookeeper's pattern for a version allows.

/// The version of Apache ZooKeeper that Quoll behaves as.
pub const UPSTREAM_VERSION: &str = "3.9.5";

/// The version of Quoll.
pub const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// When this was built, as `yyyy-MM-dd HH:mm UTC`: what QUOLL_BUILD_DATE was set to while compiling, else
/// SOURCE_DATE_EPOCH, else the time of the commit, so that equal sources make equal programs.
pub const BUILD_DATE: &str = env!("QUOLL_BUILT");

/// The version as `srvr`, `stat`, `envi` and `mntr` show it. Upstream: `Version.getFullVersion`.
#[must_use]
pub fn full_version() -> String {
    format!("{UPSTREAM_VERSION}-quoll-{OWN_VERSION}, built on {BUILD_DATE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_upstreams_and_the_date_has_upstreams_shape() {
        let version = full_version();
        let (name, date) = version.split_once(", built on ").unwrap();
        let numbers: String = name.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        assert_eq!(numbers, UPSTREAM_VERSION);
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-')), "{name}");
        let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00 00:00 UTC");
    }
}
