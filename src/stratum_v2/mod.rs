//! Stratum V2: binary, encrypted, and with work that needs no coinbase.
//!
//! Reading order: [`session`] is what one connection says and hears, as a pure state machine, with `channel` for each
//! of its miners and `announce` for the jobs that those get. [`frame`] and [`link`] are the bytes, [`authority`] the
//! key that devices know this node by, [`server`] the sockets. What is judged and how hard work is are Stratum v1's.

mod announce;
pub mod authority;
mod channel;
mod closed;
pub mod frame;
mod frame_talk;
pub mod link;
pub mod server;
pub mod session;
