use crate::types::StatPersisted;
use crc32fast::Hasher;

/// Digest of one znode, kept so that a change of its metadata does not read its data again.
///
/// CRC-32 over path, data and sixty bytes of metadata; 0 below `/zookeeper/`. Digests switched off are 0 as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeDigest {
    counted: bool,
    /// CRC over path and data.
    prefix: u32,
    value: u32,
}

impl NodeDigest {
    pub(super) fn new(path: &str, data: Option<&[u8]>, enabled: bool) -> Self {
        let counted = enabled && !path.starts_with("/zookeeper/");
        let mut digest = Self { counted, prefix: 0, value: 0 };
        digest.set_data(path, data);
        digest
    }

    pub(super) fn set_data(&mut self, path: &str, data: Option<&[u8]>) {
        if self.counted {
            let mut crc = Hasher::new();
            crc.update(if path == "/" { b"" } else { path.as_bytes() });
            crc.update(data.unwrap_or_default());
            self.prefix = crc.finalize();
        }
    }

    /// Takes the metadata into the value.
    pub(super) fn seal(&mut self, s: &StatPersisted) {
        if self.counted {
            let mut bytes = [0; 60];
            let longs = [s.czxid, s.mzxid, s.pzxid, s.ctime, s.mtime];
            for (to, from) in bytes.chunks_exact_mut(8).zip(longs) {
                to.copy_from_slice(&from.to_be_bytes());
            }
            for (to, from) in bytes[40..52].chunks_exact_mut(4).zip([s.version, s.cversion, s.aversion]) {
                to.copy_from_slice(&from.to_be_bytes());
            }
            bytes[52..].copy_from_slice(&s.ephemeral_owner.to_be_bytes());
            let mut crc = Hasher::new_with_initial(self.prefix);
            crc.update(&bytes);
            self.value = crc.finalize();
        }
    }

    pub(super) fn value(self) -> u32 {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_real_server() {
        let mut root = NodeDigest::new("/", None, true);
        root.seal(&StatPersisted::default());
        assert_eq!(root.value(), 0x0412_8908);
        let mut zookeeper = NodeDigest::new("/zookeeper", None, true);
        zookeeper.seal(&StatPersisted::default());
        assert_eq!(zookeeper.value(), 0x4db4_4d58);

        let (zxid, time) = (0x1_0000_0002, 0x1a2_074c_4330);
        let mut a = NodeDigest::new("/a", Some(b"x"), true);
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ..StatPersisted::default()
        };
        a.seal(&stat);
        root.seal(&StatPersisted { cversion: 1, pzxid: zxid, ..StatPersisted::default() });
        let sum: i64 = [root, zookeeper, a].iter().map(|d| i64::from(d.value())).sum();
        assert_eq!(sum, 0x1_3a24_fdf5);
    }

    #[test]
    fn znodes_below_zookeeper_are_not_counted() {
        let mut digest = NodeDigest::new("/zookeeper/quota", Some(b"x"), true);
        digest.seal(&StatPersisted::default());
        assert_eq!(digest.value(), 0);
    }
}
