use crate::types::ServerId;
use thiserror::Error;

/// One address.
const VERSION_1: i64 = -65_536;
/// Several, joined by "|".
const VERSION_2: i64 = -65_535;
/// Bytes of addresses, at most.
const ADDRESSES_LEN_MAX: i32 = 2048;
/// Bytes of a header, at most.
pub(super) const HEADER_LEN_MAX: usize = 8 + 8 + 4 + ADDRESSES_LEN_MAX as usize;

/// The number of an observer that has none of its own.
const ANONYMOUS: ServerId = ServerId(i64::MAX);

/// What whoever connects to an election port says first.
///
/// ```text
/// long version −65536 | long id | int length 1..=2048 | host:port
/// long version −65535 | long id | int length 1..=2048 | host:port|host:port|…
/// long id ≥ 0                                             a server of before 3.5.0
/// ```
/// Upstream counterpart: `QuorumCnxManager.InitialMessage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who.
    pub server: ServerId,
    /// Its election addresses, as it knows them; those that mean any address are left out. Host names stay names.
    pub addresses: Vec<(String, u16)>,
}

/// Why bytes are no header.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum HeaderError {
    #[error("it begins with {0}, which is neither a version of the protocol nor a server's number")]
    Version(i64),
    #[error("it announces {0} bytes of addresses; 1 to {ADDRESSES_LEN_MAX} are possible")]
    Length(i32),
    #[error("the addresses are not UTF-8")]
    Text,
    #[error("{0:?} is no address: host:port is expected")]
    Address(String),
}

impl Header {
    /// Reads the header at the start of `input`, and answers how many bytes it takes. `None` when it is not there as a
    /// whole yet.
    ///
    /// # Errors
    /// When what is there cannot become a header.
    pub fn read(input: &[u8]) -> Result<Option<(Self, usize)>, HeaderError> {
        let Some((version, rest)) = input.split_first_chunk() else { return Ok(None) };
        let version = i64::from_be_bytes(*version);
        if version >= 0 {
            return Ok(Some((Self { server: ServerId(version), addresses: Vec::new() }, 8)));
        }
        if version != VERSION_1 && version != VERSION_2 {
            return Err(HeaderError::Version(version));
        }
        let Some((server, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let server = ServerId(i64::from_be_bytes(*server));
        let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let length = i32::from_be_bytes(*length);
        if !(1..=ADDRESSES_LEN_MAX).contains(&length) {
            return Err(HeaderError::Length(length));
        }
        let Some(text) = rest.get(..length as usize) else { return Ok(None) };
        let text = std::str::from_utf8(text).map_err(|_| HeaderError::Text)?;
        let mut addresses = Vec::new();
        // Both versions are read alike, as upstream does.
        for part in text.split('|') {
            let (host, port) = split_address(part).ok_or_else(|| HeaderError::Address(part.into()))?;
            if !is_any(&host) {
                addresses.push((host, port));
            }
        }
        Ok(Some((Self { server, addresses }, 20 + length as usize)))
    }

    /// The bytes. With `several` all addresses in the newer version, which servers of before 3.6.0 do not know;
    /// otherwise the first.
    pub fn to_bytes(&self, several: bool) -> Vec<u8> {
        let texts: Vec<String> = self.addresses.iter().map(|(host, port)| join(host, *port)).collect();
        let (version, text) = match several {
            true => (VERSION_2, texts.join("|")),
            false => (VERSION_1, texts.into_iter().next().unwrap_or_default()),
        };
        let mut out = Vec::with_capacity(20 + text.len());
        out.extend(version.to_be_bytes());
        out.extend(self.server.0.to_be_bytes());
        out.extend((text.len() as i32).to_be_bytes());
        out.extend(text.as_bytes());
        out
    }

    /// Whether the sender is an observer without a number of its own.
    pub fn is_anonymous(&self) -> bool {
        self.server == ANONYMOUS
    }
}

/// `host:port` or `[IPv6]:port`.
fn split_address(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => text.split_once(':')?,
    };
    // A second colon would be in the port.
    if host.is_empty() || host.contains(['[', ']']) {
        return None;
    }
    Some((host.to_string(), port.parse().ok()?))
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Whether it means any address of a machine, so that nobody can connect to it.
fn is_any(host: &str) -> bool {
    host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified())
}
