//! Stratum v1: serving miners.
//!
//! Reading order: [`difficulty`], [`vardiff`], then what a session says and does, then the sockets.

pub mod difficulty;
pub mod vardiff;
