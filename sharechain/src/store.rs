//! What a share chain needs of a store, and a store in memory for tests and tools.
//!
//! The sled store of the node stands behind the same trait.

use crate::chain::{BlockSummary, ChangeSet};
use crate::share::{Share, ShareBlock, ShareId};
use crate::units::{BitcoinHeight, Height};
use bitcoin::BlockHash;
use bitcoin::block::Header;
use core::convert::Infallible;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keeps share blocks, the Bitcoin headers that they name, and the tip.
///
/// A change set is saved as a whole or not at all, and is on the disk when `commit` returns.
pub trait ShareStore {
    /// The disk's fault.
    type Error: std::error::Error + Send + Sync + 'static;

    /// All that [`crate::chain::ShareChain::load`] needs.
    fn load(&self) -> Result<Saved, Self::Error>;

    /// Saves a change set.
    fn commit(&mut self, change: &ChangeSet) -> Result<(), Self::Error>;

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
    /// The tip, if there is a block.
    pub tip: Option<ShareId>,
}

/// A store without a disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    headers: BTreeMap<(BitcoinHeight, BlockHash), Header>,
    blocks: BTreeMap<(Height, ShareId), (Arc<ShareBlock>, BlockSummary)>,
    shares: Vec<Share>,
    solutions: BTreeMap<(BitcoinHeight, BlockHash), Solution>,
    tip: Option<ShareId>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl ShareStore for MemoryStore {
    type Error = Infallible;

    fn load(&self) -> Result<Saved, Infallible> {
        Ok(Saved {
            headers: self.headers.iter().map(|((height, _), header)| (*height, *header)).collect(),
            blocks: self.blocks.values().map(|(_, summary)| summary.clone()).collect(),
            tip: self.tip,
        })
    }

    fn commit(&mut self, change: &ChangeSet) -> Result<(), Infallible> {
        self.commit_headers(&change.headers)?;
        let key = (change.summary.height, change.summary.id);
        self.blocks.insert(key, (change.block.clone(), change.summary.clone()));
        change.pruned.iter().for_each(|key| drop(self.blocks.remove(key)));
        self.tip = Some(change.tip);
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
        Ok(self.blocks.get(&(height, *id)).map(|(block, _)| ShareBlock::clone(block)))
    }
}
