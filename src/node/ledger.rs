//! The task that owns the ledger: it looks for found Bitcoin blocks when there may be a new one, saves them, and shows them.

use super::tasks::Tasks;
use crate::api::read::search::FoundBlocks;
use crate::api::{LedgerView, ReadError};
use crate::chain::{ChainEvent, ChainHandle};
use crate::history::keeper::HistoryHandle;
use crate::history::ledger::MAX_OWNERS;
use sharechain::owner::Owner;
use sharechain::store::Solution;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Between two searches, however much happens: a sync takes in thousands of share blocks.
const PAUSE: Duration = Duration::from_millis(100);
/// Notes that may wait; there is one every half minute.
const NOTES: usize = 4;

/// Whom miners have worked for.
pub(super) struct Worked {
    pub(super) owners: BTreeSet<Owner>,
    /// Seconds since 1970.
    pub(super) time: u64,
}

/// Keeps the ledger from now on, until the notes end. `found` tells of the Bitcoin blocks of this node's miners.
pub(super) fn start(
    tasks: &Tasks,
    chain: &ChainHandle,
    found: impl Fn() -> broadcast::Receiver<Arc<Solution>>,
    history: Option<HistoryHandle>,
) -> (mpsc::Sender<Worked>, LedgerView) {
    let blocks = FoundBlocks::new(Some(found()), history);
    let view = blocks.view();
    let (sender, notes) = mpsc::channel(NOTES);
    let (events, solutions) = (chain.events(), found());
    let (chain, stop, owed) = (chain.clone(), tasks.stop.clone(), BTreeMap::new());
    let clerk = Clerk { blocks, chain, events, solutions, notes, owed, stop, is_failing: false };
    tasks.spawn("ledger", clerk.run());
    (sender, view)
}

struct Clerk {
    blocks: FoundBlocks,
    chain: ChainHandle,
    events: broadcast::Receiver<ChainEvent>,
    solutions: broadcast::Receiver<Arc<Solution>>,
    notes: mpsc::Receiver<Worked>,
    /// What was noted and could not be taken in yet, at most as many as there are in a ledger.
    owed: BTreeMap<Owner, u64>,
    stop: CancellationToken,
    /// So that what is wrong is said once.
    is_failing: bool,
}

/// Why there is something to do.
enum Cause {
    Worked(Worked),
    /// A Bitcoin block may have been found.
    News,
}

impl Clerk {
    async fn run(mut self) {
        while let Some(cause) = self.next().await {
            // What is seen from here on is looked for now.
            self.events = self.events.resubscribe();
            self.solutions = self.solutions.resubscribe();
            let done = self.work(cause).await;
            self.tell(done);
            let _ = self.stop.run_until_cancelled(sleep(PAUSE)).await;
        }
    }

    /// None when whoever notes has ended: nothing is lost then.
    async fn next(&mut self) -> Option<Cause> {
        loop {
            tokio::select! {
                worked = self.notes.recv() => return worked.map(Cause::Worked),
                _ = heard(&mut self.solutions) => return Some(Cause::News),
                event = heard(&mut self.events) => if event.is_none_or(|event| is_news(&event)) {
                    return Some(Cause::News);
                },
            }
        }
    }

    async fn work(&mut self, cause: Cause) -> Result<(), ReadError> {
        if let Cause::Worked(Worked { owners, time }) = cause {
            self.owed.extend(owners.into_iter().map(|owner| (owner, time)));
            while self.owed.len() > MAX_OWNERS {
                self.owed.pop_last();
            }
        }
        while let Some((owner, time)) = self.owed.first_key_value() {
            self.blocks.worked([*owner], *time).await?;
            self.owed.pop_first();
        }
        self.blocks.catch_up(&self.chain).await
    }

    fn tell(&mut self, done: Result<(), ReadError>) {
        let failed = done.is_err();
        match done {
            Ok(()) if self.is_failing => info!("found Bitcoin blocks and payments are followed again"),
            Ok(()) => {}
            Err(error @ (ReadError::Stopping | ReadError::NotYet)) => {
                debug!(%error, "found Bitcoin blocks are looked for after the next start");
                return;
            }
            Err(error) if self.is_failing => debug!(%error, "found Bitcoin blocks are not followed"),
            Err(error) => {
                warn!("found Bitcoin blocks and payments are not followed, mining goes on: {error}")
            }
        }
        self.is_failing = failed;
    }
}

