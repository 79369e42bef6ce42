//! Found blocks on their way to every bitcoind: at once, in order, again and again until each has answered.
//!
//! A found block is worth more than everything else here, so a submission never waits for anybody, and what a bitcoind
//! that is away missed is brought to it when it comes back. What is kept is bounded in number and in time.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use bitcoin::BlockHash;
use sharechain::units::BitcoinHeight;
use tokio::{
    runtime::Handle,
    sync::{Notify, broadcast, mpsc},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Backend, BackendError, Verdict, client::Timings};

/// Blocks that one bitcoind may have missed; beyond it the oldest is given up.
const MAX_WAITING: usize = 256;
/// Blocks on the way to the task of one bitcoind, which takes them at once.
const MAX_ARRIVING: usize = 64;
/// The answer to a block whose parent the bitcoind has not seen yet (Bitcoin Core's word).
const PARENT_UNKNOWN: &str = "prev-blk-not-found";

/// A block that meets the network target.
#[derive(Clone, PartialEq, Eq)]
pub struct FoundBlock {
    /// Hash of its header.
    pub hash: BlockHash,
    /// Its height.
    pub height: BitcoinHeight,
    /// The whole block in consensus encoding.
    pub bytes: Vec<u8>,
    /// Whether this node's own miners found it.
    pub own: bool,
}

/// What one bitcoind said of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockOutcome {
    /// Hash of the block.
    pub hash: BlockHash,
    /// Its height.
    pub height: BitcoinHeight,
    /// Which bitcoind.
    pub backend: String,
    /// What it said.
    pub outcome: Outcome,
}

/// The end of a submission to one bitcoind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Answered(Verdict),
    /// It did not answer while it was asked.
    GaveUp {
        /// What was wrong at last.
        reason: String,
    },
}

impl Outcome {
    /// Whether the bitcoind has the block now.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Answered(Verdict::Accepted { .. }))
    }
}

/// Takes found blocks from anywhere, threads outside the runtime included. Clones are the same.
#[derive(Clone)]
pub struct BlockSubmitter {
    doors: Arc<[mpsc::Sender<Arc<FoundBlock>>]>,
    submitted: broadcast::Sender<Arc<FoundBlock>>,
    runtime: Handle,
}

impl BlockSubmitter {
    /// Sends the block to every bitcoind. Returns at once; what becomes of it is told as [`BlockOutcome`]s.
    pub fn submit(&self, block: FoundBlock) {
        info!(hash = %block.hash, height = block.height.0, bytes = block.bytes.len(), "submitting a block");
        let block = Arc::new(block);
        // An error means that nobody listens.
        let _ = self.submitted.send(Arc::clone(&block));
        for door in self.doors.iter() {
            match door.try_send(Arc::clone(&block)) {
                Ok(()) => {}
                // The task behind the door takes blocks whatever else it does, so this waits for milliseconds.
                Err(mpsc::error::TrySendError::Full(block)) => {
                    let door = door.clone();
                    self.runtime.spawn(async move {
                        if let Err(lost) = door.send(block).await {
                            error!(hash = %lost.0.hash, "a block was found after the end");
                        }
                    });
                }
                Err(mpsc::error::TrySendError::Closed(block)) => {
                    error!(hash = %block.hash, "a block was found after the end");
                }
            }
        }
    }
}

impl BlockSubmitter {
    /// The blocks that are submitted from now on, whoever found them.
    pub fn submitted(&self) -> broadcast::Receiver<Arc<FoundBlock>> {
        self.submitted.subscribe()
    }
}

/// The task that brings blocks to one bitcoind.
pub(super) struct Courier {
    backend: Arc<dyn Backend>,
    timings: Timings,
    outcomes: broadcast::Sender<BlockOutcome>,
    /// Told when the bitcoind gives templates again, or on another tip.
    stirred: Arc<Notify>,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    block: Arc<FoundBlock>,
    give_up: Instant,
    not_before: Instant,
    pause: Duration,
}

/// A submission under way; dropped only at the very end.
struct Attempt {
    block: Arc<FoundBlock>,
    answer: Pin<Box<dyn Future<Output = Attempted> + Send>>,
}

type Attempted = (Waiting, Result<Verdict, BackendError>);

/// A submitter for couriers that are still to be started, one for each back end, in the same order.
pub(super) fn doors(backends: usize) -> (BlockSubmitter, Vec<mpsc::Receiver<Arc<FoundBlock>>>) {
    let (doors, arrivals): (Vec<_>, Vec<_>) = (0..backends).map(|_| mpsc::channel(MAX_ARRIVING)).unzip();
    let submitted = broadcast::Sender::new(MAX_ARRIVING);
    (BlockSubmitter { doors: doors.into(), submitted, runtime: Handle::current() }, arrivals)
}

