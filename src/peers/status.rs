//! What a node can tell its owner about its connections, and what its owner can change: plain texts and numbers,
//! so that the interface needs to know nothing of the network below.

use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::oneshot;

/// A moment's picture of the network; a new one replaces it about every second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkStatus {
    /// This node's identity.
    pub id: String,
    /// Addresses at which it listens, or that others can use.
    pub addresses: Vec<String>,
    /// Whom it is connected to, oldest first.
    pub peers: Vec<PeerStatus>,
    /// Whom it refuses, the first to end first.
    pub bans: Vec<BanStatus>,
    /// Peers whose addresses it knows.
    pub known: usize,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStatus {
    /// Its number in this process, as [`super::link::Peer`] has it.
    pub peer: u64,
    /// Its identity.
    pub id: String,
    /// Its address.
    pub address: String,
    /// Whether this node dialed.
    pub outbound: bool,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// How long the newest ping took there and back; none before the first.
    pub latency: Option<Duration>,
    /// The height of its share chain, as it said last; none before it has.
    pub height: Option<u32>,
    /// What gossip thinks of it: below 0 is bad. None before the first exchange.
    pub score: Option<f64>,
}

/// A refused peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanStatus {
    /// Its identity.
    pub id: String,
    /// Its address, if that is refused too.
    pub ip: Option<IpAddr>,
    /// Until when, in seconds since 1970.
    pub until: u64,
    /// Why.
    pub reason: String,
}

/// Which bans to lift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lift {
    /// All.
    All,
    /// Those of an address.
    Ip(IpAddr),
    /// That of an identity, as [`BanStatus::id`] writes it.
    Id(String),
}

/// Whom the owner wants refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Every connected peer at an address.
    Ip(IpAddr),
    /// An identity, as [`PeerStatus::id`] writes it, connected or not.
    Id(String),
}

/// What the owner asks for.
#[derive(Debug)]
pub enum Admin {
    /// Lifts bans and tells how many there were.
    Lift(Lift, oneshot::Sender<usize>),
    /// Refuses peers and tells how many; none where nobody is meant by it.
    Ban {
        /// Whom.
        who: Who,
        /// How long.
        seconds: u64,
        /// Why, for the list.
        reason: String,
        /// How many.
        reply: oneshot::Sender<usize>,
    },
    /// Connects to a peer, again and again for as long as the node runs, as to those named in the settings.
    Connect {
        /// Its address, as in the settings.
        address: String,
        /// Why not, for people.
        reply: oneshot::Sender<Result<(), String>>,
    },
}
