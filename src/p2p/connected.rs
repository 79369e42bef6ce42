//! Who is connected, by identity and by number, and how much each has gossiped lately.

use super::clock;
use crate::peers::link::Peer;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Peers that went and are remembered, so that they can still be banned.
const MAX_DEPARTED: usize = 1_024;
/// Gossiped messages a second that a peer may send for ever; the whole chain makes about one.
const GOSSIP_RATE: f64 = 50.0;
/// Gossiped messages that a peer may send at once.
const GOSSIP_BURST: f64 = 2_000.0;
/// Messages beyond that after which it is a flood.
const FLOOD: u32 = 2_000;
/// How long a peer may take to show that it is of this chain.
const PROOF_TIME: Duration = Duration::from_secs(15);

/// One connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) address: Multiaddr,
    /// None through a relay.
    pub(super) ip: Option<IpAddr>,
    pub(super) outbound: bool,
    /// It was made only to see whether the address works.
    pub(super) feeler: bool,
    /// It has one of the slots that are reserved for long-lived peers.
    pub(super) anchor: bool,
    pub(super) since: Instant,
}

/// One peer.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) number: Peer,
    /// Oldest first; never empty.
    pub(super) connections: Vec<Connection>,
    /// It has spoken a protocol of this chain, and the node's logic knows of it.
    pub(super) proven: bool,
    /// It says that it is a relay.
    pub(super) relay: bool,
    /// Since when, in seconds since 1970.
    pub(super) since: u64,
    /// How long the newest ping took there and back.
    pub(super) latency: Option<Duration>,
    /// The height at which it says it stands.
    pub(super) height: Option<u32>,
    gossip: Allowance,
}

/// Whether a gossiped message is within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rate {
    /// It is.
    Fine,
    /// It is not, and is not looked at.
    TooMuch,
    /// Nobody honest sends so much.
    Flood,
}

#[derive(Debug)]
struct Allowance {
    left: f64,
    at: Instant,
    beyond: u32,
}

impl Allowance {
    fn new() -> Self {
        Self { left: GOSSIP_BURST, at: Instant::now(), beyond: 0 }
    }

    fn take(&mut self) -> Rate {
        let now = Instant::now();
        let gained = now.duration_since(self.at).as_secs_f64() * GOSSIP_RATE;
        (self.left, self.at) = ((self.left + gained).min(GOSSIP_BURST), now);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Rate::Fine;
        }
        self.beyond = self.beyond.saturating_add(1);
        if self.beyond > FLOOD { Rate::Flood } else { Rate::TooMuch }
    }
}

/// What changed with a closed connection.
#[derive(Clone, Debug)]
pub(super) struct Closed {
    pub(super) connection: Connection,
    /// The peer's number, if that was its last connection and the node's logic knew of it.
    pub(super) gone: Option<Peer>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Connected {
    links: HashMap<PeerId, Link>,
    by_number: HashMap<Peer, PeerId>,
    departed: VecDeque<(Peer, PeerId, Option<IpAddr>)>,
    salt: [u8; 16],
}

impl Connected {
    pub(super) fn new(salt: [u8; 16]) -> Self {
        Self { links: HashMap::new(), by_number: HashMap::new(), departed: VecDeque::new(), salt }
    }

    /// The number of an identity: a salted hash, so that it stays the same without being remembered.
    pub(super) fn number(&self, peer: &PeerId) -> Peer {
        let hash = Sha256::new().chain_update(self.salt).chain_update(peer.to_bytes()).finalize();
        let mut number = [0; 8];
        number.copy_from_slice(&hash[..8]);
        Peer(u64::from_le_bytes(number).max(1))
    }

    /// Notes a connection.
    pub(super) fn opened(&mut self, peer: PeerId, connection: Connection) {
        let number = self.number(&peer);
        let link = self.links.entry(peer).or_insert_with(|| Link {
            number,
            connections: Vec::new(),
            proven: false,
            relay: false,
            since: clock::now(),
            latency: None,
            height: None,
            gossip: Allowance::new(),
        });
        link.connections.push(connection);
        self.by_number.insert(number, peer);
    }

    /// Notes the end of a connection.
    pub(super) fn closed(&mut self, peer: &PeerId, id: ConnectionId) -> Option<Closed> {
        let link = self.links.get_mut(peer)?;
        let at = link.connections.iter().position(|connection| connection.id == id)?;
        let connection = link.connections.remove(at);
        let mut gone = None;
        if link.connections.is_empty() {
            gone = link.proven.then_some(link.number);
            self.departed.push_back((link.number, *peer, connection.ip));
            self.by_number.remove(&link.number);
            self.links.remove(peer);
            if self.departed.len() > MAX_DEPARTED {
                self.departed.pop_front();
            }
        }
        Some(Closed { connection, gone })
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<&Link> {
        self.links.get(peer)
    }

    pub(super) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Link> {
        self.links.get_mut(peer)
    }

    /// All peers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Link)> {
        self.links.iter()
    }

