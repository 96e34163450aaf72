//! Stock ZooKeeper clients and the upstream server, run against Quoll.
//!
//! Every suite has one body and two arms: the body runs once against the upstream Java server and once
//! against Quoll, each time producing a [`Transcript`], and the two must be equal. The Java arm is the
//! reference; nothing in a suite says what the right answer is when upstream can say it.
//!
//! Start reading at [`compare`]; the parts are
//! - [`arm`]: which of the two servers, and the comparison itself;
//! - [`server`]: a server process of either arm: configure, start, stop, kill, start again;
//! - [`ensemble`]: several servers that form one, of either kind, with what can befall them;
//! - [`upstream`] and [`quoll`]: how each arm's program is obtained and launched;
//! - [`build_folder`]: where everything fetched or built lands, once for all test processes;
//! - [`client`]: running a foreign client program that writes a transcript;
//! - [`tools`]: the programs a machine must have, and what to install when one is missing;
//! - [`process`]: a child process that does not outlive the test;
//! - [`ports`]: ports that concurrent test processes do not fight over;
//! - [`drivers`]: the programs that drive the stock Java clients;
//! - [`raw`]: a small client of our own that shows every byte a stock client hides;
//! - [`state`]: all that a server serves, and how two such readings differ;
//! - [`golden`]: data directories that real servers wrote, unpacked;
//! - [`workload`]: random writes of every kind; [`model`]: what they must lead to;
//! - [`load`]: clients of an ensemble that go on under faults and know what must be true;
//! - [`wire`]: recorded conversations, replayed byte for byte;
//! - [`diff`]: the readable difference of two transcripts.
//!
//! Everything here panics instead of returning errors: a test is its only caller, and the message is
//! what a developer reads. The message therefore says what was wanted and what to do.

pub mod arm;
pub mod build_folder;
pub mod client;
pub mod diff;
pub mod drivers;
pub mod ensemble;
pub mod golden;
pub mod load;
pub mod model;
pub mod ports;
pub mod process;
pub mod quoll;
pub mod raw;
pub mod server;
pub mod state;
pub mod tools;
pub mod upstream;
pub mod wire;
pub mod workload;

pub use arm::{Arm, Transcript, compare, compare_with};
pub use server::{Server, ServerBuilder};
