//! What learners and their leader send each other.
//!
//! The first byte says who sends, the rest is what comes in.
//!
//! Holds: a packet is read when it is whole and not before; what was read and is written is read as the same again;
//! an announced length or number does not make anything that large.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoll::zab::{Packet, Sender};
use quoll_jute::Limits;

/// Small, so that lengths on both sides of it are found.
const LIMITS: Limits = Limits { length_max: 2000 };

fuzz_target!(|input: &[u8]| {
    let Some((side, mut rest)) = input.split_first() else { return };
    let sender = if side & 1 == 1 { Sender::Leader } else { Sender::Learner };
    while let Ok(Some((packet, len))) = Packet::read(rest, sender, LIMITS) {
        assert!(len <= rest.len());
        for n in (0..len).step_by(1 + len / 64) {
            assert_eq!(Packet::read(&rest[..n], sender, LIMITS), Ok(None), "at {n} of {len}");
        }
        rest = &rest[len..];
        // Written as upstream writes them, characters beyond the first plane do not come back.
        if let Packet::Request(request) = &packet
            && request.ids.iter().any(|id| id.scheme.chars().chain(id.id.chars()).any(|c| c > '\u{ffff}'))
        {
            continue;
        }
        let bytes = packet.to_bytes();
        // Characters that are none were replaced by a longer one.
        let again = Packet::read(&bytes, sender, Limits { length_max: 3 * LIMITS.length_max });
        assert_eq!(again, Ok(Some((packet, bytes.len()))));
    }
});
