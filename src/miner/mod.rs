//! A small CPU miner that speaks Stratum v1: for trying out, for the demo and for tests.
//!
//! It shares no code with the server, its byte orders least of all, so that each is a check on the other.
//! Reading order: this file (what others use), `job` (from a `mining.notify` to headers), `hash` (the search),
//! `worker` (the threads), `client` (the conversation).

mod client;
pub(crate) mod hash;
pub(crate) mod job;
mod slot;
mod worker;

pub use hash::search_rate;

use client::Client;
use slot::Slot;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Solutions that may wait to be sent; threads that find more wait.
const MOST_UNSENT: usize = 16;

/// How to mine.
#[derive(Clone, Debug)]
pub struct MinerConfig {
    /// The server, as `HOST:PORT`.
    pub server: String,
    /// User name: `ADDRESS.worker`.
    pub user: String,
    /// Password; most servers ignore it.
    pub password: String,
    /// Threads that hash, at least one.
    pub threads: usize,
    /// The part of the time that each thread hashes, above 0 and at most 1; it sleeps the rest.
    pub duty: f64,
    /// Most shares that each thread submits in a second. Where every second hash is a share, as on regtest, a miner
    /// without a limit does nothing but talk.
    pub shares_per_second: f64,
    /// Whether to ask for version bits to roll.
    pub version_rolling: bool,
}

impl MinerConfig {
    /// One thread, all of the time.
    pub fn new(server: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            user: user.into(),
            password: "x".into(),
            threads: 1,
            duty: 1.0,
            shares_per_second: 100.0,
            version_rolling: true,
        }
    }
}

/// Why a miner ended by itself.
#[derive(Debug, Error)]
pub enum MinerError {
    /// The server does not want this user.
    #[error("{server} refused the user name {user:?}: {reason}")]
    Refused {
        /// The server.
        server: String,
        /// The user name.
        user: String,
        /// What it said.
        reason: String,
    },
    /// The system gave no thread.
    #[error("cannot start a thread to hash with: {0}. Use fewer with --threads")]
    Thread(#[from] io::Error),
}

/// What a miner has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MinerReport {
    /// Headers hashed.
    pub hashes: u64,
    /// Shares that the server accepted.
    pub accepted: u64,
    /// Shares that it refused.
    pub rejected: u64,
    /// Time since the start.
    pub elapsed: Duration,
    /// Whether it is logged in at the server.
    pub connected: bool,
}

impl MinerReport {
    /// Hashes a second, sleep included.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    pub fn hash_rate(&self) -> f64 {
        self.hashes as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// The counters that threads and client write.
#[derive(Debug, Default)]
struct Counters {
    hashes: AtomicU64,
    accepted: AtomicU64,
    rejected: AtomicU64,
    connected: AtomicBool,
}

/// A miner at work. It stops when dropped, without waiting for its threads.
#[derive(Debug)]
pub struct Miner {
    counters: Arc<Counters>,
    started: Instant,
    stop: CancellationToken,
    slot: Arc<Slot>,
    client: JoinHandle<Result<(), MinerError>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Miner {
    /// Starts threads and connects. Must be called within a tokio runtime.
    pub fn spawn(config: MinerConfig) -> Result<Self, MinerError> {
        let counters = Arc::new(Counters::default());
        let slot = Arc::new(Slot::default());
        let stop = CancellationToken::new();
        let (solutions, to_send) = mpsc::channel(MOST_UNSENT);
        let mut miner = Self {
            counters: Arc::clone(&counters),
            started: Instant::now(),
            stop: stop.clone(),
            slot: Arc::clone(&slot),
            client: tokio::spawn(async { Ok(()) }),
            threads: Vec::new(),
        };
        for number in 0..config.threads.max(1) {
            let worker = worker::Worker::new(&config, &slot, &counters, &solutions);
            let thread =
                thread::Builder::new().name(format!("miner-{number}")).spawn(move || worker.run())?;
            miner.threads.push(thread);
        }
        let client = Client { config, counters, slot, stop };
        miner.client = tokio::spawn(client.run(to_send));
        Ok(miner)
    }

    /// What it has done so far.
    pub fn report(&self) -> MinerReport {
        MinerReport {
            hashes: self.counters.hashes.load(Ordering::Relaxed),
            accepted: self.counters.accepted.load(Ordering::Relaxed),
            rejected: self.counters.rejected.load(Ordering::Relaxed),
            elapsed: self.started.elapsed(),
            connected: self.counters.connected.load(Ordering::Relaxed),
        }
    }

    /// Completes when the miner gives up by itself, which it does only when the server refuses its user.
    pub async fn ended(&mut self) -> Result<(), MinerError> {
        (&mut self.client).await.unwrap_or(Ok(()))
    }

    /// Ends it and waits for its threads.
    pub async fn stop(mut self) -> MinerReport {
        self.stop.cancel();
        self.slot.close();
        if !self.client.is_finished() {
            let _ = (&mut self.client).await;
        }
        let threads = std::mem::take(&mut self.threads);
        let joined =
            tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        let _ = joined.await;
        self.report()
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        self.stop.cancel();
        self.slot.close();
    }
}
