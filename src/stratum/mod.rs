//! Stratum v1: serving miners.
//!
//! Reading order: [`session`] is what one miner says and hears, as a pure state machine, with [`submit`] its heart;
//! [`difficulty`] and [`vardiff`] say how hard the work is.

mod configure;
pub mod difficulty;
mod hex;
mod message;
mod served;
pub mod session;
pub mod stats;
pub mod submit;
mod user;
pub mod vardiff;
