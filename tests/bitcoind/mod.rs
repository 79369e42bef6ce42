//! The node's Bitcoin back end against a real bitcoind.

mod harness;
mod rpc;
