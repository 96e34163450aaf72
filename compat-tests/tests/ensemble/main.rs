//! Ensembles of real processes under load and faults, with Java and Quoll as members.
//!
//! Every test runs once, shortly, by default. `QUOLL_FAULT_SECONDS=1200` lets each of them that injects faults go
//! on for that long, in rounds; `QUOLL_FAULT_SEED=N` repeats what clients and faults do (as far as the clock lets
//! them); `QUOLL_FAULT_MEMBERS=java,quoll,java` replaces the kinds of the voters. Table of commands: docs/testing.md.

mod checks;
mod crashes;
mod disks;
mod migration;
mod names;
mod partitions;
mod pauses;
mod reconfig;
mod reconfig_kills;
mod roles;
mod run;
mod sync;
