use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// A host, by name or address, and a port. Names are looked up by whoever binds or connects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Host name or IP address; IPv6 without brackets.
    pub host: String,
    /// TCP port; 0 lets the system choose one.
    pub port: u16,
}

impl HostPort {
    /// All IPv4 addresses of this machine.
    #[must_use]
    pub fn any(port: u16) -> Self {
        HostPort { host: Ipv4Addr::UNSPECIFIED.to_string(), port }
    }

    /// The socket address, when the host is a literal address and needs no look-up.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        // A scope (`fe80::1%eth0`) needs the system to resolve it.
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
