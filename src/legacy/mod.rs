//! `getwork` and `getblocktemplate` over HTTP: for miners from before Stratum, and for learning.
//!
//! Reading order: `worker` is what is kept of one miner, and judges its work by the code that judges Stratum's;
//! `getwork`, `template` and `submission` are what goes over the wire; `body` and `call` read what is asked for,
//! `service` answers, `workers` keeps the workers between requests, and [`server`] has the sockets and the limits.

mod answer;
mod body;
mod call;
mod getwork;
mod login;
pub mod server;
mod service;
mod stall;
mod submission;
mod template;
mod worker;
mod workers;
