//! The node's own interface: HTTP and JSON on loopback, read-only, by which commands ask a running node.
//!
//! It never changes anything, and knows nothing of Stratum or of the network between nodes.

mod announce;
mod client;
pub mod export;
pub mod form;
pub mod read;
mod server;
mod source;

pub use announce::{Announced, announce, find};
pub use client::{Client, ClientError};
pub use server::serve;
pub use source::{ChainSource, Opened, Question, ReadError};
