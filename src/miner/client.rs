//! The miner's side of the conversation: log in, pass on jobs, submit solutions, come back when the line breaks.

use super::job::{Job, Subscription, hex};
use super::slot::Slot;
use super::worker::Solution;
use super::{Counters, MinerConfig, MinerError};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

const CONNECT_TIME: Duration = Duration::from_secs(10);
/// A server that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(120);
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// Most bytes of a line: a coinbase of 20,000 bytes in digits, and some.
const MOST_LINE: usize = 128 * 1024;
/// Submits without an answer at which no more are sent. They fit in any socket's buffers, so neither side can wait
/// for the other to read.
const MOST_UNANSWERED: usize = 256;

const CONFIGURE: u64 = 1;
const SUBSCRIBE: u64 = 2;
const AUTHORIZE: u64 = 3;
const FIRST_SUBMIT: u64 = 10;

/// Keeps a conversation going.
pub(super) struct Client {
    pub(super) config: MinerConfig,
    pub(super) counters: Arc<Counters>,
    pub(super) slot: Arc<Slot>,
    pub(super) stop: CancellationToken,
}

/// Why a conversation ended.
#[derive(Debug, Error)]
enum End {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("no connection within 10 s")]
    NoConnection,
    #[error("the server hung up")]
    HungUp,
    #[error("the server said nothing for 2 minutes")]
    Silent,
    #[error("the server does not speak Stratum: {0}")]
    Nonsense(&'static str),
    #[error("user name refused: {0}")]
    Refused(String),
}

/// What has been said so far on one connection.
struct Talk<'c> {
    client: &'c Client,
    mask: u32,
    /// The extranonce, once subscribed.
    extranonce: Option<(Vec<u8>, usize)>,
    difficulty: f64,
    next_id: u64,
    unanswered: VecDeque<u64>,
}

impl Client {
    /// Runs until stopped; ends by itself only when the server refuses the user.
    pub(super) async fn run(self, mut solutions: mpsc::Receiver<Solution>) -> Result<(), MinerError> {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let end = tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                end = self.converse(&mut solutions) => end,
            };
            self.slot.put(None);
            let logged_in = self.counters.connected.swap(false, Ordering::Relaxed);
            let server = self.config.server.clone();
            if let End::Refused(reason) = end {
                return Err(MinerError::Refused { server, user: self.config.user.clone(), reason });
            }
            backoff = if logged_in { FIRST_BACKOFF } else { (backoff * 2).min(LONGEST_BACKOFF) };
            warn!(%server, error = %end, "miner without a server; trying again in {backoff:?}");
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                () = sleep(backoff) => {}
            }
        }
    }

    async fn converse(&self, solutions: &mut mpsc::Receiver<Solution>) -> End {
        let connecting = timeout(CONNECT_TIME, TcpStream::connect(&self.config.server)).await;
        let mut stream = match connecting {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return End::Socket(error),
            Err(_) => return End::NoConnection,
        };
        let talk = Talk {
            client: self,
            mask: 0,
            extranonce: None,
            difficulty: 1.0,
            next_id: FIRST_SUBMIT,
            unanswered: VecDeque::new(),
        };
        match talk.run(&mut stream, solutions).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }
}

