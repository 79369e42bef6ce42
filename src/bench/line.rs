//! One connection: its socket and its conversation. Written to by whoever makes submits, read by a task of its own.

use super::Pace;
use super::talk::{Fault, Said, Talk};
use super::tally::{Counts, Tally};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Bytes read in one go.
const CHUNK: usize = 8 * 1024;
/// Bytes of a line without an end at which the server is given up.
const LONGEST: usize = 256 * 1024;
/// Bytes that wait to be sent at which no more submits are made: the server does not read.
const UNSENT: usize = 64 * 1024;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    /// What is counted.
    pub(super) tally: Tally,
    /// When submits are made.
    pub(super) pace: Pace,
    /// Whether they are made now.
    pub(super) loading: AtomicBool,
    /// Ends all connections.
    pub(super) closing: CancellationToken,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    state: Mutex<State>,
    /// The first job has come, or there will be none.
    began: Notify,
}

#[derive(Debug)]
struct State {
    talk: Talk,
    /// The beginning of a line.
    input: Vec<u8>,
    /// What the socket has not taken.
    output: Vec<u8>,
    ended: bool,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the server hung up")]
    HungUp,
    #[error("{0}")]
    Socket(#[from] std::io::Error),
    #[error("{0}")]
    Fault(#[from] Fault),
}

impl Shared {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            tally: Tally::default(),
            pace,
            loading: AtomicBool::new(false),
            closing: CancellationToken::new(),
        }
    }

    /// Submits that each connection is to have without an answer.
    fn outstanding(&self) -> usize {
        match self.pace {
            Pace::Closed(outstanding) if self.loading.load(Ordering::Relaxed) => outstanding,
            _ => 0,
        }
    }
}

impl Line {
    pub(super) fn new(stream: TcpStream, user: String) -> Self {
        let state = State { talk: Talk::new(user), input: Vec::new(), output: Vec::new(), ended: false };
        Self { stream, state: Mutex::new(state), began: Notify::new() }
    }

    /// Says who is there.
    pub(super) fn log_in(&self, password: &str) {
        let mut state = self.state();
        let login = state.talk.login(password);
        state.output.extend_from_slice(login.as_bytes());
        self.flush(&mut state);
    }

    /// Waits for the first job, or the end.
    pub(super) async fn began(&self) {
        self.began.notified().await;
    }

    /// Whether submits wait for answers.
    pub(super) fn is_waiting(&self) -> bool {
        let state = self.state();
        !state.ended && state.talk.open() > 0
    }

    /// Makes submits until so many have no answer.
    pub(super) fn fill(&self, outstanding: usize) {
        let mut state = self.state();
        // Whatever ends the conversation, the reading task meets with it and counts it.
        let _ = self.top_up(&mut state, outstanding);
    }

    /// Makes one submit. False when the connection takes none.
    pub(super) fn submit(&self) -> bool {
        let mut state = self.state();
        let open = state.talk.open();
        let can = !state.ended && state.talk.is_ready() && state.output.len() < UNSENT;
        can && self.top_up(&mut state, open + 1).is_ok()
    }

    fn top_up(&self, state: &mut State, outstanding: usize) -> Result<(), Fault> {
        if state.ended || !state.talk.is_ready() || state.output.len() >= UNSENT {
            return Ok(());
        }
        let now = Instant::now();
        while state.talk.open() < outstanding {
            state.talk.submit(&mut state.output, now)?;
        }
        self.flush(state);
        Ok(())
    }

    /// Writes what the socket takes; an error shows when it is read.
    fn flush(&self, state: &mut State) {
        while !state.output.is_empty() {
            match self.stream.try_write(&state.output) {
                Ok(bytes) => drop(state.output.drain(..bytes)),
                Err(_) => return,
            }
        }
    }

    /// Reads until either side ends it.
    pub(super) async fn read(self: Arc<Self>, shared: Arc<Shared>) {
        let end = tokio::select! {
            () = shared.closing.cancelled() => None,
            end = self.read_on(&shared) => Some(end),
        };
        let ready = {
            let mut state = self.state();
            state.ended = true;
            state.talk.is_ready()
        };
        if let Some(end) = end {
            let mut counts = shared.tally.counts();
            if ready { counts.dropped(end.to_string()) } else { counts.failed(end.to_string()) }
        }
        self.began.notify_one();
    }

    async fn read_on(&self, shared: &Shared) -> End {
        loop {
            let wants_to_write = !self.state().output.is_empty();
            let ready = if wants_to_write {
                tokio::select! {
                    ready = self.stream.readable() => ready,
                    ready = self.stream.writable() => ready,
                }
            } else {
                self.stream.readable().await
            };
            if let Err(end) = ready.map_err(End::from).and_then(|()| self.take(shared)) {
                return end;
            }
        }
    }

    /// Takes what has come in, and goes on.
    fn take(&self, shared: &Shared) -> Result<(), End> {
        let mut chunk = [0; CHUNK];
        loop {
            let bytes = match self.stream.try_read(&mut chunk) {
                Ok(0) => return Err(End::HungUp),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            };
            let mut state = self.state();
            self.on_bytes(&mut state, &chunk[..bytes], &shared.tally)?;
            self.top_up(&mut state, shared.outstanding())?;
            if bytes < CHUNK {
                break;
            }
        }
        let mut state = self.state();
        self.flush(&mut state);
        Ok(())
    }

    fn on_bytes(&self, state: &mut State, bytes: &[u8], tally: &Tally) -> Result<(), End> {
        let now = Instant::now();
        let mut counts = tally.counts();
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, after) = (&rest[..at], &rest[at + 1..]);
            rest = after;
            if state.input.is_empty() {
                self.on_line(&mut state.talk, line, now, &mut counts)?;
            } else {
                state.input.extend_from_slice(line);
                let line = std::mem::take(&mut state.input);
                self.on_line(&mut state.talk, &line, now, &mut counts)?;
            }
        }
        state.input.extend_from_slice(rest);
        if state.input.len() > LONGEST {
            return Err(Fault::Nonsense("a line has no end").into());
        }
        Ok(())
    }

    fn on_line(&self, talk: &mut Talk, line: &[u8], now: Instant, counts: &mut Counts) -> Result<(), End> {
        let was_ready = talk.is_ready();
        match talk.on_line(line.trim_ascii_end(), now)? {
            Said::Nothing => {}
            Said::Answer { took, refused } => counts.answered(took, refused),
            Said::Job(id) => counts.job(id, now),
        }
        if !was_ready && talk.is_ready() {
            counts.is_ready(now);
            self.began.notify_one();
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
