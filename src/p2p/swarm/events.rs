//! What libp2p tells.

use super::dial::Purpose;
use super::nat::is_relay;
use super::{FLOOD_BAN, Runner};
use crate::p2p::address::{ip_of, is_circuit, is_public, is_relayed, split_peer};
use crate::p2p::ask::{Question, reason};
use crate::p2p::behaviour::{EXCHANGE_TIME, NodeEvent};
use crate::p2p::connected::{Connection, Rate};
use crate::p2p::{clock, exchange};
use crate::peers::link::{Event, MAX_GOSSIP, NoAnswer};
use libp2p::core::ConnectedPoint;
use libp2p::gossipsub::{self, MessageAcceptance};
use libp2p::request_response::{self, Message, OutboundFailure};
use libp2p::swarm::{ConnectionId, DialError, ListenError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, identify, kad, mdns, noise, ping};
use std::error::Error;
use std::net::IpAddr;
use tokio::time::Instant;
use tracing::{debug, info};

/// Most addresses that a peer may say it has.
const MAX_CLAIMED: usize = 16;

type AskEvent = request_response::Event<Question, Vec<u8>>;

impl Runner {
    pub(super) fn on_event(&mut self, event: SwarmEvent<NodeEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_opened(peer_id, connection_id, endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, .. } => {
                self.on_closed(peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.on_dial_failed(connection_id, peer_id, &error);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                self.on_refused(&send_back_addr, &error);
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                info!(%address, "listening for nodes");
                self.changed = true;
            }
            SwarmEvent::ExternalAddrConfirmed { .. } | SwarmEvent::ExternalAddrExpired { .. } => {
                self.changed = true;
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, .. } if addresses.iter().all(is_relayed) => {
                // A place at a relay; another is looked for.
                self.nat.closed(listener_id);
                self.changed = true;
            }
            SwarmEvent::ListenerClosed { addresses, reason: Err(error), .. } => {
                tracing::error!(?addresses, %error, "no longer listening for nodes");
                self.changed = true;
            }
            SwarmEvent::ListenerError { error, .. } => debug!(%error, "listening"),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: NodeEvent) {
        match event {
            NodeEvent::Identify(identify::Event::Received { connection_id, peer_id, info }) => {
                self.on_identified(peer_id, connection_id, info);
            }
            NodeEvent::Gossip(gossipsub::Event::Message { propagation_source, message_id, message }) => {
                self.on_gossip(propagation_source, message_id, message);
            }
            NodeEvent::Ask(event) => self.on_ask(event),
            NodeEvent::Exchange(event) => self.on_exchange(event),
            NodeEvent::Ping(ping::Event { peer, result: Ok(time), .. }) => {
                if let Some(link) = self.connected.get_mut(&peer) {
                    link.latency = Some(time);
                    self.changed = true;
                }
            }
            NodeEvent::Kad(kad::Event::RoutingUpdated { peer, addresses, .. }) => {
                for address in addresses.iter() {
                    self.hear(peer, address.clone(), Some(peer));
                }
            }
            NodeEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    self.hear(peer, address, None);
                }
            }
            NodeEvent::Identify(_)
            | NodeEvent::Gossip(_)
            | NodeEvent::Kad(_)
            | NodeEvent::Mdns(_)
            | NodeEvent::Ping(ping::Event { result: Err(_), .. })
            | NodeEvent::Reach(_)
            | NodeEvent::ReachForOthers(_)
            | NodeEvent::Relay(_)
            | NodeEvent::Relayed(_)
            | NodeEvent::Dcutr(_) => {}
            NodeEvent::Upnp(event) => self.on_upnp(&event),
            NodeEvent::Gate(never) => match never {},
        }
    }

    /// Notes an address in the book.
    pub(super) fn hear(&mut self, peer: PeerId, address: Multiaddr, source: Option<PeerId>) {
        let (address, _) = split_peer(address);
        self.book.hear(peer, address, source, clock::now());
    }

    fn on_opened(&mut self, peer: PeerId, id: ConnectionId, endpoint: ConnectedPoint) {
        let outbound = endpoint.is_dialer();
        let (address, _) = split_peer(endpoint.get_remote_address().clone());
        let purpose = self.dialing.end(id);
        let connection = Connection {
            id,
            ip: ip_of(&address),
            address,
            outbound,
            feeler: matches!(purpose, Some(Purpose::Feeler)),
            anchor: matches!(purpose, Some(Purpose::Anchor)),
            since: Instant::now(),
        };
        self.connected.opened(peer, connection);
        if let Some(Purpose::Configured(at)) = purpose {
            self.configured.reached(at, peer, clock::now());
        }
        if self.connected.get(&peer).is_some_and(|link| link.proven) {
            self.on_proven_again(peer, id);
        }
    }

    fn on_closed(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(closed) = self.connected.closed(&peer, id) else { return };
        let random = self.random();
        if closed.connection.outbound && !closed.connection.feeler {
            let lasted = closed.connection.since.elapsed().as_secs();
            self.book.parted(&peer, lasted, clock::now(), random);
        }
        if let Some(number) = closed.gone {
            debug!(%peer, "disconnected");
            self.outlet.push(Event::Disconnected { peer: number });
            self.changed = true;
        }
    }

    /// A peer has spoken a protocol that has this chain's name.
    fn prove(&mut self, peer: PeerId) {
        let Some(link) = self.connected.get_mut(&peer).filter(|link| !link.proven) else { return };
        link.proven = true;
        let number = link.number;
        let Some(first) = link.connections.first().cloned() else { return };
        let ids: Vec<_> = link.connections.iter().map(|connection| connection.id).collect();
        debug!(%peer, address = %first.address, outbound = first.outbound, "connected");
        self.outlet.push(Event::Connected { peer: number, ip: first.ip, outbound: first.outbound });
        self.changed = true;
        for id in ids {
            self.on_proven_again(peer, id);
        }
        if first.outbound {
            self.ask_for_peers(peer);
        }
    }

    /// A connection of a peer that is known to be of this chain: its address works.
    fn on_proven_again(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(link) = self.connected.get_mut(&peer) else { return };
        let Some(at) = link.connections.iter().position(|connection| connection.id == id) else { return };
        let connection = &link.connections[at];
        if !connection.outbound {
            return;
        }
        let (address, feeler) = (connection.address.clone(), connection.feeler);
        let alone = link.connections.len() == 1;
        self.book.reached(peer, address.clone(), clock::now());
        self.swarm.behaviour_mut().kad.add_address(&peer, address);
        if !feeler {
            return;
        }
        if alone && self.connected.outbound().count() < self.outbound {
            // A find: it stays.
            if let Some(link) = self.connected.get_mut(&peer) {
                link.connections[at].feeler = false;
            }
        } else {
            self.swarm.close_connection(id);
        }
    }

    fn on_identified(&mut self, peer: PeerId, id: ConnectionId, info: identify::Info) {
        let Some(link) = self.connected.get(&peer) else { return };
        let connection = link.connections.iter().find(|connection| connection.id == id).cloned();
        let Some(connection) = connection else { return };
        if info.protocol_version != self.names.version {
            self.say_other_chain(&connection.address);
            self.book.forget(&peer);
            // It may have gone this moment.
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        }
        self.prove(peer);
        if let Some(link) = self.connected.get_mut(&peer) {
            link.relay = is_relay(&info.protocols);
        }
        // Only where it is seen to be, so that nobody can send this node to others' hosts; or at a relay, which would not
        // know it if it were not there.
        for address in info.listen_addrs.into_iter().take(MAX_CLAIMED) {
            let (address, named) = split_peer(address);
            let seen = ip_of(&address).is_some_and(|ip| connection.ip == Some(ip));
            if named.is_none_or(|named| named == peer) && (seen || is_circuit(&address)) {
                self.hear(peer, address, None);
            }
        }
    }

    fn say_other_chain(&mut self, address: &Multiaddr) {
        // Through a relay nobody's address is known; then all count as one.
        let ip = ip_of(address).unwrap_or(IpAddr::from([0, 0, 0, 0]));
        if self.quiet.may_say((ip, "chain")) {
            info!(%address, "this node belongs to another share chain, or is none of commonwork; parted");
        }
    }

    fn on_dial_failed(&mut self, id: ConnectionId, peer: Option<PeerId>, error: &DialError) {
        debug!(peer = peer.map(tracing::field::display), %error, "not reached");
        let (now, random) = (clock::now(), self.random());
        let purpose = self.dialing.end(id);
        if let DialError::Transport(attempts) = error {
            for (address, error) in attempts {
                if is_noise(error) {
                    self.say_other_chain(&split_peer(address.clone()).0);
                }
            }
        }
        if let Some(Purpose::Configured(at)) = purpose {
            let own = matches!(error, DialError::LocalPeerId { .. });
            let address = self.configured.text(at);
            if own {
                info!(peer = address, "this is this node itself; not dialed again");
                self.configured.give_up(at);
            } else {
                self.configured.failed(at, now, random);
                if self.dialing.may_complain(at) {
                    info!(peer = address, "not reached: {error}; it is tried again");
                }
            }
        }
        if let Some(peer) = peer {
            match error {
                DialError::Denied { .. } | DialError::DialPeerConditionFalse(_) => {}
                DialError::LocalPeerId { .. } => self.book.forget(&peer),
                _ => self.book.failed(&peer, now, random),
            }
        }
    }

    fn on_refused(&mut self, from: &Multiaddr, error: &ListenError) {
        debug!(%from, %error, "incoming connection failed");
        if let ListenError::Transport(error) = error
            && is_noise(error)
        {
            self.say_other_chain(from);
        }
    }

    fn on_gossip(&mut self, source: PeerId, id: gossipsub::MessageId, message: gossipsub::Message) {
        self.prove(source);
        let rate = self.connected.gossiped(&source);
        if rate == Rate::Flood {
            let ip = self.connected.get(&source).and_then(|link| link.connections.first()).and_then(|c| c.ip);
            self.ban(source, ip, FLOOD_BAN, "flood of gossip");
        }
        let number = self.connected.get(&source).map(|link| link.number);
        let (Rate::Fine, Some(peer), Some(topic)) = (rate, number, self.names.topic(&message.topic)) else {
            return self.report(&id, &source, MessageAcceptance::Ignore);
        };
        if message.data.len() > MAX_GOSSIP {
            return self.report(&id, &source, MessageAcceptance::Reject);
        }
        let (token, gone) = self.verdicts.add(id, source, topic, message.data.len());
        for (token, old) in gone {
            self.outlet.retract(token);
            self.report(&old.id, &old.source, MessageAcceptance::Ignore);
        }
        self.outlet.push(Event::Gossip { peer, topic, message: token, bytes: message.data });
    }

    fn on_ask(&mut self, event: AskEvent) {
        match event {
            AskEvent::Message {
                peer, message: Message::Request { request_id, request, channel }, ..
            } => {
                self.prove(peer);
                let number = self.connected.number(&peer);
                // Without a token the channel is gone, and the question refused.
                if let Some(question) = self.incoming.add(request_id, peer, channel) {
                    self.outlet.push(Event::Asked { peer: number, question, bytes: request.bytes });
                }
            }
            AskEvent::Message { message: Message::Response { request_id, response }, .. } => {
                self.answered(request_id, Ok(response));
            }
            AskEvent::OutboundFailure { request_id, error, .. } => {
                let why = match error {
                    OutboundFailure::Timeout => NoAnswer::TimedOut,
                    OutboundFailure::Io(error) => reason(&error),
                    OutboundFailure::DialFailure
                    | OutboundFailure::ConnectionClosed
                    | OutboundFailure::UnsupportedProtocols => NoAnswer::Gone,
                };
                self.answered(request_id, Err(why));
            }
            AskEvent::InboundFailure { request_id, .. } | AskEvent::ResponseSent { request_id, .. } => {
                self.incoming.end(request_id);
            }
        }
    }

    fn answered(&mut self, id: request_response::OutboundRequestId, answer: Result<Vec<u8>, NoAnswer>) {
        if let Some((peer, request)) = self.outgoing.end(id) {
            self.outlet.push(Event::Answered { peer, request, answer });
        }
    }

    /// Asks a peer for addresses of others.
    pub(super) fn ask_for_peers(&mut self, peer: PeerId) {
        let until = Instant::now() + EXCHANGE_TIME;
        let question = Question::new(Vec::new(), exchange::MAX_TOLD_BYTES, until);
        self.swarm.behaviour_mut().exchange.send_request(&peer, question);
    }

    fn on_exchange(&mut self, event: AskEvent) {
        match event {
            AskEvent::Message { peer, message: Message::Request { channel, .. }, .. } => {
                self.prove(peer);
                let ip =
                    self.connected.get(&peer).and_then(|link| link.connections.first()).and_then(|c| c.ip);
                // Through a relay it may be anybody.
                let public = ip.is_none_or(is_public);
                let random = self.random();
                let told = self.book.share(peer, public, exchange::MAX_TOLD, clock::now(), random);
                let answer = exchange::encode(&told);
                // Who asked may have gone.
                let _ = self.swarm.behaviour_mut().exchange.send_response(channel, answer);
            }
            AskEvent::Message { peer, message: Message::Response { response, .. }, .. } => {
                let told = exchange::decode(&response).unwrap_or_default();
                for (other, address) in told {
                    self.hear(other, address, Some(peer));
                }
            }
            AskEvent::OutboundFailure { .. }
            | AskEvent::InboundFailure { .. }
            | AskEvent::ResponseSent { .. } => {}
        }
    }
}

/// Whether a handshake failed because the two sides did not agree, rather than on the way.
fn is_noise(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<noise::Error>() {
            // What cannot be decrypted comes as invalid data; other errors of the line say nothing of the peer.
            Some(noise::Error::Io(error)) => return error.kind() == std::io::ErrorKind::InvalidData,
            Some(_) => return true,
            None => {}
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    false
}
