//! The node's Bitcoin back end against a real bitcoind.

mod client;
mod embedded;
mod harness;
mod rpc;
