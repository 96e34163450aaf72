//! The `zookeeper-client` crate, driven through every call. One file per scenario; start at `notes.rs`.

mod acls_and_users;
mod calls;
mod limits;
mod modes;
mod notes;
mod recipes;
mod restarts;
mod sessions;
mod transactions;
mod watches;
