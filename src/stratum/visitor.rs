//! What is known of a connection before it says anything.

use super::knocks::of_one_owner;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
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
    /// Whether many may stand behind its address: programs on this machine, or those for whom a proxy connects without
    /// saying who they are.
    pub stands_for_many: bool,
}

impl Visitor {
    /// For a connection from this address, at a port that does not matter.
    pub fn new(remote: SocketAddr, protocol: Protocol, since: Instant) -> Self {
        let stands_for_many = remote.ip().to_canonical().is_loopback();
        Self { remote, protocol, port: 0, since, stands_for_many }
    }

    /// The address whose part of everything it takes, of IPv6 the network of 64 bits; none for one that stands for many.
    pub fn bound_to(&self) -> Option<IpAddr> {
        (!self.stands_for_many).then(|| of_one_owner(self.remote.ip().to_canonical()))
    }

    /// Whom a proxy connects for.
    pub(super) fn in_place_of(self, remote: SocketAddr) -> Self {
        Self { port: self.port, ..Self::new(remote, self.protocol, self.since) }
    }
}
