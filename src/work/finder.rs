//! What becomes of found work: a Bitcoin block goes to the Bitcoin network, a share to the chain.
//!
//! A Bitcoin block is submitted in the session's own task, before anything else; shares go through a queue.

use super::job::Candidate;
use super::outbox::BlockSink;
use super::share_rate::ShareCount;
use crate::bitcoin::submit::{BlockSubmitter, FoundBlock};
use crate::chain::{ChainHandle, OWN_MINERS, Stopped};
use bitcoin::BlockHash;
use bitcoin::consensus::encode;
use sharechain::chain::Submission;
use sharechain::coinbase;
use sharechain::params::{ChainId, ChainParams};
use sharechain::store::Solution;
use sharechain::verify::{BindError, Bound};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{broadcast, mpsc};
use tracing::{error, info};

/// Found Bitcoin blocks that a slow listener may be behind.
const FOUND: usize = 64;
/// Found Bitcoin blocks that are remembered, so that one which is said again is not submitted again.
const MAX_SUBMITTED: usize = 256;

/// Takes what sessions find.
pub struct Finder {
    params: ChainParams,
    id: ChainId,
    chain: ChainHandle,
    blocks: BlockSubmitter,
    count: Arc<ShareCount>,
    found: broadcast::Sender<Arc<Solution>>,
    submitted: Mutex<VecDeque<BlockHash>>,
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
        Self { id: params.chain_id(), params, chain, blocks, count, found, submitted: Mutex::default() }
    }

    /// The Bitcoin blocks found from now on.
    pub fn found(&self) -> broadcast::Receiver<Arc<Solution>> {
        self.found.subscribe()
    }

    /// Hands to the chain what sessions find, until they are all gone or the chain stops.
    pub async fn run(self: Arc<Self>, mut candidates: mpsc::Receiver<Candidate>) {
        while let Some(candidate) = candidates.recv().await {
            if self.pass_on(&candidate).await.is_err() {
                return;
            }
        }
    }

    async fn pass_on(&self, candidate: &Candidate) -> Result<(), Stopped> {
        if candidate.judge().bitcoin_block {
            self.chain.keep_solution(solution(candidate)).await?;
        }
        match self.submission(candidate) {
            Ok(submission) => {
                self.count.add();
                self.chain.offer(submission).await
            }
            Err(error) => {
                error!(share = %candidate.id, "BUG: a share of our own does not bind: {error}");
                Ok(())
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

    fn submission(&self, candidate: &Candidate) -> Result<Submission, BindError> {
        let share = Bound::new(&self.params, self.id, candidate.share())?;
        Ok(Submission::block(share, candidate.job.includes().to_vec(), OWN_MINERS))
    }
}

impl BlockSink for Finder {
    fn bitcoin_block(&self, candidate: &Candidate) {
        let job = &candidate.job;
        let (hash, height) = (candidate.header.block_hash(), job.template().height);
        // A block has megabytes, and is in good hands since it came the first time.
        if !self.is_new(hash) {
            return;
        }
        let serialized = job.coinbase(&candidate.extranonce);
        let coinbase = match coinbase::with_witness(&serialized) {
            Ok(transaction) => encode::serialize(&transaction),
            Err(error) => {
                return error!(%error, "BUG: a coinbase of our own does not decode; the block is lost");
            }
        };
        let mut header = [0; 80];
        header.copy_from_slice(&encode::serialize(&candidate.header));
        info!(%hash, height = height.0, "BITCOIN BLOCK FOUND, submitting it");
        self.blocks.submit(FoundBlock { hash, height, bytes: job.template().block(&header, &coinbase) });
        // An error means that nobody listens.
        let _ = self.found.send(Arc::new(solution(candidate)));
    }
}

fn solution(candidate: &Candidate) -> Solution {
    Solution {
        header: candidate.header,
        coinbase: candidate.job.coinbase(&candidate.extranonce),
        share: candidate.share(),
    }
}
