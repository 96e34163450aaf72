//! Curator's recipes (5.9) with two clients, on both servers, with the same outcome.
//!
//! The driver is `java/drivers/src/main/java/quoll/compat/Curator*.java`.

use compat_tests::drivers::compare_suite;

#[test]
fn curator_recipes_come_to_the_same_outcome() {
    compare_suite("curator", "curator", |server| {
        server
            .property("zookeeper.extendedTypesEnabled", "true")
            // The TTL node of the last recipe is to go soon after nobody touches it.
            .property("znode.container.checkIntervalMs", 500)
    });
}
