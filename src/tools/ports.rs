use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

/// Free ports of the loopback. All are held at once, so that none is found twice; somebody else may take one before it
/// is used.
pub(in crate::tools) fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let held =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<Vec<_>>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
