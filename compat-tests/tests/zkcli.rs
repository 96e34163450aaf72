//! zkCli (`org.apache.zookeeper.ZooKeeperMain` 3.9.5): every command and option, on both servers.
//!
//! The commands are in `java/drivers/src/main/resources/zkcli/`.

use compat_tests::drivers::compare_suite;

#[test]
fn zkcli_prints_the_same_for_every_command() {
    compare_suite("zkcli", "zkcli", |server| server.property("zookeeper.extendedTypesEnabled", "true"));
}
