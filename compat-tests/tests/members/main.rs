//! What an ensemble promises its clients and its members, one rule per test, on ensembles of Java, of Quoll and of both.
//!
//! Ensembles under load and faults are in `tests/ensemble`.

mod acls;
mod elections;
mod large;
mod listening;
mod metrics;
mod multis;
mod noise;
mod on_each;
mod order;
mod played;
mod reaping;
mod rollover;
mod sessions;
mod starts;
mod words;
mod zkcli;
