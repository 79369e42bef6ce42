//! Says no to connections: banned peers and addresses, and everything beyond the limits. It evicts nobody.
//!
//! An incoming connection is judged by its address before the handshake, and by its identity after it.

use super::address::{group_of, ip_of};
use super::bans::Bans;
use super::clock;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::task::{Context, Poll};
use thiserror::Error;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Incoming connections.
    pub inbound: usize,
    /// Outgoing connections.
    pub outbound: usize,
    /// Incoming connections whose handshake is not over.
    pub pending: usize,
    /// Connections of one identity: two that dial each other at once have two, and one through a relay may come before.
    pub per_peer: usize,
    /// Incoming connections from one address.
    pub per_ip: usize,
    /// Incoming connections from one /16 (IPv6: /32).
    pub per_group: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { inbound: 96, outbound: 16, pending: 32, per_peer: 3, per_ip: 6, per_group: 24 }
    }
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error("the peer is banned")]
    Banned,
    #[error("the address is banned")]
    BannedAddress,
    #[error("too many incoming connections")]
    Inbound,
    #[error("too many outgoing connections")]
    Outbound,
    #[error("too many handshakes at once")]
    Pending,
    #[error("too many connections of one identity")]
    Peer,
    #[error("too many connections from one address")]
    Ip,
    #[error("too many connections from one network")]
    Group,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// None through a relay.
    ip: Option<IpAddr>,
    /// The peer once the handshake is over.
    peer: Option<PeerId>,
    inbound: bool,
}

/// The limits, the bans, and what is connected.
#[derive(Debug)]
pub(super) struct Gate {
    limits: Limits,
    bans: Bans,
    places: HashMap<ConnectionId, Place>,
    /// Hosts that the owner named; the limits by address do not hold for them.
    trusted: HashSet<IpAddr>,
}

impl Gate {
    pub(super) fn new(limits: Limits, bans: Bans) -> Self {
        Self { limits, bans, places: HashMap::new(), trusted: HashSet::new() }
    }

    pub(super) const fn bans(&self) -> &Bans {
        &self.bans
    }

    pub(super) const fn bans_mut(&mut self) -> &mut Bans {
        &mut self.bans
    }

    /// Frees a host from the limits by address. There are as many as the owner names.
    pub(super) fn trust(&mut self, ip: IpAddr) {
        self.trusted.insert(ip);
    }

    /// Whether another identity is connected from this address.
    pub(super) fn is_shared(&self, ip: IpAddr, peer: PeerId) -> bool {
        self.places.values().any(|p| p.ip == Some(ip) && p.peer.is_some_and(|other| other != peer))
    }

    fn count(&self, which: impl Fn(&Place) -> bool) -> usize {
        self.places.values().filter(|place| which(place)).count()
    }

    fn check_ip(&self, ip: IpAddr) -> Result<(), Refusal> {
        if self.bans.refuses_ip(ip, clock::now()) {
            return Err(Refusal::BannedAddress);
        }
        if ip.is_loopback() || self.trusted.contains(&ip) {
            return Ok(());
        }
        if self.count(|p| p.inbound && p.ip == Some(ip)) >= self.limits.per_ip {
            return Err(Refusal::Ip);
        }
        let group = group_of(ip);
        if self.count(|p| p.inbound && p.ip.is_some_and(|ip| group_of(ip) == group)) >= self.limits.per_group
        {
            return Err(Refusal::Group);
        }
        Ok(())
    }

    fn admit_pending(&mut self, id: ConnectionId, remote: &Multiaddr) -> Result<(), Refusal> {
        if self.count(|p| p.inbound && p.peer.is_none()) >= self.limits.pending {
            return Err(Refusal::Pending);
        }
        if self.count(|p| p.inbound) >= self.limits.inbound {
            return Err(Refusal::Inbound);
        }
        let ip = ip_of(remote);
        ip.map_or(Ok(()), |ip| self.check_ip(ip))?;
        self.places.insert(id, Place { ip, peer: None, inbound: true });
        Ok(())
    }

    fn admit(&mut self, id: ConnectionId, peer: PeerId, place: Place) -> Result<(), Refusal> {
        if self.bans.refuses(&peer, clock::now()) {
            return Err(Refusal::Banned);
        }
        if self.count(|p| p.peer == Some(peer)) >= self.limits.per_peer {
            return Err(Refusal::Peer);
        }
        self.places.insert(id, place);
        Ok(())
    }
}

