//! The share chain in memory: what is valid, what is best, and what is due to whom.
//!
//! [`ShareChain`] acts only when called and does no I/O. A submission goes through [`ShareChain::judge`], which
//! changes nothing but caches; its [`Step`] may hold a [`ChangeSet`] that the caller saves first and then hands
//! back to [`ShareChain::apply`]. So memory never runs ahead of the disk.
//!
//! Reading order: `summary` (what a block leaves behind), `tree` (parents and branches), `judge` (checks 3 to 6 and
//! the way of a submission), `prepare` (check 7), `apply` (choice of tip), `draft` (the same rules, for making jobs).

mod apply;
mod credited;
mod draft;
mod graft;
mod judge;
mod payouts;
mod prepare;
mod shared;
mod summary;
mod tree;
mod upgrades;
mod walk;

pub use apply::{Applied, Reorganisation, TooDeep};
pub use draft::{Draft, DraftError, JobChoices, Made};
pub use graft::{GraftChange, GraftClaim, GraftError, GraftStatus, NotAdopted};
pub use judge::{Step, Submission, fits, pays};
pub use payouts::{Ranking, Selections};
pub use prepare::ChangeSet;
pub use shared::SharedVerdicts;
pub use summary::{BlockSummary, Freshness};
pub use upgrades::{LockedIn, Upgrade, Upgrades};
pub use walk::{BranchIds, MAX_LOCATOR, TipClaim};

use crate::bitcoin_headers::HeaderTree;
use crate::params::{ChainId, ChainParams};
use crate::pool::{InvalidIds, SharePool, WaitingPool};
use crate::retarget::RetargetInput;
use crate::share::ShareId;
use crate::target::{Target, Work};
use crate::units::{BitcoinHeight, Height, Score, UnixTime};
use bitcoin::BlockHash;
use bitcoin::block::Header;
use graft::Graft;
use payouts::PayoutDesk;
use tree::{BlockTree, Place};

/// The share chain: all blocks within two windows, the Bitcoin headers that they are judged by, and the pools.
pub struct ShareChain {
    params: ChainParams,
    id: ChainId,
    headers: HeaderTree,
    tree: BlockTree,
    desk: PayoutDesk,
    credited: credited::Credited,
    shares: SharePool,
    waiting: WaitingPool<Submission>,
    invalid: InvalidIds,
    unsaved_headers: Vec<(BitcoinHeight, Header)>,
    dropped_headers: Vec<(BitcoinHeight, BlockHash)>,
    graft: Option<Graft>,
    claimed: walk::Claimed,
    shared: Option<SharedVerdicts>,
    upgrades: Upgrades,
    periods: upgrades::Periods,
}

impl ShareChain {
    /// An empty chain.
    pub fn new(params: ChainParams, headers: HeaderTree) -> Self {
        let id = params.chain_id();
        Self {
            id,
            tree: BlockTree::new(id),
            desk: PayoutDesk::new(&params),
            credited: credited::Credited::default(),
            params,
            headers,
            shares: SharePool::default(),
            waiting: WaitingPool::default(),
            invalid: InvalidIds::default(),
            unsaved_headers: Vec::new(),
            dropped_headers: Vec::new(),
            graft: None,
            claimed: None,
            shared: None,
            upgrades: Upgrades::default(),
            periods: upgrades::Periods::new(),
        }
    }

    /// A chain of blocks that were valid when they were saved, lowest first, with `tip` as its tip.
    ///
    /// Their shares are not in the pool yet; see [`ShareChain::readmit`].
    pub fn load(
        params: ChainParams,
        headers: HeaderTree,
        blocks: impl IntoIterator<Item = BlockSummary>,
        tip: Option<ShareId>,
    ) -> Self {
        let mut chain = Self::new(params, headers);
        for block in blocks {
            chain.tree.insert(block);
        }
        let tip = tip.and_then(|id| chain.tree.find(&id));
        chain.tree.activate(tip.unwrap_or(Place::Root));
        chain
    }

    /// The same chain, taking verdicts from these and adding its own to them. All that share them must be chains of the
    /// same parameters.
    pub fn with_shared_verdicts(self, shared: SharedVerdicts) -> Self {
        Self { shared: Some(shared), ..self }
    }

    /// The parameters.
    pub const fn params(&self) -> &ChainParams {
        &self.params
    }

    /// The identity of the chain.
    pub const fn id(&self) -> ChainId {
        self.id
    }

    /// The Bitcoin headers.
    pub const fn headers(&self) -> &HeaderTree {
        &self.headers
    }

    /// The valid shares that are kept for listing.
    pub const fn shares(&self) -> &SharePool {
        &self.shares
    }

    /// What waits for something.
    pub const fn waiting(&self) -> &WaitingPool<Submission> {
        &self.waiting
    }

    /// The id of the tip, or the chain id.
    pub fn tip(&self) -> ShareId {
        self.tree.id(self.tree.tip())
    }

    /// The height of the tip.
    pub fn height(&self) -> Height {
        self.tree.height(self.tree.tip())
    }

    /// Number of blocks in memory, on all branches.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there are no blocks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A block in memory.
    pub fn block(&self, id: &ShareId) -> Option<&BlockSummary> {
        self.tree.find(id).and_then(|place| self.tree.get(place))
    }

