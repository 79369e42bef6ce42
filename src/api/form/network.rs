//! What is told about the network between nodes: connected peers and bans.

use crate::peers::status::{BanStatus, NetworkStatus, PeerStatus};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use utoipa::ToSchema;

/// This node's place in the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeersForm {
    /// This node's identity.
    pub id: String,
    /// Where it listens, or is reached.
    pub addresses: Vec<String>,
    /// Peers in the address book.
    pub known: u64,
    /// Connected peers, oldest first.
    pub peers: Vec<PeerForm>,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeerForm {
    /// Its identity.
    pub id: String,
    /// Its address.
    pub address: String,
    /// Whether this node dialed.
    pub outbound: bool,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// Milliseconds that the newest ping took there and back; none before the first.
    #[serde(default)]
    pub latency_ms: Option<f64>,
    /// The height of its share chain, as it said last; it is asked every minute.
    #[serde(default)]
    pub height: Option<u32>,
    /// What gossip thinks of it: below 0 is bad.
    pub score: Option<f64>,
}

/// Refused peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BansForm {
    /// The first to end first.
    pub bans: Vec<BanForm>,
}

/// A refused peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BanForm {
    /// Its identity.
    pub id: String,
    /// Its address, if that is refused too.
    #[schema(value_type = Option<String>)]
    pub ip: Option<IpAddr>,
    /// Until when, in seconds since 1970.
    pub until: u64,
    /// Why.
    pub reason: String,
}

/// Which bans to lift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiftForm {
    /// `all`, an address, or an identity.
    pub which: String,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiftedForm {
    /// How many bans were lifted.
    pub lifted: u64,
}

/// Whom to refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BanRequestForm {
    /// An identity, or an address: then everybody who is connected from there.
    pub who: String,
    /// For how many seconds; a day where none is given.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Why, for the list.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BannedForm {
    /// How many peers are refused.
    pub banned: u64,
    /// For how many seconds.
    pub seconds: u64,
}

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectForm {
    /// `HOST:PORT`, `PEERID@HOST:PORT` or a multiaddress.
    pub address: String,
}

/// What became of it: it is tried again and again for as long as the node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectingForm {
    /// The address.
    pub connecting: String,
}

/// The node stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoppingForm {
    /// True.
    pub stopping: bool,
}

impl From<&NetworkStatus> for PeersForm {
    fn from(status: &NetworkStatus) -> Self {
        Self {
            id: status.id.clone(),
            addresses: status.addresses.clone(),
            known: status.known as u64,
            peers: status.peers.iter().map(PeerForm::from).collect(),
        }
    }
}

impl From<&PeerStatus> for PeerForm {
    fn from(peer: &PeerStatus) -> Self {
        Self {
            id: peer.id.clone(),
            address: peer.address.clone(),
            outbound: peer.outbound,
            since: peer.since,
            latency_ms: peer.latency.map(|time| time.as_micros() as f64 / 1_000.0),
            height: peer.height,
            score: peer.score,
        }
    }
}

impl From<&NetworkStatus> for BansForm {
    fn from(status: &NetworkStatus) -> Self {
        Self { bans: status.bans.iter().map(BanForm::from).collect() }
    }
}

impl From<&BanStatus> for BanForm {
    fn from(ban: &BanStatus) -> Self {
        Self { id: ban.id.clone(), ip: ban.ip, until: ban.until, reason: ban.reason.clone() }
    }
}
