//! The main job: a real miner, a real bitcoind, one node.

mod blocks;
mod coinbase;
mod crash;
mod crew;
mod fee;
pub(crate) mod hand;
mod on_event;
mod outage;
mod payments;
mod payouts;
pub(crate) mod process;
mod questions;
mod races;
mod reorganised;
pub(crate) mod setup;
pub(crate) mod solo;
mod start_stop;
mod templates;
