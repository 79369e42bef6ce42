//! What a share chain needs of a store, and a store in memory for tests and tools.
//!
//! The sled store of the node stands behind the same trait.

use crate::chain::{BlockSummary, ChangeSet, GraftChange, GraftClaim};
use crate::codec::Encode;
use crate::share::{Share, ShareBlock, ShareId};
use crate::units::{BitcoinHeight, Height};
use bitcoin::BlockHash;
use bitcoin::block::Header;
use core::convert::Infallible;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Keeps share blocks, the Bitcoin headers that they name, and the tip.
///
/// A change set is saved as a whole or not at all, and in order.
pub trait ShareStore {
    /// The disk's fault.
    type Error: std::error::Error + Send + Sync + 'static;

    /// All that [`crate::chain::ShareChain::load`] needs.
    fn load(&self) -> Result<Saved, Self::Error>;

    /// Saves a change set, so that it is on the disk when this returns.
    fn commit(&mut self, change: &ChangeSet) -> Result<(), Self::Error> {
        self.write(change)?;
        self.flush()
    }

    /// Saves a change set without waiting for the disk. A crash may lose it, and then all that was written after it, too.
    fn write(&mut self, change: &ChangeSet) -> Result<(), Self::Error>;

    /// Waits until all that was written is on the disk.
    fn flush(&mut self) -> Result<(), Self::Error>;

    /// Saves what beginning, dropping or adopting a chain from the middle changes; on the disk when this returns.
    fn commit_graft(&mut self, change: &GraftChange) -> Result<(), Self::Error>;

    /// Forgets saved Bitcoin headers: stale ones that nothing names any more. A crash may bring them back.
    fn forget_headers(&mut self, headers: &[(BitcoinHeight, BlockHash)]) -> Result<(), Self::Error>;

    /// Saves Bitcoin headers apart from any block: the run that ends with the chain's first Bitcoin block, for one.
    fn commit_headers(&mut self, headers: &[(BitcoinHeight, Header)]) -> Result<(), Self::Error>;

    /// Saves shares that no block lists yet, replacing those saved before: what a clean stop leaves behind.
    fn commit_shares<'a>(&mut self, shares: impl Iterator<Item = &'a Share>) -> Result<(), Self::Error>
    where
        Self: Sized;

    /// The shares that the last clean stop saved.
    fn load_shares(&self) -> Result<Vec<Share>, Self::Error>;

    /// Keeps a share that is a Bitcoin block, for ever.
    fn commit_solution(&mut self, solution: &Solution) -> Result<(), Self::Error>;

    /// All Bitcoin blocks found, lowest first.
    fn solutions(&self) -> Result<Vec<Solution>, Self::Error>;

    /// The block with this height and id, on any branch.
    fn block(&self, height: Height, id: &ShareId) -> Result<Option<ShareBlock>, Self::Error>;

    /// A reader of bodies for other threads.
    fn bodies(&self) -> Bodies;
}

/// Reads the bodies of share blocks, without whoever owns the store.
pub trait ReadBodies: Send + Sync {
    /// The canonical bytes of the block with this height and id, as it was saved.
    fn body(&self, height: Height, id: &ShareId) -> Result<Option<Vec<u8>>, BodyError>;
}

/// The disk did not give a body.
#[derive(Debug, Error)]
#[error("reading share blocks: {0}")]
pub struct BodyError(#[source] pub Box<dyn core::error::Error + Send + Sync>);

/// A store's bodies, for any thread. Clones share them.
#[derive(Clone)]
pub struct Bodies(Arc<dyn ReadBodies>);

impl Bodies {
    /// Reads by this.
    pub fn new(reader: impl ReadBodies + 'static) -> Self {
        Self(Arc::new(reader))
    }

    /// The canonical bytes of the block with this height and id, on any branch. Blocks the thread for a read.
    pub fn get(&self, height: Height, id: &ShareId) -> Result<Option<Vec<u8>>, BodyError> {
        self.0.body(height, id)
    }
}

impl core::fmt::Debug for Bodies {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Bodies")
    }
}

/// A share that is a Bitcoin block, with the coinbase that shows whom it paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// The Bitcoin block's header.
    pub header: Header,
    /// The coinbase without its witness, in Bitcoin's encoding.
    pub coinbase: Vec<u8>,
    /// The share.
    pub share: Share,
}

