//! Hostile peers against the real program: whatever they send, the node keeps mining, its memory stays under a bound,
//! and whoever is to blame is gone soon.
//!
//! The node runs as a process of its own on the embedded network, with a miner; each attack comes from one or more
//! peers on loopback, all of them bounded in number and time. Reading order: `victim` (the node, and what is measured of
//! it), `attacker` (a peer that says what a test wants), `evil` (one that breaks the protocol below the messages), then
//! the attacks: `work` (shares and blocks), `answers` (to the node's questions), `load` (connections and floods), `bans`.

#[path = "../support/chain_file.rs"]
mod chain_file;
#[path = "../support/long_chain.rs"]
mod long_chain;
#[path = "../p2p/node.rs"]
#[allow(dead_code, reason = "tests of p2p use all of it")]
mod peer;
#[path = "../support/ports.rs"]
mod ports;

mod answers;
mod attacker;
mod bans;
mod evil;
mod load;
mod victim;
mod work;
