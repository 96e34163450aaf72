use crate::types::SessionId;

/// Length of a session's password in bytes.
pub const PASSWORD_LEN: usize = 16;

const SECRET: i64 = 0xb341_5c00;

/// The password of a session. It follows from the number alone, so that any member can check it.
///
/// Upstream counterpart: `ZooKeeperServer.generatePasswd`, which takes the bytes of `java.util.Random` seeded with
/// the number xor a constant.
pub fn password(session: SessionId) -> [u8; PASSWORD_LEN] {
    const MULTIPLIER: i64 = 0x5_deec_e66d;
    const MASK: i64 = (1 << 48) - 1;
    let mut state = ((session.0 ^ SECRET) ^ MULTIPLIER) & MASK;
    let mut bytes = [0; PASSWORD_LEN];
    for word in bytes.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xb) & MASK;
        word.copy_from_slice(&((state >> 16) as i32).to_le_bytes());
    }
    bytes
}

/// Whether this is the session's password. Never for session 0.
pub fn check_password(session: SessionId, offered: &[u8]) -> bool {
    session != SessionId::NONE && offered == password(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_one_that_the_upstream_server_gave() {
        let seen =
            [0x35, 0x40, 0x82, 0x4a, 0x1e, 0x26, 0x96, 0xb2, 0x9b, 0xfa, 0xd5, 0xbf, 0x97, 0x3e, 0xc9, 0xf3];
        let session = SessionId(0x0100_002e_a7b1_0000);
        assert_eq!(password(session), seen);
        assert!(check_password(session, &seen));
        assert!(!check_password(session, &seen[..15]));
        assert!(!check_password(SessionId::NONE, &password(SessionId::NONE)));
    }
}
