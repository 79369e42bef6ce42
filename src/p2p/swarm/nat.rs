//! Being reached from outside: what routers and other nodes say of this node's addresses, and a place at a relay while there
//! is none.

use super::Runner;
use crate::p2p::address::is_relayed;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::{PeerId, StreamProtocol, relay, upnp};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, info};

/// Relays used at a time.
const MAX_RELAYS: usize = 2;
/// How long a node that listens waits to be found reachable.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a relay is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is known of this node's reachability.
#[derive(Debug)]
pub(super) struct Nat {
    /// Whether anything is done about it.
    on: bool,
    /// Not before this a relay is looked for.
    not_before: Instant,
    /// The relays in use.
    relays: HashMap<ListenerId, PeerId>,
}

impl Nat {
    pub(super) fn new(on: bool, listens: bool) -> Self {
        let patience = if listens { PATIENCE } else { Duration::ZERO };
        Self { on, not_before: Instant::now() + patience, relays: HashMap::new() }
    }

    /// A listener ended; it may have been the place at a relay.
    pub(super) fn closed(&mut self, listener: ListenerId) {
        self.relays.remove(&listener);
    }
}

/// Whether a peer says that it is a relay.
pub(super) fn is_relay(protocols: &[StreamProtocol]) -> bool {
    protocols.contains(&relay::HOP_PROTOCOL_NAME)
}

impl Runner {
    /// Takes a place at a relay, if nobody has been able to reach this node.
    pub(super) fn look_for_relay(&mut self) {
        let now = Instant::now();
        if !self.nat.on || now < self.nat.not_before || self.nat.relays.len() >= MAX_RELAYS {
            return;
        }
        self.nat.not_before = now + LOOK_EVERY;
        if self.swarm.external_addresses().any(|address| !is_relayed(address)) {
            return;
        }
        let used = |peer: &PeerId| self.nat.relays.values().any(|relay| relay == peer);
        let relay = self.connected.outbound().find_map(|(peer, connection)| {
            let is_relay = self.connected.get(peer).is_some_and(|link| link.proven && link.relay);
            (is_relay && !used(peer) && connection.ip.is_some()).then(|| (*peer, connection.address.clone()))
        });
        let Some((relay, address)) = relay else { return };
        let place = address.with(Protocol::P2p(relay)).with(Protocol::P2pCircuit);
        match self.swarm.listen_on(place) {
            Ok(listener) => {
                info!(%relay, "nobody reaches this node, so it asks for a place at a relay");
                self.nat.relays.insert(listener, relay);
            }
            Err(error) => debug!(%relay, %error, "no place at this relay"),
        }
    }

    pub(super) fn on_upnp(&mut self, event: &upnp::Event) {
        match event {
            upnp::Event::NewExternalAddr { external_addr, .. } => {
                info!(address = %external_addr, "the router forwards connections to this node");
                self.changed = true;
            }
            upnp::Event::ExpiredExternalAddr { external_addr, .. } => {
                info!(address = %external_addr, "the router no longer forwards connections to this node");
                self.changed = true;
            }
            upnp::Event::GatewayNotFound | upnp::Event::NonRoutableGateway => {
                debug!("no router that forwards connections by UPnP");
            }
        }
    }
}
