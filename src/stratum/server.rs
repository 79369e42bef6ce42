//! Listens for miners and gives each connection a task of its own.
//!
//! Limits are here: how many may connect, and how long each may do nothing. What is said is [`super::session`]'s.

use super::certificate::Identity;
use super::connection::Connection;
use super::gate::{Gate, Guest, Reception};
use super::line_talk::LineTalk;
use super::session::{Now, Session, SessionConfig};
use super::sessions::Sessions;
use super::tls::Tls;
use super::urls::{Reach, device_host};
use super::visitor::Protocol;
use crate::work::outbox::Outbox;
use crate::work::source::WorkSource;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

/// Connections that may wait to be accepted: after an outage all devices come back at once.
const BACKLOG: u32 = 1_024;

/// How long a connection may do nothing.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until it has subscribed and authorized.
    pub handshake: Duration,
    /// Between lines, after that. Vardiff has every miner send several a minute.
    pub idle: Duration,
    /// While it reads nothing of what is written to it.
    pub stalled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(15),
            idle: Duration::from_secs(900),
            stalled: Duration::from_secs(60),
        }
    }
}

/// What lies behind the ports of all protocols. Clones share it.
#[derive(Clone)]
pub struct House {
    /// Where jobs come from.
    pub work: Arc<dyn WorkSource>,
    /// Where found work goes.
    pub outbox: Outbox,
    /// Whether there is anything to mine on. While it is false, nobody is given work: Stratum's connections are closed and
    /// new ones refused, so that devices turn to their next pool, and HTTP answers with status 503.
    pub open: watch::Receiver<bool>,
    /// The miners that are alive, in all protocols.
    pub sessions: Sessions,
    /// The way in.
    pub gate: Gate,
}

/// A Stratum server, before it runs.
#[derive(Clone)]
pub struct Server {
    /// What all sessions share.
    pub config: Arc<SessionConfig>,
    /// Whose miners it serves.
    pub house: House,
    /// Time limits.
    pub limits: Limits,
}

/// A port that miners connect to.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    /// What it shows to miners if it speaks TLS.
    tls: Option<Identity>,
}

impl Port {
    /// A port that speaks plainly. Must be called within a tokio runtime.
    pub fn plain(address: SocketAddr) -> Result<Self, BindError> {
        Ok(Self { listener: bind_for(address, "--stratum")?, tls: None })
    }

    /// A port that speaks TLS. Must be called within a tokio runtime.
    pub fn tls(address: SocketAddr, identity: Identity) -> Result<Self, BindError> {
        Ok(Self { listener: bind_for(address, "--stratum-tls")?, tls: Some(identity) })
    }

    /// Where it is.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Stratum cannot listen where it should.
#[derive(Debug, Error)]
#[error(
    "cannot listen for miners on {address}: {source}. Stop the other program that uses this port, or choose \
     another with {option} ADDR:PORT"
)]
pub struct BindError {
    /// The option that says where.
    pub option: &'static str,
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

/// A listener for miners, on an address that this option gives.
pub(crate) fn bind_for(address: SocketAddr, option: &'static str) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // So that a restart need not wait for the connections of before to be forgotten.
        socket.set_reuseaddr(cfg!(unix))?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| BindError { option, address, source })
}

impl Server {
    /// Serves miners until `shutdown`, and returns when every connection has ended.
    pub async fn run(self, ports: Vec<Port>, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        let accepting = TaskTracker::new();
        for Port { listener, tls } in ports {
            say_url(&listener, tls.as_ref());
            let protocol = if tls.is_some() { Protocol::StratumTls } else { Protocol::Stratum };
            let door = Door {
                server: self.clone(),
                tls,
                connections: connections.clone(),
                shutdown: shutdown.clone(),
            };
            let reception = Reception {
                protocol,
                admit: move |guest| door.admit(guest),
                patience: self.limits.handshake,
                connections: connections.clone(),
                shutdown: shutdown.clone(),
            };
            accepting.spawn(self.house.gate.clone().keep(listener, reception));
        }
        accepting.close();
        accepting.wait().await;
        connections.close();
        connections.wait().await;
    }
}

/// One port's part in letting connections in.
#[derive(Clone)]
struct Door {
    server: Server,
    tls: Option<Identity>,
    connections: TaskTracker,
    shutdown: CancellationToken,
}

impl Door {
    fn admit(&self, guest: Guest) {
        let (server, remote) = (&self.server, guest.visitor.remote);
        let House { open, sessions, .. } = &server.house;
        if !*open.borrow() {
            debug!(%remote, "miner refused: there is nothing to mine on");
            return;
        }
        let place = match sessions.admit(guest.visitor) {
            Ok(place) => place,
            Err(none) => return none.log(remote),
        };
        let tls = match self.tls.as_ref().map(Tls::new).transpose() {
            Ok(tls) => tls,
            Err(error) => {
                warn!(%remote, %error, "miner refused: BUG: TLS cannot begin");
                return;
            }
        };
        let session = Session::new(Arc::clone(&server.config), place, now());
        let talk = LineTalk::new(session, tls);
        let connection = Connection::new(guest, talk, &server.house, server.limits);
        let shutdown = self.shutdown.clone();
        self.connections.spawn(async move { connection.run(&shutdown).await });
    }
}

/// Tells what to type into a device.
fn say_url(listener: &TcpListener, tls: Option<&Identity>) {
    let Ok(address) = listener.local_addr() else { return };
    let (name, scheme, option) = match tls {
        None => ("Stratum", "stratum+tcp", "--stratum"),
        Some(_) => ("Stratum over TLS", "stratum+tls", "--stratum-tls"),
    };
    match device_host(address) {
        Some((host, Reach::ThisMachine)) => {
            let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, host.port()));
            info!(
                "{name} at {scheme}://{host}, for miners on this machine; {option} {all} admits the network's"
            );
        }
        Some((host, Reach::Network)) => info!("{name} at {scheme}://{host}: type this into mining devices"),
        None => info!("{name} on {address}: type this machine's address and the port into mining devices"),
    }
    if let Some(identity) = tls {
        info!("devices are shown a certificate whose SHA-256 fingerprint is {identity}");
    }
}

/// Both clocks.
pub(crate) fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Now { instant: Instant::now(), unix: u32::try_from(unix).unwrap_or(u32::MAX) }
}
