//! The node's own interface: HTTP and JSON on loopback, by which commands ask a running node.
//!
//! All that it can change is the list of bans, for whoever shows the [`Token`]. Of Stratum it knows
//! where that listens, of the network between nodes only a picture.

mod announce;
mod client;
pub mod export;
pub mod form;
mod miners;
mod network;
pub mod read;
mod server;
mod source;
mod token;

pub use announce::{Announced, announce, find};
pub use client::{Client, ClientError};
pub use miners::MinersPort;
pub use network::NetworkPort;
pub use server::{Ports, serve};
pub use source::{ChainSource, Opened, Question, ReadError};
pub use token::Token;