/// The next one; none where some were missed. Waits for ever once there will be no more.
async fn heard<T: Clone>(told: &mut broadcast::Receiver<T>) -> Option<T> {
    match told.recv().await {
        Ok(told) => Some(told),
        Err(RecvError::Lagged(_)) => None,
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

/// Whether there may be a found Bitcoin block that was none before.
const fn is_news(event: &ChainEvent) -> bool {
    match event {
        ChainEvent::Block { is_tip, .. } => *is_tip,
        ChainEvent::Reorganised(_) | ChainEvent::Adopted { .. } | ChainEvent::BitcoinTip(_) => true,
        ChainEvent::Share { .. }
        | ChainEvent::TooDeep(_)
        | ChainEvent::LockedIn(_)
        | ChainEvent::HeaderWanted(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::read::search::Shown;
    use crate::chain::open;
    use crate::history::keeper;
    use crate::test_jobs::{JobMaker, owner};
    use crate::work::job;
    use bitcoin::block::{Header, Version};
    use sharechain::bitcoin_headers::HeaderTree;
    use sharechain::chain::ShareChain;
    use sharechain::params::{ChainParams, Network, embedded_genesis};
    use sharechain::store::MemoryStore;
    use sharechain::units::BitcoinHeight;

    const BITS: u32 = 0x207f_ffff;

    /// A chain without a block.
    fn chain() -> ShareChain {
        let genesis = embedded_genesis(BITS);
        let first_bitcoin_block = (BitcoinHeight(0), genesis.block_hash());
        let network = Network::Embedded { bits: BITS };
        let params = ChainParams { network, first_bitcoin_block, ..ChainParams::main() };
        let headers = HeaderTree::new(&params, &[genesis]).expect("the first block");
        ShareChain::new(params, headers)
    }

    fn found() -> Solution {
        let job = Arc::new(JobMaker::default().job());
        let solution = job::Solution {
            extranonce: [0; 12],
            version: 0x2000_0000,
            time: JobMaker::default().time,
            nonce: 7,
        };
        let candidate = job.assemble(&solution);
        let (share, _) = candidate.share().expect("work for the pool");
        Solution { header: candidate.header, coinbase: Vec::new(), share }
    }

    #[tokio::test]
    async fn what_is_heard_of_is_shown_at_once_and_what_was_noted_last_is_saved() {
        let folder = tempfile::tempdir().expect("a folder");
        let history = keeper::start(folder.path()).expect("it opens");
        let (chain, writer) = open::spawn(chain(), MemoryStore::new());
        let (finds, _) = broadcast::channel(4);
        let tasks = Tasks::default();
        let (notes, mut view) = start(&tasks, &chain, || finds.subscribe(), Some(history.clone()));
        // Nobody has noted anything yet.
        let found = found();
        finds.send(Arc::new(found.clone())).expect("it listens");
        let hash = found.header.block_hash();
        {
            let shown = view.wait_for(|shown| matches!(shown, Shown::Ledger(_))).await.expect("it runs");
            let Shown::Ledger(ledger) = &*shown else { panic!("{shown:?}") };
            assert!(ledger.blocks().iter().all(|((_, known), block)| *known == hash && block.own));
            assert_eq!(ledger.blocks().len(), 1);
        }
        notes.send(Worked { owners: [owner(4)].into(), time: 9 }).await.expect("it runs");
        drop(notes);
        tasks.run(std::future::pending()).await;
        let saved = history.ledger().await.expect("it is read");
        assert_eq!((saved.blocks().len(), saved.owners().get(&owner(4))), (1, Some(&9)));
        chain.stop().await;
        writer.join().expect("no panic").expect("memory does not fail");
    }

    #[tokio::test]
    async fn a_new_best_bitcoin_block_is_told_once() {
        let (chain, writer) = open::spawn(chain(), MemoryStore::new());
        let genesis = embedded_genesis(BITS);
        let mut header = Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: genesis.block_hash(),
            time: genesis.time + 600,
            ..genesis
        };
        while header.validate_pow(header.target()).is_err() {
            header.nonce += 1;
        }
        let mut events = chain.events();
        let taken = chain.add_headers(vec![header]).await.expect("it runs");
        assert_eq!(taken.known, 1, "{taken:?}");
        let told = events.try_recv().expect("told");
        assert!(matches!(told, ChainEvent::BitcoinTip(hash) if hash == header.block_hash()), "{told:?}");
        let taken = chain.add_headers(vec![header]).await.expect("it runs");
        assert_eq!(taken.known, 1, "{taken:?}");
        assert!(events.try_recv().is_err(), "it is known");
        chain.stop().await;
        writer.join().expect("no panic").expect("memory does not fail");
    }

    #[test]
    fn only_what_may_have_made_a_bitcoin_block_is_a_cause() {
        let hash = embedded_genesis(BITS).block_hash();
        assert!(is_news(&ChainEvent::BitcoinTip(hash)) && !is_news(&ChainEvent::HeaderWanted(hash)));
    }
}
