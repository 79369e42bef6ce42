//! The main job: a real miner, a real bitcoind, one node.

mod blocks;
mod reorganised;
mod setup;