    /// The identity of a connected peer.
    pub(super) fn by_number(&self, number: Peer) -> Option<PeerId> {
        self.by_number.get(&number).copied()
    }

    /// Identity and address of a peer that is connected or was lately.
    pub(super) fn find(&self, number: Peer) -> Option<(PeerId, Option<IpAddr>)> {
        if let Some(peer) = self.by_number(number) {
            let ip = self.links.get(&peer).and_then(|link| link.connections.first()).and_then(|c| c.ip);
            return Some((peer, ip));
        }
        let departed = self.departed.iter().rev().find(|(known, _, _)| *known == number);
        departed.map(|(_, peer, ip)| (*peer, *ip))
    }

    /// Judges one gossiped message of a peer.
    pub(super) fn gossiped(&mut self, peer: &PeerId) -> Rate {
        self.links.get_mut(peer).map_or(Rate::TooMuch, |link| link.gossip.take())
    }

    /// Peers that have had time to show that they are of this chain, and have not.
    pub(super) fn unproven(&self) -> Vec<PeerId> {
        let late =
            |link: &Link| !link.proven && link.connections.iter().all(|c| c.since.elapsed() >= PROOF_TIME);
        self.links.iter().filter(|(_, link)| late(link)).map(|(peer, _)| *peer).collect()
    }

    /// Peers with an outgoing connection that is meant to stay.
    pub(super) fn outbound(&self) -> impl Iterator<Item = (&PeerId, &Connection)> {
        self.links.iter().filter_map(|(peer, link)| {
            link.connections.iter().find(|c| c.outbound && !c.feeler).map(|connection| (peer, connection))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(id: usize) -> Connection {
        Connection {
            id: ConnectionId::new_unchecked(id),
            address: "/ip4/192.0.2.1/tcp/1".parse().expect("an address"),
            ip: Some([192, 0, 2, 1].into()),
            outbound: false,
            feeler: false,
            anchor: false,
            since: Instant::now(),
        }
    }

    #[test]
    fn a_peer_has_one_number_for_ever_and_goes_with_its_last_connection() {
        let mut connected = Connected::new([1; 16]);
        let peer = PeerId::random();
        let number = connected.number(&peer);
        connected.opened(peer, connection(1));
        connected.opened(peer, connection(2));
        connected.get_mut(&peer).expect("there").proven = true;
        let gone = |connected: &mut Connected, id| {
            connected.closed(&peer, ConnectionId::new_unchecked(id)).map(|closed| closed.gone)
        };
        assert_eq!(gone(&mut connected, 1), Some(None));
        assert_eq!(gone(&mut connected, 1), None, "it is closed already");
        assert_eq!(connected.by_number(number), Some(peer));
        assert_eq!(gone(&mut connected, 2), Some(Some(number)));
        assert_eq!(connected.by_number(number), None);
        assert_eq!(connected.find(number), Some((peer, Some([192, 0, 2, 1].into()))));
        connected.opened(peer, connection(3));
        assert_eq!(connected.by_number(number), Some(peer), "the same as before");
        assert_ne!(Connected::new([2; 16]).number(&peer), number);
    }

    #[tokio::test(start_paused = true)]
    async fn gossip_has_a_rate() {
        let mut connected = Connected::new([1; 16]);
        let peer = PeerId::random();
        connected.opened(peer, connection(1));
        for _ in 0..GOSSIP_BURST as usize {
            assert_eq!(connected.gossiped(&peer), Rate::Fine);
        }
        assert_eq!(connected.gossiped(&peer), Rate::TooMuch);
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..GOSSIP_RATE as usize {
            assert_eq!(connected.gossiped(&peer), Rate::Fine);
        }
        for _ in 1..FLOOD {
            assert_eq!(connected.gossiped(&peer), Rate::TooMuch);
        }
        assert_eq!(connected.gossiped(&peer), Rate::Flood);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_proves_nothing_is_late() {
        let mut connected = Connected::new([1; 16]);
        let (silent, good) = (PeerId::random(), PeerId::random());
        connected.opened(silent, connection(1));
        connected.opened(good, connection(2));
        connected.get_mut(&good).expect("there").proven = true;
        assert!(connected.unproven().is_empty());
        tokio::time::advance(PROOF_TIME).await;
        assert_eq!(connected.unproven(), [silent]);
    }
}
