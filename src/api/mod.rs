//! The node's own interface: HTTP and JSON on loopback, by which commands and the dashboard ask a running node; and the
//! dashboard's pages.
//!
//! Who shows the [`Token`] may also change a few things: bans, connections, the node's end. Of Stratum it knows
//! where that listens, of the network between nodes only a picture.

mod announce;
mod chain;
mod client;
mod control;
pub mod events;
pub mod export;
pub mod form;
mod guard;
pub mod health;
mod history;
mod miners;
mod network;
mod openapi;
mod pages;
pub mod read;
mod reply;
mod routes;
mod scrape;
mod server;
mod source;
mod stream;
mod token;

pub use announce::{Announced, announce, find};
pub use client::{Client, ClientError};
pub use control::NodePort;
pub use miners::MinersPort;
pub use network::NetworkPort;
pub use read::search::LedgerView;
pub use routes::Ports;
pub use server::serve;
pub use source::{ChainSource, Opened, Question, ReadError};
pub use token::Token;