impl Talk<'_> {
    async fn run(
        mut self,
        stream: &mut TcpStream,
        solutions: &mut mpsc::Receiver<Solution>,
    ) -> Result<std::convert::Infallible, End> {
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.split();
        let (mut read, mut line) = (BufReader::new(read), Vec::new());
        write.write_all(self.login().as_bytes()).await?;
        let mut report = interval(REPORT_EVERY);
        report.tick().await;
        let mut reported = (Instant::now(), self.client.counters.hashes.load(Ordering::Relaxed));
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                whole = read_line(&mut read, &mut line) => if whole? {
                    heard = Instant::now();
                    self.on_line(&std::mem::take(&mut line))?;
                },
                Some(solution) = solutions.recv(), if self.unanswered.len() < MOST_UNANSWERED => {
                    let line = self.submit(&solution);
                    write.write_all(line.as_bytes()).await?;
                }
                _ = report.tick() => {
                    if heard.elapsed() > SILENCE {
                        return Err(End::Silent);
                    }
                    if self.unanswered.len() >= MOST_UNANSWERED {
                        return Err(End::Nonsense("it does not answer submits"));
                    }
                    reported = self.report(reported);
                }
            }
        }
    }

    /// Everything up to the login, in one go as some devices do.
    fn login(&self) -> String {
        let config = &self.client.config;
        let mut requests = Vec::new();
        if config.version_rolling {
            let params = json!([["version-rolling"], { "version-rolling.mask": "ffffffff" }]);
            requests.push(json!({ "id": CONFIGURE, "method": "mining.configure", "params": params }));
        }
        let agent = concat!("commonwork/", env!("CARGO_PKG_VERSION"));
        requests.push(json!({ "id": SUBSCRIBE, "method": "mining.subscribe", "params": [agent] }));
        let user = [&config.user, &config.password];
        requests.push(json!({ "id": AUTHORIZE, "method": "mining.authorize", "params": user }));
        requests.iter().map(|request| format!("{request}\n")).collect()
    }

    fn submit(&mut self, solution: &Solution) -> String {
        let id = self.next_id;
        self.next_id += 1;
        self.unanswered.push_back(id);
        let Solution { job, extranonce2, version_bits, nonce } = solution;
        let (time, nonce) = (format!("{:08x}", job.time), format!("{nonce:08x}"));
        let mut params = vec![&self.client.config.user, &job.id, extranonce2, &time, &nonce];
        let bits = format!("{version_bits:08x}");
        if self.mask != 0 {
            params.push(&bits);
        }
        format!("{}\n", json!({ "id": id, "method": "mining.submit", "params": params }))
    }

    fn on_line(&mut self, line: &[u8]) -> Result<(), End> {
        let message: Value = serde_json::from_slice(line).map_err(|_| End::Nonsense("a line is not JSON"))?;
        let params = &message["params"];
        match message["method"].as_str() {
            Some("mining.notify") => self.on_notify(params),
            Some("mining.set_difficulty") => {
                let difficulty = params[0].as_f64().filter(|difficulty| *difficulty > 0.0);
                self.difficulty = difficulty.ok_or(End::Nonsense("a difficulty is not a number above 0"))?;
                Ok(())
            }
            Some(other) => {
                debug!(method = other, "the server said something that this miner has no use for");
                Ok(())
            }
            None => self.on_answer(&message),
        }
    }

    fn on_notify(&self, params: &Value) -> Result<(), End> {
        let (extranonce1, extranonce2_size) = self
            .extranonce
            .clone()
            .ok_or(End::Nonsense("a job came before the answer to mining.subscribe"))?;
        let subscription =
            Subscription { extranonce1, extranonce2_size, mask: self.mask, difficulty: self.difficulty };
        match Job::read(params, &subscription) {
            Ok(job) => self.client.slot.put(Some(Arc::new(job))),
            Err(error) => warn!(%error, "a job is passed over"),
        }
        Ok(())
    }

    fn on_answer(&mut self, message: &Value) -> Result<(), End> {
        let (result, counters) = (&message["result"], &self.client.counters);
        match message["id"].as_u64() {
            Some(CONFIGURE) => {
                let mask =
                    result["version-rolling.mask"].as_str().filter(|_| result["version-rolling"] == true);
                self.mask = mask.and_then(|mask| u32::from_str_radix(mask, 16).ok()).unwrap_or(0);
            }
            Some(SUBSCRIBE) => {
                let extranonce1 = result[1].as_str().and_then(hex).filter(|bytes| bytes.len() <= 32);
                let size =
                    result[2].as_u64().and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= 32);
                self.extranonce = extranonce1.zip(size);
                if self.extranonce.is_none() {
                    return Err(End::Nonsense("the answer to mining.subscribe has no extranonce"));
                }
            }
            Some(AUTHORIZE) if *result == true => {
                counters.connected.store(true, Ordering::Relaxed);
                info!(server = %self.client.config.server, user = %self.client.config.user, "miner logged in");
            }
            Some(AUTHORIZE) => return Err(End::Refused(reason(message))),
            Some(id @ FIRST_SUBMIT..) => {
                let Some(at) = self.unanswered.iter().position(|sent| *sent == id) else { return Ok(()) };
                self.unanswered.remove(at);
                let accepted = *result == true;
                if !accepted {
                    debug!(reason = reason(message), "share refused");
                }
                let counter = if accepted { &counters.accepted } else { &counters.rejected };
                counter.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        Ok(())
    }

    /// Says how it is going, and remembers when it did.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    fn report(&self, (since, hashes): (Instant, u64)) -> (Instant, u64) {
        let counters = &self.client.counters;
        let (now, total) = (Instant::now(), counters.hashes.load(Ordering::Relaxed));
        let rate = total.saturating_sub(hashes) as f64 / now.duration_since(since).as_secs_f64().max(1e-9);
        let accepted = counters.accepted.load(Ordering::Relaxed);
        let rejected = counters.rejected.load(Ordering::Relaxed);
        let user = &self.client.config.user;
        info!(%user, accepted, rejected, "mining at {:.2} MH/s", rate / 1e6);
        (now, total)
    }
}

fn reason(message: &Value) -> String {
    let error = &message["error"];
    let text = error[1].as_str().map_or_else(|| error.to_string(), str::to_owned);
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Reads on until the line is whole. Whoever stops waiting loses nothing: what has come is in `line`.
async fn read_line(read: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> Result<bool, End> {
    let received = read.fill_buf().await?;
    if received.is_empty() {
        return Err(End::HungUp);
    }
    let end = received.iter().position(|&byte| byte == b'\n');
    let taken = end.map_or(received.len(), |end| end + 1);
    line.extend_from_slice(&received[..taken]);
    read.consume(taken);
    if line.len() > MOST_LINE {
        return Err(End::Nonsense("a line has no end"));
    }
    Ok(end.is_some())
}
