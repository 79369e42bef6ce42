//! The way in, which is the same for all ports: connections are accepted, unless their address connects too often.

use super::knocks::Knocks;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How long to let go of a listener that has no file descriptors left, or another passing trouble.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the ports for miners know in common. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    knocks: Arc<Mutex<Knocks>>,
}

/// A connection that may come in.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) stream: TcpStream,
    pub(crate) remote: SocketAddr,
}

impl Gate {
    /// Accepts connections until `shutdown`, and gives those that may come in to `admit`.
    pub(crate) async fn keep(
        self,
        listener: TcpListener,
        admit: impl Fn(Guest),
        shutdown: CancellationToken,
    ) {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => {
                    if let Some(guest) = self.look_at(Guest { stream, remote }) {
                        admit(guest);
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot accept a miner's connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn look_at(&self, guest: Guest) -> Option<Guest> {
        let remote = guest.remote;
        if !self.knocks.lock().unwrap_or_else(PoisonError::into_inner).admit(remote.ip(), Instant::now()) {
            debug!(%remote, "miner refused: its address connects too often");
            return None;
        }
        // What is written here is written whole, and wanted at once.
        if let Err(error) = guest.stream.set_nodelay(true) {
            debug!(%remote, %error, "miner gone before it said anything");
            return None;
        }
        Some(guest)
    }
}
