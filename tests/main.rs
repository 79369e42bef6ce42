//! Behaviour of the node, seen from outside: one test binary, a folder for each part.

mod api;
mod bitcoind;
mod cli;
mod fuzz;
mod hosts;
mod legacy;
mod node;
mod p2p;
mod pool;
mod simulate;
mod store;
mod stratum;
mod stratum_v2;
mod support;
mod tidy;
