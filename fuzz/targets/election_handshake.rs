//! What whoever connects to an election port says first.
//!
//! Holds: it is read when it is whole and not before, whatever follows; its addresses, written again, are the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoll::peer::Header;

fuzz_target!(|input: &[u8]| {
    let Ok(Some((header, len))) = Header::read(input) else { return };
    assert!(len <= input.len() && len <= 20 + 2048);
    for n in 0..len {
        assert_eq!(Header::read(&input[..n]), Ok(None), "at {n} of {len}");
    }
    assert_eq!(Header::read(&input[..len]), Ok(Some((header.clone(), len))));
    if header.addresses.is_empty() {
        return;
    }
    for (host, _) in &header.addresses {
        assert!(!host.is_empty() && !host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified()));
    }
    // A server of before the versions has no address.
    let all = header.to_bytes(true);
    assert_eq!(Header::read(&all), Ok(Some((header.clone(), all.len()))));
    let one = header.to_bytes(false);
    let (first, _) = Header::read(&one).expect("a header").expect("a whole one");
    assert_eq!((first.server, &first.addresses[..]), (header.server, &header.addresses[..1]));
});
