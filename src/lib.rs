//! The node of commonwork.

// So that the tests' own helpers, which name this crate, can be used by the unit tests too.
#[cfg(test)]
extern crate self as commonwork;

pub mod address;
pub mod api;
pub mod bench;
pub mod bitcoin;
pub mod chain;
pub mod commands;
pub mod config;
pub mod dashboard;
mod disk;
mod hashes;
pub mod history;
pub mod legacy;
pub mod logging;
pub mod metrics;
pub mod miner;
pub mod node;
pub mod open_files;
pub mod p2p;
pub mod peers;
pub mod ports;
pub mod refused;
pub mod rewards;
pub mod shutdown;
pub mod simulate;
pub mod store;
pub mod stratum;
pub mod stratum_v2;
pub mod work;

#[cfg(test)]
#[path = "../tests/support/jobs.rs"]
mod test_jobs;
