//! The main job: a real miner, a real bitcoind, one node.

mod blocks;
mod coinbase;
mod crew;
mod hand;
mod outage;
mod races;
mod reorganised;
mod setup;
mod templates;