fn denied(refusal: Refusal) -> ConnectionDenied {
    ConnectionDenied::new(refusal)
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.admit_pending(id, remote).map_err(denied)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let place = Place { ip: ip_of(remote), peer: Some(peer), inbound: true };
        self.admit(id, peer, place).map_err(denied)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if peer.is_some_and(|peer| self.bans.refuses(&peer, clock::now())) {
            return Err(denied(Refusal::Banned));
        }
        if self.count(|p| !p.inbound) >= self.limits.outbound {
            return Err(denied(Refusal::Outbound));
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let ip = ip_of(address);
        if ip.is_some_and(|ip| self.bans.refuses_ip(ip, clock::now())) {
            return Err(denied(Refusal::BannedAddress));
        }
        // Several dials may have been under way when the last of them was let out.
        if self.count(|p| !p.inbound) >= self.limits.outbound {
            return Err(denied(Refusal::Outbound));
        }
        self.admit(id, peer, Place { ip, peer: Some(peer), inbound: false }).map_err(denied)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => {
                self.places.remove(&closed.connection_id);
            }
            FromSwarm::ListenFailure(failure) => {
                self.places.remove(&failure.connection_id);
            }
            FromSwarm::DialFailure(failure) => {
                self.places.remove(&failure.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(limits: Limits) -> Gate {
        Gate::new(limits, Bans::default())
    }

    fn knock(gate: &mut Gate, id: usize, ip: &str) -> Result<(), Refusal> {
        let remote = format!("/ip4/{ip}/tcp/1").parse().expect("an address");
        gate.admit_pending(ConnectionId::new_unchecked(id), &remote)
    }

    #[test]
    fn one_address_and_one_network_have_their_share_and_loopback_all() {
        let limits = Limits { inbound: 20, pending: 20, per_ip: 2, per_group: 3, ..Limits::default() };
        let mut gate = gate(limits);
        assert_eq!(knock(&mut gate, 1, "198.51.100.1"), Ok(()));
        assert_eq!(knock(&mut gate, 2, "198.51.100.1"), Ok(()));
        assert_eq!(knock(&mut gate, 3, "198.51.100.1"), Err(Refusal::Ip));
        assert_eq!(knock(&mut gate, 4, "198.51.7.1"), Ok(()));
        assert_eq!(knock(&mut gate, 5, "198.51.9.1"), Err(Refusal::Group));
        gate.trust("198.51.9.1".parse().expect("an address"));
        assert_eq!(knock(&mut gate, 6, "198.51.9.1"), Ok(()));
        for id in 10..26 {
            assert_eq!(knock(&mut gate, id, "127.0.0.1"), Ok(()));
        }
        assert_eq!(knock(&mut gate, 30, "127.0.0.1"), Err(Refusal::Pending));
    }

    #[test]
    fn what_ends_makes_room() {
        let mut gate = gate(Limits { inbound: 1, pending: 1, ..Limits::default() });
        assert_eq!(knock(&mut gate, 1, "127.0.0.1"), Ok(()));
        assert_eq!(knock(&mut gate, 2, "127.0.0.1"), Err(Refusal::Pending));
        let (id, peer) = (ConnectionId::new_unchecked(1), PeerId::random());
        let place = Place { ip: None, peer: Some(peer), inbound: true };
        assert_eq!(gate.admit(id, peer, place), Ok(()));
        assert_eq!(knock(&mut gate, 3, "127.0.0.1"), Err(Refusal::Inbound));
        gate.places.remove(&id);
        assert_eq!(knock(&mut gate, 4, "127.0.0.1"), Ok(()));
    }

    #[test]
    fn the_banned_stay_outside() {
        let mut gate = gate(Limits::default());
        let (peer, ip) = (PeerId::random(), "198.51.100.1".parse().expect("an address"));
        let now = clock::now();
        gate.bans_mut().ban(peer, Some(ip), now + 100, "x", now);
        assert_eq!(knock(&mut gate, 1, "198.51.100.1"), Err(Refusal::BannedAddress));
        let place = Place { ip: None, peer: Some(peer), inbound: true };
        assert_eq!(gate.admit(ConnectionId::new_unchecked(2), peer, place), Err(Refusal::Banned));
    }
}
