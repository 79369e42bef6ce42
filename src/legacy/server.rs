//! The HTTP server for miners. Everything about it is bounded: connections, time, sizes.
//!
//! How often an address connects is the gate's concern; what is said is `super::service`'s.

use super::service::{Caller, Service};
use super::stall::Impatient;
use crate::stratum::gate::{Guest, Reception};
use crate::stratum::seats::{Seat, Seats};
use crate::stratum::server::{BindError, House, bind_for};
use crate::stratum::session::SessionConfig;
use crate::stratum::urls::{Reach, device_host};
use crate::stratum::visitor::Protocol;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io::Cursor;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, join};
use tokio::net::TcpListener;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

/// Connections at a time.
const MAX_CONNECTIONS: usize = 1_024;
/// Bytes of a request's head, and of what is read in one go.
const MAX_HEAD: usize = 16 * 1024;
/// How often workers are looked at that may be gone.
const TICK: Duration = Duration::from_secs(60);
/// How long an answer may take to be written once the connection is to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the end of one request to the end of the next one's head.
    pub head: Duration,
    /// For the next piece of a request's body.
    pub body: Duration,
    /// For the first job of a new worker.
    pub first_job: Duration,
    /// Until a long poll is answered though there is nothing new.
    pub long_poll: Duration,
    /// While nothing of an answer is read.
    pub stalled: Duration,
    /// For all requests of a connection. It bounds how long an answer may take to be read.
    pub connection: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            head: seconds(60),
            body: seconds(30),
            first_job: seconds(10),
            long_poll: seconds(60),
            stalled: seconds(60),
            connection: seconds(600),
        }
    }
}

/// The server, before it runs.
#[derive(Clone)]
pub struct Server {
    /// What it has in common with Stratum v1.
    pub config: Arc<SessionConfig>,
    /// Whose miners it serves: each worker is one. What is handed in is judged even while it is closed.
    pub house: House,
    /// Time limits.
    pub limits: Limits,
}

/// A listener for [`Server::run`]. Must be called within a tokio runtime.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    bind_for(address, "--legacy")
}

/// Lets connections in, or not.
#[derive(Clone)]
struct Door {
    service: Arc<Service>,
    limits: Limits,
    seats: Seats,
    connections: TaskTracker,
    shutdown: CancellationToken,
}

impl Server {
    /// Serves miners until `shutdown`, and returns when every connection has ended and all that was found is passed on.
    pub async fn run(self, listeners: Vec<TcpListener>, shutdown: CancellationToken) {
        let (accepting, submissions) = (TaskTracker::new(), TaskTracker::new());
        let service = Arc::new(Service::new(&self, submissions.clone(), shutdown.clone()));
        let connections = TaskTracker::new();
        let door = Door {
            service: Arc::clone(&service),
            limits: self.limits,
            seats: Seats::new(MAX_CONNECTIONS),
            connections: connections.clone(),
            shutdown: shutdown.clone(),
        };
        for listener in listeners {
            say_url(&listener);
            let door = door.clone();
            let reception = Reception {
                protocol: Protocol::Legacy,
                admit: move |guest| door.admit(guest),
                patience: self.limits.head,
                connections: connections.clone(),
                shutdown: shutdown.clone(),
            };
            accepting.spawn(self.house.gate.clone().keep(listener, reception));
        }
        let mut tick = interval(TICK);
        while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            service.on_tick();
        }
        for tasks in [accepting, connections, submissions] {
            tasks.close();
            tasks.wait().await;
        }
    }
}

impl Door {
    fn admit(&self, guest: Guest) {
        match self.seats.take(&guest.visitor) {
            Ok(seat) => drop(self.connections.spawn(self.clone().serve(guest, seat))),
            Err(none) => none.log(guest.visitor.remote),
        }
    }

    async fn serve(self, Guest { stream, visitor, said }: Guest, seat: Seat) {
        let (read, write) = stream.into_split();
        let write = Impatient::new(write, self.limits.stalled);
        let stream = join(Cursor::new(said).chain(read), write);
        let caller = Caller { visitor, seat: Arc::new(seat) };
        let service = service_fn(|request| {
            let (service, caller) = (Arc::clone(&self.service), caller.clone());
            async move { Ok::<_, Infallible>(service.answer(caller, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(MAX_HEAD)
            // As the miners' authors saw them.
            .title_case_headers(true)
            // Else a request whose hang-up comes with it is dropped unheard.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let patience = tokio::select! {
            // What has come in before the end is heard.
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(remote = %visitor.remote, %error, "connection ended");
                }
                return;
            }
            () = self.shutdown.cancelled() => FAREWELL,
            // A long poll may have begun just now.
            () = sleep(self.limits.connection) => self.limits.long_poll + FAREWELL,
        };
        connection.as_mut().graceful_shutdown();
        let _ = timeout(patience, connection).await;
    }
}

/// Tells what to type into a miner.
fn say_url(listener: &TcpListener) {
    let Ok(address) = listener.local_addr() else { return };
    match device_host(address) {
        Some((host, Reach::ThisMachine)) => {
            info!("getwork and getblocktemplate at http://{host}, for miners on this machine");
        }
        Some((host, Reach::Network)) => {
            info!("getwork and getblocktemplate at http://{host}: type this into miners");
        }
        None => info!("getwork and getblocktemplate on {address}"),
    }
}
