//! What is known of a connection before it says anything.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

/// What is spoken at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Stratum v1.
    Stratum,
    /// Stratum v1 over TLS.
    StratumTls,
    /// Stratum V2.
    StratumV2,
    /// `getwork` and `getblocktemplate`.
    Legacy,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stratum => "Stratum",
            Self::StratumTls => "Stratum over TLS",
            Self::StratumV2 => "Stratum V2",
            Self::Legacy => "getwork",
        })
    }
}

/// Whoever connects.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// Where from.
    pub remote: SocketAddr,
    /// What it is to speak.
    pub protocol: Protocol,
    /// The port of this node that it came to.
    pub port: u16,
    /// When it came.
    pub since: Instant,
}

impl Visitor {
    /// For a connection from this address, at a port that does not matter.
    pub const fn new(remote: SocketAddr, protocol: Protocol, since: Instant) -> Self {
        Self { remote, protocol, port: 0, since }
    }
}
