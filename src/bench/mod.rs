//! A load generator for Stratum v1 servers, ours or any other: how many submits a server takes, how long each waits for
//! its answer, what that costs the server, and how its connections and jobs hold up.
//!
//! Like the miner, which it has its hashing from, it shares no code with the server. Reading order: this file (what
//! others use), `talk` (one conversation, pure), `line` (its socket), `load` (when submits are made), `tally` (what is
//! counted), `process` (what the system says of the server).

mod histogram;
mod line;
mod load;
mod process;
mod report;
mod talk;
mod tally;

pub use report::{Fanout, Latency, Memory, Report, ServerUse, Submits};

use line::{Line, Shared};
use load::Load;
use process::Process;
use report::Measured;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Connections that log in at a time: fewer than may wait at any server's port.
const AT_ONCE: usize = 512;
/// How long a connection may take until its first job.
const READY: Duration = Duration::from_secs(60);
/// Load before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long answers are waited for at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server, as `HOST:PORT`.
    pub server: String,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// Connections.
    pub connections: usize,
    /// When submits are made.
    pub pace: Pace,
    /// How long to measure.
    pub time: Duration,
    /// The server's process, if it runs on this machine.
    pub server_pid: Option<u32>,
}

/// When submits are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many without an answer on each connection at any time: as fast as the server answers.
    Closed(usize),
    /// So many a second on all connections together, whatever the server does; none at all at 0.
    Open(f64),
}

/// Why there is nothing to report.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The name of the server leads nowhere.
    #[error("{server} cannot be looked up: {error}")]
    Server {
        /// The server.
        server: String,
        /// What is wrong with it.
        error: io::Error,
    },
    /// Not one connection got a job.
    #[error("not one connection to {server} got a job: {reason}")]
    NoneReady {
        /// The server.
        server: String,
        /// What most connections met with.
        reason: String,
    },
    /// The server's process cannot be looked at.
    #[error(
        "nothing is known of process {0}. Give the number of a process of yours on this machine, which must run Linux"
    )]
    NoProcess(u32),
    /// The system gave no thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// Connects, loads the server, and tells how it did. None when stopped before it was done.
pub async fn run(settings: &Settings, stop: &CancellationToken) -> Result<Option<Report>, BenchError> {
    stop.run_until_cancelled(measure(settings)).await.transpose()
}

async fn measure(settings: &Settings) -> Result<Report, BenchError> {
    let server = settings.server.clone();
    let address =
        lookup_host(&server).await.and_then(|mut found| found.next().ok_or(io::ErrorKind::NotFound.into()));
    let address = address.map_err(|error| BenchError::Server { server, error })?;
    let process = settings.server_pid.map(Process::of);
    if let Some((process, pid)) = process.as_ref().zip(settings.server_pid)
        && process.usage().is_none()
    {
        return Err(BenchError::NoProcess(pid));
    }
    let shared = Arc::new(Shared::new(settings.pace));
    let _closes = shared.closing.clone().drop_guard();
    let began = Instant::now();
    let lines = connect(settings, address, &shared).await;
    let ready_in = shared.tally.counts().last_ready.map(|at| at.saturating_duration_since(began));
    let Some(ready_in) = ready_in else {
        let reason = shared.tally.counts().commonest_end();
        return Err(BenchError::NoneReady { server: settings.server.clone(), reason });
    };
    let ready = shared.tally.counts().ready;
    let load = Load::start(&lines, &shared).map_err(BenchError::Thread)?;
    if settings.pace != Pace::Open(0.0) {
        sleep(WARM_UP).await;
    }
    let measured = Measured::take(&shared, process.as_ref(), settings.time).await;
    drop(load);
    let _ = timeout(LAST_ANSWERS, all_answered(&lines)).await;
    Ok(Report::new(settings, ready, ready_in, measured, &shared.tally.counts()))
}

/// Connects all and waits until each has a job or has failed.
async fn connect(settings: &Settings, address: SocketAddr, shared: &Arc<Shared>) -> Vec<Arc<Line>> {
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut connecting = JoinSet::new();
    for _ in 0..settings.connections {
        let (gate, shared, settings) = (Arc::clone(&gate), Arc::clone(shared), settings.clone());
        connecting.spawn(async move {
            let _place = gate.acquire().await;
            match timeout(READY, log_in(&settings, address, &shared)).await {
                Ok(Ok(line)) => return Some(line),
                Ok(Err(error)) => shared.tally.counts().failed(error.to_string()),
                Err(_) => shared.tally.counts().failed("no connection within a minute".into()),
            }
            None
        });
    }
    connecting.join_all().await.into_iter().flatten().collect()
}

/// A connection that has its first job, or that has ended.
async fn log_in(settings: &Settings, address: SocketAddr, shared: &Arc<Shared>) -> io::Result<Arc<Line>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let line = Arc::new(Line::new(stream, settings.user.clone()));
    line.log_in(&settings.password);
    tokio::spawn(Arc::clone(&line).read(Arc::clone(shared)));
    line.began().await;
    Ok(line)
}

async fn all_answered(lines: &[Arc<Line>]) {
    while lines.iter().any(|line| line.is_waiting()) {
        sleep(Duration::from_millis(5)).await;
    }
}
