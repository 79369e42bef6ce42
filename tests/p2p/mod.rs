//! Networks of several nodes on loopback, with real sockets: what one side does, and what the other is told.

mod ask;
mod bans;
mod discovery;
mod gossip;
mod limits;
mod nat;
mod node;
mod status;
