//! Stratum v1: serving miners.
//!
//! Reading order: [`session`] is what one miner says and hears, as a pure state machine, with [`submit`] its heart;
//! [`difficulty`] and [`vardiff`] say how hard the work is, [`device`] how large a coinbase it may have. [`server`] has the
//! ports, `connection` leads each connection in either version of Stratum, [`crate::work::outbox`] takes what is found.

pub(crate) mod account;
pub mod certificate;
pub(crate) mod configure;
pub(crate) mod connection;
pub mod device;
pub mod difficulty;
mod feeds;
pub mod gate;
pub(crate) mod harvest;
mod hex;
pub(crate) mod knocks;
mod line_talk;
mod lines;
pub mod memory;
pub(crate) mod message;
pub(crate) mod password;
pub(crate) mod pipe;
mod proxy;
pub mod record;
pub mod seats;
pub(crate) mod served;
pub mod server;
pub mod session;
pub mod sessions;
pub mod submit;
mod tls;
pub mod trouble;
pub mod urls;
pub(crate) mod user;
pub mod vardiff;
pub mod visitor;
