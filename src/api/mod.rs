//! The node's own interface: HTTP and JSON on loopback, by which commands ask a running node.
//!
//! All that it can change is the list of bans, for whoever shows the [`Token`]. It knows nothing of Stratum, and of the
//! network between nodes only a picture.

mod announce;
mod client;
pub mod export;
pub mod form;
mod network;
pub mod read;
mod server;
mod source;
mod token;

pub use announce::{Announced, announce, find};
pub use client::{Client, ClientError};
pub use network::NetworkPort;
pub use server::serve;
pub use source::{ChainSource, Opened, Question, ReadError};
pub use token::Token;
