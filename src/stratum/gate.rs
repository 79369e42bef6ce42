//! The way in, which is the same for all ports: connections are accepted, unless their address connects too often. What
//! a trusted proxy connects for has the address that the proxy says.

use super::knocks::Knocks;
use super::proxy::{Beginning, look};
use super::visitor::{Protocol, Visitor};
use ipnet::IpNet;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

/// How long to let go of a listener that has no file descriptors left, or another passing trouble.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections of trusted proxies that have not said yet for whom.
const MAX_UNCLEAR: usize = 1_024;
/// Bytes that are asked for in one go, until it is clear.
const CHUNK: usize = 1024;
/// How long what a miner is sent may go unacknowledged by its system until the connection is closed. A router that starts
/// again forgets its connections: the devices behind it come back, and those of before count beside them until then.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);
/// Silence after which a system to which nothing is sent is asked whether it is there, and how often from then on.
const PROBED_AFTER: Duration = Duration::from_secs(30);
const PROBED_EVERY: Duration = Duration::from_secs(10);

/// What the ports for miners know in common. Clones share it.
#[derive(Clone, Debug)]
pub struct Gate {
    knocks: Arc<Mutex<Knocks>>,
    proxies: Arc<[IpNet]>,
    unclear: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(&[])
    }
}

/// A connection that may come in.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) stream: TcpStream,
    pub(crate) visitor: Visitor,
    /// What it said already.
    pub(crate) said: Vec<u8>,
}

/// What a port does with its connections.
#[derive(Clone)]
pub(crate) struct Reception<F> {
    /// What they speak.
    pub(crate) protocol: Protocol,
    /// Takes one that may come in.
    pub(crate) admit: F,
    /// How long a proxy may take to say for whom it connects.
    pub(crate) patience: Duration,
    /// The tasks of the connections.
    pub(crate) connections: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl Gate {
    /// With proxies at these addresses that are believed whom they connect for.
    pub fn new(proxies: &[IpNet]) -> Self {
        Self {
            knocks: Arc::default(),
            proxies: proxies.into(),
            unclear: Arc::new(Semaphore::new(MAX_UNCLEAR)),
        }
    }

    /// Accepts connections until the shutdown.
    pub(crate) async fn keep<F: Fn(Guest) + Clone + Send + 'static>(
        self,
        listener: TcpListener,
        reception: Reception<F>,
    ) {
        let port = listener.local_addr().map_or(0, |address| address.port());
        loop {
            let accepted = tokio::select! {
                () = reception.shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let visitor =
                        Visitor { port, ..Visitor::new(remote, reception.protocol, Instant::now()) };
                    let guest = Guest { stream, visitor, said: Vec::new() };
                    if self.is_proxy(remote) {
                        self.ask(guest, &reception);
                    } else if let Some(guest) = self.look_at(guest) {
                        (reception.admit)(guest);
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot accept a miner's connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Whether this is a proxy that is believed whom it connects for.
    fn is_proxy(&self, remote: SocketAddr) -> bool {
        let ip = remote.ip().to_canonical();
        self.proxies.iter().any(|proxies| proxies.contains(&ip))
    }

    /// Finds out for whom a proxy connects, in a task of its own.
    fn ask<F: Fn(Guest) + Clone + Send + 'static>(&self, mut guest: Guest, reception: &Reception<F>) {
        let Ok(permit) = Arc::clone(&self.unclear).try_acquire_owned() else {
            debug!(proxy = %guest.visitor.remote, "connection refused: too many of proxies' have not said for whom they are");
            return;
        };
        guest.visitor.stands_for_many = true;
        let (gate, reception) = (self.clone(), reception.clone());
        let tasks = reception.connections.clone();
        tasks.spawn(async move {
            let proxy = guest.visitor.remote;
            let heard = tokio::select! {
                () = reception.shutdown.cancelled() => return,
                heard = timeout(reception.patience, hear(guest)) => heard,
            };
            drop(permit);
            match heard {
                Ok(Ok(guest)) => gate.look_at(guest).into_iter().for_each(&reception.admit),
                Ok(Err(error)) => info!(%proxy, "connection of a proxy closed: {error}"),
                Err(_) => info!(%proxy, "connection of a proxy closed: it said nothing for too long"),
            }
        });
    }

    fn look_at(&self, guest: Guest) -> Option<Guest> {
        let remote = guest.visitor.remote;
        if !self.knocks.lock().unwrap_or_else(PoisonError::into_inner).admit(remote.ip(), Instant::now()) {
            debug!(%remote, "miner refused: its address connects too often");
            return None;
        }
        // What is written here is written whole, and wanted at once.
        if let Err(error) = guest.stream.set_nodelay(true) {
            debug!(%remote, %error, "miner gone before it said anything");
            return None;
        }
        if let Err(error) = notice_its_end(&guest.stream) {
            debug!(%remote, %error, "a miner that goes without a word may be noticed late");
        }
        Some(guest)
    }
}

/// Has the system close a connection whose other end went without a word.
fn notice_its_end(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBED_AFTER).with_interval(PROBED_EVERY))
}

/// Reads until it is clear for whom a trusted proxy connects. One that says nothing of it speaks for itself.
async fn hear(guest: Guest) -> io::Result<Guest> {
    let Guest { mut stream, mut visitor, mut said } = guest;
    loop {
        match look(&said) {
            Beginning::Unclear => {
                said.reserve(CHUNK);
                if stream.read_buf(&mut said).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Beginning::Other => return Ok(Guest { stream, visitor, said }),
            Beginning::Broken => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its PROXY header is broken"));
            }
            Beginning::Header { length, remote: told } => {
                visitor = told.map_or(visitor, |remote| visitor.in_place_of(remote));
                said.drain(..length);
                return Ok(Guest { stream, visitor, said });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn whoever_is_let_in_is_looked_after_even_if_it_goes_without_a_word() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (sender, mut guests) = mpsc::channel(1);
        let reception = Reception {
            protocol: Protocol::Stratum,
            admit: move |guest| drop(sender.try_send(guest)),
            patience: Duration::from_secs(60),
            connections: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        };
        let _ends_with_the_test = reception.shutdown.clone().drop_guard();
        tokio::spawn(Gate::default().keep(listener, reception));
        let _client = TcpStream::connect(address).await.expect("a connection");
        let guest = guests.recv().await.expect("let in");
        let socket = SockRef::from(&guest.stream);
        assert!(guest.stream.nodelay().expect("a socket"));
        assert!(socket.keepalive().expect("a socket"));
        #[cfg(target_os = "linux")]
        {
            assert_eq!(socket.tcp_user_timeout().expect("a socket"), Some(UNACKNOWLEDGED));
            assert_eq!(socket.tcp_keepalive_time().expect("a socket"), PROBED_AFTER);
            assert_eq!(socket.tcp_keepalive_interval().expect("a socket"), PROBED_EVERY);
        }
    }
}
