//! The main job: a real miner, a real bitcoind, one node.

mod blocks;
mod coinbase;
mod crash;
mod crew;
mod hand;
mod outage;
pub(crate) mod process;
mod races;
mod reorganised;
mod setup;
mod start_stop;
mod templates;
