//! The share chain as the node runs it: one writer thread owns it, everybody else sends messages or reads snapshots.
//!
//! The thread is the only place where a share becomes part of the chain: receive, judge, save, apply, publish. It
//! never waits for anything but the disk. Reading order: this file (what others use), [`open`] (from the store to a
//! running writer), `writer` (the thread) around [`keeper`] (what it does), [`read`] (questions that need bodies).

pub mod keeper;
pub mod open;
pub mod read;
mod writer;

pub use keeper::Keeper;
pub use read::Reader;
pub use sharechain::store::Bodies;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use sharechain::chain::{
    BlockSummary, Draft, DraftError, GraftClaim, GraftError, LockedIn, NotAdopted, Reorganisation,
    Submission, TooDeep,
};
use sharechain::error::Refusal;
use sharechain::pool::Source;
use sharechain::share::{Share, ShareHeader, ShareId};
use sharechain::store::Solution;
use sharechain::target::Target;
use sharechain::units::{Height, Score, UnixTime};
use sharechain::verify::VerifiedShare;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Messages that may wait for the writer: some seconds of a busy pool.
pub const QUEUE: usize = 4_096;
/// Events that a slow listener may be behind before it misses some.
pub const EVENTS: usize = 8_192;

/// The source of everything that this node's own miners find.
pub const OWN_MINERS: Source = Source(0);

/// The clock of this machine, where the chain needs one.
pub fn now() -> UnixTime {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UnixTime(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// Where the chain stands; published whenever it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainState {
    /// The tip, or the chain id.
    pub tip: ShareId,
    /// Its height.
    pub height: Height,
    /// Counts the shares that came in since the start, so that new ones are noticed.
    pub shares: u64,
    /// The easiest share target that a share of others may have, if this is level with their chains.
    pub easiest_share: Option<Target>,
}

impl ChainState {
    /// Whether a share's target is near enough to the tip's, so that looking at its proof of work is worth it. It is
    /// nobody's fault if not: another node may have another tip.
    pub fn fits_tip(&self, share: &Share) -> bool {
        sharechain::chain::fits(self.easiest_share, share)
    }
}

/// Something that happened in the chain.
#[derive(Clone, Debug)]
pub enum ChainEvent {
    /// A share went into the pool.
    Share {
        /// The share.
        share: Arc<VerifiedShare>,
        /// Who sent it.
        source: Source,
    },
    /// A share block was saved.
    Block {
        /// What it leaves behind.
        block: Arc<BlockSummary>,
        /// Whether it is the tip.
        is_tip: bool,
        /// Who sent it.
        source: Source,
        /// Whether it answered a question of this node's own sync.
        wanted: bool,
    },
    /// The active branch changed.
    Reorganised(Reorganisation),
    /// A branch with more work begins too deep to be followed without people.
    TooDeep(TooDeep),
    /// Signal bits locked in at the tip.
    LockedIn(LockedIn),
    /// A chain fetched from its middle took the place of the chain.
    Adopted {
        /// The tip that was left, or the chain id.
        from: ShareId,
        /// The new tip.
        tip: ShareId,
        /// Its height.
        height: Height,
    },
    /// The best Bitcoin chain that is known ends with another block.
    BitcoinTip(BlockHash),
    /// Something waits for a Bitcoin header; the Bitcoin side should find it.
    HeaderWanted(BlockHash),
}

/// What taking a submission did.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// The share's score, when it is new and will be credited.
    pub share: Option<Score>,
    /// The height of the share block that it became.
    pub block: Option<Height>,
    /// Why it did not become one, when it was offered as one.
    pub not_a_block: Option<Refusal>,
}

/// The writer has ended, so the chain gives no answer: the node is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the share chain has stopped")]
pub struct Stopped;

/// The way to the writer. Clones share it.
#[derive(Clone, Debug)]
pub struct ChainHandle {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<ChainState>,
    events: broadcast::Sender<ChainEvent>,
    bodies: Bodies,
}