impl Courier {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        timings: Timings,
        outcomes: broadcast::Sender<BlockOutcome>,
        stirred: Arc<Notify>,
    ) -> Self {
        Self { backend, timings, outcomes, stirred, waiting: VecDeque::new() }
    }

    pub(super) async fn run(
        mut self,
        mut arrivals: mpsc::Receiver<Arc<FoundBlock>>,
        cancel: CancellationToken,
    ) {
        let mut attempt: Option<Attempt> = None;
        let mut open = true;
        loop {
            if attempt.is_none() {
                attempt = self.next_attempt(Instant::now());
            }
            let next = self.waiting.iter().map(|waiting| waiting.not_before).min();
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                arrived = arrivals.recv(), if open => match arrived {
                    Some(block) => self.take_in(block),
                    None => open = false,
                },
                (waiting, result) = ended(&mut attempt) => {
                    attempt = None;
                    self.settle(waiting, result);
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if attempt.is_none() && next.is_some() => {}
                () = self.stirred.notified() => self.hurry(),
            }
        }
        arrivals.close();
        while let Some(block) = arrivals.recv().await {
            self.take_in(block);
        }
        self.say_farewell(attempt).await;
    }

    /// One last try for what is left, within a bounded time.
    async fn say_farewell(mut self, mut attempt: Option<Attempt>) {
        let end = Instant::now() + self.timings.farewell;
        let mut left: VecDeque<Waiting> = std::mem::take(&mut self.waiting);
        loop {
            if attempt.is_none() {
                attempt = left.pop_front().map(|waiting| self.attempt(waiting));
            }
            if attempt.is_none() {
                break;
            }
            let Ok((waiting, result)) = timeout_at(end, ended(&mut attempt)).await else { break };
            attempt = None;
            self.settle(waiting, result);
        }
        let in_line = std::mem::take(&mut self.waiting).into_iter().chain(left).map(|waiting| waiting.block);
        for block in attempt.map(|attempt| attempt.block).into_iter().chain(in_line) {
            self.give_up(&block, "the node was stopped".into());
        }
    }

    fn take_in(&mut self, block: Arc<FoundBlock>) {
        if self.waiting.len() >= MAX_WAITING
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.give_up(&oldest.block, format!("more than {MAX_WAITING} blocks wait for it"));
        }
        let now = Instant::now();
        let (give_up, pause) = (now + self.timings.submit_for, self.timings.submit_retry_first);
        self.waiting.push_back(Waiting { block, give_up, not_before: now, pause });
    }

    /// The first in line that may be tried now; older blocks come first, for they are the parents.
    fn next_attempt(&mut self, now: Instant) -> Option<Attempt> {
        let due = self.waiting.iter().position(|waiting| waiting.not_before <= now)?;
        self.waiting.remove(due).map(|waiting| self.attempt(waiting))
    }

    fn attempt(&self, waiting: Waiting) -> Attempt {
        let backend = Arc::clone(&self.backend);
        let block = Arc::clone(&waiting.block);
        let answer = Box::pin(async move {
            let result = backend.submit_block(&waiting.block.bytes).await;
            (waiting, result)
        });
        Attempt { block, answer }
    }

    fn hurry(&mut self) {
        let now = Instant::now();
        for waiting in &mut self.waiting {
            waiting.not_before = now;
            waiting.pause = self.timings.submit_retry_first;
        }
    }

    fn settle(&mut self, mut waiting: Waiting, result: Result<Verdict, BackendError>) {
        let reason = match result {
            Ok(Verdict::Rejected { reason }) if reason == PARENT_UNKNOWN => reason,
            Ok(verdict) => return self.report(&waiting.block, Outcome::Answered(verdict)),
            Err(BackendError::Rpc { code, message, .. }) => {
                let reason = format!("error {code}: {message}");
                return self.report(&waiting.block, Outcome::Answered(Verdict::Rejected { reason }));
            }
            Err(error) => error.to_string(),
        };
        let now = Instant::now();
        if now >= waiting.give_up {
            return self.give_up(&waiting.block, reason);
        }
        if waiting.pause == self.timings.submit_retry_first {
            warn!(hash = %waiting.block.hash, reason, "a block will be submitted again");
        }
        waiting.not_before = now + waiting.pause;
        waiting.pause = (waiting.pause * 2).min(self.timings.submit_retry_most);
        // Back to its place: what is older than all others stays first.
        let place = self.waiting.partition_point(|other| other.give_up < waiting.give_up);
        self.waiting.insert(place, waiting);
    }

    fn give_up(&self, block: &FoundBlock, reason: String) {
        self.report(block, Outcome::GaveUp { reason });
    }

    fn report(&self, block: &FoundBlock, outcome: Outcome) {
        let (hash, height, backend) = (block.hash, block.height, self.backend.name().to_owned());
        match &outcome {
            Outcome::Answered(Verdict::Accepted { note }) => {
                info!(%hash, height = height.0, backend, note = note.as_deref(), "block accepted");
            }
            Outcome::Answered(Verdict::Rejected { reason }) => {
                error!(%hash, height = height.0, backend, reason, "block rejected");
            }
            Outcome::GaveUp { reason } => {
                error!(%hash, height = height.0, backend, reason, "block never taken");
            }
        }
        // Nobody may be listening.
        let _ = self.outcomes.send(BlockOutcome { hash, height, backend, outcome });
    }
}

/// Waits for the attempt to end, for ever if there is none.
async fn ended(attempt: &mut Option<Attempt>) -> Attempted {
    match attempt {
        Some(attempt) => attempt.answer.as_mut().await,
        None => std::future::pending().await,
    }
}