    /// The block at a height of the active branch.
    pub fn block_at(&self, height: Height) -> Option<&BlockSummary> {
        self.tree.active_at(height).and_then(|place| self.tree.get(place))
    }

    /// The blocks at a height that are on other branches, those that came first in front.
    pub fn beside(&self, height: Height) -> impl Iterator<Item = &BlockSummary> {
        let places = self.tree.all_at(height).filter(|place| !self.tree.is_active(*place));
        places.filter_map(|place| self.tree.get(place))
    }

    /// Whether a block is on the active branch.
    pub fn is_active(&self, id: &ShareId) -> bool {
        self.tree.find(id).is_some_and(|place| self.tree.is_active(place))
    }

    /// Scores by owner in the reward window at a block, largest first; empty at the chain id. None where the block is
    /// unknown or its window may reach into pruned blocks.
    pub fn ranking(&mut self, block: &ShareId) -> Option<Ranking> {
        let place = self.tree.find(block)?;
        self.desk.ranking(&self.params, &self.tree, place)
    }

    /// The reward window at a block of the chain; none as for [`ShareChain::ranking`].
    pub fn window(&mut self, block: &ShareId) -> Option<&crate::window::Window> {
        let place = self.tree.find(block)?;
        self.desk.window_at(&self.params, &self.tree, place)
    }

    /// Score per owner over the newest `blocks` of the active branch: what was credited there.
    pub fn credited_since(&self, blocks: u32) -> std::collections::BTreeMap<crate::owner::Owner, Score> {
        let mut sums = std::collections::BTreeMap::new();
        let count = usize::try_from(blocks).unwrap_or(usize::MAX);
        for block in self.tree.back_from(self.tree.tip(), count) {
            for (owner, score) in block.credits.credits() {
                let sum: &mut Score = sums.entry(owner).or_default();
                *sum = sum.saturating_add(score);
            }
        }
        sums
    }

    /// Work of the blocks, back from the tip `id`, whose prev_block is recent: what counts between chains without a
    /// common ancestor (protocol section 7), since work cannot name a Bitcoin block before it exists.
    pub fn recent_work(&self, id: &ShareId) -> Work {
        let Some(tip) = self.tree.find(id) else { return Work::ZERO };
        // Each block by itself: one on a Bitcoin block that has gone stale must not hide all that came before it.
        let recent =
            self.tree.back_from(tip, usize::MAX).filter(|block| self.headers.is_recent(&block.prev_block));
        let target = |block: &BlockSummary| Target::from_compact(block.bits).unwrap_or(Target::MAX);
        recent.fold(Work::ZERO, |sum, block| sum.saturating_add(target(block).work()))
    }

    /// The block target that shares on this base are measured by.
    fn base_target(&self, base: Place) -> Target {
        let bits = self.tree.get(base).and_then(|block| Target::from_compact(block.bits).ok());
        bits.unwrap_or_else(|| self.params.easiest_target())
    }

    /// The block `base_depth` generations before the parent, or the chain id while there are fewer.
    fn base_of(&self, parent: Place) -> Option<Place> {
        let height = self.tree.height(parent).saturating_sub(self.params.base_depth);
        self.tree.ancestor(parent, height)
    }

    /// The block whose window is paid by a share with this base and Bitcoin height (protocol section 6). None if the base
    /// or its payout block is not here.
    pub fn payout_block_of(&mut self, base: &ShareId, bitcoin_height: BitcoinHeight) -> Option<ShareId> {
        let base = self.tree.find(base)?;
        let place = self.payout_block(base, bitcoin_height)?;
        Some(self.tree.id(place))
    }

    /// The newest block among the base and its ancestors whose height is a multiple of the payout interval and whose
    /// Bitcoin height is lower than `bitcoin_height`; the chain id if there is none.
    fn payout_block(&mut self, base: Place, bitcoin_height: BitcoinHeight) -> Option<Place> {
        let interval = self.params.payout_interval.max(1);
        let height = self.tree.height(base);
        let above = height.0.checked_rem(interval).unwrap_or(0);
        let newest = self.tree.ancestor(base, height.saturating_sub(above))?;
        self.desk.payout_block(&self.tree, newest, interval, bitcoin_height)
    }

    /// What the target of a child of this block follows from; none at the chain id.
    fn retarget_input(&self, parent: Place) -> Option<RetargetInput> {
        let block = self.tree.get(parent)?;
        let grandparent = self.tree.parent(parent).and_then(|place| self.tree.get(place));
        let newest = self.tree.back_from(parent, crate::params::MEDIAN_SPAN).map(|block| block.time).max();
        Some(RetargetInput {
            parent_target: Target::from_compact(block.bits).unwrap_or(Target::MIN),
            parent_time: block.time,
            grandparent_time: grandparent.map(|block| block.time),
            newest_time: newest.unwrap_or(block.time),
        })
    }

    /// The least time of a child of this block: above the median of its last 11.
    fn least_time(&self, parent: Place) -> UnixTime {
        self.tree.median_time(parent).map_or(UnixTime(0), |median| median.saturating_add(1))
    }
}
