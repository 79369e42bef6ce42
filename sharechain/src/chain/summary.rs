//! What of a share block is kept in memory, and saved beside its body so that a start need not read bodies.

use crate::bitcoin_headers::BitcoinContext;
use crate::params::FRESHNESS_GRACE;
use crate::share::ShareId;
use crate::target::Work;
use crate::units::{BitcoinHeight, Height, UnixTime};
use crate::window::BlockCredits;
use bitcoin::{BlockHash, CompactTarget};
use std::sync::Arc;

/// The facts of a valid share block that later blocks and shares are judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSummary {
    /// Its id.
    pub id: ShareId,
    /// Its parent, or the chain id.
    pub parent: ShareId,
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: UnixTime,
    /// The block target that it was mined at, in compact form.
    pub bits: CompactTarget,
    /// Work of this block and all before it.
    pub work: Work,
    /// The Bitcoin height that it claims.
    pub bitcoin_height: BitcoinHeight,
    /// The Bitcoin block that it builds on.
    pub prev_block: BlockHash,
    /// Other Bitcoin blocks that its listed shares build on, each once: headers without which it cannot be checked.
    pub listed_on: Box<[BlockHash]>,
    /// The newest Bitcoin work seen by it and its ancestors.
    pub freshness: Freshness,
    /// What it credits.
    pub credits: Arc<BlockCredits>,
    /// Ids that it credits: itself if it meets its share target, then the listed ones in order.
    pub credited: Arc<Vec<ShareId>>,
}

impl BlockSummary {
    /// Ids of the shares that it lists, in order.
    pub fn listed(&self) -> &[ShareId] {
        let own = usize::from(self.credits.own.is_some());
        self.credited.get(own..).unwrap_or_default()
    }

    /// The Bitcoin blocks that it and its listed shares build on.
    pub fn bitcoin_blocks(&self) -> impl Iterator<Item = BlockHash> {
        core::iter::once(self.prev_block).chain(self.listed_on.iter().copied())
    }
}

/// H of protocol section 4, check 7: the most chainwork of the prev_blocks of a block and its ancestors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Chainwork of that prev_block.
    pub work: Work,
    /// Chainwork of its parent: what one Bitcoin block less is.
    pub parent_work: Work,
    /// Height of the first share block that reached it.
    pub reached_at: Height,
}

impl Freshness {
    /// The freshness after a block at `height` with this context.
    pub fn after(self, context: &BitcoinContext, height: Height) -> Self {
        if context.prev_work > self.work || self.reached_at == Height::ROOT {
            Self { work: context.prev_work, parent_work: context.prev_parent_work, reached_at: height }
        } else {
            self
        }
    }

    /// Whether work on a prev_block is new enough to follow the block at height `at` that this is the freshness of.
    pub fn allows(&self, context: &BitcoinContext, at: Height) -> bool {
        let still_news = self.reached_at.saturating_add(FRESHNESS_GRACE) >= at;
        context.prev_work >= self.work || (still_news && context.prev_work >= self.parent_work)
    }
}
