//! The protocols that a node speaks, and the transports under them.

use super::ask::RawCodec;
use super::gate::Gate;
use super::gossip::{self, Gossip};
use super::names::Names;
use super::{Settings, StartError};
use crate::peers::link::MAX_QUESTION;
use libp2p::identity::Keypair;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{
    Swarm, SwarmBuilder, autonat, dcutr, identify, kad, mdns, noise, ping, relay, tcp, upnp, yamux,
};
use std::time::Duration;

/// How long a handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long a connection without any stream is kept.
const IDLE_TIME: Duration = Duration::from_secs(3_600);
/// The longest that a question may take, from the first byte of it to the last of its answer.
pub(super) const MAX_PATIENCE: Duration = Duration::from_secs(150);
/// How long a peer may take to tell addresses.
pub(super) const EXCHANGE_TIME: Duration = Duration::from_secs(20);
/// Questions on one connection at a time, both ways together.
const MAX_STREAMS_OF_ASK: usize = 32;
/// Bytes of all questions that have come in and are not answered.
const MAX_QUESTION_BYTES: usize = 32 << 20;
/// Streams that a peer may have open on one connection.
const MAX_STREAMS: u32 = 64;
/// Streams of one connection that are being negotiated.
const MAX_NEGOTIATING: usize = 32;
/// Most bytes that a peer may send ahead on all QUIC streams of a connection.
const MAX_QUIC_WINDOW: u32 = 4 << 20;

/// Nodes that a relay serves.
const MAX_RESERVATIONS: usize = 64;
/// Circuits through a relay at a time. They are for finding a direct way, not for staying.
const MAX_CIRCUITS: usize = 32;
/// Those of one peer.
const MAX_CIRCUITS_OF_PEER: usize = 4;
/// Bytes of a circuit, each way.
const MAX_CIRCUIT_BYTES: u64 = 1 << 20;
/// How long a circuit may last.
const CIRCUIT_TIME: Duration = Duration::from_secs(120);

/// Everything that a node speaks.
#[derive(NetworkBehaviour)]
pub(super) struct Node {
    /// First, so that nothing else sees a connection that is refused.
    pub(super) gate: Gate,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) gossip: Gossip,
    pub(super) ask: request_response::Behaviour<RawCodec>,
    pub(super) exchange: request_response::Behaviour<RawCodec>,
    pub(super) kad: kad::Behaviour<MemoryStore>,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) upnp: Toggle<upnp::tokio::Behaviour>,
    pub(super) reach: Toggle<autonat::v2::client::Behaviour>,
    pub(super) reach_for_others: Toggle<autonat::v2::server::Behaviour>,
    pub(super) relay: Toggle<relay::Behaviour>,
    pub(super) relayed: relay::client::Behaviour,
    pub(super) dcutr: Toggle<dcutr::Behaviour>,
}

impl Node {
    fn new(
        pair: &Keypair,
        names: &Names,
        gate: Gate,
        settings: &Settings,
        relayed: relay::client::Behaviour,
    ) -> Result<Self, String> {
        let own = pair.public().to_peer_id();
        let nat = settings.nat;
        let identify = identify::Config::new(names.version.clone(), pair.public())
            .with_agent_version(format!("commonwork/{}", env!("CARGO_PKG_VERSION")))
            .with_push_listen_addr_updates(true)
            .with_cache_size(0);
        let ask = request_response::Config::default()
            .with_request_timeout(MAX_PATIENCE)
            .with_max_concurrent_streams(MAX_STREAMS_OF_ASK);
        let exchange = request_response::Config::default()
            .with_request_timeout(EXCHANGE_TIME)
            .with_max_concurrent_streams(4);
        Ok(Self {
            gate,
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping::Config::new().with_timeout(Duration::from_secs(20))),
            gossip: gossip::behaviour(names)?,
            ask: request_response::Behaviour::with_codec(
                RawCodec::new(MAX_QUESTION, MAX_QUESTION_BYTES),
                [(names.ask.clone(), ProtocolSupport::Full)],
                ask,
            ),
            exchange: request_response::Behaviour::with_codec(
                RawCodec::new(0, 0),
                [(names.peers.clone(), ProtocolSupport::Full)],
                exchange,
            ),
            kad: kademlia(pair, names, settings),
            mdns: local_discovery(own, settings).into(),
            upnp: (nat && is_reachable(settings)).then(upnp::tokio::Behaviour::default).into(),
            reach: nat.then(autonat::v2::client::Behaviour::default).into(),
            reach_for_others: nat.then(autonat::v2::server::Behaviour::default).into(),
            relay: settings.relay.then(|| relay::Behaviour::new(own, circuits())).into(),
            relayed,
            dcutr: nat.then(|| dcutr::Behaviour::new(own)).into(),
        })
    }
}

