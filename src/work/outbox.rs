//! Where found work goes: the seam between those who serve miners and the rest of the node.

use super::job::Candidate;
use std::fmt;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Takes Bitcoin blocks.
pub trait BlockSink: Send + Sync + 'static {
    /// Takes a candidate that meets its network target, before anything else is done with it.
    ///
    /// Called in the session's task, so it must not block. A miner may submit the same block any number of times:
    /// whoever takes it makes sure that it is submitted once.
    fn bitcoin_block(&self, candidate: &Candidate);
}

/// What sessions do with what was found. Clones share it.
#[derive(Clone)]
pub struct Outbox {
    /// Takes Bitcoin blocks, at once.
    pub blocks: Arc<dyn BlockSink>,
    /// Takes candidates that meet the share or the block target, Bitcoin blocks among them.
    ///
    /// A session whose candidates do not fit keeps a few, then reads no further lines; none is dropped while the
    /// receiver lives.
    pub shares: mpsc::Sender<Candidate>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}
