//! What becomes of found work: a Bitcoin block goes to the Bitcoin network, a share to the chain.
//!
//! A Bitcoin block is submitted in the session's own task, before anything else; shares go through a queue.

use super::job::Candidate;
use super::outbox::BlockSink;
use super::share_rate::ShareCount;
use crate::bitcoin::submit::BlockSubmitter;
use crate::chain::{ChainHandle, OWN_MINERS, Stopped};
use bitcoin::BlockHash;
use sharechain::chain::Submission;
use sharechain::params::{ChainId, ChainParams};
use sharechain::share::Share;
use sharechain::store::Solution;
use sharechain::verify::Bound;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{broadcast, mpsc};
use tracing::{Instrument, debug, debug_span, error, info};

/// Found Bitcoin blocks that a slow listener may be behind.
const FOUND: usize = 64;
/// Found Bitcoin blocks that are remembered, so that one which is said again is not submitted again.
const MAX_SUBMITTED: usize = 256;

/// Takes what sessions find.
pub struct Finder {
    params: ChainParams,
    id: ChainId,
    chain: ChainHandle,
    blocks: BlocksOnce,
    count: Arc<ShareCount>,
    found: broadcast::Sender<Arc<Solution>>,
}

impl Finder {
    /// A finder for this chain that submits blocks there and counts shares here.
    pub fn new(
        params: ChainParams,
        chain: ChainHandle,
        blocks: BlockSubmitter,
        count: Arc<ShareCount>,
    ) -> Self {
        let (found, _) = broadcast::channel(FOUND);
        let blocks = BlocksOnce::new(blocks);
        Self { id: params.chain_id(), params, chain, blocks, count, found }
    }

    /// The Bitcoin blocks found from now on.
    pub fn found(&self) -> broadcast::Receiver<Arc<Solution>> {
        self.found.subscribe()
    }

    /// Hands to the chain what sessions find, until they are all gone or the chain stops.
    pub async fn run(self: Arc<Self>, mut candidates: mpsc::Receiver<Candidate>) {
        while let Some(candidate) = candidates.recv().await {
            let span = debug_span!("share", id = %candidate.id);
            if self.pass_on(&candidate).instrument(span).await.is_err() {
                return;
            }
        }
    }

    async fn pass_on(&self, candidate: &Candidate) -> Result<(), Stopped> {
        let Some((share, includes)) = candidate.share() else {
            error!(id = %candidate.id, "BUG: work for no share chain came to one");
            return Ok(());
        };
        if candidate.judge().bitcoin_block {
            self.chain.keep_solution(solution(candidate, share.clone())).await?;
        }
        match Bound::new(&self.params, self.id, share) {
            Ok(share) => {
                self.count.add();
                debug!(owner = ?share.share().commitment.owner, "found by a miner of this node");
                self.chain.offer(Submission::block(share, includes.to_vec(), OWN_MINERS)).await
            }
            Err(error) => {
                error!(share = %candidate.id, "BUG: a share of our own does not bind: {error}");
                Ok(())
            }
        }
    }
}

impl BlockSink for Finder {
    fn bitcoin_block(&self, candidate: &Candidate) {
        if self.blocks.submit(candidate)
            && let Some((share, _)) = candidate.share()
        {
            // An error means that nobody listens.
            let _ = self.found.send(Arc::new(solution(candidate, share)));
        }
    }
}

/// Takes what miners find who mine alone: Bitcoin blocks, and nothing else.
pub struct SoloFinder {
    blocks: BlocksOnce,
}

impl SoloFinder {
    /// A finder that submits blocks there.
    pub fn new(blocks: BlockSubmitter) -> Self {
        Self { blocks: BlocksOnce::new(blocks) }
    }
}

impl BlockSink for SoloFinder {
    fn bitcoin_block(&self, candidate: &Candidate) {
        self.blocks.submit(candidate);
    }
}

/// Submits each found block once.
struct BlocksOnce {
    blocks: BlockSubmitter,
    submitted: Mutex<VecDeque<BlockHash>>,
}

impl BlocksOnce {
    fn new(blocks: BlockSubmitter) -> Self {
        Self { blocks, submitted: Mutex::default() }
    }

    /// False when there was nothing to submit.
    fn submit(&self, candidate: &Candidate) -> bool {
        // A block has megabytes, and is in good hands since it came the first time.
        if !self.is_new(candidate.header.block_hash()) {
            return false;
        }
        match candidate.block() {
            Ok(block) => {
                info!(hash = %block.hash, height = block.height.0, "BITCOIN BLOCK FOUND, submitting it");
                self.blocks.submit(block);
                true
            }
            Err(error) => {
                error!(%error, "BUG: a coinbase of our own does not decode; the block is lost");
                false
            }
        }
    }

    /// Remembers a found block. False when it was remembered already.
    fn is_new(&self, hash: BlockHash) -> bool {
        let mut submitted = self.submitted.lock().unwrap_or_else(PoisonError::into_inner);
        if submitted.contains(&hash) {
            return false;
        }
        if submitted.len() >= MAX_SUBMITTED {
            submitted.pop_front();
        }
        submitted.push_back(hash);
        true
    }
}

fn solution(candidate: &Candidate, share: Share) -> Solution {
    Solution { header: candidate.header, coinbase: candidate.job.coinbase(&candidate.extranonce), share }
}