/// Finds peers, and stores nothing for anybody.
fn kademlia(pair: &Keypair, names: &Names, settings: &Settings) -> kad::Behaviour<MemoryStore> {
    let own = pair.public().to_peer_id();
    let mut config = kad::Config::new(names.kad.clone());
    config
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_max_packet_size(16 << 10)
        .set_query_timeout(Duration::from_secs(60))
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None);
    let store = MemoryStoreConfig {
        max_records: 0,
        max_value_bytes: 0,
        max_providers_per_key: 0,
        max_provided_keys: 0,
    };
    let mut kad = kad::Behaviour::with_config(own, MemoryStore::with_config(own, store), config);
    let mode = if settings.listen.is_empty() { kad::Mode::Client } else { kad::Mode::Server };
    kad.set_mode(Some(mode));
    kad
}

/// What a relay does for others.
fn circuits() -> relay::Config {
    relay::Config {
        max_reservations: MAX_RESERVATIONS,
        max_reservations_per_peer: 1,
        max_circuits: MAX_CIRCUITS,
        max_circuits_per_peer: MAX_CIRCUITS_OF_PEER,
        max_circuit_duration: CIRCUIT_TIME,
        max_circuit_bytes: MAX_CIRCUIT_BYTES,
        ..relay::Config::default()
    }
}

/// Whether other machines could reach this node at all.
fn is_reachable(settings: &Settings) -> bool {
    settings.listen.iter().any(|address| !address.ip().is_loopback())
}

/// mDNS, unless it is switched off or nobody else could reach this node anyway.
fn local_discovery(own: libp2p::PeerId, settings: &Settings) -> Option<mdns::tokio::Behaviour> {
    if !settings.mdns || !is_reachable(settings) {
        return None;
    }
    let mdns = mdns::tokio::Behaviour::new(mdns::Config::default(), own);
    mdns.inspect_err(|error| tracing::warn!(%error, "no discovery on the local network")).ok()
}

/// TCP with Noise and Yamux, QUIC, and circuits through relays.
pub(super) fn swarm(
    pair: &Keypair,
    names: &Names,
    gate: Gate,
    settings: &Settings,
) -> Result<Swarm<Node>, StartError> {
    let secure = || {
        let prologue = names.prologue.clone();
        move |pair: &Keypair| noise::Config::new(pair).map(|noise| noise.with_prologue(prologue))
    };
    let multiplex = || {
        let mut yamux = yamux::Config::default();
        yamux.set_max_num_streams(MAX_STREAMS as usize);
        yamux
    };
    Ok(SwarmBuilder::with_existing_identity(pair.clone())
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), secure(), multiplex)
        .map_err(|error| StartError::Setup(error.to_string()))?
        .with_quic_config(|mut quic| {
            quic.max_concurrent_stream_limit = MAX_STREAMS;
            quic.max_stream_data = MAX_QUIC_WINDOW / 4;
            quic.max_connection_data = MAX_QUIC_WINDOW;
            quic.handshake_timeout = HANDSHAKE_TIME;
            quic
        })
        .with_relay_client(secure(), multiplex)
        .map_err(|error| StartError::Setup(error.to_string()))?
        .with_behaviour(|pair, relayed| Ok(Node::new(pair, names, gate, settings, relayed)?))
        .map_err(|error| StartError::Setup(error.to_string()))?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(IDLE_TIME)
                .with_max_negotiating_inbound_streams(MAX_NEGOTIATING)
        })
        .with_connection_timeout(HANDSHAKE_TIME)
        .build())
}
