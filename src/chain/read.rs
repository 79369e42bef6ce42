//! Questions that need both the chain in memory and the bodies in the store.
//!
//! A running node answers them on the writer thread; a command without a node opens the store and asks the same way.

use sharechain::chain::ShareChain;
use sharechain::payout::Payouts;
use sharechain::share::{Share, ShareBlock, ShareId};
use sharechain::store::{ShareStore, Solution};
use sharechain::units::Height;
use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;
use thiserror::Error;

/// The disk did not give a body.
#[derive(Debug, Error)]
#[error("reading the share chain's store: {0}")]
pub struct ReadError(Box<dyn Error + Send + Sync>);

/// Reads bodies from any store.
trait Bodies {
    fn body(&self, height: Height, id: &ShareId) -> Result<Option<ShareBlock>, ReadError>;
    fn all_solutions(&self) -> Result<Vec<Solution>, ReadError>;
}

impl<S: ShareStore> Bodies for S {
    fn body(&self, height: Height, id: &ShareId) -> Result<Option<ShareBlock>, ReadError> {
        self.block(height, id).map_err(|error| ReadError(Box::new(error)))
    }

    fn all_solutions(&self) -> Result<Vec<Solution>, ReadError> {
        self.solutions().map_err(|error| ReadError(Box::new(error)))
    }
}

/// The chain and its bodies, for one question.
pub struct Reader<'a> {
    /// The chain in memory.
    pub chain: &'a mut ShareChain,
    bodies: &'a dyn Bodies,
}

/// A share and where it was found.
#[derive(Clone, Debug)]
pub struct FoundShare {
    /// The share.
    pub share: Arc<Share>,
    /// The block that it is or that lists it; none while it is not listed.
    pub credited_by: Option<(Height, ShareId)>,
}

impl<'a> Reader<'a> {
    /// Reads from these two.
    pub fn new<S: ShareStore>(chain: &'a mut ShareChain, store: &'a S) -> Self {
        Self { chain, bodies: store }
    }

    /// The block with this id, with its listed shares, on any branch.
    pub fn block(&self, id: &ShareId) -> Result<Option<ShareBlock>, ReadError> {
        match self.chain.block(id) {
            Some(block) => self.bodies.body(block.height, id),
            None => Ok(None),
        }
    }

    /// The share at a place where it was found; none if it is there no longer.
    pub fn share_at(&self, place: SharePlace, id: &ShareId) -> Result<Option<FoundShare>, ReadError> {
        let SharePlace::In(block) = place else {
            let pooled = self.chain.shares().get(id).map(|share| share.share().clone());
            return Ok(pooled.map(|share| FoundShare { share, credited_by: None }));
        };
        let credited_by = self.chain.block(&block).map(|block| (block.height, block.id));
        Ok(self.credited(&block, id)?.map(|share| FoundShare { share, credited_by }))
    }

    /// A share of those that a block credits: itself or a listed one.
    pub fn credited(&self, block: &ShareId, id: &ShareId) -> Result<Option<Arc<Share>>, ReadError> {
        let Some(body) = self.block(block)? else { return Ok(None) };
        if block == id {
            return Ok(Some(body.share));
        }
        let summary = self.chain.block(block);
        let position = summary.and_then(|block| block.listed().iter().position(|listed| listed == id));
        Ok(position.and_then(|index| body.listed.get(index).cloned()))
    }

    /// All Bitcoin blocks found by this node, lowest first.
    pub fn solutions(&self) -> Result<Vec<Solution>, ReadError> {
        self.bodies.all_solutions()
    }

    /// Whom the coinbase of a share pays; none when its base or payout block has been pruned.
    pub fn payouts(&mut self, share: &Share) -> Option<Payouts> {
        self.chain.payouts_of(share)
    }
}

/// Ids that one step of a search compares: some tenths of a millisecond.
const IDS_AT_ONCE: usize = 1 << 16;

/// A search for a share, in steps: a chain keeps millions of ids, and stands still while they are compared.
#[derive(Clone, Copy, Debug)]
pub struct ShareSearch {
    id: ShareId,
    /// The height to look at next. All from there up to `top` have been looked at.
    next: u32,
    /// At this height and below nothing needs to be looked at.
    floor: u32,
    top: u32,
}

/// Where a share is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharePlace {
    /// It is this block, on any branch, or this block of the active branch lists it.
    In(ShareId),
    /// No block lists it yet.
    Unlisted,
}

impl ShareSearch {
    /// Begins one.
    pub const fn of(id: ShareId) -> Self {
        Self { id, next: 0, floor: 0, top: 0 }
    }

