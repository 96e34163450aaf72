//! The stock Java client 3.9.5: every call of its API, on both servers, with the same outcome.
//!
//! The driver is `java/drivers/src/main/java/quoll/compat/Api*.java`.

use compat_tests::drivers::compare_suite;

#[test]
fn the_java_client_sees_the_same_through_every_call_of_its_api() {
    compare_suite("java-client", "api", |server| {
        server
            .key("enforceQuota", "true")
            .property("zookeeper.extendedTypesEnabled", "true")
            // super:golden
            .property(
                "zookeeper.DigestAuthenticationProvider.superDigest",
                "super:c9T5yFYCHEoR/xZ3KuYTF5tNWis=",
            )
    });
}