/// What a store holds, without the bodies.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// Bitcoin headers by height, lowest first.
    pub headers: Vec<(BitcoinHeight, Header)>,
    /// Blocks, lowest first.
    pub blocks: Vec<BlockSummary>,
    /// The tip, if there is one.
    pub tip: Option<ShareId>,
    /// The chain from the middle that was being fetched.
    pub graft: Option<GraftClaim>,
}

/// A store without a disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    headers: BTreeMap<(BitcoinHeight, BlockHash), Header>,
    blocks: MemoryBodies,
    summaries: BTreeMap<(Height, ShareId), BlockSummary>,
    shares: Vec<Share>,
    solutions: BTreeMap<(BitcoinHeight, BlockHash), Solution>,
    tip: Option<ShareId>,
    graft: Option<GraftClaim>,
}

type BlocksByKey = BTreeMap<(Height, ShareId), Arc<ShareBlock>>;

#[derive(Debug, Default)]
struct MemoryBodies(Arc<Mutex<BlocksByKey>>);

impl MemoryBodies {
    fn lock(&self) -> MutexGuard<'_, BlocksByKey> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for MemoryBodies {
    /// A copy of its own: what is saved in one store is not in another.
    fn clone(&self) -> Self {
        Self(Arc::new(Mutex::new(self.lock().clone())))
    }
}

impl ReadBodies for MemoryBodies {
    fn body(&self, height: Height, id: &ShareId) -> Result<Option<Vec<u8>>, BodyError> {
        let block = self.lock().get(&(height, *id)).cloned();
        Ok(block.map(|block| block.to_bytes()))
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn remove(&mut self, blocks: &[(Height, ShareId)]) {
        let mut bodies = self.blocks.lock();
        for key in blocks {
            bodies.remove(key);
            self.summaries.remove(key);
        }
    }
}

impl ShareStore for MemoryStore {
    type Error = Infallible;

    fn load(&self) -> Result<Saved, Infallible> {
        Ok(Saved {
            headers: self.headers.iter().map(|((height, _), header)| (*height, *header)).collect(),
            blocks: self.summaries.values().cloned().collect(),
            tip: self.tip,
            graft: self.graft,
        })
    }

    fn write(&mut self, change: &ChangeSet) -> Result<(), Infallible> {
        self.commit_headers(&change.headers)?;
        let key = (change.summary.height, change.summary.id);
        self.blocks.lock().insert(key, change.block.clone());
        self.summaries.insert(key, change.summary.clone());
        self.remove(&change.pruned);
        if change.is_new_tip() {
            self.tip = Some(change.tip);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn commit_graft(&mut self, change: &GraftChange) -> Result<(), Infallible> {
        self.graft = change.graft;
        self.tip = change.tip.or(self.tip);
        self.remove(&change.dropped);
        Ok(())
    }

    fn forget_headers(&mut self, headers: &[(BitcoinHeight, BlockHash)]) -> Result<(), Infallible> {
        headers.iter().for_each(|key| {
            self.headers.remove(key);
        });
        Ok(())
    }

    fn commit_headers(&mut self, headers: &[(BitcoinHeight, Header)]) -> Result<(), Infallible> {
        self.headers.extend(headers.iter().map(|(height, header)| ((*height, header.block_hash()), *header)));
        Ok(())
    }

    fn commit_shares<'a>(&mut self, shares: impl Iterator<Item = &'a Share>) -> Result<(), Infallible> {
        self.shares = shares.cloned().collect();
        Ok(())
    }

    fn load_shares(&self) -> Result<Vec<Share>, Infallible> {
        Ok(self.shares.clone())
    }

    fn commit_solution(&mut self, solution: &Solution) -> Result<(), Infallible> {
        let key = (solution.share.commitment.bitcoin_height, solution.header.block_hash());
        self.solutions.insert(key, solution.clone());
        Ok(())
    }

    fn solutions(&self) -> Result<Vec<Solution>, Infallible> {
        Ok(self.solutions.values().cloned().collect())
    }

    fn block(&self, height: Height, id: &ShareId) -> Result<Option<ShareBlock>, Infallible> {
        Ok(self.blocks.lock().get(&(height, *id)).map(|block| ShareBlock::clone(block)))
    }

    fn bodies(&self) -> Bodies {
        Bodies::new(MemoryBodies(self.blocks.0.clone()))
    }
}
