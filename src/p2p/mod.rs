//! The network between nodes: libp2p behind the two channels of [`crate::peers::link`]. Nothing else names libp2p.
//!
//! It connects, forwards and counts; it understands nothing of what nodes say. Verdicts on gossip, answers to questions
//! and scores for conduct are the node logic's.

mod address;
mod ask;
mod bans;
mod behaviour;
mod book;
mod clock;
mod configured;
mod connected;
pub mod exchange;
mod gate;
mod gossip;
mod identity;
mod names;
mod outlet;
mod questions;
mod quiet;
mod swarm;

pub use address::BadPeer;
pub use gate::Limits;
pub use identity::IdentityError;

use crate::metrics::Metrics;
use crate::peers::link::{Command, Event};
use crate::peers::status::{Admin, NetworkStatus};
use bans::Bans;
use book::Book;
use gate::Gate;
use names::Names;
use sharechain::params::ChainId;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Commands that wait for the network.
const COMMANDS: usize = 1_024;
/// Requests of the owner that wait for the network.
const ADMIN: usize = 8;

/// What a network is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The chain; its id is in every name.
    pub chain: ChainId,
    /// The folder for identity, address book and bans. It must exist.
    pub folder: PathBuf,
    /// Where to listen, TCP and QUIC each; nowhere if empty.
    pub listen: Vec<SocketAddr>,
    /// Where others reach this node, if its owner knows.
    pub external: Vec<SocketAddr>,
    /// Peers to connect to: `HOST:PORT`, `PEERID@HOST:PORT` or multiaddresses.
    pub peers: Vec<String>,
    /// Whether to look for peers on the local network.
    pub mdns: bool,
    /// Whether to look for ways to be reached from outside: UPnP (not on loopback), AutoNAT, relays.
    pub nat: bool,
    /// Whether to be a relay for nodes that cannot be reached.
    pub relay: bool,
    /// How many connections to seek.
    pub outbound: usize,
    /// How many connections to admit.
    pub limits: Limits,
    /// Told how long gossip waits.
    pub metrics: Metrics,
}

impl Settings {
    /// The defaults: nowhere to listen and nobody to connect to.
    pub fn new(chain: ChainId, folder: PathBuf) -> Self {
        Self {
            chain,
            folder,
            listen: Vec::new(),
            external: Vec::new(),
            peers: Vec::new(),
            mdns: false,
            nat: false,
            relay: false,
            outbound: 8,
            limits: Limits::default(),
            metrics: Metrics::default(),
        }
    }
}

/// A network that has been started. Whoever holds it must run `task`.
pub struct Network {
    /// This node's identity.
    pub id: String,
    /// What happens. Not taking it costs others nothing: gossip is dropped, questions are refused.
    pub events: mpsc::Receiver<Event>,
    /// What to do.
    pub commands: mpsc::Sender<Command>,
    /// A moment's picture.
    pub status: watch::Receiver<Arc<NetworkStatus>>,
    /// What the owner asks for.
    pub admin: mpsc::Sender<Admin>,
    /// Runs until the token that it was started with is cancelled; then connections are closed and the book is written.
    pub task: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Why there is no network.
#[derive(Debug, Error)]
pub enum StartError {
    /// No identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A peer's address is none.
    #[error("--peer: {0}")]
    Peer(#[from] BadPeer),
    /// The list of bans cannot be read.
    #[error("the list of bans {} cannot be read: {source}. Delete it to forgive everybody", path.display())]
    Bans {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error(
        "the network between nodes cannot listen on {address}: {reason}. Is another node running? Else choose --listen ADDR:PORT"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        reason: String,
    },
    /// libp2p does not take the settings: a bug.
    #[error("BUG: the network cannot be set up: {0}")]
    Setup(String),
}

/// Starts a network. Must be called inside a runtime.
pub fn start(settings: Settings, stop: CancellationToken) -> Result<Network, StartError> {
    let now = clock::now();
    let pair = identity::load(&settings.folder.join("identity"))?;
    let own = pair.public().to_peer_id();
    let bans_path = settings.folder.join("bans.json");
    let bans =
        Bans::load(bans_path.clone(), now).map_err(|source| StartError::Bans { path: bans_path, source })?;
    let book_path = settings.folder.join("peers.json");
    let book = Book::load(&book_path, own, now).unwrap_or_else(|error| {
        // It is only a memory of others; a new one fills soon.
        tracing::warn!(%error, file = %book_path.display(), "the address book cannot be read; beginning a new one");
        Book::new(own)
    });
    let configured = configured::Configured::parse(&settings.peers)?;
    let names = Names::new(settings.chain);
    let swarm = behaviour::swarm(&pair, &names, Gate::new(settings.limits, bans), &settings)?;

    let (event_sender, events) = mpsc::channel(outlet::CHANNEL);
    let (commands, command_receiver) = mpsc::channel(COMMANDS);
    let (admin, admin_receiver) = mpsc::channel(ADMIN);
    let (status_sender, status) = watch::channel(Arc::default());
    let parts = swarm::Parts {
        swarm,
        names,
        book,
        book_path,
        configured,
        events: event_sender,
        commands: command_receiver,
        admin: admin_receiver,
        status: status_sender,
        outbound: settings.outbound,
        nat: settings.nat,
        listens: !settings.listen.is_empty(),
        metrics: settings.metrics.clone(),
    };
    let mut runner = swarm::Runner::new(parts)?;
    runner.listen(&settings)?;
    tracing::info!(id = %own, "network between nodes started");
    Ok(Network { id: own.to_string(), events, commands, status, admin, task: Box::pin(runner.run(stop)) })
}