    /// Goes on from the newest blocks down; blocks that come meanwhile are looked at last. What a reorganisation moves
    /// meanwhile may be missed.
    pub fn step(mut self, chain: &ShareChain) -> ControlFlow<Option<SharePlace>, Self> {
        if chain.block(&self.id).is_some() {
            return ControlFlow::Break(Some(SharePlace::In(self.id)));
        }
        let mut ids: usize = 0;
        loop {
            while self.next > self.floor {
                if ids >= IDS_AT_ONCE {
                    return ControlFlow::Continue(self);
                }
                let block = chain.block_at(Height(self.next));
                ids += 1 + block.map_or(0, |block| block.credited.len());
                if let Some(block) = block.filter(|block| block.credited.contains(&self.id)) {
                    return ControlFlow::Break(Some(SharePlace::In(block.id)));
                }
                self.next -= 1;
            }
            let height = chain.height().0;
            if height <= self.top {
                let pooled = chain.shares().get(&self.id).map(|_| SharePlace::Unlisted);
                return ControlFlow::Break(pooled);
            }
            // The lowest that is kept is looked at, too.
            let lowest = height.saturating_sub(chain.params().kept_blocks()).saturating_sub(1);
            (self.next, self.floor, self.top) = (height, self.top.max(lowest), height);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_jobs::owner;
    use bitcoin::CompactTarget;
    use sharechain::bitcoin_headers::HeaderTree;
    use sharechain::chain::{BlockSummary, Freshness};
    use sharechain::params::{ChainParams, Network, embedded_genesis};
    use sharechain::target::Work;
    use sharechain::units::{BitcoinHeight, UnixTime};
    use sharechain::window::BlockCredits;
    use std::ops::RangeInclusive;

    const BITS: u32 = 0x1d00_ffff;
    /// Of each block; two of them are more than a step compares.
    const CREDITED: u32 = 40_000;

    fn id(height: u32, index: u32) -> ShareId {
        let mut id = [1; 32];
        id[..4].copy_from_slice(&height.to_be_bytes());
        id[4..8].copy_from_slice(&index.to_be_bytes());
        ShareId(id)
    }

    fn chain(top: u32) -> ShareChain {
        chain_of(ChainParams::main(), 1..=top, CREDITED)
    }

    /// Blocks of these heights, each of which credits so many shares.
    fn chain_of(params: ChainParams, heights: RangeInclusive<u32>, credited: u32) -> ShareChain {
        let genesis = embedded_genesis(BITS);
        let first_bitcoin_block = (BitcoinHeight(0), genesis.block_hash());
        let network = Network::Embedded { bits: BITS };
        let params = ChainParams { network, first_bitcoin_block, ..params };
        let block = |height: u32| BlockSummary {
            id: id(height, 0),
            parent: if height == 1 { params.chain_id().as_block() } else { id(height - 1, 0) },
            height: Height(height),
            time: UnixTime(1_800_000_000 + height),
            bits: CompactTarget::from_consensus(BITS),
            work: Work::ZERO,
            bitcoin_height: BitcoinHeight(1),
            prev_block: first_bitcoin_block.1,
            listed_on: Box::default(),
            freshness: Freshness::default(),
            credits: Arc::new(BlockCredits { lister: owner(1), own: None, listed: Vec::new() }),
            credited: Arc::new((1..=credited).map(|index| id(height, index)).collect()),
        };
        let headers = HeaderTree::new(&params, &[genesis]).expect("the first block");
        let tip = id(*heights.end(), 0);
        ShareChain::load(params.clone(), headers, heights.map(block), Some(tip))
    }

    /// Where it is, and in how many steps it was found.
    fn look(chain: &ShareChain, mut search: ShareSearch) -> (Option<SharePlace>, u32) {
        let mut steps = 1;
        loop {
            match search.step(chain) {
                ControlFlow::Continue(further) => (search, steps) = (further, steps + 1),
                ControlFlow::Break(place) => return (place, steps),
            }
        }
    }

    #[test]
    fn a_share_is_looked_for_step_by_step_from_the_newest_block_down() {
        let chain = chain(6);
        let place = |height| Some(SharePlace::In(id(height, 0)));
        let found = |height, index| look(&chain, ShareSearch::of(id(height, index)));
        assert_eq!(found(2, 0), (place(2), 1), "blocks are known by their ids");
        assert_eq!(found(6, 1), (place(6), 1));
        assert_eq!(found(5, CREDITED), (place(5), 1));
        assert_eq!(found(4, 1), (place(4), 2));
        assert_eq!(found(1, CREDITED), (place(1), 3));
        assert_eq!(found(7, 1), (None, 3));
    }

    #[test]
    fn the_oldest_block_that_is_kept_is_looked_at() {
        let params = ChainParams { base_depth: 1, include_depth: 1, window_blocks: 1, ..ChainParams::main() };
        let (lowest, kept) = (5, params.kept_blocks());
        let chain = chain_of(params, lowest..=lowest + kept, 1);
        let found = |height| look(&chain, ShareSearch::of(id(height, 1))).0;
        assert_eq!(found(lowest), Some(SharePlace::In(id(lowest, 0))));
        assert_eq!(found(lowest - 1), None);
    }

    #[test]
    fn blocks_that_come_while_a_share_is_looked_for_are_looked_at_too() {
        let search = match ShareSearch::of(id(5, 7)).step(&chain(4)) {
            ControlFlow::Continue(search) => search,
            ControlFlow::Break(place) => panic!("{place:?} in one step"),
        };
        let (place, steps) = look(&chain(5), search);
        assert_eq!((place, steps), (Some(SharePlace::In(id(5, 0))), 2));
    }
}