type ReadFn = Box<dyn FnOnce(&mut Reader<'_>) + Send>;

pub(super) enum Command {
    /// The verdict is told after the checks, before the disk.
    Submit {
        submission: Box<Submission>,
        verdict: Option<oneshot::Sender<Result<Taken, Refusal>>>,
    },
    Extend {
        blocks: Vec<Submission>,
        reply: oneshot::Sender<Extended>,
    },
    Headers {
        headers: Vec<Header>,
        reply: oneshot::Sender<HeadersTaken>,
    },
    Draft {
        header: ShareHeader,
        reply: oneshot::Sender<Result<Draft, DraftError>>,
    },
    Solution(Box<Solution>),
    Read(ReadFn),
    BeginGraft {
        claim: GraftClaim,
        reply: oneshot::Sender<Result<(), GraftError>>,
    },
    DropGraft {
        reply: oneshot::Sender<()>,
    },
    Adopt {
        tip: ShareId,
        reply: oneshot::Sender<Result<(), NotAdopted>>,
    },
    Tick,
    Stop,
}

/// What became of consecutive blocks.
#[derive(Clone, Debug, Default)]
pub struct Extended {
    /// How many are here now, from the first on.
    pub taken: usize,
    /// Why the next one was refused.
    pub refused: Option<Refusal>,
}

/// What became of Bitcoin headers.
#[derive(Clone, Debug, Default)]
pub struct HeadersTaken {
    /// How many are known now, from the first on.
    pub known: usize,
    /// Why the next one was refused.
    pub refused: Option<sharechain::bitcoin_headers::HeaderError>,
}

impl ChainHandle {
    /// Hands in a submission and waits for its verdict: it comes after the checks, before the disk.
    pub async fn judge(&self, submission: Submission) -> Result<Result<Taken, Refusal>, Stopped> {
        let submission = Box::new(submission);
        self.ask(|verdict| Command::Submit { submission, verdict: Some(verdict) }).await
    }

    /// Hands in a submission; waits for room in the queue, not for what becomes of it.
    pub async fn offer(&self, submission: Submission) -> Result<(), Stopped> {
        let command = Command::Submit { submission: Box::new(submission), verdict: None };
        self.commands.send(command).await.map_err(|_| Stopped)
    }

    /// Hands in consecutive blocks of a sync, up to the first refusal other than [`Refusal::Known`]. The writer does
    /// nothing else meanwhile, so there should not be many. They may be flushed to the disk later, together with others.
    pub async fn extend(&self, blocks: Vec<Submission>) -> Result<Extended, Stopped> {
        self.ask(|reply| Command::Extend { blocks, reply }).await
    }

    /// Makes Bitcoin headers known, parents before children.
    pub async fn add_headers(&self, headers: Vec<Header>) -> Result<HeadersTaken, Stopped> {
        self.ask(|reply| Command::Headers { headers, reply }).await
    }

    /// What jobs on the tip must say, for a template with this header.
    pub async fn draft(&self, header: ShareHeader) -> Result<Result<Draft, DraftError>, Stopped> {
        self.ask(|reply| Command::Draft { header, reply }).await
    }

    /// Asks the chain and its bodies. The question runs on the writer thread, so it must be short.
    pub async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Reader<'_>) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        self.ask(|reply| {
            Command::Read(Box::new(move |reader| {
                // Whoever asked may have gone; then nobody wants the answer.
                let _ = reply.send(question(reader));
            }))
        })
        .await
    }

    /// Keeps a found Bitcoin block for ever.
    pub async fn keep_solution(&self, solution: Solution) -> Result<(), Stopped> {
        let command = Command::Solution(Box::new(solution));
        self.commands.send(command).await.map_err(|_| Stopped)
    }

    /// A reader of block bodies that does not ask the writer. It blocks for a read.
    pub fn bodies(&self) -> Bodies {
        self.bodies.clone()
    }

    /// Begins to take a chain from the middle, or goes on with it.
    pub async fn begin_graft(&self, claim: GraftClaim) -> Result<Result<(), GraftError>, Stopped> {
        self.ask(|reply| Command::BeginGraft { claim, reply }).await
    }

    /// Gives up the chain that is being taken from the middle, if there is one.
    pub async fn drop_graft(&self) -> Result<(), Stopped> {
        self.ask(|reply| Command::DropGraft { reply }).await
    }

    /// Follows the chain from the middle that ends with `tip`, if it is better and was checked.
    pub async fn adopt(&self, tip: ShareId) -> Result<Result<(), NotAdopted>, Stopped> {
        self.ask(|reply| Command::Adopt { tip, reply }).await
    }

    /// Where the chain stands, now and whenever it changes.
    pub fn state(&self) -> watch::Receiver<ChainState> {
        self.state.clone()
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<ChainEvent> {
        self.events.subscribe()
    }

    /// Lets what waits for a time be judged again.
    pub async fn tick(&self) -> Result<(), Stopped> {
        self.commands.send(Command::Tick).await.map_err(|_| Stopped)
    }

    /// Asks the writer to save what a clean stop saves, and to end.
    pub async fn stop(&self) {
        // An error means that it has ended already.
        let _ = self.commands.send(Command::Stop).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
