//! Tests of the watches.
