//! Stratum v1: serving miners.
//!
//! Reading order: [`session`] is what one miner says and hears, as a pure state machine, with [`submit`] its heart;
//! [`difficulty`] and [`vardiff`] say how hard the work is. [`server`] has the sockets, [`crate::work::outbox`] takes what is found.

mod configure;
pub(crate) mod connection;
pub mod difficulty;
pub(crate) mod harvest;
mod hex;
mod lines;
mod message;
pub(crate) mod served;
pub mod server;
pub mod session;
pub mod sessions;
pub mod stats;
pub mod submit;
pub mod urls;
pub(crate) mod user;
pub mod vardiff;
