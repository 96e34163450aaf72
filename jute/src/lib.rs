//! The ZooKeeper records.
