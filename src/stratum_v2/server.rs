//! Listens for miners that speak Stratum V2 and gives each connection a task of its own.
//!
//! Limits are here, as in Stratum v1's server: how many may connect, and how long each may do nothing.

use super::authority::Authority;
use super::frame_talk::FrameTalk;
use super::session::{Session, SessionConfig};
use crate::stratum::connection::Connection;
use crate::stratum::gate::{Guest, Reception};
use crate::stratum::seats::Seats;
use crate::stratum::server::{BindError, House, Limits, bind_for};
use crate::stratum::urls::{Reach, device_host};
use crate::stratum::visitor::Protocol;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

/// A server of Stratum V2, before it runs.
#[derive(Clone)]
pub struct Server {
    /// What all sessions share.
    pub config: Arc<SessionConfig>,
    /// The key that miners know this node by.
    pub authority: Authority,
    /// Whose miners it serves: each channel is one.
    pub house: House,
    /// A seat for each connection.
    pub connections: Seats,
    /// Time limits.
    pub limits: Limits,
}

/// A listener for [`Server::run`]. Must be called within a tokio runtime.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    bind_for(address, "--stratum-v2")
}

impl Server {
    /// Serves miners until `shutdown`, and returns when every connection has ended.
    pub async fn run(self, listeners: Vec<TcpListener>, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        let accepting = TaskTracker::new();
        for listener in listeners {
            self.say_url(&listener);
            let (server, tasks, until) = (self.clone(), connections.clone(), shutdown.clone());
            let reception = Reception {
                protocol: Protocol::StratumV2,
                admit: move |guest| server.admit(guest, &tasks, &until),
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

    fn admit(&self, guest: Guest, connections: &TaskTracker, shutdown: &CancellationToken) {
        let remote = guest.visitor.remote;
        if !*self.house.open.borrow() {
            debug!(%remote, "miner refused: there is nothing to mine on");
            return;
        }
        let seat = match self.connections.take(&guest.visitor) {
            Ok(seat) => seat,
            Err(none) => return none.log(remote),
        };
        let session = Session::new(Arc::clone(&self.config), self.house.sessions.clone(), guest.visitor);
        let talk = FrameTalk::new(session, &self.authority);
        let connection = Connection::new(guest, talk, &self.house, self.limits);
        let shutdown = shutdown.clone();
        connections.spawn(async move {
            connection.run(&shutdown).await;
            drop(seat);
        });
    }

    /// Tells what to type into a device.
    fn say_url(&self, listener: &TcpListener) {
        let Ok(address) = listener.local_addr() else { return };
        let key = &self.authority;
        match device_host(address) {
            Some((host, Reach::ThisMachine)) => {
                info!("Stratum V2 at stratum2+tcp://{host}/{key}, for miners on this machine");
            }
            Some((host, Reach::Network)) => {
                info!("Stratum V2 at stratum2+tcp://{host}/{key}: type this into mining devices");
            }
            None => info!("Stratum V2 on {address}, authority key {key}"),
        }
    }
}
